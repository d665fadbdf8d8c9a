//! Attacks on ratings: fake accounts that raise or lower one movie, by the models of the literature.
//!
//! Models after Burke, Mobasher and others: random, average, bandwagon, love and hate. `copied` takes the profiles of real users,
//! which the usual features of a profile hardly see, and a search for the nearest profile does; `blended` takes a part of
//! several, which that does not see either. An attack is sized by the fake ratings for every real one
//! of its target: below five, rankers that do not use ratings do not notice.

use std::collections::BTreeSet;

use super::stage::{Facts, Scene};
use super::{DAY_S, Trouble, Window};
use crate::event::SimTime;
use crate::seed::{Branch, Draws};
use crate::sim::{Logged, Viewing};
use crate::world::{MovieIndex, UserId};

/// One attack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attack {
    /// How profiles are filled.
    pub model: Model,
    /// What is wanted for the target.
    pub goal: Goal,
    /// How many accounts, and against which movie.
    pub size: Size,
    /// The movies that an account rates beside the target; `copied` and `blended` take as many as their originals have.
    pub fillers: u32,
    /// The hours from the onset within which all accounts begin.
    pub burst_hours: f64,
    /// Whose numbers the accounts have.
    pub accounts: Accounts,
}

/// How a fake profile is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Any movies, stars around the mean of all.
    Random,
    /// Any movies, stars around each movie's own mean.
    Average,
    /// Half of the best known movies with the most stars, half as `Random`.
    Bandwagon,
    /// Any movies, all with the stars opposite to the target's.
    LoveHate,
    /// What a real user watched and gave.
    Copied,
    /// A third each of what three real users watched and gave.
    Blended,
}

impl Model {
    pub(super) const WORDS: [(&'static str, Self); 6] = [
        ("random", Self::Random),
        ("average", Self::Average),
        ("bandwagon", Self::Bandwagon),
        ("love_hate", Self::LoveHate),
        ("copied", Self::Copied),
        ("blended", Self::Blended),
    ];

    /// Returns the name of course files and answer keys.
    pub fn name(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, model)| *model == self)
            .map_or("random", |(name, _)| name)
    }
}

/// What an attack wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The most stars for the target.
    Promote,
    /// One star for the target.
    Demote,
}

/// How large an attack is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Size {
    /// A share of the users as accounts, against a movie that has so few ratings that `rho` fake ones come on every real one.
    Ratio {
        /// Fake accounts for every real user.
        share: f64,
        /// Fake ratings of the target for every real one.
        rho: f64,
    },
    /// A share of the users as accounts, against this movie.
    Target {
        /// Fake accounts for every real user.
        share: f64,
        /// The movie.
        movie: MovieIndex,
    },
}

/// Whose numbers fake accounts have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounts {
    /// Users whom the company knows and who are not in the data otherwise: little active ones first.
    Dormant,
    /// Numbers above the company's largest, of whom there is no record.
    Extra,
}

/// The standard deviation of a filler's stars, in stars of a scale of five.
const FILLER_SD: f64 = 1.1;
/// Movies from which bandwagon profiles take their known half.
const KNOWN: usize = 20;
/// A target is drawn from this many movies whose number of ratings is nearest to what `rho` asks for.
const NEAREST: usize = 10;
/// Viewings a month below which a user counts as dormant.
const DORMANT: f64 = 15.0;

/// What an attack does to a log.
#[derive(Debug)]
pub(super) struct Raid {
    pub(super) target: MovieIndex,
    pub(super) accounts: Vec<UserId>,
    pub(super) extras: Vec<Logged>,
}

