//! A plan made ready for one log: what changes a viewing, what is added, and the count of both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::iter::Peekable;
use std::vec;

use super::truth::{self, Truth};
use super::unsuitable::is_minor;
use super::{Group, Kind, Plan, Trouble, Window};
use crate::event::SimTime;
use crate::seed::Branch;
use crate::sim::{Logged, Viewing};
use crate::world::{MovieIndex, UserId, World};

/// What a plan is applied to: a log of some users over some days.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The world.
    pub world: &'a World,
    /// The branch of which the troubles' draws are taken.
    pub branch: &'a Branch,
    /// The users of the log, in order.
    pub users: &'a [UserId],
    /// Whether these are all whom the company has: accounts are then those of dormant ones, who do nothing of their own.
    pub everybody: bool,
    /// The first moment of the log.
    pub start: SimTime,
    /// Its days.
    pub days: u32,
    /// The moment before which it ends, where that is not the end of a day.
    pub end: Option<SimTime>,
    /// What a user watched in the log, as it was before any trouble.
    pub history: &'a (dyn Fn(UserId) -> Vec<Viewing> + Sync),
}

impl fmt::Debug for Scene<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scene({} users, {} days)", self.users.len(), self.days)
    }
}

impl Scene<'_> {
    /// The moments between which a trouble shows in the log.
    pub(super) fn window(&self, trouble: &Trouble) -> Window {
        let window = Window::of(trouble, self.start, self.days);
        Window {
            until: self.end.map_or(window.until, |end| end.min(window.until)),
            ..window
        }
    }

    /// The most stars there are.
    pub(super) fn top(&self) -> u8 {
        self.world.spec().profile.stars()
    }
}

/// What is known of a log without troubles, from one pass over it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    viewers: Vec<u32>,
    ratings: Vec<u32>,
    stars: Vec<u64>,
    squares: f64,
    viewings: u64,
}

impl Facts {
    /// Counts a log's viewings over a catalogue of so many movies.
    pub fn count(movies: u32, viewings: impl IntoIterator<Item = Viewing>) -> Self {
        let none = vec![0; movies as usize];
        let mut facts = Self {
            viewers: none.clone(),
            ratings: none,
            stars: vec![0; movies as usize],
            ..Self::default()
        };
        facts.add(viewings);
        facts
    }

    /// Counts more viewings; their order does not matter.
    pub(super) fn add(&mut self, viewings: impl IntoIterator<Item = Viewing>) {
        for viewing in viewings {
            let place = viewing.movie.0 as usize;
            self.viewings += 1;
            self.viewers[place] += 1;
            if let Some(stars) = viewing.stars {
                self.ratings[place] += 1;
                self.stars[place] += u64::from(stars);
                self.squares += f64::from(stars).powi(2);
            }
        }
    }

    /// Returns the size of the catalogue.
    pub fn movies(&self) -> usize {
        self.viewers.len()
    }

    /// Returns how many viewings there are.
    pub fn viewings(&self) -> u64 {
        self.viewings
    }

    /// Returns how many ratings there are.
    pub fn all_ratings(&self) -> u64 {
        self.ratings.iter().map(|count| u64::from(*count)).sum()
    }

    /// Returns how many ratings a movie has.
    pub fn ratings(&self, place: usize) -> u32 {
        self.ratings[place]
    }

    /// Returns how many viewings a movie has.
    pub fn viewers(&self, place: usize) -> u32 {
        self.viewers[place]
    }

    /// Returns the mean of all ratings; 0 where there are none.
    pub fn mean(&self) -> f64 {
        self.stars.iter().sum::<u64>() as f64 / (self.all_ratings() as f64).max(1.0)
    }

    /// Returns the variance of all ratings.
    pub fn variance(&self) -> f64 {
        (self.squares / (self.all_ratings() as f64).max(1.0) - self.mean().powi(2)).max(0.0)
    }

    /// Returns the mean of a movie's ratings, the mean of all where it has none.
    pub fn mean_stars(&self, place: usize) -> f64 {
        if self.ratings[place] == 0 {
            return self.mean();
        }
        self.stars[place] as f64 / f64::from(self.ratings[place])
    }

    /// Returns the movies by number of viewings, the foremost first.
    pub fn by_viewers(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.movies()).collect();
        order.sort_by(|a, b| self.viewers[*b].cmp(&self.viewers[*a]).then(a.cmp(b)));
        order
    }
}

