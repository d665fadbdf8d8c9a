//! One team's company: its viewers, its stream, and what is not saved yet.
//!
//! Nothing that a viewer does depends on anything but the checkpoint and the stream itself: the answers of the service stand
//! in it. After a crash the team is played again from its last checkpoint, hears the answers that the stream tells, compares
//! every line with the one that is there, and goes on where the stream ends.

use std::collections::{BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

use super::answer;
use super::board::TeamView;
use super::quirk::Pen;
use super::shelf::Sleepers;
use super::time::Hours;
use crate::event::{Event, MAX_LINE, Record, SimTime};
use crate::exchange::Outcome;
use crate::sim::{Crowd, Person, Scene, Todo, Told, Viewing};
use crate::store::{Checkpoint, Save, StoreError};
use crate::stream::{At, Page, Publisher, Reader, StreamError};
use crate::trouble::Onslaught;
use crate::world::{MovieIndex, Profile, UserId, World};

/// The seconds that are played at most in one go, so that every team gets its turn.
const MOST_SECONDS: i64 = 20_000;
/// The lines that wait for a stream that takes none, before the team's viewers are held.
const MOST_PENDING: usize = 100_000;
/// Requests that are not saved yet, before the team's viewers are held.
const MOST_UNSAVED: usize = 200_000;
/// Requests of a stream's past that are saved at once.
const MOST_PAST: usize = 5_000;
/// The seconds for which people are woken at once, at least, and how many of the clock's they are.
const WINDOW_S: f64 = 60.0;
const WINDOW_WALL_S: f64 = 2.0;
/// The largest agenda of a checkpoint that is unpacked.
const MAX_AGENDA: u64 = 1 << 30;

/// What a team's viewers are played with: what a checkpoint must say so that they can be played again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Setup {
    /// The version of this program.
    pub(super) version: String,
    /// The world's fingerprint.
    pub(super) world: String,
    /// The factor on everybody's sessions.
    pub(super) factor: f64,
    /// The seconds after which viewers choose.
    pub(super) patience_s: i64,
}

/// An answer that came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) user: u32,
    pub(super) outcome: Outcome,
    pub(super) millis: u32,
}

/// What all teams share while they are played.
pub(super) struct Stage<'s> {
    pub(super) scene: Scene<'s>,
    pub(super) pen: &'s Pen<'s>,
    pub(super) onslaughts: &'s [Onslaught],
    pub(super) factor: f64,
    pub(super) deadline_ms: u64,
    pub(super) world: &'s World,
    /// Company seconds a second.
    pub(super) speed: f64,
}

impl Stage<'_> {
    /// Returns for how many seconds people are woken at once.
    pub(super) fn window(&self) -> i64 {
        WINDOW_S.max(self.speed * WINDOW_WALL_S) as i64
    }
}

/// Why a team cannot be played again.
#[derive(Debug)]
pub(super) enum Halt {
    /// Its stream, or what the checkpoint has of it, cannot be read.
    Stream(StreamError),
    /// The store does not give the people.
    Store(StoreError),
    /// The server is to stop, and the store has not taken what it must have first.
    Stopped,
}

impl From<StreamError> for Halt {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// One team's company.
pub(super) struct TeamLife {
    pub(super) number: u32,
    server: String,
    crowd: Crowd,
    next_second: i64,
    publisher: Box<dyn Publisher>,
    /// Lines that the stream has not taken yet.
    pending: VecDeque<Vec<u8>>,
    /// Lines that it has taken, and that a loss of power may take back.
    unacked: VecDeque<(u64, Vec<u8>)>,
    answers: Vec<Answer>,
    unsaved: Save,
    counted: u64,
    /// Below it every line of the stream survives a loss of power: what goes elsewhere is taken from there.
    kept: Arc<AtomicU64>,
    people_anew: bool,
    /// Everybody is awake who sits down before this second.
    awake_until: i64,
    /// What `awake_until` will be when those are found who are asked for.
    asked_until: Option<i64>,
    /// Those of them to whom an answer has come.
    asked_strays: Vec<u32>,
    /// Whether the store has people of these viewers: not before their first checkpoint is written.
    has_sleepers: bool,
    /// The checkpoints that are not known to be written, by their seconds, with whom they have.
    handed: VecDeque<(i64, BTreeSet<u32>)>,
    broken: bool,
    pub(super) view: TeamView,
}

/// What came of playing a team again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resumed {
    /// It goes on where the stream ends.
    Whole {
        /// The lines that were compared.
        compared: u64,
    },
    /// The stream has a line that these viewers would not have told: they go on from the checkpoint all the same.
    Apart {
        /// The number of the line.
        seq: u64,
    },
    /// The stream has lost lines since the checkpoint: they go on from it behind them.
    Behind {
        /// The first of the lines.
        events: Range<u64>,
    },
}

