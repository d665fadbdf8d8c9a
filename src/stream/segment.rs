//! The files of a topic: segments named by their first event, as they were written or packed, and where their batches lie.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::StreamError;
use super::batch::{self, HEADER, Header};
use crate::lock::Lock;

/// A segment as it is written.
pub(super) const PLAIN: &str = "log";
/// A segment that is closed and packed.
pub(super) const PACKED: &str = "packed";
/// Where the batches of a packed segment lie.
pub(super) const INDEX: &str = "index";
/// A segment that is being packed.
pub(super) const PACKING: &str = "packing";
/// The digits of a segment's name.
const DIGITS: usize = 20;
/// The largest index that is read: ten times what the largest segment has.
const MAX_INDEX: u64 = 64 << 20;
/// The bytes that are looked through at once for a batch behind damage.
const LOOK_BYTES: u64 = 1 << 20;
/// What an index begins with.
const MAGIC: &[u8; 8] = b"reelidx1";

pub(super) fn io_error(path: &Path, error: io::Error) -> StreamError {
    StreamError::Io {
        path: path.to_owned(),
        error,
    }
}

/// Takes the lock of a file of the archive's.
pub(super) fn lock(path: &Path) -> Result<Lock, StreamError> {
    Lock::take(path).map_err(|error| match error {
        TryLockError::WouldBlock => StreamError::Locked(path.to_owned()),
        TryLockError::Error(error) => io_error(path, error),
    })
}

/// Returns the file of the segment that begins with an event.
pub(super) fn path(dir: &Path, base: u64, extension: &str) -> PathBuf {
    dir.join(format!("{base:0DIGITS$}.{extension}"))
}

/// A segment's file in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Its first event.
    pub(super) base: u64,
    pub(super) packed: bool,
}

/// Returns the segments of a folder in order; one that is there in both forms counts as packed.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some((stem, extension)) = name.to_str().and_then(|name| name.split_once('.')) else {
            continue;
        };
        let digits = stem.len() == DIGITS && stem.bytes().all(|byte| byte.is_ascii_digit());
        let packed = match extension {
            PLAIN => false,
            PACKED => true,
            _ => continue,
        };
        if let Some(base) = digits.then(|| stem.parse().ok()).flatten() {
            found.push(Found { base, packed });
        }
    }
    found.sort_by_key(|found| (found.base, !found.packed));
    found.dedup_by_key(|found| found.base);
    Ok(found)
}

/// Where a batch lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Its first event.
    pub(super) base: u64,
    /// Its first byte.
    pub(super) at: u64,
    /// The latest stamp of all events of the segment up to its last one.
    pub(super) max_ms: i64,
}

/// Bytes that are no batch, with whole batches behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    /// The events that lay there.
    pub(super) events: Range<u64>,
    pub(super) bytes: Range<u64>,
    /// Why they are no batch.
    pub(super) what: &'static str,
}

/// Where the batches of a segment lie, and where they end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) slots: Vec<Slot>,
    /// What is damaged between them, in order; an index has none, as a damaged segment is not packed.
    pub(super) holes: Vec<Hole>,
    /// The number after that of the last event.
    pub(super) end: u64,
    /// The bytes of all batches.
    pub(super) length: u64,
}

impl Map {
    pub(super) fn new(base: u64) -> Self {
        Self {
            slots: Vec::new(),
            holes: Vec::new(),
            end: base,
            length: 0,
        }
    }

    /// Passes bytes behind the batches that are none, up to where a batch begins with an event.
    fn pass(&mut self, until: u64, seq: u64, what: &'static str) {
        self.holes.push(Hole {
            events: self.end..seq,
            bytes: self.length..until,
            what,
        });
        self.end = seq;
        self.length = until;
    }

    /// Returns the hole in which an event lay, if it did.
    pub(super) fn hole(&self, seq: u64) -> Option<&Hole> {
        self.holes.iter().find(|hole| hole.events.contains(&seq))
    }

    /// Adds a batch that stands behind the others.
    pub(super) fn push(&mut self, header: &Header) {
        let before = self.slots.last().map_or(i64::MIN, |slot| slot.max_ms);
        self.slots.push(Slot {
            base: header.base,
            at: self.length,
            max_ms: before.max(header.max_ms),
        });
        self.end = header.end();
        self.length += header.length as u64;
    }

    /// Returns the place of the batch that holds an event, if any does.
    pub(super) fn place(&self, seq: u64) -> Option<usize> {
        if seq >= self.end || self.hole(seq).is_some() {
            return None;
        }
        self.slots.partition_point(|slot| slot.base <= seq).checked_sub(1)
    }

