//! Work for several machines: a topic of jobs, each taken by one member of a group, and again by another until it is done.
//!
//! A job is done when its offset is committed. Who dies before has its jobs given to others after [`SILENCE`], so that a job may be
//! done twice and none is left undone.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::{ANSWER_TIME, KafkaSettings, Peek, fault};
use crate::stream::{StreamError, TopicName};

/// The partitions of a topic of jobs that is made: no more members work at once.
const PARTITIONS: u32 = 64;
/// How long a member may be silent until its jobs are given to others.
const SILENCE: Duration = Duration::from_secs(10);
/// The longest time between two looks of a member at the queue, in milliseconds. [`KafkaWorker::keep`] looks all the time.
const MOST_BETWEEN_LOOKS_MS: &str = "300000";

/// A job that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What is to be done, as it was put.
    pub text: Vec<u8>,
    partition: i32,
    offset: i64,
}

impl Job {
    /// Makes a job that stands at a place of a topic.
    #[cfg(test)]
    pub(crate) fn new(text: Vec<u8>, partition: i32, offset: i64) -> Self {
        Self {
            text,
            partition,
            offset,
        }
    }

    /// Returns where it stands on its topic: a partition and a number, with a hyphen between.
    pub fn place(&self) -> String {
        format!("{}-{}", self.partition, self.offset)
    }
}

/// Deliveries that failed.
#[derive(Debug, Default)]
struct Failures(Mutex<Option<String>>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.to_string());
        }
    }
}

impl KafkaSettings {
    /// Puts jobs on a topic, made if need be, in turns over its partitions; they are there when this returns.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer; then part of the jobs may be there.
    pub fn put(&self, topic: &TopicName, jobs: &[Vec<u8>]) -> Result<(), StreamError> {
        let wide = Self {
            partitions: PARTITIONS,
            ..self.clone()
        };
        wide.create_topic(topic)?;
        let partitions = Peek::new(self, topic)?.partitions()?;
        let producer: BaseProducer<Failures> = self
            .config()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .create_with_context(Failures::default())
            .map_err(fault)?;
        for (job, partition) in jobs.iter().zip((0..partitions).cycle()) {
            let record: BaseRecord<'_, (), [u8]> =
                BaseRecord::to(topic.as_str()).partition(partition).payload(job);
            producer.send(record).map_err(|(error, _)| fault(error))?;
        }
        producer.flush(ANSWER_TIME).map_err(fault)?;
        let failed = producer
            .context()
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        failed.map_or(Ok(()), |why| {
            Err(StreamError::Unavailable(format!(
                "`{topic}` did not take a job: {why}"
            )))
        })
    }
}

/// A member of a group that does the jobs of a topic.
pub struct KafkaWorker {
    consumer: BaseConsumer,
    topic: TopicName,
    /// Jobs that came while another was being done.
    waiting: VecDeque<Job>,
}

impl std::fmt::Debug for KafkaWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaWorker")
            .field("topic", &self.topic)
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl KafkaWorker {
    /// Joins a group; the topic is made if nobody has put a job yet.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub fn join(settings: &KafkaSettings, topic: &TopicName, group: &str) -> Result<Self, StreamError> {
        let wide = KafkaSettings {
            partitions: PARTITIONS,
            ..settings.clone()
        };
        wide.create_topic(topic)?;
        let consumer: BaseConsumer = settings
            .config()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            // Whoever comes or goes takes no job from one who is at it.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SILENCE.as_millis().to_string())
            .set("max.poll.interval.ms", MOST_BETWEEN_LOOKS_MS)
            .create()
            .map_err(fault)?;
        consumer.subscribe(&[topic.as_str()]).map_err(fault)?;
        Ok(Self {
            consumer,
            topic: topic.clone(),
            waiting: VecDeque::new(),
        })
    }

    /// Returns the next job, if one comes within a time.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub fn take(&mut self, wait: Duration) -> Result<Option<Job>, StreamError> {
        let mine = self.consumer.assignment().map_err(fault)?;
        while let Some(job) = self.waiting.pop_front() {
            // Meanwhile somebody else may have been given what it is a part of.
            if mine.find_partition(self.topic.as_str(), job.partition).is_some() {
                return Ok(Some(job));
            }
        }
        self.consumer.resume(&mine).map_err(fault)?;
        self.poll(wait)
    }

    /// Stays a member while a job is being done: jobs that come are kept for later.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub fn keep(&mut self, wait: Duration) -> Result<(), StreamError> {
        let mine = self.consumer.assignment().map_err(fault)?;
        self.consumer.pause(&mine).map_err(fault)?;
        if let Some(job) = self.poll(wait)? {
            self.waiting.push_back(job);
        }
        Ok(())
    }

    fn poll(&self, wait: Duration) -> Result<Option<Job>, StreamError> {
        match self.consumer.poll(wait) {
            Some(Ok(record)) => Ok(Some(Job {
                text: record.payload().unwrap_or_default().to_vec(),
                partition: record.partition(),
                offset: record.offset(),
            })),
            // A broker that is away for a while is tried again by the client itself.
            None
            | Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                // Nobody looked for too long, as a machine that slept; the next look joins again.
                | RDKafkaErrorCode::PollExceeded,
            ))) => Ok(None),
            Some(Err(error)) => Err(fault(error)),
        }
    }

    /// Says that a job is done. If it was given to another member meanwhile, that one will find that it is.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub fn done(&mut self, job: &Job) -> Result<(), StreamError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.topic.as_str(), job.partition, Offset::Offset(job.offset + 1))
            .map_err(fault)?;
        match self.consumer.commit(&list, CommitMode::Sync) {
            Ok(())
            | Err(KafkaError::ConsumerCommit(
                RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::RebalanceInProgress,
            )) => Ok(()),
            Err(error) => Err(fault(error)),
        }
    }
}
