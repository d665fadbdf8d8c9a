//! Confidence sequences: intervals that hold at every look, so that one may stop when one has seen enough.

use super::normal_tail;
use crate::scorecard::Interval;

/// Steps of the grid of means that a betting sequence tries: a thousandth is finer than any bar on a share.
const GRID: u32 = 1_000;
/// Halvings of a search interval: more than a double has digits.
const HALVINGS: usize = 200;
/// Doublings of an upper end in search of a bracket: the range of doubles.
const DOUBLINGS: usize = 1_000;
/// The nearest that a proportion is sought to 0 and 1.
const EDGE: f64 = 1e-12;

/// Returns the mixture's scale that makes a normal bound tightest at intrinsic time `v` (Howard and others 2021).
fn scale(v: f64, alpha: f64) -> f64 {
    let twice = 2.0 * libm::log(1.0 / alpha);
    v / (twice + libm::log1p(twice))
}

/// How many sides of a sum are bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// The upper side alone.
    One,
    /// Both sides.
    Two,
}

/// Where a bound is tightest: at this intrinsic time, for this error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// The intrinsic time (for proportions: the number of trials).
    pub at: f64,
    /// The error.
    pub alpha: f64,
}

/// Returns the normal mixture bound on a centred sum at intrinsic time `v` that holds at all times, with error `alpha`.
///
/// None where the arguments are out of their ranges.
pub fn normal_mixture_bound(v: f64, alpha: f64, tuned: Tuning, ends: Ends) -> Option<f64> {
    let open = |share: f64| share > 0.0 && share < 1.0;
    if v <= 0.0 || v.is_nan() || tuned.at <= 0.0 || !open(alpha) || !open(tuned.alpha) {
        return None;
    }
    match ends {
        Ends::Two => {
            let rho = scale(tuned.at, tuned.alpha);
            Some(libm::sqrt(
                (v + rho) * (libm::log((v + rho) / rho) - 2.0 * libm::log(alpha)),
            ))
        }
        Ends::One => {
            let rho = scale(tuned.at, (2.0 * tuned.alpha).min(1.0 - f64::EPSILON));
            let evidence = |sum: f64| {
                0.5 * libm::log(4.0 * rho / (v + rho))
                    + sum * sum / (2.0 * (v + rho))
                    + libm::log1p(-normal_tail(sum / libm::sqrt(v + rho)))
                    + libm::log(alpha)
            };
            let outside = std::iter::successors(Some(libm::sqrt(v + rho)), |sum| Some(sum * 2.0))
                .take(DOUBLINGS)
                .find(|sum| evidence(*sum) > 0.0)?;
            Some(halve(outside, 0.0, evidence))
        }
    }
}

/// Finds by halving where a function changes from positive (outside) to negative (inside).
fn halve(mut outside: f64, mut inside: f64, function: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(outside, inside);
        if function(middle) > 0.0 {
            outside = middle;
        } else {
            inside = middle;
        }
    }
    f64::midpoint(outside, inside)
}

/// Returns the interval of a proportion after `n` trials that holds at all n together, by a beta-binomial mixture.
///
/// None without trials.
pub fn proportion_at_any_time(hits: u64, n: u64, alpha: f64, tuned: Tuning) -> Option<Interval> {
    if n == 0 || hits > n {
        return None;
    }
    let (k, rest) = (hits as f64, (n - hits) as f64);
    let share = k / n as f64;
    let log_beta = |a: f64, b: f64| libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    // The evidence against p: how much better a mixture of other proportions explains the hits.
    let evidence = |p: f64| {
        let variance = p * (1.0 - p);
        let weight = (scale(tuned.at * variance, tuned.alpha) - variance).max(1e-3 * variance);
        let (a, b) = (weight / (1.0 - p), weight / p);
        log_beta(a + k, b + rest) - log_beta(a, b) - k * libm::log(p) - rest * libm::log1p(-p)
            + libm::log(alpha)
    };
    let inside = share.clamp(EDGE, 1.0 - EDGE);
    let low = if hits == 0 {
        0.0
    } else {
        halve(EDGE, inside, evidence)
    };
    let high = if hits == n {
        1.0
    } else {
        halve(1.0 - EDGE, inside, evidence)
    };
    Some(Interval {
        low,
        high,
        level: 1.0 - alpha,
    })
}

/// Returns the interval of the mean of values in [0, 1] after each of them, by betting (Waudby-Smith and Ramdas 2024).
///
/// A gambler bets against each mean of a grid; means that would have made them rich are out, for ever. Ends are widened by
/// one step of the grid. Values outside [0, 1] give none.
pub fn mean_by_betting(values: &[f64], alpha: f64) -> Option<Vec<Interval>> {
    if values.iter().any(|value| !(0.0..=1.0).contains(value)) {
        return None;
    }
    let stakes = stakes(values, alpha / 2.0);
    let step = 1.0 / f64::from(GRID);
    // For each time the lowest and the highest mean of the grid that is still in.
    let mut kept: Vec<Option<(f64, f64)>> = vec![None; values.len()];
    for place in 0..=GRID {
        let mean = f64::from(place) * step;
        let (mut up, mut down) = (1.0, 1.0);
        for ((value, stake), kept) in values.iter().zip(&stakes).zip(&mut kept) {
            // Half of what would risk everything at this mean is the most that is ever staked.
            up *= 1.0 + stake.min(0.5 / mean) * (value - mean);
            down *= 1.0 - stake.min(0.5 / (1.0 - mean)) * (value - mean);
            if f64::max(up, down) / 2.0 <= 1.0 / alpha {
                *kept = Some(kept.map_or((mean, mean), |(lowest, _)| (lowest, mean)));
            }
        }
    }
    let mut now = Interval {
        low: 0.0,
        high: 1.0,
        level: 1.0 - alpha,
    };
    let found = kept
        .into_iter()
        .map(|kept| {
            if let Some((lowest, highest)) = kept {
                now.low = now.low.max(lowest - step);
                now.high = now.high.min(highest + step);
            }
            now
        })
        .collect();
    Some(found)
}

/// Returns what to stake on each value from those before it alone (the predictable plug-in, empirical Bernstein).
fn stakes(values: &[f64], alpha: f64) -> Vec<f64> {
    let mut sum = 0.5;
    let mut squares = 0.25;
    let mut variance = 0.25;
    values
        .iter()
        .enumerate()
        .map(|(place, value)| {
            let t = place as f64 + 1.0;
            let stake = libm::sqrt(2.0 * libm::log(1.0 / alpha) / (t * libm::log1p(t) * variance));
            sum += value;
            let mean = sum / (t + 1.0);
            squares += (value - mean) * (value - mean);
            variance = squares / (t + 1.0);
            stake
        })
        .collect()
}