    /// Returns the byte after a batch.
    pub(super) fn end_of(&self, place: usize) -> u64 {
        let hole = self.hole_behind(place).map(|hole| hole.bytes.start);
        hole.unwrap_or_else(|| self.slots.get(place + 1).map_or(self.length, |slot| slot.at))
    }

    /// Returns the number after that of a batch's last event.
    pub(super) fn end_seq_of(&self, place: usize) -> u64 {
        let hole = self.hole_behind(place).map(|hole| hole.events.start);
        hole.unwrap_or_else(|| self.slots.get(place + 1).map_or(self.end, |slot| slot.base))
    }

    /// Returns the damage between a batch and the next one.
    fn hole_behind(&self, place: usize) -> Option<&Hole> {
        let from = self.slots.get(place)?.at;
        let until = self.slots.get(place + 1).map_or(u64::MAX, |slot| slot.at);
        self.holes
            .iter()
            .find(|hole| from < hole.bytes.start && hole.bytes.start < until)
    }

    /// Tells whether the batch behind another begins where that ends.
    pub(super) fn is_followed(&self, place: usize) -> bool {
        place + 1 < self.slots.len() && self.hole_behind(place).is_none()
    }

    /// Prints the index of a packed segment.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(28 + self.slots.len() * 24);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.end.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
        for slot in &self.slots {
            out.extend_from_slice(&slot.base.to_be_bytes());
            out.extend_from_slice(&slot.at.to_be_bytes());
            out.extend_from_slice(&slot.max_ms.to_be_bytes());
        }
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_be_bytes());
        out
    }

    /// Reads an index; none where that is not a whole one of a segment that begins with `base`.
    pub(super) fn from_bytes(base: u64, bytes: &[u8]) -> Option<Self> {
        let (text, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(text) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let numbers = text.strip_prefix(MAGIC)?;
        let mut numbers = numbers
            .chunks_exact(8)
            .map(|bytes| bytes.try_into().map(u64::from_be_bytes).unwrap_or_default());
        let (end, length) = (numbers.next()?, numbers.next()?);
        let mut slots = Vec::new();
        while let (Some(base), Some(at), Some(max_ms)) = (numbers.next(), numbers.next(), numbers.next()) {
            slots.push(Slot {
                base,
                at,
                max_ms: max_ms as i64,
            });
        }
        let first = slots.first()?;
        let last = slots.last()?;
        let ordered = slots
            .windows(2)
            .all(|pair| pair[0].base < pair[1].base && pair[0].at < pair[1].at);
        let whole = first.base == base && first.at == 0 && last.base < end && last.at < length && ordered;
        whole.then_some(Self {
            slots,
            holes: Vec::new(),
            end,
            length,
        })
    }
}

/// Returns where the batches of a packed segment lie, from its index or, where that is missing or damaged, from itself.
pub(super) fn map_packed(dir: &Path, base: u64, file: &mut File) -> Result<Map, StreamError> {
    let length = file
        .metadata()
        .map_err(|error| io_error(&path(dir, base, PACKED), error))?
        .len();
    let mut bytes = Vec::new();
    let index =
        File::open(path(dir, base, INDEX)).and_then(|index| index.take(MAX_INDEX).read_to_end(&mut bytes));
    if index.is_ok()
        && let Some(map) = Map::from_bytes(base, &bytes)
        && map.length == length
    {
        return Ok(map);
    }
    let mut map = Map::new(base);
    let scanned =
        scan(file, &mut map, length, false).map_err(|error| io_error(&path(dir, base, PACKED), error))?;
    match scanned {
        Scanned::Whole => Ok(map),
        Scanned::Cut => Err(corrupt(dir, base, &map, "the file is cut")),
        Scanned::Bad(what) => Err(corrupt(dir, base, &map, what)),
    }
}

fn corrupt(dir: &Path, base: u64, map: &Map, what: &'static str) -> StreamError {
    StreamError::Corrupt {
        path: path(dir, base, PACKED),
        at: map.length,
        what,
        lost: map.end..map.end + 1,
    }
}

/// How far a file's batches reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scanned {
    /// To the end of what was looked at.
    Whole,
    /// To a batch that ends behind what was looked at: it is being written, or its writing was interrupted.
    Cut,
    /// To something that is no batch, and why.
    Bad(&'static str),
}

