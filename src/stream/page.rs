//! Events that were read, many at once, in memory that is used over and over.

/// One event of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'p> {
    /// Its number in the topic, from 0.
    pub seq: u64,
    /// The wall clock's milliseconds since 1970 at which it was published.
    pub stamp_ms: i64,
    /// The line, without a newline.
    pub line: &'p [u8],
}

/// Events in the order of their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    text: Vec<u8>,
    entries: Vec<Place>,
}

/// Where the line of an event ends in the text; it begins where the one before ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    seq: u64,
    stamp_ms: i64,
    end: usize,
}

impl Page {
    /// Forgets the events and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }

    /// Adds an event.
    pub fn push(&mut self, entry: Entry<'_>) {
        self.text.extend_from_slice(entry.line);
        self.entries.push(Place {
            seq: entry.seq,
            stamp_ms: entry.stamp_ms,
            end: self.text.len(),
        });
    }

    /// Returns the number of events.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number after that of the last event.
    pub fn end_seq(&self) -> Option<u64> {
        self.entries.last().map(|place| place.seq + 1)
    }

    /// Returns the events.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().scan(0, |begin, place| {
            let line = &self.text[*begin..place.end];
            *begin = place.end;
            Some(Entry {
                seq: place.seq,
                stamp_ms: place.stamp_ms,
                line,
            })
        })
    }

    /// Takes back what was added behind the first `length` events.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.entries.truncate(length);
        self.text
            .truncate(self.entries.last().map_or(0, |place| place.end));
    }
}
