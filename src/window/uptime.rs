//! Downtime by the minute, models that followed each other, and what failed while they changed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Asked, Came, LINES, Span, excluded, measured, not_measured};
use crate::event::SimTime;
use crate::scorecard::Finding;

/// A minute is up when at least this share of its requests went well: one in which most viewers got nothing was down for them.
const UP: f64 = 0.5;
/// Of a window's minutes at least this share must have been asked in: a record of a few hours says nothing of a week.
const LEAST_ASKED: f64 = 0.5;
/// An update may disturb requests until so long after the new model is seen, in seconds: workers start again.
const AFTERMATH_S: i64 = 2;
/// The most sightings of models that are kept, the earliest: the first and the last of each row of the same name.
const MOST_SIGHTINGS: usize = 45_000;
/// The longest name of a model that is kept.
const LONGEST: usize = 200;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;

/// What is counted of a window's time.
#[derive(Debug)]
pub(super) struct Uptime {
    span: Span,
    /// By the second: asked, and of these well.
    seconds: BTreeMap<i64, (u32, u32)>,
    /// The minutes in which a request was spoilt by ourselves.
    ours: BTreeSet<i64>,
    /// The models named, by moment; of those that follow each other with the same name, the first and the last.
    models: BTreeSet<(SimTime, String)>,
    /// How often a model was named.
    sightings: u64,
}

/// A minute of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Minute {
    Up,
    Down,
    Ours,
    NobodyAsked,
}

impl Uptime {
    pub(super) fn new(span: Span) -> Self {
        Self {
            span,
            seconds: BTreeMap::new(),
            ours: BTreeSet::new(),
            models: BTreeSet::new(),
            sightings: 0,
        }
    }

    pub(super) fn ours(&mut self, at: SimTime) {
        self.ours.insert(at.0.div_euclid(MINUTE));
    }

    pub(super) fn push(&mut self, asked: &Asked) {
        let (all, well) = self.seconds.entry(asked.at.seconds()).or_default();
        *all += 1;
        *well += u32::from(matches!(asked.came, Came::Success(_)));
    }

    pub(super) fn model(&mut self, at: SimTime, name: &str) {
        let name: String = name.chars().take(LONGEST).collect();
        self.sightings += 1;
        let sighting = (at, name);
        let mut before = self.models.range(..&sighting).rev();
        let mut after = self.models.range(&sighting..);
        let (last, last_but_one) = (before.next().cloned(), before.next().cloned());
        let (next, next_but_one) = (after.next().cloned(), after.next().cloned());
        let is_same =
            |other: &Option<(SimTime, String)>| other.as_ref().is_some_and(|(_, name)| *name == sighting.1);
        if is_same(&last) && is_same(&next) {
            return;
        }
        // What was an end of its row lies within it now.
        for (end, beyond) in [(&last, &last_but_one), (&next, &next_but_one)] {
            if let Some(end) = end
                && is_same(&Some(end.clone()))
                && is_same(beyond)
            {
                self.models.remove(end);
            }
        }
        self.models.insert(sighting);
        if self.models.len() > MOST_SIGHTINGS {
            self.models.pop_last();
        }
    }

    /// Returns what each minute of the window was.
    fn minutes(&self, outages: &[Span]) -> Vec<Minute> {
        let mut counted: BTreeMap<i64, (u32, u32)> = BTreeMap::new();
        for (second, (asked, well)) in &self.seconds {
            let (all, good) = counted.entry(second.div_euclid(60)).or_default();
            *all += asked;
            *good += well;
        }
        let first = self.span.from.0.div_euclid(MINUTE);
        let end = (self.span.until.0 + MINUTE - 1).div_euclid(MINUTE);
        (first..end)
            .map(|minute| match counted.get(&minute) {
                Some((asked, well)) if f64::from(*well) >= UP * f64::from(*asked) => Minute::Up,
                Some(_) => Minute::Down,
                None => {
                    let span = Span {
                        from: SimTime(minute * MINUTE),
                        until: SimTime((minute + 1) * MINUTE),
                    };
                    let down = outages.iter().any(|outage| outage.touches(span));
                    if down || self.ours.contains(&minute) {
                        Minute::Ours
                    } else {
                        Minute::NobodyAsked
                    }
                }
            })
            .collect()
    }