/// Adds the batches of a file from where the map ends, up to `length`, with the holes between them: damage costs the batches in
/// which it is, and none behind them.
///
/// With `check`, each batch is read whole and its checksum compared; without, its header alone is believed.
pub(super) fn scan(file: &mut File, map: &mut Map, length: u64, check: bool) -> io::Result<Scanned> {
    let mut bytes = Vec::new();
    while map.length < length {
        let fault = match read_at(file, map.length, length, check, &mut bytes)? {
            Ok(header) if header.base == map.end => {
                map.push(&header);
                continue;
            }
            Ok(_) => Scanned::Bad("a batch does not follow the one before"),
            Err(fault) => fault,
        };
        let Some((at, seq)) = next_batch(file, map.length + 1..length, map.end)? else {
            return Ok(fault);
        };
        let what = match fault {
            Scanned::Bad(what) => what,
            Scanned::Cut | Scanned::Whole => "a batch has another length than it says",
        };
        map.pass(at, seq, what);
    }
    Ok(Scanned::Whole)
}

/// Reads the batch that begins at a byte, or tells why none does.
fn read_at(
    file: &mut File,
    at: u64,
    length: u64,
    check: bool,
    bytes: &mut Vec<u8>,
) -> io::Result<Result<Header, Scanned>> {
    let left = length - at;
    if left < HEADER as u64 {
        return Ok(Err(Scanned::Cut));
    }
    file.seek(SeekFrom::Start(at))?;
    bytes.resize(HEADER, 0);
    file.read_exact(bytes)?;
    let header = match Header::parse(bytes) {
        Ok(header) if header.length as u64 > left => return Ok(Err(Scanned::Cut)),
        Ok(header) => header,
        Err(what) => return Ok(Err(Scanned::Bad(what))),
    };
    if check {
        bytes.resize(header.length, 0);
        file.read_exact(&mut bytes[HEADER..])?;
        if let Err(what) = batch::check(bytes) {
            return Ok(Err(Scanned::Bad(what)));
        }
    }
    Ok(Ok(header))
}

/// Returns where the first whole batch of a part of a file begins that has no event before `seq`, and its first event.
///
/// What a line holds is never taken for one: a header of ours has bytes that no text has.
fn next_batch(file: &mut File, part: Range<u64>, seq: u64) -> io::Result<Option<(u64, u64)>> {
    let (mut at, mut window, mut bytes) = (part.start, Vec::new(), Vec::new());
    while at + HEADER as u64 <= part.end {
        let most = (part.end - at).min(LOOK_BYTES);
        file.seek(SeekFrom::Start(at))?;
        window.resize(most as usize, 0);
        file.read_exact(&mut window)?;
        for (offset, header) in window.windows(HEADER).enumerate() {
            let begins = batch::may_begin(header)
                && Header::parse(header).is_ok_and(|header| {
                    let passed = at + offset as u64 + 1 - part.start;
                    header.base >= seq && header.base - seq <= passed * batch::MOST_PER_BYTE
                });
            if begins && let Ok(header) = read_at(file, at + offset as u64, part.end, true, &mut bytes)? {
                return Ok(Some((at + offset as u64, header.base)));
            }
        }
        at += most - (HEADER as u64 - 1);
    }
    Ok(None)
}

/// Makes what was created, renamed or removed in a folder survive a loss of power.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StreamError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| io_error(dir, error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map() -> impl Strategy<Value = Map> {
        let batch = (1..500_u64, 70..90_000_u64, any::<i64>());
        (0..1_u64 << 40, proptest::collection::vec(batch, 1..50)).prop_map(|(base, batches)| {
            let mut map = Map::new(base);
            for (events, bytes, max_ms) in batches {
                map.slots.push(Slot {
                    base: map.end,
                    at: map.length,
                    max_ms,
                });
                map.end += events;
                map.length += bytes;
            }
            map
        })
    }

    proptest! {
        #[test]
        fn an_index_reads_back_as_it_was(map in map()) {
            let read = Map::from_bytes(map.slots[0].base, &map.to_bytes());
            prop_assert_eq!(read, Some(map));
        }

        #[test]
        fn a_damaged_index_is_none(map in map(), at: prop::sample::Index, bit in 0..8_u32) {
            let mut bytes = map.to_bytes();
            let place = at.index(bytes.len());
            bytes[place] ^= 1 << bit;
            prop_assert_eq!(Map::from_bytes(map.slots[0].base, &bytes), None);
            bytes.truncate(place);
            prop_assert_eq!(Map::from_bytes(map.slots[0].base, &bytes), None);
        }

        #[test]
        fn every_event_has_a_batch(map in map(), pick: prop::sample::Index) {
            let base = map.slots[0].base;
            let seq = base + pick.index((map.end - base) as usize) as u64;
            let place = map.place(seq).unwrap();
            prop_assert!(map.slots[place].base <= seq && seq < map.end_seq_of(place));
            prop_assert_eq!(map.place(map.end), None);
        }
    }
}
