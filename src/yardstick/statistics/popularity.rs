//! How meetings are spread over movies, and whether the popular ones are rated higher.

use super::{Figures, View, collect, gini, mean, pearson, sorted, spearman};

const HEADING: &str = "popularity";
const RATED: &str = "popularity and stars";
/// The shares of the catalogue whose part of all meetings is told.
const TOPS: [(&str, f64); 5] = [
    ("top1", 0.01),
    ("top5", 0.05),
    ("top10", 0.1),
    ("top20", 0.2),
    ("top50", 0.5),
];
/// The ranges of ranks, from 1, over which the exponent of Zipf is fitted.
const ZIPF: [(usize, usize); 3] = [(10, 100), (1, 500), (100, 1000)];
/// Movies with fewer ratings than this have no mean worth ranking.
const RATED_ENOUGH: f64 = 20.0;

pub(super) fn measure(view: &View, figures: &mut Figures) {
    let mut counts = sorted(view.popularity.clone());
    counts.reverse();
    let n = counts.len() as f64;
    let all: f64 = counts.iter().sum();
    figures.put(HEADING, "gini", gini(&counts));
    for (name, share) in TOPS {
        let top = (share * n).round() as usize;
        figures.put(HEADING, name, counts.iter().take(top).sum::<f64>() / all);
    }
    let users = view.users.iter().filter(|meetings| !meetings.is_empty()).count();
    figures.put(
        HEADING,
        "max_share",
        counts.first().map(|most| most / users as f64),
    );
    figures.put(HEADING, "frac_le5", share_of(&counts, |count| count <= 5.0));
    figures.put(HEADING, "share met once", share_of(&counts, |count| count == 1.0));
    for (first, last) in ZIPF {
        figures.put(
            HEADING,
            format!("zipf exponent, ranks {first} to {last}"),
            zipf(&counts, first, last),
        );
    }
    stars_by_popularity(view, figures);
}

fn share_of(counts: &[f64], holds: impl Fn(f64) -> bool) -> f64 {
    counts.iter().filter(|count| holds(**count)).count() as f64 / counts.len() as f64
}

/// Fits the exponent of count over rank, both logarithmic, by least squares; none where the ranks are not filled.
fn zipf(counts: &[f64], first: usize, last: usize) -> Option<f64> {
    let range = counts.get(first - 1..last)?;
    if range.last()? <= &0.0 {
        return None;
    }
    let ranks = collect((first..=last).map(|rank| libm::log(rank as f64)));
    let logs = collect(range.iter().map(|count| libm::log(*count)));
    let (mean_rank, mean_log) = (mean(&ranks)?, mean(&logs)?);
    let rise: f64 = ranks
        .iter()
        .zip(&logs)
        .map(|(x, y)| (x - mean_rank) * (y - mean_log))
        .sum();
    let run: f64 = ranks.iter().map(|x| (x - mean_rank) * (x - mean_rank)).sum();
    Some(-rise / run)
}

fn stars_by_popularity(view: &View, figures: &mut Figures) {
    let mut sums = vec![(0.0, 0.0); view.popularity.len()];
    for meeting in &view.data.meetings {
        if let Some(stars) = meeting.stars {
            let sum = &mut sums[meeting.movie as usize];
            sum.0 += f64::from(stars);
            sum.1 += 1.0;
        }
    }
    let rated: Vec<(f64, f64, f64)> = sums
        .iter()
        .zip(&view.popularity)
        .filter(|((_, count), _)| *count > 0.0)
        .map(|((sum, count), popularity)| (*popularity, sum / count, *count))
        .collect();
    let logs = collect(rated.iter().map(|(popularity, _, _)| libm::log(*popularity)));
    let means = collect(rated.iter().map(|(_, mean, _)| *mean));
    figures.put(RATED, "pear", pearson(&logs, &means));
    figures.put(RATED, "spearman of popularity and stars", spearman(&logs, &means));
    let known: Vec<_> = rated.iter().filter(|row| row.2 >= RATED_ENOUGH).collect();
    figures.put(
        RATED,
        "sp20",
        spearman(
            &collect(known.iter().map(|row| row.0)),
            &collect(known.iter().map(|row| row.1)),
        ),
    );
    let mut order = rated;
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = order.len();
    for decile in 0..10 {
        // Earlier parts are the larger ones where ten does not divide.
        let edge = |part: usize| part * (n / 10) + part.min(n % 10);
        let part = &order[edge(decile)..edge(decile + 1)];
        let (sum, count) = part.iter().fold((0.0, 0.0), |(sum, all), (_, mean, count)| {
            (sum + mean * count, all + count)
        });
        figures.put(RATED, format!("d{decile}"), sum / count);
    }
}
