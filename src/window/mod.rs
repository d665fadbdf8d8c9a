//! What a span of recorded requests says of a deployed service: answers, personal lists, downtime, updates (pure).
//!
//! A rubric names windows around a submission. [`Watch`] is told every request of them in any order, from lines of the company's
//! stream or from exchanges of our own, and every model that the service named; it returns findings like those of a run.

mod answers;
mod uptime;

use std::collections::{BTreeMap, BTreeSet};

use answers::Answers;
use uptime::Uptime;

use crate::event::{Event, Record, SimTime};
use crate::exchange::{Catalogue, Exchange, Outcome, parse_answer};
use crate::rubric::{Rubric, Rule, score};
use crate::scorecard::{Excluded, Finding, Findings, Measurement, RunKind};

/// The most lines of evidence with one measure.
const LINES: usize = 6;

/// A span of company time: from the first moment, to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first moment.
    pub from: SimTime,
    /// The first moment after it.
    pub until: SimTime,
}

impl Span {
    /// Tells whether a moment lies in it.
    pub fn holds(self, at: SimTime) -> bool {
        self.from <= at && at < self.until
    }

    fn touches(self, other: Self) -> bool {
        self.from < other.until && other.from < self.until
    }
}

/// One request to a service and what came of it, reduced to what windows count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// When it was due.
    pub at: SimTime,
    /// Who asked.
    pub user: u32,
    /// What came of it.
    pub came: Came,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// A valid list before the deadline.
    Success(Vec<String>),
    /// Anything else that is the service's own: a short name of it, the same for the same kind.
    Failure(String),
    /// Our own fault; counts for nobody.
    Ours,
}

impl Asked {
    /// Reads a line of the company's stream; none where it is about something else.
    pub fn from_record(record: &Record, catalogue: &dyn Catalogue, deadline_ms: u64) -> Option<Self> {
        let Event::Recommend {
            status,
            result,
            millis,
            ..
        } = &record.event
        else {
            return None;
        };
        let came = match status {
            200 => match parse_answer(result.as_bytes(), catalogue) {
                Ok(_) if u64::from(*millis) > deadline_ms => Came::Failure("late".to_owned()),
                Ok(ids) => Came::Success(ids),
                Err(reason) => Came::Failure(reason.label().to_owned()),
            },
            0 => Came::Failure("no answer".to_owned()),
            code => Came::Failure(format!("status {code}")),
        };
        Some(Self {
            at: record.time,
            user: record.user,
            came,
        })
    }

    /// Reads an exchange of a run that began at a moment; none where it is an odd request, which no viewer sends.
    pub fn from_exchange(exchange: &Exchange, origin: SimTime, deadline_ns: u64) -> Option<Self> {
        let user = exchange.planned.user?;
        let came = match &exchange.outcome {
            Outcome::Ours { .. } => Came::Ours,
            Outcome::Answered { ids } if exchange.is_success(deadline_ns) => Came::Success(ids.clone()),
            Outcome::Answered { .. } => Came::Failure("late".to_owned()),
            other => Came::Failure(other.label()),
        };
        let micros = i64::try_from(exchange.planned.intended_ns / 1000).unwrap_or(i64::MAX);
        Some(Self {
            at: SimTime(origin.0.saturating_add(micros)),
            user,
            came,
        })
    }
}

/// One side of a window, or the whole of it.
#[derive(Debug)]
struct Side {
    span: Span,
    answers: Answers,
    uptime: Uptime,
}

/// A window of the rubric and what its criteria ask for.
#[derive(Debug)]
struct Open {
    name: String,
    measures: BTreeSet<String>,
    sides: Vec<Side>,
}

/// The windows of a rubric around one submission, and what has been seen in them.
///
/// What it is told may come in any order and changes nothing but what it says; what lies outside all windows is passed over.
#[derive(Debug)]
pub struct Watch<'a> {
    rubric: &'a Rubric,
    outages: Vec<Span>,
    open: Vec<Open>,
}

impl<'a> Watch<'a> {
    /// Opens the windows of a rubric around a submission; `outages` are the spans in which the company itself was down.
    pub fn new(rubric: &'a Rubric, submitted: SimTime, outages: Vec<Span>) -> Self {
        let hours = |hours: f64| SimTime(submitted.0 + (hours * 3_600e6).round() as i64);
        let open = rubric
            .windows
            .iter()
            .map(|window| {
                let before = (hours(-window.before_h), submitted);
                let after = (submitted, hours(window.after_h));
                let spans = if window.better_side {
                    vec![before, after]
                } else {
                    vec![(before.0, after.1)]
                };
                let sides = spans
                    .into_iter()
                    .filter(|(from, until)| from < until)
                    .map(|(from, until)| {
                        let span = Span { from, until };
                        Side {
                            span,
                            answers: Answers::default(),
                            uptime: Uptime::new(span),
                        }
                    })
                    .collect();
                Open {
                    name: window.name.clone(),
                    measures: measures_in(rubric, &window.name),
                    sides,
                }
            })
            .filter(|open: &Open| !open.measures.is_empty())
            .collect();
        Self {
            rubric,
            outages,
            open,
        }
    }

