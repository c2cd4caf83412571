//! Reading YAML with errors that say where.

use crate::error::{Error, Result};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;

/// Keys a reader has no use for, in a struct that accepts them.
pub(super) type Unknown = BTreeMap<String, IgnoredAny>;

/// Reads one document. Errors are [`Error::Config`] at `place:line:column`. The reader bounds nesting, aliases, nodes and
/// text, so that no document takes more memory than a multiple of its length.
pub(super) fn parse<T: DeserializeOwned>(text: &str, place: &str) -> Result<T> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| match e.location() {
        Some(at) => {
            // The reader's messages end in the position, which this program writes in front.
            let (line, column, message) = (at.line(), at.column(), said(&e));
            let message = message.split(" at line ").next().unwrap_or(&message);
            let message = match message.strip_prefix("budget breached: ") {
                Some(limit) => format!("more entries, aliases or text than such a document has ({limit})"),
                None => message.to_owned(),
            };
            Error::config(format!("{place}:{line}:{column}"), message)
        }
        None => Error::config(place, e.to_string()),
    })
}

/// The words of the reader without those for who programs with it.
pub fn said(error: &serde_saphyr::Error) -> String {
    let whole = ["invalid u64", "invalid u32", "invalid i32", "invalid usize"].map(|words| (words, "no whole number that can stand here"));
    let plain = [("; use Option<String>", ""), (", set DuplicateKeyPolicy in Options if acceptable", ""), ("a nonzero usize", "1 or more")];
    plain.iter().chain(&whole).fold(error.to_string(), |text, (words, instead)| text.replace(words, instead))
}

/// The error that `what`, read from `place`, is wrong for this reason.
pub(super) fn error_at<T>(place: &str, what: &Spanned<T>, reason: impl Into<String>) -> Error {
    match what.referenced {
        Location::UNKNOWN => Error::config(place, reason),
        at => Error::config(format!("{place}:{}:{}", at.line(), at.column()), reason),
    }
}
