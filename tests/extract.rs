//! Information extraction against an endpoint on this machine that speaks the protocol, faults included; and the key, which no
//! output may show.

use hpinfer::extract::{Endpoint, Extractor, Guidance, KeySource, Keys, LlmParams, LlmSettings, PageText, Prompts, Retries, Secret};
use hpinfer::result::page::VisualInfo;
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const KEY: &str = "sk-Hidden-0123456789";

/// What came to the endpoint.
#[derive(Clone, Debug)]
struct Request {
    path: String,
    head: String,
    body: Value,
}

/// An endpoint that gives one answer a connection, made from the request by `answer`; whole HTTP responses.
struct Stub {
    base_url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Stub {
    fn new(answer: impl Fn(usize, &Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let requests = seen.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(request) = receive(&stream) else { continue };
                let number = {
                    let mut requests = requests.lock().expect("a lock");
                    requests.push(request.clone());
                    requests.len() - 1
                };
                let bytes = answer(number, &request);
                if bytes.is_empty() {
                    silent.push(stream); // open, and never answered
                    continue;
                }
                let _ = (&stream).write_all(&bytes);
            }
        });
        Self { base_url, seen }
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("a lock").clone()
    }

    fn settings(&self) -> LlmSettings {
        let mut params =
            LlmParams { base_url: Some(self.base_url.clone()), embedding_model: Some("embedder".into()), ..LlmParams::default() };
        params.timeout = Some(0.4);
        params.set_key(KeySource::Given(Secret::new(KEY, "test").expect("a key")));
        LlmSettings { llm_name: "model".into(), params, offline: true }
    }

    fn endpoint(&self) -> Endpoint {
        let retries = Retries { most: 2, first_wait: Duration::from_millis(5), longest_wait: Duration::from_secs(2) };
        Endpoint::open(&self.settings()).expect("an endpoint").with_retries(retries)
    }

    fn extractor(&self) -> Extractor {
        Extractor::new(self.settings(), Prompts::open(None, None).expect("prompts"))
    }
}

fn receive(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let head: Vec<String> = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = head.first()?.split(' ').nth(1)?.to_owned();
    let field = |name: &str| head.iter().find_map(|line| line.to_lowercase().strip_prefix(name).map(|v| v.trim().to_owned()));
    let mut body = vec![0; field("content-length:")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, head: head.join("\n"), body: serde_json::from_slice(&body).ok()? })
}

fn http(status: &str, head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{head}\r\n{body}", body.len()).into_bytes()
}

fn ok(body: Value) -> Vec<u8> {
    http("200 OK", "Content-Type: application/json\r\n", &body.to_string())
}

fn says(text: &str) -> Vec<u8> {
    ok(
        json!({"id": "1", "object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}]}),
    )
}

/// A vector of three numbers for each text: how often it has each of these words.
fn embeds(request: &Request) -> Vec<u8> {
    let count = |text: &str, word: &str| text.matches(word).count() as f32;
    let vector = |text: &str| ["alpha", "beta", "gamma"].map(|word| count(text, word));
    let texts = request.body["input"].as_array().expect("texts").iter().filter_map(Value::as_str);
    // Not in order: the index says which is which.
    let data: Vec<Value> =
        texts.enumerate().map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)})).collect();
    ok(json!({"object": "list", "data": data.into_iter().rev().collect::<Vec<_>>()}))
}

fn page(texts: &[(&str, &str)]) -> Map<String, Value> {
    texts.iter().map(|(key, text)| ((*key).to_owned(), Value::from(*text))).collect()
}

fn keys(list: &str) -> Keys {
    Keys::parse(&[list]).expect("keys")
}

#[test]
fn a_question_is_sent_as_the_protocol_has_it() {
    let stub = Stub::new(|_, _| {
        ok(json!({"choices": [{"message": {"content": [{"type": "text", "text": "an "}, {"type": "text", "text": "answer"}]}}]}))
    });
    assert_eq!(stub.endpoint().ask("what?").expect("an answer"), "an answer");
    let request = &stub.seen()[0];
    assert_eq!(request.path, "/v1/chat/completions");
    assert_eq!(
        request.body,
        json!({"model": "model", "messages": [{"role": "user", "content": "what?"}], "stream": false, "temperature": 0.001})
    );
    assert!(request.head.contains(&format!("Bearer {KEY}")), "{}", request.head);
}

