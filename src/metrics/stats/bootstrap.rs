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

/// As [`bootstrap`], the percentile interval alone: without the jackknife it costs a part where units are many.
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

/// The standard interval: the figure, more or less the normal quantile times the standard deviation of resampled figures
/// (Efron and Tibshirani 1993, section 12). For figures that resampling shifts, as it shifts everything that counts what is
/// distinct: the percentile interval would be shifted with them.
pub fn standard(
    units: usize,
    figure: impl Fn(&[usize]) -> f64,
    resamples: usize,
    level: f64,
    draws: &mut Draws,
) -> Option<Interval> {
    let (estimate, figures) = resampled(units, &figure, resamples.max(2), draws)?;
    let n = figures.len() as f64;
    let mean = figures.iter().sum::<f64>() / n;
    let squares: f64 = figures
        .iter()
        .map(|figure| (figure - mean) * (figure - mean))
        .sum();
    let reach = normal_quantile(0.5 + level / 2.0)? * libm::sqrt(squares / (n - 1.0));
    Some(Interval {
        low: estimate - reach,
        high: estimate + reach,
        level,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;

    #[test]
    fn the_standard_interval_of_a_mean_is_that_of_the_textbook() {
        let values: Vec<f64> = (0..400).map(|n| f64::from(n % 20)).collect();
        let mean =
            |places: &[usize]| places.iter().map(|place| values[*place]).sum::<f64>() / places.len() as f64;
        let mut draws = Key::from_seed(1).branch("bootstrap").at(0);
        let found = standard(values.len(), mean, 2_000, 0.95, &mut draws).unwrap();
        // The variance of 0 to 19 is 33.25.
        let reach = 1.959_964 * (33.25_f64 / 400.0).sqrt();
        assert!(
            (found.low - (9.5 - reach)).abs() < 0.03 && (found.high - (9.5 + reach)).abs() < 0.03,
            "{found:?}"
        );
        assert!(standard(1, mean, 100, 0.95, &mut draws).is_none());
        let branch = Key::from_seed(2).branch("bootstrap");
        let all = bootstrap(values.len(), mean, 100, 0.95, &mut branch.at(0)).unwrap();
        let alone = percentile(values.len(), mean, 100, 0.95, &mut branch.at(0));
        assert_eq!(alone, Some(all.percentile));
    }
}
