//! Standard output, standard error and saved files.

use crate::{DEMO, error_kind, hpinfer, ocr, pictures, run};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

fn tree(folder: &Path) -> Vec<String> {
    let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(Result::ok).filter(|e| e.file_type().is_file());
    files.map(|e| e.path().strip_prefix(folder).expect("below").display().to_string()).collect()
}

#[test]
fn files_are_named_by_inputs_and_none_is_written_twice() {
    let (folder, paths) = pictures(&["in/a.png", "in/sub/a.png", "else where/a.png", "图.png"]);
    let out = folder.path().join("aus gabe/输出");
    let ran =
        run(ocr().arg("--input").arg(folder.path().join("in")).arg(&paths[2]).arg("--input").arg(&paths[3]).arg("--save_path").arg(&out));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(tree(&out), ["a.json", "a.png", "a_1.json", "a_1.png", "sub/a.json", "sub/a.png", "图.json", "图.png"]);
    let saved: serde_json::Value = serde_json::from_slice(&fs::read(out.join("a.json")).expect("saved")).expect("JSON");
    assert_eq!(saved, ran.lines()[0]);
    // Two panels; the font has the glyphs, wherever it came from.
    let picture =
        hpinfer::image::decode::Decoder::default().decode(&fs::read(out.join("a.png")).expect("saved"), "a.png").expect("a picture");
    let demo = hpinfer::image::decode::Decoder::default().decode(&fs::read(DEMO).expect("there"), "demo").expect("a picture");
    assert_eq!((picture.size().width, picture.size().height), (2 * demo.size().width, demo.size().height));
    assert!(!ran.stderr.contains("font"), "{}", ran.stderr);
}

/// A folder that is read again and again, with its results in it.
#[test]
fn what_an_earlier_run_saved_is_no_input() {
    for out in ["output", "."] {
        let (folder, _) = pictures(&["a.png", "sub/b.png"]);
        let again = || run(ocr().current_dir(folder.path()).args(["--input", ".", "--save_path", out]));
        let first = again();
        let (lines, saved) = (first.lines().len(), tree(folder.path()));
        assert_eq!((first.code, lines), (Some(0), 2), "{}", first.stderr);
        for _ in 0..2 {
            let next = again();
            assert_eq!((next.code, next.lines().len(), tree(folder.path())), (Some(0), 2, saved.clone()), "{}", next.stderr);
            assert!(next.stderr.contains("an earlier run saved it"), "{}", next.stderr);
        }
        let pattern = run(ocr().current_dir(folder.path()).args(["--input", "*.png", "--save_path", out]));
        assert_eq!((pattern.code, pattern.lines().len(), tree(folder.path())), (Some(0), 1, saved.clone()), "{}", pattern.stderr);
        // Elsewhere they are pictures as all others.
        let elsewhere = tempfile::tempdir().expect("a folder");
        let all = run(ocr().current_dir(folder.path()).args(["--input", ".", "--save_path"]).arg(elsewhere.path().join("new")));
        assert_eq!((all.code, all.lines().len()), (Some(0), 4), "{}", all.stderr);
        // Who names one means it.
        let named = saved.iter().find(|file| file.ends_with("a.png") && *file != "a.png").cloned();
        let named = named.unwrap_or_else(|| "a_ocr_res_img.png".into());
        let named = run(ocr().current_dir(folder.path()).args(["--input", &named, "--save_path", out]));
        assert_eq!((named.code, named.lines().len()), (Some(0), 1), "{}", named.stderr);
    }
}

