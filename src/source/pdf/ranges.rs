//! Choices of pages: `1-3,7,12-`.

use crate::error::{Error, Result};
use std::str::FromStr;

/// Pages by number, counted from 1 as readers of a document count; the default is all. Order and repetition do not
/// matter: pages come in the order of the document, once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRanges(Vec<(u32, u32)>);

impl PageRanges {
    /// Indices from 0 of the chosen pages of a document that has `count`.
    pub fn indices(&self, count: u32) -> impl Iterator<Item = u32> + use<> {
        let ranges = if self.0.is_empty() { vec![(1, u32::MAX)] } else { self.0.clone() };
        (0..count).filter(move |index| ranges.iter().any(|&(first, last)| (first..=last).contains(&(index + 1))))
    }

    /// What of them a document of `count` pages does not have. An open end asks for no more than there is.
    pub fn beyond(&self, count: u32) -> Option<Self> {
        let beyond = |&(first, last): &(u32, u32)| {
            let is_asked_for = if last == u32::MAX { first > count } else { last > count };
            is_asked_for.then(|| (first.max(count.saturating_add(1)), last))
        };
        let beyond: Vec<_> = self.0.iter().filter_map(beyond).collect();
        (!beyond.is_empty()).then_some(Self(beyond))
    }
}

impl FromStr for PageRanges {
    type Err = Error;

    /// Reads numbers and ranges separated by commas; a range may lack its end.
    fn from_str(text: &str) -> Result<Self> {
        let refused = || Error::config("--pages", format!("{text:?} is no list of pages such as 1-3,7 or 5-"));
        let number = |digits: &str| digits.trim().parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(refused);
        let range = |part: &str| match part.split_once('-') {
            None => number(part).map(|n| (n, n)),
            Some((first, "")) => number(first).map(|n| (n, u32::MAX)),
            Some((first, last)) => Ok((number(first)?, number(last)?)),
        };
        let ranges = text.split(',').map(range).collect::<Result<Vec<_>>>()?;
        if ranges.iter().any(|(first, last)| first > last) {
            return Err(Error::config("--pages", format!("{text:?} has a range that ends before it starts")));
        }
        Ok(Self(ranges))
    }
}

impl std::fmt::Display for PageRanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (first, last)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match *last {
                last if last == *first => write!(f, "{comma}{first}")?,
                u32::MAX => write!(f, "{comma}{first}-")?,
                last => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_once_and_in_order() {
        for (text, count, expected) in [
            ("1-3,7", 9, vec![0, 1, 2, 6]),
            ("7, 1-3 ,2", 5, vec![0, 1, 2]),
            ("4-", 6, vec![3, 4, 5]),
            ("2", 1, vec![]),
            ("1-4294967295", 2, vec![0, 1]),
        ] {
            let ranges: PageRanges = text.parse().unwrap();
            assert_eq!(ranges.indices(count).collect::<Vec<_>>(), expected, "{text}");
        }
        assert_eq!(PageRanges::default().indices(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!("3-,1-2,5".parse::<PageRanges>().unwrap().to_string(), "3-,1-2,5");
    }

    #[test]
    fn pages_that_a_document_lacks_are_known() {
        for (text, expected) in [("1-5", None), ("3-", None), ("1,9", Some("9")), ("4-7,12-", Some("6-7,12-")), ("1-4294967295", None)] {
            let ranges: PageRanges = text.parse().unwrap();
            assert_eq!(ranges.beyond(5).map(|beyond| beyond.to_string()).as_deref(), expected, "{text}");
        }
        assert_eq!(PageRanges::default().beyond(5), None);
    }

    #[test]
    fn what_is_no_choice_is_refused() {
        for text in ["", "0", "1,,2", "a", "3-1", "-2", "1-2-3", "1.5", "4294967296", "-"] {
            let error = text.parse::<PageRanges>().unwrap_err().to_string();
            assert!(error.starts_with("--pages: "), "{error}");
        }
    }
}
