//! Carries the archive of each team's stream on to Kafka: what the archive has is there once, in order, however often either ends.
//!
//! The archive is the truth and never waits for a broker. A carrier asks the broker which event it has last and goes on behind
//! it, so that a killed server and a broker that was away cost time alone.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::stream::{Archive, At, Page, Place, Publisher, Reader, StreamError, TopicName};

/// How long a carrier waits for something new in the archive.
const WAIT: Duration = Duration::from_millis(100);
/// How long after a fault it tries again.
const AGAIN: Duration = Duration::from_secs(2);
/// The events that may be on their way before the broker has to have taken them.
const MOST_ON_THE_WAY: u64 = 10_000;
/// How long one event that is there is waited for.
const EVENT_TIME: Duration = Duration::from_secs(10);
/// How long a broker may take nothing of what is on its way before the pages say so.
const SILENCE: Duration = Duration::from_secs(5);

/// One topic as the pages show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RelayView {
    pub(super) topic: String,
    /// The number below which the broker has every event; none before it has told.
    pub(super) carried: Option<u64>,
    /// Events of the archive that the broker has not taken.
    pub(super) behind: u64,
    /// Events that the archive has lost, and the broker did not get either.
    pub(super) lost: u64,
    /// Whether what is new is held back on purpose.
    pub(super) held: bool,
    /// Why nothing is carried at the moment.
    pub(super) fault: Option<String>,
}

/// Where a topic goes.
#[derive(Debug, Clone)]
pub struct Carried {
    /// The topic, as it is in the archive.
    pub topic: TopicName,
    /// The place that it is carried to.
    pub to: Place,
}

/// The carriers of all topics, a thread each: a topic that a broker refuses holds up no other.
#[derive(Debug)]
pub(super) struct Relay {
    ending: Arc<AtomicBool>,
    /// Whether what is new is held back.
    held: Arc<AtomicBool>,
    views: Vec<Arc<Mutex<RelayView>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Starts a carrier for each topic, with the number below which its events survive a loss of power: what a broker has, the
    /// archive has for certain.
    pub(super) fn start(
        archive: &Archive,
        carried: &[(Carried, Arc<AtomicU64>)],
        is_held: bool,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let mut relay = Self {
            ending: Arc::new(AtomicBool::new(false)),
            held: Arc::new(AtomicBool::new(is_held)),
            views: Vec::new(),
            threads: Vec::new(),
        };
        for (Carried { topic, to }, kept) in carried {
            let view = Arc::new(Mutex::new(RelayView {
                topic: topic.to_string(),
                ..RelayView::default()
            }));
            let carrier = Carrier {
                archive: archive.clone(),
                topic: topic.clone(),
                to: to.clone(),
                clock,
                ending: Arc::clone(&relay.ending),
                held: Arc::clone(&relay.held),
                kept: Arc::clone(kept),
                view: Arc::clone(&view),
            };
            relay.views.push(view);
            let thread = std::thread::Builder::new()
                .name(format!("to kafka {topic}"))
                .spawn(move || carrier.run())?;
            relay.threads.push(thread);
        }
        Ok(relay)
    }

    /// Holds back what is new, or carries it on again.
    pub(super) fn hold(&self, is_held: bool) {
        self.held.store(is_held, Ordering::Relaxed);
    }

    pub(super) fn views(&self) -> Vec<RelayView> {
        self.views.iter().map(|view| locked(view).clone()).collect()
    }
}

impl Drop for Relay {
    /// What cannot be carried now stays in the archive for the next start.
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn locked(view: &Mutex<RelayView>) -> MutexGuard<'_, RelayView> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Carrier {
    archive: Archive,
    topic: TopicName,
    to: Place,
    clock: Clock,
    ending: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
    kept: Arc<AtomicU64>,
    view: Arc<Mutex<RelayView>>,
}

impl Carrier {
    fn run(&self) {
        while !self.ends() {
            if let Err(error) = self.carry() {
                locked(&self.view).fault = Some(error.to_string());
                self.pause();
            }
        }
    }

