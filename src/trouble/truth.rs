//! The answer key: what is wrong with a log, who, which movies, when, how much, and how much data one needs to see it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::attack::{Attack, Goal, Size};
use super::stage::{Staged, Tally, Work};
use super::{Kind, Trouble, Window};
use crate::event::{SimTime, push_time};
use crate::world::{MovieIndex, Profile, World};

/// The schema name of an answer key.
pub(super) const SCHEMA: &str = "reelworld/truth/v1";
/// The standard normal quantiles whose sum a test at 5 %, two-sided, needs for a power of .9.
const Z_NEEDED: f64 = 1.959_964 + 1.281_552;
/// The share of the variance of ratings that lies between users (MovieLens 100K): ratings of one user tell less than their number.
const RATING_ICC: f64 = 0.125;

/// The answer key of a log. Staff only: students are graded against it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerKey {
    /// `reelworld/truth/v1`.
    pub schema: String,
    /// The fingerprint of the world's key.
    pub world: String,
    /// Whether the world's key is public, so that anybody can print this answer key.
    pub public: bool,
    /// The first moment of the log.
    pub start: String,
    /// Its days.
    pub days: u32,
    /// The viewings of the log without troubles.
    pub viewings: u64,
    /// What is wrong.
    pub troubles: Vec<Truth>,
}

impl AnswerKey {
    /// Puts the entries of a log together.
    pub fn new(world: &World, public: bool, log: (SimTime, u32, u64), troubles: Vec<Truth>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            world: world.fingerprint().to_owned(),
            public,
            start: time_text(log.0),
            days: log.1,
            viewings: log.2,
            troubles,
        }
    }
}

/// What is true of one trouble.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Truth {
    /// The trouble's name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// What it is, in a sentence.
    pub what: String,
    /// The first day on which it shows.
    pub onset_day: u32,
    /// The first day on which it no longer shows.
    pub end_day: u32,
    /// The first moment at which it shows.
    pub from: String,
    /// The moment from which it no longer shows.
    pub until: String,
    /// The parameters.
    pub strength: BTreeMap<String, f64>,
    /// The group that it concerns, or the rule by which lines are concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whose events were altered, or the accounts that were added.
    pub users: Vec<u32>,
    /// The movies that it is about.
    pub movies: Vec<String>,
    /// Who watched which movie that they should not have: added by the trouble or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<(u32, String)>,
    /// How many events were altered, dropped or added: viewings, or lines where it is a fault of lines.
    pub altered: u64,
    /// Of how many within the window.
    pub of: u64,
    /// The numbers, from 1, of the altered lines in the log; empty where they are too many or no longer there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<u64>,
    /// What it does, measured against the log without it.
    pub effects: Vec<Effect>,
    /// How much data one needs to see it.
    pub power: Power,
}

/// A figure without the trouble and with it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// What is measured.
    pub measure: String,
    /// Its value in the log without the trouble.
    pub without: f64,
    /// Its value in the log with it.
    pub with: f64,
    /// What a formula predicts for the log with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted: Option<f64>,
    /// The 95 % interval of with less without, over users, where only some were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<[f64; 2]>,
}

impl Effect {
    /// Makes an effect that is counted: nothing is predicted, and nothing sampled.
    pub fn new(measure: &str, without: f64, with: f64) -> Self {
        Self {
            measure: measure.to_owned(),
            without,
            with,
            predicted: None,
            change: None,
        }
    }
}

/// How many events of a window a test at 5 % needs to see the trouble nine times in ten.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Power {
    /// What is counted as an event.
    pub event: String,
    /// The formula.
    pub formula: String,
    /// The figure without the trouble.
    pub without: f64,
    /// The figure with it.
    pub with: f64,
    /// Events of one user in the window.
    pub per_user: f64,
    /// The correlation of events of one user.
    pub icc: f64,
    /// The least number of events; none where no number is enough.
    pub least_events: Option<u64>,
    /// The number of events that the window has.
    pub events: u64,
}

