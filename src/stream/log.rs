//! A topic of the archive as readers see it: its segments, what was added since one last looked, and the batches in them.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::batch;
use super::page::Page;
use super::segment::{self, Found, Map, PACKED, PLAIN, Scanned, io_error};
use super::{At, StreamError, TopicName};

/// How often the files of a topic are listed again when segments are packed or removed in between.
const LISTINGS: u32 = 8;
/// The segments whose files and maps are held at once; the newest always is.
const OPEN: usize = 4;

/// A topic of the archive, read by sequence, by time and as it grows.
///
/// It sees what the writer has flushed, in this process or another. Each method looks at the files once more.
#[derive(Debug)]
pub struct TopicLog {
    dir: PathBuf,
    /// The segments in order; there may be none yet.
    segments: Vec<Segment>,
    /// Those that are open, least recently used first.
    used: Vec<u64>,
}

#[derive(Debug)]
struct Segment {
    base: u64,
    packed: bool,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    map: Map,
    /// Why what stands behind the last batch is none, if something stands there.
    bad: Option<&'static str>,
}

impl Open {
    /// Takes up the batches that were written, up to `length`.
    ///
    /// What is being written this moment is cut, and may have been taken back: it is looked at again the next time.
    fn take_up(&mut self, length: u64) -> io::Result<()> {
        self.bad = None;
        match segment::scan(&mut self.file, &mut self.map, length, true) {
            Ok(Scanned::Bad(what)) => self.bad = Some(what),
            Ok(Scanned::Whole | Scanned::Cut) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl TopicLog {
    /// Opens a topic's folder.
    pub(super) fn open(dir: &Path, topic: &TopicName) -> Result<Self, StreamError> {
        let mut log = Self {
            dir: dir.to_owned(),
            segments: Vec::new(),
            used: Vec::new(),
        };
        match log.refresh() {
            Err(StreamError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {
                Err(StreamError::NoTopic(topic.to_string()))
            }
            other => other.map(|()| log),
        }
    }

    /// Returns the numbers of the events that are there, as a range.
    ///
    /// # Errors
    /// When the system refuses, or the newest segment is corrupt.
    pub fn bounds(&mut self) -> Result<Range<u64>, StreamError> {
        self.refresh()?;
        let start = self.segments.first().map_or(0, |segment| segment.base);
        Ok(start..self.end())
    }

    /// Returns the number of the event at a place.
    ///
    /// # Errors
    /// As for [`Self::bounds`].
    pub fn resolve(&mut self, at: At) -> Result<u64, StreamError> {
        let bounds = self.bounds()?;
        Ok(match at {
            At::Start => bounds.start,
            At::End => bounds.end,
            At::Seq(seq) => seq.clamp(bounds.start, bounds.end),
            At::Time(ms) => self.first_at(ms)?.map_or(bounds.end, |(seq, _)| seq),
        })
    }

    /// Returns the first event that was stamped at `ms` or later, and its stamp.
    ///
    /// # Errors
    /// When the system refuses or the batch that holds it is corrupt.
    pub fn first_at(&mut self, ms: i64) -> Result<Option<(u64, i64)>, StreamError> {
        self.refresh()?;
        for place in 0..self.segments.len() {
            let map = &self.opened(place)?.map;
            let batch = map.slots.partition_point(|slot| slot.max_ms < ms);
            let Some(slot) = map.slots.get(batch) else {
                continue;
            };
            let (base, mut bytes) = (slot.base, Vec::new());
            self.fetch(base, 1, &mut bytes)?;
            let mut page = Page::default();
            self.decode(&bytes, base, base, &mut page)?;
            let found = page.entries().find(|entry| entry.stamp_ms >= ms);
            return Ok(found.map(|entry| (entry.seq, entry.stamp_ms)));
        }
        Ok(None)
    }

    /// Appends whole batches to `out`, beginning with the one that holds the event `from`: as many as `max_bytes` hold,
    /// and at least one. Returns the number after that of the last event, or `from` when there is none yet.
    ///
    /// What is appended is what lies on the disk: a batch may begin with events before `from`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn fetch(&mut self, from: u64, max_bytes: usize, out: &mut Vec<u8>) -> Result<u64, StreamError> {
        if from >= self.end() {
            self.refresh()?;
        }
        let holding = self.segments.partition_point(|segment| segment.base <= from);
        let Some(place) = holding.checked_sub(1) else {
            return Ok(from);
        };
        let path = self.path_of(place);
        let next_base = self.segments.get(place + 1).map(|segment| segment.base);
        let open = self.opened(place)?;
        let Some(first) = open.map.place(from) else {
            if let Some(hole) = open.map.hole(from) {
                return Err(StreamError::Corrupt {
                    path,
                    at: hole.bytes.start,
                    what: hole.what,
                    lost: from..hole.events.end,
                });
            }
            let end = open.map.end;
            let what = match (open.bad, next_base) {
                (None, None) => return Ok(from),
                (None, Some(next)) if next == end => return Ok(from),
                (bad, _) => bad.unwrap_or("the segment ends before the next one begins"),
            };
            return Err(StreamError::Corrupt {
                path,
                at: open.map.length,
                what,
                lost: end..next_base.unwrap_or(end + 1),
            });
        };
        let begin = open.map.slots[first].at;
        let mut last = first;
        while open.map.is_followed(last) && open.map.end_of(last + 1) - begin <= max_bytes as u64 {
            last += 1;
        }
        let length = (open.map.end_of(last) - begin) as usize;
        let before = out.len();
        out.resize(before + length, 0);
        let read = open
            .file
            .seek(SeekFrom::Start(begin))
            .and_then(|_| open.file.read_exact(&mut out[before..]));
        if let Err(error) = read {
            out.truncate(before);
            return Err(io_error(&path, error));
        }
        Ok(open.map.end_seq_of(last))
    }

    /// Reads events from the number `from` on into the page, about as many as `max_bytes` of the disk hold.
    pub(super) fn read(
        &mut self,
        from: u64,
        max_bytes: usize,
        scratch: &mut Vec<u8>,
        page: &mut Page,
    ) -> Result<(), StreamError> {
        scratch.clear();
        self.fetch(from, max_bytes, scratch)?;
        self.decode(scratch, from, from, page)
    }

    /// Decodes batches that were fetched from the event `at` on; what is readable before a fault is kept.
    fn decode(&mut self, bytes: &[u8], at: u64, from: u64, page: &mut Page) -> Result<(), StreamError> {
        let (mut rest, mut at) = (bytes, at);
        while !rest.is_empty() {
            // The base of a batch lies before what its checksum covers.
            let here = batch::Header::parse(rest).map(|header| (header.base..header.end()).contains(&at));
            let decoded = match here {
                Ok(false) => Err("a batch does not begin with the event that it should"),
                _ => batch::decode(rest, from, page),
            };
            match decoded {
                Ok(header) => {
                    rest = &rest[header.length..];
                    at = header.end();
                }
                Err(_) if !page.is_empty() => return Ok(()),
                Err(what) => return Err(self.corrupt(at, what)),
            }
        }
        Ok(())
    }

    /// Says which batch is corrupt: the one that holds an event.
    fn corrupt(&mut self, seq: u64, what: &'static str) -> StreamError {
        let place = self.segments.partition_point(|segment| segment.base <= seq);
        let Some(place) = place.checked_sub(1) else {
            return StreamError::Broken(what.to_owned());
        };
        let path = self.path_of(place);
        match self.opened(place) {
            Ok(open) => match open.map.place(seq) {
                Some(first) => StreamError::Corrupt {
                    path,
                    at: open.map.slots[first].at,
                    what,
                    lost: seq..open.map.end_seq_of(first),
                },
                None => StreamError::Corrupt {
                    path,
                    at: open.map.length,
                    what,
                    lost: seq..seq + 1,
                },
            },
            Err(error) => error,
        }
    }

    fn end(&self) -> u64 {
        self.segments.last().map_or(0, |segment| {
            segment.open.as_ref().map_or(segment.base, |open| open.map.end)
        })
    }

    fn path_of(&self, place: usize) -> PathBuf {
        let segment = &self.segments[place];
        segment::path(
            &self.dir,
            segment.base,
            if segment.packed { PACKED } else { PLAIN },
        )
    }

    /// Sees what was added at the end and removed at the beginning.
    fn refresh(&mut self) -> Result<(), StreamError> {
        if self.segments.is_empty() {
            return self.list();
        }
        loop {
            let last = self.segments.len() - 1;
            let grown = self.grow(last);
            match grown {
                Ok(()) => {}
                Err(StreamError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {
                    return self.list();
                }
                Err(error) => return Err(error),
            }
            let end = self.end();
            // A segment with nothing in it is the newest one.
            if end == self.segments[last].base || !segment::path(&self.dir, end, PLAIN).exists() {
                // The writer may have closed, packed, removed and gone on while nobody looked.
                let behind = !self.path_of(last).exists()
                    || (end > self.segments[last].base && segment::path(&self.dir, end, PACKED).exists());
                return if behind { self.list() } else { self.drop_removed() };
            }
            self.segments.push(Segment {
                base: end,
                packed: false,
                open: None,
            });
        }
    }

    /// Forgets segments that were removed at the beginning.
    fn drop_removed(&mut self) -> Result<(), StreamError> {
        let Some(first) = self.segments.first().filter(|_| self.segments.len() > 1) else {
            return Ok(());
        };
        let gone = |packed| !segment::path(&self.dir, first.base, packed).exists();
        if gone(PACKED) && gone(PLAIN) {
            return self.list();
        }
        Ok(())
    }

    /// Lists the files anew, keeping what is open.
    fn list(&mut self) -> Result<(), StreamError> {
        for _ in 0..LISTINGS {
            let found = segment::list(&self.dir).map_err(|error| io_error(&self.dir, error))?;
            let mut held: Vec<Segment> = std::mem::take(&mut self.segments);
            self.segments = found
                .into_iter()
                .map(|Found { base, packed }| {
                    match held
                        .iter()
                        .position(|segment| segment.base == base && segment.open.is_some())
                    {
                        // What is open stays readable, packed or not.
                        Some(place) => Segment {
                            packed,
                            ..held.swap_remove(place)
                        },
                        None => Segment {
                            base,
                            packed,
                            open: None,
                        },
                    }
                })
                .collect();
            let Some(last) = self.segments.len().checked_sub(1) else {
                return Ok(());
            };
            match self.grow(last) {
                Err(StreamError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {}
                other => return other,
            }
        }
        Err(io_error(
            &self.dir,
            io::Error::other("its files change faster than they can be listed"),
        ))
    }

    /// Takes up what was written to a segment since one last looked.
    fn grow(&mut self, place: usize) -> Result<(), StreamError> {
        if self.segments[place].packed {
            return self.opened(place).map(drop);
        }
        let path = self.path_of(place);
        let open = self.opened(place)?;
        let length = open
            .file
            .metadata()
            .map_err(|error| io_error(&path, error))?
            .len();
        if length <= open.map.length {
            return Ok(());
        }
        open.take_up(length).map_err(|error| io_error(&path, error))
    }

    /// Returns a segment's file and map, opened if need be.
    fn opened(&mut self, place: usize) -> Result<&mut Open, StreamError> {
        let base = self.segments[place].base;
        if self.segments[place].open.is_none() {
            let open = self.open_segment(place)?;
            self.segments[place].open = Some(open);
            self.used.push(base);
            self.close_unused();
        } else if self.used.last() != Some(&base) {
            self.used.retain(|used| *used != base);
            self.used.push(base);
        }
        self.segments[place]
            .open
            .as_mut()
            .ok_or_else(|| StreamError::Broken("a segment was closed while it was used".to_owned()))
    }

    fn open_segment(&mut self, place: usize) -> Result<Open, StreamError> {
        let base = self.segments[place].base;
        let plain = segment::path(&self.dir, base, PLAIN);
        if !self.segments[place].packed {
            match File::open(&plain) {
                Ok(file) => {
                    let length = file.metadata().map_err(|error| io_error(&plain, error))?.len();
                    let mut open = Open {
                        file,
                        map: Map::new(base),
                        bad: None,
                    };
                    open.take_up(length).map_err(|error| io_error(&plain, error))?;
                    return Ok(open);
                }
                // It has been packed since.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(io_error(&plain, error)),
            }
        }
        let packed = segment::path(&self.dir, base, PACKED);
        let mut file = File::open(&packed).map_err(|error| io_error(&packed, error))?;
        let map = segment::map_packed(&self.dir, base, &mut file)?;
        self.segments[place].packed = true;
        Ok(Open { file, map, bad: None })
    }

    /// Closes the least recently used segments beyond those that may be open; the newest stays.
    fn close_unused(&mut self) {
        let newest = self.segments.last().map(|segment| segment.base);
        while self.used.len() > OPEN {
            let Some(place) = self.used[..self.used.len() - 1]
                .iter()
                .position(|base| Some(*base) != newest)
            else {
                return;
            };
            let base = self.used.remove(place);
            if let Some(segment) = self.segments.iter_mut().find(|segment| segment.base == base) {
                segment.open = None;
            }
        }
    }
}
