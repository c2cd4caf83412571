//! Names a user may have meant.

/// Whether `typed` may be a slip for `known`: equal but for case and separators up to two edits, or a part of it.
pub(super) fn is_near(typed: &str, known: &str) -> bool {
    let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect::<Vec<_>>();
    let (typed, known) = (plain(typed), plain(known));
    let part = typed.len() >= 3 && known.windows(typed.len()).any(|window| window == typed);
    part || edits(&typed, &known) <= 2
}

/// Levenshtein distance.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near() {
        for (typed, known, near) in [
            ("pp-ocrv4_mobile_det", "PP-OCRv4_mobile_det", true),
            ("PP-OCRv4_mobile_dte", "PP-OCRv4_mobile_det", true),
            ("mobile_rec", "PP-OCRv4_mobile_rec", true),
            ("resnet50vd", "ResNet50_vd", true),
            ("ResNet18", "PP-OCRv4_mobile_det", false),
            ("", "UVDoc", false),
        ] {
            assert_eq!(is_near(typed, known), near, "{typed} {known}");
        }
    }

    #[test]
    fn distances() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        for (a, b, expected) in [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)]
        {
            assert_eq!(edits(&chars(a), &chars(b)), expected, "{a} {b}");
        }
    }
}
