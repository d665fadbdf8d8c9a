//! What the connections of a broker share: the topics, the groups and what they have committed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::groups::{Groups, Step};
use super::offsets::Offsets;
use crate::clock::Clock;
use crate::stream::{Archive, TopicLog, TopicName};

/// How often a member that waits to join or to be assigned looks whether it is time.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A topic that is served.
#[derive(Debug)]
pub(super) struct Topic(Mutex<TopicLog>);

impl Topic {
    pub(super) fn log(&self) -> MutexGuard<'_, TopicLog> {
        // A reader that panicked has changed nothing that the next look at the files does not mend.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all connections see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) archive: Archive,
    pub(super) clock: Clock,
    pub(super) cluster: String,
    pub(super) host: String,
    pub(super) port: u16,
    topics: Mutex<BTreeMap<String, Arc<Topic>>>,
    groups: Mutex<Groups>,
    offsets: Mutex<Offsets>,
    stop: AtomicBool,
    visited: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        archive: Archive,
        clock: Clock,
        cluster: String,
        (host, port): (String, u16),
        offsets: Offsets,
    ) -> Self {
        let life = clock.now_utc().timestamp_millis();
        Self {
            archive,
            clock,
            cluster,
            host,
            port,
            topics: Mutex::default(),
            groups: Mutex::new(Groups::new(life)),
            offsets: Mutex::new(offsets),
            stop: AtomicBool::new(false),
            visited: AtomicBool::new(false),
        }
    }

    /// Notes that somebody has come.
    pub(super) fn visit(&self) {
        self.visited.store(true, Ordering::Relaxed);
    }

    pub(super) fn was_visited(&self) -> bool {
        self.visited.load(Ordering::Relaxed)
    }

    /// Returns a topic by its name; one that was made since is found.
    pub(super) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(name) {
            return Some(Arc::clone(topic));
        }
        let log = TopicName::new(name)
            .and_then(|name| self.archive.log(&name))
            .ok()?;
        let topic = Arc::new(Topic(Mutex::new(log)));
        topics.insert(name.to_owned(), Arc::clone(&topic));
        Some(topic)
    }

    /// Returns the names of the topics.
    pub(super) fn topics(&self) -> Vec<String> {
        // A folder that cannot be listed has no topics that could be served.
        let topics = self.archive.topics().unwrap_or_default();
        topics.iter().map(ToString::to_string).collect()
    }

    pub(super) fn offsets(&self) -> MutexGuard<'_, Offsets> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the groups, at the moment that it is.
    pub(super) fn groups<T>(&self, act: impl FnOnce(&mut Groups, i64) -> T) -> T {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut groups, self.now_ms())
    }

    /// Asks the groups until they reply; none when the broker stops before. The second and later times, `again` is set.
    pub(super) fn wait_for<T>(&self, mut ask: impl FnMut(&mut Groups, bool, i64) -> Step<T>) -> Option<T> {
        let mut again = false;
        while !self.stopping() {
            if let Step::Reply(reply) = self.groups(|groups, now_ms| ask(groups, again, now_ms)) {
                return Some(reply);
            }
            again = true;
            self.clock.sleep(LOOK_EVERY);
        }
        None
    }

    pub(super) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The milliseconds since the clock was started: they never step.
    fn now_ms(&self) -> i64 {
        (self.clock.elapsed_ns() / 1_000_000) as i64
    }
}
