//! The questions, and their order: the tables as HTML, then as text, then the text of the pages for what is left.

use super::prompts::About;
use super::{Extractor, Keys, Vector, answer};
use crate::error::Result;
use crate::result::page::VisualInfo;
use crate::result::render::html;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Characters of HTML up to which tables share a question. A longer table is asked about as text.
const TABLES_A_QUESTION: usize = 2000;

/// Keys of answers that are named where none of them was asked for.
const OTHERS_SHOWN: usize = 8;

/// What is said when keys are missing and an answer was not whole.
const CUT_OFF: &str =
    "an answer of the language model was cut off at its longest; let the endpoint give longer ones, or ask for fewer keys at once";

/// What the caller adds to questions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guidance {
    /// In the place of the task of questions about text.
    pub task_description: String,
    /// Rules for the answer.
    pub rules: String,
    /// Examples.
    pub few_shot: String,
    /// Return what was asked.
    pub save_prompt: bool,
}

/// The text that is asked about when tables do not hold all keys.
#[derive(Clone, Copy, Debug)]
pub enum PageText<'a> {
    /// All text of the visual step.
    All,
    /// What is nearest to the keys in what `build_vector` made.
    Vector(&'a Vector),
    /// This, from `retrieval`.
    Retrieved(&'a str),
}

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SentPrompts {
    /// About the text of the pages.
    pub ocr_prompt: String,
    /// About tables as text.
    pub table_prompt: Vec<String>,
    /// About tables as HTML.
    pub html_prompt: Vec<String>,
}

/// Values by key.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChatResult {
    /// The values. A model that found none for a key says so in its own word, "未知" in the words that ship; `error` alone when no
    /// answer held any.
    pub chat_res: Map<String, Value>,
    /// What was asked, if the caller wants to know; else an empty text, as in the reference.
    #[serde(serialize_with = "or_empty")]
    pub prompt: Option<SentPrompts>,
    /// Why keys are missing: the fault that ended the questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// No answer held anything; `chat_res` says so.
    #[serde(skip)]
    is_empty: bool,
}

impl ChatResult {
    /// Whether every question was answered, and some answer held a value.
    pub fn is_whole(&self) -> bool {
        self.error.is_none() && !self.is_empty
    }
}

fn or_empty<S: Serializer>(prompt: &Option<SentPrompts>, serializer: S) -> Result<S::Ok, S::Error> {
    match prompt {
        Some(prompt) => prompt.serialize(serializer),
        None => serializer.serialize_str(""),
    }
}

/// Questions under way.
struct Session<'a> {
    extractor: &'a Extractor,
    guidance: &'a Guidance,
    /// Keys not found yet.
    left: Vec<String>,
    found: Map<String, Value>,
    /// Keys of answers that were not asked for.
    others: Vec<String>,
    sent: SentPrompts,
    /// An answer was cut off.
    is_cut: bool,
}

pub(super) fn chat(extractor: &Extractor, keys: &Keys, info: &VisualInfo, text: PageText<'_>, guidance: &Guidance) -> Result<ChatResult> {
    let left = keys.as_slice().to_vec();
    let mut session =
        Session { extractor, guidance, left, found: Map::new(), others: Vec::new(), sent: SentPrompts::default(), is_cut: false };
    let fault = session.ask_all(info, text).err();
    let Session { mut found, others, sent, is_cut, .. } = session;
    let is_lacking = keys.as_slice().iter().any(|key| found.get(key).is_none_or(answer::is_unknown));
    let error = match fault {
        Some(fault) if found.is_empty() => return Err(fault),
        Some(fault) => Some(fault.to_string()),
        None => (is_cut && is_lacking).then(|| CUT_OFF.to_owned()),
    };
    let is_empty = found.is_empty();
    if is_empty {
        let others: Vec<String> = others.iter().take(OTHERS_SHOWN).map(|key| format!("`{key}`")).collect();
        let held = if others.is_empty() { String::new() } else { format!("; it held {}", others.join(", ")) };
        found.insert("error".into(), format!("no answer of the language model held a value for any key{held}").into());
    }
    // In the order of the keys, whatever question found them.
    let order = keys.as_slice().iter().filter_map(|key| found.remove_entry(key)).collect::<Vec<_>>();
    let chat_res = order.into_iter().chain(found).collect();
    Ok(ChatResult { chat_res, prompt: guidance.save_prompt.then_some(sent), error, is_empty })
}