#[test]
fn an_answer_may_begin_with_the_mark_of_utf_8() {
    let stub = Stub::new(|_, _| {
        let answer = json!({"choices": [{"message": {"content": "so"}}]});
        http("200 OK", "", &format!("\u{feff}{answer}"))
    });
    assert_eq!(stub.endpoint().ask("?").expect("an answer"), "so");
}

#[test]
fn faults_that_pass_are_waited_out() {
    let stub = Stub::new(|number, _| match number {
        0 => http("429 Too Many Requests", "Retry-After: 0\r\n", "{}"),
        1 => http("500 Internal Server Error", "", "oh"),
        _ => says("at last"),
    });
    assert_eq!(stub.endpoint().ask("?").expect("an answer"), "at last");
    assert_eq!(stub.seen().len(), 3);
}

#[test]
fn a_negative_temperature_is_left_to_the_model() {
    let stub = Stub::new(|_, _| says("so"));
    let mut settings = stub.settings();
    for (temperature, expected) in [(0.5, json!(0.5)), (0.0, json!(0.0)), (-1.0, Value::Null)] {
        settings.params.temperature = Some(temperature);
        Endpoint::open(&settings).expect("an endpoint").ask("?").expect("an answer");
        assert_eq!(stub.seen().last().expect("asked").body["temperature"], expected);
    }
}

#[test]
fn a_key_that_can_be_read_on_the_way_is_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let info = folder.path().join("visual.json").display().to_string();
    std::fs::write(&info, serde_json::to_vec(&tables_and_text()).expect("JSON")).expect("written");
    let here = Stub::new(|_, _| says("{}"));
    let elsewhere = Stub { base_url: "http://192.0.2.7/v1".into(), seen: Arc::default() }; // an address of nobody
    for (stub, expected) in [(here, false), (elsewhere, true)] {
        let settings = ["--llm-name", "m", "--llm-timeout", "0.2", "--llm-retries", "0"];
        let (_, _, stderr) = command(&stub, &[&["chat", "--visual-info", &info, "--keys", "total"][..], &settings].concat());
        assert_eq!(stderr.contains("is not encrypted: the key can be read on the way"), expected, "{stderr}");
    }
}

#[test]
fn requests_keep_the_interval_that_is_asked_for() {
    const SECONDS: f64 = 0.15;
    let stub = Stub::new(|_, _| says("so"));
    let mut settings = stub.settings();
    settings.params.request_interval = Some(SECONDS);
    let endpoint = Endpoint::open(&settings).expect("an endpoint");
    let began = Instant::now();
    (0..2).for_each(|_| assert_eq!(endpoint.ask("?").expect("an answer"), "so"));
    assert!(began.elapsed().as_secs_f64() >= SECONDS);
}