/// What a trouble does to viewings.
#[derive(Debug)]
pub(super) enum Work {
    /// Changes or drops viewings of a group.
    Bias { members: BTreeSet<u32>, branch: Branch },
    /// Puts another movie in the place of some viewings.
    Replace(BTreeMap<(u32, i64), MovieIndex>),
    /// Adds the viewings of accounts.
    Add {
        accounts: Vec<UserId>,
        target: Option<MovieIndex>,
        added: u64,
    },
    /// Works on lines and leaves viewings alone.
    Lines,
}

/// A plan made ready.
#[derive(Debug)]
pub struct Staged<'a> {
    pub(super) plan: &'a Plan,
    pub(super) scene: Scene<'a>,
    pub(super) facts: &'a Facts,
    pub(super) windows: Vec<Window>,
    pub(super) works: Vec<Work>,
    /// What is added, in order of time and user.
    pub(super) extras: Vec<Logged>,
}

impl<'a> Staged<'a> {
    /// Makes a plan ready for a log of which `facts` is the count.
    ///
    /// Holds the viewings that are added and a few numbers for each user; never the log.
    pub fn new(plan: &'a Plan, scene: Scene<'a>, facts: &'a Facts) -> Self {
        let mut works = Vec::new();
        let mut all: Vec<Logged> = Vec::new();
        let mut taken = BTreeSet::new();
        for trouble in &plan.troubles {
            let branch = scene.branch.branch(&trouble.name);
            works.push(match &trouble.kind {
                Kind::GroupBias(bias) => Work::Bias {
                    members: members(&scene, bias.group),
                    branch,
                },
                Kind::RatingAttack(attack) => {
                    let raid = attack.raid(trouble, &scene, facts, &branch, &mut taken);
                    let added = raid.extras.len() as u64;
                    all.extend(raid.extras);
                    Work::Add {
                        accounts: raid.accounts,
                        target: Some(raid.target),
                        added,
                    }
                }
                Kind::Bots(bots) => {
                    let (accounts, extras) = bots.swarm(trouble, &scene, &branch, &mut taken);
                    let added = extras.len() as u64;
                    all.extend(extras);
                    Work::Add {
                        accounts,
                        target: None,
                        added,
                    }
                }
                Kind::Unsuitable(unsuitable) => {
                    Work::Replace(unsuitable.replacements(trouble, &scene, &branch))
                }
                Kind::Fault(_) => Work::Lines,
            });
        }
        all.sort_by_key(order);
        Self {
            windows: plan
                .troubles
                .iter()
                .map(|trouble| scene.window(trouble))
                .collect(),
            plan,
            scene,
            facts,
            works,
            extras: all,
        }
    }

    /// Returns the accounts that are in the log and of which the company has records, in order.
    pub fn added_accounts(&self) -> Vec<UserId> {
        let mut all: Vec<UserId> = self
            .works
            .iter()
            .flat_map(|work| match work {
                Work::Add { accounts, .. } => accounts.as_slice(),
                Work::Bias { .. } | Work::Replace(_) | Work::Lines => &[],
            })
            .copied()
            .filter(|id| self.scene.world.activity(*id).is_some())
            .collect();
        all.sort_unstable();
        all
    }

    /// Puts the plan around viewings that come in order of time and user; what comes out is in the same order.
    pub fn around<I: Iterator<Item = Viewing>>(&self, viewings: I) -> Around<'_, 'a, I> {
        Around {
            staged: self,
            source: viewings.peekable(),
            extras: self.extras.clone().into_iter().peekable(),
            tallies: vec![Tally::default(); self.works.len()],
        }
    }

    /// Returns what the log tells of a viewing; none when it is lost. What was done is added to `tallies`, one a trouble.
    pub(super) fn change(&self, viewing: Viewing, tallies: &mut [Tally]) -> Option<Logged> {
        let mut logged = Logged::from(viewing);
        for (place, work) in self.works.iter().enumerate() {
            if !self.windows[place].holds(viewing.at) {
                continue;
            }
            let tally = &mut tallies[place];
            tally.in_window += 1;
            let user = viewing.user.0;
            match (work, &self.plan.troubles[place].kind) {
                (Work::Bias { members, branch }, Kind::GroupBias(bias)) if members.contains(&user) => {
                    tally.concerned += 1;
                    let Some(changed) = bias.change(branch, self.scene.top(), logged) else {
                        tally.dropped += 1;
                        tally.altered += 1;
                        tally.users.insert(user);
                        return None;
                    };
                    add(&mut tally.before, logged.viewing.stars);
                    add(&mut tally.after, changed.viewing.stars);
                    if changed != logged {
                        tally.altered += 1;
                        tally.users.insert(user);
                    }
                    logged = changed;
                }
                (Work::Replace(replaced), Kind::Unsuitable(_)) if is_minor(&self.scene, viewing.user) => {
                    tally.concerned += 1;
                    let instead = replaced.get(&(user, viewing.at.seconds()));
                    if let Some(movie) = instead {
                        let runtime = self.scene.world.movie(*movie).runtime_min;
                        logged.viewing.movie = *movie;
                        logged.viewing.minutes = logged.viewing.minutes.min(runtime);
                        tally.altered += 1;
                        tally.users.insert(user);
                    }
                    if self.scene.world.movie(logged.viewing.movie).adult {
                        tally.pairs.push((user, logged.viewing.movie));
                        tally.natural_pairs += u64::from(instead.is_none());
                    }
                }
                _ => {}
            }
        }
        Some(logged)
    }

