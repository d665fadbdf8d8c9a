//! The company's log as a stream: one topic a team, on disk, in an embedded broker or in Apache Kafka.
//!
//! A **topic** `movielog<TEAM>` holds the lines of one team in the order in which they were published. Every event of a
//! topic has a **sequence number**, from 0 and without gaps, and a **stamp**, the wall clock's milliseconds at which it was
//! published: what is in the line is company time, which may run faster. Two numbers say how far a publisher is:
//!
//! - [`Publisher::next_seq`]: what the next event gets. After opening it is the tail of the topic plus one, so that a
//!   producer that was killed goes on there and neither loses nor repeats an event.
//! - [`Publisher::acked`]: every event below it has been taken by the back end. For the archive that is the operating
//!   system, which survives a killed process; [`Publisher::sync`] also survives a loss of power. For Kafka it is the broker.
//!
//! [`Archive`] is the file back end: a folder of topics, each with one writer at a time and any number of readers, in this
//! process or in others. It is what everything else builds on: [`Broker`] serves it as it lies, it is
//! copied into Kafka, a grade reads a window back from it.
//!
//! ```no_run
//! use reelworld::clock::Clock;
//! use reelworld::stream::{Archive, At, Page, Publisher, Reader, TopicName, WriteOptions};
//!
//! # fn main() -> Result<(), reelworld::stream::StreamError> {
//! let clock = Clock::start();
//! let archive = Archive::new("archive");
//! let topic = TopicName::of_team("7")?;
//! let mut publisher = archive.publisher(&topic, WriteOptions::default(), clock)?;
//! let resume_at = publisher.next_seq();
//! publisher.publish(clock.now_utc().timestamp_millis(), b"2023-02-08T02:29,797760,GET /rate/heat+1995=4")?;
//! publisher.flush()?; // readers see it
//! assert_eq!(publisher.acked(), resume_at + 1);
//!
//! let mut reader = archive.reader(&topic, clock)?;
//! reader.seek(At::Start)?;
//! let mut page = Page::default();
//! while reader.read(&mut page, std::time::Duration::ZERO)? > 0 {
//!     for entry in page.entries() {
//!         println!("{} {} {}", entry.seq, entry.stamp_ms, String::from_utf8_lossy(entry.line));
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod access;
mod archive;
mod batch;
mod broker;
#[cfg(feature = "kafka")]
mod kafka;
mod log;
mod pack;
mod page;
mod place;
mod segment;
#[cfg(any(feature = "kafka", test))]
mod spread;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

pub use self::access::{Access, shell};
pub use self::archive::{Archive, ArchivePublisher, ArchiveReader, SyncPolicy, WriteOptions};
pub use self::broker::{Broker, BrokerOptions, PORT, answer_frame};
#[cfg(feature = "kafka")]
pub use self::kafka::{Job, KafkaPublisher, KafkaReader, KafkaSettings, KafkaWorker};
pub use self::log::TopicLog;
pub use self::page::{Entry, Page};
pub use self::place::Place;

/// What every topic's name begins with; the team follows.
pub const TOPIC_PREFIX: &str = "movielog";
/// The most letters of a topic's name: Kafka's own limit.
pub const MAX_TOPIC: usize = 249;

/// The name of a topic: letters, digits, dots, hyphens and underscores, as Kafka allows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(String);

impl TopicName {
    /// Takes a name that is one.
    ///
    /// # Errors
    /// When Kafka would refuse the name.
    pub fn new(name: &str) -> Result<Self, StreamError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let good = !name.is_empty()
            && name.len() <= MAX_TOPIC
            && name.bytes().all(legal)
            && name != "."
            && name != "..";
        if good {
            Ok(Self(name.to_owned()))
        } else {
            Err(StreamError::Name(name.chars().take(MAX_TOPIC).collect()))
        }
    }

    /// Returns the topic of a team: `movielog<TEAM>`.
    ///
    /// # Errors
    /// When the team's name has letters that a topic cannot have.
    pub fn of_team(team: &str) -> Result<Self, StreamError> {
        Self::new(&format!("{TOPIC_PREFIX}{team}"))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where events of one topic go.
pub trait Publisher: Send {
    /// Returns the sequence number of the next event; after opening, the tail of the topic plus one.
    fn next_seq(&self) -> u64;

    /// Takes one event, a line without its newline, and returns its sequence number.
    ///
    /// It may wait in memory until [`Publisher::flush`] or until there is enough of it. When this fails, the event was not
    /// taken and everything taken before is kept: the same call may be made again, for as long as the disk is full or the
    /// broker is gone.
    ///
    /// # Errors
    /// When the line is none, or the back end refuses.
    fn publish(&mut self, stamp_ms: i64, line: &[u8]) -> Result<u64, StreamError>;

    /// Hands on everything that was published, so that readers see it, and waits until the back end has it.
    ///
    /// # Errors
    /// When the back end refuses; nothing is lost, and the call may be made again.
    fn flush(&mut self) -> Result<(), StreamError>;

    /// Returns the number below which every event has been taken by the back end; it never goes back.
    fn acked(&self) -> u64;

    /// Returns the number below which every event survives a loss of power, as far as the back end can promise.
    fn kept(&self) -> u64 {
        self.acked()
    }

    /// Goes on with a later number, because the events before it are lost: readers are told so, and no number is given twice.
    /// A number that is not later changes nothing.
    ///
    /// # Errors
    /// As for [`Publisher::flush`].
    fn skip_to(&mut self, seq: u64) -> Result<(), StreamError>;

    /// As [`Publisher::flush`], and what was published survives a loss of power as well, as far as the back end can promise.
    ///
    /// # Errors
    /// As for [`Publisher::flush`].
    fn sync(&mut self) -> Result<(), StreamError> {
        self.flush()
    }
}

/// A place in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The oldest event that is kept.
    Start,
    /// After the newest event.
    End,
    /// An event by its sequence number.
    Seq(u64),
    /// The first event that was published at this wall clock's millisecond or later.
    Time(i64),
}

