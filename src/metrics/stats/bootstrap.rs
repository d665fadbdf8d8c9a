//! The bootstrap: how a figure varies when its users are drawn again.

use super::quantile::interpolated;
use super::{normal_quantile, normal_tail};
use crate::scorecard::Interval;
use crate::seed::Draws;

/// Three intervals from the same resamples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// The figure on the data as it is.
    pub estimate: f64,
    /// From the quantiles of the resampled figures.
    pub percentile: Interval,
    /// From the quantiles of their distance to the estimate.
    pub basic: Interval,
    /// Corrected for bias and for a spread that changes with the figure (Efron 1987); none where nothing varies.
    pub bca: Option<Interval>,
}

/// Resamples `units` (users, batches: whatever is independent) and returns intervals of a figure.
///
/// `figure` gets the places of the units that are in, with repeats. The same draws give the same intervals. None with fewer
/// than two units, no resamples, or a figure that is not finite.
pub fn bootstrap(
    units: usize,
    figure: impl Fn(&[usize]) -> f64,
    resamples: usize,
    level: f64,
    draws: &mut Draws,
) -> Option<Bootstrap> {
    let (estimate, figures) = resampled(units, &figure, resamples, draws)?;
    let percentile = between_tails(&figures, level)?;
    let Interval { low, high, .. } = percentile;
    Some(Bootstrap {
        estimate,
        percentile,
        basic: Interval {
            low: 2.0 * estimate - high,
            high: 2.0 * estimate - low,
            level,
        },
        bca: corrected(&figures, estimate, &left_out(units, &figure), level),
    })
}

/// As [`bootstrap`], the percentile interval alone: without the jackknife it costs a fraction where units are many.
pub fn percentile(
    units: usize,
    figure: impl Fn(&[usize]) -> f64,
    resamples: usize,
    level: f64,
    draws: &mut Draws,
) -> Option<Interval> {
    let (_, figures) = resampled(units, &figure, resamples, draws)?;
    between_tails(&figures, level)
}

/// Returns the figure on the data as it is, and the sorted figures of the resamples.
fn resampled(
    units: usize,
    figure: &impl Fn(&[usize]) -> f64,
    resamples: usize,
    draws: &mut Draws,
) -> Option<(f64, Vec<f64>)> {
    if units < 2 || resamples == 0 {
        return None;
    }
    let all: Vec<usize> = (0..units).collect();
    let estimate = figure(&all);
    let mut drawn = all;
    let mut figures = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        for place in &mut drawn {
            *place = draws.below(units as u64) as usize;
        }
        figures.push(figure(&drawn));
    }
    if !estimate.is_finite() || figures.iter().any(|figure| !figure.is_finite()) {
        return None;
    }
    figures.sort_by(f64::total_cmp);
    Some((estimate, figures))
}

fn between_tails(sorted: &[f64], level: f64) -> Option<Interval> {
    let tail = (1.0 - level) / 2.0;
    let (low, high) = (interpolated(sorted, tail)?, interpolated(sorted, 1.0 - tail)?);
    Some(Interval { low, high, level })
}

/// Returns the figure without each unit in turn (the jackknife).
fn left_out(units: usize, figure: impl Fn(&[usize]) -> f64) -> Vec<f64> {
    (0..units)
        .map(|out| {
            let rest: Vec<usize> = (0..units).filter(|place| *place != out).collect();
            figure(&rest)
        })
        .collect()
}

fn corrected(figures: &[f64], estimate: f64, left_out: &[f64], level: f64) -> Option<Interval> {
    let below = figures.iter().filter(|figure| **figure < estimate).count();
    let up_to = figures.iter().filter(|figure| **figure <= estimate).count();
    let share = (below + up_to) as f64 / (2 * figures.len()) as f64;
    if share <= 0.0 || share >= 1.0 {
        return None;
    }
    let bias = normal_quantile(share)?;
    let mean = left_out.iter().sum::<f64>() / left_out.len() as f64;
    let squares: f64 = left_out.iter().map(|value| (mean - value) * (mean - value)).sum();
    let cubes: f64 = left_out.iter().map(|value| libm::pow(mean - value, 3.0)).sum();
    let acceleration = cubes / (6.0 * libm::pow(squares, 1.5));
    if !acceleration.is_finite() {
        return None;
    }
    let end = |p: f64| {
        let shifted = bias + normal_quantile(p)?;
        interpolated(
            figures,
            normal_tail(-(bias + shifted / (1.0 - acceleration * shifted))),
        )
    };
    let tail = (1.0 - level) / 2.0;
    Some(Interval {
        low: end(tail)?,
        high: end(1.0 - tail)?,
        level,
    })
}