#[test]
fn what_fails_says_where_why_and_what_to_do() {
    type Answer = fn() -> Vec<u8>;
    // What the endpoint does, how often it is asked, what the error says.
    let cases: [(&str, Answer, usize, &[&str]); 18] = [
        (
            "a refused key",
            || http("401 Unauthorized", "", &format!("{{\"error\":{{\"message\":\"no such key {KEY}, {KEY:.6}***\"}}}}")),
            1,
            &["status 401", "key is not taken"],
        ),
        (
            "a model that is not there",
            || http("404 Not Found", "", "{\"error\":{\"message\":\"no model\\u001b[31m\"}}"),
            1,
            &["status 404: no model", "--llm-name"],
        ),
        (
            "a bad request that shows the key",
            || http("400 Bad Request", "", &format!("{{\"error_msg\":\"bad {KEY}\"}}")),
            1,
            &["bad [key]", "llm_params"],
        ),
        (
            "another address",
            || http("302 Found", "Location: https://elsewhere.example/v1\r\n", ""),
            1,
            &["points to https://elsewhere.example/v1", "--llm-base-url"],
        ),
        (
            "too many requests",
            || http("429 Too Many Requests", "Retry-After: 0\r\n", "slow down"),
            3,
            &["status 429: slow down", "attempts: 3"],
        ),
        ("a long wait", || http("429 Too Many Requests", "Retry-After: 3600\r\n", ""), 1, &["left alone for 3600 s"]),
        ("a fault of its own", || http("503 Service Unavailable", "", "<html>"), 3, &["status 503", "try again later"]),
        ("silence", Vec::new, 3, &["no answer in time", "--llm-timeout"]),
        ("a body cut short", || b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"choices\":".to_vec(), 3, &["attempts: 3"]),
        ("a web page", || http("200 OK", "", "<html>welcome</html>"), 1, &["is not JSON but `<html>welcome", "often ends in /v1"]),
        (
            "another encoding",
            || [&b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n"[..], b"{\"text\": \"\xe9t\xe9\"}"].concat(),
            1,
            &["the answer is not UTF-8 text: `{\"text\"", "answer in UTF-8"],
        ),
        ("half an answer", || http("200 OK", "", "{\"choices\": [{\"mess"), 1, &["the answer ends early, after 19 bytes", "max_tokens"]),
        ("another protocol", || ok(json!({"result": "hello"})), 1, &["not of the protocol", "choices"]),
        ("an error with status 200", || ok(json!({"error": {"message": "quota used up"}})), 1, &["answers with an error: quota used up"]),
        ("no text", || ok(json!({"choices": [{"message": {"content": null}}]})), 1, &["its content is null"]),
        ("a refusal of Baidu's", || ok(json!({"error_code": 17, "error_msg": "quota"})), 1, &["answers with an error: quota"]),
        (
            "thoughts alone",
            || ok(json!({"choices": [{"finish_reason": "length", "message": {"content": null}}]})),
            1,
            &["cut off before its text began", "longer"],
        ),
        ("no choice", || ok(json!({"choices": []})), 1, &["holds no choice"]),
    ];
    for (what, answer, attempts, expected) in cases {
        let stub = Stub::new(move |_, _| answer());
        let error = stub.endpoint().ask("?").expect_err(what);
        let message = error.to_string();
        assert_eq!(error.kind(), "endpoint", "{what}");
        assert!(message.contains(&stub.base_url) && message.contains("(model)"), "{what}: {message}");
        assert!(expected.iter().all(|part| message.contains(part)), "{what}: {message}");
        assert!(!message.contains(&KEY[..6]) && !message.contains(|c: char| c.is_control()), "{what}: {message}");
        assert_eq!(stub.seen().len(), attempts, "{what}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let stub = Stub { base_url: format!("http://{closed}"), seen: Arc::default() };
    let message = stub.endpoint().ask("?").expect_err("nobody there").to_string();
    assert!(message.contains("attempts: 3"), "{message}");
}

#[test]
fn an_address_that_does_not_answer_encrypted_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base_url = format!("https://{}/v1", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&http("400 Bad Request", "", ""));
    });
    let message = Stub { base_url, seen: Arc::default() }.endpoint().ask("?").expect_err("not encrypted").to_string();
    assert!(message.contains("does not answer encrypted") && message.contains("http://"), "{message}");
    server.join().expect("it answered once");
}

#[test]
fn vectors_of_the_wrong_shape_are_refused() {
    for data in [json!([]), json!([{"embedding": [1.0]}, {"embedding": [1.0, 2.0]}]), json!([{"embedding": []}, {"embedding": []}])] {
        let stub = Stub::new(move |_, _| ok(json!({"data": data})));
        let message = stub.endpoint().embed(&["a".into(), "b".into()]).expect_err("refused").to_string();
        assert!(message.contains("one vector for each of 2 texts"), "{message}");
    }
}