    fn ends(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    fn pause(&self) {
        let until = self.clock.elapsed() + AGAIN;
        while !self.ends() && self.clock.elapsed() < until {
            self.clock.sleep(WAIT);
        }
    }

    /// Carries until it is to end and has carried what is there, or the publisher has to be opened again.
    fn carry(&self) -> Result<(), StreamError> {
        let mut reader = self.archive.reader(&self.topic, self.clock)?;
        let there = reader.bounds()?;
        let mut publisher = self.to.publisher(there.start, self.clock)?;
        fits(&self.topic, publisher.next_seq(), &there)?;
        let mut taken = Taken::new(publisher.next_seq(), self.clock.elapsed());
        self.tell(publisher.as_ref(), &mut reader, &mut taken)?;
        self.agrees(&mut reader, publisher.next_seq())?;
        reader.seek(At::Seq(publisher.next_seq()))?;
        let mut page = Page::default();
        loop {
            self.tell(publisher.as_ref(), &mut reader, &mut taken)?;
            let is_held = self.held.load(Ordering::Relaxed);
            locked(&self.view).held = is_held;
            if is_held {
                if self.ends() {
                    return Ok(());
                }
                self.clock.sleep(WAIT);
                continue;
            }
            let Some(count) = self.read(&mut reader, &mut page, publisher.as_mut())? else {
                return Ok(());
            };
            for entry in page.entries() {
                if entry.seq != publisher.next_seq() {
                    let (seq, next) = (entry.seq, publisher.next_seq());
                    return Err(StreamError::Broken(format!(
                        "event {next} is due, and {seq} is what comes"
                    )));
                }
                if self
                    .insist(|| publisher.publish(entry.stamp_ms, entry.line))?
                    .is_none()
                {
                    return Ok(());
                }
            }
            let on_the_way = publisher.next_seq().saturating_sub(publisher.acked());
            if count == 0 || on_the_way >= MOST_ON_THE_WAY {
                self.insist(|| publisher.flush())?;
            }
            if count == 0 && self.ends() {
                return Ok(());
            }
        }
    }

    /// Reads what is next and survives a loss of power, waiting for it for a while; none when the relay ends first.
    ///
    /// What the archive has lost is passed, here and there: its numbers are not used, and the pages tell how many they are.
    fn read(
        &self,
        reader: &mut dyn Reader,
        page: &mut Page,
        publisher: &mut dyn Publisher,
    ) -> Result<Option<usize>, StreamError> {
        let kept = self.kept.load(Ordering::Relaxed);
        page.clear();
        if reader.position() >= kept {
            if !self.ends() {
                self.clock.sleep(WAIT);
            }
            return Ok(Some(0));
        }
        let done = self.insist(|| match reader.read(page, WAIT) {
            Err(error) => {
                let end = reader.bounds()?.end;
                let Some(lost) = error.lost().filter(|lost| lost.end <= end) else {
                    return Err(error);
                };
                publisher.skip_to(lost.end)?;
                reader.seek(At::Seq(lost.end))?;
                locked(&self.view).lost += lost.end - lost.start;
                page.clear();
                Ok(())
            }
            Ok(_) => Ok(()),
        })?;
        if done.is_none() {
            return Ok(None);
        }
        let carried = page.entries().filter(|entry| entry.seq < kept).count();
        if carried < page.len() {
            page.truncate(carried);
            reader.seek(At::Seq(kept))?;
        }
        Ok(Some(carried))
    }

    /// Compares the last event that the broker has with the archive's of the same number: after a restore they may be of
    /// different histories.
    fn agrees(&self, reader: &mut dyn Reader, next: u64) -> Result<(), StreamError> {
        let Some(last) = next
            .checked_sub(1)
            .filter(|last| *last >= reader.bounds().map_or(0, |there| there.start))
        else {
            return Ok(());
        };
        let mut there = self.to.reader(self.clock)?;
        let (ours, theirs) = (event(reader, last)?, event(there.as_mut(), last)?);
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if ours != theirs => Err(StreamError::Unavailable(format!(
                "event {last} of `{}` is another there than in the archive: one of them was restored from an older copy, or is of another server",
                self.topic
            ))),
            _ => Ok(()),
        }
    }

