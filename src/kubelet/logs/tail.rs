//! PURE. Where the last lines of a file begin, by reading it backwards in blocks.

use std::io;

/// Bytes read at once.
pub const BLOCK: usize = 64 << 10;

/// Where the last `lines` lines of a file of `size` bytes begin; a last line without newline is not counted (it comes
/// after them). `read` fills the buffer from an offset.
pub fn start(
    size: u64,
    lines: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut buffer = vec![0; BLOCK];
    let mut seen = 0u64;
    let mut right = size;
    while right > 0 {
        let left = right.saturating_sub(BLOCK as u64);
        let block = &mut buffer[..usize::try_from(right - left).unwrap_or(BLOCK)];
        read(left, block)?;
        let here = block.iter().filter(|b| **b == b'\n').count() as u64;
        if seen + here > lines {
            // The newline before the first wanted line is in this block.
            let skip = usize::try_from(lines - seen).unwrap_or(usize::MAX);
            let ends = block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n');
            let at = ends.map(|(at, _)| at).nth(skip).unwrap_or(0);
            return Ok(left + at as u64 + 1);
        }
        seen += here;
        right = left;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
