//! Memory of the host that this process may use.

use rustix::process::{Resource, getrlimit};
use std::path::Path;

/// Bytes of memory that this process may use: those of the machine, or fewer where a control group or a limit of the process says so;
/// `None` where nothing tells.
pub fn available_memory() -> Option<u64> {
    let file = |path| std::fs::read_to_string(path).unwrap_or_default();
    let machine = file("/proc/meminfo").split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib << 10);
    let limits = [Resource::As, Resource::Data].into_iter().filter_map(|limit| getrlimit(limit).current);
    machine.into_iter().chain(limits).chain(control_groups(Path::new("/sys/fs/cgroup"), &file("/proc/self/cgroup"))).min()
}

/// The least limit of the control groups that a process is in by the text `groups`, of either version; those around them count.
fn control_groups(root: &Path, groups: &str) -> Option<u64> {
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?);
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            named if named.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let group = root.join(group.trim_start_matches('/'));
        let around = group.ancestors().take_while(|folder| folder.starts_with(&root));
        around.filter_map(|folder| std::fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok()).min()
    };
    groups.lines().filter_map(of_line).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_control_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("memory.max", "max\n");
        write("pod/memory.max", "2147483648\n");
        write("pod/one/memory.max", "max\n");
        write("memory/old/memory.limit_in_bytes", "1048576\n");
        for (groups, expected) in [
            ("0::/pod/one\n", Some(2 << 30)),
            ("0::/\n", None),
            ("0::/gone/away\n", None),
            ("4:cpu,cpuacct:/old\n9:memory:/old\n0::/pod\n", Some(1 << 20)),
            ("4:cpu:/old\n", None),
            ("nothing", None),
        ] {
            assert_eq!(control_groups(root.path(), groups), expected, "{groups}");
        }
        assert!(available_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
