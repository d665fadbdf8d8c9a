//! What groups have committed: a file that only grows, and is written anew when most of it is old.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The most committed offsets: two thousand groups of forty topics.
const MAX_OFFSETS: usize = 80_000;
/// The largest record: a group, a topic, a number and a client's note.
const MAX_RECORD: usize = 8 << 10;
/// The longest note that a client may add: Kafka's own limit.
pub(super) const MAX_NOTE: usize = 4096;
/// The bytes beyond which the file is written anew when most of it is old.
const COMPACT_BYTES: u64 = 4 << 20;

/// The offset that a group has come to in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) offset: i64,
    pub(super) note: String,
}

/// Group, then topic: a topic has one partition.
type Key = (String, String);

/// The committed offsets of all groups.
#[derive(Debug)]
pub(super) struct Offsets {
    path: PathBuf,
    file: File,
    length: u64,
    /// The bytes that records of now would have.
    live: u64,
    unsynced: bool,
    committed: BTreeMap<Key, Committed>,
}

impl Offsets {
    /// Reads the file and cuts a record that was not written to its end.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut committed = BTreeMap::new();
        let mut rest = bytes.as_slice();
        while let Some((key, value, after)) = parse(rest) {
            committed.insert(key, value);
            rest = after;
        }
        let length = (bytes.len() - rest.len()) as u64;
        file.set_len(length)?;
        let mut offsets = Self {
            path: path.to_owned(),
            file,
            length,
            live: 0,
            unsynced: false,
            committed,
        };
        offsets.live = offsets
            .committed
            .iter()
            .map(|(key, value)| size(key, value))
            .sum();
        offsets.compact_if_old()?;
        Ok(offsets)
    }

    /// Notes how far a group has come.
    pub(super) fn commit(&mut self, group: &str, topic: &str, offset: i64, note: &str) -> io::Result<()> {
        let key = (group.to_owned(), topic.to_owned());
        if !self.committed.contains_key(&key) && self.committed.len() >= MAX_OFFSETS {
            return Err(io::Error::other("too many groups have committed offsets"));
        }
        let value = Committed {
            offset,
            note: note.to_owned(),
        };
        let mut record = Vec::new();
        print(&key, &value, &mut record);
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(&record)?;
        self.length += record.len() as u64;
        self.unsynced = true;
        self.live += record.len() as u64;
        if let Some(old) = self.committed.insert(key.clone(), value) {
            self.live -= size(&key, &old);
        }
        self.compact_if_old()
    }

    pub(super) fn get(&self, group: &str, topic: &str) -> Option<&Committed> {
        self.committed.get(&(group.to_owned(), topic.to_owned()))
    }

    /// Returns the topics of a group with what it has committed.
    pub(super) fn of_group<'o>(&'o self, group: &'o str) -> impl Iterator<Item = (&'o str, &'o Committed)> {
        self.committed
            .range((group.to_owned(), String::new())..)
            .take_while(move |((of, _), _)| of == group)
            .map(|((_, topic), committed)| (topic.as_str(), committed))
    }

    /// Returns the groups that have committed something.
    pub(super) fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = self.committed.keys().map(|(group, _)| group.as_str()).collect();
        groups.dedup();
        groups
    }

    /// Brings what was committed to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.file.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }

    fn compact_if_old(&mut self) -> io::Result<()> {
        if self.length < COMPACT_BYTES || self.live * 2 > self.length {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for (key, value) in &self.committed {
            print(key, value, &mut bytes);
        }
        let fresh = self.path.with_extension("new");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        self.file = file;
        self.length = bytes.len() as u64;
        self.live = self.length;
        Ok(())
    }
}

fn size(key: &Key, value: &Committed) -> u64 {
    (8 + 8 + 6 + key.0.len() + key.1.len() + value.note.len()) as u64
}

/// Prints a record: length, checksum, offset, and three texts with their lengths.
fn print((group, topic): &Key, value: &Committed, out: &mut Vec<u8>) {
    let mut record = value.offset.to_be_bytes().to_vec();
    for text in [group, topic, &value.note] {
        record.extend_from_slice(&(text.len() as u16).to_be_bytes());
        record.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(&(record.len() as u32).to_be_bytes());
    out.extend_from_slice(&crc32c::crc32c(&record).to_be_bytes());
    out.extend_from_slice(&record);
}

/// Reads a record and returns what stands behind it; none where that is not a whole one.
fn parse(bytes: &[u8]) -> Option<(Key, Committed, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_RECORD {
        return None;
    }
    let (record, after) = rest.split_at_checked(length)?;
    if crc32c::crc32c(record) != u32::from_be_bytes(*checksum) {
        return None;
    }
    let (offset, mut texts) = record.split_first_chunk::<8>()?;
    let mut text = || {
        let (length, rest) = texts.split_first_chunk::<2>()?;
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        texts = rest;
        String::from_utf8(text.to_vec()).ok()
    };
    let key = (text()?, text()?);
    let note = text()?;
    let value = Committed {
        offset: i64::from_be_bytes(*offset),
        note,
    };
    Some((key, value, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(dir: &Path) -> Offsets {
        Offsets::open(&dir.join("offsets")).unwrap()
    }

    #[test]
    fn what_was_committed_last_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut offsets = open(dir.path());
        offsets.commit("a", "movielog1", 5, "").unwrap();
        offsets.commit("b", "movielog1", 7, "note").unwrap();
        offsets.commit("a", "movielog2", 1, "").unwrap();
        offsets.commit("a", "movielog1", 9, "").unwrap();
        drop(offsets);
        let offsets = open(dir.path());
        let of_a: Vec<_> = offsets
            .of_group("a")
            .map(|(topic, at)| (topic, at.offset))
            .collect();
        assert_eq!(of_a, [("movielog1", 9), ("movielog2", 1)]);
        assert_eq!(offsets.get("b", "movielog1").unwrap().note, "note");
        assert_eq!(offsets.get("b", "movielog2"), None);
        assert_eq!(offsets.groups(), ["a", "b"]);
    }

    #[test]
    fn a_file_that_is_mostly_old_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut offsets = open(dir.path());
        let note = "x".repeat(MAX_NOTE);
        for offset in 0..2_000 {
            offsets.commit("a", "movielog1", offset, &note).unwrap();
        }
        assert!(fs::metadata(dir.path().join("offsets")).unwrap().len() < COMPACT_BYTES + 10_000);
        offsets.commit("a", "movielog1", 7, "").unwrap();
        drop(offsets);
        assert_eq!(open(dir.path()).get("a", "movielog1").unwrap().offset, 7);
    }

    proptest! {
        #[test]
        fn a_file_that_was_cut_anywhere_gives_what_stands_before(cut: prop::sample::Index) {
            let dir = tempfile::tempdir().unwrap();
            let mut offsets = open(dir.path());
            for offset in 0..10 {
                offsets.commit("a", "movielog1", offset, "").unwrap();
            }
            let path = dir.path().join("offsets");
            let mut bytes = fs::read(&path).unwrap();
            let cut = cut.index(bytes.len());
            let whole = cut / (bytes.len() / 10);
            bytes.truncate(cut);
            fs::write(&path, &bytes).unwrap();
            let mut offsets = open(dir.path());
            let last = offsets.get("a", "movielog1").map_or(0, |at| at.offset + 1);
            prop_assert_eq!(last, whole as i64);
            offsets.commit("a", "movielog1", 99, "").unwrap();
            drop(offsets);
            prop_assert_eq!(open(dir.path()).get("a", "movielog1").unwrap().offset, 99);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes);
        }
    }
}
