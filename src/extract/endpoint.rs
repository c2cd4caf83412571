//! An endpoint that speaks OpenAI's protocol: questions to a model (`/chat/completions`) and texts as vectors (`/embeddings`).

use super::address::is_this_machine;
use super::retry::{Retries, retry_after};
use super::secret::Secret;
use super::settings::LlmSettings;
use crate::cache::USER_AGENT;
use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use ureq::config::ConfigBuilder;
use ureq::http::{Response, header};
use ureq::typestate::AgentScope;
use ureq::{Agent, Body};

/// Longest wait for a connection, name resolution included.
const CONNECT: Duration = Duration::from_secs(10);
/// No answer is longer, in bytes.
const MOST_BYTES: u64 = 32 << 20;
/// Characters of an endpoint's own message that are passed on.
const MESSAGE: usize = 300;
/// The reference's.
const TEMPERATURE: f64 = 0.001;

/// A language model that can be asked. Keeps connections open.
pub struct Endpoint {
    agent: Agent,
    base_url: String,
    key: Option<Secret>,
    settings: LlmSettings,
    retries: Retries,
    interval: Duration,
    /// When the last request was sent.
    last: Mutex<Option<Instant>>,
}

/// Why an attempt failed.
enum Fault {
    /// The next one may fare better; the endpoint asks for this wait.
    Passing(String, Option<Duration>),
    /// No attempt will: the reason, and what to do.
    Lasting(String, String),
}

/// What a model says.
pub(super) struct Said {
    pub text: String,
    /// It ended at the longest answer that the endpoint gives.
    pub is_cut: bool,
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Content,
}

/// Text, or parts of which some are text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Nothing(()),
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

#[derive(Deserialize)]
struct Embeddings {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    index: Option<usize>,
    embedding: Vec<f32>,
}

impl Endpoint {
    /// Reads the settings and the key; nothing is sent.
    ///
    /// # Errors
    /// [`Error::Config`] when no endpoint is named, or a setting makes no sense; [`Error::Io`] when the key cannot be read.
    pub fn open(settings: &LlmSettings) -> Result<Self> {
        let (base_url, key) = (settings.base_url()?, settings.key()?);
        let is_near = is_this_machine(&base_url);
        if settings.offline && !is_near {
            return Err(Error::config(
                "--offline",
                format!("{base_url} is not on this machine; leave --offline out, or name an endpoint that is"),
            ));
        }
        if key.is_some() && base_url.starts_with("http://") && !is_near {
            tracing::warn!("{base_url} is not encrypted: the key can be read on the way; give an address with https:// if there is one");
        }
        let config = agent(is_near).timeout_resolve(Some(CONNECT)).timeout_connect(Some(CONNECT));
        let config = config.timeout_global(Some(settings.timeout()?)).build();
        let most = settings.params.max_retries.unwrap_or(Retries::default().most);
        let (settings, interval) = (settings.clone(), settings.interval()?);
        Ok(Self {
            agent: config.into(),
            base_url,
            key,
            settings,
            retries: Retries { most, ..Retries::default() },
            interval,
            last: Mutex::new(None),
        })
    }

    /// The same endpoint, with other waits between attempts.
    #[must_use]
    pub fn with_retries(self, retries: Retries) -> Self {
        Self { retries, ..self }
    }

    /// The answer to `prompt`.
    ///
    /// # Errors
    /// [`Error::Endpoint`] when there is none after all attempts.
    pub fn ask(&self, prompt: &str) -> Result<String> {
        self.say(prompt).map(|said| said.text)
    }

    /// The same, with whether all of it is there.
    pub(super) fn say(&self, prompt: &str) -> Result<Said> {
        let model = self.settings.chat_model();
        let mut request = json!({"model": model, "messages": [{"role": "user", "content": prompt}], "stream": false});
        let temperature = self.settings.params.temperature.unwrap_or(TEMPERATURE);
        if temperature >= 0.0 {
            request["temperature"] = temperature.into();
        }
        let answer: Answer = self.post("/chat/completions", model, &request)?;
        let choice = answer.choices.into_iter().next().ok_or_else(|| self.odd(model, "holds no choice"))?;
        let is_cut = choice.finish_reason.as_deref() == Some("length");
        if is_cut {
            tracing::warn!("{}: the answer of {model} was cut off at its longest", self.base_url);
        }
        let text = match choice.message.content {
            Content::Nothing(()) if is_cut => {
                let next = "the model thought until its answer was at its longest; let the endpoint give longer ones";
                return Err(self.failed(model, "the answer was cut off before its text began".into(), next.into()));
            }
            Content::Nothing(()) => return Err(self.odd(model, "holds no text: its content is null")),
            Content::Text(text) => text,
            Content::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
        };
        Ok(Said { text, is_cut })
    }

