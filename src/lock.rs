//! The lock of whoever alone may write a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// The lock of a file, held until it is dropped or this process ends, however it ends.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the lock of a file, which is made if it is not there.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] when another holds it.
    pub fn take(path: &Path) -> Result<Self, TryLockError> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(TryLockError::Error)?;
        file.try_lock()?;
        Ok(Self(file))
    }
}

impl Drop for Lock {
    /// Closing the file is not enough: a process that another thread is about to start has it too until its program begins,
    /// and a lock is held as long as anyone has its file.
    fn drop(&mut self) {
        let _closed_next = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_was_given_back_is_free_though_a_process_that_is_about_to_start_has_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        assert!(matches!(Lock::take(&path), Err(TryLockError::WouldBlock)));
        // What a process that was forked holds until it runs its program.
        let inherited = lock.0.try_clone().unwrap();
        drop(lock);
        Lock::take(&path).unwrap();
        drop(inherited);
    }
}
