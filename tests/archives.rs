//! The vendor's archives as a user meets them, from a server on this machine: fetched, unpacked, checked, resumed; and what
//! happens when they are not what they should be.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use tar::{Builder, Header};

const CLAS: &str = include_str!("fixtures/spec/paddleclas.yml");

/// An archive of the model called `name` with this description.
fn archive(name: &str, description: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let description = ("inference.yml", description.as_bytes());
    for (file, bytes) in files.iter().chain([&description]) {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{name}_infer/{file}"), *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

fn resnet18() -> Vec<u8> {
    archive(
        "ResNet18",
        &CLAS.replace("my_classifier", "ResNet18"),
        &[("inference.pdmodel", b"program"), ("inference.pdiparams", b"weights")],
    )
}

/// A server of files, and the folder and environment of a machine that uses it.
struct Machine {
    temp: tempfile::TempDir,
    url: String,
    served: Arc<Mutex<Vec<u8>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Machine {
    fn new(served: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/models", listener.local_addr().unwrap());
        let (served, requests) = (Arc::new(Mutex::new(served)), Arc::new(Mutex::new(Vec::new())));
        let (bytes, seen) = (served.clone(), requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(std::io::Result::ok);
                let request: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
                seen.lock().unwrap().push(request[0].clone());
                let body = bytes.lock().unwrap().clone();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"x\"\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = stream.read(&mut [0; 1]);
            }
        });
        Self { temp: tempfile::tempdir().unwrap(), url, served, requests }
    }

    fn serve(&self, bytes: Vec<u8>) {
        *self.served.lock().unwrap() = bytes;
    }

    fn cache(&self) -> PathBuf {
        self.temp.path().join("cache")
    }

    fn paddlex(&self) -> PathBuf {
        self.temp.path().join("paddlex/official_models")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hpinfer"));
        command
            .args(args)
            .env("HPINFER_HOME", self.cache())
            .env("HPINFER_MODEL_URL", &self.url)
            .env("PADDLE_PDX_CACHE_HOME", self.temp.path().join("paddlex"));
        command
    }

    /// Exit status and everything written.
    fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.command(args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    /// What lies in the cache, without locks.
    fn files(&self) -> Vec<String> {
        let entries = walkdir::WalkDir::new(self.cache()).sort_by_file_name().into_iter().filter_map(Result::ok);
        let files = entries.filter(|entry| entry.file_type().is_file());
        let names = files.map(|entry| entry.path().strip_prefix(self.cache()).unwrap().display().to_string());
        names.filter(|name| !name.starts_with("locks")).collect()
    }
}

fn write_model(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("inference.yml"), CLAS.replace("my_classifier", "ResNet18")).unwrap();
    fs::write(folder.join("inference.pdmodel"), "program").unwrap();
    fs::write(folder.join("inference.pdiparams"), "weights").unwrap();
}

#[test]
fn an_archive_is_fetched_once_and_verified_ever_after() {
    let machine = Machine::new(resnet18());
    let (code, text) = machine.run(&["model", "pull", "ResNet18"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(*machine.requests.lock().unwrap(), ["GET /models/ResNet18_infer.tar HTTP/1.1"]);
    let whole = ["archives/ResNet18.json", "official_models/ResNet18/inference.pdiparams", "official_models/ResNet18/inference.pdmodel"];
    assert_eq!(machine.files()[..3], whole);
    assert_eq!(machine.files().len(), 4, "{:?}", machine.files());
    let (_, text) = machine.run(&["model", "verify"]);
    assert_eq!(text, "ResNet18: intact\n");
    let (_, text) = machine.run(&["model", "info", "ResNet18", "--offline"]);
    assert!(text.contains("pdmodel in ") && text.contains("shorter side to 219 px"), "{text}");
    let mine = tempfile::tempdir().unwrap();
    write_model(mine.path());
    let (_, text) = machine.run(&["model", "info", mine.path().to_str().unwrap(), "--offline"]);
    assert!(text.contains(&format!("pdmodel in {}\n", mine.path().display())), "not the one of this name in the cache: {text}");
    let (_, text) = machine.run(&["model", "info", mine.path().to_str().unwrap(), "--offline", "--json"]);
    let info: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(info["folder"], mine.path().to_str().unwrap());
    assert_eq!(info["path"], mine.path().join("inference.pdmodel").to_str().unwrap());

    // Changed contents are noticed by `verify`, changed lengths by every run; both are replaced.
    let params = machine.cache().join("official_models/ResNet18/inference.pdiparams");
    fs::write(&params, "Weights").unwrap();
    let (code, text) = machine.run(&["model", "verify", "ResNet18"]);
    assert!(code == Some(2) && text.contains("ResNet18: damaged"), "{text}");
    assert_eq!(machine.run(&["model", "pull", "ResNet18"]).0, Some(0));
    assert_eq!(fs::read(&params).unwrap(), b"weights");
    fs::write(&params, "").unwrap();
    assert!(machine.run(&["model", "list"]).1.lines().any(|line| line.starts_with("ResNet18 ") && line.contains("not downloaded")));
    assert_eq!(machine.run(&["model", "pull", "ResNet18"]).0, Some(0));
    assert_eq!(machine.requests.lock().unwrap().len(), 3);

    // Another archive under the same name is not taken for the first one.
    fs::remove_dir_all(machine.cache().join("official_models/ResNet18")).unwrap();
    machine.serve(archive(
        "ResNet18",
        &CLAS.replace("my_classifier", "ResNet18"),
        &[("inference.pdmodel", b"other"), ("inference.pdiparams", b"w")],
    ));
    let (code, text) = machine.run(&["model", "pull", "ResNet18"]);
    assert!(code == Some(2) && text.contains("when it was first fetched") && text.contains("ResNet18.json"), "{text}");
    assert_eq!(machine.files(), ["archives/ResNet18.json"]);
}

#[test]
fn what_is_not_the_model_is_refused_and_nothing_stays() {
    let yml = CLAS.replace("my_classifier", "ResNet18");
    let network: [(&str, &[u8]); 2] = [("inference.pdmodel", b"p"), ("inference.pdiparams", b"w")];
    let mut escapes = resnet18();
    escapes[..16].copy_from_slice(b"../../../evil\0\0\0");
    let sum: u32 = (0..512).map(|i| if (148..156).contains(&i) { 32 } else { u32::from(escapes[i]) }).sum();
    escapes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let cases = [
        (archive("ResNet18", &CLAS.replace("my_classifier", "ResNet50"), &network), "says that the model is ResNet50"),
        (
            archive("ResNet18", "Global: {model_name: ResNet18}\nDeploy: {transforms: [{type: Normalize}]}\n", &network),
            "describes one for semantic segmentation",
        ),
        (archive("ResNet18", &yml, &network[..1]), "but not inference.pdiparams"),
        (archive("ResNet18", &yml, &network[1..]), "but not inference.pdmodel"),
        (archive("ResNet18", &yml, &[]), "no such file is there"),
        (archive("ResNet18", &yml.replace("topk: 2", "topk: many"), &network), "inference.yml:58:11"),
        (archive("ResNet18", include_str!("fixtures/spec/bomb.yml"), &network), "more entries, aliases or text"),
        (resnet18()[..700].to_vec(), "cannot unpack"),
        (resnet18()[..2048].to_vec(), "holds no whole model"), // its description comes last
        (b"<html>sorry</html>".repeat(100), "cannot unpack"),
        (escapes, "leaves the folder"),
    ];
    for (served, expected) in cases {
        let machine = Machine::new(served);
        let (code, text) = machine.run(&["model", "pull", "ResNet18"]);
        assert!(code == Some(2) && text.contains(expected), "{expected}: {text}");
        let says = ["/models/ResNet18_infer.tar", "; try `hpinfer model pull ResNet18` again later", "or fetch it elsewhere"];
        assert!(says.iter().all(|says| text.contains(says)) && !text.contains(".partial"), "{expected}: {text}");
        assert_eq!(machine.files(), [""; 0], "{expected}");
        assert!(!machine.temp.path().join("evil").exists());
    }
}

#[test]
fn paddlex_own_cache_is_used() {
    let machine = Machine::new(Vec::new());
    write_model(&machine.paddlex().join("ResNet18"));
    let (code, text) = machine.run(&["model", "pull", "ResNet18"]);
    assert!(code == Some(0) && text.contains("paddlex/official_models/ResNet18"), "{text}");
    assert!(machine.requests.lock().unwrap().is_empty() && machine.files().is_empty());
    assert_eq!(machine.run(&["model", "verify"]).1, "ResNet18: here; nobody knows its checksum\n");

    // What is no network, or is not described, can be fetched.
    let run = ["--pipeline", "image_classification", "--model", "ResNet18", "--input", "none.png"];
    for args in [&run[..], &["model", "convert", "ResNet18"], &["model", "info", "ResNet18"]] {
        if args[1] == "info" {
            fs::write(machine.paddlex().join("ResNet18/inference.yml"), "Global: [").unwrap();
        }
        let (code, text) = machine.run(args);
        let next_step = format!("remove {} and run `hpinfer model pull ResNet18`", machine.paddlex().join("ResNet18").display());
        assert!(code == Some(2) && text.contains(&next_step), "{text}");
    }

    // A folder with an empty file is none.
    fs::write(machine.paddlex().join("ResNet18/inference.pdiparams"), "").unwrap();
    machine.serve(resnet18());
    assert_eq!(machine.run(&["model", "pull", "ResNet18"]).0, Some(0));
    assert_eq!(machine.requests.lock().unwrap().len(), 1);
}

#[test]
fn the_password_of_a_mirror_is_neither_shown_nor_kept() {
    let mut machine = Machine::new(resnet18());
    machine.url = machine.url.replace("//", "//user:secret@");
    let (code, text) = machine.run(&["model", "pull", "ResNet18", "-vv"]);
    assert!(code == Some(0) && !text.contains("secret"), "{text}");
    let record = fs::read_to_string(machine.cache().join("archives/ResNet18.json")).unwrap();
    assert!(record.contains("/models/ResNet18_infer.tar") && !record.contains("secret"), "{record}");
    for url in ["http://user:secret@127.0.0.1:9", "http://user:secret@no host"] {
        machine.url = url.into();
        let (code, text) = machine.run(&["model", "pull", "UVDoc", "-vv"]);
        assert!(code == Some(2) && text.contains("cannot be fetched") && !text.contains("secret"), "{text}");
    }
}

#[test]
fn offline_and_unreachable_say_what_to_do() {
    let machine = Machine::new(Vec::new());
    let (code, text) = machine.run(&["model", "pull", "ResNet18", "--offline"]);
    assert!(code == Some(2) && text.contains("downloads are off") && text.contains("unpack it to"), "{text}");
    let machine = Machine { url: "http://127.0.0.1:9".into(), ..machine };
    let (code, text) = machine.run(&["model", "pull", "UVDoc"]);
    assert!(code == Some(2) && text.contains("cannot be fetched") && text.contains("unpack it to"), "{text}");
    assert!(machine.files().is_empty());
}

#[test]
fn a_damaged_model_stays_until_it_is_replaced() {
    let machine = Machine::new(resnet18());
    assert_eq!(machine.run(&["model", "pull", "ResNet18"]).0, Some(0));
    let params = machine.cache().join("official_models/ResNet18/inference.pdiparams");
    fs::write(&params, "Weights").unwrap();
    let damaged = machine.files();

    // Killed while nothing answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = machine
        .command(&["model", "pull", "ResNet18"])
        .env("HPINFER_MODEL_URL", format!("http://{}", silent.local_addr().unwrap()))
        .spawn()
        .unwrap();
    let _asked = silent.accept().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((fs::read(&params).unwrap(), machine.files()), (b"Weights".to_vec(), damaged.clone()));

    // What an earlier version set aside goes, and several at once replace it once.
    let aside = params.parent().unwrap().with_file_name(".ResNet18.damaged");
    fs::create_dir(&aside).unwrap();
    let quiet = |_| machine.command(&["model", "pull", "ResNet18"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let children: Vec<_> = (0..3).map(quiet).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!((fs::read(&params).unwrap(), machine.files()), (b"weights".to_vec(), damaged));
    assert!(!aside.exists());
    assert_eq!(machine.requests.lock().unwrap().len(), 2);

    // An aside beside a whole model, and a file in its place.
    fs::create_dir(&aside).unwrap();
    assert_eq!(machine.run(&["model", "pull", "ResNet18"]).0, Some(0));
    assert!(!aside.exists());
    fs::remove_dir_all(params.parent().unwrap()).unwrap();
    fs::write(params.parent().unwrap(), "in the way").unwrap();
    let (code, text) = machine.run(&["model", "pull", "ResNet18"]);
    assert_eq!((code, fs::read(&params).ok()), (Some(0), Some(b"weights".to_vec())), "{text}");
}
