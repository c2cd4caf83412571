//! File locks: one process makes a thing, the others wait and then find it made.

use super::{Cache, Progress};
use crate::error::Result;
use std::fs::{File, OpenOptions, TryLockError};

/// Exclusive right to make one thing in the cache. Given up when dropped or when the process ends in any way.
#[derive(Debug)]
#[must_use = "the lock ends when it is dropped"]
pub struct Lock {
    _file: File,
}

impl Cache {
    /// Waits for the exclusive right to make the thing called `name` (no path separators).
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with the next step when the lock file cannot be made or the file system has no locks.
    pub fn lock(&self, name: &str) -> Result<Lock> {
        let path = self.subdir("locks")?.join(format!("{name}.lock"));
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|e| self.refused("create", &path, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(e)) => return Err(self.refused("lock", &path, &e)),
            Err(TryLockError::WouldBlock) => {
                let _waiting = Progress::spinner(format!("waiting for another process that makes {name}"));
                file.lock().map_err(|e| self.refused("lock", &path, &e))?;
            }
        }
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    #[test]
    fn the_second_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(folder.path())).unwrap();
        let released = AtomicBool::new(false);
        let first = cache.lock("thing").unwrap();
        let _other = cache.lock("other thing").unwrap();
        thread::scope(|scope| {
            let second = scope.spawn(|| {
                let _lock = cache.lock("thing").unwrap();
                assert!(released.load(Ordering::SeqCst), "two holders at once");
            });
            thread::sleep(Duration::from_millis(100));
            released.store(true, Ordering::SeqCst);
            drop(first);
            second.join().unwrap();
        });
    }
}
