//! A batch of events in the form that Kafka has on the wire and on its disks (version 2), so that the log is served as it lies.

use std::io::{Read, Write};
use std::ops::Range;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::page::{Entry, Page};

/// The bytes before the records.
pub(super) const HEADER: usize = 61;
/// The bytes before those that the length counts: base and length.
const BEFORE_LENGTH: usize = 12;
/// Where the checked part begins: everything after the checksum.
const CHECKED_FROM: usize = 21;
/// Where a header names a producer, its epoch and its sequence: ours has none, -1 each.
const PRODUCER: Range<usize> = 43..57;
/// The most events that a byte of a file can hold: a record has seven bytes at least, and gzip packs a thousand into one.
pub(super) const MOST_PER_BYTE: u64 = 150;
/// The bytes of records after which a batch is written: large enough that headers cost nothing, small enough for every
/// consumer's default limits.
pub(super) const BATCH_BYTES: usize = 256 << 10;
/// The largest batch that is read; ours are far smaller.
pub(super) const MAX_BATCH: usize = 4 << 20;
/// The most bytes that a packed batch may unpack to: a longer one is a bomb.
const MAX_UNPACKED: u64 = 16 << 20;
/// The bits of the attributes that name the compression, and the only one that every client can read by itself.
const CODEC: i16 = 0b111;
const GZIP: i16 = 1;
/// The level at which batches are packed: higher ones cost twice the time for a tenth less.
const LEVEL: u32 = 4;

/// What a batch says of itself before its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The number of its first event.
    pub(super) base: u64,
    /// All its bytes.
    pub(super) length: usize,
    /// The number of events.
    pub(super) count: u32,
    /// The latest stamp.
    pub(super) max_ms: i64,
    first_ms: i64,
    checksum: u32,
    packed: bool,
}

/// Tells whether a header of ours may begin here: it names no producer, in bytes that no text has.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    bytes
        .get(PRODUCER)
        .is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0xff))
}

impl Header {
    /// Reads a header, of which all bytes must be there.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes: &[u8; HEADER] = bytes.first_chunk().ok_or("a batch is cut in its header")?;
        let base =
            u64::try_from(i64::from_be_bytes(field(bytes, 0))).map_err(|_| "a batch begins below 0")?;
        let length = i32::from_be_bytes(field(bytes, 8));
        let length = usize::try_from(length).map_err(|_| "a batch has a length below 0")? + BEFORE_LENGTH;
        if !(HEADER..=MAX_BATCH).contains(&length) {
            return Err("a batch has a length that no batch has");
        }
        if bytes[16] != 2 {
            return Err("a batch is not of version 2");
        }
        let attributes = i16::from_be_bytes(field(bytes, 21));
        let packed = match attributes & CODEC {
            0 => false,
            GZIP => true,
            _ => return Err("a batch has a compression that is not ours"),
        };
        let last = i32::from_be_bytes(field(bytes, 23));
        let count = i32::from_be_bytes(field(bytes, 57));
        // Ours have no gaps, so the last event's number follows from their count.
        if count < 1 || last != count - 1 || base.checked_add(count as u64).is_none() {
            return Err("a batch does not count its events");
        }
        Ok(Self {
            base,
            length,
            count: count as u32,
            max_ms: i64::from_be_bytes(field(bytes, 35)),
            first_ms: i64::from_be_bytes(field(bytes, 27)),
            checksum: u32::from_be_bytes(field(bytes, 17)),
            packed,
        })
    }

    /// Returns the number after that of the last event.
    pub(super) fn end(&self) -> u64 {
        self.base + u64::from(self.count)
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

/// Reads the header of a batch whose bytes are all there, and checks that they are what was written.
pub(super) fn check(bytes: &[u8]) -> Result<Header, &'static str> {
    let header = Header::parse(bytes)?;
    let batch = bytes.get(..header.length).ok_or("a batch is cut")?;
    if crc32c::crc32c(&batch[CHECKED_FROM..]) == header.checksum {
        Ok(header)
    } else {
        Err("a batch does not have the checksum that it was written with")
    }
}

