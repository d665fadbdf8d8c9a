//! When users come: gaps, bursts, sessions and hours.

use super::{Figures, View, collect, deviation, mean, median, sorted};
use crate::metrics::stats::quantile::interpolated;

const HEADING: &str = "time";
/// The quantiles of gaps that are told.
const QUANTILES: [f64; 5] = [0.5, 0.75, 0.9, 0.95, 0.99];
/// A gap longer than this, in seconds, begins a new session.
const SESSION_GAP_S: f64 = 3600.0;
const DAY_S: f64 = 86_400.0;

pub(super) fn measure(view: &View, figures: &mut Figures) {
    let users: Vec<Vec<f64>> = view
        .users
        .iter()
        .filter(|meetings| !meetings.is_empty())
        .map(|meetings| {
            meetings
                .windows(2)
                .map(|pair| (pair[1].at - pair[0].at) as f64)
                .collect()
        })
        .collect();
    let gaps = sorted(users.concat());
    let n = gaps.len() as f64;
    for p in QUANTILES {
        figures.put(HEADING, format!("gap quantile {p}, s"), interpolated(&gaps, p));
    }
    let share = |holds: &dyn Fn(f64) -> bool| gaps.iter().filter(|gap| holds(**gap)).count() as f64 / n;
    figures.put(HEADING, "gaps of 0 s", share(&|gap| gap == 0.0));
    figures.put(HEADING, "gaps to 60 s", share(&|gap| gap <= 60.0));
    figures.put(HEADING, "gaps over a day", share(&|gap| gap > DAY_S));
    figures.put(HEADING, "burstiness of all gaps", burstiness(&gaps));
    let own = collect(users.iter().filter_map(|gaps| burstiness(gaps)));
    figures.put(HEADING, "burstiness of a user, median", median(&own));
    let sessions = collect(
        users
            .iter()
            .map(|gaps| 1.0 + gaps.iter().filter(|gap| **gap > SESSION_GAP_S).count() as f64),
    );
    figures.put(HEADING, "sessions a user", mean(&sessions));
    figures.put(HEADING, "sessions a user, median", median(&sessions));
    figures.put(
        HEADING,
        "meetings a session",
        view.data.meetings.len() as f64 / sessions.iter().sum::<f64>(),
    );
    let mut hours = [0.0; 24];
    for meeting in &view.data.meetings {
        hours[meeting.at.div_euclid(3600).rem_euclid(24) as usize] += 1.0;
    }
    for (hour, count) in hours.iter().enumerate() {
        figures.put(
            HEADING,
            format!("hour {hour:02}"),
            count / view.data.meetings.len() as f64,
        );
    }
}

/// Returns the burstiness of Goh and Barabasi (2008): (sd - mean) / (sd + mean) of gaps.
fn burstiness(gaps: &[f64]) -> Option<f64> {
    let (mean, deviation) = (mean(gaps)?, deviation(gaps)?);
    (gaps.len() > 1 && mean + deviation > 0.0).then(|| (deviation - mean) / (deviation + mean))
}