    /// Returns the span that holds all windows, so that a caller need not read more; none if the rubric has no window.
    pub fn span(&self) -> Option<Span> {
        let spans = || {
            self.open
                .iter()
                .flat_map(|open| open.sides.iter().map(|side| side.span))
        };
        let from = spans().map(|span| span.from).min()?;
        let until = spans().map(|span| span.until).max()?;
        Some(Span { from, until })
    }

    /// Counts one request.
    pub fn asked(&mut self, asked: &Asked) {
        let down = self.outages.iter().any(|outage| outage.holds(asked.at));
        let ours = down || asked.came == Came::Ours;
        for side in self.open.iter_mut().flat_map(|open| &mut open.sides) {
            if !side.span.holds(asked.at) {
                continue;
            }
            if ours {
                side.answers.ours();
                side.uptime.ours(asked.at);
            } else {
                side.answers.push(asked);
                side.uptime.push(asked);
            }
        }
    }

    /// Notes the model that the service named at a moment.
    pub fn model(&mut self, at: SimTime, name: &str) {
        for side in self.open.iter_mut().flat_map(|open| &mut open.sides) {
            if side.span.holds(at) {
                side.uptime.model(at, name);
            }
        }
    }

    /// Returns what was found for every measure that a criterion asks of a window.
    ///
    /// Where the better side counts, it is one side for all criteria of the window: the one on which they earn more points, then
    /// the one with more successful answers, then the one with more requests: a side on which nobody asked says nothing of a service that
    /// failed on the other.
    pub fn findings(&self) -> Findings {
        let mut findings = Findings::new();
        for open in &self.open {
            let sides = open.sides.iter().map(|side| {
                let found = self.of_side(side, &open.measures);
                let points = earned(self.rubric, &open.name, &found);
                (points, [side.answers.successes(), side.answers.asked()], found)
            });
            // Of equal sides the first, which is the one before the submission.
            let best = sides.reduce(|best, side| {
                if side.0 > best.0 || (side.0 >= best.0 && side.1 > best.1) {
                    side
                } else {
                    best
                }
            });
            findings.extend(best.map(|(_, _, found)| found).unwrap_or_default());
        }
        findings
    }

    fn of_side(&self, side: &Side, measures: &BTreeSet<String>) -> Findings {
        let outages: Vec<Span> = self.outages.clone();
        measures
            .iter()
            .map(|measure| {
                let finding = match measure.as_str() {
                    "answers.count" => side.answers.count(),
                    "personalised.share" => side.answers.personal(),
                    "availability.share" => side.uptime.share(&outages),
                    "update.count" => side.uptime.updates(),
                    "update.failed_share" => side.uptime.failed_while_updating(),
                    _ => not_measured("no record of requests tells of this"),
                };
                (measure.clone(), finding)
            })
            .collect()
    }
}

/// The measures that the criteria of a window name.
fn measures_in(rubric: &Rubric, window: &str) -> BTreeSet<String> {
    let criteria = rubric
        .criteria
        .iter()
        .filter(|criterion| criterion.window.as_deref() == Some(window));
    criteria
        .filter_map(|criterion| match &criterion.rule {
            Rule::Measured { test, .. } => Some(test.measure.clone()),
            Rule::Judged { .. } => None,
        })
        .collect()
}

/// The points that the criteria of a window earn by themselves, whatever else they need.
fn earned(rubric: &Rubric, window: &str, findings: &Findings) -> f64 {
    let mut alone = rubric.clone();
    alone
        .criteria
        .retain(|criterion| criterion.window.as_deref() == Some(window));
    for criterion in &mut alone.criteria {
        criterion.needs.clear();
    }
    score(&alone, findings, RunKind::Grade).score
}

fn not_measured(why: &str) -> Finding {
    Finding::NotMeasured {
        why: why.to_owned(),
        hint: None,
    }
}

fn measured(value: f64, n: u64, why: String) -> Measurement {
    Measurement {
        value,
        interval: None,
        n,
        excluded: Vec::new(),
        why,
        hint: None,
        evidence: Vec::new(),
    }
}

fn excluded(reason: &str, count: u64) -> Option<Excluded> {
    (count > 0).then(|| Excluded {
        reason: reason.to_owned(),
        count,
    })
}

/// Failures by their kind, the most frequent first, as lines of evidence.
fn by_kind(kinds: &BTreeMap<String, u64>) -> Vec<String> {
    let mut kinds: Vec<(&String, &u64)> = kinds.iter().collect();
    kinds.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    kinds.truncate(LINES);
    kinds
        .into_iter()
        .map(|(kind, count)| format!("{count} × {kind}"))
        .collect()
}

#[cfg(test)]
mod tests;