impl Power {
    /// For a share that changes: z = |p' − p| / √(2 p (1 − p) / N_eff), N_eff = N / (1 + (k − 1) ICC).
    pub(super) fn of_share(
        event: &str,
        without: f64,
        with: f64,
        clustering: (f64, f64),
        events: u64,
    ) -> Self {
        let (per_user, icc) = clustering;
        // A share of 0 has no spread: what a test compares with is then the larger of the two.
        let spread = if without > 0.0 { without } else { with };
        let needed = 2.0 * spread * (1.0 - spread) * (Z_NEEDED / (with - without)).powi(2);
        Self {
            event: event.to_owned(),
            formula: "z = |p'-p| / sqrt(2p(1-p)/N_eff), N_eff = N/(1+(k-1)ICC)".to_owned(),
            without,
            with,
            per_user,
            icc,
            least_events: least(needed * design(clustering)),
            events,
        }
    }

    /// For a mean that changes, by the same formula with the variance in the place of p(1 − p).
    fn of_mean(without: f64, with: f64, variance: f64, clustering: (f64, f64), events: u64) -> Self {
        let needed = 2.0 * variance * (Z_NEEDED / (with - without)).powi(2);
        Self {
            event: "ratings of the group".to_owned(),
            formula: "z = |m'-m| / sqrt(2v/N_eff), N_eff = N/(1+(k-1)ICC)".to_owned(),
            without,
            with,
            per_user: clustering.0,
            icc: clustering.1,
            least_events: least(needed * design(clustering)),
            events,
        }
    }

    /// For a variance that changes: the logarithm of a sample's variance has a variance of about 2/N.
    fn of_variance(without: f64, with: f64, events: u64) -> Self {
        let needed = 4.0 * (Z_NEEDED / libm::log(with / without)).powi(2);
        Self {
            event: "ratings of the group".to_owned(),
            formula: "z = |ln(v'/v)| / sqrt(4/N)".to_owned(),
            without,
            with,
            per_user: 1.0,
            icc: 0.0,
            least_events: least(needed),
            events,
        }
    }

    /// For what never happens otherwise: one case is proof, and N events have one with probability 1 − (1 − p')^N.
    pub(super) fn of_impossible(event: &str, with: f64, events: u64) -> Self {
        Self {
            event: event.to_owned(),
            formula: "1 - (1-p')^N = .9".to_owned(),
            without: 0.0,
            with,
            per_user: 1.0,
            icc: 0.0,
            least_events: if with >= 1.0 {
                Some(1)
            } else {
                least(libm::log(0.1) / libm::log(1.0 - with))
            },
            events,
        }
    }
}

fn design((per_user, icc): (f64, f64)) -> f64 {
    1.0 + (per_user - 1.0).max(0.0) * icc
}

fn least(needed: f64) -> Option<u64> {
    needed.is_finite().then(|| needed.ceil().max(1.0) as u64)
}

