//! The file back end: a folder of topics, each written by one process at a time and read by any number.
//!
//! A topic is a folder of segments. The newest grows batch by batch; the others are packed by a thread of the writer. A
//! process may be killed at any moment: what was flushed is there, and a batch that was cut in the middle is taken away when
//! the topic is opened to be written again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::batch::Builder;
use super::log::TopicLog;
use super::pack::{self, Packer};
use super::page::Page;
use super::segment::{self, Found, INDEX, Map, PACKED, PACKING, PLAIN, Scanned, io_error, sync_dir};
use super::{At, Publisher, Reader, StreamError, TopicName};
use crate::clock::Clock;
use crate::event::MAX_LINE;
use crate::lock::Lock;

/// The file whose lock the writer holds.
const LOCK: &str = "writer.lock";
/// How often a waiting reader looks whether there is something new.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The bytes of the disk that are read for one page.
const PAGE_BYTES: usize = 1 << 20;

/// A folder of topics.
#[derive(Debug, Clone)]
pub struct Archive {
    dir: PathBuf,
}

/// When a writer asks the system to bring what was flushed to the disk, beside [`Publisher::sync`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// At each flush: an acknowledged event survives a loss of power.
    EachFlush,
    /// At the first flush after this time: so much may be lost with the power, nothing with the process.
    Within(Duration),
    /// When a segment is closed alone.
    Closing,
}

/// How a topic is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// When to sync; within a second if not said.
    pub sync: SyncPolicy,
    /// The bytes after which a segment is closed and packed.
    pub segment_bytes: u64,
    /// The most bytes that the topic's packed segments may have; the oldest are removed. All are kept if not said.
    pub keep_bytes: Option<u64>,
    /// The number of the first event of a new topic; of no meaning for one that has events.
    pub first_seq: u64,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            sync: SyncPolicy::Within(Duration::from_secs(1)),
            segment_bytes: 64 << 20,
            keep_bytes: None,
            first_seq: 0,
        }
    }
}

impl Archive {
    /// Names a folder; nothing is made until something is published.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Returns the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the topics in the order of their names.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn topics(&self) -> Result<Vec<TopicName>, StreamError> {
        let mut topics = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(|error| io_error(&self.dir, error))? {
            let entry = entry.map_err(|error| io_error(&self.dir, error))?;
            let name = entry.file_name();
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if let Some(topic) = name.to_str().filter(|_| folder).map(TopicName::new) {
                topics.extend(
                    topic
                        .ok()
                        .filter(|topic| topic.as_str().starts_with(|letter| letter != '.')),
                );
            }
        }
        topics.sort();
        Ok(topics)
    }

    /// Opens a topic to be written, and makes it if there is none.
    ///
    /// # Errors
    /// When another process writes it, the system refuses, or an earlier segment cannot be read.
    pub fn publisher(
        &self,
        topic: &TopicName,
        options: WriteOptions,
        clock: Clock,
    ) -> Result<ArchivePublisher, StreamError> {
        ArchivePublisher::open(&self.dir.join(topic.as_str()), options, clock)
    }

    /// Opens a topic to be read, from its beginning.
    ///
    /// # Errors
    /// When there is no such topic, or the system refuses.
    pub fn reader(&self, topic: &TopicName, clock: Clock) -> Result<ArchiveReader, StreamError> {
        let mut log = self.log(topic)?;
        let at = log.bounds()?.start;
        Ok(ArchiveReader {
            log,
            at,
            scratch: Vec::new(),
            clock,
        })
    }

    /// Opens a topic for whoever reads batches as they lie, as the broker does.
    ///
    /// # Errors
    /// As for [`Self::reader`].
    pub fn log(&self, topic: &TopicName) -> Result<TopicLog, StreamError> {
        TopicLog::open(&self.dir.join(topic.as_str()), topic)
    }
}