    /// Makes a call until it is taken; none when the relay ends first. What is on its way when a producer is dropped may still
    /// arrive behind what the next one finds: a broker that is away is waited for with the same one.
    fn insist<T>(&self, mut call: impl FnMut() -> Result<T, StreamError>) -> Result<Option<T>, StreamError> {
        loop {
            match call() {
                Ok(done) => return Ok(Some(done)),
                Err(
                    error @ (StreamError::Unavailable(_)
                    | StreamError::Io { .. }
                    | StreamError::Corrupt { .. }),
                ) => {
                    locked(&self.view).fault = Some(error.to_string());
                    self.pause();
                    if self.ends() {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn tell(
        &self,
        publisher: &dyn Publisher,
        reader: &mut dyn Reader,
        taken: &mut Taken,
    ) -> Result<(), StreamError> {
        let end = reader.bounds()?.end;
        let acked = publisher.acked();
        let silence = taken.silence(acked, publisher.next_seq(), self.clock.elapsed());
        let mut view = locked(&self.view);
        view.carried = Some(acked);
        view.behind = end.saturating_sub(acked);
        // While lines keep coming there is always room for some more on the way: nothing fails, and nothing arrives.
        view.fault = (silence >= SILENCE).then(|| {
            format!(
                "of the events from {acked} on none was acknowledged for {} s",
                silence.as_secs()
            )
        });
        Ok(())
    }
}

/// How far a broker has taken what was given to it, and since when it has taken no more.
#[derive(Debug, Clone, Copy)]
struct Taken {
    acked: u64,
    since: Duration,
}

impl Taken {
    fn new(acked: u64, now: Duration) -> Self {
        Self { acked, since: now }
    }

    /// Returns how long nothing was taken of what is on its way; zero where nothing is.
    fn silence(&mut self, acked: u64, next: u64, now: Duration) -> Duration {
        if acked != self.acked || acked == next {
            *self = Self::new(acked, now);
        }
        now.saturating_sub(self.since)
    }
}

/// Returns one event of a topic; none where it is lost.
fn event(reader: &mut dyn Reader, seq: u64) -> Result<Option<Vec<u8>>, StreamError> {
    reader.seek(At::Seq(seq))?;
    let mut page = Page::default();
    match reader.read(&mut page, EVENT_TIME) {
        Err(error) if error.lost().is_some() => return Ok(None),
        other => other?,
    };
    let found = page.entries().find(|entry| entry.seq == seq);
    Ok(found.map(|entry| entry.line.to_vec()))
}

/// A broker that has what the archive has not is that of another archive, and nothing may be mixed into it.
fn fits(topic: &TopicName, next: u64, there: &Range<u64>) -> Result<(), StreamError> {
    if there.start <= next && next <= there.end {
        return Ok(());
    }
    Err(StreamError::Unavailable(format!(
        "`{topic}` goes on at event {next} there, and the archive has {} to {}: one of them is of another server",
        there.start, there.end
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::WriteOptions;

    const PATIENCE: Duration = Duration::from_secs(20);

    struct Ground {
        _dir: tempfile::TempDir,
        from: Archive,
        to: Archive,
        topic: TopicName,
        clock: Clock,
    }

    impl Ground {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            Self {
                from: Archive::new(dir.path().join("from")),
                to: Archive::new(dir.path().join("to")),
                topic: TopicName::new("movielog1").unwrap(),
                clock: Clock::start(),
                _dir: dir,
            }
        }

        fn write(&self, archive: &Archive, lines: Range<u64>) {
            let mut publisher = archive
                .publisher(&self.topic, WriteOptions::default(), self.clock)
                .unwrap();
            for line in lines {
                publisher
                    .publish(line as i64, format!("line {line}").as_bytes())
                    .unwrap();
            }
            publisher.flush().unwrap();
        }

        fn start(&self) -> Relay {
            self.start_below(&Arc::new(AtomicU64::new(u64::MAX)))
        }

        fn start_below(&self, kept: &Arc<AtomicU64>) -> Relay {
            let to = Place::Archive {
                archive: self.to.clone(),
                topic: self.topic.clone(),
            };
            let carried = Carried {
                topic: self.topic.clone(),
                to,
            };
            Relay::start(&self.from, &[(carried, Arc::clone(kept))], false, self.clock).unwrap()
        }

        fn until(&self, relay: &Relay, what: &str, is: impl Fn(&RelayView) -> bool) {
            let begun = self.clock.elapsed();
            while !is(&relay.views()[0]) {
                assert!(
                    self.clock.elapsed() - begun < PATIENCE,
                    "{what}: {:?}",
                    relay.views()
                );
                self.clock.sleep(Duration::from_millis(5));
            }
        }

        fn carried(&self) -> Vec<(u64, i64, String)> {
            self.carried_from(0)
        }

        fn carried_from(&self, seq: u64) -> Vec<(u64, i64, String)> {
            let mut reader = self.to.reader(&self.topic, self.clock).unwrap();
            reader.seek(At::Seq(seq)).unwrap();
            let (mut page, mut all) = (Page::default(), Vec::new());
            while reader.read(&mut page, Duration::ZERO).unwrap() > 0 {
                all.extend(page.entries().map(|entry| {
                    let line = String::from_utf8_lossy(entry.line).into_owned();
                    (entry.seq, entry.stamp_ms, line)
                }));
            }
            all
        }
    }

    #[test]
    fn every_event_is_carried_once_however_often_the_relay_ends() {
        let ground = Ground::new();
        for round in 0..4 {
            ground.write(&ground.from, round * 700..(round + 1) * 700);
            let relay = ground.start();
            // The first three are ended wherever they are, the last when it has carried all.
            if round == 3 {
                ground.until(&relay, "all", |view| {
                    view.carried == Some(2_800) && view.behind == 0
                });
            }
        }
        let wanted: Vec<_> = (0..2_800)
            .map(|seq| (seq, seq as i64, format!("line {seq}")))
            .collect();
        assert_eq!(ground.carried(), wanted);
    }

    #[test]
    fn a_place_that_refuses_is_told_and_gets_everything_later() {
        let ground = Ground::new();
        ground.write(&ground.from, 0..10);
        let held = ground
            .to
            .publisher(&ground.topic, WriteOptions::default(), ground.clock)
            .unwrap();
        let relay = ground.start();
        ground.until(&relay, "a fault", |view| view.fault.is_some());
        drop(held);
        ground.until(&relay, "all", |view| {
            view.carried == Some(10) && view.fault.is_none()
        });
    }

    #[test]
    fn what_is_held_back_is_carried_once_it_is_let_go() {
        let ground = Ground::new();
        ground.write(&ground.from, 0..10);
        let relay = ground.start();
        ground.until(&relay, "all", |view| view.carried == Some(10));
        relay.hold(true);
        ground.until(&relay, "it is held", |view| view.held);
        ground.write(&ground.from, 10..30);
        ground.until(&relay, "it is behind", |view| {
            view.behind == 20 && view.fault.is_none()
        });
        assert_eq!(ground.carried().len(), 10);
        relay.hold(false);
        ground.until(&relay, "all", |view| view.carried == Some(30) && view.behind == 0);
    }

    #[test]
    fn a_broker_is_silent_from_when_it_takes_nothing_of_what_is_on_its_way() {
        let s = Duration::from_secs;
        let mut taken = Taken::new(10, s(100));
        // Acknowledged, next, now and the silence that follows.
        for (acked, next, now, silence) in [
            (10, 10, 200, 0),
            (10, 20, 201, 1),
            (10, 30, 206, 6),
            (11, 40, 207, 0),
            (11, 50, 217, 10),
            (50, 50, 218, 0),
            (50, 50, 300, 0),
            (50, 60, 301, 1),
        ] {
            assert_eq!(taken.silence(acked, next, s(now)), s(silence), "at {now}");
        }
    }

    #[test]
    fn what_the_archive_has_lost_is_passed_and_counted_and_what_is_behind_it_is_carried() {
        let ground = Ground::new();
        ground.write(&ground.from, 0..10);
        let mut publisher = ground
            .from
            .publisher(&ground.topic, WriteOptions::default(), ground.clock)
            .unwrap();
        publisher.skip_to(30).unwrap();
        drop(publisher);
        let relay = ground.start();
        ground.until(&relay, "what is there", |view| {
            view.carried == Some(30) && view.lost == 20
        });
        ground.write(&ground.from, 30..35);
        ground.until(&relay, "all", |view| {
            view.carried == Some(35) && view.behind == 0 && view.lost == 20 && view.fault.is_none()
        });
        drop(relay);
        let numbers: Vec<u64> = ground.carried_from(30).iter().map(|(seq, ..)| *seq).collect();
        assert_eq!(numbers, [30, 31, 32, 33, 34]);
    }

    #[test]
    fn what_a_loss_of_power_may_take_is_not_carried() {
        let ground = Ground::new();
        ground.write(&ground.from, 0..10);
        let kept = Arc::new(AtomicU64::new(4));
        let relay = ground.start_below(&kept);
        ground.until(&relay, "what is kept", |view| view.carried == Some(4));
        assert_eq!(ground.carried().len(), 4);
        kept.store(10, Ordering::Relaxed);
        ground.until(&relay, "all", |view| view.carried == Some(10) && view.behind == 0);
    }

    #[test]
    fn nothing_is_carried_behind_another_history() {
        let ground = Ground::new();
        ground.write(&ground.from, 0..10);
        let mut publisher = ground
            .to
            .publisher(&ground.topic, WriteOptions::default(), ground.clock)
            .unwrap();
        for line in 0..8 {
            publisher
                .publish(line, format!("restored {line}").as_bytes())
                .unwrap();
        }
        drop(publisher);
        let relay = ground.start();
        ground.until(&relay, "a fault", |view| {
            view.fault
                .as_ref()
                .is_some_and(|fault| fault.contains("event 7 of `movielog1` is another there"))
        });
        drop(relay);
        assert_eq!(ground.carried().len(), 8);
    }

    #[test]
    fn nothing_is_mixed_into_the_topic_of_another_archive() {
        let ground = Ground::new();
        ground.write(&ground.from, 0..10);
        ground.write(&ground.to, 0..30);
        let relay = ground.start();
        ground.until(&relay, "a fault", |view| {
            view.fault
                .as_ref()
                .is_some_and(|fault| fault.contains("another server"))
        });
        drop(relay);
        assert_eq!(ground.carried().len(), 30);
    }
}