    /// Returns the answer key's entries of all troubles that work on viewings, from what [`Around`] counted.
    pub fn truths(&self, tallies: &[Tally]) -> Vec<Truth> {
        truth::of_viewings(self, tallies)
    }
}

fn members(scene: &Scene<'_>, group: Group) -> BTreeSet<u32> {
    scene
        .users
        .iter()
        .filter(|id| group.holds(scene.world, **id))
        .map(|id| id.0)
        .collect()
}

fn order(logged: &Logged) -> (SimTime, UserId) {
    (logged.viewing.at, logged.viewing.user)
}

/// What a trouble did to the viewings that went by.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Viewings within the window that it could have concerned.
    pub(super) concerned: u64,
    /// All viewings within the window.
    pub(super) in_window: u64,
    /// Viewings that it dropped, changed or added.
    pub(super) altered: u64,
    /// Viewings that it dropped.
    pub(super) dropped: u64,
    /// Ratings of the group that stayed: their number, sum and sum of squares, as they were.
    pub(super) before: (u64, f64, f64),
    /// The same as they are in the log.
    pub(super) after: (u64, f64, f64),
    /// Whose viewings were altered.
    pub(super) users: BTreeSet<u32>,
    /// Who watched what they should not: injected or not.
    pub(super) pairs: Vec<(u32, MovieIndex)>,
    /// How many of the pairs would be there without the trouble.
    pub(super) natural_pairs: u64,
}

impl Tally {
    /// Adds what was counted elsewhere; counts and sums of whole stars are the same in any order.
    pub(super) fn merge(&mut self, other: Self) {
        let sums = |a: (u64, f64, f64), b: (u64, f64, f64)| (a.0 + b.0, a.1 + b.1, a.2 + b.2);
        self.concerned += other.concerned;
        self.in_window += other.in_window;
        self.altered += other.altered;
        self.dropped += other.dropped;
        self.before = sums(self.before, other.before);
        self.after = sums(self.after, other.after);
        self.users.extend(other.users);
        self.pairs.extend(other.pairs);
        self.natural_pairs += other.natural_pairs;
    }
}

/// The iterator of a log with its troubles.
#[derive(Debug)]
pub struct Around<'s, 'a, I: Iterator<Item = Viewing>> {
    staged: &'s Staged<'a>,
    source: Peekable<I>,
    extras: Peekable<vec::IntoIter<Logged>>,
    tallies: Vec<Tally>,
}

impl<I: Iterator<Item = Viewing>> Around<'_, '_, I> {
    /// Returns what each trouble of the plan did, once the log has gone by.
    pub fn into_tallies(self) -> Vec<Tally> {
        self.tallies
    }
}

fn add(sum: &mut (u64, f64, f64), stars: Option<u8>) {
    if let Some(stars) = stars {
        let stars = f64::from(stars);
        *sum = (sum.0 + 1, sum.1 + stars, sum.2 + stars * stars);
    }
}

impl<I: Iterator<Item = Viewing>> Iterator for Around<'_, '_, I> {
    type Item = Logged;

    fn next(&mut self) -> Option<Logged> {
        loop {
            let extra_first = match (self.source.peek(), self.extras.peek()) {
                (Some(viewing), Some(extra)) => order(extra) < (viewing.at, viewing.user),
                (None, Some(_)) => true,
                (_, None) => false,
            };
            if extra_first {
                return self.extras.next();
            }
            let viewing = self.source.next()?;
            if let Some(logged) = self.staged.change(viewing, &mut self.tallies) {
                return Some(logged);
            }
        }
    }
}
