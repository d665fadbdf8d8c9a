//! The producer: idempotent, waits on a full queue, and goes on after a kill behind the last record of each partition.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::Message;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::{KafkaSettings, Peek, SEQ, fault};
use crate::clock::Clock;
use crate::event::MAX_LINE;
use crate::stream::spread::{next_in, partition_of};
use crate::stream::{Publisher, StreamError, TopicName};

/// How long a call waits for the broker before it says that it may be made again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one look for deliveries waits.
const LOOK: Duration = Duration::from_millis(20);
/// The events between two looks for deliveries.
const LOOK_EVERY: u64 = 256;

/// What the deliveries say.
#[derive(Debug)]
struct Reports(Mutex<Delivered>);

#[derive(Debug)]
struct Delivered {
    /// For each partition, the number below which all of its events have been taken.
    below: Vec<u64>,
    failed: Option<String>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, seq: usize) {
        let mut delivered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            // An idempotent producer delivers the records of a partition in order.
            Ok(record) => {
                let partition = usize::try_from(record.partition()).unwrap_or_default();
                if let Some(below) = delivered.below.get_mut(partition) {
                    *below = (*below).max(seq as u64 + 1);
                }
            }
            Err((error, _)) => {
                delivered
                    .failed
                    .get_or_insert_with(|| format!("event {seq} was not taken: {error}"));
            }
        }
    }
}

/// The producer of one topic of Kafka.
///
/// One process writes a topic at a time: who runs it sees to that. What it was given and Kafka has not acknowledged is in
/// memory alone, so that the caller must be able to give it again after a kill: from an [`Archive`](crate::stream::Archive).
pub struct KafkaPublisher {
    producer: BaseProducer<Reports>,
    topic: TopicName,
    next: u64,
    /// For each partition, the number below which all of its events were there at the beginning.
    there: Vec<u64>,
    clock: Clock,
}

impl std::fmt::Debug for KafkaPublisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaPublisher")
            .field("topic", &self.topic)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl KafkaPublisher {
    pub(super) fn open(
        settings: &KafkaSettings,
        topic: &TopicName,
        first_seq: u64,
        clock: Clock,
    ) -> Result<Self, StreamError> {
        let peek = Peek::new(settings, topic)?;
        let partitions = peek.partitions()?;
        let mut there = Vec::new();
        for partition in 0..partitions {
            let (low, high) = peek.ends(partition)?;
            there.push(if high > low {
                peek.seq_at(partition, high - 1)? + 1
            } else {
                first_seq
            });
        }
        let count = there.len() as u64;
        let missing = |(partition, below): (usize, &u64)| next_in(partition as u64, count, *below);
        let next = there.iter().enumerate().map(missing).min().unwrap_or(first_seq);
        let reports = Reports(Mutex::new(Delivered {
            below: there.clone(),
            failed: None,
        }));
        let producer = settings
            .config()
            // Everything is acknowledged by all copies, once and in order, however long that takes.
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("linger.ms", "10")
            .set("compression.type", "gzip")
            .create_with_context(reports)
            .map_err(fault)?;
        Ok(Self {
            producer,
            topic: topic.clone(),
            next,
            there,
            clock,
        })
    }

    /// Returns why the producer cannot go on, if it can't.
    fn broken(&self) -> Result<(), StreamError> {
        if let Some((code, why)) = self.producer.client().fatal_error() {
            return Err(StreamError::Broken(format!("{code}: {why}")));
        }
        let delivered = self.delivered();
        match &delivered.failed {
            Some(why) => Err(StreamError::Broken(why.clone())),
            None => Ok(()),
        }
    }

    fn delivered(&self) -> std::sync::MutexGuard<'_, Delivered> {
        let reports = self.producer.context();
        reports.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, stamp_ms: i64, line: &[u8], partition: u64) -> Result<(), StreamError> {
        let digits = self.next.to_string();
        let until = self.clock.elapsed() + PATIENCE;
        loop {
            let headers = OwnedHeaders::new_with_capacity(1).insert(Header {
                key: SEQ,
                value: Some(&digits),
            });
            let record: BaseRecord<'_, (), [u8], usize> =
                BaseRecord::with_opaque_to(self.topic.as_str(), self.next as usize)
                    .partition(partition as i32)
                    .payload(line)
                    .timestamp(stamp_ms)
                    .headers(headers);
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.poll(LOOK);
                    self.broken()?;
                    if self.clock.elapsed() >= until {
                        return Err(StreamError::Unavailable(format!(
                            "`{}` takes nothing, and the queue is full",
                            self.topic
                        )));
                    }
                }
                Err((error, _)) => return Err(fault(error)),
            }
        }
    }
}

impl Publisher for KafkaPublisher {
    fn next_seq(&self) -> u64 {
        self.next
    }

    fn publish(&mut self, stamp_ms: i64, line: &[u8]) -> Result<u64, StreamError> {
        if line.len() > MAX_LINE {
            return Err(StreamError::Line("the line is longer than any line of the log"));
        }
        if line.contains(&b'\n') {
            return Err(StreamError::Line("the line holds a newline"));
        }
        self.broken()?;
        let seq = self.next;
        let partitions = self.there.len() as u64;
        let partition = partition_of(seq, partitions);
        // A partition may have come further than the others before a kill.
        if seq >= self.there[partition as usize] {
            self.send(stamp_ms, line, partition)?;
        }
        self.next += 1;
        if seq.is_multiple_of(LOOK_EVERY) {
            self.producer.poll(Duration::ZERO);
        }
        Ok(seq)
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        let until = self.clock.elapsed() + PATIENCE;
        while self.acked() < self.next {
            self.broken()?;
            if self.clock.elapsed() >= until {
                return Err(StreamError::Unavailable(format!(
                    "`{}` has not acknowledged events {} to {}",
                    self.topic,
                    self.acked(),
                    self.next - 1
                )));
            }
            self.producer.poll(LOOK);
        }
        Ok(())
    }

    fn skip_to(&mut self, seq: u64) -> Result<(), StreamError> {
        if seq <= self.next {
            return Ok(());
        }
        // Nothing is on its way then, and every partition is as far.
        self.flush()?;
        for below in &mut self.delivered().below {
            *below = (*below).max(seq);
        }
        self.next = seq;
        Ok(())
    }

    fn acked(&self) -> u64 {
        self.producer.poll(Duration::ZERO);
        let delivered = self.delivered();
        let partitions = delivered.below.len() as u64;
        let missing = |(partition, below): (usize, &u64)| next_in(partition as u64, partitions, *below);
        let first = delivered.below.iter().enumerate().map(missing).min();
        first.unwrap_or(self.next).min(self.next)
    }
}