impl TeamLife {
    /// Begins a team whose viewers have done nothing, at a second.
    pub(super) fn new(
        number: u32,
        name: &str,
        server: &str,
        second: i64,
        publisher: Box<dyn Publisher>,
    ) -> Self {
        let counted = publisher.next_seq();
        Self {
            number,
            server: server.to_owned(),
            crowd: Crowd::default(),
            next_second: second,
            publisher,
            pending: VecDeque::new(),
            unacked: VecDeque::new(),
            answers: Vec::new(),
            unsaved: Save {
                team: number,
                ..Save::default()
            },
            counted,
            kept: Arc::new(AtomicU64::new(counted)),
            people_anew: true,
            awake_until: second,
            asked_until: None,
            asked_strays: Vec::new(),
            has_sleepers: false,
            handed: VecDeque::new(),
            broken: false,
            view: TeamView::new(number, name, server),
        }
    }

    /// Tells whether these viewers begin anew, and go on from nothing that was saved.
    pub(super) fn is_anew(&self) -> bool {
        self.people_anew
    }

    /// Returns the number below which every line of the stream survives a loss of power, as it is from now on.
    pub(super) fn kept(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.kept)
    }

    /// Begins at a second, not before the one that it would have begun at.
    pub(super) fn begin_at(&mut self, second: i64) {
        self.next_second = self.next_second.max(second);
        self.awake_until = self.awake_until.max(second);
    }

    /// Returns the next second to be played.
    pub(super) fn next_second(&self) -> i64 {
        self.next_second
    }

    /// Takes up a checkpoint and plays on to the end of the stream, from `counted` on counting the requests in it.
    pub(super) fn resume(
        &mut self,
        checkpoint: &Checkpoint,
        counted: u64,
        (reader, sleepers): (&mut dyn Reader, &mut dyn Sleepers),
        stage: &Stage<'_>,
        hours: &mut Hours,
    ) -> Result<Resumed, Halt> {
        let broken =
            |what: &str| StreamError::Broken(format!("the checkpoint of team {}: {what}", self.number));
        let agenda: Vec<((i64, u64), Todo)> =
            unpack(&checkpoint.agenda).ok_or_else(|| broken("its agenda cannot be read"))?;
        self.crowd = Crowd::resume(agenda, checkpoint.noted);
        self.next_second = checkpoint.second;
        self.awake_until = checkpoint.second;
        self.people_anew = false;
        self.has_sleepers = true;
        let choosing: Vec<u32> = self.crowd.choosing().collect();
        self.wake(&choosing, sleepers)?;
        let mut past = Past::open(reader, checkpoint.seq.min(counted))?;
        // What was published before the checkpoint and not counted yet.
        while past.seq().is_some_and(|seq| seq < checkpoint.seq) {
            if let Some((seq, line)) = past.next(reader)?
                && seq >= counted
                && let Some(record) = stage.pen.read(seq, &line)
            {
                self.count(seq, record);
            }
        }
        // What was lost before the checkpoint is in it.
        past.lost.retain(|lost| lost.end > checkpoint.seq);
        let resumed = self.play_again(&mut past, counted, (reader, sleepers), stage, hours)?;
        self.counted = self.publisher.next_seq();
        Ok(resumed)
    }

    fn play_again(
        &mut self,
        past: &mut Past,
        counted: u64,
        (reader, sleepers): (&mut dyn Reader, &mut dyn Sleepers),
        stage: &Stage<'_>,
        hours: &mut Hours,
    ) -> Result<Resumed, Halt> {
        let mut compared = 0;
        let mut line = Vec::new();
        while past.seq().is_some() && past.lost.is_empty() {
            let second = self.next_second;
            while let Some((seq, there)) = past.peek() {
                let record = stage.pen.read(*seq, there);
                let Some(record) = record.filter(|record| {
                    matches!(record.event, Event::Recommend { .. }) && record.time.seconds() == second
                }) else {
                    break;
                };
                let seq = *seq;
                past.next(reader)?;
                self.wake(&[record.user], sleepers)?;
                self.hear(&record, stage);
                if seq >= counted {
                    self.count(seq, record);
                }
            }
            self.wake_arrivals(sleepers, stage, hours)?;
            let told = self.second(stage, hours);
            let first = past.last();
            let lines: Vec<(Record, Vec<u8>)> = told
                .into_iter()
                .flat_map(|told| self.lines(told, second, stage))
                .collect();
            for (seq, (record, text)) in (first..).zip(lines) {
                if !past.lost.is_empty() {
                    break;
                }
                line.clear();
                stage.pen.write(seq, &record, &text, &mut line);
                match past.peek() {
                    None => self.pending.push_back(line.clone()),
                    Some((_, there)) if *there == line => {
                        past.next(reader)?;
                        compared += 1;
                    }
                    Some((apart, _)) => {
                        let apart = *apart;
                        self.pass_over(past, counted, (reader, sleepers), stage)?;
                        return Ok(Resumed::Apart { seq: apart });
                    }
                }
            }
        }
        // What was heard in the lines that are lost is not known: nothing behind them can be told again.
        if let Some(events) = past.lost.first().cloned() {
            self.pass_over(past, counted, (reader, sleepers), stage)?;
            return Ok(Resumed::Behind { events });
        }
        Ok(Resumed::Whole { compared })
    }

    /// Counts what the stream has from a number on, for viewers who begin anew behind it, and hands the requests on to be saved
    /// as they come: behind a store that is lost there may be a whole term.
    pub(super) fn count_past(
        &mut self,
        counted: u64,
        (reader, sleepers): (&mut dyn Reader, &mut dyn Sleepers),
        stage: &Stage<'_>,
        save: &mut dyn FnMut(Save) -> bool,
    ) -> Result<(), Halt> {
        let mut past = Past::open(reader, counted)?;
        while past.seq().is_some() {
            self.pass(&mut past, MOST_PAST, counted, (reader, sleepers), stage)?;
            if !self.unsaved.requests.is_empty() && !save(self.take_unsaved(past.last())) {
                return Err(Halt::Stopped);
            }
        }
        Ok(())
    }

    /// Counts the rest of the stream without comparing it, and goes on behind its last moment.
    fn pass_over(
        &mut self,
        past: &mut Past,
        counted: u64,
        (reader, sleepers): (&mut dyn Reader, &mut dyn Sleepers),
        stage: &Stage<'_>,
    ) -> Result<(), Halt> {
        self.pending.clear();
        self.pass(past, usize::MAX, counted, (reader, sleepers), stage)
    }

    /// Counts lines of the stream until it ends or so many requests are not saved.
    fn pass(
        &mut self,
        past: &mut Past,
        most: usize,
        counted: u64,
        (reader, sleepers): (&mut dyn Reader, &mut dyn Sleepers),
        stage: &Stage<'_>,
    ) -> Result<(), Halt> {
        while self.unsaved.requests.len() < most
            && let Some((seq, line)) = past.next(reader)?
        {
            let Some(record) = stage.pen.read(seq, &line) else {
                continue;
            };
            self.next_second = self.next_second.max(stage.pen.time(&record).seconds() + 1);
            if matches!(record.event, Event::Recommend { .. }) {
                self.wake(&[record.user], sleepers)?;
                self.hear(&record, stage);
                if seq >= counted {
                    self.count(seq, record);
                }
            }
        }
        Ok(())
    }

    /// Wakes those of some people who sleep.
    fn wake(&mut self, users: &[u32], sleepers: &mut dyn Sleepers) -> Result<(), StoreError> {
        let asleep: Vec<u32> = users
            .iter()
            .copied()
            .filter(|user| !self.crowd.is_awake(*user))
            .collect();
        if !asleep.is_empty() && self.has_sleepers {
            for (user, person) in sleepers.read(self.number, &asleep)? {
                self.crowd.wake(user, person);
            }
        }
        Ok(())
    }

    /// Wakes those who sit down in the next second and some more, if they are not.
    fn wake_arrivals(
        &mut self,
        sleepers: &mut dyn Sleepers,
        stage: &Stage<'_>,
        hours: &mut Hours,
    ) -> Result<(), StoreError> {
        if self.next_second >= self.awake_until {
            let users = self.prepare(stage, hours);
            self.wake(&users, sleepers)?;
            self.found(Vec::new());
        }
        Ok(())
    }

    /// Lets sleep who may, and returns who of those sleeps who sit down in the next window, which is then asked for.
    fn prepare(&mut self, stage: &Stage<'_>, hours: &mut Hours) -> Vec<u32> {
        let mut span = |from: i64, until: i64| -> BTreeSet<u32> {
            (from..until)
                .flat_map(|second| {
                    hours
                        .at(stage, second)
                        .iter()
                        .map(|arrival| arrival.user.0)
                        .collect::<Vec<_>>()
                })
                .collect()
        };
        let from = self.awake_until.max(self.next_second);
        let until = from + stage.window();
        let soon = span(self.next_second, from);
        let next = span(from, until);
        let handed = &self.handed;
        self.crowd.rest(|user| {
            soon.contains(&user)
                || next.contains(&user)
                || handed.iter().any(|(_, people)| people.contains(&user))
        });
        self.asked_until = Some(until);
        next.into_iter()
            .filter(|user| !self.crowd.is_awake(*user))
            .collect()
    }

    /// Returns the people who are wanted from the store before the team can be played on; they are then asked for.
    pub(super) fn wants(&mut self, stage: &Stage<'_>, hours: &mut Hours) -> Option<Vec<u32>> {
        if self.asked_until.is_some() {
            return None;
        }
        let mut users = if self.awake_until - self.next_second <= stage.window() {
            self.prepare(stage, hours)
        } else {
            Vec::new()
        };
        self.asked_strays = self.strays();
        users.extend(&self.asked_strays);
        if users.is_empty() || !self.has_sleepers {
            self.found(Vec::new());
            return None;
        }
        self.asked_until.get_or_insert(self.awake_until);
        Some(users)
    }

    /// Returns those to whom an answer has come that they cannot hear: the answer came so late that they sleep.
    fn strays(&self) -> Vec<u32> {
        let users = self.answers.iter().map(|answer| answer.user);
        users
            .filter(|user| self.has_sleepers && !self.crowd.is_awake(*user))
            .collect()
    }

    /// Wakes the people who were asked for, as far as the store had them.
    pub(super) fn found(&mut self, people: Vec<(u32, Person)>) {
        for (user, person) in people {
            self.crowd.wake(user, person);
        }
        // Whom the store does not know has done nothing yet.
        for user in std::mem::take(&mut self.asked_strays) {
            self.crowd.wake(user, Person::default());
        }
        self.awake_until = self.asked_until.take().unwrap_or(self.awake_until);
    }

    /// Tells whether a checkpoint is not known to be written.
    pub(super) fn waits_for_store(&self) -> bool {
        !self.handed.is_empty()
    }

    /// Hears up to which second checkpoints are written.
    pub(super) fn written(&mut self, second: i64) {
        while self.handed.front().is_some_and(|(handed, _)| *handed <= second) {
            self.handed.pop_front();
            self.has_sleepers = true;
        }
    }

    /// Takes an answer, to be told in the next second that is played.
    pub(super) fn answer(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    /// Notes a model that the service was seen to have.
    pub(super) fn saw_model(&mut self, at: SimTime, model: String) {
        self.view.saw_model(&model);
        self.unsaved.sightings.push((at, model));
    }

    /// Goes to a second without telling what happens until then, as after a stop that is too long to be made up for.
    pub(super) fn pass_to(
        &mut self,
        second: i64,
        sleepers: &mut dyn Sleepers,
        stage: &Stage<'_>,
        hours: &mut Hours,
    ) -> Result<(), StoreError> {
        while self.next_second < second {
            self.wake_arrivals(sleepers, stage, hours)?;
            drop(self.second(stage, hours));
        }
        Ok(())
    }

    /// Plays the next second, and returns what is told of it.
    fn second(&mut self, stage: &Stage<'_>, hours: &mut Hours) -> Vec<Told> {
        let second = self.next_second;
        let mut told = Vec::new();
        for onslaught in stage.onslaughts {
            let begun = |viewing: &&Viewing| viewing.at.seconds() == second;
            let first = onslaught
                .viewings
                .partition_point(|viewing| viewing.at.seconds() < second);
            for viewing in onslaught.viewings[first..].iter().take_while(begun) {
                self.crowd.begin(stage.world, second, viewing, &mut told);
            }
        }
        let arrivals = hours.at(stage, second);
        self.crowd.second(&stage.scene, second, arrivals, &mut told);
        self.next_second += 1;
        told
    }

    /// Returns the lines that the stream has of something that is told in a second, as records and texts that get their
    /// numbers yet; one that is to be late is held back.
    fn lines(&mut self, told: Told, second: i64, stage: &Stage<'_>) -> Vec<(Record, Vec<u8>)> {
        let (record, was_held) = match told {
            Told::Line(user, event) => {
                let user = user.0;
                let time = match stage.world.spec().profile {
                    Profile::Classic => SimTime::from_seconds(second),
                    Profile::Current => SimTime::from_seconds(second).within_second(user),
                };
                (Record { time, user, event }, false)
            }
            Told::Late(record) => (record, true),
            Told::Ask(_) | Told::Looked { .. } => return Vec::new(),
        };
        let Some(written) = stage.pen.fate(&record) else {
            return Vec::new();
        };
        if let Some(due) = written.due.filter(|_| !was_held) {
            self.crowd.hold(due.seconds(), record);
            return Vec::new();
        }
        let copies = if written.is_doubled { 2 } else { 1 };
        vec![(record, written.text); copies]
    }

    /// Plays to a second, hands the lines to the stream, and returns who asks for recommendations, with the second.
    pub(super) fn advance(
        &mut self,
        until: i64,
        stage: &Stage<'_>,
        hours: &mut Hours,
        stamp_ms: i64,
    ) -> Vec<(i64, UserId)> {
        let mut asks = Vec::new();
        self.hand_on(stamp_ms);
        let last = until.min(self.next_second + MOST_SECONDS).min(self.awake_until);
        while self.next_second < last
            && self.pending.len() < MOST_PENDING
            && self.unsaved.requests.len() < MOST_UNSAVED
        {
            let second = self.next_second;
            self.tell_answers(second, stage);
            for told in self.second(stage, hours) {
                match told {
                    Told::Line(..) | Told::Late(_) => {
                        for (record, text) in self.lines(told, second, stage) {
                            let mut line = Vec::with_capacity(96);
                            stage.pen.write(self.seq_to_come(), &record, &text, &mut line);
                            self.pending.push_back(line);
                        }
                    }
                    Told::Ask(user) => asks.push((second, user)),
                    Told::Looked { took } => self.view.looked(took),
                }
            }
            if self.pending.len() >= MOST_PENDING / 10 {
                self.hand_on(stamp_ms);
            }
        }
        self.settle(stamp_ms);
        self.view.watching = self.crowd.watching();
        self.view.awake = self.crowd.awake();
        self.view.pending = self.pending.len();
        self.view.second = self.next_second;
        asks
    }

    /// Hands all lines to the stream that it takes.
    pub(super) fn settle(&mut self, stamp_ms: i64) {
        self.hand_on(stamp_ms);
        let flushed = self.publisher.flush();
        self.acknowledge();
        match flushed {
            Ok(()) if self.pending.is_empty() => self.view.fault = None,
            Ok(()) => {}
            Err(error) => self.fail(&error),
        }
    }

    fn seq_to_come(&self) -> u64 {
        self.publisher.next_seq() + self.pending.len() as u64
    }

    fn tell_answers(&mut self, second: i64, stage: &Stage<'_>) {
        for answer in std::mem::take(&mut self.answers) {
            if self.has_sleepers && !self.crowd.is_awake(answer.user) {
                // It is heard once they are awake.
                self.answers.push(answer);
                continue;
            }
            let Some(event) = answer::event(&self.server, &answer.outcome, answer.millis, stage.deadline_ms)
            else {
                self.view.ours += 1;
                continue;
            };
            // Somewhere within the second, the same for the same answer.
            let micros = i64::from(answer.user.wrapping_mul(0x9e37_79b1) >> 12) % 1_000_000;
            let record = Record {
                time: SimTime(second * 1_000_000 + micros),
                user: answer.user,
                event,
            };
            let seq = self.seq_to_come();
            let mut line = Vec::with_capacity(400);
            // A request is never lost.
            let text = stage.pen.fate(&record).unwrap_or_default().text;
            stage.pen.write(seq, &record, &text, &mut line);
            line.truncate(MAX_LINE);
            self.pending.push_back(line);
            self.hear(&record, stage);
            self.view.answered(&record, &answer.outcome, stage.deadline_ms);
            self.count(seq, record);
        }
    }

    /// Lets a viewer see the list of an answer; what is no list leaves them the one before.
    fn hear(&mut self, record: &Record, stage: &Stage<'_>) {
        if let Event::Recommend {
            status: 200, result, ..
        } = &record.event
        {
            let list: Option<Vec<MovieIndex>> =
                result.split(", ").map(|id| stage.world.movie_index(id)).collect();
            if let Some(list) = list {
                self.crowd.hear(UserId(record.user), &list);
            }
        }
    }

    fn count(&mut self, seq: u64, record: Record) {
        if matches!(record.event, Event::Recommend { .. }) {
            self.unsaved.requests.push((seq, record));
        }
    }

    /// Hands pending lines to the stream; what it does not take stays.
    fn hand_on(&mut self, stamp_ms: i64) {
        while let Some(line) = self.pending.front() {
            match self.publisher.publish(stamp_ms, line) {
                Ok(seq) => {
                    if let Some(line) = self.pending.pop_front() {
                        self.unacked.push_back((seq, line));
                        self.view.lines += 1;
                    }
                }
                Err(error) => {
                    self.fail(&error);
                    break;
                }
            }
        }
        self.acknowledge();
    }

    /// Notes how far the stream has the lines for certain: what the store knows of it, and Kafka, no loss of power takes back.
    fn acknowledge(&mut self) {
        let kept = self.publisher.kept();
        while self.unacked.front().is_some_and(|(seq, _)| *seq < kept) {
            self.unacked.pop_front();
        }
        self.counted = kept;
        self.kept.store(kept, Ordering::Relaxed);
    }

    fn fail(&mut self, error: &StreamError) {
        self.broken = matches!(error, StreamError::Broken(_));
        self.view.fault = Some(error.to_string());
    }

    /// Gives up the publisher when it cannot go on, so that it can be opened again; tells whether it did.
    pub(super) fn give_up(&mut self) -> bool {
        if self.broken {
            let (next, acked) = (self.publisher.next_seq(), self.publisher.kept());
            self.publisher = Box::new(Gone { next, acked });
        }
        self.broken
    }

    /// Goes on with another publisher of the same stream: what it does not have is published again, in its place.
    pub(super) fn reopen(&mut self, publisher: Box<dyn Publisher>) {
        let next = publisher.next_seq();
        self.publisher = publisher;
        self.broken = false;
        let lost: Vec<Vec<u8>> = std::mem::take(&mut self.unacked)
            .into_iter()
            .filter(|(seq, _)| *seq >= next)
            .map(|(_, line)| line)
            .collect();
        for line in lost.into_iter().rev() {
            self.pending.push_front(line);
        }
    }

    /// Takes what is to be saved: the requests that the stream has for certain and, if wanted, where the viewers stand.
    pub(super) fn take_save(&mut self, setup: &Setup, with_checkpoint: bool) -> Result<Save, StreamError> {
        let checkpoint = if with_checkpoint && self.pending.is_empty() {
            self.publisher.sync()?;
            self.acknowledge();
            self.unacked.is_empty().then(|| self.checkpoint(setup))
        } else {
            None
        };
        let mut save = self.take_unsaved(self.counted);
        save.checkpoint = checkpoint;
        Ok(save)
    }

    /// Takes what is not saved of the lines below a number.
    fn take_unsaved(&mut self, counted: u64) -> Save {
        let below = self.unsaved.requests.partition_point(|(seq, _)| *seq < counted);
        let later = self.unsaved.requests.split_off(below);
        let rest = Save {
            team: self.number,
            requests: later,
            ..Save::default()
        };
        Save {
            counted,
            ..std::mem::replace(&mut self.unsaved, rest)
        }
    }

    fn checkpoint(&mut self, setup: &Setup) -> Checkpoint {
        let (agenda, noted) = self.crowd.agenda();
        let agenda: Vec<(&(i64, u64), &Todo)> = agenda.iter().collect();
        let packed = pack(&agenda);
        let changed = self.crowd.take_changed();
        let users = changed.iter().map(|(user, _)| *user).collect();
        self.handed.push_back((self.next_second, users));
        let people = changed
            .into_iter()
            .map(|(user, person)| (user, serde_json::to_vec(&person).unwrap_or_default()))
            .collect();
        Checkpoint {
            second: self.next_second,
            seq: self.publisher.next_seq(),
            noted,
            setup: serde_json::to_string(setup).unwrap_or_default(),
            agenda: packed,
            people,
            anew: std::mem::take(&mut self.people_anew),
        }
    }
}

