//! A plan's troubles in the company's stream: viewers are told of hour by hour, and what is added comes in at its time.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::stage::{Facts, Scene, Staged, Tally, Work};
use super::truth::Truth;
use super::{Kind, Plan};
use crate::event::SimTime;
use crate::seed::Branch;
use crate::sim::{Histories, Logged, SimulateSpec, Teller, Viewing, survey};
use crate::world::{UserId, World};

const HOUR_S: i64 = 3600;

/// What a stream is, before any trouble: its users, its moments, and what an attack must know of it.
#[derive(Debug)]
pub struct StreamScene<'a> {
    world: &'a World,
    branch: &'a Branch,
    spec: SimulateSpec,
    users: Vec<UserId>,
    histories: Histories<'a>,
    facts: Facts,
}

impl<'a> StreamScene<'a> {
    /// Looks at a stream for the sake of a plan. `lives` is the branch of the stream, `troubles` that of the troubles.
    ///
    /// The stream is played once without being written where the plan has an attack, whose target and profiles hang on
    /// what is watched; otherwise this costs nothing.
    pub fn survey(
        plan: &Plan,
        world: &'a World,
        lives: &'a Branch,
        troubles: &'a Branch,
        spec: SimulateSpec,
    ) -> Self {
        let mut scene = Self {
            world,
            branch: troubles,
            spec,
            users: world.user_ids().collect(),
            histories: Histories::new(world, lives, spec),
            facts: Facts::count(world.spec().movies, []),
        };
        let is_attack = |kind: &Kind| matches!(kind, Kind::RatingAttack(_));
        if plan.troubles.iter().any(|trouble| is_attack(&trouble.kind)) {
            // Whose numbers are taken does not hang on what is watched, and they are not to be counted.
            let taken = {
                let nobody = |_| Vec::new();
                taken(&Staged::new(plan, scene.scene(&nobody), &scene.facts))
            };
            let count = Count {
                facts: Mutex::new(Facts::count(world.spec().movies, [])),
                spec,
                taken,
            };
            survey(world, lives, spec, &count);
            scene.facts = count.facts.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
        scene
    }

    /// Returns the days that the stream touches.
    pub fn days(&self) -> u32 {
        days(self.spec)
    }

    /// Returns what a user begins to watch in the stream, in order of time.
    pub fn history(&self, user: UserId) -> Vec<Viewing> {
        self.histories.of(user)
    }

    fn scene<'s>(&'s self, history: &'s (dyn Fn(UserId) -> Vec<Viewing> + Sync)) -> Scene<'s> {
        Scene {
            world: self.world,
            branch: self.branch,
            users: &self.users,
            everybody: true,
            start: self.spec.start,
            days: self.days(),
            end: Some(self.spec.end()),
            history,
        }
    }
}

/// Returns the users whose numbers are taken for accounts: they do nothing of their own.
fn taken(staged: &Staged<'_>) -> BTreeSet<u32> {
    let accounts = staged.works.iter().flat_map(|work| match work {
        Work::Add { accounts, .. } => accounts.as_slice(),
        Work::Bias { .. } | Work::Replace(_) | Work::Lines => &[],
    });
    accounts.map(|id| id.0).collect()
}

/// Returns the days that a stream touches: a few hours are a day.
fn days(spec: SimulateSpec) -> u32 {
    (spec.hours / 24.0).ceil().max(1.0) as u32
}

impl Plan {
    /// Returns the troubles that begin within a stream, which may be shorter than the log that the plan was made for.
    #[must_use]
    pub fn within(&self, spec: SimulateSpec) -> Self {
        let begins = |onset: u32| onset < days(spec);
        Self {
            troubles: self
                .troubles
                .iter()
                .filter(|trouble| begins(trouble.onset_day))
                .cloned()
                .collect(),
        }
    }
}

/// Counts what is begun in a stream and tells nothing.
struct Count {
    facts: Mutex<Facts>,
    spec: SimulateSpec,
    taken: BTreeSet<u32>,
}

impl Teller for Count {
    fn tell(&self, _: Range<u32>, _: SimTime, began: &[Viewing], _: &mut Vec<Logged>) {
        let counts =
            |viewing: &&Viewing| is_within(self.spec, viewing.at) && !self.taken.contains(&viewing.user.0);
        lock(&self.facts).add(began.iter().filter(counts).copied());
    }
}

fn is_within(spec: SimulateSpec, time: SimTime) -> bool {
    spec.start <= time && time < spec.end()
}

/// A lock that was held while a thread panicked is no reason for another panic: the first one ends the run.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The troubles of a plan that work on viewings, as a teller of the stream.
///
/// Holds the viewings that are added and a few numbers for each user that is concerned; never the stream.
#[derive(Debug)]
pub struct StreamTroubles<'a> {
    staged: Staged<'a>,
    spec: SimulateSpec,
    /// What is added, by hour, user and time.
    extras: Vec<Logged>,
    taken: BTreeSet<u32>,
    told: Mutex<Told>,
}

/// What was counted while the stream went by.
#[derive(Debug, Default)]
struct Told {
    tallies: Vec<Tally>,
    viewings: u64,
}

impl<'a> StreamTroubles<'a> {
    /// Makes a plan ready for the stream that `scene` looked at; `history` is that of the scene.
    pub fn new(
        plan: &'a Plan,
        scene: &'a StreamScene<'a>,
        history: &'a (dyn Fn(UserId) -> Vec<Viewing> + Sync),
    ) -> Self {
        let mut staged = Staged::new(plan, scene.scene(history), &scene.facts);
        let mut extras = std::mem::take(&mut staged.extras);
        extras.sort_by_key(place);
        let tallies = vec![Tally::default(); staged.works.len()];
        Self {
            taken: taken(&staged),
            staged,
            spec: scene.spec,
            extras,
            told: Mutex::new(Told { tallies, viewings: 0 }),
        }
    }

    /// Returns the answer key's entries of the troubles that work on viewings, once the stream has gone by.
    pub fn truths(&self) -> Vec<Truth> {
        self.staged.truths(&lock(&self.told).tallies)
    }

    /// Returns how many viewings the stream has had without the troubles; taken accounts' own are none of them.
    pub fn viewings(&self) -> u64 {
        lock(&self.told).viewings
    }
}

/// Where a viewing that is added stands: in its hour, and there in the order of users.
fn place(logged: &Logged) -> (i64, u32, i64) {
    let second = logged.viewing.at.seconds();
    (second.div_euclid(HOUR_S), logged.viewing.user.0, second)
}

impl Teller for StreamTroubles<'_> {
    fn tell(&self, users: Range<u32>, hour: SimTime, began: &[Viewing], told: &mut Vec<Logged>) {
        let number = hour.seconds().div_euclid(HOUR_S);
        let first = |user: u32| {
            self.extras
                .partition_point(|extra| place(extra) < (number, user, i64::MIN))
        };
        let mut added = self.extras[first(users.start)..first(users.end)]
            .iter()
            .peekable();
        let mut tallies = vec![Tally::default(); self.staged.works.len()];
        let mut viewings = 0;
        for viewing in began {
            if self.taken.contains(&viewing.user.0) {
                continue;
            }
            while let Some(extra) = added.next_if(|extra| extra.viewing.user < viewing.user) {
                told.push(*extra);
            }
            viewings += u64::from(is_within(self.spec, viewing.at));
            told.extend(self.staged.change(*viewing, &mut tallies));
        }
        told.extend(added);
        let mut sums = lock(&self.told);
        sums.viewings += viewings;
        for (sum, tally) in sums.tallies.iter_mut().zip(tallies) {
            sum.merge(tally);
        }
    }
}
