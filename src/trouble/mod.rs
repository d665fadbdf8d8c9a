//! Troubles with a known truth: what is wrong with a log, since when, how much, and what one must find.
//!
//! A plan works in two places. Around viewings ([`Staged::around`], [`StreamTroubles`]): a group under-represented, attacks on
//! ratings, bots, minors who watch what is for adults. Around formatted lines ([`LineFaults`]): faults of the data. Every draw is keyed by user and
//! moment, or by the line itself, so that a log with a trouble and its twin without differ by the trouble alone.

mod attack;
mod bots;
mod claim;
mod fate;
mod group;
mod line;
mod onslaught;
mod read;
mod stage;
mod stream;
mod truth;
mod unsuitable;

pub use crate::sim::Logged;
pub use attack::{Accounts, Attack, Goal, Model, Size};
pub use bots::Bots;
pub use claim::{Agreement, Claim, Comparison, FINDINGS, compare, parse_claims};
pub use fate::{Fault, Order, Spoil, Written};
pub use group::{Group, GroupBias};
pub use line::LineFaults;
pub use onslaught::Onslaught;
pub use read::{read_attack, read_fault};
pub use stage::{Around, Facts, Scene, Staged};
pub use stream::{StreamScene, StreamTroubles};
pub use truth::{AnswerKey, Effect, Power, Truth};
pub use unsuitable::Unsuitable;

use crate::event::SimTime;

/// What is wrong with a course's log; nothing when it is empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// The troubles, in the order in which they are applied.
    pub troubles: Vec<Trouble>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble {
    /// Its name in the answer key; its draws hang on it.
    pub name: String,
    /// The first day of the log on which it shows, from 0.
    pub onset_day: u32,
    /// The first day on which it no longer shows; none lasts to the end.
    pub end_day: Option<u32>,
    /// What it is.
    pub kind: Kind,
}

/// What a trouble is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A group is under-represented, rates with noise, or rates lower than it meant.
    GroupBias(GroupBias),
    /// Accounts that exist to move one movie's ratings.
    RatingAttack(Attack),
    /// Accounts that watch by machine.
    Bots(Bots),
    /// Minors watch what is for adults only.
    Unsuitable(Unsuitable),
    /// Lines of the log are not what they should be.
    Fault(Fault),
}

impl Kind {
    /// Returns the name of course files and answer keys.
    pub fn name(&self) -> &'static str {
        match self {
            Self::GroupBias(_) => "group_bias",
            Self::RatingAttack(_) => "rating_attack",
            Self::Bots(_) => "bots",
            Self::Unsuitable(_) => "unsuitable",
            Self::Fault(fault) => fault.name(),
        }
    }
}

impl Plan {
    /// Tells whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.troubles.is_empty()
    }

    /// Returns the last line of the catalogue that is named as a target, from 1; none where none is.
    pub fn last_line(&self) -> Option<u32> {
        let lines = self.troubles.iter().filter_map(|trouble| match trouble.kind {
            Kind::RatingAttack(Attack {
                size: Size::Target { movie, .. },
                ..
            }) => Some(movie.0 + 1),
            _ => None,
        });
        lines.max()
    }

    /// Tells whether any trouble is a fault of lines.
    pub fn has_faults(&self) -> bool {
        self.troubles
            .iter()
            .any(|trouble| matches!(trouble.kind, Kind::Fault(_)))
    }
}

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// The moments between which a trouble shows: from the first, to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    from: SimTime,
    until: SimTime,
}

impl Window {
    fn of(trouble: &Trouble, start: SimTime, days: u32) -> Self {
        let end = trouble.end_day.unwrap_or(days).min(days);
        Self {
            from: start.plus_seconds(i64::from(trouble.onset_day) * DAY_S),
            until: start.plus_seconds(i64::from(end) * DAY_S),
        }
    }

    fn holds(self, time: SimTime) -> bool {
        self.from <= time && time < self.until
    }

    fn seconds(self) -> i64 {
        (self.until.seconds() - self.from.seconds()).max(0)
    }
}

#[cfg(test)]
mod tests;
