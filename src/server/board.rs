//! What the server knows of itself and of every team at a moment: figures for the page and for Prometheus (pure).

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use super::relay::RelayView;
use crate::event::{Event, Record};
use crate::exchange::{Outcome, printable};

/// The response times that the percentiles of a team are made of: those of the last minutes.
const RECENT: usize = 1_000;
/// The minutes of a team's history on its page.
const MINUTES: usize = 60;
/// The bounds of the histogram of response times, in milliseconds.
const BOUNDS_MS: [u32; 9] = [25, 50, 100, 200, 400, 600, 800, 1_600, 3_200];
/// The letters of a model's name that are kept.
const MOST_MODEL: usize = 80;
/// The kinds of failure that are told apart.
const MOST_KINDS: usize = 40;

/// One minute of a team.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Minute {
    /// Since 1970.
    pub(super) number: i64,
    pub(super) asked: u64,
    pub(super) ok: u64,
}

/// A team as the page shows it. Counts are since the server was started.
#[derive(Debug, Clone, Default)]
pub(super) struct TeamView {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) server: String,
    pub(super) asked: u64,
    pub(super) ok: u64,
    /// Requests that were not sent or not judged by our own fault.
    pub(super) ours: u64,
    pub(super) lines: u64,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) minutes: VecDeque<Minute>,
    recent_ms: VecDeque<u32>,
    histogram: [u64; BOUNDS_MS.len()],
    sum_ms: u64,
    pub(super) looked: u64,
    pub(super) took: u64,
    pub(super) watching: usize,
    /// The viewers whose state is in memory.
    pub(super) awake: usize,
    pub(super) pending: usize,
    /// The next second that is played.
    pub(super) second: i64,
    pub(super) model: Option<String>,
    pub(super) models: u64,
    /// Why the stream takes nothing at the moment.
    pub(super) fault: Option<String>,
    pub(super) token: String,
}

impl TeamView {
    pub(super) fn new(number: u32, name: &str, server: &str) -> Self {
        Self {
            number,
            name: name.to_owned(),
            server: server.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn looked(&mut self, took: bool) {
        self.looked += 1;
        self.took += u64::from(took);
    }

    pub(super) fn saw_model(&mut self, model: &str) {
        if self.model.as_deref() != Some(model) {
            self.models += 1;
            self.model = Some(model.to_owned());
        }
    }

    pub(super) fn answered(&mut self, record: &Record, outcome: &Outcome, deadline_ms: u64) {
        let Event::Recommend { millis, .. } = record.event else {
            return;
        };
        let is_ok = matches!(outcome, Outcome::Answered { .. }) && u64::from(millis) <= deadline_ms;
        self.asked += 1;
        self.ok += u64::from(is_ok);
        if !is_ok && (self.failures.len() < MOST_KINDS || self.failures.contains_key(&outcome.label())) {
            *self.failures.entry(outcome.label()).or_default() += 1;
        }
        let minute = record.time.seconds().div_euclid(60);
        if self.minutes.back().is_none_or(|last| last.number != minute) {
            self.minutes.push_back(Minute {
                number: minute,
                ..Minute::default()
            });
        }
        if let Some(last) = self.minutes.back_mut() {
            last.asked += 1;
            last.ok += u64::from(is_ok);
        }
        while self.minutes.len() > MINUTES {
            self.minutes.pop_front();
        }
        self.recent_ms.push_back(millis);
        while self.recent_ms.len() > RECENT {
            self.recent_ms.pop_front();
        }
        self.sum_ms += u64::from(millis);
        for (count, bound) in self.histogram.iter_mut().zip(BOUNDS_MS) {
            *count += u64::from(millis <= bound);
        }
    }

    /// Returns the share of successful answers in the minutes that are kept; none before the first request.
    pub(super) fn availability(&self) -> Option<f64> {
        let asked: u64 = self.minutes.iter().map(|minute| minute.asked).sum();
        let ok: u64 = self.minutes.iter().map(|minute| minute.ok).sum();
        (asked > 0).then(|| ok as f64 / asked as f64)
    }

    /// Returns a percentile of the recent response times, in milliseconds.
    pub(super) fn percentile_ms(&self, share: f64) -> Option<u32> {
        let mut sorted: Vec<u32> = self.recent_ms.iter().copied().collect();
        sorted.sort_unstable();
        let place = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(place.saturating_sub(1)).copied()
    }

    /// Returns the share of the lists that viewers looked at from which they took a movie.
    pub(super) fn quality(&self) -> Option<f64> {
        (self.looked > 0).then(|| self.took as f64 / self.looked as f64)
    }
}

/// Returns the name of a model from the page on which a service names it: the field `model` or `version` of a JSON object, or
/// its first line. A page that is a record or a document and has no such field names no model: it may be another at each look.
pub(super) fn model_of(page: &str) -> Option<String> {
    let named = serde_json::from_str::<serde_json::Value>(page)
        .ok()
        .and_then(|value| {
            let field = value.get("model").or_else(|| value.get("version"))?;
            Some(field.as_str().map_or_else(|| field.to_string(), str::to_owned))
        });
    if named.is_none() && page.trim_start().starts_with(['{', '[', '<']) {
        return None;
    }
    let first = named.unwrap_or_else(|| page.lines().next().unwrap_or_default().trim().to_owned());
    let shown = printable(first.as_bytes(), MOST_MODEL);
    (!shown.is_empty()).then_some(shown)
}

/// The server at a moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Board {
    pub(super) course: String,
    /// The log's time.
    pub(super) now: String,
    pub(super) now_second: i64,
    pub(super) speed: f64,
    /// Monotonic nanoseconds at which the loop was last seen.
    pub(super) seen_ns: u64,
    pub(super) teams: Vec<TeamView>,
    /// The topics that are carried on to Kafka.
    pub(super) relays: Vec<RelayView>,
    /// What runs of the calendar.
    pub(super) running: Vec<String>,
    /// What is wrong with the server itself.
    pub(super) faults: Vec<String>,
    pub(super) store_saves: u64,
    pub(super) store_failures: u64,
    /// How far the clock on the wall has been set away from where it would be, in seconds.
    pub(super) clock_step_s: f64,
    pub(super) lateness_s: f64,
    pub(super) outages: u64,
}

/// The loop that was not seen for this long has stopped.
const STILL_NS: u64 = 30_000_000_000;

impl Board {
    /// Returns what is wrong, all of it; nothing when the server is well.
    pub(super) fn problems(&self, now_ns: u64) -> Vec<String> {
        let mut problems = self.faults.clone();
        if now_ns.saturating_sub(self.seen_ns) > STILL_NS {
            problems.push("the server's loop stands still".to_owned());
        }
        for team in &self.teams {
            if let Some(fault) = &team.fault {
                problems.push(format!("stream of `{}`: {fault}", team.name));
            }
        }
        for relay in &self.relays {
            if let Some(fault) = &relay.fault {
                let (topic, behind) = (&relay.topic, relay.behind);
                problems.push(format!(
                    "`{topic}` is not carried on, {behind} lines wait: {fault}"
                ));
            }
        }
        problems
    }