#[test]
fn vectors_of_unlike_lengths_make_no_store_and_numbers_must_follow_each_other() {
    let stub = Stub::new(|number, request| {
        let texts = request.body["input"].as_array().expect("texts");
        ok(json!({"data": texts.iter().map(|_| json!({"embedding": vec![1.0; 2 + number]})).collect::<Vec<_>>()}))
    });
    let info = VisualInfo { ocr_text: vec![page(&[("text", &"x".repeat(9000))])], ..VisualInfo::default() };
    let message = stub.extractor().build_vector(&info, 100).expect_err("refused").to_string();
    assert!(message.contains("of 2 numbers and of 3"), "{message}");
    let numbered = |second: u32| {
        let stub = Stub::new(move |_, _| ok(json!({"data": [{"index": 0, "embedding": [1.0]}, {"index": second, "embedding": [2.0]}]})));
        stub.endpoint().embed(&["a".into(), "b".into()])
    };
    assert!(numbered(2).expect_err("refused").to_string().contains("number its vectors"));
    assert_eq!(numbered(0).expect("in the order of the server"), [[1.0], [2.0]]);
}

#[test]
fn a_value_that_was_cut_off_is_not_found() {
    let cut = r#"{"total": "7", "party": "Some"#;
    let stub = Stub::new(move |_, _| ok(json!({"choices": [{"finish_reason": "length", "message": {"content": cut}}]})));
    let result = stub.extractor().chat(&keys("total,party"), &tables_and_text(), PageText::All, &Guidance::default()).expect("a part");
    assert_eq!(result.chat_res, page(&[("total", "7")]));
    assert!(!result.is_whole() && result.error.is_some_and(|error| error.contains("cut off")));
}

