//! What a language model answers, as values by key.

use serde_json::{Map, Value};

/// Values that say that there is none, as models write them when asked in Chinese or English.
const UNKNOWN: [&str; 8] = ["未知", "未找到关键信息", "大模型调用失败", "None", "null", "unknown", "Unknown", ""];

/// The values in `answer`. JSON is read wherever it stands: alone, between code fences, within a sentence; objects of a list, or
/// of several fences, count as one, and a value that is a list becomes its first element. In what is no JSON, `"key": "value"` pairs
/// are looked for, as the reference does; it also removes brackets and the word json from the values, which is not done here. The
/// last value of what is cut off counts only when it is whole. The thoughts of a model that shows them are passed over.
pub(super) fn values(answer: &str, is_cut: bool) -> Map<String, Value> {
    let whole = object(answer);
    if answer.trim_start().starts_with("<think>") && !answer.contains("</think>") {
        return Map::new();
    }
    let answer = answer.rsplit("</think>").next().unwrap_or(answer).trim();
    let fenced = answer.split("```").skip(1).step_by(2).map(|inside| without_word(inside.trim_start()));
    let found = whole.or_else(|| object(answer)).or_else(|| fenced.filter_map(object).reduce(both)).or_else(|| within(answer));
    // Line breaks within strings are no JSON.
    let found = found.or_else(|| within(&answer.replace(['\n', '\r'], ""))).unwrap_or_else(|| pairs(answer, is_cut));
    found.into_iter().filter_map(|(key, value)| Some((key, first(value)?))).collect()
}

/// Whether a value says that there is none.
pub(super) fn is_unknown(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| UNKNOWN.contains(&text.trim()))
}

/// A key as it is compared: models write blanks, capitals and a closing colon as they like.
pub(super) fn plain(key: &str) -> String {
    let letters: String = key.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
    letters.trim_end_matches([':', '：']).to_owned()
}

/// Both as one; a later value counts, unless it says that there is none.
pub(super) fn both(mut first: Map<String, Value>, second: Map<String, Value>) -> Map<String, Value> {
    for (key, value) in second {
        if !is_unknown(&value) || first.get(&key).is_none_or(is_unknown) {
            first.insert(key, value);
        }
    }
    first
}

/// An object, or those of a list as one.
fn object(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(text.trim()).ok()? {
        Value::Object(object) => Some(object),
        Value::Array(list) => {
            list.into_iter().filter_map(|item| if let Value::Object(object) = item { Some(object) } else { None }).reduce(both)
        }
        _ => None,
    }
}

/// What follows the word json.
fn without_word(text: &str) -> &str {
    text.get(..4).filter(|word| word.eq_ignore_ascii_case("json")).map_or(text, |word| &text[word.len()..])
}

/// The objects in a text as one; none when something that begins as an object is not whole.
fn within(text: &str) -> Option<Map<String, Value>> {
    let (mut rest, mut found) = (text, None);
    while let Some(start) = rest.find('{') {
        rest = &rest[start..];
        let mut objects = serde_json::Deserializer::from_str(rest).into_iter::<Map<String, Value>>();
        if let Some(Ok(object)) = objects.next() {
            rest = &rest[objects.byte_offset()..];
            found = Some(both(found.unwrap_or_default(), object));
        } else if rest[1..].trim_start().starts_with('"') {
            return None;
        } else {
            rest = &rest[1..];
        }
    }
    found
}

/// The value itself, or the first of a list; of an empty list nothing.
fn first(value: Value) -> Option<Value> {
    match value {
        Value::Array(list) => list.into_iter().next(),
        value => Some(value),
    }
}

/// All `"key": "value"` in a text that is no JSON.
fn pairs(text: &str, is_cut: bool) -> Map<String, Value> {
    let flat: String = text.chars().filter(|c| !matches!(c, '\n' | '\r' | '{' | '}')).collect();
    let mut found = Map::new();
    // Where to look for the next colon, and where what no pair has used begins.
    let (mut at, mut unused) = (0, 0);
    while let Some(colon) = flat[at..].find(':').map(|place| at + place) {
        at = colon + 1;
        let Some(before) = flat[unused..colon].trim_end().strip_suffix('"') else { continue };
        let (Some((_, key)), Some(value)) = (before.rsplit_once('"'), flat[at..].trim_start().strip_prefix('"')) else { continue };
        if is_cut && end_of_string(value) == value.len() {
            break;
        }
        let (start, value) = (flat.len() - value.len(), &value[..end_of_string(value)]);
        let unescaped = serde_json::from_str(&format!("\"{value}\"")).unwrap_or_else(|_| value.to_owned());
        found.insert(key.trim().to_owned(), unescaped.into());
        at = (start + value.len() + 1).min(flat.len());
        unused = at;
    }
    found
}

