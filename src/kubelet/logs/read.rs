//! Reads one request's worth of a log in bounded pieces.

use super::line::{Lines, Show};
use super::open::{After, Opened, Place};
use super::tail;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use super::open::Input;

/// Bytes read at once; about as many are written.
const BLOCK: usize = 64 << 10;
/// Most blocks read in one go when none of them holds anything to show.
const BLOCKS: usize = 16;

/// A log on its way to a reader.
#[derive(Debug)]
pub struct Reader {
    place: Place,
    open: Opened,
    lines: Lines,
    buffer: Vec<u8>,
}

/// What reading on brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// To be shown.
    pub bytes: Vec<u8>,
    /// Anything was read, shown or not.
    pub moved: bool,
    /// Where that leaves us.
    pub end: End,
}

/// Where reading has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// There is more to read.
    #[default]
    More,
    /// The end of the file, for now.
    Eof,
    /// Everything that was asked for is read.
    Done,
}

/// Whether reading can go on after the end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// In the same file, once there is more in it.
    Same,
    /// In the same file; but it was rotated, and the next one is or will be there.
    Rotated,
    /// In the next file, now.
    Next,
}

impl Reader {
    /// Opens a log for reading from the beginning of its last `tail` lines, or from its beginning. Blocks.
    pub fn open(place: Place, show: Show, tail: Option<u64>) -> io::Result<Self> {
        let mut open = place.current()?;
        if let (Some(lines), Input::Plain(file)) = (tail, &mut open.input) {
            let size = file.metadata()?.len();
            let start = tail::start(size, lines, |at, block| file.read_exact_at(block, at))?;
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(Self {
            place,
            open,
            lines: Lines::new(show),
            buffer: vec![0; BLOCK],
        })
    }

    /// The log's place.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Lines so far that were not understood.
    pub fn garbage(&self) -> u64 {
        self.lines.garbage()
    }

    /// Reads on. Blocks.
    pub fn read(&mut self) -> io::Result<Piece> {
        let mut piece = Piece::default();
        for _ in 0..BLOCKS {
            if self.lines.is_done() {
                piece.end = End::Done;
                break;
            }
            let count = self.open.input.read(&mut self.buffer)?;
            if count == 0 {
                piece.end = End::Eof;
                break;
            }
            piece.moved = true;
            if self.lines.feed(&self.buffer[..count], &mut piece.bytes) {
                piece.end = End::Done;
                break;
            }
            if !piece.bytes.is_empty() {
                break;
            }
        }
        Ok(piece)
    }

    /// At the end of a file: goes on to the next one if this one is complete. It is when a still later one exists, or
    /// when `complete` says so of its name. Blocks.
    pub fn turn(&mut self, complete: impl FnOnce(Option<&str>) -> bool) -> io::Result<Turn> {
        let next = match self.place.after(&self.open)? {
            After::Same => return Ok(Turn::Same),
            After::Nothing => return Ok(Turn::Rotated),
            After::Rotated(next) => next,
            After::Log(next, name) if complete(name.as_deref()) => next,
            After::Log(..) => return Ok(Turn::Rotated),
        };
        self.open = next;
        self.lines.next_file();
        Ok(Turn::Next)
    }
}
