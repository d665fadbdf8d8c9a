//! Apache Kafka: topics made explicitly, an idempotent producer that drops nothing, and a reader; one event a record.
//!
//! The number of an event is in the header `seq` of its record, as decimal digits: students' payload is the line alone. An
//! event's partition follows from its number, so that after a kill the last record of each partition says where to go on.

mod complaint;
mod producer;
mod queue;
mod reader;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use self::complaint::Complaint;
pub use self::producer::KafkaPublisher;
pub use self::queue::{Job, KafkaWorker};
pub use self::reader::KafkaReader;
use super::{StreamError, TopicName};
use crate::clock::Clock;

/// The header that carries an event's number.
const SEQ: &str = "seq";
/// How long an answer about topics and their ends may take.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// How long a client's complaints are waited for that it has made already.
const COMPLAINT_TIME: Duration = Duration::from_millis(100);
/// How Kafka is reached and a topic made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, several with commas.
    pub servers: String,
    /// Settings of librdkafka, passed through as they are: `security.protocol`, `sasl.username` and so on.
    pub client: BTreeMap<String, String>,
    /// The partitions of a topic that is made.
    pub partitions: u32,
    /// The copies of each.
    pub replication: u32,
}

impl KafkaSettings {
    /// Names servers; topics are made with one partition and one copy.
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: servers.into(),
            client: BTreeMap::new(),
            partitions: 1,
            replication: 1,
        }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Why a connection fails is told to the client's log alone, and what is not wanted is not told at all.
        config.set_log_level(RDKafkaLogLevel::Error);
        config.set("bootstrap.servers", &self.servers);
        for (key, value) in &self.client {
            config.set(key, value);
        }
        config
    }

    fn consumer(&self) -> Result<BaseConsumer<Complaint>, StreamError> {
        self.config()
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "false")
            .set("auto.offset.reset", "error")
            // Never used for anything but its name: no group is joined.
            .set("group.id", "reelworld")
            .create_with_context(Complaint::default())
            .map_err(fault)
    }

    /// Makes the topic, kept for ever, unless it is there.
    ///
    /// Retention goes by the stamps of records, and a course's last for a semester: `retention.ms` is -1 whatever the
    /// cluster's default.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub fn create_topic(&self, topic: &TopicName) -> Result<(), StreamError> {
        // Who may not make topics may write one that is there.
        match Peek::new(self, topic)?.partitions() {
            Err(StreamError::NoTopic(_)) => {}
            found => return found.map(drop),
        }
        let admin: AdminClient<DefaultClientContext> = self.config().create().map_err(fault)?;
        let copies = i32::try_from(self.replication).unwrap_or(i32::MAX);
        let partitions = i32::try_from(self.partitions).unwrap_or(i32::MAX);
        let new = NewTopic::new(topic.as_str(), partitions, TopicReplication::Fixed(copies))
            .set("retention.ms", "-1")
            .set("cleanup.policy", "delete")
            .set("message.timestamp.type", "CreateTime");
        let options = AdminOptions::new()
            .request_timeout(Some(ANSWER_TIME))
            .operation_timeout(Some(ANSWER_TIME));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| StreamError::Unavailable(error.to_string()))?;
        let made = runtime
            .block_on(admin.create_topics([&new], &options))
            .map_err(fault)?;
        for result in made {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    return Err(StreamError::Unavailable(format!(
                        "`{topic}` cannot be made: {code}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Opens a topic to be written, made if need be; one that is empty begins with the event `first_seq`.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer, or the topic holds records that are none of ours.
    pub fn publisher(
        &self,
        topic: &TopicName,
        first_seq: u64,
        clock: Clock,
    ) -> Result<KafkaPublisher, StreamError> {
        self.create_topic(topic)?;
        KafkaPublisher::open(self, topic, first_seq, clock)
    }

    /// Opens a topic to be read, from its beginning.
    ///
    /// # Errors
    /// When there is no such topic, or the cluster refuses or does not answer.
    pub fn reader(&self, topic: &TopicName, clock: Clock) -> Result<KafkaReader, StreamError> {
        KafkaReader::open(self, topic, clock)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "errors are mapped with it")]
fn fault(error: KafkaError) -> StreamError {
    let no_tls = matches!(error, KafkaError::ClientConfig(..)) && cfg!(not(feature = "kafka-tls"));
    let more = if no_tls {
        " (this program has no TLS and no SCRAM: it was built without its feature `kafka-tls`)"
    } else {
        ""
    };
    StreamError::Unavailable(format!("{error}{more}"))
}

/// The records of a topic, one at a time.
struct Peek<'t> {
    consumer: BaseConsumer<Complaint>,
    topic: &'t TopicName,
    /// Whether a record without a number has its offset for one.
    by_offset: bool,
}

impl<'t> Peek<'t> {
    fn new(settings: &KafkaSettings, topic: &'t TopicName) -> Result<Self, StreamError> {
        Ok(Self {
            consumer: settings.consumer()?,
            topic,
            by_offset: false,
        })
    }

    /// Returns the number of partitions.
    fn partitions(&self) -> Result<i32, StreamError> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(self.topic.as_str()), ANSWER_TIME)
            .map_err(|error| {
                // What it complains of waits to be fetched; there are no records, as nothing is assigned.
                drop(self.consumer.poll(COMPLAINT_TIME));
                self.consumer.context().explain(error)
            })?;
        let found = metadata.topics().first().filter(|topic| topic.error().is_none());
        match found.map(|topic| topic.partitions().len() as i32) {
            Some(count) if count > 0 => Ok(count),
            _ => Err(StreamError::NoTopic(self.topic.to_string())),
        }
    }

    /// Returns the first offset of a partition and that behind its last record.
    fn ends(&self, partition: i32) -> Result<(i64, i64), StreamError> {
        self.consumer
            .fetch_watermarks(self.topic.as_str(), partition, ANSWER_TIME)
            .map_err(fault)
    }

    /// Returns the number of the first event at an offset or behind it.
    fn seq_at(&self, partition: i32, offset: i64) -> Result<u64, StreamError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.topic.as_str(), partition, Offset::Offset(offset))
            .map_err(fault)?;
        self.consumer.assign(&list).map_err(fault)?;
        let record = self.consumer.poll(ANSWER_TIME).ok_or_else(|| {
            StreamError::Unavailable(format!(
                "no record at offset {offset} of partition {partition} of `{}` within {} s",
                self.topic,
                ANSWER_TIME.as_secs()
            ))
        })?;
        seq_of(&record.map_err(fault)?, self.by_offset)
    }
}

/// Returns the number that a record carries, or, if wanted, its offset where it carries none.
fn seq_of(record: &BorrowedMessage<'_>, by_offset: bool) -> Result<u64, StreamError> {
    let carried = record.headers().and_then(|headers| {
        let header = headers.iter().find(|header| header.key == SEQ)?;
        std::str::from_utf8(header.value?).ok()?.parse().ok()
    });
    let offset = || by_offset.then(|| u64::try_from(record.offset()).ok()).flatten();
    carried.or_else(offset).ok_or_else(|| {
        StreamError::Unavailable(format!(
            "the record at offset {} of partition {} of `{}` carries no number: another program wrote it",
            record.offset(),
            record.partition(),
            record.topic()
        ))
    })
}