    pub(super) fn share(&self, outages: &[Span]) -> Finding {
        let minutes = self.minutes(outages);
        let count = |kind: Minute| minutes.iter().filter(|minute| **minute == kind).count() as u64;
        let (up, down, ours) = (count(Minute::Up), count(Minute::Down), count(Minute::Ours));
        let asked = up + down;
        let all = minutes.len() as u64;
        if (asked as f64) < LEAST_ASKED * (all - ours) as f64 || asked == 0 {
            return not_measured(&format!(
                "only {asked} of the window's {all} minutes have a request"
            ));
        }
        let mut found = measured(
            up as f64 / asked as f64,
            asked,
            format!("{up} of {asked} minutes; {down} minutes of downtime"),
        );
        found.excluded = [
            excluded("our_own_downtime", ours),
            excluded("nobody_asked", count(Minute::NobodyAsked)),
        ]
        .into_iter()
        .flatten()
        .collect();
        found.evidence = self.longest(&minutes);
        Finding::Measured(found)
    }

    /// The longest downtimes. Minutes that say nothing neither end one nor add to it.
    fn longest(&self, minutes: &[Minute]) -> Vec<String> {
        let first = self.span.from.0.div_euclid(MINUTE);
        let mut spells: Vec<(u64, i64)> = Vec::new();
        let mut spell: Option<(u64, i64)> = None;
        for (place, minute) in minutes.iter().enumerate() {
            match minute {
                Minute::Down => {
                    let (length, _) = spell.get_or_insert((0, first + place as i64));
                    *length += 1;
                }
                Minute::Up => spells.extend(spell.take()),
                Minute::Ours | Minute::NobodyAsked => {}
            }
        }
        spells.extend(spell);
        spells.sort_by_key(|(length, from)| (std::cmp::Reverse(*length), *from));
        spells
            .iter()
            .take(LINES)
            .map(|(length, from)| format!("down for {length} min from {}", SimTime(from * MINUTE)))
            .collect()
    }

    /// The changes of the model: the last sighting of the one before, the first of one that was not there before. Two replicas that name
    /// their models in turn are one change, and a return to an old model is none.
    fn changes(&self) -> Vec<(SimTime, SimTime, &str)> {
        let mut known: BTreeSet<&str> = BTreeSet::new();
        let mut changes = Vec::new();
        let mut last: Option<SimTime> = None;
        for (at, name) in &self.models {
            if known.insert(name)
                && let Some(last) = last
            {
                changes.push((last, *at, name.as_str()));
            }
            last = Some(*at);
        }
        changes
    }

    pub(super) fn updates(&self) -> Finding {
        if self.models.is_empty() {
            return not_measured("nobody has seen which model the service names in this window");
        }
        let changes = self.changes();
        let n = changes.len();
        let mut found = measured(
            n as f64,
            self.sightings,
            format!("{n} new models in the window, seen at {} moments", self.sightings),
        );
        let lines = changes.iter().take(LINES);
        found
            .evidence
            .extend(lines.map(|(_, at, name)| format!("`{name}` at {at}")));
        Finding::Measured(found)
    }

    pub(super) fn failed_while_updating(&self) -> Finding {
        let changes = self.changes();
        if changes.is_empty() {
            return not_measured("no change of the model was seen in this window");
        }
        let (mut asked, mut well) = (0_u64, 0_u64);
        let mut counted: BTreeSet<i64> = BTreeSet::new();
        for (from, to, _) in &changes {
            for (second, (all, good)) in self.seconds.range(from.seconds()..=to.seconds() + AFTERMATH_S) {
                if counted.insert(*second) {
                    asked += u64::from(*all);
                    well += u64::from(*good);
                }
            }
        }
        if asked == 0 {
            return not_measured("nobody asked while the models changed");
        }
        let failed = asked - well;
        let found = measured(
            failed as f64 / asked as f64,
            asked,
            format!(
                "{failed} of {asked} requests between the last sighting of a model and {AFTERMATH_S} s after the first of the next"
            ),
        );
        Finding::Measured(found)
    }
}
