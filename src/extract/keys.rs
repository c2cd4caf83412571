//! The keys whose values are asked for.

use crate::error::{Error, Result};

/// Keys in the order given, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys(Vec<String>);

impl Keys {
    /// Keys from lists, each split at commas, ASCII and full-width, as the reference splits its one text. White space around a key, and
    /// control characters of white space in it, are removed.
    ///
    /// # Errors
    /// [`Error::Config`] when none is left.
    pub fn parse<S: AsRef<str>>(lists: &[S]) -> Result<Self> {
        let mut keys: Vec<String> = Vec::new();
        for key in lists.iter().flat_map(|list| without_brackets(list.as_ref()).split([',', '，'])) {
            let key = without_quotes(key.trim());
            let key: String = key.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')).collect();
            let key = key.trim();
            if !key.is_empty() && !keys.iter().any(|known| known == key) {
                keys.push(key.to_owned());
            }
        }
        if keys.is_empty() {
            return Err(Error::config("--keys", "no key to look for; give names separated by commas"));
        }
        Ok(Self(keys))
    }

    /// The keys.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// What stands in a list as Python and JSON write it; PaddleX's function takes such a list.
fn without_brackets(list: &str) -> &str {
    list.trim().strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(list)
}

fn without_quotes(key: &str) -> &str {
    let quoted = |quote| key.strip_prefix(quote).and_then(|inner: &str| inner.strip_suffix(quote));
    quoted('\'').or_else(|| quoted('"')).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_split_at_both_commas_and_kept_once() {
        let keys = Keys::parse(&["甲方， 乙方,\n签订\t日期", "甲方,,total amount"]).unwrap();
        assert_eq!(keys.as_slice(), ["甲方", "乙方", "签订日期", "total amount"]);
        let listed = Keys::parse(&["['TOTAL', \"Till\"]", "it's"]).unwrap();
        assert_eq!(listed.as_slice(), ["TOTAL", "Till", "it's"]);
        assert!(Keys::parse(&["，\t,", " "]).unwrap_err().to_string().contains("--keys"));
    }
}
