//! Keys of endpoints: where they come from, and that they are shown nowhere.

use crate::error::{Error, Result};
use serde::Deserialize;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What stands in the place of a key in messages.
const HIDDEN: &str = "[key]";
/// No key is longer.
const MOST_BYTES: u64 = 64 << 10;

/// A key. It is shown neither by `Debug` nor in errors, and has no `Display`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// A key from where `place` says, without the white space around it.
    ///
    /// # Errors
    /// [`Error::Config`] when it is empty, or has characters that no header may carry.
    pub fn new(text: &str, place: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::config(place, "the key is empty"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::config(place, "the key has characters that no key has (spaces, line breaks, letters beyond ASCII)"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether it is `text`.
    pub fn is(&self, text: &str) -> bool {
        self.0 == text
    }

    /// `text` with the key blotted out.
    pub(super) fn hide_in(&self, text: &str) -> String {
        text.replace(&self.0, HIDDEN)
    }

    /// The key itself, for the header of a request.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Here.
    Given(Secret),
    /// In the environment variable of this name.
    Variable(String),
    /// In this file, which holds nothing else.
    File(PathBuf),
}

impl KeySource {
    /// The key.
    ///
    /// # Errors
    /// [`Error::Config`] when it is not there or is no key; [`Error::Io`] when its file cannot be read.
    pub fn read(&self) -> Result<Secret> {
        match self {
            Self::Given(secret) => Secret::new(&secret.0, "api_key"),
            Self::Variable(name) => match std::env::var(name) {
                Ok(text) => Secret::new(&text, name),
                Err(std::env::VarError::NotUnicode(_)) => Err(Error::config(name, "the key has characters that no key has")),
                Err(_) => Err(Error::config(name, "the variable is not set; put the key of the endpoint there")),
            },
            Self::File(path) => Secret::new(&text_of(path)?, &path.display().to_string()),
        }
    }
}

fn text_of(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text));
    read.map_err(Error::io("read", path))?;
    if text.len() as u64 > MOST_BYTES {
        let reason = format!("more than {MOST_BYTES} bytes are no key; the file must hold the key alone");
        return Err(Error::config(path.display().to_string(), reason));
    }
    Ok(text.trim_start_matches('\u{feff}').to_owned()) // some editors begin with it
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "  sk-hidden\n").unwrap();
        let source = KeySource::File(path.clone());
        let key = source.read().unwrap();
        assert_eq!(key.expose(), "sk-hidden");
        let given = KeySource::Given(key.clone());
        assert!(!format!("{source:?} {given:?} {key:?}").contains("sk-hidden"));
        assert_eq!(key.hide_in("bad key sk-hidden!"), "bad key [key]!");
        std::fs::write(&path, "\u{feff}sk-hidden\r\n").unwrap();
        assert_eq!(source.read().unwrap().expose(), "sk-hidden");
        for bad in ["", " \n", "two words", "a\u{e9}", "a\r\nb"] {
            std::fs::write(&path, bad).unwrap();
            let message = source.read().unwrap_err().to_string();
            assert!(message.contains("key") && (bad.trim().is_empty() || !message.contains(bad)), "{message}");
        }
        let endless = KeySource::File("/dev/zero".into()).read().unwrap_err().to_string();
        assert!(endless.contains("the file must hold the key alone"), "{endless}");
        assert!(KeySource::Variable("HPINFER_NO_SUCH_KEY".into()).read().unwrap_err().to_string().contains("HPINFER_NO_SUCH_KEY"));
    }
}
