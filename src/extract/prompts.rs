//! The words of questions: data, shipped in `prompts.yaml` and replaceable from files as PaddleX's are.

use super::chat::Guidance;
use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::Path;

/// What ships.
const SHIPPED: &str = include_str!("prompts.yaml");

/// The words of questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    common: Task,
    table: Task,
    retrieval: RetrievalTask,
    /// In the place of task, rules and examples of every question.
    own: Option<OwnPrompt>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Task {
    description: String,
    rules: String,
    examples: String,
    question: String,
}

/// Words of questions in a pipeline file of PaddleX 3.x: its section `PromptEngneering`, spelt so.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskWords {
    #[serde(rename = "KIE_CommonText")]
    common: KieWords<TextTask>,
    #[serde(rename = "KIE_Table")]
    table: KieWords<TableTask>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct KieWords<T> {
    #[serde(rename = "module_name")]
    _module_name: Option<String>,
    #[serde(rename = "task_type")]
    _task_type: Option<T>,
    task_description: Option<String>,
    rules_str: Option<String>,
    output_format: Option<String>,
    few_shot_demo_text_content: Option<String>,
    few_shot_demo_key_value_list: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
enum TextTask {
    #[serde(rename = "text_kie_prompt_v1")]
    V1,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
enum TableTask {
    #[serde(rename = "table_kie_prompt_v1")]
    V1,
}

impl<T> KieWords<T> {
    /// These words before the question of `task`.
    fn before(&self, task: &Task) -> Task {
        let joined = |parts: [&Option<String>; 2]| parts.into_iter().flatten().map(String::as_str).collect::<String>();
        Task {
            description: joined([&self.task_description, &self.output_format]),
            rules: self.rules_str.clone().unwrap_or_default(),
            examples: joined([&self.few_shot_demo_text_content, &self.few_shot_demo_key_value_list]),
            question: task.question.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetrievalTask {
    item: String,
    query: String,
}

/// A `user_prompt_yaml` of PaddleX.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OwnPrompt {
    task_description: String,
    rules_str: String,
    few_shot_demo_str: String,
    few_shot_demo_key_value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kie_common_prompt: Section,
    kie_table_prompt: Section,
    kie_retrieval_prompt: Option<RetrievalTask>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    task_description: String,
    #[serde(default)]
    output_format: String,
    question: Option<String>,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Tables as HTML.
    Tables,
    /// Text.
    Text,
}

impl Prompts {
    /// The words that ship, replaced by those of a `task_prompt_yaml` and a `user_prompt_yaml` where given.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read; [`Error::Config`] when it is not of that form.
    pub fn open(task_file: Option<&Path>, user_file: Option<&Path>) -> Result<Self> {
        let shipped = Self::parse(SHIPPED, None, "prompts.yaml")?;
        let mut prompts = match task_file {
            None => shipped,
            Some(path) => Self::parse(&text(path)?, Some(&shipped), &path.display().to_string())?,
        };
        if let Some(path) = user_file {
            prompts.own = Some(read_yaml(&text(path)?, &path.display().to_string())?);
        }
        Ok(prompts)
    }

    /// With `words` in the place of task, rules and examples.
    #[must_use]
    pub fn saying(self, words: &TaskWords) -> Self {
        Self { common: words.common.before(&self.common), table: words.table.before(&self.table), ..self }
    }

    /// Reads a `task_prompt_yaml`; what it may leave out is as in `base`.
    fn parse(text: &str, base: Option<&Self>, place: &str) -> Result<Self> {
        let file: File = read_yaml(text, place)?;
        let lacking = |what: &str| Error::config(place, format!("`{what}` is missing"));
        let task = |section: Section, base: Option<&Task>, name: &str| {
            let question = section.question.or_else(|| base.map(|task| task.question.clone()));
            let question = question.ok_or_else(|| lacking(&format!("{name}.question")))?;
            for slot in ["{text}", "{keys}"] {
                if !question.contains(slot) {
                    return Err(Error::config(place, format!("{name}.question has no {slot}")));
                }
            }
            let description = section.task_description + &section.output_format;
            Ok(Task { description, rules: String::new(), examples: String::new(), question })
        };
        let retrieval = file.kie_retrieval_prompt.or_else(|| base.map(|base| base.retrieval.clone()));
        let retrieval = retrieval.ok_or_else(|| lacking("kie_retrieval_prompt"))?;
        for (name, template, slot) in [("item", &retrieval.item, "{text}"), ("query", &retrieval.query, "{key}")] {
            if !template.contains(slot) {
                return Err(Error::config(place, format!("kie_retrieval_prompt.{name} has no {slot}")));
            }
        }
        Ok(Self {
            common: task(file.kie_common_prompt, base.map(|base| &base.common), "kie_common_prompt")?,
            table: task(file.kie_table_prompt, base.map(|base| &base.table), "kie_table_prompt")?,
            retrieval,
            own: None,
        })
    }

    /// The question for `keys` about `text`. What it says of the task is, from the weakest to the strongest: these words, the
    /// caller's for text, those of a `user_prompt_yaml`.
    pub(super) fn question(&self, about: About, text: &str, keys: &[String], guidance: &Guidance) -> String {
        let task = match about {
            About::Tables => &self.table,
            About::Text => &self.common,
        };
        let head = match &self.own {
            Some(own) => {
                [&own.task_description, &own.rules_str, &own.few_shot_demo_str, &own.few_shot_demo_key_value].map(String::as_str).concat()
            }
            None => {
                let own = &guidance.task_description;
                let description = if about == About::Text && !own.is_empty() { own } else { &task.description };
                let rules = if guidance.rules.is_empty() { &task.rules } else { &guidance.rules };
                let examples = if guidance.few_shot.is_empty() { &task.examples } else { &guidance.few_shot };
                [description, rules, examples].map(String::as_str).concat()
            }
        };
        // A text from a picture cannot end its own fence.
        let text = text.replace("```", "'''");
        let keys = serde_json::Value::from(keys).to_string();
        head + &filled(&task.question, &[("{text}", &text), ("{keys}", &keys)])
    }

    /// A block of a page as it is embedded; `page` counts from 1.
    pub(super) fn item(&self, page: usize, name: &str, text: &str) -> String {
        filled(&self.retrieval.item, &[("{page}", &page.to_string()), ("{name}", name), ("{text}", text)])
    }

    /// What a chunk about `key` is near to.
    pub(super) fn query(&self, key: &str) -> String {
        filled(&self.retrieval.query, &[("{key}", key)])
    }
}

/// `template` with its slots filled; what fills one is not looked at for others.
fn filled(template: &str, slots: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((at, slot, value)) =
        slots.iter().filter_map(|(slot, value)| Some((rest.find(slot)?, slot, value))).min_by_key(|found| found.0)
    {
        out += &rest[..at];
        out += value;
        rest = &rest[at + slot.len()..];
    }
    out + rest
}

/// Errors are of one line.
fn read_yaml<T: for<'de> Deserialize<'de>>(text: &str, place: &str) -> Result<T> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| Error::config(place, e.to_string()))
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Error::io("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled_once() {
        assert_eq!(filled("{a}-{b}-{a}", &[("{a}", "{b}"), ("{b}", "x")]), "{b}-x-{b}");
    }

    #[test]
    fn what_ships_asks_for_json_with_the_keys_and_fences_the_text() {
        let prompts = Prompts::open(None, None).unwrap();
        let keys = ["甲方".to_owned(), "a\"b".to_owned()];
        for about in [About::Tables, About::Text] {
            let question = prompts.question(about, "one ``` {keys}", &keys, &Guidance::default());
            assert!(question.contains("JSON") && question.contains("未知"), "{question}");
            assert!(question.ends_with(r#"["甲方","a\"b"]"#) && question.contains("```one ''' {keys}```"), "{question}");
        }
    }

    #[test]
    fn files_and_callers_replace_the_words() {
        let folder = tempfile::tempdir().unwrap();
        let (task, user) = (folder.path().join("task.yaml"), folder.path().join("user.yaml"));
        let write = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
        write(
            &task,
            "kie_common_prompt: {task_description: T., output_format: F.}\nkie_table_prompt: {task_description: H., question: '{keys}|{text}'}\n",
        );
        write(&user, "task_description: U\nrules_str: R\nfew_shot_demo_str: S\nfew_shot_demo_key_value: V\n");
        let keys = ["k".to_owned()];
        let guidance = Guidance { task_description: "own.".into(), rules: "rule.".into(), few_shot: "shot.".into(), ..Guidance::default() };
        let prompts = Prompts::open(Some(&task), None).unwrap();
        assert_eq!(prompts.question(About::Tables, "t", &keys, &guidance), "H.rule.shot.[\"k\"]|t");
        assert!(prompts.question(About::Text, "t", &keys, &Guidance::default()).starts_with("T.F.\n"));
        assert!(prompts.question(About::Text, "t", &keys, &guidance).starts_with("own.rule.shot.\n"));
        let prompts = Prompts::open(Some(&task), Some(&user)).unwrap();
        assert_eq!(prompts.question(About::Tables, "t", &keys, &guidance), "URSV[\"k\"]|t");
        write(&task, "kie_common_prompt: {task_description: T., question: 'no slot'}\nkie_table_prompt: {task_description: H.}\n");
        let message = Prompts::open(Some(&task), None).unwrap_err().to_string();
        assert!(message.contains("task.yaml") && message.contains("{text}"), "{message}");
        write(&task, "kie_common_prompt: {task_description: T.}\ncolour: red\n");
        let message = Prompts::open(Some(&task), None).unwrap_err().to_string();
        assert!(message.contains("line 2, column 1") && message.contains("colour") && !message.contains('\n'), "{message}");
    }

    #[test]
    fn words_of_a_pipeline_file_replace_those_that_ship_and_yield_to_the_caller() {
        let yaml = "KIE_CommonText: {task_type: text_kie_prompt_v1, task_description: T., rules_str: R., output_format: F., few_shot_demo_text_content: , few_shot_demo_key_value_list: S.}\nKIE_Table: {task_description: H., output_format: J.}\n";
        let prompts = Prompts::open(None, None).unwrap().saying(&serde_saphyr::from_str(yaml).unwrap());
        let asked = |about, guidance: &Guidance| prompts.question(about, "t", &["k".to_owned()], guidance);
        assert!(asked(About::Text, &Guidance::default()).starts_with("T.F.R.S.\n"));
        assert!(asked(About::Tables, &Guidance::default()).starts_with("H.J.\n"));
        let guidance = Guidance { rules: "own.".into(), few_shot: "shot.".into(), ..Guidance::default() };
        assert!(asked(About::Text, &guidance).starts_with("T.F.own.shot.\n"));
    }
}