pub(super) fn time_text(time: SimTime) -> String {
    let mut text = Vec::new();
    push_time(time, Profile::Classic, false, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// An entry with what every trouble has; the rest is empty.
pub(super) fn blank(trouble: &Trouble, window: Window, days: u32, power: Power) -> Truth {
    Truth {
        name: trouble.name.clone(),
        kind: trouble.kind.name().to_owned(),
        what: String::new(),
        onset_day: trouble.onset_day,
        end_day: trouble.end_day.unwrap_or(days).min(days),
        from: time_text(window.from),
        until: time_text(window.until),
        strength: BTreeMap::new(),
        group: None,
        users: Vec::new(),
        movies: Vec::new(),
        pairs: Vec::new(),
        altered: 0,
        of: 0,
        lines: Vec::new(),
        effects: Vec::new(),
        power,
    }
}

pub(super) fn strengths(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect()
}

pub(super) fn of_viewings(staged: &Staged<'_>, tallies: &[Tally]) -> Vec<Truth> {
    staged
        .works
        .iter()
        .zip(tallies)
        .enumerate()
        .filter_map(|(place, (work, tally))| {
            let trouble = &staged.plan.troubles[place];
            let mut truth = match (&trouble.kind, work) {
                (Kind::GroupBias(_), Work::Bias { members, .. }) => bias(staged, place, members.len(), tally),
                (
                    Kind::RatingAttack(attack),
                    Work::Add {
                        accounts,
                        target: Some(target),
                        added,
                    },
                ) => raid(staged, place, attack, *target, (accounts.len() as u64, *added)),
                (Kind::Bots(_), Work::Add { accounts, added, .. }) => {
                    swarm(staged, place, accounts.len() as u64, *added, tally)
                }
                (Kind::Unsuitable(_), Work::Replace(_)) => unsuitable(staged, place, tally),
                _ => return None,
            };
            if let Work::Add { accounts, .. } = work {
                truth.users = accounts.iter().map(|id| id.0).collect();
            } else {
                truth.users = tally.users.iter().copied().collect();
            }
            Some(truth)
        })
        .collect()
}

fn bias(staged: &Staged<'_>, place: usize, members: usize, tally: &Tally) -> Truth {
    let trouble = &staged.plan.troubles[place];
    let Kind::GroupBias(bias) = &trouble.kind else {
        unreachable!("the caller looked at the kind");
    };
    let share = |part: u64, whole: u64| part as f64 / (whole as f64).max(1.0);
    let natural = share(tally.concerned, tally.in_window);
    let left = share(tally.concerned - tally.dropped, tally.in_window - tally.dropped);
    let moments = |(n, sum, squares): (u64, f64, f64)| {
        let mean = sum / (n as f64).max(1.0);
        (mean, (squares / (n as f64).max(1.0) - mean * mean).max(1e-9))
    };
    let ((mean, variance), (new_mean, new_variance)) = (moments(tally.before), moments(tally.after));
    let per_user = share(tally.before.0, members as u64);
    let power = if bias.lost > 0.0 {
        // Each user is compared with themselves before the onset, and comes independently from hour to hour.
        let clustering = (share(tally.concerned, members as u64), 0.0);
        Power::of_share("viewings", natural, left, clustering, tally.in_window)
    } else if bias.deflated > 0.0 {
        Power::of_mean(mean, new_mean, variance, (per_user, RATING_ICC), tally.before.0)
    } else {
        Power::of_variance(variance, new_variance, tally.before.0)
    };
    let group = bias.group.label();
    Truth {
        what: format!("{group}: viewings are lost, ratings are noisier or lower, as the strengths say"),
        strength: strengths(&[
            ("lost", bias.lost),
            ("noise", bias.noise),
            ("deflated", bias.deflated),
        ]),
        group: Some(group),
        altered: tally.altered,
        of: tally.concerned,
        effects: vec![
            Effect::new("share of the group in the viewings of the window", natural, left),
            Effect::new("mean stars of the group in the window", mean, new_mean),
            Effect::new(
                "standard deviation of the group's stars in the window",
                variance.sqrt(),
                new_variance.sqrt(),
            ),
        ],
        ..blank(trouble, staged.windows[place], staged.scene.days, power)
    }
}

fn raid(
    staged: &Staged<'_>,
    place: usize,
    attack: &Attack,
    target: MovieIndex,
    (accounts, added): (u64, u64),
) -> Truth {
    let (trouble, facts, window) = (&staged.plan.troubles[place], staged.facts, staged.windows[place]);
    let at = target.0 as usize;
    let (real, fake) = (f64::from(facts.ratings(at)), accounts as f64);
    let stars = match attack.goal {
        Goal::Promote => f64::from(staged.scene.top()),
        Goal::Demote => 1.0,
    };
    let mean = facts.mean_stars(at);
    // The mean of the target's ratings moves by (s − r₀) k / (n₀ + k).
    let moved = (mean * real + stars * fake) / (real + fake);
    let predicted = mean + (stars - mean) * fake / (real + fake);
    let days = window.seconds() as f64 / (f64::from(staged.scene.days) * super::DAY_S as f64).max(1.0);
    let ratings = facts.all_ratings() as f64 * days;
    let natural = real * days / ratings.max(1.0);
    let with = (real * days + fake) / (ratings + added as f64).max(1.0);
    let ranks = |count: f64| {
        let ahead =
            (0..facts.movies()).filter(|other| *other != at && f64::from(facts.viewers(*other)) > count);
        ahead.count() as f64 + 1.0
    };
    let views = f64::from(facts.viewers(at));
    let (Size::Ratio { share, .. } | Size::Target { share, .. }) = attack.size;
    let goal = match attack.goal {
        Goal::Promote => "promote",
        Goal::Demote => "demote",
    };
    Truth {
        what: format!(
            "{accounts} accounts with `{}` profiles {goal} `{}`",
            attack.model.name(),
            staged.scene.world.movie(target).id
        ),
        strength: strengths(&[
            ("size", share),
            ("rho", fake / real.max(1.0)),
            ("fillers", f64::from(attack.fillers)),
            ("burst_hours", attack.burst_hours),
        ]),
        group: Some(format!("{} {goal}", attack.model.name())),
        movies: vec![staged.scene.world.movie(target).id.clone()],
        altered: added,
        of: facts.viewings() + added,
        effects: vec![
            Effect {
                predicted: Some(predicted),
                ..Effect::new("mean stars of the target", mean, moved)
            },
            Effect::new("ratings of the target", real, real + fake),
            Effect::new(
                "rank of the target by viewings",
                ranks(views),
                ranks(views + fake),
            ),
        ],
        ..blank(
            trouble,
            window,
            staged.scene.days,
            Power::of_share("ratings", natural, with, (1.0, 0.0), ratings as u64),
        )
    }
}

fn swarm(staged: &Staged<'_>, place: usize, accounts: u64, added: u64, tally: &Tally) -> Truth {
    let trouble = &staged.plan.troubles[place];
    let Kind::Bots(bots) = &trouble.kind else {
        unreachable!("the caller looked at the kind");
    };
    let usual = 1.0 / (staged.scene.users.len() as f64).max(1.0);
    let all = tally.in_window + added;
    let share = added as f64 / (accounts * all).max(1) as f64;
    Truth {
        what: format!("{accounts} accounts watch by machine"),
        strength: strengths(&[
            ("size", bots.size),
            ("volume", bots.volume),
            ("regularity", bots.regularity),
            ("completion", bots.completion),
            ("speed", bots.speed),
            ("unasked", bots.unasked),
        ]),
        altered: added,
        of: all,
        effects: vec![Effect::new(
            "viewings of the window",
            tally.in_window as f64,
            all as f64,
        )],
        ..blank(
            trouble,
            staged.windows[place],
            staged.scene.days,
            Power::of_share(
                "viewings, for the share of one account",
                usual,
                share,
                (1.0, 0.0),
                all,
            ),
        )
    }
}

fn unsuitable(staged: &Staged<'_>, place: usize, tally: &Tally) -> Truth {
    let trouble = &staged.plan.troubles[place];
    let Kind::Unsuitable(unsuitable) = &trouble.kind else {
        unreachable!("the caller looked at the kind");
    };
    let world = staged.scene.world;
    let share = |count: u64| count as f64 / (tally.concerned as f64).max(1.0);
    let (natural, with) = (share(tally.natural_pairs), share(tally.pairs.len() as u64));
    let mut pairs: Vec<(u32, String)> = tally
        .pairs
        .iter()
        .map(|(user, movie)| (*user, world.movie(*movie).id.clone()))
        .collect();
    pairs.sort();
    Truth {
        what: "viewers under 18 watch movies for adults only".to_owned(),
        strength: strengths(&[
            ("share", unsuitable.share),
            ("titles", f64::from(unsuitable.titles)),
        ]),
        group: Some("age under 18".to_owned()),
        movies: world
            .movie_indices()
            .filter(|index| world.movie(*index).adult)
            .map(|index| world.movie(index).id.clone())
            .collect(),
        altered: tally.altered,
        of: tally.concerned,
        effects: vec![Effect::new(
            "share of movies for adults in what minors watch in the window",
            natural,
            with,
        )],
        pairs,
        ..blank(
            trouble,
            staged.windows[place],
            staged.scene.days,
            Power::of_share("viewings of minors", natural, with, (1.0, 0.0), tally.concerned),
        )
    }
}

/// What a fault of lines needs to become an entry.
pub(super) struct FaultFacts<'a> {
    pub(super) trouble: &'a Trouble,
    pub(super) window: Window,
    pub(super) days: u32,
    pub(super) what: String,
    pub(super) rule: String,
    pub(super) strength: BTreeMap<String, f64>,
    pub(super) users: Vec<u32>,
    pub(super) altered: u64,
    pub(super) of: u64,
    pub(super) lines: Vec<u64>,
    pub(super) power: Power,
}

pub(super) fn of_fault(facts: FaultFacts<'_>) -> Truth {
    Truth {
        what: facts.what,
        group: Some(facts.rule),
        strength: facts.strength,
        users: facts.users,
        altered: facts.altered,
        of: facts.of,
        lines: facts.lines,
        ..blank(facts.trouble, facts.window, facts.days, facts.power)
    }
}
