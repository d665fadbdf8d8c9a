//! Where a topic is: a folder of an archive, or an address of Kafka; opened to be read or written without asking which.

use std::collections::BTreeMap;
use std::path::{Component, Path};

#[cfg(feature = "kafka")]
use super::KafkaSettings;
use super::{Archive, Publisher, Reader, StreamError, TopicName, WriteOptions};
use crate::clock::Clock;

/// A topic and where it is.
#[derive(Debug, Clone)]
pub enum Place {
    /// A folder of an archive.
    Archive {
        /// The archive.
        archive: Archive,
        /// The topic.
        topic: TopicName,
    },
    /// A topic of Kafka.
    #[cfg(feature = "kafka")]
    Kafka {
        /// How it is reached.
        settings: KafkaSettings,
        /// The topic.
        topic: TopicName,
    },
}

/// What the address of a topic of Kafka begins with.
const KAFKA: &str = "kafka://";

impl Place {
    /// Reads a place as people write it: the topic's folder, `archive/movielog7`, or `kafka://host:port/movielog7`, with
    /// several servers separated by commas.
    ///
    /// # Errors
    /// When the last part is no name of a topic, or this program was built without Kafka.
    pub fn parse(text: &str) -> Result<Self, StreamError> {
        if let Some(address) = text.strip_prefix(KAFKA) {
            let (servers, topic) = address.split_once('/').unwrap_or((address, ""));
            return Self::kafka(servers, &TopicName::new(topic)?);
        }
        let path = Path::new(text);
        let name = match path.components().next_back() {
            Some(Component::Normal(name)) => name.to_str().unwrap_or_default(),
            _ => "",
        };
        let topic = TopicName::new(name)?;
        let dir = path
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        Ok(Self::Archive {
            archive: Archive::new(dir),
            topic,
        })
    }

    /// Passes settings on to the client of Kafka as they are, `security.protocol` and so on; an archive has none.
    #[must_use]
    #[cfg_attr(
        not(feature = "kafka"),
        expect(unused_variables, reason = "only Kafka is told")
    )]
    pub fn with_client(mut self, client: &BTreeMap<String, String>) -> Self {
        match &mut self {
            Self::Archive { .. } => {}
            #[cfg(feature = "kafka")]
            Self::Kafka { settings, .. } => settings.client.clone_from(client),
        }
        self
    }

    /// Says how a topic that is new is made: its partitions and the copies of each; an archive has one of each.
    #[must_use]
    #[cfg_attr(
        not(feature = "kafka"),
        expect(unused_variables, reason = "only Kafka is told")
    )]
    pub fn with_parts(mut self, partitions: u32, replication: u32) -> Self {
        match &mut self {
            Self::Archive { .. } => {}
            #[cfg(feature = "kafka")]
            Self::Kafka { settings, .. } => {
                settings.partitions = partitions;
                settings.replication = replication;
            }
        }
        self
    }

    #[cfg(feature = "kafka")]
    #[expect(clippy::unnecessary_wraps, reason = "without Kafka it fails")]
    fn kafka(servers: &str, topic: &TopicName) -> Result<Self, StreamError> {
        Ok(Self::Kafka {
            settings: KafkaSettings::new(servers),
            topic: topic.clone(),
        })
    }

    #[cfg(not(feature = "kafka"))]
    fn kafka(_servers: &str, topic: &TopicName) -> Result<Self, StreamError> {
        Err(StreamError::Unavailable(format!(
            "`{topic}` cannot be reached: this program was built without its feature `kafka`"
        )))
    }

    /// Returns the topic.
    pub fn topic(&self) -> &TopicName {
        match self {
            Self::Archive { topic, .. } => topic,
            #[cfg(feature = "kafka")]
            Self::Kafka { topic, .. } => topic,
        }
    }

    /// Opens the topic to be written; one that is new begins with the event `first`.
    ///
    /// # Errors
    /// When the back end refuses.
    pub fn publisher(&self, first_seq: u64, clock: Clock) -> Result<Box<dyn Publisher>, StreamError> {
        match self {
            Self::Archive { archive, topic } => {
                let options = WriteOptions {
                    first_seq,
                    ..WriteOptions::default()
                };
                Ok(Box::new(archive.publisher(topic, options, clock)?))
            }
            #[cfg(feature = "kafka")]
            Self::Kafka { settings, topic } => Ok(Box::new(settings.publisher(topic, first_seq, clock)?)),
        }
    }

    /// Opens the topic to be read, from its beginning.
    ///
    /// # Errors
    /// When there is no such topic, or the back end refuses.
    pub fn reader(&self, clock: Clock) -> Result<Box<dyn Reader>, StreamError> {
        match self {
            Self::Archive { archive, topic } => Ok(Box::new(archive.reader(topic, clock)?)),
            #[cfg(feature = "kafka")]
            Self::Kafka { settings, topic } => Ok(Box::new(settings.reader(topic, clock)?)),
        }
    }
}