    /// Name of the model that embeds.
    ///
    /// # Errors
    /// [`Error::Config`] when none is known.
    pub fn embedding_model(&self) -> Result<&str> {
        self.settings.embedding_model()
    }

    /// A vector for each of `texts`, in their order, all of one length.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); also [`Error::Config`] when no embedding model is named.
    pub fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let model = self.embedding_model()?;
        let mut found: Embeddings = self.post("/embeddings", model, &json!({"model": model, "input": texts}))?;
        // A server that has one number for all has them in their order.
        let is_numbered = found.data.iter().any(|item| item.index != found.data[0].index);
        if is_numbered && found.data.iter().all(|item| item.index.is_some()) {
            found.data.sort_by_key(|item| item.index);
            if found.data.windows(2).any(|pair| pair[0].index.and_then(|index| index.checked_add(1)) != pair[1].index) {
                return Err(self.odd(model, "does not number its vectors one by one"));
            }
        }
        let vectors: Vec<Vec<f32>> = found.data.into_iter().map(|item| item.embedding).collect();
        let length = vectors.first().map_or(0, Vec::len);
        let is_sound = |vector: &Vec<f32>| vector.len() == length && length > 0 && vector.iter().all(|v| v.is_finite());
        if vectors.len() != texts.len() || !vectors.iter().all(is_sound) {
            return Err(self.odd(model, &format!("does not hold one vector for each of {} texts, all of one length", texts.len())));
        }
        Ok(vectors)
    }

    /// Sends a request until it is answered, or not worth sending again.
    fn post<T: for<'de> Deserialize<'de>>(&self, path: &str, model: &str, request: &Value) -> Result<T> {
        let body = serde_json::to_vec(request).map_err(|e| Error::internal("request to a language model", e.to_string()))?;
        let mut attempt = 0;
        let text = loop {
            self.pace();
            let (reason, asked) = match self.attempt(path, &body) {
                Ok(text) => break text,
                Err(Fault::Lasting(reason, next_step)) => return Err(self.failed(model, reason, next_step)),
                Err(Fault::Passing(reason, asked)) => (reason, asked),
            };
            let Some(wait) = self.retries.wait(attempt, asked) else {
                let tried = match asked.filter(|asked| *asked > self.retries.longest_wait) {
                    Some(asked) => format!("it asks to be left alone for {} s", asked.as_secs()),
                    None => format!("attempts: {}", attempt + 1),
                };
                return Err(self.failed(
                    model,
                    format!("{reason} ({tried})"),
                    "try again later, or raise max_retries or timeout under llm_params (--llm-retries, --llm-timeout)".into(),
                ));
            };
            tracing::warn!("{}: {reason}; trying again in {:.1} s", self.base_url, wait.as_secs_f64());
            std::thread::sleep(wait);
            attempt += 1;
        };
        let text = unmarked(&text);
        let value: Value = serde_json::from_slice(text).map_err(|e| {
            let shown = self.shown(&String::from_utf8_lossy(text));
            let (reason, next) = match text.trim_ascii_start().first() {
                Some(b'{' | b'[') if std::str::from_utf8(text).is_err() => {
                    (format!("is not UTF-8 text: `{shown}`"), "have the service, or what stands before it, answer in UTF-8")
                }
                Some(b'{' | b'[') if e.is_eof() => {
                    let next = "have the service, or what stands before it, send all of it; a limit such as max_tokens may be too low";
                    (format!("ends early, after {} bytes", text.len()), next)
                }
                _ => (
                    format!("is not JSON but `{shown}`"),
                    "check the base URL: it is that of an interface, not of a web page, and often ends in /v1",
                ),
            };
            self.failed(model, format!("the answer {reason}"), next.into())
        })?;
        let says_nothing = [Value::Null, false.into(), "".into(), json!({})];
        let holds = |list: &str| value[list].as_array().is_some_and(|list| !list.is_empty());
        if ["error", "error_msg"].iter().filter_map(|name| value.get(name)).any(|error| !says_nothing.contains(error))
            && !holds("choices")
            && !holds("data")
        {
            let next = "it is the service's own error; check the name of the model and the request's limits there";
            return Err(self.failed(model, format!("it answers with an error: {}", self.shown(&words(text))), next.into()));
        }
        // The answer's own words may be long, or hold what was asked: only what is missing is said.
        T::deserialize(&value).map_err(|e| self.odd(model, &format!("is not of the protocol ({})", self.shown(&e.to_string()))))
    }

    fn attempt(&self, path: &str, body: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut request = self.agent.post(format!("{}{path}", self.base_url)).header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.expose()));
        }
        let mut response = request.send(body).map_err(fault)?;
        let asked = retry_after(response.headers(), SystemTime::now());
        let status = response.status().as_u16();
        let read = response.body_mut().with_config().limit(MOST_BYTES).read_to_vec();
        match status {
            200..=299 => read.map_err(fault),
            408 | 429 | 500..=599 => Err(Fault::Passing(self.refusal(&response, read.ok()), asked)),
            _ => Err(Fault::Lasting(self.refusal(&response, read.ok()), self.next_step(status))),
        }
    }

    /// What a status says, with the endpoint's own words. Those of a refused key are left out: some hold parts of it.
    fn refusal(&self, response: &Response<Body>, body: Option<Vec<u8>>) -> String {
        let status = response.status();
        let mut said = format!("it answers with status {}", status.as_u16());
        if status.is_redirection() {
            let place = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("elsewhere");
            said += &format!(", which points to {}", self.shown(place));
        }
        if ![401, 403].contains(&status.as_u16())
            && let Some(words) = body.map(|body| words(&body)).filter(|words| !words.is_empty())
        {
            said += &format!(": {}", self.shown(&words));
        }
        said
    }

    fn next_step(&self, status: u16) -> String {
        match status {
            401 | 403 if self.key.is_some() => "the key is not taken; give one that is good for this endpoint and model".into(),
            401 | 403 => format!("it wants a key; put it into {}, or into a file named with --llm-key-file", super::KEY_VARIABLE),
            300..=399 => "give that address as --llm-base-url, if you trust it with your key".into(),
            404 | 405 => "check the base URL (it often ends in /v1) and the name of the model (--llm-name, --embedding-model)".into(),
            _ => "check the name of the model and llm_params; a negative temperature leaves the temperature out".into(),
        }
    }

    /// Words from outside, fit to be shown: short, on one line, without the key.
    fn shown(&self, text: &str) -> String {
        let text = self.key.as_ref().map_or_else(|| text.to_owned(), |key| key.hide_in(text));
        let line: String = text.chars().take(MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect();
        line.trim().to_owned()
    }

    fn odd(&self, model: &str, what: &str) -> Error {
        self.failed(model, format!("the answer {what}"), "check that the endpoint speaks OpenAI's protocol and has this model".into())
    }

    fn failed(&self, model: &str, reason: String, next_step: String) -> Error {
        Error::endpoint(format!("{} ({model})", self.base_url), reason, next_step)
    }

    /// Waits until the interval since the last request is over.
    fn pace(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = *last {
            std::thread::sleep(self.interval.saturating_sub(last.elapsed()));
        }
        *last = Some(Instant::now());
    }
}