impl Attack {
    pub(super) fn raid(
        &self,
        trouble: &Trouble,
        scene: &Scene<'_>,
        facts: &Facts,
        branch: &Branch,
        taken: &mut BTreeSet<u32>,
    ) -> Raid {
        let (Size::Ratio { share, .. } | Size::Target { share, .. }) = self.size;
        let count = ((share * scene.users.len() as f64).round() as usize).max(1);
        let target = match self.size {
            Size::Target { movie, .. } => movie,
            Size::Ratio { rho, .. } => self.pick_target(facts, count as f64 / rho, branch),
        };
        let accounts = accounts(scene, self.accounts, count, &branch.branch("accounts"), taken);
        let window = scene.window(trouble);
        let known = facts.by_viewers();
        let mut extras = Vec::new();
        for (number, account) in accounts.iter().enumerate() {
            let mut draws = branch.branch("profiles").at(number as u64);
            let begins = (draws.unit() * self.burst_hours * 3600.0) as i64;
            // A last day is left for what an account does; where there is no day, half of what there is.
            let left = if window.seconds() < DAY_S {
                window.seconds() / 2
            } else {
                DAY_S
            };
            let begins = begins.min(window.seconds() - left);
            let profile = match self.model {
                Model::Copied => copied(scene, window, begins, target, &mut draws),
                Model::Blended => blended(scene, window, begins, target, &mut draws),
                Model::Random | Model::Average | Model::Bandwagon | Model::LoveHate => {
                    self.invented(scene, facts, &known, window, begins, target, &mut draws)
                }
            };
            let stars = match self.goal {
                Goal::Promote => scene.top(),
                Goal::Demote => 1,
            };
            push_profile(
                scene,
                *account,
                target,
                stars,
                profile,
                window,
                &mut draws,
                &mut extras,
            );
        }
        Raid {
            target,
            accounts,
            extras,
        }
    }

    /// Draws a target that has about the wanted number of ratings and something to gain.
    fn pick_target(&self, facts: &Facts, ratings: f64, branch: &Branch) -> MovieIndex {
        let gains = |place: usize| match self.goal {
            Goal::Promote => facts.mean_stars(place) <= facts.mean(),
            Goal::Demote => facts.mean_stars(place) >= facts.mean(),
        };
        let mut places: Vec<usize> = (0..facts.movies())
            .filter(|place| facts.ratings(*place) > 0 && gains(*place))
            .collect();
        let distance = |place: &usize| (f64::from(facts.ratings(*place)) - ratings).abs();
        places.sort_by(|a, b| distance(a).total_cmp(&distance(b)).then(a.cmp(b)));
        places.truncate(NEAREST);
        let mut draws = branch.branch("target").at(0);
        let chosen = draws.below(places.len().max(1) as u64) as usize;
        MovieIndex(places.get(chosen).copied().unwrap_or_default() as u32)
    }

    #[expect(clippy::too_many_arguments, reason = "a profile is drawn from all of these")]
    fn invented(
        &self,
        scene: &Scene<'_>,
        facts: &Facts,
        known: &[usize],
        window: Window,
        begins: i64,
        target: MovieIndex,
        draws: &mut Draws,
    ) -> Vec<Viewing> {
        let top = f64::from(scene.top());
        let opposite = match self.goal {
            Goal::Promote => 1.0,
            Goal::Demote => top,
        };
        let mut chosen = BTreeSet::from([target.0]);
        let mut profile = Vec::new();
        let span = (window.seconds() - begins).max(1);
        for filler in 0..self.fillers {
            let from_known = self.model == Model::Bandwagon && filler % 2 == 0;
            let place = if from_known {
                known[draws.below(known.len().clamp(1, KNOWN) as u64) as usize]
            } else {
                draws.below(facts.movies() as u64) as usize
            };
            let around = match self.model {
                Model::Average => facts.mean_stars(place),
                Model::Random | Model::Bandwagon | Model::LoveHate | Model::Copied | Model::Blended => {
                    facts.mean()
                }
            };
            let noisy = around + FILLER_SD * top / 5.0 * draws.normal();
            let stars = match self.model {
                Model::LoveHate => opposite,
                Model::Bandwagon if from_known => top,
                Model::Random | Model::Average | Model::Bandwagon | Model::Copied | Model::Blended => noisy,
            };
            let second = if filler == 0 {
                0
            } else {
                draws.below(span as u64) as i64
            };
            if !chosen.insert(place as u32) {
                continue;
            }
            let movie = MovieIndex(place as u32);
            profile.push(Viewing {
                user: UserId(0),
                movie,
                at: window.from.plus_seconds(begins + second),
                minutes: scene.world.movie(movie).runtime_min,
                stars: Some(stars.round().clamp(1.0, top) as u8),
                is_first: false,
            });
        }
        profile.sort_by_key(|viewing| viewing.at);
        profile
    }
}