fn pack<T: Serialize>(value: &T) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    // Memory does not refuse to be written to, and these types have a form.
    let _whole = serde_json::to_writer(&mut encoder, value);
    let _flushed = encoder.flush();
    encoder.finish().unwrap_or_default()
}

fn unpack<T: for<'d> Deserialize<'d>>(packed: &[u8]) -> Option<T> {
    let mut plain = Vec::new();
    ZlibDecoder::new(packed)
        .take(MAX_AGENDA)
        .read_to_end(&mut plain)
        .ok()?;
    serde_json::from_slice(&plain).ok()
}

/// What stands in the place of a publisher that is being opened again.
struct Gone {
    next: u64,
    acked: u64,
}

impl Publisher for Gone {
    fn next_seq(&self) -> u64 {
        self.next
    }

    fn publish(&mut self, _: i64, _: &[u8]) -> Result<u64, StreamError> {
        Err(StreamError::Broken("it is being opened again".to_owned()))
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Err(StreamError::Broken("it is being opened again".to_owned()))
    }

    fn acked(&self) -> u64 {
        self.acked
    }

    fn skip_to(&mut self, _: u64) -> Result<(), StreamError> {
        Err(StreamError::Broken("it is being opened again".to_owned()))
    }
}

/// The part of a stream that is there already, one line after the other.
struct Past {
    page: VecDeque<(u64, Vec<u8>)>,
    last: u64,
    /// The events before the next line that cannot be read any more and were passed.
    lost: Vec<Range<u64>>,
}