/// Why nothing, or not all of it, came back.
fn fault(error: ureq::Error) -> Fault {
    use ureq::Error;
    let reason = match error {
        Error::Timeout(ureq::Timeout::Global) => "no answer in time".into(),
        Error::Timeout(phase) => format!("no answer in time (waiting to {phase})"),
        Error::HostNotFound => return Fault::Lasting("no such host".into(), "check the base URL and the network".into()),
        Error::BodyExceedsLimit(most) => {
            return Fault::Lasting(format!("an answer of more than {most} bytes"), "check the base URL".into());
        }
        Error::BadUri(_) | Error::Http(_) => return Fault::Lasting("it is no address".into(), "check the base URL".into()),
        Error::ConnectionFailed => "no connection".into(),
        Error::Io(e) if e.kind() == std::io::ErrorKind::InvalidData && e.to_string().contains("certificate") => {
            let next = "check the base URL; certificates of public authorities are taken only, not those of one's own";
            return Fault::Lasting(format!("its certificate is not good ({e})"), next.into());
        }
        Error::Io(e) if e.to_string().contains("InvalidContentType") => {
            return Fault::Lasting("it does not answer encrypted".into(), "check the base URL: it may begin with http://".into());
        }
        Error::Io(e) => format!("the connection broke ({e})"),
        Error::Protocol(e) => format!("what came is cut off, or no HTTP ({e})"),
        other => return Fault::Lasting(other.to_string(), "check the base URL and the network".into()),
    };
    Fault::Passing(reason, None)
}

/// What follows the mark of UTF-8, which some services begin with.
fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The message in a refusal: the usual fields of JSON, else the beginning of the text.
fn words(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(unmarked(body)).ok();
    let fields = ["/error/message", "/error_msg", "/message", "/detail", "/error"];
    let message = json.and_then(|json| fields.iter().find_map(|field| json.pointer(field)?.as_str().map(str::to_owned)));
    message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

/// Settings of what sends data of the user's: to the one address that is named. `is_near` is whether that is this very machine.
pub(crate) fn agent(is_near: bool) -> ConfigBuilder<AgentScope> {
    let mut config = Agent::config_builder();
    if is_near {
        config = config.proxy(None); // whose own machine is another one
    }
    config.http_status_as_error(false).max_redirects(0).max_redirects_will_error(false).user_agent(USER_AGENT)
}