/// The one writer of a topic.
///
/// Dropping it flushes and syncs, as well as it can; [`Publisher::sync`] tells whether that worked.
#[derive(Debug)]
pub struct ArchivePublisher {
    dir: PathBuf,
    options: WriteOptions,
    clock: Clock,
    /// Held locked for as long as this lives.
    _lock: Lock,
    packer: Packer,
    /// The newest segment.
    file: File,
    base: u64,
    /// Where its last batch ends. There may be the remains of a failed write behind it.
    length: u64,
    torn: bool,
    builder: Builder,
    batch: Vec<u8>,
    /// Below it everything is written.
    acked: u64,
    /// Below it everything is on the disk.
    synced: u64,
    synced_ns: u64,
    broken: Option<String>,
    /// The events of the newest segment that are lost in damaged bytes.
    lost: Vec<Range<u64>>,
}

impl ArchivePublisher {
    fn open(dir: &Path, options: WriteOptions, clock: Clock) -> Result<Self, StreamError> {
        fs::create_dir_all(dir).map_err(|error| io_error(dir, error))?;
        let lock = segment::lock(&dir.join(LOCK))?;
        let found = tidy(dir)?;
        let packer = Packer::start(dir).map_err(|error| io_error(dir, error))?;
        let mut lost = Vec::new();
        let (base, file, length, next) = match found.last() {
            Some(last) if !last.packed => {
                let (file, map) = open_plain(dir, last.base)?;
                lost.extend(map.holes.iter().map(|hole| hole.events.clone()));
                (last.base, file, map.length, map.end)
            }
            Some(last) => {
                let path = segment::path(dir, last.base, PACKED);
                let mut packed = File::open(&path).map_err(|error| io_error(&path, error))?;
                let end = segment::map_packed(dir, last.base, &mut packed)?.end;
                (end, create(dir, end)?, 0, end)
            }
            None => {
                let first = options.first_seq;
                (first, create(dir, first)?, 0, first)
            }
        };
        // What the one before did not come to.
        for closed in found.iter().filter(|found| !found.packed && found.base != base) {
            packer.order(closed.base);
        }
        let mut builder = Builder::default();
        builder.begin(next);
        Ok(Self {
            dir: dir.to_owned(),
            options,
            clock,
            _lock: lock,
            packer,
            file,
            base,
            length,
            torn: false,
            builder,
            batch: Vec::new(),
            acked: next,
            synced: next,
            synced_ns: clock.elapsed_ns(),
            broken: None,
            lost,
        })
    }

    /// Returns the events of the newest segment that were lost in damaged bytes before it was opened.
    pub fn lost(&self) -> &[Range<u64>] {
        &self.lost
    }

    /// Returns why closed segments could not be packed the last time; they are tried again.
    pub fn packing_fault(&self) -> Option<String> {
        self.packer.fault()
    }

    /// Ends the topic for now: syncs, and packs the newest segment as well.
    ///
    /// # Errors
    /// When the system refuses; everything that was acknowledged is there all the same.
    pub fn finish(mut self) -> Result<(), StreamError> {
        self.sync()?;
        self.packer.finish();
        if self.length > 0 {
            pack::pack(&self.dir, self.base)?;
        }
        Ok(())
    }

