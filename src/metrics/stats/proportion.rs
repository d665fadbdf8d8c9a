//! Intervals of one proportion beside the exact one, and comparisons of two.

use statrs::distribution::{Beta, ContinuousCDF};

use super::{clopper_pearson, normal_quantile, normal_tail, wilson};
use crate::scorecard::Interval;

/// Halvings of a search interval: more than a double has digits.
const HALVINGS: usize = 200;
/// Doublings of an upper end in search of a bracket.
const DOUBLINGS: usize = 1_000;

/// Returns Wilson's score interval with the correction for continuity (Newcombe 1998, method 4).
pub fn wilson_corrected(hits: u64, n: u64, level: f64) -> Option<Interval> {
    if n == 0 || hits > n {
        return None;
    }
    let z = normal_quantile(0.5 + level / 2.0)?;
    let (k, n_f) = (hits as f64, n as f64);
    let (p, q) = (k / n_f, 1.0 - k / n_f);
    let below = 2.0 * n_f + 2.0 * z * z;
    let end = |sign: f64| {
        let root = libm::sqrt((z * z + sign * 2.0 - 1.0 / n_f + 4.0 * p * (n_f * q - sign)).max(0.0));
        (2.0 * k + z * z + sign * (1.0 + z * root)) / below
    };
    Some(Interval {
        low: if hits == 0 { 0.0 } else { end(-1.0) },
        high: if hits == n { 1.0 } else { end(1.0) },
        level,
    })
}

/// Returns Jeffreys' interval: the quantiles of the posterior under a Beta(1/2, 1/2) prior.
pub fn jeffreys(hits: u64, n: u64, level: f64) -> Option<Interval> {
    if n == 0 || hits > n {
        return None;
    }
    let tail = (1.0 - level) / 2.0;
    let rare = hits.min(n - hits);
    let posterior = Beta::new(rare as f64 + 0.5, (n - rare) as f64 + 0.5).ok()?;
    let (low, high) = (posterior.inverse_cdf(tail), posterior.inverse_cdf(1.0 - tail));
    // The rarer side is exact; the other is its mirror.
    let (low, high) = if rare == hits {
        (low, high)
    } else {
        (1.0 - high, 1.0 - low)
    };
    Some(Interval { low, high, level })
}

/// Returns the interval of Agresti and Coull (1998), cut at 0 and 1.
pub fn agresti_coull(hits: u64, n: u64, level: f64) -> Option<Interval> {
    if n == 0 || hits > n {
        return None;
    }
    let z = normal_quantile(0.5 + level / 2.0)?;
    let size = n as f64 + z * z;
    let centre = (hits as f64 + z * z / 2.0) / size;
    let half = z * libm::sqrt(centre * (1.0 - centre) / size);
    Some(Interval {
        low: (centre - half).max(0.0),
        high: (centre + half).min(1.0),
        level,
    })
}

/// Returns the exact upper bound of a proportion, one-sided: it errs in at most 1 - `level` of runs.
pub fn upper_bound(hits: u64, n: u64, level: f64) -> Option<f64> {
    Some(clopper_pearson(hits, n, 2.0 * level - 1.0)?.high)
}

/// Returns the exact lower bound of a proportion, one-sided: it errs in at most 1 - `level` of runs.
pub fn lower_bound(hits: u64, n: u64, level: f64) -> Option<f64> {
    Some(clopper_pearson(hits, n, 2.0 * level - 1.0)?.low)
}

/// Hits among trials in two groups to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoProportions {
    /// Hits in the first group.
    pub hits_1: u64,
    /// Trials in the first group.
    pub n_1: u64,
    /// Hits in the second group.
    pub hits_2: u64,
    /// Trials in the second group.
    pub n_2: u64,
}

impl TwoProportions {
    fn shares(self) -> (f64, f64) {
        (
            self.hits_1 as f64 / self.n_1 as f64,
            self.hits_2 as f64 / self.n_2 as f64,
        )
    }

    fn is_empty(self) -> bool {
        self.n_1 == 0 || self.n_2 == 0
    }
}

