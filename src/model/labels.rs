//! Lists of class names, characters and tokens: facts about data sets and dictionaries, one entry a line.

/// The lists, by the name of their file in `engines/labels/`.
const LISTS: [(&str, &str); 10] = [
    ("ade20k150", include_str!("../../engines/labels/ade20k150.txt")),
    ("cityscapes19", include_str!("../../engines/labels/cityscapes19.txt")),
    ("coco80", include_str!("../../engines/labels/coco80.txt")),
    ("doc_orientation", include_str!("../../engines/labels/doc_orientation.txt")),
    ("imagenet1k", include_str!("../../engines/labels/imagenet1k.txt")),
    ("layout_17cls", include_str!("../../engines/labels/layout_17cls.txt")),
    ("layout_3cls", include_str!("../../engines/labels/layout_3cls.txt")),
    ("layout_publaynet5", include_str!("../../engines/labels/layout_publaynet5.txt")),
    ("ppocr_keys_v1", include_str!("../../engines/labels/ppocr_keys_v1.txt")),
    ("table_structure", include_str!("../../engines/labels/table_structure.txt")),
];

/// The entries of the list called `name`, in class order.
pub(super) fn list(name: &str) -> Option<Vec<String>> {
    // By line feeds only: a dictionary may hold other characters that end lines elsewhere.
    let (_, text) = LISTS.iter().find(|(known, _)| *known == name)?;
    Some(text.strip_suffix('\n').unwrap_or(text).split('\n').map(str::to_owned).collect())
}

/// Entries of a file of lines `id name`, as PaddleClas keeps them, in the order of their ids. `None` when a line has no
/// id, an id comes twice, or one is missing between 0 and the greatest.
pub(super) fn from_id_map(text: &str) -> Option<Vec<String>> {
    let mut entries = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (id, name) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        entries.push((id.parse::<usize>().ok()?, name.to_owned()));
    }
    entries.sort();
    let whole = entries.iter().enumerate().all(|(at, (id, _))| at == *id);
    whole.then(|| entries.into_iter().map(|(_, name)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_the_length_of_their_data_set() {
        for (name, length) in [
            ("ade20k150", 150),
            ("cityscapes19", 19),
            ("coco80", 80),
            ("doc_orientation", 4),
            ("imagenet1k", 1000),
            ("layout_17cls", 17),
            ("layout_3cls", 3),
            ("layout_publaynet5", 5),
            ("ppocr_keys_v1", 6623),
            ("table_structure", 48),
        ] {
            let entries = list(name).unwrap();
            assert_eq!(entries.len(), length, "{name}");
            assert!(entries.iter().all(|entry| !entry.is_empty()), "{name}");
        }
        assert_eq!(list("ppocr_keys_v1").unwrap().concat().chars().count(), 6623, "one character a line");
        assert!(list("table_structure").unwrap().contains(&" rowspan=\"2\"".to_owned()), "spaces are part of a token");
        assert_eq!(list("none"), None);
    }

    #[test]
    fn id_maps() {
        assert_eq!(from_id_map("0 tench, Tinca tinca\n1 goldfish\n\n").unwrap(), ["tench, Tinca tinca", "goldfish"]);
        assert_eq!(from_id_map("1 b\r\n0 a\r\n2\n").unwrap(), ["a", "b", ""]);
        for bad in ["a b", "0 a\n0 b", "0 a\n2 b", "1 a"] {
            assert_eq!(from_id_map(bad), None, "{bad}");
        }
    }
}
