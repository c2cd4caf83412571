//! File locks: one process makes a thing, the others wait and then find it made.

use super::{Cache, Progress};
use crate::error::Result;
use crate::trace::NOTE;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{io, thread};

/// A wait of this length is nothing to speak of.
const SHORT: Duration = Duration::from_secs(2);
/// How often a lock is tried meanwhile.
const GLANCE: Duration = Duration::from_millis(20);

/// Exclusive right to make one thing in the cache. Given up when dropped or when the process ends in any way.
#[derive(Debug)]
#[must_use = "the lock ends when it is dropped"]
pub struct Lock {
    _file: File,
}

/// Waits for the exclusive right that the file `path` stands for; `what` names the thing to be made to a waiting user.
///
/// # Errors
/// When the lock file cannot be made or the file system has no locks.
pub fn lock_file(path: &Path, what: &str) -> io::Result<Lock> {
    let file = lock_open(path)?;
    if !is_had_within(&file, Duration::ZERO)? {
        let _waiting = Progress::spinner(format!("waiting until {what} is made"));
        if !is_had_within(&file, SHORT)? {
            tracing::info!(target: NOTE, "waiting until {what} is made: {} is held elsewhere", path.display());
            file.lock()?;
        }
    }
    Ok(Lock { _file: file })
}

fn lock_open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

/// Tries to lock `file` for so long; whether it is.
fn is_had_within(file: &File, time: Duration) -> io::Result<bool> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(e)) => return Err(e),
            Err(TryLockError::WouldBlock) if start.elapsed() >= time => return Ok(false),
            Err(TryLockError::WouldBlock) => thread::sleep(GLANCE),
        }
    }
}

impl Cache {
    /// The right that [`lock`](Self::lock) waits for, if it is to be had within `time`.
    ///
    /// # Errors
    /// Those of [`lock`](Self::lock).
    pub fn lock_within(&self, name: &str, time: Duration) -> Result<Option<Lock>> {
        let path = self.lock_path(name)?;
        let had = lock_open(&path).and_then(|file| Ok(is_had_within(&file, time)?.then_some(Lock { _file: file })));
        had.map_err(|e| self.refused("lock", &path, &e))
    }

    /// Waits for the exclusive right to make the thing called `name` (no path separators).
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with the next step when the lock file cannot be made or the file system has no locks.
    pub fn lock(&self, name: &str) -> Result<Lock> {
        let path = self.lock_path(name)?;
        lock_file(&path, name).map_err(|e| self.refused("lock", &path, &e))
    }

    fn lock_path(&self, name: &str) -> Result<PathBuf> {
        Ok(self.subdir(super::rooms::LOCKS)?.join(format!("{name}.lock")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    #[test]
    fn who_waits_for_a_time_goes_without() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(folder.path())).unwrap();
        let first = cache.lock("thing").unwrap();
        assert!(cache.lock_within("thing", Duration::from_millis(30)).unwrap().is_none());
        drop(first);
        assert!(cache.lock_within("thing", Duration::ZERO).unwrap().is_some());
    }

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