/// Returns the pooled z statistic of equal proportions and its two-sided probability.
///
/// None where a group is empty or nothing varies.
pub fn pooled_z(both: TwoProportions) -> Option<(f64, f64)> {
    if both.is_empty() {
        return None;
    }
    let (p_1, p_2) = both.shares();
    let (n_1, n_2) = (both.n_1 as f64, both.n_2 as f64);
    let pooled = (both.hits_1 + both.hits_2) as f64 / (n_1 + n_2);
    let variance = pooled * (1.0 - pooled) * (1.0 / n_1 + 1.0 / n_2);
    if variance <= 0.0 {
        return None;
    }
    let z = (p_1 - p_2) / libm::sqrt(variance);
    Some((z, 2.0 * normal_tail(z.abs())))
}

/// Returns Newcombe's interval of a difference of proportions (1998, method 10): Wilson's ends, put together.
pub fn newcombe(both: TwoProportions, level: f64) -> Option<Interval> {
    let (p_1, p_2) = both.shares();
    let first = wilson(both.hits_1, both.n_1, level)?;
    let second = wilson(both.hits_2, both.n_2, level)?;
    let difference = p_1 - p_2;
    Some(Interval {
        low: difference - libm::hypot(p_1 - first.low, second.high - p_2),
        high: difference + libm::hypot(first.high - p_1, p_2 - second.low),
        level,
    })
}

/// Returns Wald's interval of a difference of proportions, for comparison: it is too narrow near 0 and 1.
pub fn wald(both: TwoProportions, level: f64) -> Option<Interval> {
    if both.is_empty() {
        return None;
    }
    let (p_1, p_2) = both.shares();
    wald_around(p_1, both.n_1 as f64, p_2, both.n_2 as f64, level)
}

/// Returns the interval of Agresti and Caffo (2000): Wald's after one more hit and one more miss in each group.
pub fn agresti_caffo(both: TwoProportions, level: f64) -> Option<Interval> {
    if both.is_empty() {
        return None;
    }
    let (n_1, n_2) = (both.n_1 as f64 + 2.0, both.n_2 as f64 + 2.0);
    let (p_1, p_2) = ((both.hits_1 as f64 + 1.0) / n_1, (both.hits_2 as f64 + 1.0) / n_2);
    wald_around(p_1, n_1, p_2, n_2, level)
}

fn wald_around(p_1: f64, n_1: f64, p_2: f64, n_2: f64, level: f64) -> Option<Interval> {
    let z = normal_quantile(0.5 + level / 2.0)?;
    let half = z * libm::sqrt(p_1 * (1.0 - p_1) / n_1 + p_2 * (1.0 - p_2) / n_2);
    Some(Interval {
        low: p_1 - p_2 - half,
        high: p_1 - p_2 + half,
        level,
    })
}

/// Returns the score statistic of the hypothesis that the difference is `delta` (Miettinen and Nurminen 1985).
///
/// The proportions that the hypothesis allows are the closed root of a cubic; the variance carries N / (N - 1).
/// The cubic's linear coefficient is that of statsmodels 0.15, to which the values are held: it has hits where the paper
/// has trials, so that ends away from 0 differ in the fifth digit. Decide by [`newcombe`].
pub fn score_z(both: TwoProportions, delta: f64) -> Option<f64> {
    if both.is_empty() {
        return None;
    }
    let (p_1, p_2) = both.shares();
    let (n_1, n_2) = (both.n_1 as f64, both.n_2 as f64);
    let (n, hits) = (n_1 + n_2, (both.hits_1 + both.hits_2) as f64);
    let hits_2 = both.hits_2 as f64;
    let square = (n_1 + 2.0 * n_2) * delta - n - hits;
    let linear = (hits_2 * delta - n - 2.0 * hits_2) * delta + hits;
    let constant = hits_2 * delta * (1.0 - delta);
    let third = square / (3.0 * n);
    let q = third * third * third - linear * square / (6.0 * n * n) + constant / (2.0 * n);
    let root = libm::copysign(libm::sqrt((third * third - linear / (3.0 * n)).max(0.0)), q);
    let under_2 = if root == 0.0 {
        -third
    } else {
        let angle = (std::f64::consts::PI + libm::acos((q / (root * root * root)).clamp(-1.0, 1.0))) / 3.0;
        2.0 * root * libm::cos(angle) - third
    };
    let under_1 = under_2 + delta;
    let variance = (under_1 * (1.0 - under_1) / n_1 + under_2 * (1.0 - under_2) / n_2) * n / (n - 1.0);
    finite_quotient(p_1 - p_2 - delta, libm::sqrt(variance))
}