impl Session<'_> {
    fn ask_all(&mut self, info: &VisualInfo, text: PageText<'_>) -> Result<()> {
        for tables in groups(&info.table_html) {
            if self.left.is_empty() {
                return Ok(());
            }
            let html = tables.concat();
            let mut has_found = false;
            if html.chars().count() < TABLES_A_QUESTION {
                let question = self.question(About::Tables, &html);
                self.sent.html_prompt.push(question.clone());
                has_found = self.ask(&question)?;
            }
            if !has_found {
                let texts: Vec<String> = tables.iter().map(|table| html::cell_texts(table).join(" ")).collect();
                let question = self.question(About::Text, &texts.join("\n"));
                self.sent.table_prompt.push(question.clone());
                self.ask(&question)?;
            }
        }
        if self.left.is_empty() {
            return Ok(());
        }
        let is_given = matches!(text, PageText::Retrieved(_));
        if !is_given && info.table_html.is_empty() && info.ocr_text.iter().all(Map::is_empty) {
            tracing::warn!("no text was found on the pages: what the language model answers is not from them");
        }
        let text = match text {
            PageText::All => Vector::plain(&info.ocr_text).vector,
            PageText::Retrieved(text) => text.to_owned(),
            PageText::Vector(vector) => self.extractor.retrieve(&Keys::of(&self.left), vector)?.retrieval,
        };
        let question = self.question(About::Text, &text);
        self.sent.ocr_prompt.clone_from(&question);
        // The last word: keys without a value keep what the model says of them.
        let answered = self.answer(&question)?;
        self.found.extend(answered);
        Ok(())
    }

    fn question(&self, about: About, text: &str) -> String {
        self.extractor.prompts.question(about, text, &self.left, self.guidance)
    }

    /// What the answer holds for keys that are left, under their names as the caller wrote them: in the answer itself, else in
    /// objects within it.
    fn answer(&mut self, question: &str) -> Result<Map<String, Value>> {
        let said = self.extractor.endpoint()?.say(question)?;
        self.is_cut |= said.is_cut;
        let values = answer::values(&said.text, said.is_cut);
        let alike = |key: &str| self.left.iter().find(|left| answer::plain(left) == answer::plain(key));
        let asked = |key: &str| self.left.iter().find(|left| *left == key).or_else(|| alike(key)).cloned();
        // Of several spellings of a key the right one counts, and a value before the word that there is none.
        let of_keys = |values: &Map<String, Value>| {
            let mut found = Map::new();
            for (key, value) in values {
                let Some(name) = asked(key) else { continue };
                let is_first = found.get(&name).is_none_or(answer::is_unknown);
                if is_first || (name == *key && !answer::is_unknown(value)) {
                    found.insert(name, value.clone());
                }
            }
            found
        };
        let mut found = of_keys(&values);
        if found.is_empty() {
            found = values.values().filter_map(Value::as_object).map(of_keys).reduce(answer::both).unwrap_or_default();
        }
        let unasked: Vec<String> = values.keys().filter(|key| asked(key).is_none() && !self.others.contains(key)).cloned().collect();
        self.others.extend(unasked);
        Ok(found)
    }

    /// Whether the answer holds the value of a key; found keys are asked for no more.
    fn ask(&mut self, question: &str) -> Result<bool> {
        let before = self.left.len();
        for (key, value) in self.answer(question)? {
            if let Some(at) = self.left.iter().position(|left| *left == key).filter(|_| !answer::is_unknown(&value)) {
                self.left.remove(at);
                self.found.insert(key, value);
            }
        }
        Ok(self.left.len() < before)
    }
}

/// Tables that share a question: neighbours while their HTML stays short. The reference loses the table that did not fit.
fn groups(tables: &[String]) -> Vec<&[String]> {
    let mut groups = Vec::new();
    let (mut start, mut total) = (0, 0);
    for (at, table) in tables.iter().enumerate() {
        let characters = table.chars().count();
        if at > start && total + characters >= TABLES_A_QUESTION {
            groups.push(&tables[start..at]);
            (start, total) = (at, 0);
        }
        total += characters;
    }
    if start < tables.len() {
        groups.push(&tables[start..]);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_share_questions_while_they_are_short() {
        let tables = [900, 900, 300, 2500, 10].map(|length| "x".repeat(length));
        let sizes: Vec<Vec<usize>> = groups(&tables).iter().map(|group| group.iter().map(String::len).collect()).collect();
        assert_eq!(sizes, [vec![900, 900], vec![300], vec![2500], vec![10]]);
        assert!(groups(&[]).is_empty());
        assert_eq!([999, 1000].map(|length| groups(&[1000, length].map(|length| "x".repeat(length))).len()), [1, 2], "below 2000 together");
    }
}
