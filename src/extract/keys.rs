//! The keys whose values are asked for.

use crate::error::{Error, Result};

/// Keys in the order given, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys(Vec<String>);

impl Keys {
    /// Keys from lists, each split at commas, ASCII and full-width, as the reference splits its one text; members of a list in JSON
    /// are taken whole. White space around a key, and
    /// control characters of white space in it, are removed.
    ///
    /// # Errors
    /// [`Error::Config`] when none is left.
    pub fn parse<S: AsRef<str>>(lists: &[S]) -> Result<Self> {
        let mut keys: Vec<String> = Vec::new();
        for key in lists.iter().flat_map(|list| names(list.as_ref())) {
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

    /// These keys, as they are.
    pub(super) fn of(names: &[String]) -> Self {
        Self(names.to_vec())
    }

    /// The keys.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

fn names(list: &str) -> Vec<String> {
    let split = |_| without_brackets(list).split([',', '，']).map(|key| without_quotes(key.trim()).to_owned()).collect();
    serde_json::from_str(list.trim()).unwrap_or_else(split)
}

/// What stands in a list as Python and JSON write it; PaddleX's function takes such a list.
fn without_brackets(list: &str) -> &str {
    let is_list = |inner: &&str| inner.trim_start().starts_with(['\'', '"']) || !inner.contains(['[', ']']);
    list.trim().strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).filter(is_list).unwrap_or(list)
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
        let brackets = Keys::parse(&["['金额[元]', '日期']"]).unwrap();
        assert_eq!(brackets.as_slice(), ["金额[元]", "日期"]);
        let listed = Keys::parse(&["['TOTAL', \"Till\"]", "it's"]).unwrap();
        assert_eq!(listed.as_slice(), ["TOTAL", "Till", "it's"]);
        let whole = Keys::parse(&[r#"["Smith, John", "[b]"]"#, "[金额(元)],[日期]"]).unwrap();
        assert_eq!(whole.as_slice(), ["Smith, John", "[b]", "[金额(元)]", "[日期]"]);
        assert!(Keys::parse(&["，\t,", " "]).unwrap_err().to_string().contains("--keys"));
    }
}
