//! How much each user meets, and whether busy users meet other movies.

use super::{Figures, View, collect, deviation, gini, mean, sorted, spearman, stars};
use crate::metrics::stats::quantile::interpolated;

const HEADING: &str = "activity";
/// The quantiles that are told.
const QUANTILES: [f64; 7] = [0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];

pub(super) fn measure(view: &View, figures: &mut Figures) {
    let users: Vec<_> = view
        .users
        .iter()
        .filter(|meetings| !meetings.is_empty())
        .collect();
    let counts = sorted(collect(users.iter().map(|meetings| meetings.len() as f64)));
    figures.put(HEADING, "activity mean", mean(&counts));
    for p in QUANTILES {
        figures.put(
            HEADING,
            format!("activity quantile {p}"),
            interpolated(&counts, p),
        );
    }
    figures.put(HEADING, "activity max", counts.last().copied());
    figures.put(HEADING, "activity gini", gini(&counts));
    let top = counts.len() / 10;
    let all: f64 = counts.iter().sum();
    figures.put(
        HEADING,
        "share of the top 10 % of users",
        counts.iter().rev().take(top).sum::<f64>() / all,
    );
    let counts = collect(users.iter().map(|meetings| meetings.len() as f64));
    let popularities = collect(
        users
            .iter()
            .filter_map(|meetings| view.mean_log_popularity(meetings)),
    );
    figures.put(HEADING, "mlp_sd", deviation(&popularities));
    figures.put(HEADING, "sp_act_mlp", spearman(&counts, &popularities));
    let (raters, means): (Vec<f64>, Vec<f64>) = users
        .iter()
        .filter_map(|meetings| {
            let given = collect(meetings.iter().filter_map(stars));
            Some((given.len() as f64, mean(&given)?))
        })
        .unzip();
    figures.put(HEADING, "spact", spearman(&raters, &means));
}