    /// Writes the figures in Prometheus' text format.
    pub(super) fn expose(&self, now_ns: u64) -> String {
        let mut out = String::new();
        let mut family = |name: &str, kind: &str, help: &str, values: &[(String, f64)]| {
            // Memory does not refuse to be written to.
            let _written = writeln!(
                out,
                "# HELP reelworld_{name} {help}\n# TYPE reelworld_{name} {kind}"
            );
            for (labels, value) in values {
                let _written = writeln!(out, "reelworld_{name}{labels} {value}");
            }
        };
        let one = |value: f64| vec![(String::new(), value)];
        let each = |value: &dyn Fn(&TeamView) -> Option<f64>| -> Vec<(String, f64)> {
            self.teams
                .iter()
                .filter_map(|team| Some((format!("{{team=\"{}\"}}", team.name), value(team)?)))
                .collect()
        };
        let healthy = f64::from(u8::from(self.problems(now_ns).is_empty()));
        family(
            "up",
            "gauge",
            "Whether nothing is wrong with the server.",
            &one(healthy),
        );
        family(
            "company_seconds",
            "gauge",
            "The log's time, in seconds since 1970.",
            &one(self.now_second as f64),
        );
        family("speed", "gauge", "Company seconds a second.", &one(self.speed));
        family(
            "lateness_seconds",
            "gauge",
            "How far the slowest team is behind.",
            &one(self.lateness_s),
        );
        family(
            "clock_step_seconds",
            "gauge",
            "How far the wall clock was set away.",
            &one(self.clock_step_s),
        );
        family(
            "faults",
            "gauge",
            "Things that are wrong with the server itself.",
            &one(self.faults.len() as f64),
        );
        family(
            "outages_total",
            "counter",
            "Times at which the company itself was down.",
            &one(self.outages as f64),
        );
        family(
            "store_saves_total",
            "counter",
            "Things that were saved.",
            &one(self.store_saves as f64),
        );
        family(
            "store_failures_total",
            "counter",
            "Tries to save that failed.",
            &one(self.store_failures as f64),
        );
        family(
            "requests_total",
            "counter",
            "Requests for recommendations that were answered or failed.",
            &each(&|team| Some(team.asked as f64)),
        );
        family(
            "requests_ok_total",
            "counter",
            "Requests that were answered well and in time.",
            &each(&|team| Some(team.ok as f64)),
        );
        family(
            "requests_ours_total",
            "counter",
            "Requests that count for nobody, by our own fault.",
            &each(&|team| Some(team.ours as f64)),
        );
        family(
            "availability",
            "gauge",
            "Share of good answers in the last minutes.",
            &each(&TeamView::availability),
        );
        family(
            "quality",
            "gauge",
            "Share of lists that were looked at from which a movie was taken.",
            &each(&TeamView::quality),
        );
        family(
            "lines_total",
            "counter",
            "Lines of the stream.",
            &each(&|team| Some(team.lines as f64)),
        );
        family(
            "pending_lines",
            "gauge",
            "Lines that the stream has not taken yet.",
            &each(&|team| Some(team.pending as f64)),
        );
        family(
            "stream_fault",
            "gauge",
            "Whether the stream takes nothing.",
            &each(&|team| Some(f64::from(u8::from(team.fault.is_some())))),
        );
        family(
            "watching",
            "gauge",
            "Viewers before a movie.",
            &each(&|team| Some(team.watching as f64)),
        );
        family(
            "awake_viewers",
            "gauge",
            "Viewers whose state is in memory; those of all others are in the store.",
            &each(&|team| Some(team.awake as f64)),
        );
        family(
            "models_total",
            "counter",
            "Models that the service was seen to have.",
            &each(&|team| Some(team.models as f64)),
        );
        let relays = |value: &dyn Fn(&RelayView) -> f64| -> Vec<(String, f64)> {
            self.relays
                .iter()
                .map(|relay| (format!("{{topic=\"{}\"}}", relay.topic), value(relay)))
                .collect()
        };
        family(
            "kafka_behind_lines",
            "gauge",
            "Lines of the archive that Kafka has not taken yet.",
            &relays(&|relay| relay.behind as f64),
        );
        family(
            "kafka_lost_lines",
            "counter",
            "Lines that the archive has lost and Kafka did not get.",
            &relays(&|relay| relay.lost as f64),
        );
        family(
            "kafka_fault",
            "gauge",
            "Whether Kafka takes nothing of the topic.",
            &relays(&|relay| f64::from(u8::from(relay.fault.is_some()))),
        );
        let buckets: Vec<(String, f64)> = self.teams.iter().flat_map(buckets).collect();
        let name = "response_seconds";
        let _written = writeln!(
            out,
            "# HELP reelworld_{name} Response times of the teams' services.\n# TYPE reelworld_{name} histogram"
        );
        for (labels, value) in buckets {
            let _written = writeln!(out, "reelworld_{name}{labels} {value}");
        }
        out
    }
}

fn buckets(team: &TeamView) -> Vec<(String, f64)> {
    let name = &team.name;
    let mut all: Vec<(String, f64)> = BOUNDS_MS
        .iter()
        .zip(team.histogram)
        .map(|(bound, count)| {
            let le = f64::from(*bound) / 1e3;
            (format!("_bucket{{team=\"{name}\",le=\"{le}\"}}"), count as f64)
        })
        .collect();
    all.push((
        format!("_bucket{{team=\"{name}\",le=\"+Inf\"}}"),
        team.asked as f64,
    ));
    all.push((format!("_sum{{team=\"{name}\"}}"), team.sum_ms as f64 / 1e3));
    all.push((format!("_count{{team=\"{name}\"}}"), team.asked as f64));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::SimTime;
    use crate::telemetry::parse_exposition;

    fn record(second: i64, millis: u32) -> Record {
        Record {
            time: SimTime::from_seconds(second),
            user: 1,
            event: Event::Recommend {
                server: String::new(),
                status: 200,
                result: String::new(),
                millis,
            },
        }
    }

    #[test]
    fn a_team_is_shown_by_its_last_minutes() {
        let mut view = TeamView::new(1, "owls", "a:1");
        assert_eq!((view.availability(), view.percentile_ms(0.5)), (None, None));
        let good = Outcome::Answered { ids: Vec::new() };
        for place in 0..10 {
            let outcome = if place < 3 {
                Outcome::TimedOut
            } else {
                good.clone()
            };
            view.answered(&record(place * 30, 10 * place as u32), &outcome, 800);
        }
        assert_eq!(view.availability(), Some(0.7));
        assert_eq!(
            (view.percentile_ms(0.5), view.percentile_ms(1.0)),
            (Some(40), Some(90))
        );
        assert_eq!(view.failures["no answer in time"], 3);
    }

    #[test]
    fn a_model_is_named_in_json_or_in_a_line() {
        assert_eq!(model_of("{\"model\": \"v3\"}").as_deref(), Some("v3"));
        assert_eq!(model_of("{\"version\": 7}").as_deref(), Some("7"));
        assert_eq!(
            model_of(" 2026-09-01 als \nmore").as_deref(),
            Some("2026-09-01 als")
        );
        assert_eq!(model_of(""), None);
        for page in [
            "{\"status\": \"healthy\", \"uptime_s\": 17}",
            "<html>at 20:01:07</html>",
            "[1, 2]",
        ] {
            assert_eq!(model_of(page), None);
        }
    }

    #[test]
    fn the_figures_are_what_prometheus_reads() {
        let mut view = TeamView::new(1, "owls", "a:1");
        view.answered(&record(1, 70), &Outcome::TimedOut, 800);
        view.fault = Some("disk full".to_owned());
        let board = Board {
            teams: vec![view],
            ..Board::default()
        };
        let page = board.expose(0);
        assert!(parse_exposition(&page).is_ok(), "{page}");
        assert!(page.contains("reelworld_up 0\n"), "{page}");
        assert!(
            page.contains("reelworld_response_seconds_bucket{team=\"owls\",le=\"0.1\"} 1\n"),
            "{page}"
        );
        assert_eq!(board.problems(0), ["stream of `owls`: disk full"]);
    }
}
