//! The text of pages, ready for questions: as it is, or as a store of chunks with the vector of each.

use super::endpoint::Endpoint;
use super::keys::Keys;
use super::prompts::Prompts;
use super::split::{CHUNKS, chunks};
use crate::error::{Error, Result};
use crate::result::page::VisualInfo;
use crate::result::render::html;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a text begins with that is a store, as in the reference. What follows is of this program: the reference puts a Python
/// object there, which nobody but its own process should unpack.
const PREFIX: &str = "PADDLEX_VECTOR_STORE";
/// Of the form of a store.
const VERSION: u32 = 1;
/// Characters of HTML from which on a table's text is added to that of the pages.
const LONG_TABLE: usize = 3000;
/// Texts embedded by one request, the most that the reference's service takes.
const TEXTS_A_REQUEST: usize = 16;
/// Chunks taken for each key.
const CHUNKS_A_KEY: usize = 2;

/// What `build_vector` makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vector {
    /// The text, as JSON, or a store.
    pub vector: String,
}

/// What `retrieval` finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrieval {
    /// Text to look for keys in.
    pub retrieval: String,
}

/// Chunks and their vectors.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Store {
    head: Head,
    /// A row for each text.
    vectors: Vec<f32>,
}

/// What is known of the vectors, in JSON on the first line of a store; the rows follow, little-endian.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    version: u32,
    model: String,
    texts: Vec<String>,
}

/// The texts of pages, and at their end those of long tables.
pub(super) fn with_long_tables(info: &VisualInfo) -> Vec<Map<String, Value>> {
    let long = info.table_html.iter().filter(|html| html.chars().count() > LONG_TABLE);
    let as_page = |html: &String| Map::from_iter([("table".to_owned(), html::cell_texts(html).join(" ").into())]);
    info.ocr_text.iter().cloned().chain(long.map(as_page)).collect()
}

/// Characters of the texts of `pages`.
pub(super) fn characters(pages: &[Map<String, Value>]) -> usize {
    pages.iter().flat_map(Map::values).filter_map(Value::as_str).map(|text| text.chars().count()).sum()
}

/// The store of `pages`.
pub(super) fn build(pages: &[Map<String, Value>], prompts: &Prompts, endpoint: &Endpoint) -> Result<Vector> {
    let items = pages.iter().enumerate().flat_map(|(page, texts)| texts.iter().map(move |(name, text)| (page + 1, name, text)));
    let items = items.map(|(page, name, text)| prompts.item(page, name, text.as_str().unwrap_or_default())).collect::<Vec<_>>();
    let texts = chunks(&items.join("\t"), CHUNKS);
    let mut vectors: Vec<Vec<f32>> = Vec::new();
    for texts in texts.chunks(TEXTS_A_REQUEST) {
        vectors.extend(endpoint.embed(texts)?);
    }
    let mut lengths = vectors.iter().map(Vec::len);
    if let Some((first, other)) = lengths.next().and_then(|first| Some((first, lengths.find(|length| *length != first)?))) {
        let reason = format!("the endpoint gives vectors of {first} numbers and of {other}: more than one model stands behind the name");
        return Err(Error::config("--embedding-model", reason + "; name one that is always the same"));
    }
    let vectors = vectors.concat();
    let head = Head { version: VERSION, model: endpoint.embedding_model()?.to_owned(), texts };
    Store { head, vectors }.encode()
}

impl Vector {
    /// The text as it is.
    pub(super) fn plain(pages: &[Map<String, Value>]) -> Self {
        Self { vector: serde_json::Value::from(pages.iter().cloned().map(Value::Object).collect::<Vec<_>>()).to_string() }
    }

    /// The store, if it is one.
    pub(super) fn store(&self) -> Result<Option<Store>> {
        let Some(coded) = self.vector.strip_prefix(PREFIX) else { return Ok(None) };
        let decoded = BASE64.decode(coded).ok().and_then(|bytes| Store::decode(&bytes));
        let foreign = "the store was not made by this version of hpinfer; make it again with `hpinfer extract build-vector`";
        decoded.map(Some).ok_or_else(|| Error::config("vector", foreign))
    }
}

