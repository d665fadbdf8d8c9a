//! Packing of closed segments: their batches in larger ones, compressed as every Kafka client can read, with an index.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::StreamError;
use super::batch::{self, BATCH_BYTES, Builder, HEADER, Header};
use super::page::Page;
use super::segment::{self, INDEX, Map, PACKED, PACKING, PLAIN, io_error};

/// A thread that packs the segments of one topic, one after the other.
#[derive(Debug)]
pub(super) struct Packer {
    orders: Option<Sender<u64>>,
    thread: Option<JoinHandle<()>>,
    fault: Arc<Mutex<Option<String>>>,
}

impl Packer {
    pub(super) fn start(dir: &Path) -> io::Result<Self> {
        let (orders, ordered) = mpsc::channel();
        let fault = Arc::new(Mutex::new(None));
        let (dir, told) = (dir.to_owned(), Arc::clone(&fault));
        let thread = std::thread::Builder::new()
            .name("pack".to_owned())
            .spawn(move || pack_all(&dir, &ordered, &told))?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
            fault,
        })
    }

    /// Orders a segment to be packed; the thread comes to it.
    pub(super) fn order(&self, base: u64) {
        if let Some(orders) = &self.orders {
            // The thread outlives every sender.
            let _sent = orders.send(base);
        }
    }

    /// Returns why the last segment could not be packed; it is tried again with the next.
    pub(super) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until everything that was ordered is done.
    pub(super) fn finish(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        self.finish();
    }
}

fn pack_all(dir: &Path, ordered: &Receiver<u64>, told: &Mutex<Option<String>>) {
    let mut waiting = BTreeSet::new();
    while let Ok(base) = ordered.recv() {
        waiting.insert(base);
        let mut fault = None;
        waiting.retain(|base| match pack(dir, *base) {
            Ok(()) => false,
            Err(error) => {
                fault = Some(error.to_string());
                // A damaged segment stays as it is, for people to look at.
                !matches!(error, StreamError::Corrupt { .. })
            }
        });
        *told.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

/// Packs a closed segment; killed at any moment it leaves the plain segment or the packed one, and does it again.
pub(super) fn pack(dir: &Path, base: u64) -> Result<(), StreamError> {
    let plain = segment::path(dir, base, PLAIN);
    let packed = segment::path(dir, base, PACKED);
    if packed.exists() {
        return remove(&plain);
    }
    let source = File::open(&plain).map_err(|error| io_error(&plain, error))?;
    let length = source.metadata().map_err(|error| io_error(&plain, error))?.len();
    let packing = segment::path(dir, base, PACKING);
    let target = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&packing)
        .map_err(|error| io_error(&packing, error))?;
    let mut work = Work {
        source: BufReader::with_capacity(BATCH_BYTES, source),
        target: BufWriter::new(target),
        builder: Builder::default(),
        map: Map::new(base),
        bytes: Vec::new(),
    };
    work.builder.begin(base);
    work.run(&plain, &packing, length)?;
    let target = work
        .target
        .into_inner()
        .map_err(|error| io_error(&packing, error.into_error()))?;
    target.sync_all().map_err(|error| io_error(&packing, error))?;
    let index = segment::path(dir, base, INDEX);
    File::create(&index)
        .and_then(|mut file| {
            file.write_all(&work.map.to_bytes())?;
            file.sync_all()
        })
        .map_err(|error| io_error(&index, error))?;
    fs::rename(&packing, &packed).map_err(|error| io_error(&packed, error))?;
    segment::sync_dir(dir)?;
    remove(&plain)
}

fn remove(path: &Path) -> Result<(), StreamError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

struct Work {
    source: BufReader<File>,
    target: BufWriter<File>,
    builder: Builder,
    map: Map,
    bytes: Vec<u8>,
}

impl Work {
    fn run(&mut self, plain: &Path, packing: &Path, length: u64) -> Result<(), StreamError> {
        let mut page = Page::default();
        let mut at = 0;
        while at < length {
            let read = self.batch(length - at).map_err(|error| io_error(plain, error))?;
            page.clear();
            let decoded = read.and_then(|()| batch::decode(&self.bytes, 0, &mut page));
            let next = self.builder.next();
            let what = match decoded {
                Ok(header) if header.base == next => {
                    at += header.length as u64;
                    for entry in page.entries() {
                        self.builder.push(entry.stamp_ms, entry.line);
                        if self.builder.is_full() {
                            self.write().map_err(|error| io_error(packing, error))?;
                        }
                    }
                    continue;
                }
                Ok(_) => "a batch does not follow the one before",
                Err(what) => what,
            };
            return Err(StreamError::Corrupt {
                path: plain.to_owned(),
                at,
                what,
                lost: next..next + 1,
            });
        }
        self.write().map_err(|error| io_error(packing, error))
    }

    /// Reads one batch of the plain segment, of which `left` bytes are left.
    fn batch(&mut self, left: u64) -> io::Result<Result<(), &'static str>> {
        if left < HEADER as u64 {
            return Ok(Err("a batch is cut"));
        }
        self.bytes.resize(HEADER, 0);
        self.source.read_exact(&mut self.bytes)?;
        match Header::parse(&self.bytes) {
            Ok(header) if header.length as u64 <= left => {
                self.bytes.resize(header.length, 0);
                self.source.read_exact(&mut self.bytes[HEADER..])?;
                Ok(Ok(()))
            }
            Ok(_) => Ok(Err("a batch is cut")),
            Err(what) => Ok(Err(what)),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.builder.is_empty() {
            return Ok(());
        }
        self.bytes.clear();
        self.builder.finish(true, &mut self.bytes);
        self.target.write_all(&self.bytes)?;
        let header = Header::parse(&self.bytes).map_err(io::Error::other)?;
        self.map.push(&header);
        let next = self.builder.next();
        self.builder.begin(next);
        Ok(())
    }
}