/// ONNX Runtime by itself keeps a record of its use there, and sends it.
#[test]
fn inputs_that_come_later_are_not_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("other")).expect("a folder");
    let picture = fs::read(DEMO).expect("read");
    for name in ["other/z.png", "z.png"] {
        fs::write(folder.path().join(name), &picture).expect("written");
    }
    let ran = run(ocr().current_dir(folder.path()).args(["--input", "other/z.png", "z.png", "--save_path", "."]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(fs::read(folder.path().join("z.png")).expect("read"), picture);
    let saved = ["other/z.png", "z.png", "z_ocr_res_img.json", "z_ocr_res_img.png", "z_ocr_res_img_1.json", "z_ocr_res_img_1.png"];
    assert_eq!(tree(folder.path()), saved);
}

#[test]
fn what_a_list_may_still_name_is_not_written_over() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), "tests/fixtures/miniatures/classify");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join(model);
    fs::create_dir(folder.path().join("a")).expect("a folder");
    for (name, level) in [("a/x.png", 200), ("x.png", 20)] {
        image::RgbImage::from_pixel(16, 16, image::Rgb([level, 0, 0])).save(folder.path().join(name)).expect("written");
    }
    fs::write(folder.path().join("list"), "a/x.png\nx.png\n").expect("written");
    let before = fs::read(folder.path().join("x.png")).expect("read");
    let saved = |into: &str| {
        let mut command = hpinfer();
        let list = fs::File::open(folder.path().join("list")).expect("the list");
        command.current_dir(folder.path()).args(["--pipeline", "image_classification", "--model"]).arg(&model);
        let output = command.args(["--input", "-", "--save_path", into]).stdin(list).output().expect("starts");
        let lines = String::from_utf8(output.stdout).expect("UTF-8").lines().count();
        assert_eq!((output.status.code(), lines), (Some(0), 2), "{}", String::from_utf8_lossy(&output.stderr));
        tree(&folder.path().join(into))
    };
    for _ in 0..2 {
        saved(".");
        assert_eq!(fs::read(folder.path().join("x.png")).expect("read"), before, "an input");
    }
    // Results of the run before are replaced.
    assert_eq!(saved("out"), saved("out"));
}

/// `command` in the place of a shell that has done something before.
fn after(what: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{what}; exec \"$@\""), "sh"]).arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// Runs its arguments on a terminal, which it closes once the folder `out` has five files; says how that ended.
const CLOSED_TERMINAL: &str = "
import os, pty, select, sys
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
while not os.path.isdir('out') or len(os.listdir('out')) < 5:
    if select.select([terminal], [], [], 0.01)[0]:
        os.read(terminal, 65536)
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

#[test]
fn a_terminal_that_is_closed_lets_what_is_under_way_be_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    (0..999).for_each(|i| image::RgbImage::new(64, 48).save(folder.path().join(format!("{i}.png"))).expect("written"));
    let mut command = hpinfer();
    command.args(["--pipeline", "image_classification", "--backend", "onnx_runtime", "--input", "*.png", "--save_path", "out", "--model"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures/classify"));
    let shell = after("exec > lines", &command);
    let mut python = Command::new("python3");
    python.args(["-c", CLOSED_TERMINAL]).arg(shell.get_program()).args(shell.get_args()).env("TERM", "xterm");
    python.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(folder.path());
    let ran = run(&mut python);
    assert_eq!(ran.stdout, format!("-{}\n", Signal::HUP.as_raw()), "{}", ran.stderr);
    let shown = fs::read_to_string(folder.path().join("lines")).expect("lines").lines().count();
    let saved = tree(&folder.path().join("out")).len();
    assert!(saved == 2 * shown && shown < 999, "{shown}: {saved}");
}

/// A run on so many pictures in `folder`, by a shell that has done something before. It does not end by itself while the list of them is
/// held.
fn listed(folder: &Path, pictures: usize, before: &str) -> (Child, ChildStdin) {
    let names: Vec<String> = (0..pictures).map(|i| format!("{i:03}.png")).collect();
    names.iter().for_each(|name| image::RgbImage::new(64, 48).save(folder.join(name)).expect("written"));
    let mut command = hpinfer();
    command.args(["--pipeline", "image_classification", "--backend", "onnx_runtime", "--input", "-", "--model"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures/classify")).args(["--save_path", "out"]);
    let mut command = after(before, &command);
    let mut child =
        command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut list = child.stdin.take().expect("piped");
    list.write_all((names.join("\n") + "\n").as_bytes()).expect("written");
    (child, list)
}

fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("signalled");
}

#[test]
fn a_signal_lets_what_is_under_way_be_saved() {
    // Of a terminal that is closed the second SIGHUP comes at once.
    for signals in [&[Signal::TERM][..], &[Signal::HUP, Signal::HUP], &[Signal::TERM, Signal::HUP]] {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut child, _list) = listed(folder.path(), 400, ":");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        lines.next().expect("a line").expect("UTF-8");
        for one in signals {
            signal(&child, *one);
            std::thread::sleep(std::time::Duration::from_millis(5)); // of two that wait at once one comes
        }
        let more: Vec<Value> = lines.map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("a whole line")).collect();
        let shown = 1 + more.len();
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
        assert_eq!(child.wait().expect("ends").signal(), Some(signals[0].as_raw()), "{said}");
        assert!(said.contains("interrupted"), "{said}");
        let saved = tree(&folder.path().join("out"));
        assert!(saved.len() == 2 * shown && saved.iter().all(|name| !name.contains(".hpinfer")), "{shown}: {saved:?}");
    }
}