    /// Writes the batch that was begun. When it fails, what stands behind the last batch is no batch, and is written over.
    fn write(&mut self) -> Result<(), StreamError> {
        if let Some(why) = &self.broken {
            return Err(StreamError::Broken(why.clone()));
        }
        if self.builder.is_empty() {
            return Ok(());
        }
        if self.length >= self.options.segment_bytes {
            self.rotate(self.acked)?;
        }
        self.batch.clear();
        self.builder.finish(false, &mut self.batch);
        let wrote = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(&self.batch));
        if let Err(error) = wrote {
            // A reader would take the remains for a batch that is being written; that is true until the next try.
            self.torn = self.file.set_len(self.length).is_err();
            return Err(io_error(&self.newest(), error));
        }
        self.torn = false;
        self.length += self.batch.len() as u64;
        self.acked = self.builder.next();
        self.builder.begin(self.acked);
        Ok(())
    }

    fn sync_data(&mut self) -> Result<(), StreamError> {
        if self.synced == self.acked {
            return Ok(());
        }
        if let Err(error) = self.file.sync_data() {
            // The system may have dropped what it could not write, and would not say so a second time.
            self.broken = Some(format!(
                "`{}` could not be synced: {error}",
                self.newest().display()
            ));
            return Err(io_error(&self.newest(), error));
        }
        self.synced = self.acked;
        self.synced_ns = self.clock.elapsed_ns();
        Ok(())
    }

    /// Closes the newest segment and begins one with an event behind it.
    fn rotate(&mut self, next: u64) -> Result<(), StreamError> {
        if self.torn {
            self.file
                .set_len(self.length)
                .map_err(|error| io_error(&self.newest(), error))?;
            self.torn = false;
        }
        self.sync_data()?;
        self.file = create(&self.dir, next)?;
        let closed = std::mem::replace(&mut self.base, next);
        let was_empty = std::mem::take(&mut self.length) == 0;
        if was_empty {
            let path = segment::path(&self.dir, closed, PLAIN);
            return fs::remove_file(&path).map_err(|error| io_error(&path, error));
        }
        self.packer.order(closed);
        self.forget_oldest()
    }

    /// Removes the oldest packed segments beyond what is to be kept.
    fn forget_oldest(&self) -> Result<(), StreamError> {
        let Some(keep) = self.options.keep_bytes else {
            return Ok(());
        };
        let found = segment::list(&self.dir).map_err(|error| io_error(&self.dir, error))?;
        let mut kept = 0;
        for Found { base, .. } in found.into_iter().rev().filter(|found| found.packed) {
            let path = segment::path(&self.dir, base, PACKED);
            kept += fs::metadata(&path).map_err(|error| io_error(&path, error))?.len();
            if kept > keep {
                fs::remove_file(&path).map_err(|error| io_error(&path, error))?;
                // An index alone means nothing; the next listing does not see it.
                let _gone = fs::remove_file(segment::path(&self.dir, base, INDEX));
            }
        }
        Ok(())
    }

    fn newest(&self) -> PathBuf {
        segment::path(&self.dir, self.base, PLAIN)
    }
}

impl Publisher for ArchivePublisher {
    fn next_seq(&self) -> u64 {
        self.builder.next()
    }

    fn publish(&mut self, stamp_ms: i64, line: &[u8]) -> Result<u64, StreamError> {
        if line.len() > MAX_LINE {
            return Err(StreamError::Line("the line is longer than any line of the log"));
        }
        if line.contains(&b'\n') {
            return Err(StreamError::Line("the line holds a newline"));
        }
        if self.builder.is_full() {
            self.flush()?;
        }
        let seq = self.builder.next();
        self.builder.push(stamp_ms, line);
        Ok(seq)
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.write()?;
        let due = match self.options.sync {
            SyncPolicy::EachFlush => true,
            SyncPolicy::Within(time) => {
                u128::from(self.clock.elapsed_ns() - self.synced_ns) >= time.as_nanos()
            }
            SyncPolicy::Closing => false,
        };
        if due { self.sync_data() } else { Ok(()) }
    }

    fn acked(&self) -> u64 {
        match self.options.sync {
            SyncPolicy::EachFlush => self.synced,
            SyncPolicy::Within(_) | SyncPolicy::Closing => self.acked,
        }
    }

    fn kept(&self) -> u64 {
        self.synced
    }

    fn sync(&mut self) -> Result<(), StreamError> {
        self.write()?;
        self.sync_data()
    }

    fn skip_to(&mut self, seq: u64) -> Result<(), StreamError> {
        if seq <= self.next_seq() {
            return Ok(());
        }
        self.write()?;
        self.rotate(seq)?;
        self.builder.begin(seq);
        self.acked = seq;
        self.synced = seq;
        Ok(())
    }
}

