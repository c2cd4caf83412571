//! Which language model answers: PaddleX's `llm_name` and `llm_params`, widened to any endpoint that speaks OpenAI's protocol.

use super::address::has_wrong_port;
use super::secret::{KeySource, Secret};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// Environment variable of the key, where the settings name no other place.
pub const KEY_VARIABLE: &str = "HPINFER_LLM_API_KEY";
/// In the place of an embedding model: long texts stay text.
const NONE: &str = "none";
/// The reference's models by name, and what the services call them now.
const ERNIE: [(&str, &str); 4] =
    [("ernie-3.5", "ernie-3.5-8k"), ("ernie-4.0", "ernie-4.0-8k"), ("ernie-lite", "ernie-lite-8k"), ("ernie-speed", "ernie-speed-8k")];
/// No wait is longer: a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Embedding model of the services for ERNIE.
const ERNIE_EMBEDDING: &str = "embedding-v1";

/// A language model.
#[derive(Clone, Debug, PartialEq)]
pub struct LlmSettings {
    /// Its name at the endpoint; the reference's short ERNIE names are known.
    pub llm_name: String,
    /// Where and how it is asked.
    pub params: LlmParams,
    /// Only a model on this very machine is asked.
    pub offline: bool,
}

impl Default for LlmSettings {
    fn default() -> Self {
        Self { llm_name: "ernie-3.5".into(), params: LlmParams::default(), offline: false }
    }
}

/// Services whose address is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiType {
    /// Baidu AI Studio.
    AiStudio,
    /// Baidu Qianfan.
    Qianfan,
    /// Whatever stands behind `base_url`.
    OpenAi,
}

impl ApiType {
    /// The address of the service, where there is one.
    pub fn base_url(self) -> Option<&'static str> {
        match self {
            Self::AiStudio => Some("https://aistudio.baidu.com/llm/lmapi/v3"),
            Self::Qianfan => Some("https://qianfan.baidubce.com/v2"),
            Self::OpenAi => None,
        }
    }

    /// The service at this address.
    pub fn at(url: &str) -> Option<Self> {
        [Self::AiStudio, Self::Qianfan].into_iter().find(|service| service.base_url() == Some(url.trim_end_matches('/')))
    }
}

/// `llm_params` of a pipeline file. `api_type`, `access_token`, `ak`, `sk` and `max_retries` are the reference's keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlmParams {
    /// The service.
    pub api_type: Option<ApiType>,
    /// Address up to what `/chat/completions` follows; wins over that of the service.
    pub base_url: Option<String>,
    /// The key.
    pub api_key: Option<Secret>,
    /// The same, by the name it has at AI Studio.
    pub access_token: Option<Secret>,
    /// Environment variable that holds the key.
    pub api_key_env: Option<String>,
    /// File that holds the key.
    pub api_key_file: Option<PathBuf>,
    /// Half of a key of Qianfan's first interface, which this program does not speak.
    pub ak: Option<Secret>,
    /// The other half.
    pub sk: Option<Secret>,
    /// Model that embeds long texts; `none` leaves them text.
    pub embedding_model: Option<String>,
    /// Randomness of answers [default: 0.001, the reference's]. Negative: left to the endpoint, for models that refuse to be told.
    pub temperature: Option<f64>,
    /// Longest time of one request in seconds [default: 120].
    pub timeout: Option<f64>,
    /// Requests after the first that failed for a reason that may pass [default: 3].
    pub max_retries: Option<u32>,
    /// Least time between requests in seconds [default: 0]; who asks too fast is told to wait, and waits.
    pub request_interval: Option<f64>,
}

impl LlmSettings {
    /// Whether long texts are embedded.
    pub(super) fn embeds(&self) -> bool {
        self.params.embedding_model.as_deref().map_or(self.is_at_service(), |name| name != NONE)
    }

    /// Whether the model is asked at one of the services for ERNIE.
    fn is_at_service(&self) -> bool {
        match self.params.base_url.as_deref() {
            Some(url) => ApiType::at(url.trim()).is_some(),
            None => self.params.api_type.is_some_and(|api| api != ApiType::OpenAi),
        }
    }

