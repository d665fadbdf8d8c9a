//! When and how long: what a log of a streaming company tells beside choices and stars.

use super::{Moment, mean};
use crate::metrics::stats;
use crate::yardstick::dataset::Dataset;

pub(super) fn moments(data: &Dataset) -> Vec<Moment> {
    let moment = |name: &str, value: Option<f64>, about: &'static str| Moment {
        part: "watching",
        name: name.to_owned(),
        value,
        about,
    };
    let watched: Vec<(f64, f64)> = data
        .meetings
        .iter()
        .filter_map(|meeting| {
            let runtime = data.movies[meeting.movie as usize].runtime_min?;
            Some((f64::from(meeting.minutes?), f64::from(runtime)))
        })
        .collect();
    let share = |test: &dyn Fn(&(f64, f64)) -> bool| {
        (!watched.is_empty())
            .then(|| watched.iter().filter(|one| test(one)).count() as f64 / watched.len() as f64)
    };
    let rated = data
        .meetings
        .iter()
        .filter(|meeting| meeting.stars.is_some())
        .count();
    let mut all = vec![
        moment(
            "rated_share",
            (!data.meetings.is_empty()).then(|| rated as f64 / data.meetings.len() as f64),
            "share of what is met that is rated",
        ),
        moment(
            "completed",
            share(&|(minutes, runtime)| minutes >= runtime),
            "share watched to the end",
        ),
    ];
    for minute in [2.0, 5.0, 10.0, 30.0] {
        all.push(moment(
            &format!("left_by_{minute:.0}"),
            share(&|(minutes, runtime)| minutes < runtime && *minutes <= minute),
            "share left by this minute",
        ));
    }
    all.push(moment(
        "burstiness",
        burstiness(data),
        "median burstiness of users: 0 by chance, 1 in bursts",
    ));
    let evening = data
        .meetings
        .iter()
        .filter(|meeting| (18..24).contains(&meeting.at.div_euclid(3600).rem_euclid(24)))
        .count();
    all.push(moment(
        "evening_share",
        (!data.meetings.is_empty()).then(|| evening as f64 / data.meetings.len() as f64),
        "share from 18 to 24 o'clock",
    ));
    all
}

/// The median over users with ten meetings or more of `(σ - μ) / (σ + μ)` of the gaps (Goh and Barabási 2008).
fn burstiness(data: &Dataset) -> Option<f64> {
    let mut values: Vec<f64> = data
        .by_user()
        .iter()
        .filter(|meetings| meetings.len() >= 10)
        .filter_map(|meetings| {
            let gaps: Vec<f64> = meetings
                .windows(2)
                .map(|pair| (pair[1].at - pair[0].at) as f64)
                .collect();
            let (centre, spread) = (mean(&gaps)?, super::deviation(&gaps)?);
            (centre + spread > 0.0).then(|| (spread - centre) / (spread + centre))
        })
        .collect();
    values.sort_by(f64::total_cmp);
    stats::quantile(&values, 0.5)
}
