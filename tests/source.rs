//! Inputs from real files, a local web server and a pipe.

use hpinfer::image::decode::{Decoder, Limits};
use hpinfer::source::{InputItem, InputKind, NamedInputs, Source, SourceOptions};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn picture() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode/pictures/png_rgb8.png")).unwrap()
}

/// A folder with the given files, each a valid picture whatever its name.
fn folder_of(files: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, picture()).unwrap();
    }
    folder
}

fn items<I: AsRef<OsStr>>(inputs: &[I]) -> Vec<InputItem> {
    Source::new(inputs, SourceOptions::default()).collect()
}

/// Names of the items of `input`, relative to `folder`.
fn names(folder: &TempDir, input: &str) -> Vec<String> {
    let root = format!("{}/", folder.path().display());
    items(&[folder.path().join(input)]).iter().map(|item| item.name.strip_prefix(&root).unwrap_or(&item.name).to_owned()).collect()
}

fn load_error(item: &InputItem) -> String {
    let error = item.load(&Decoder::default()).unwrap_err();
    assert_eq!(error.kind(), "bad_input");
    let message = error.to_string();
    assert!(message.starts_with(&format!("{}: ", item.name)), "{message}");
    message
}

#[track_caller]
fn only(items: Vec<InputItem>) -> InputItem {
    assert_eq!(items.len(), 1, "{items:?}");
    items.into_iter().next().unwrap()
}

#[test]
fn files_load_under_the_name_they_were_given() {
    let folder = folder_of(&["a.png", "no_suffix", "wrong.jpg"]);
    for file in ["a.png", "no_suffix", "wrong.jpg"] {
        let path = folder.path().join(file).display().to_string();
        let item = only(items(&[&path]));
        let frame = item.load(&Decoder::default()).unwrap();
        assert_eq!(frame.id.input_path.as_deref(), Some(&*path));
        assert_eq!((frame.size().width, frame.size().height), (37, 22));
    }
}

#[test]
fn folders_are_walked_in_the_order_of_whole_paths() {
    let folder = folder_of(&["b/x.png", "b-c.png", "a.PNG", "a.txt", "z.tiff", "b/.hidden.jpg", "b/deep/er/y.WebP", "doc.pdf", "B.jpeg"]);
    assert_eq!(names(&folder, ""), ["B.jpeg", "a.PNG", "b-c.png", "b/.hidden.jpg", "b/deep/er/y.WebP", "b/x.png", "doc.pdf", "z.tiff"]);
}

#[test]
fn patterns_match_as_in_a_shell_and_existing_names_come_first() {
    let folder = folder_of(&["s1.png", "s2.jpg", "s3.txt", ".s4.png", "sub/s5.png", "t[1].png", "sub2/deep/s6.png"]);
    assert_eq!(names(&folder, "s?.*"), ["s1.png", "s2.jpg", "s3.txt"]);
    assert_eq!(names(&folder, "s[12].*"), ["s1.png", "s2.jpg"]);
    assert_eq!(names(&folder, "*4.png"), ["*4.png"], "hidden files are meant by name only");
    assert_eq!(names(&folder, ".s*"), [".s4.png"]);
    assert_eq!(names(&folder, "sub*"), ["sub/s5.png", "sub2/deep/s6.png"]);
    assert_eq!(names(&folder, "**/s6.png"), ["sub2/deep/s6.png"]);
    assert_eq!(names(&folder, "t[1].png"), ["t[1].png"]);
    assert_eq!(names(&folder, "t[1]x.png"), ["t[1]x.png"]);
}

#[test]
fn what_yields_nothing_is_one_error_naming_it() {
    let folder = folder_of(&["notes.txt", "empty.png"]);
    fs::create_dir(folder.path().join("bare")).unwrap();
    fs::write(folder.path().join("empty.png"), "").unwrap();
    fs::write(folder.path().join("words.png"), "no picture").unwrap();
    fs::write(folder.path().join("scan.pdf"), "%PDF-1.4").unwrap();
    for (input, reason) in [
        ("bare", "holds no picture"),
        ("missing.png", "no such file"),
        ("none*.png", "matches nothing"),
        ("bad[.png", "not a pattern"),
        ("scan.pdf", "not a readable PDF document"),
        ("empty.png", "empty"),
        ("words.png", "not a picture"),
        ("notes.txt/below.png", "cannot be read"),
    ] {
        let item = only(items(&[folder.path().join(input)]));
        assert!(item.name.ends_with(input), "{}", item.name);
        let message = load_error(&item);
        assert!(message.contains(reason), "{message}");
    }
    let nothing = load_error(&only(items(&[""])));
    assert!(nothing.contains("the name is empty"), "{nothing}");
}

#[test]
fn large_files_are_refused_before_reading() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sparse.png");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(load_error(&only(items(&[path]))).contains("1099511627776 bytes or more, the limit is 536870912"));
}