/// Adds the events of the batch at the beginning of `bytes` to the page, from the number `from` on.
///
/// On a fault, the page is as it was.
pub(super) fn decode(bytes: &[u8], from: u64, page: &mut Page) -> Result<Header, &'static str> {
    let before = page.len();
    let header = check(bytes)?;
    let records = &bytes[HEADER..header.length];
    let read = if header.packed {
        let mut unpacked = Vec::with_capacity(records.len().saturating_mul(4).min(2 * BATCH_BYTES));
        // Gzip members may follow one another; ours has one.
        let mut unpacker = GzDecoder::new(records).take(MAX_UNPACKED);
        match unpacker.read_to_end(&mut unpacked) {
            Ok(_) if unpacker.limit() == 0 => Err("a batch unpacks to more than any batch has"),
            Ok(_) => decode_records(&header, &unpacked, from, page),
            Err(_) => Err("a batch cannot be unpacked"),
        }
    } else {
        decode_records(&header, records, from, page)
    };
    if let Err(what) = read {
        page.truncate(before);
        return Err(what);
    }
    Ok(header)
}

fn decode_records(header: &Header, bytes: &[u8], from: u64, page: &mut Page) -> Result<(), &'static str> {
    let mut rest = Records { bytes };
    for place in 0..header.count {
        let length = rest.length()?.ok_or("a record has no length")?;
        let mut record = Records {
            bytes: rest.take(length)?,
        };
        record.take(1)?; // attributes, which mean nothing yet
        let stamp_ms = header.first_ms.wrapping_add(record.number()?);
        if record.number()? != i64::from(place) {
            return Err("a record is out of order");
        }
        if let Some(key) = record.length()? {
            record.take(key)?;
        }
        let line = match record.length()? {
            Some(length) => record.take(length)?,
            None => &[],
        };
        let seq = header.base + u64::from(place);
        if seq >= from {
            page.push(Entry { seq, stamp_ms, line });
        }
    }
    if rest.bytes.is_empty() {
        Ok(())
    } else {
        Err("a batch has more records than it counts")
    }
}

/// The records that are still to be read.
struct Records<'b> {
    bytes: &'b [u8],
}

impl<'b> Records<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], &'static str> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or("a record is longer than its batch")?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Reads a number of variable length, in zigzag.
    fn number(&mut self) -> Result<i64, &'static str> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        Err("a number of a record does not end")
    }

    /// Reads a length; -1 stands for nothing at all.
    fn length(&mut self) -> Result<Option<usize>, &'static str> {
        match self.number()? {
            -1 => Ok(None),
            number => usize::try_from(number)
                .map(Some)
                .map_err(|_| "a record has a length below 0"),
        }
    }
}

/// Events that become a batch.
#[derive(Debug, Default)]
pub(super) struct Builder {
    base: u64,
    count: u32,
    first_ms: i64,
    max_ms: i64,
    records: Vec<u8>,
}

impl Builder {
    /// Begins a batch anew, with the number of its first event.
    pub(super) fn begin(&mut self, base: u64) {
        self.base = base;
        self.count = 0;
        self.records.clear();
    }

    /// Returns the number that the next event gets.
    pub(super) fn next(&self) -> u64 {
        self.base + u64::from(self.count)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Tells whether it is time to write the batch.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= BATCH_BYTES
    }

    /// Adds an event behind the others.
    pub(super) fn push(&mut self, stamp_ms: i64, line: &[u8]) {
        if self.count == 0 {
            self.first_ms = stamp_ms;
            self.max_ms = stamp_ms;
        }
        self.max_ms = self.max_ms.max(stamp_ms);
        let since = stamp_ms.wrapping_sub(self.first_ms);
        let place = i64::from(self.count);
        let length = line.len() as i64;
        // Attributes, no key (-1), no headers (0): a byte each.
        let whole = 3 + size(since) + size(place) + size(length) + line.len();
        let out = &mut self.records;
        push_number(whole as i64, out);
        out.push(0);
        push_number(since, out);
        push_number(place, out);
        push_number(-1, out);
        push_number(length, out);
        out.extend_from_slice(line);
        push_number(0, out);
        self.count += 1;
    }

    /// Appends the batch to `out`, as it is or packed.
    pub(super) fn finish(&self, pack: bool, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&(self.base as i64).to_be_bytes());
        out.extend_from_slice(&[0; 4]); // the length, when it is known
        out.extend_from_slice(&0_i32.to_be_bytes()); // the leader's epoch
        out.push(2);
        out.extend_from_slice(&[0; 4]); // the checksum, when there is something to check
        out.extend_from_slice(&(if pack { GZIP } else { 0 }).to_be_bytes());
        out.extend_from_slice(&(self.count as i32 - 1).to_be_bytes());
        out.extend_from_slice(&self.first_ms.to_be_bytes());
        out.extend_from_slice(&self.max_ms.to_be_bytes());
        out.extend_from_slice(&(-1_i64).to_be_bytes()); // no idempotent producer, its epoch and sequence
        out.extend_from_slice(&(-1_i16).to_be_bytes());
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        out.extend_from_slice(&(self.count as i32).to_be_bytes());
        if pack {
            let mut packer = GzEncoder::new(&mut *out, Compression::new(LEVEL));
            packer
                .write_all(&self.records)
                .and_then(|()| packer.try_finish())
                .expect("memory takes every byte");
            drop(packer);
        } else {
            out.extend_from_slice(&self.records);
        }
        let length = (out.len() - begin - BEFORE_LENGTH) as i32;
        out[begin + 8..begin + BEFORE_LENGTH].copy_from_slice(&length.to_be_bytes());
        let checksum = crc32c::crc32c(&out[begin + CHECKED_FROM..]);
        out[begin + 17..begin + CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
    }
}

