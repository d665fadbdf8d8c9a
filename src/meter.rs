//! A reader that hands out no more than was allowed: what a library may take into memory before we look again.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

/// How much more may be read, shared by a reader and whoever bounds it.
#[derive(Debug, Clone, Default)]
pub struct Allowance {
    left: Rc<Cell<u64>>,
    is_spent: Rc<Cell<bool>>,
}

impl Allowance {
    /// Allows so many bytes from now on, and no others.
    pub fn set(&self, bytes: u64) {
        self.left.set(bytes);
    }

    /// Whether more was wanted than was allowed.
    pub fn is_spent(&self) -> bool {
        self.is_spent.get()
    }
}

/// A reader with an allowance.
#[derive(Debug)]
pub struct Metered<R> {
    inner: R,
    allowance: Allowance,
}

impl<R> Metered<R> {
    /// Makes one that reads from another as much as is allowed.
    pub fn new(inner: R, allowance: &Allowance) -> Self {
        let allowance = allowance.clone();
        Self { inner, allowance }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.allowance.left.get();
        if left == 0 && !buffer.is_empty() {
            self.allowance.is_spent.set(true);
            return Err(io::Error::other("more than may be read at once"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        self.allowance.set(left - count as u64);
        Ok(count)
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
