//! Documents given to the commands.

use super::write::slow_then_black;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn pages_have_the_same_options_and_keys_by_themselves_and_as_a_stream() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("doc.pdf");
    std::fs::write(&path, slow_then_black()).unwrap();
    for subcommand in [None, Some("stream")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hpinfer"));
        for variable in ["HPINFER_THREADS", "HPINFER_LOG", "RUST_LOG", "ORT_DYLIB_PATH", "OPENVINO_LIB_PATH"] {
            command.env_remove(variable);
        }
        command.env("HPINFER_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home")).stdin(Stdio::null());
        command.args(subcommand).args(["--pipeline", "OCR", "--backend", "openvino", "--input"]).arg(&path);
        let output = command.args(["--pages", "1-2,9,12-", "--page-timeout", "1", "--dpi", "36"]).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((output.status.code(), lines.len()), (Some(1), 2), "{subcommand:?}: {stdout}{stderr}");
        assert_eq!((&lines[0]["page_index"], &lines[1]["page_index"]), (&0.into(), &1.into()), "{stdout}");
        assert!(
            lines[0]["error"]["message"]
                .as_str()
                .is_some_and(|m| m.ends_with("page 1: not rendered within 1 s (raise --page-timeout to wait longer)"))
        );
        assert!(lines[1]["rec_text"].is_array(), "{stdout}");
        assert_eq!(stderr.matches("doc.pdf: the document has 2 pages, none of them among 9,12-").count(), 1, "{stderr}");
    }
}