fn push_number(number: i64, out: &mut Vec<u8>) {
    let mut zigzag = (number << 1 ^ number >> 63) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

/// Returns how many bytes a number takes.
fn size(number: i64) -> usize {
    let zigzag = (number << 1 ^ number >> 63) as u64;
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn built(base: u64, events: &[(i64, Vec<u8>)], pack: bool) -> Vec<u8> {
        let mut builder = Builder::default();
        builder.begin(base);
        for (stamp_ms, line) in events {
            builder.push(*stamp_ms, line);
        }
        let mut bytes = Vec::new();
        builder.finish(pack, &mut bytes);
        bytes
    }

    fn events() -> impl Strategy<Value = Vec<(i64, Vec<u8>)>> {
        let line = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            Just(vec![b'x'; 9000])
        ];
        let stamp = prop_oneof![1_600_000_000_000..1_800_000_000_000_i64, any::<i64>()];
        proptest::collection::vec((stamp, line), 1..40)
    }

    proptest! {
        #[test]
        fn what_was_put_into_a_batch_comes_out_of_it(base in 0..1_u64 << 62, events in events(), pack: bool) {
            let bytes = built(base, &events, pack);
            let mut page = Page::default();
            let header = decode(&bytes, 0, &mut page).unwrap();
            prop_assert_eq!(header.length, bytes.len());
            prop_assert_eq!(header.end(), base + events.len() as u64);
            prop_assert_eq!(header.max_ms, events.iter().map(|(stamp, _)| *stamp).max().unwrap());
            let read: Vec<_> = page.entries().map(|entry| (entry.stamp_ms, entry.line.to_vec())).collect();
            prop_assert_eq!(read, events);
        }

        #[test]
        fn a_changed_byte_of_a_batch_is_seen(events in events(), pack: bool, at: prop::sample::Index, bit in 0..8_u32) {
            let mut bytes = built(77, &events, pack);
            // The base and the leader's epoch lie before what is checked: brokers may rewrite them.
            let at = at.index(bytes.len());
            prop_assume!(!(0..8).contains(&at) && !(12..16).contains(&at));
            bytes[at] ^= 1 << bit;
            let mut page = Page::default();
            prop_assert!(decode(&bytes, 0, &mut page).is_err());
            prop_assert!(page.is_empty());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), honest: bool) {
            if honest && bytes.len() > HEADER {
                // A header that holds, so that the records are looked at.
                let length = (bytes.len() - BEFORE_LENGTH) as i32;
                bytes[..8].fill(0);
                bytes[8..12].copy_from_slice(&length.to_be_bytes());
                bytes[16] = 2;
                let codec = i16::from(bytes[22] & 1);
                bytes[21..23].copy_from_slice(&codec.to_be_bytes());
                let count = i32::from(bytes[60] & 7) + 1;
                bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
                bytes[57..61].copy_from_slice(&count.to_be_bytes());
                let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]);
                bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
                prop_assert!(check(&bytes).is_ok());
            }
            let mut page = Page::default();
            if decode(&bytes, 0, &mut page).is_err() {
                prop_assert!(page.is_empty());
            }
        }

        #[test]
        fn a_numbers_size_is_what_it_takes(number: i64) {
            let mut out = Vec::new();
            push_number(number, &mut out);
            prop_assert_eq!(size(number), out.len());
            prop_assert_eq!(Records { bytes: &out }.number().unwrap(), number);
        }
    }

    #[test]
    fn a_small_batch_that_unpacks_to_very_much_is_refused() {
        let mut builder = Builder::default();
        builder.begin(0);
        builder.records = vec![0; MAX_UNPACKED as usize + 1];
        builder.count = 1;
        let mut bytes = Vec::new();
        builder.finish(true, &mut bytes);
        assert!(bytes.len() < MAX_BATCH);
        let fault = decode(&bytes, 0, &mut Page::default()).unwrap_err();
        assert_eq!(fault, "a batch unpacks to more than any batch has");
    }
}