impl Store {
    fn encode(&self) -> Result<Vector> {
        let mut bytes = serde_json::to_vec(&self.head).map_err(|e| Error::internal("vector store", e.to_string()))?;
        bytes.push(b'\n');
        bytes.extend(self.vectors.iter().flat_map(|v| v.to_le_bytes()));
        Ok(Vector { vector: format!("{PREFIX}{}", BASE64.encode(bytes)) })
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
        let (rows, rest) = bytes[end + 1..].as_chunks::<4>();
        let vectors: Vec<f32> = rows.iter().map(|row| f32::from_le_bytes(*row)).collect();
        let fits = match head.texts.len() {
            0 => vectors.is_empty(),
            texts => !vectors.is_empty() && vectors.len().is_multiple_of(texts),
        };
        let is_sound = head.version == VERSION && rest.is_empty() && fits && vectors.iter().all(|v| v.is_finite());
        is_sound.then_some(Self { head, vectors })
    }

    /// The chunks nearest to each key, by Euclidean distance as in the reference; each once, in the order found.
    pub(super) fn nearest(&self, keys: &Keys, prompts: &Prompts, endpoint: &Endpoint) -> Result<Retrieval> {
        let model = endpoint.embedding_model()?;
        if model != self.head.model {
            let reason =
                format!("the store is of the embedding model {}, not of {model}; name that one, or make the store again", self.head.model);
            return Err(Error::config("--embedding-model", reason));
        }
        let queries: Vec<String> = keys.as_slice().iter().map(|key| prompts.query(key)).collect();
        let mut found: Vec<&str> = Vec::new();
        for queries in queries.chunks(TEXTS_A_REQUEST) {
            for query in endpoint.embed(queries)? {
                for index in self.rank(&query)?.into_iter().take(CHUNKS_A_KEY) {
                    let text = self.head.texts[index].as_str();
                    if !found.contains(&text) {
                        found.push(text);
                    }
                }
            }
        }
        Ok(Retrieval { retrieval: found.join(" ") })
    }

    /// Numbers of the texts, the nearest to `query` first.
    fn rank(&self, query: &[f32]) -> Result<Vec<usize>> {
        let length = self.vectors.len().checked_div(self.head.texts.len()).unwrap_or(0);
        if length == 0 {
            return Ok(Vec::new());
        }
        if query.len() != length {
            let reason = format!(
                "vectors of {length} numbers in the store and of {} now: the model behind its name has changed; make the store again",
                query.len()
            );
            return Err(Error::config("vector", reason));
        }
        let distance = |row: &[f32]| row.iter().zip(query).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        let mut ranked: Vec<(f64, usize)> = self.vectors.chunks_exact(length).map(distance).zip(0..).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(ranked.into_iter().map(|(_, index)| index).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        let texts = ["a", "b", "c"].map(String::from).to_vec();
        Store { head: Head { version: VERSION, model: "m".into(), texts }, vectors: vec![0.0, 1.0, 5.0, 5.0, 0.0, 3.0] }
    }

    #[test]
    fn a_store_survives_its_text_form() {
        let coded = store().encode().unwrap();
        assert!(coded.vector.starts_with(PREFIX));
        assert_eq!(coded.store().unwrap(), Some(store()));
        assert_eq!(Vector { vector: "[]".into() }.store().unwrap(), None);
    }

    #[test]
    fn what_is_no_store_of_ours_is_said_so() {
        let coded = |bytes: &[u8]| Vector { vector: format!("{PREFIX}{}", BASE64.encode(bytes)) };
        let head = br#"{"version":1,"model":"m","texts":["a","b"]}"#;
        for bad in [
            &b"\x80\x04 pickled"[..],
            head,
            &[&head[..], b"\n"].concat(),
            &[&head[..], b"\n12345678901"].concat(),
            &[&head[..], b"\n\0\0\xc0\x7f\0\0\0\0"].concat(),
        ] {
            assert!(coded(bad).store().unwrap_err().to_string().contains("build-vector"));
        }
        assert!(Vector { vector: format!("{PREFIX}???") }.store().is_err());
    }

    #[test]
    fn the_nearest_come_first() {
        assert_eq!(store().rank(&[0.0, 2.2]).unwrap(), [2, 0, 1]);
        assert!(store().rank(&[1.0]).unwrap_err().to_string().contains("changed"));
    }

    #[test]
    fn only_long_tables_are_added() {
        let long = format!("<table><tr><td>{}</td><td colspan=\"2\">x &amp; y</td></tr></table>", "z".repeat(LONG_TABLE));
        let page = Map::from_iter([("text".to_owned(), "甲乙".into())]);
        let info = VisualInfo { ocr_text: vec![page], table_html: vec!["<table></table>".into(), long], table_text: vec![] };
        let pages = with_long_tables(&info);
        assert_eq!((pages.len(), characters(&pages)), (2, 2 + LONG_TABLE + 4));
        assert!(pages[1]["table"].as_str().unwrap().ends_with("z x&y"));
    }
}