/// Where events of one topic come from.
pub trait Reader: Send {
    /// Goes to a place; what is outside the topic is its nearest end.
    ///
    /// # Errors
    /// When the back end refuses.
    fn seek(&mut self, to: At) -> Result<(), StreamError>;

    /// Returns the numbers of the events that are there now, as a range.
    ///
    /// # Errors
    /// When the back end refuses.
    fn bounds(&mut self) -> Result<Range<u64>, StreamError>;

    /// Returns the number of the event that comes next.
    fn position(&self) -> u64;

    /// Fills the page with the next events, in order, and returns how many there are.
    ///
    /// Waits for the first one for as long as `wait`; none came in that time when it returns 0.
    ///
    /// # Errors
    /// When the back end refuses, or an event cannot be read. The reader stays where it was; [`Reader::seek`] can pass
    /// what is corrupt ([`StreamError::Corrupt`] says how far it reaches).
    fn read(&mut self, page: &mut Page, wait: Duration) -> Result<usize, StreamError>;
}

/// Why a stream can't be written or read.
#[derive(Debug)]
pub enum StreamError {
    /// A topic's name has letters that Kafka does not allow.
    Name(String),
    /// There is no such topic.
    NoTopic(String),
    /// The line is too long or holds a newline.
    Line(&'static str),
    /// The system refused; try again when there is room.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The broker does not answer, or refuses for now; try again.
    Unavailable(String),
    /// Another process writes this topic.
    Locked(PathBuf),
    /// What stands in a file is not what was written.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The byte at which the unreadable batch begins.
        at: u64,
        /// What is wrong.
        what: &'static str,
        /// The events that cannot be read; going to its end passes them.
        lost: Range<u64>,
    },
    /// Events that were never written to a topic of Kafka, because they were lost before; later ones are there.
    Missing {
        /// The topic.
        topic: String,
        /// The events that are not there; going to its end passes them.
        lost: Range<u64>,
    },
    /// The publisher cannot go on: open it again, and resume at its `next_seq`.
    Broken(String),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "`{name}` is no name of a topic: letters, digits, `.`, `_` and `-`, at most {MAX_TOPIC}"
            ),
            Self::NoTopic(name) => write!(f, "there is no topic `{name}`"),
            Self::Line(what) => f.write_str(what),
            Self::Unavailable(why) => write!(f, "kafka: {why}"),
            Self::Io { path, error } => write!(f, "cannot use `{}`: {error}", path.display()),
            Self::Locked(path) => write!(f, "`{}` is being written by another process", path.display()),
            Self::Corrupt { path, at, what, lost } => write!(
                f,
                "{}: byte {at}: {what}; events {} to {} cannot be read",
                path.display(),
                lost.start,
                lost.end.saturating_sub(1)
            ),
            Self::Missing { topic, lost } => write!(
                f,
                "`{topic}` does not have the events {} to {}, and has later ones",
                lost.start,
                lost.end.saturating_sub(1)
            ),
            Self::Broken(why) => write!(f, "the publisher must be opened again: {why}"),
        }
    }
}

impl std::error::Error for StreamError {}

impl StreamError {
    /// Returns the events that are lost, if that is what is told; going to their end passes them.
    pub fn lost(&self) -> Option<Range<u64>> {
        match self {
            Self::Corrupt { lost, .. } | Self::Missing { lost, .. } => Some(lost.clone()),
            _ => None,
        }
    }
}
