//! What a library's file tells without loading it: whether it is one, and its version.

use super::Library;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Version numbers, most significant first: two or three.
pub(super) type Version = Vec<u32>;

impl Library {
    /// Name of the file without version.
    pub(super) const fn stem(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "libonnxruntime.so",
            Self::OpenVino => "libopenvino_c.so",
        }
    }

    /// Oldest version the bindings of this program accept: ONNX Runtime's C interface 24 came with 1.24, and the
    /// OpenVINO bindings refuse what came before 2025.1.
    pub(super) const fn oldest(self) -> [u32; 2] {
        match self {
            Self::OnnxRuntime => [1, 24],
            Self::OpenVino => [2025, 1],
        }
    }

    /// The version a file name tells, links followed: `libonnxruntime.so.1.31.1`, `libopenvino_c.so.2641`
    /// (year 2026, release 4, patch 1) or `libopenvino_c.so.2026.4.1`.
    pub(super) fn version(self, path: &Path) -> Option<Version> {
        let path = path.canonicalize().ok()?;
        let suffix = path.file_name()?.to_str()?.strip_prefix(self.stem())?.strip_prefix('.')?;
        if let (Self::OpenVino, &[y1, y2, release, patch]) = (self, suffix.as_bytes())
            && suffix.bytes().all(|b| b.is_ascii_digit())
        {
            let digit = |b: u8| u32::from(b - b'0');
            return Some(vec![2000 + 10 * digit(y1) + digit(y2), digit(release), digit(patch)]);
        }
        let numbers: Version = suffix.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
        // A lone number is the version of the binary interface, not of the library.
        (numbers.len() >= 2).then_some(numbers)
    }
}

/// Numbers joined by dots.
pub(super) fn dotted(version: &[u32]) -> String {
    version.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// Why the file at `path` cannot be a library for this machine, if so.
pub(super) fn defect(path: &Path) -> Option<String> {
    match path.metadata() {
        Ok(meta) if meta.is_dir() => return Some("is a folder; name the library's file in it".into()),
        // Opening a pipe waits for whoever writes to it.
        Ok(meta) if !meta.is_file() => return Some("is no regular file".into()),
        _ => {}
    }
    let mut head = [0; 20];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    match read {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Some("is not a shared library".into()),
        Err(e) => Some(format!("cannot be read: {e}")),
        Ok(()) if !is_library(&head) => Some("is not a shared library".into()),
        Ok(()) if !is_for_this_machine(&head) => Some(format!("is a library for another machine than {}", std::env::consts::ARCH)),
        Ok(()) => None,
    }
}

/// ELF, and of type `ET_DYN`; on systems that have no ELF files the loader has to tell.
fn is_library(head: &[u8; 20]) -> bool {
    !cfg!(target_os = "linux") || (head.starts_with(b"\x7fELF") && u16::from_ne_bytes([head[16], head[17]]) == 3)
}

/// ELF class and `e_machine`.
fn is_for_this_machine(head: &[u8; 20]) -> bool {
    let machine = u16::from_ne_bytes([head[18], head[19]]);
    let expected = match std::env::consts::ARCH {
        "x86_64" => 62,
        "aarch64" => 183,
        _ => return true,
    };
    !cfg!(target_os = "linux") || (head[4] == 2 && machine == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        let folder = tempfile::tempdir().unwrap();
        let cases: [(Library, &str, Option<&[u32]>); 8] = [
            (Library::OnnxRuntime, "libonnxruntime.so.1.31.1", Some(&[1, 31, 1])),
            (Library::OnnxRuntime, "libonnxruntime.so.1", None),
            (Library::OnnxRuntime, "libonnxruntime.so", None),
            (Library::OnnxRuntime, "libother.so.1.2.3", None),
            (Library::OpenVino, "libopenvino_c.so.2641", Some(&[2026, 4, 1])),
            (Library::OpenVino, "libopenvino_c.so.2024.6.0", Some(&[2024, 6, 0])),
            (Library::OpenVino, "libopenvino_c.so.x641", None),
            (Library::OpenVino, "libopenvino_c.so", None),
        ];
        for (library, name, expected) in cases {
            let path = folder.path().join(name);
            std::fs::write(&path, b"").unwrap();
            assert_eq!(library.version(&path).as_deref(), expected, "{name}");
        }
        let link = folder.path().join("link.so");
        std::os::unix::fs::symlink("libonnxruntime.so.1.31.1", &link).unwrap();
        assert_eq!(Library::OnnxRuntime.version(&link), Some(vec![1, 31, 1]));
    }

    #[test]
    fn what_is_no_library_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text.so");
        std::fs::write(&text, "INPUT(libreal.so) and more text").unwrap();
        let foreign = folder.path().join("foreign.so");
        let mut head = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xf3\0"; // RISC-V
        std::fs::write(&foreign, head).unwrap();
        let empty = folder.path().join("empty.so");
        std::fs::write(&empty, b"").unwrap();
        let pipe = folder.path().join("pipe.so");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let cases = [
            (folder.path(), "folder"),
            (&text, "not a shared"),
            (&empty, "not a shared"),
            (&foreign, "another machine"),
            (Path::new("/no/such"), "cannot be read"),
            (&pipe, "no regular file"),
        ];
        for (path, expected) in cases {
            let reason = defect(path).unwrap();
            assert!(reason.contains(expected), "{}: {reason}", path.display());
        }
        head[18] = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
        std::fs::write(&foreign, head).unwrap();
        assert_eq!(defect(&foreign), None);
    }
}