/// Copies a real user's profile into the window, each viewing at its own time of day.
fn copied(
    scene: &Scene<'_>,
    window: Window,
    begins: i64,
    target: MovieIndex,
    draws: &mut Draws,
) -> Vec<Viewing> {
    let donor = scene.users[draws.below(scene.users.len() as u64) as usize];
    let days = ((window.seconds() - begins) / DAY_S).max(1);
    let first_day = begins / DAY_S;
    let mut profile: Vec<Viewing> = (scene.history)(donor)
        .into_iter()
        .filter(|viewing| viewing.movie != target)
        .map(|mut viewing| {
            let since = viewing.at.seconds() - scene.start.seconds();
            let day = first_day + (since / DAY_S) % days;
            // A few minutes away from the original, so that no two accounts act at the same second.
            let jitter = draws.below(1800) as i64 - 900;
            let second = (day * DAY_S + since % DAY_S + jitter).clamp(begins, window.seconds() - 1);
            viewing.at = window.from.plus_seconds(second);
            viewing
        })
        .collect();
    profile.sort_by_key(|viewing| viewing.at);
    profile
}

/// The users of whom a blended profile is made: with two, it is still nearer to each than users are to one another.
const BLENDED: usize = 3;

/// Copies a part of several real users' profiles, no movie twice.
fn blended(
    scene: &Scene<'_>,
    window: Window,
    begins: i64,
    target: MovieIndex,
    draws: &mut Draws,
) -> Vec<Viewing> {
    let mut profile = Vec::new();
    let mut chosen = BTreeSet::new();
    for _ in 0..BLENDED {
        for viewing in copied(scene, window, begins, target, draws) {
            if draws.chance(1.0 / BLENDED as f64) && chosen.insert(viewing.movie.0) {
                profile.push(viewing);
            }
        }
    }
    profile.sort_by_key(|viewing| viewing.at);
    profile
}

/// Appends a profile and, somewhere in it, the target; nobody watches two movies at once.
#[expect(clippy::too_many_arguments, reason = "an account is made of all of these")]
fn push_profile(
    scene: &Scene<'_>,
    account: UserId,
    target: MovieIndex,
    stars: u8,
    mut profile: Vec<Viewing>,
    window: Window,
    draws: &mut Draws,
    extras: &mut Vec<Logged>,
) {
    let place = draws.below(profile.len() as u64 + 1) as usize;
    let at = profile
        .get(place)
        .or(profile.last())
        .map_or(window.from, |viewing| viewing.at);
    let hit = Viewing {
        user: account,
        movie: target,
        at,
        minutes: scene.world.movie(target).runtime_min,
        stars: Some(stars),
        is_first: false,
    };
    profile.insert(place, hit);
    let mut free = SimTime(i64::MIN);
    for mut viewing in profile {
        viewing.user = account;
        viewing.at = viewing.at.max(free);
        free = viewing.at.plus_seconds(i64::from(viewing.minutes) * 60 + 60);
        // What no longer fits is left out, but never the target.
        if window.holds(viewing.at) || viewing.movie == target {
            viewing.at = viewing.at.min(SimTime(window.until.0 - 1));
            extras.push(Logged {
                request_ms: viewing.request_ms(),
                viewing,
                pace_s: 60,
            });
        }
    }
}

/// Takes account numbers that nobody else in the data has; extra ones where there are not enough dormant ones.
pub(super) fn accounts(
    scene: &Scene<'_>,
    whose: Accounts,
    count: usize,
    branch: &Branch,
    taken: &mut BTreeSet<u32>,
) -> Vec<UserId> {
    let world = scene.world;
    let mut free: Vec<UserId> = Vec::new();
    let is_free =
        |id: &UserId| !taken.contains(&id.0) && (scene.everybody || scene.users.binary_search(id).is_err());
    if whose == Accounts::Dormant {
        free = world
            .user_ids()
            .filter(|id| world.activity(*id).is_some_and(|found| found < DORMANT))
            .filter(is_free)
            .collect();
        branch.at(0).shuffle(&mut free);
        if free.len() < count && !scene.everybody {
            let mut others: Vec<UserId> = world
                .user_ids()
                .filter(|id| world.activity(*id).is_some_and(|found| found >= DORMANT))
                .filter(is_free)
                .collect();
            branch.at(1).shuffle(&mut others);
            free.extend(others);
        }
    }
    free.truncate(count);
    let mut next = world.spec().users;
    while free.len() < count {
        next += 1;
        if !taken.contains(&next) {
            free.push(UserId(next));
        }
    }
    free.sort_unstable();
    taken.extend(free.iter().map(|id| id.0));
    free
}
