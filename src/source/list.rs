//! Inputs listed one a line, read as they arrive.

use super::STANDARD_INPUT;
use super::item::InputItem;
use std::ffi::OsString;
use std::io::{BufRead, Read};
use std::os::unix::ffi::OsStringExt;

/// Longest line, in bytes; paths end at 4096, addresses rarely pass a few thousand.
const LONGEST_LINE: usize = 1 << 16;

/// How pictures and documents begin that have no zero byte in their first line.
const STARTS: [&[u8]; 2] = [b"\x89PNG", b"%PDF-"];

/// Iterator over the lines: an input each, or an item that says what is wrong with the line or the list.
pub(super) struct Lines {
    reader: Option<Box<dyn BufRead + Send>>,
    number: u64,
    yielded: bool,
}

impl Lines {
    pub(super) fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self { reader: Some(reader), number: 0, yielded: false }
    }

    /// The next line that is not blank, without its end; `None` at the end of the list.
    fn line(&mut self) -> Option<Result<OsString, InputItem>> {
        loop {
            let reader = self.reader.as_mut()?;
            let mut line = Vec::new();
            self.number += 1;
            let read = reader.by_ref().take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut line);
            if let Err(error) = read {
                self.reader = None;
                return Some(Err(InputItem::refused(STANDARD_INPUT, format!("standard input cannot be read: {error}"))));
            }
            if line.len() > LONGEST_LINE && !line.ends_with(b"\n") {
                let skipped = reader.skip_until(b'\n');
                if !matches!(skipped, Ok(bytes) if bytes > 0) {
                    self.reader = None;
                }
                let reason = format!("line {} of standard input is longer than {LONGEST_LINE} bytes, not a list of paths?", self.number);
                return Some(Err(InputItem::refused(STANDARD_INPUT, reason)));
            }
            if line.is_empty() {
                self.reader = None;
                return None;
            }
            let mut text = line.strip_suffix(b"\n").unwrap_or(&line);
            text = text.strip_suffix(b"\r").unwrap_or(text);
            if self.number == 1 {
                text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            }
            if self.number == 1 && (text.contains(&0) || STARTS.iter().any(|start| text.starts_with(start))) {
                self.reader = None;
                let reason = "standard input holds no list of paths, one a line; a picture or document is named by its path, not piped in";
                return Some(Err(InputItem::refused(STANDARD_INPUT, reason)));
            }
            if !text.trim_ascii().is_empty() {
                return Some(Ok(OsString::from_vec(text.to_vec())));
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<OsString, InputItem>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.line();
        if line.is_none() && !self.yielded {
            self.yielded = true;
            return Some(Err(InputItem::refused(STANDARD_INPUT, "standard input names no picture")));
        }
        self.yielded = true;
        line
    }
}