    /// Address up to what `/chat/completions` follows, without a slash at its end.
    pub(super) fn base_url(&self) -> Result<String> {
        let known = self.params.api_type.and_then(ApiType::base_url);
        let url = self.params.base_url.as_deref().or(known).ok_or_else(|| {
            let reason = "no endpoint is named; give --llm-base-url (of any service that speaks OpenAI's protocol), or base_url or api_type (aistudio, qianfan) under llm_params of the pipeline file";
            Error::config("--llm-base-url", reason)
        })?;
        let url = url.trim().trim_end_matches('/').trim_end_matches("/chat/completions");
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let reason = match rest {
            Some(rest) if rest.contains('@') => "has a user name or password in it; put the key where keys belong",
            Some(rest) if has_wrong_port(rest) => "has a port that is no number from 1 to 65535",
            Some(rest) if rest.contains(['?', '#']) => "has a query; give the address up to what /chat/completions follows",
            Some(rest) if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()) => return Ok(url.to_owned()),
            _ => "is no address; it begins with http:// or https:// and often ends in /v1",
        };
        Err(Error::config("--llm-base-url", format!("what is given {reason}")))
    }

    /// Name of the model that answers, as the endpoint knows it.
    pub(super) fn chat_model(&self) -> &str {
        let known = ERNIE.iter().find(|(name, _)| *name == self.llm_name).filter(|_| self.is_at_service());
        known.map_or(&self.llm_name, |(_, name)| name)
    }

    /// Name of the model that embeds.
    pub(super) fn embedding_model(&self) -> Result<&str> {
        match self.params.embedding_model.as_deref() {
            Some(name) => Ok(name),
            None if self.is_at_service() => Ok(ERNIE_EMBEDDING),
            None => Err(Error::config(
                "--embedding-model",
                "a store of embedded chunks is searched by the model of the endpoint that made it; name it",
            )),
        }
    }

    /// The key; an endpoint of one's own may do without.
    pub(super) fn key(&self) -> Result<Option<Secret>> {
        let params = &self.params;
        let given = params.api_key.clone().or_else(|| params.access_token.clone()).map(KeySource::Given);
        let named = params.api_key_file.clone().map(KeySource::File).or_else(|| params.api_key_env.clone().map(KeySource::Variable));
        let ambient = || std::env::var_os(KEY_VARIABLE).filter(|key| !key.is_empty()).map(|_| KeySource::Variable(KEY_VARIABLE.into()));
        match named.or(given).or_else(ambient) {
            Some(source) => source.read().map(Some),
            None if self.is_at_service() => {
                let old = if params.ak.is_some() || params.sk.is_some() {
                    "`ak` and `sk` are of Qianfan's first interface, which this program does not speak; "
                } else {
                    ""
                };
                Err(Error::config(
                    "llm_params",
                    format!("{old}no key; put one for the service into {KEY_VARIABLE}, or into a file named with --llm-key-file"),
                ))
            }
            None => Ok(None),
        }
    }

    /// Longest time of one request.
    pub(super) fn timeout(&self) -> Result<Duration> {
        seconds("timeout", self.params.timeout, 120.0).and_then(|time| match time.is_zero() {
            true => Err(Error::config("timeout", "no time at all; give seconds")),
            false => Ok(time),
        })
    }

    /// Least time between requests.
    pub(super) fn interval(&self) -> Result<Duration> {
        seconds("request_interval", self.params.request_interval, 0.0)
    }
}

impl LlmParams {
    /// Takes the key from `source`, and from nowhere else.
    pub fn set_key(&mut self, source: KeySource) {
        (self.api_key, self.access_token, self.api_key_env, self.api_key_file) = (None, None, None, None);
        match source {
            KeySource::Given(secret) => self.api_key = Some(secret),
            KeySource::Variable(name) => self.api_key_env = Some(name),
            KeySource::File(path) => self.api_key_file = Some(path),
        }
    }

    /// Asks at `url` from now on. A key that was named for another host is dropped with whatever says where it is; whether one was.
    pub fn set_base_url(&mut self, url: String) -> bool {
        let before = self.base_url.replace(url.clone()).or_else(|| self.api_type.and_then(ApiType::base_url).map(str::to_owned));
        let has_key = self.api_key.is_some() || self.access_token.is_some() || self.api_key_env.is_some() || self.api_key_file.is_some();
        let is_dropped = has_key && before.is_some_and(|before| host(&before) != host(&url));
        if is_dropped {
            (self.api_key, self.access_token, self.api_key_env, self.api_key_file) = (None, None, None, None);
        }
        is_dropped
    }
}