/// Returns the score statistic of the hypothesis that the ratio of proportions is `ratio`.
fn score_z_of_ratio(both: TwoProportions, ratio: f64) -> Option<f64> {
    let (p_1, p_2) = both.shares();
    let (n_1, n_2) = (both.n_1 as f64, both.n_2 as f64);
    let (hits_1, hits_2) = (both.hits_1 as f64, both.hits_2 as f64);
    let n = n_1 + n_2;
    let square = n * ratio;
    let linear = n_1 * ratio + hits_1 + n_2 + hits_2 * ratio;
    let constant = hits_1 + hits_2;
    let root = libm::sqrt((linear * linear - 4.0 * square * constant).max(0.0));
    // The smaller root, written so that nothing cancels.
    let under_2 = 2.0 * constant / (linear + root);
    let under_1 = ratio * under_2;
    let variance =
        (under_1 * (1.0 - under_1) / n_1 + ratio * ratio * under_2 * (1.0 - under_2) / n_2) * n / (n - 1.0);
    finite_quotient(p_1 - ratio * p_2, libm::sqrt(variance.max(0.0)))
}

fn finite_quotient(above: f64, below: f64) -> Option<f64> {
    let quotient = above / below;
    quotient.is_finite().then_some(quotient)
}

/// Returns the score interval of a difference of proportions.
///
/// None where an end lies farther out than Wald's by half of it upwards or a quarter of it downwards, as with an empty
/// cell: the normal approximation is no guide there, and Newcombe's interval serves.
pub fn score_interval(both: TwoProportions, level: f64) -> Option<Interval> {
    let around = wald(both, level)?;
    let z = normal_quantile(0.5 + level / 2.0)?;
    let (p_1, p_2) = both.shares();
    let difference = p_1 - p_2;
    let outer_low = around.low - 0.25 * around.low.abs();
    let outer_high = (around.high + 0.5 * around.high.abs()).min(0.99999);
    let low = crossing(outer_low, difference, z, |delta| score_z(both, delta))?;
    let high = crossing(outer_high, difference, z, |delta| score_z(both, delta))?;
    Some(Interval { low, high, level })
}

/// Returns the score interval of a ratio of proportions; none where the second group has no hit.
pub fn score_interval_of_ratio(both: TwoProportions, level: f64) -> Option<Interval> {
    if both.is_empty() || both.hits_2 == 0 {
        return None;
    }
    let z = normal_quantile(0.5 + level / 2.0)?;
    let (p_1, p_2) = both.shares();
    let ratio = p_1 / p_2;
    let statistic = |value: f64| score_z_of_ratio(both, value);
    let low = if both.hits_1 == 0 {
        0.0
    } else {
        crossing(ratio * f64::EPSILON, ratio, z, statistic)?
    };
    let outer = std::iter::successors(Some(ratio.max(1.0 / p_2)), |end| Some(end * 2.0))
        .take(DOUBLINGS)
        .find(|end| statistic(*end).is_some_and(|found| found.abs() > z))?;
    let high = crossing(outer, ratio, z, statistic)?;
    Some(Interval { low, high, level })
}

/// Finds by halving where a statistic reaches `z` between an end outside and a value inside; none if the end is inside.
fn crossing(
    mut outside: f64,
    mut inside: f64,
    z: f64,
    statistic: impl Fn(f64) -> Option<f64>,
) -> Option<f64> {
    if statistic(outside)?.abs() <= z {
        return None;
    }
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(outside, inside);
        // Where the statistic has no value nothing speaks against the hypothesis.
        if statistic(middle).is_some_and(|found| found.abs() > z) {
            outside = middle;
        } else {
            inside = middle;
        }
    }
    Some(f64::midpoint(outside, inside))
}

/// Returns the score test's probability of "the first is not worse than the second by `margin`": small speaks for it.
pub fn noninferiority(both: TwoProportions, margin: f64) -> Option<f64> {
    Some(normal_tail(score_z(both, -margin)?))
}

/// Returns the probability of "the two differ by less than `margin`" by two one-sided score tests: small speaks for it.
pub fn equivalence(both: TwoProportions, margin: f64) -> Option<f64> {
    let above = normal_tail(score_z(both, -margin)?);
    let below = normal_tail(-score_z(both, margin)?);
    Some(above.max(below))
}