#[test]
fn a_single_pixel_is_nothing_to_read() {
    let folder = TempDir::new().unwrap();
    let [one, two] = [1, 2].map(|width| {
        let path = folder.path().join(format!("{width}.png"));
        image::GrayImage::new(width, 1).save(&path).unwrap();
        only(items(&[path]))
    });
    assert!(load_error(&one).contains("a single pixel"));
    assert_eq!(two.load(&Decoder::default()).unwrap().size().width, 2);
}

#[test]
fn pipes_and_devices_are_refused_and_odd_names_work() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder_of(&["ok.png"]);
    let pipe = folder.path().join("pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let started = Instant::now();
    for path in [pipe.clone(), PathBuf::from("/dev/zero")] {
        assert!(load_error(&only(items(&[path]))).contains("not a regular file"));
    }
    assert!(started.elapsed() < Duration::from_secs(5), "reading waited for the pipe");
    fs::remove_file(pipe).unwrap();

    let odd = folder.path().join(OsStr::from_bytes(b"caf\xe9.png"));
    fs::write(&odd, picture()).unwrap();
    std::os::unix::fs::symlink(folder.path().join("ok.png"), folder.path().join("link.png")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("gone.png"), folder.path().join("dangling.png")).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("loop.png")).unwrap();
    assert_eq!(names(&folder, ""), ["caf\u{fffd}.png", "dangling.png", "link.png", "ok.png"]);
    for item in items(&[folder.path()]) {
        match item.name.ends_with("dangling.png") {
            true => assert!(load_error(&item).contains("no such file")),
            false => drop(item.load(&Decoder::default()).unwrap()),
        }
    }
}

#[test]
fn several_inputs_keep_their_order() {
    let folder = folder_of(&["2.png", "1.png", "sub/3.png"]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let inputs = [path("2.png"), path("sub"), path("gone.png"), path("[12].png"), path("2.png"), "-".into()];
    let found: Vec<_> = Source::with_list(&inputs, SourceOptions::default(), Box::new(&b"x.png\n"[..])).map(|item| item.name).collect();
    assert_eq!(found, [path("2.png"), path("sub/3.png"), path("gone.png"), path("1.png"), path("2.png"), path("2.png"), "x.png".into()]);
}

#[test]
fn lists_tolerate_line_ends_blanks_and_odd_bytes() {
    let list = |text: &'static [u8]| Source::with_list(&["-"], SourceOptions::default(), Box::new(text)).collect::<Vec<_>>();
    let found = list(b"\xef\xbb\xbfa b.png\r\n\n  \r\nc.png\nhttp://127.0.0.1/x.png\n-\ncaf\xe9.png\nlast.png");
    let names: Vec<_> = found.iter().map(|item| &*item.name).collect();
    assert_eq!(names, ["a b.png", "c.png", "http://127.0.0.1/x.png", "-", "caf\u{fffd}.png", "last.png"]);
    assert!(matches!(&found[4].kind, InputKind::File(path) if path.as_os_str().as_encoded_bytes() == b"caf\xe9.png"));
    for empty in [&b""[..], b"\n\n"] {
        assert!(load_error(&only(list(empty))).contains("names no picture"));
    }
    for piped in [&b"\x89PNG\r\n\x1a\nx"[..], b"\xff\xd8\xff\xe0\0\x10JFIF\0\n", b"%PDF-1.7\n1 0 obj\n", b"a.png\0b.png\0"] {
        assert!(load_error(&only(list(piped))).contains("holds no list of paths"));
    }
    assert_eq!(list(b"a.png\nb\0.png\nc.png\n").len(), 3);
    let long: &'static [u8] = [vec![b'x'; 1 << 20], b"\nafter.png\n".to_vec()].concat().leak();
    let found = list(long);
    assert!(load_error(&found[0]).contains("line 1 of standard input is longer"));
    assert_eq!((found.len(), &*found[1].name), (2, "after.png"));
    let twice: Vec<_> = Source::with_list(&["-", "-"], SourceOptions::default(), Box::new(&b"a.png\n"[..])).collect();
    assert!(load_error(&twice[1]).contains("named twice"));
}

/// A line must come out before the next one is written: the reader of a pipe waits for nothing else.
#[test]
fn a_line_is_passed_on_when_it_arrives() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for item in Source::with_list(&["-"], SourceOptions::default(), Box::new(BufReader::new(reader))) {
            sender.send(item.name).unwrap();
        }
    });
    for name in ["first.png", "second.png"] {
        writeln!(writer, "{name}").unwrap();
        assert_eq!(receiver.recv_timeout(Duration::from_secs(20)).unwrap(), name);
    }
    drop(writer);
    assert!(receiver.recv_timeout(Duration::from_secs(20)).is_err(), "the source ends with the list");
}