#[test]
fn a_closed_terminal_does_not_end_what_nohup_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut child, list) = listed(folder.path(), 400, "trap '' HUP");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    lines.next().expect("a line").expect("UTF-8");
    signal(&child, Signal::HUP);
    drop(list);
    assert_eq!((lines.count(), child.wait().expect("ends").code()), (399, Some(0)));
}

#[test]
fn a_signal_ends_a_run_whose_results_nobody_reads() {
    for before in [":", "export HPINFER_LOG=debug"] {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut child, _list) = listed(folder.path(), 999, before);
        let unread = child.stdout.take().expect("piped");
        let waiting = || rustix::io::ioctl_fionread(&unread).expect("a pipe");
        let mut before = 0;
        while before == 0 || waiting() > before {
            before = waiting();
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        signal(&child, Signal::TERM);
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
        assert_eq!(child.wait().expect("ends").signal(), Some(Signal::TERM.as_raw()), "{said}");
        assert!(said.contains("after the signal: ") && said.ends_with(" not delivered\n"), "{said}");
    }
}

/// The second folder is looked into when results of the first are in it.
#[test]
fn results_of_a_run_are_not_its_inputs() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a", "d"] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    let names = (0..14).map(|i| format!("a/{i:02}.png")).chain(["d/own.png".to_owned()]);
    names.for_each(|name| image::RgbImage::new(64, 48).save(folder.path().join(name)).expect("written"));
    let ran = run(ocr().current_dir(folder.path()).args(["--threads", "1", "--input", "a", "d", "--save_path", "d"]));
    assert_eq!((ran.code, ran.lines().len()), (Some(0), 15), "{}", ran.stdout);
    assert_eq!(ran.lines()[14]["input_path"], "d/own.png");
}

