//! Reading YAML with errors that say where.

use crate::error::{Error, Result};
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::BTreeMap;

/// Keys a reader has no use for, in a struct that accepts them.
pub(super) type Unknown = BTreeMap<String, IgnoredAny>;

/// Reads one document. Errors are [`Error::Config`] at `place:line:column`.
pub(super) fn parse<T: DeserializeOwned>(text: &str, place: &str) -> Result<T> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| match e.location() {
        Some(at) => {
            // The reader's messages end in the position, which this program writes in front.
            let (line, column, message) = (at.line(), at.column(), e.to_string());
            let message = message.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(&message);
            Error::config(format!("{place}:{line}:{column}"), message)
        }
        None => Error::config(place, e.to_string()),
    })
}
