//! The reader: the partitions of a topic put together again in the order of their events' numbers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::{ANSWER_TIME, Complaint, KafkaSettings, Peek, fault, seq_of};
use crate::clock::Clock;
use crate::stream::spread::{first_from, partition_of};
use crate::stream::{At, Entry, Page, Reader, StreamError, TopicName};

/// The most events of one page.
const PAGE_EVENTS: usize = 10_000;
/// The most events that wait for an earlier one of another partition.
const MAX_WAITING: usize = 200_000;

/// A reader of one topic of Kafka. Records that were repeated are passed over.
pub struct KafkaReader {
    settings: KafkaSettings,
    topic: TopicName,
    consumer: BaseConsumer<Complaint>,
    partitions: i32,
    /// The event that comes next.
    next: u64,
    /// Events that came before their turn.
    waiting: BTreeMap<u64, (i64, Vec<u8>)>,
    /// For each partition, the number below which nothing comes any more: its events lie in order.
    come: Vec<u64>,
    clock: Clock,
}

impl std::fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaReader")
            .field("topic", &self.topic)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl KafkaReader {
    pub(super) fn open(
        settings: &KafkaSettings,
        topic: &TopicName,
        clock: Clock,
    ) -> Result<Self, StreamError> {
        let partitions = Peek::new(settings, topic)?.partitions()?;
        let mut reader = Self {
            settings: settings.clone(),
            topic: topic.clone(),
            consumer: settings.consumer()?,
            partitions,
            next: 0,
            waiting: BTreeMap::new(),
            come: Vec::new(),
            clock,
        };
        reader.seek(At::Start)?;
        Ok(reader)
    }

    fn peek(&self) -> Result<Peek<'_>, StreamError> {
        let peek = Peek::new(&self.settings, &self.topic)?;
        Ok(Peek {
            by_offset: self.by_offset(),
            ..peek
        })
    }

    /// The embedded broker serves what lies in the archive: its one partition has no headers, and offsets that are the numbers.
    fn by_offset(&self) -> bool {
        self.partitions == 1
    }

    /// Returns the first offset of a partition from which on all events have a number of at least `seq`.
    ///
    /// A look at a record takes about a tenth of a second, so it begins where the event lies if none is missing or repeated.
    fn offset_of(peek: &Peek<'_>, partition: i32, seq: u64, partitions: i32) -> Result<i64, StreamError> {
        let (low, high) = peek.ends(partition)?;
        if low >= high {
            return Ok(low);
        }
        let ahead =
            seq.saturating_sub(peek.seq_at(partition, low)?) / u64::from(partitions.unsigned_abs().max(1));
        let guess = low.saturating_add_unsigned(ahead);
        first_from(low..high, guess, |offset| {
            Ok(peek.seq_at(partition, offset)? >= seq)
        })
    }

    /// Returns the first event that was published at a moment or later.
    fn first_at(&self, ms: i64) -> Result<Option<u64>, StreamError> {
        let mut asked = TopicPartitionList::new();
        for partition in 0..self.partitions {
            asked
                .add_partition_offset(self.topic.as_str(), partition, Offset::Offset(ms))
                .map_err(fault)?;
        }
        let peek = self.peek()?;
        let found = peek
            .consumer
            .offsets_for_times(asked, ANSWER_TIME)
            .map_err(fault)?;
        let mut first: Option<u64> = None;
        for element in found.elements() {
            if let Offset::Offset(offset) = element.offset() {
                let seq = peek.seq_at(element.partition(), offset)?;
                first = Some(first.map_or(seq, |first| first.min(seq)));
            }
        }
        Ok(first)
    }

    fn take(&mut self, wait: Duration) -> Result<bool, StreamError> {
        let Some(record) = self.consumer.poll(wait) else {
            return Ok(false);
        };
        let record = record.map_err(fault)?;
        let seq = seq_of(&record, self.by_offset())?;
        let partition = usize::try_from(record.partition()).unwrap_or_default();
        if let Some(come) = self.come.get_mut(partition) {
            *come = (*come).max(seq + 1);
        }
        if seq >= self.next {
            let stamp_ms = record.timestamp().to_millis().unwrap_or_default();
            self.waiting
                .entry(seq)
                .or_insert_with(|| (stamp_ms, record.payload().unwrap_or_default().to_vec()));
        }
        Ok(true)
    }

    /// Returns the events from the next one on that will never come: later ones of their partitions are here, and they are not.
    fn missing(&self) -> Option<Range<u64>> {
        let later = *self.waiting.keys().next()?;
        let partitions = self.come.len() as u64;
        let comes = |seq: &u64| self.come[partition_of(*seq, partitions) as usize] <= *seq;
        let end = (self.next..later).find(comes).unwrap_or(later);
        (end > self.next).then_some(self.next..end)
    }
}

impl Reader for KafkaReader {
    fn seek(&mut self, to: At) -> Result<(), StreamError> {
        let bounds = self.bounds()?;
        let seq = match to {
            At::Start => bounds.start,
            At::End => bounds.end,
            At::Seq(seq) => seq.clamp(bounds.start, bounds.end),
            At::Time(ms) => self.first_at(ms)?.unwrap_or(bounds.end),
        };
        let mut list = TopicPartitionList::new();
        let peek = self.peek()?;
        for partition in 0..self.partitions {
            let offset = Self::offset_of(&peek, partition, seq, self.partitions)?;
            list.add_partition_offset(self.topic.as_str(), partition, Offset::Offset(offset))
                .map_err(fault)?;
        }
        drop(peek);
        self.consumer.assign(&list).map_err(fault)?;
        self.waiting.clear();
        self.come = vec![0; self.partitions.unsigned_abs() as usize];
        self.next = seq;
        Ok(())
    }

    fn bounds(&mut self) -> Result<Range<u64>, StreamError> {
        let peek = self.peek()?;
        let (mut start, mut end) = (u64::MAX, 0);
        for partition in 0..self.partitions {
            let (low, high) = peek.ends(partition)?;
            if high > low {
                start = start.min(peek.seq_at(partition, low)?);
                end = end.max(peek.seq_at(partition, high - 1)? + 1);
            }
        }
        Ok(start.min(end)..end)
    }

    fn position(&self) -> u64 {
        self.next
    }

    fn read(&mut self, page: &mut Page, wait: Duration) -> Result<usize, StreamError> {
        page.clear();
        let until = self.clock.elapsed() + wait;
        loop {
            while page.len() < PAGE_EVENTS {
                let Some((stamp_ms, line)) = self.waiting.remove(&self.next) else {
                    break;
                };
                page.push(Entry {
                    seq: self.next,
                    stamp_ms,
                    line: &line,
                });
                self.next += 1;
            }
            if page.len() >= PAGE_EVENTS {
                return Ok(page.len());
            }
            if page.is_empty()
                && let Some(lost) = self.missing()
            {
                return Err(StreamError::Missing {
                    topic: self.topic.to_string(),
                    lost,
                });
            }
            // What is here goes out at once; only an empty page waits.
            let left = if page.is_empty() {
                until.saturating_sub(self.clock.elapsed())
            } else {
                Duration::ZERO
            };
            let came = self.take(left)?;
            if !came && (!page.is_empty() || self.clock.elapsed() >= until) {
                return Ok(page.len());
            }
            if self.waiting.len() > MAX_WAITING {
                return Err(StreamError::Unavailable(format!(
                    "event {} of `{}` is missing, and later ones are there",
                    self.next, self.topic
                )));
            }
        }
    }
}