impl Past {
    fn open(reader: &mut dyn Reader, from: u64) -> Result<Self, StreamError> {
        reader.seek(At::Seq(from))?;
        let mut past = Self {
            page: VecDeque::new(),
            last: from,
            lost: Vec::new(),
        };
        past.fill(reader)?;
        Ok(past)
    }

    fn fill(&mut self, reader: &mut dyn Reader) -> Result<(), StreamError> {
        let mut page = Page::default();
        while let Err(error) = reader.read(&mut page, Duration::ZERO) {
            let end = reader.bounds()?.end;
            match error.lost().filter(|lost| lost.end <= end) {
                Some(lost) => {
                    reader.seek(At::Seq(lost.end))?;
                    self.lost.push(lost);
                }
                None => return Err(error),
            }
        }
        self.page
            .extend(page.entries().map(|entry| (entry.seq, entry.line.to_vec())));
        Ok(())
    }

    fn peek(&self) -> Option<&(u64, Vec<u8>)> {
        self.page.front()
    }

    fn seq(&self) -> Option<u64> {
        self.peek().map(|(seq, _)| *seq)
    }

    /// Returns the number of the line that comes next, whether it is there or not.
    fn last(&self) -> u64 {
        self.seq().unwrap_or(self.last)
    }

    fn next(&mut self, reader: &mut dyn Reader) -> Result<Option<(u64, Vec<u8>)>, StreamError> {
        let Some((seq, line)) = self.page.pop_front() else {
            return Ok(None);
        };
        self.last = seq + 1;
        if self.page.is_empty() {
            self.fill(reader)?;
        }
        Ok(Some((seq, line)))
    }
}