/// Serves each connection with what `answer` writes for the requested path, until the process ends.
fn serve(answer: fn(&str, &mut TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let (mut request, mut byte) = (Vec::new(), [0]);
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                    request.push(byte[0]);
                }
                let request = String::from_utf8_lossy(&request);
                answer(request.split(' ').nth(1).unwrap_or(""), &mut stream);
            });
        }
    });
    format!("http://{address}")
}

fn head(stream: &mut TcpStream, status: &str, length: usize, extra: &str) {
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{extra}\r\n");
}

fn answer(path: &str, stream: &mut TcpStream) {
    let picture = picture();
    match path {
        "/ok.png" => {
            head(stream, "200 OK", picture.len(), "");
            let _ = stream.write_all(&picture);
        }
        "/moved" => head(stream, "302 Found", 0, "Location: /ok.png\r\n"),
        "/6" | "/5" | "/4" | "/3" | "/2" => {
            let left: u32 = path[1..].parse().unwrap();
            head(stream, "302 Found", 0, &format!("Location: /{}\r\n", left - 1));
        }
        "/1" => head(stream, "302 Found", 0, "Location: /ok.png\r\n"),
        "/loop" => head(stream, "302 Found", 0, "Location: /loop\r\n"),
        "/broken" => head(stream, "500 Internal Server Error", 0, ""),
        "/silent" => std::thread::sleep(Duration::from_secs(30)),
        "/stalls" => {
            head(stream, "200 OK", picture.len(), "");
            let _ = stream.write_all(&picture[..50]);
            std::thread::sleep(Duration::from_secs(30));
        }
        "/short" => {
            head(stream, "200 OK", picture.len(), "");
            let _ = stream.write_all(&picture[..picture.len() / 2]);
        }
        "/announced" => head(stream, "200 OK", 1 << 31, ""),
        "/endless" => {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            while stream.write_all(&[0; 4096]).is_ok() {}
        }
        "/page" => {
            head(stream, "200 OK", 6, "Content-Type: text/html\r\n");
            let _ = stream.write_all(b"<html>");
        }
        _ => head(stream, "404 Not Found", 0, ""),
    }
}

#[test]
fn urls_are_fetched_within_bounds() {
    let server = serve(answer);
    let decoder = Decoder { limits: Limits { max_file_bytes: 100_000, ..Limits::default() }, ..Decoder::default() };
    let options = SourceOptions { read_timeout: Duration::from_millis(400), limits: decoder.limits, ..SourceOptions::default() };
    let load = |path: &str| {
        let url = format!("{server}{path}");
        let item = only(Source::new(&[&url], options.clone()).collect());
        assert_eq!(item.name, url);
        item.load(&decoder)
    };
    for path in ["/ok.png", "/moved", "/5"] {
        assert_eq!(load(path).unwrap().id.input_path.unwrap(), format!("{server}{path}"));
    }
    let started = Instant::now();
    for (path, reason) in [
        ("/nowhere", "status 404"),
        ("/broken", "status 500"),
        ("/6", "more than 5 redirects"),
        ("/loop", "more than 5 redirects"),
        ("/silent", "no answer in time"),
        ("/stalls", "no answer in time"),
        ("/short", "cannot be fetched"),
        ("/announced", "2147483648 bytes or more, the limit is 100000"),
        ("/endless", "the limit is 100000"),
        ("/page", "not a picture"),
    ] {
        let message = load(path).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{server}{path}: ")) && message.contains(reason), "{message}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "a slow server held the run up");
}

#[test]
fn unreachable_hosts_and_offline_runs_give_errors() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/x.png");
    let refused = load_error(&only(items(&[&url])));
    assert!(refused.contains("connection") || refused.contains("refused"), "{refused}");
    let offline =
        only(Source::new(&["HTTPS://example.invalid/x.png"], SourceOptions { offline: true, ..SourceOptions::default() }).collect());
    assert!(load_error(&offline).contains("--offline is set"));
    assert!(load_error(&only(items(&["http://"]))).contains("cannot be fetched"));
}

#[test]
fn what_inputs_name_is_known_before_their_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("pics/below")).expect("a folder");
    for name in ["a.png", "b.png", "c.jpg", "pics/d.png", "pics/below/e.png", "pics/notes.txt"] {
        std::fs::write(at(name), b"").expect("a file");
    }
    let inputs = [at("a.png"), at("*.jpg"), at("pics"), at("absent.png"), "http://example.org/b.png".into()];
    let named = NamedInputs::new(&inputs);
    let contained = |name: &str| named.contains(&at(name));
    assert!(["a.png", "pics/../a.png", "c.jpg", "pics/d.png", "pics/below/e.png"].into_iter().all(contained));
    assert!(!["b.png", "pics/notes.txt", "pics", "absent.png", "pics/absent.png"].into_iter().any(contained));
    let list = NamedInputs::new(&["-"]);
    let contained = |name: &str| list.contains(&at(name));
    assert!(contained("b.png") && !contained("pics/notes.txt") && !contained("absent.png"), "a list may name any picture that is there");
}