#[test]
fn nothing_is_noted_in_the_users_home() {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = hpinfer();
    for variable in ["XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "ORT_DISABLE_TELEMETRY"] {
        command.env_remove(variable);
    }
    let ran = run(command.env("HOME", home.path()).args(["--pipeline", "OCR", "--backend", "onnx_runtime", "--input", DEMO]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(tree(home.path()), [""; 0]);
}

#[test]
fn a_file_that_cannot_be_written_fails_its_item_alone() {
    let (folder, paths) = pictures(&["a.png", "b.png"]);
    let out = folder.path().join("out");
    fs::create_dir_all(out.join("a.json")).expect("a folder in the way");
    let ran = run(ocr().arg("--input").args(&paths).arg("--save_path").arg(&out));
    let lines = ran.lines();
    assert_eq!(ran.code, Some(1));
    assert_eq!(lines.iter().map(error_kind).collect::<Vec<_>>(), [Some("io"), None]);
    assert!(lines.iter().all(|line| line["rec_text"].as_array().is_some_and(|texts| texts.len() > 5)), "what was read is told: {lines:?}");
    assert!(ran.stderr.contains("a.png: it is not saved: "), "{}", ran.stderr);
    assert!(out.join("b.json").is_file() && out.join("b.png").is_file());
}

/// The limit is one block of 512 or 1,024 bytes.
#[test]
fn a_file_past_the_systems_limit_fails_its_item_and_leaves_nothing() {
    let (folder, paths) = pictures(&["a.png"]);
    let out = folder.path().join("out");
    let ran = run(after("ulimit -f 1", &ocr()).arg("--input").args(&paths).arg("--save_path").arg(&out));
    assert_eq!((ran.code, ran.lines().iter().map(error_kind).collect::<Vec<_>>()), (Some(1), vec![Some("io")]), "{}", ran.stderr);
    assert_eq!(tree(&out), [""; 0]);
}

#[test]
fn a_folder_that_cannot_be_made_stops_the_run_before_work() {
    let (folder, paths) = pictures(&["a.png"]);
    let ran = run(ocr().arg("--input").arg(&paths[0]).arg("--save_path").arg(paths[0].join("out")));
    assert_eq!((ran.code, &ran.stdout[..]), (Some(2), ""));
    assert!(ran.stderr.contains("cannot create"), "{}", ran.stderr);
    drop(folder);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = ocr().arg("--input").args([DEMO; 12]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line"); // and the pipe closes
    let mut noise = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut noise).expect("UTF-8");
    assert_eq!((child.wait().expect("ends").code(), &noise[..]), (Some(0), ""));
    for args in [&["doctor"][..], &["model", "list"], &["runtime", "list", "--json"], &["completions", "bash"], &["man"]] {
        let mut child = hpinfer().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("ends");
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{args:?}");
    }
}

#[test]
fn a_full_disk_is_said() {
    let full = fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let output = ocr().args(["--input", DEMO]).stdout(full).output().expect("starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"));
}

#[test]
fn the_listing_names_what_ran_and_timings_in_the_order_of_the_stages() {
    let ran = run(ocr().args(["--input", DEMO, "missing\u{1b}[31m.png", "--format", "text", "--timings"]));
    assert_eq!(ran.code, Some(1));
    let stages = ["decode", "det_pre", "det_infer", "det_post", "crop", "rec_pre", "rec_infer", "rec_post", "total"];
    let line = ran.stdout.lines().find(|line| line.starts_with("  ms: ")).expect("timings");
    let named: Vec<_> = line["  ms: ".len()..].split(", ").map(|part| part.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(named, stages);
    assert!(ran.stdout.contains("PP-OCRv4_mobile_rec on cpu (openvino ") && ran.stdout.contains("送货单"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}') && ran.stdout.contains("no such file"), "{}", ran.stdout);

    let line = run(ocr().args(["--input", DEMO, "--timings"])).lines().remove(0);
    let timings = line["timings_ms"].as_object().expect("timings");
    assert_eq!(timings.keys().collect::<Vec<_>>(), stages);
}

/// As the superuser permissions do not bind, so files stand where folders belong.
#[test]
fn a_run_does_without_a_cache_for_what_it_makes() {
    assert_eq!(run(ocr().args(["--input", DEMO])).code, Some(0)); // fetches what the first run of all does
    let home = tempfile::tempdir().expect("a folder");
    for fetched in ["runtime", "official_models"] {
        let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home").join(fetched);
        std::os::unix::fs::symlink(shared, home.path().join(fetched)).expect("a link");
    }
    let compiled = home.path().join("compiled");
    let refused = |backend: &[&str], told: usize| {
        let ran = run(hpinfer().args(["--pipeline", "OCR", "--offline", "--input", DEMO]).args(backend).env("HPINFER_HOME", home.path()));
        assert_eq!((ran.code, ran.lines().len()), (Some(0), 1), "{}", ran.stderr);
        assert_eq!(ran.stderr.matches("is not kept and is made anew").count(), told, "{}", ran.stderr);
        assert_eq!(ran.stderr.matches("set HPINFER_HOME").count(), told, "{}", ran.stderr);
    };
    for taken in ["compiled", "choices"] {
        fs::write(home.path().join(taken), "").expect("written");
    }
    refused(&[], 1);
    fs::remove_file(&compiled).expect("removed");
    refused(&["--backend", "openvino"], 0);
    for entry in fs::read_dir(&compiled).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            fs::remove_dir_all(&path).expect("removed");
            fs::write(&path, "").expect("written");
        }
    }
    refused(&["--backend", "openvino"], 1);
}