impl Drop for ArchivePublisher {
    fn drop(&mut self) {
        // Whoever needs to know has called `sync`.
        let _unseen = self.sync();
    }
}

/// Removes what a killed writer left half done, and returns the segments.
fn tidy(dir: &Path) -> Result<Vec<Found>, StreamError> {
    let found = segment::list(dir).map_err(|error| io_error(dir, error))?;
    for Found { base, packed } in &found {
        let leftovers = [packed.then_some(PLAIN), Some(PACKING)];
        for extension in leftovers.into_iter().flatten() {
            let path = segment::path(dir, *base, extension);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(io_error(&path, error)),
                _ => {}
            }
        }
    }
    Ok(found)
}

fn create(dir: &Path, base: u64) -> Result<File, StreamError> {
    let path = segment::path(dir, base, PLAIN);
    // One that is there is empty: it was made when the disk had no room for its first batch.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(|error| io_error(&path, error))?;
    sync_dir(dir)?;
    Ok(file)
}

/// Opens the newest segment, and takes away what stands behind its last whole batch; damage between whole batches stays.
///
/// A batch that was cut is what a killed writer leaves, and nobody was told that it was written. Anything else is put
/// aside beside the segment, for people to look at.
fn open_plain(dir: &Path, base: u64) -> Result<(File, Map), StreamError> {
    let path = segment::path(dir, base, PLAIN);
    let fault = |error: io::Error| io_error(&path, error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(fault)?;
    let length = file.metadata().map_err(fault)?.len();
    let mut map = Map::new(base);
    let scanned = segment::scan(&mut file, &mut map, length, true).map_err(fault)?;
    if scanned == Scanned::Whole {
        // What a killed process has left may not be on the disk yet.
        file.sync_all().map_err(fault)?;
        return Ok((file, map));
    }
    if let Scanned::Bad(_) = scanned {
        let mut cut = Vec::new();
        file.seek(SeekFrom::Start(map.length)).map_err(fault)?;
        file.read_to_end(&mut cut).map_err(fault)?;
        let aside = segment::path(dir, base, &format!("cut-at-{}", map.length));
        fs::write(&aside, cut).map_err(|error| io_error(&aside, error))?;
    }
    file.set_len(map.length).map_err(fault)?;
    file.sync_all().map_err(fault)?;
    Ok((file, map))
}

/// A reader of a topic of the archive.
#[derive(Debug)]
pub struct ArchiveReader {
    log: TopicLog,
    at: u64,
    scratch: Vec<u8>,
    clock: Clock,
}

impl Reader for ArchiveReader {
    fn seek(&mut self, to: At) -> Result<(), StreamError> {
        self.at = self.log.resolve(to)?;
        Ok(())
    }

    fn bounds(&mut self) -> Result<Range<u64>, StreamError> {
        self.log.bounds()
    }

    fn position(&self) -> u64 {
        self.at
    }

    fn read(&mut self, page: &mut Page, wait: Duration) -> Result<usize, StreamError> {
        page.clear();
        let until_ns = u128::from(self.clock.elapsed_ns()) + wait.as_nanos();
        loop {
            self.log.read(self.at, PAGE_BYTES, &mut self.scratch, page)?;
            if let Some(end) = page.end_seq() {
                self.at = end;
                return Ok(page.len());
            }
            // What stood here was removed as too old: it goes on with the oldest that is kept.
            let start = self.log.bounds()?.start;
            if self.at < start {
                self.at = start;
                continue;
            }
            let left_ns = until_ns.saturating_sub(u128::from(self.clock.elapsed_ns()));
            if left_ns == 0 {
                return Ok(0);
            }
            self.clock
                .sleep(LOOK_EVERY.min(Duration::from_nanos(left_ns.min(u128::from(u64::MAX)) as u64)));
        }
    }
}