/// Where the first quotation mark of `text` is that no backslash stands before.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    let ends = |c: char| {
        let end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        end
    };
    text.find(ends).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_found_wherever_it_stands() {
        let expected = json!({"甲方": "某公司", "日期": "2024 [草案] json"});
        let plain = expected.to_string();
        for answer in [
            plain.clone(),
            format!("```json\n{plain}\n```"),
            format!("```\n{plain}\n```"),
            format!("json\n{plain}"),
            format!("这是结果：{plain} 完毕"),
            format!("<think>{{\"甲方\": \"?\"}}</think>\n{plain}"),
            format!("[{plain}]"),
            format!("thoughts</think>{plain}"),
        ] {
            assert_eq!(Value::Object(values(&answer, false)), expected, "{answer}");
        }
    }

    #[test]
    fn objects_of_lists_and_fences_are_one() {
        let expected = json!({"a": "x", "b": "y"});
        for answer in [
            r#"[{"a": "x"}, {"b": "y"}]"#,
            r#"[{"a": "x", "b": ""}, {"a": "未知", "b": "y"}]"#,
            "```json\n[{\"a\": \"x\"}, {\"b\": \"y\"}]\n```",
            "First:\n```json\n{\"a\": \"x\"}\n```\nthen:\n```json\n{\"b\": \"y\"}\n```",
        ] {
            assert_eq!(Value::Object(values(answer, false)), expected, "{answer}");
        }
    }

    #[test]
    fn whole_objects_are_read_beside_other_braces() {
        for answer in [
            "{\"a\": 1, \"b\": 2}\n(see {page 2})",
            "Given fields {a, b}: {\"a\": 1, \"b\": 2}",
            "{\"a\": 1}\n{\"b\": 2}",
            "```JSON\n{\"a\": 1}\n```\nand\n```JSON\n{\"b\": 2}\n```",
        ] {
            assert_eq!(Value::Object(values(answer, false)), json!({"a": 1, "b": 2}), "{answer}");
        }
        assert_eq!(Value::Object(values("{\"a\": \"x\ny\", \"b\": 5}", false)), json!({"a": "xy", "b": 5}));
    }

    #[test]
    fn half_a_value_and_half_a_thought_hold_nothing() {
        assert_eq!(Value::Object(values("{\"a\": \"x\", \"b\": \"cut o", true)), json!({"a": "x"}));
        assert!(values("<think>maybe {\"a\": \"wrong\"} or not", false).is_empty());
    }

    #[test]
    fn a_list_is_its_first_element() {
        assert_eq!(Value::Object(values(r#"{"a": ["x", "y"], "b": [], "c": 7}"#, false)), json!({"a": "x", "c": 7}));
        assert_eq!(Value::Object(values(r#"{"a": "x", "b": "of </think> tags"}"#, false)), json!({"a": "x", "b": "of </think> tags"}));
    }

    #[test]
    fn pairs_are_found_in_broken_json() {
        let broken = "```json\n{\"a\": \"x\",\n    \"b\": \"y [1]\",\n \"c\": \"cut o";
        assert_eq!(Value::Object(values(broken, false)), json!({"a": "x", "b": "y [1]", "c": "cut o"}));
        assert_eq!(Value::Object(values(r#"note "q", "b": "y", "n": 3, "d": "z" }}"#, false)), json!({"b": "y", "d": "z"}));
        assert_eq!(
            Value::Object(values(r#"{"Tel: home": "1", "at": "b: c", "f":"",}"#, false)),
            json!({"Tel: home": "1", "at": "b: c", "f": ""})
        );
        let escaped = r#"{"a" : "a \"quoted\" word: \\", "b": "at 10:30",}"#;
        assert_eq!(Value::Object(values(escaped, false)), json!({"a": "a \"quoted\" word: \\", "b": "at 10:30"}));
    }

    #[test]
    fn nonsense_holds_nothing() {
        for answer in ["", "抱歉，我不能回答。", "```", "```json```", "{", "}{", "[]", "[1, 2]", "\":", "\": \"", "</think>"] {
            assert!(values(answer, false).is_empty(), "{answer}");
        }
        for value in [json!(null), json!("未知"), json!(" unknown "), json!("")] {
            assert!(is_unknown(&value), "{value}");
        }
        assert!(!is_unknown(&json!(0)) && !is_unknown(&json!("未知数")));
    }
}
