//! Company time: how it goes on from the clock of this machine, and who sits down in each of its hours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::team::Stage;
use crate::event::SimTime;
use crate::sim::{Arrival, arrivals};

/// The hours whose arrivals are kept: the present one, and those of teams that are behind or ahead; with them as many as people are
/// woken ahead for.
const KEPT: usize = 6;

/// The way company time goes on: evenly, however the clock on the wall is set, and never back: where it was ahead it waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    /// The company's moment when it began.
    pub(super) origin: SimTime,
    /// Company seconds a second.
    pub(super) speed: f64,
    /// The moment up to which everything was played before.
    pub(super) reached: SimTime,
}

impl Pace {
    /// Returns the company's moment so many nanoseconds after it began.
    pub(super) fn at(&self, elapsed_ns: u64) -> SimTime {
        self.clock_at(elapsed_ns).max(self.reached)
    }

    /// Returns by how many seconds of the company's the clock is behind what was played: so long it waits.
    pub(super) fn ahead_s(&self, elapsed_ns: u64) -> f64 {
        ((self.reached.0 - self.clock_at(elapsed_ns).0) as f64 / 1e6).max(0.0)
    }

    fn clock_at(&self, elapsed_ns: u64) -> SimTime {
        SimTime(self.origin.0 + (elapsed_ns as f64 / 1e3 * self.speed) as i64)
    }
}

/// An hour, in seconds since 1970, and the bits of the factor on everybody's sessions.
type Key = (i64, u64);

/// Who sits down in which hour, the same for all teams.
#[derive(Debug, Default)]
pub(super) struct Hours {
    known: BTreeMap<Key, Arc<Vec<Arrival>>>,
    /// Factors on top of the usual one, by span: more viewers than usual.
    pub(super) spikes: Vec<(SimTime, SimTime, f64)>,
    /// Whose numbers others have, by span: they do nothing of their own then.
    pub(super) taken: Vec<(SimTime, SimTime, BTreeSet<u32>)>,
    current: Option<(Key, Arc<Vec<Arrival>>)>,
}

impl Hours {
    /// Returns who sits down in a second.
    pub(super) fn at(&mut self, stage: &Stage<'_>, second: i64) -> &[Arrival] {
        let hour = second.div_euclid(3600) * 3600;
        let key = (hour, stage.factor.to_bits());
        if self.current.as_ref().is_none_or(|(known, _)| *known != key) {
            let all = self.hour(stage, key);
            self.current = Some((key, all));
        }
        let all: &[Arrival] = self.current.as_ref().map_or(&[], |(_, all)| all.as_slice());
        let from = all.partition_point(|arrival| arrival.second < second);
        let until = from + all[from..].partition_point(|arrival| arrival.second == second);
        &all[from..until]
    }

    fn hour(&mut self, stage: &Stage<'_>, key: Key) -> Arc<Vec<Arrival>> {
        if let Some(all) = self.known.get(&key) {
            return Arc::clone(all);
        }
        let begin = SimTime::from_seconds(key.0);
        let mut all = self.with_spikes(key.0, &|factor| {
            arrivals(stage.world, stage.scene.branch, begin, stage.factor * factor)
        });
        for (from, until, taken) in &self.taken {
            all.retain(|arrival| {
                let at = SimTime::from_seconds(arrival.second);
                at < *from || *until <= at || !taken.contains(&arrival.user.0)
            });
        }
        let ahead = 2 * stage.window() as usize / 3600;
        while self.known.len() >= KEPT + ahead {
            self.known.pop_first();
        }
        let all = Arc::new(all);
        self.known.insert(key, Arc::clone(&all));
        all
    }

    /// Puts an hour together of spans in each of which the factor is one.
    fn with_spikes(&self, hour: i64, drawn: &dyn Fn(f64) -> Vec<Arrival>) -> Vec<Arrival> {
        let within = |second: i64| -> f64 {
            let at = SimTime::from_seconds(second);
            let spikes = self
                .spikes
                .iter()
                .filter(|(from, until, _)| *from <= at && at < *until);
            spikes.map(|(_, _, factor)| *factor).product()
        };
        let ends = self.spikes.iter().flat_map(|(from, until, _)| [*from, *until]);
        let mut begins: Vec<i64> = ends
            // The first whole second that lies in a span, or behind it.
            .map(|at| at.0.div_euclid(1_000_000) + i64::from(at.0.rem_euclid(1_000_000) > 0))
            .filter(|second| (hour + 1..hour + 3600).contains(second))
            .chain([hour])
            .collect();
        begins.sort_unstable();
        begins.dedup();
        let mut all = Vec::new();
        for (place, begin) in begins.iter().enumerate() {
            let end = begins.get(place + 1).copied().unwrap_or(hour + 3600);
            let part = drawn(within(*begin));
            all.extend(
                part.into_iter()
                    .filter(|arrival| (*begin..end).contains(&arrival.second)),
            );
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::UserId;

    #[test]
    fn a_company_that_was_ahead_of_the_clock_waits_for_it() {
        let at = SimTime::from_seconds;
        let pace = Pace {
            origin: at(100),
            speed: 2.0,
            reached: at(160),
        };
        let second = 1_000_000_000;
        assert_eq!([0, 30, 31].map(|s| pace.at(s * second)), [160, 160, 162].map(at));
        assert_eq!(
            [0, 10, 30, 31].map(|s| pace.ahead_s(s * second)),
            [60.0, 40.0, 0.0, 0.0]
        );
    }

    #[test]
    fn a_spike_begins_and_ends_at_its_second() {
        let at = SimTime::from_seconds;
        let hours = Hours {
            spikes: vec![
                (at(7_200 + 600), at(7_200 + 900), 3.0),
                (at(0), at(7_200 + 700), 2.0),
            ],
            ..Hours::default()
        };
        // One viewer a second for each time as many.
        let drawn = |factor: f64| -> Vec<Arrival> {
            let seconds = (7_200..10_800).flat_map(|second| vec![second; factor as usize]);
            seconds
                .map(|second| Arrival {
                    second,
                    user: UserId(1),
                })
                .collect()
        };
        let all = hours.with_spikes(7_200, &drawn);
        let count = |second: i64| {
            all.iter()
                .filter(|arrival| arrival.second == 7_200 + second)
                .count()
        };
        assert_eq!(
            [0, 599, 600, 699, 700, 899, 900, 3_599].map(count),
            [2, 2, 6, 6, 3, 3, 1, 1]
        );
        assert!(all.is_sorted());
    }
}
