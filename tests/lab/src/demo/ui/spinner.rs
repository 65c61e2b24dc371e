//! The line at the bottom of a terminal that shows that something is going on.

use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Out, Style};

pub(super) const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
pub(super) const CLEAR_LINE: &str = "\r\x1b[2K";
const FRAME_TIME: Duration = Duration::from_millis(90);

/// Drawn by a thread of its own; the line is cleared when this is dropped.
#[derive(Debug)]
pub(super) struct Spinner {
    /// New texts; the thread ends when this is gone.
    texts: Option<Sender<String>>,
    thread: Option<JoinHandle<()>>,
    out: Out,
}

impl Spinner {
    /// Starts drawing in a terminal of `width` columns.
    pub(super) fn start(text: &str, (style, width): (Style, usize), out: Out) -> Spinner {
        let (texts, receiver) = channel();
        let (first, sink) = (text.to_owned(), out.clone());
        let thread = std::thread::spawn(move || draw(first, &receiver, (style, width), &sink));
        Spinner {
            texts: Some(texts),
            thread: Some(thread),
            out,
        }
    }

    /// Replaces the text.
    pub(super) fn say(&self, text: &str) {
        if let Some(texts) = &self.texts {
            // The thread lives as long as the sender.
            let _ = texts.send(text.to_owned());
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.texts = None;
        if let Some(thread) = self.thread.take() {
            // It only draws; if it panicked there is nothing to clean.
            let _ = thread.join();
        }
        self.out.write(CLEAR_LINE);
    }
}

fn draw(mut text: String, texts: &Receiver<String>, (style, width): (Style, usize), out: &Out) {
    let Style { cyan, dim, reset, .. } = style;
    let start = Instant::now();
    for frame in FRAMES.iter().cycle() {
        let elapsed = start.elapsed().as_secs();
        let short = shorten(&text, width.saturating_sub(14));
        out.write(&format!(
            "{CLEAR_LINE}  {cyan}{frame}{reset} {short} {dim}{elapsed} s{reset}"
        ));
        match texts.recv_timeout(FRAME_TIME) {
            Ok(new) => text = new,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The first line, cut to the width so that drawing over it works.
pub(super) fn shorten(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Width of the terminal; 80 where it cannot be known.
pub(super) fn columns() -> usize {
    let size = Command::new("stty").arg("size").stdin(Stdio::inherit()).output();
    let text = size
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    text.split_whitespace()
        .nth(1)
        .and_then(|columns| columns.parse().ok())
        .filter(|n| *n > 20)
        .unwrap_or(80)
}