/// An address up to its path: encrypted or not, the host and its port.
fn host(url: &str) -> String {
    url.trim().splitn(4, '/').take(3).collect::<Vec<_>>().join("/").to_ascii_lowercase()
}

fn seconds(name: &str, given: Option<f64>, default: f64) -> Result<Duration> {
    let value = given.unwrap_or(default);
    let time = Duration::try_from_secs_f64(value).ok().filter(|time| *time <= LONGEST);
    time.ok_or_else(|| Error::config(name, format!("{value} is no time in seconds; give one of up to a week ({})", LONGEST.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(yaml: &str) -> LlmSettings {
        LlmSettings { params: serde_saphyr::from_str(yaml).unwrap(), ..LlmSettings::default() }
    }

    #[test]
    fn names_of_the_reference_are_mapped_at_its_services_only() {
        let service = settings("api_type: qianfan");
        assert_eq!(service.base_url().unwrap(), "https://qianfan.baidubce.com/v2");
        assert_eq!((service.chat_model(), service.embedding_model().unwrap()), ("ernie-3.5-8k", "embedding-v1"));
        let by_address = settings("base_url: 'https://qianfan.baidubce.com/v2/'");
        assert_eq!((by_address.chat_model(), by_address.embedding_model().unwrap()), ("ernie-3.5-8k", "embedding-v1"));
        let own = settings("{api_type: qianfan, base_url: 'http://127.0.0.1:1/v1/chat/completions'}");
        assert_eq!((own.base_url().unwrap().as_str(), own.chat_model()), ("http://127.0.0.1:1/v1", "ernie-3.5"));
        assert!(own.embedding_model().unwrap_err().to_string().contains("--embedding-model"));
    }

    #[test]
    fn a_key_stays_with_the_host_it_was_named_for() {
        for (url, is_dropped) in [
            ("https://aistudio.baidu.com/other", false),
            ("http://aistudio.baidu.com/llm/lmapi/v3", true),
            ("https://aistudio.baidu.com:8443/v3", true),
            ("https://elsewhere.example/aistudio.baidu.com", true),
        ] {
            let mut moved = settings("{api_type: aistudio, access_token: hidden-t}");
            assert_eq!(moved.params.set_base_url(url.into()), is_dropped, "{url}");
            assert_eq!(moved.key().unwrap().is_none_or(|key| key.expose() != "hidden-t"), is_dropped, "{url}");
        }
        let mut nowhere = settings("api_key: hidden-t");
        assert!(!nowhere.params.set_base_url("https://host/v1".into()), "it was meant for what is named later");
    }

    #[test]
    fn addresses_that_are_none_are_refused_without_being_shown() {
        for bad in ["", "ftp://a", "https://", "https://user:word@host/v1", "https://host/v1?key=word", "https://a b"] {
            let message = settings(&format!("base_url: '{bad}'")).base_url().unwrap_err().to_string();
            assert!(message.contains("--llm-base-url") && !message.contains("word@") && !message.contains("key=word"), "{message}");
        }
    }

    #[test]
    fn times_beyond_a_week_are_refused() {
        for bad in ["1e19", "604801", "-1", ".nan"] {
            let message = settings(&format!("timeout: {bad}")).timeout().unwrap_err().to_string();
            assert!(message.contains("a week"), "{message}");
        }
    }

    #[test]
    fn old_keys_are_named_and_not_shown() {
        let old = settings("{api_type: qianfan, ak: hidden-a, sk: hidden-b}");
        let message = old.key().unwrap_err().to_string();
        assert!(message.contains("first interface") && !message.contains("hidden"), "{message}");
        assert!(!format!("{old:?}").contains("hidden"));
        let mut with = settings("{api_type: aistudio, access_token: hidden-t}");
        assert_eq!(with.key().unwrap().unwrap().expose(), "hidden-t");
        with.params.set_key(KeySource::Variable("HPINFER_NO_SUCH_KEY".into()));
        assert!(with.key().is_err(), "what is named last is the only place");
    }
}
