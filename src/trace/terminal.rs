//! The terminal that progress bars are drawn on. It may be closed meanwhile: what is not drawn then is lost, where it would be a panic on a
//! terminal of `indicatif`'s own.

use indicatif::TermLike;
use rustix::termios::tcgetwinsize;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Whether a terminal moves its cursor, by what `TERM` is for it.
pub(super) fn moves_cursor(term: Option<&OsStr>) -> bool {
    term.is_some_and(|term| term != "dumb")
}

/// Standard error, with what is to be drawn at once.
#[derive(Debug, Default)]
pub(super) struct Terminal(Mutex<String>);

impl Terminal {
    fn put(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    /// Moves by `count` places; `way` as in ECMA-48.
    fn go(&self, count: usize, way: char) -> io::Result<()> {
        if count == 0 { Ok(()) } else { self.put(&format!("\x1b[{count}{way}")) }
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        tcgetwinsize(io::stderr()).ok().map(|size| size.ws_col).filter(|columns| *columns > 0).unwrap_or(80)
    }

    fn height(&self) -> u16 {
        tcgetwinsize(io::stderr()).ok().map(|size| size.ws_row).filter(|rows| *rows > 0).unwrap_or(24)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.go(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.go(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.go(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.go(n, 'D')
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.put(&format!("{s}\n"))
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.put(s)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.put("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = io::stderr().write_all(drawn.as_bytes());
        Ok(())
    }
}

#[test]
fn bars_need_a_cursor_that_moves() {
    for (term, expected) in [(None, false), (Some("dumb"), false), (Some("xterm"), true), (Some("linux"), true)] {
        assert_eq!(moves_cursor(term.map(OsStr::new)), expected, "{term:?}");
    }
}