#[test]
fn long_text_is_searched_and_short_text_needs_no_endpoint() {
    let stub = Stub::new(|_, request| embeds(request));
    let line = |word: &str| format!("{word} {}", "x".repeat(250));
    let pages = [page(&[("text", &line("alpha")), ("title", &line("nothing"))]), page(&[("text", &line("beta beta"))])];
    let info = VisualInfo { ocr_text: pages.to_vec(), ..VisualInfo::default() };
    let extractor = stub.extractor();
    let short = extractor.build_vector(&info, 10_000).expect("text");
    assert_eq!(serde_json::from_str::<Value>(&short.vector).expect("JSON"), json!(pages));
    assert_eq!(extractor.retrieve(&keys("alpha"), &short).expect("itself").retrieval, short.vector);
    assert!(stub.seen().is_empty(), "nothing was sent");
    let long = extractor.build_vector(&info, 100).expect("a store");
    assert!(long.vector.starts_with("PADDLEX_VECTOR_STORE"));
    let request = &stub.seen()[0];
    assert_eq!((request.path.as_str(), &request.body["model"]), ("/v1/embeddings", &json!("embedder")));
    let chunks: Vec<&str> = request.body["input"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(chunks.len() == 3 && chunks[0].starts_with("第1页 text") && chunks[2].starts_with("第2页 text"), "{chunks:?}");
    let found = extractor.retrieve(&keys("beta, beta beta"), &long).expect("chunks").retrieval;
    assert!(found.contains("beta beta x") && found.matches('页').count() == 2, "{found}");
    let mut other = stub.settings();
    other.params.embedding_model = Some("another".into());
    let other = Extractor::new(other, Prompts::open(None, None).expect("prompts"));
    let message = other.retrieve(&keys("beta"), &long).expect_err("another model").to_string();
    assert!(message.contains("embedder") && message.contains("--embedding-model"), "{message}");
}

fn tables_and_text() -> VisualInfo {
    let html = "<html><body><table><tr><td>total</td><td>7 &amp; 8</td></tr></table></body></html>";
    VisualInfo { ocr_text: vec![page(&[("text", "party: Someone")])], table_html: vec![html.into()], table_text: vec!["total 7&8".into()] }
}

#[test]
fn tables_are_asked_first_and_text_for_what_is_left() {
    let stub = Stub::new(|number, _| match number {
        0 => says("```json\n{\"total\": [\"7 & 8\"], \"party\": \"未知\", \"made up\": \"x\"}\n```"),
        _ => says("{\"party\": \"Someone\", \"total\": \"not asked\", \"date\": \"未知\"}"),
    });
    let guidance = Guidance { rules: "rule.".into(), save_prompt: true, ..Guidance::default() };
    let result = stub.extractor().chat(&keys("party，total,date"), &tables_and_text(), PageText::All, &guidance).expect("answers");
    let value = serde_json::to_value(&result).expect("JSON");
    assert_eq!(value["chat_res"].to_string(), r#"{"party":"Someone","total":"7 & 8","date":"未知"}"#);
    let asked: Vec<String> = stub.seen().iter().map(|r| r.body["messages"][0]["content"].as_str().expect("text").to_owned()).collect();
    assert_eq!(asked.len(), 2);
    assert!(asked[0].contains("<td>7 &amp; 8</td>") && asked[0].ends_with(r#"["party","total","date"]"#), "{}", asked[0]);
    assert!(asked[1].contains("party: Someone") && asked[1].ends_with(r#"["party","date"]"#), "{}", asked[1]);
    assert!(asked.iter().all(|question| question.contains("rule.")));
    assert_eq!(value["prompt"], json!({"ocr_prompt": asked[1], "table_prompt": [], "html_prompt": [asked[0]]}));
    assert!(result.is_whole());
}

#[test]
fn a_table_without_an_answer_is_asked_about_as_text() {
    let stub = Stub::new(|number, _| if number == 0 { says("sorry") } else { says("{\"total\": \"7\"}") });
    let result = stub.extractor().chat(&keys("total"), &tables_and_text(), PageText::All, &Guidance::default()).expect("answers");
    assert_eq!(serde_json::to_value(&result).expect("JSON"), json!({"chat_res": {"total": "7"}, "prompt": ""}));
    let seen = stub.seen();
    assert!(seen.len() == 2 && seen[1].body["messages"][0]["content"].as_str().is_some_and(|text| text.contains("```total 7&8```")));
}

#[test]
fn keys_are_known_again_however_the_answer_writes_them() {
    for answer in
        [r#"{"party a": "x", "TOTAL ：": "7"}"#, r#"{"result": {"Party A": "x", "Total:": "7"}}"#, r#"[{"PartyA": "x"}, {"total": "7"}]"#]
    {
        let stub = Stub::new(move |_, _| says(answer));
        let result = stub.extractor().chat(&keys("Party A,Total"), &tables_and_text(), PageText::All, &Guidance::default());
        assert_eq!(result.expect("answers").chat_res, page(&[("Party A", "x"), ("Total", "7")]), "{answer}");
    }
    let stub = Stub::new(|_, _| says(r#"{"seller": "x"}"#));
    let result = stub.extractor().chat(&keys("party"), &tables_and_text(), PageText::All, &Guidance::default()).expect("no values");
    assert!(result.chat_res["error"].as_str().is_some_and(|error| error.contains("it held `seller`")), "{result:?}");
}

#[test]
fn what_was_found_before_a_fault_is_kept() {
    let stub = Stub::new(|number, _| if number == 0 { says("{\"total\": \"7\"}") } else { http("403 Forbidden", "", "") });
    let result = stub.extractor().chat(&keys("party,total"), &tables_and_text(), PageText::All, &Guidance::default()).expect("a part");
    assert_eq!(result.chat_res, page(&[("total", "7")]));
    assert!(!result.is_whole() && result.error.is_some_and(|error| error.contains("403")));
    let stub = Stub::new(|_, _| says("no idea"));
    let result = stub.extractor().chat(&keys("party"), &tables_and_text(), PageText::All, &Guidance::default()).expect("no values");
    assert!(!result.is_whole() && result.chat_res["error"].is_string(), "{result:?}");
}

/// `hpinfer extract …` with the key in the environment and all log lines.
fn command(stub: &Stub, arguments: &[&str]) -> (Option<i32>, String, String) {
    command_with_key(KEY, stub, arguments)
}

fn command_with_key(key: &str, stub: &Stub, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
    command.env_remove("HPINFER_LLM_KEY_FILE").env_remove("HPINFER_LLM_NAME").env_remove("HPINFER_LLM_EMBEDDING_MODEL");
    command.env("HPINFER_LLM_BASE_URL", &stub.base_url).env("HPINFER_LLM_API_KEY", key).env("HPINFER_LOG", "trace").stdin(Stdio::null());
    let output = command.arg("extract").args(arguments).output().expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_steps_hand_files_on_and_never_show_the_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(file("visual.json"), format!("\u{feff}{}", json!(tables_and_text()))).expect("written");
    let stub = Stub::new(|number, request| match request.path.as_str() {
        "/v1/embeddings" => embeds(request),
        _ if number == 2 => says("{\"total\": \"7\"}"),
        _ if number == 3 => says("{\"party\": \"Someone\"}"),
        _ if (4..=6).contains(&number) => says("{\"another\": \"1\"}"),
        _ => http("401 Unauthorized", "", &format!("wrong key {KEY}")),
    });
    let (info, vector, retrieval) = (file("visual.json"), file("vector.json"), file("retrieval.json"));
    let build = ["build-vector", "--visual-info", &info, "--min-characters", "3", "--embedding-model", "e", "--output", &vector];
    let retrieve = ["retrieve", "--vector", &vector, "--keys", "party", "--embedding-model", "e", "--output", &retrieval];
    let chat = ["chat", "--visual-info", &info, "--retrieval", &retrieval, "--keys", "party,total", "--llm-name", "model", "--save-prompt"];
    let mut shown = String::new();
    for (arguments, code, expected) in [
        (&build[..], 0, ""),
        (&retrieve[..], 0, ""),
        (&chat[..], 0, "\"total\": \"7\""),
        (&chat[..], 1, "no answer of the language model held a value for any key; it held `another`"),
        (&chat[..], 2, "status 401"),
        (&["chat", "--visual-info", &vector, "--keys", "a"][..], 2, "is not what the step before writes"),
        (&["retrieve", "--vector", &vector, "--keys", "a", "--embedding-model", "f"][..], 2, "--embedding-model"),
        (&["visual", "--pipeline", "OCR", "--input", "x.png"][..], 2, "reads no whole pages"),
        (&["run", "--input", "x.png", "--keys", ","][..], 2, "--keys"),
        (&["chat", "--help"][..], 0, "--llm-key-file"),
    ] {
        let (got, stdout, stderr) = command(&stub, arguments);
        assert_eq!(got, Some(code), "{arguments:?}: {stdout}{stderr}");
        assert!(stdout.contains(expected) || stderr.contains(expected), "{arguments:?}: {stdout}{stderr}");
        shown += &(stdout + &stderr);
    }
    for name in ["vector.json", "retrieval.json"] {
        shown += &std::fs::read_to_string(file(name)).expect("written");
    }
    assert!(!shown.contains(KEY) && !shown.contains(&KEY[..9]), "{shown}");
    let sent = stub.seen();
    assert!(sent.len() >= 4 && sent.iter().all(|request| request.head.contains(KEY)), "it was used");
}

#[test]
fn pages_without_text_are_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let info = folder.path().join("visual.json").display().to_string();
    let stub = Stub::new(|_, _| says("{\"total\": \"7\"}"));
    for (pages, expected) in [(vec![], true), (vec![Map::new()], true), (vec![page(&[("text", "total 7")])], false)] {
        std::fs::write(&info, json!(VisualInfo { ocr_text: pages, ..VisualInfo::default() }).to_string()).expect("written");
        let (code, _, stderr) = command(&stub, &["chat", "--visual-info", &info, "--keys", "total", "--llm-name", "m"]);
        assert!(code == Some(0) && stderr.contains("no text was found on the pages") == expected, "{stderr}");
    }
}

#[test]
fn help_lists_no_flags_that_are_refused() {
    let stub = Stub::new(|_, _| says("{}"));
    for step in ["visual", "run"] {
        let (_, help, _) = command(&stub, &[step, "--help"]);
        assert!(help.contains("--layout-model <MODEL>"), "{help}");
        for flag in ["--model", "--batch-size", "--topk", "--threshold"] {
            assert!(!help.contains(&format!(" {flag} <")), "{step} {flag}: {help}");
            let (code, _, stderr) = command(&stub, &["visual", "--input", "x.png", flag, "1"]);
            assert!(code == Some(2) && stderr.contains("does not have this setting"), "{flag}: {stderr}");
        }
    }
}

#[test]
fn results_go_where_they_harm_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let info = file("visual.json");
    let written = serde_json::to_vec(&tables_and_text()).expect("JSON");
    std::fs::write(&info, &written).expect("written");
    let stub = Stub::new(|_, _| says("{\"total\": \"7\"}"));
    let to = |output: &str| command(&stub, &["chat", "--visual-info", &info, "--keys", "total", "--llm-name", "m", "--output", output]);
    for (output, reason) in [(info.clone(), "is an input too"), (file(""), "is a folder")] {
        let (code, _, stderr) = to(&output);
        assert!(code == Some(2) && stderr.contains(reason), "{stderr}");
    }
    assert!(stub.seen().is_empty() && std::fs::read(&info).expect("kept") == written);
    for output in ["-", "/dev/stdout"] {
        let (code, stdout, stderr) = to(output);
        assert!(code == Some(0) && stdout.contains("\"total\": \"7\""), "{stdout}{stderr}");
    }
    std::fs::write(file("target"), "old").expect("written");
    std::os::unix::fs::symlink(file("target"), file("link")).expect("a link");
    assert_eq!(to(&file("link")).0, Some(0));
    assert!(folder.path().join("link").is_symlink() && std::fs::read_to_string(file("target")).expect("written").contains("total"));
}

#[test]
fn an_empty_variable_holds_no_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let info = folder.path().join("visual.json").display().to_string();
    std::fs::write(&info, serde_json::to_vec(&tables_and_text()).expect("JSON")).expect("written");
    let stub = Stub::new(|_, _| says("{\"total\": \"7\"}"));
    let (code, stdout, stderr) = command_with_key("", &stub, &["chat", "--visual-info", &info, "--keys", "total", "--llm-name", "model"]);
    assert!(code == Some(0) && stdout.contains("\"total\": \"7\""), "{stdout}{stderr}");
    assert!(stub.seen().iter().all(|request| !request.head.to_ascii_lowercase().contains("authorization")), "nothing was sent as a key");
}

#[test]
fn a_pipeline_file_of_the_reference_names_the_model_and_its_errors_hide_the_key() {
    use hpinfer::pipeline::PipelineConfig;
    let file = |more: &str| {
        format!(
            "Global:\n  pipeline_name: PP-ChatOCRv3-doc\nPipeline:\n  doc_image_ori_cls_model: null\n  llm_name: ernie-4.0\n  llm_params:\n    api_type: aistudio\n    access_token: {KEY}\n{more}  task_prompt_yaml: None\n  user_prompt_yaml:\n  seal_text_det_batch_size: 1\n  doc_image_ori_cls_batch_size: 1\n  doc_image_unwarp_batch_size: 1\n  recovery: True\n"
        )
    };
    let (PipelineConfig::Document(config), _) = PipelineConfig::parse(&file(""), "p.yaml").expect("read") else {
        panic!("a document pipeline")
    };
    assert_eq!(config.questions.llm.llm_name, "ernie-4.0");
    assert_eq!(config.questions.llm.params.access_token, Some(Secret::new(KEY, "test").expect("a key")));
    assert_eq!(config.questions.task_prompt_yaml, None);
    assert!(!format!("{config:?}").contains(KEY));
    for more in ["    colour: red\n", "    timeout: soon\n", "  colour: red\n", "    api_key: [a, b]\n"] {
        let message = PipelineConfig::parse(&file(more), "p.yaml").expect_err("refused").to_string();
        assert!(message.contains("p.yaml") && !message.contains(KEY), "{message}");
    }
    let tables = file("").replace("PP-ChatOCRv3-doc", "table_recognition").replace("  doc_image_ori_cls_model: null\n", "");
    assert!(PipelineConfig::parse(&tables, "p.yaml").expect_err("refused").to_string().contains("has no `llm_name`"));
}
