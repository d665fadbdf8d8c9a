//! Estimates with their intervals: proportions, quantiles, means, ratios.

pub mod adjusted;
pub mod binomial;
pub mod bootstrap;
pub mod dependence;
mod kolmogorov;
pub mod means;
pub mod multiplicity;
pub mod proportion;
pub mod quantile;
pub mod sequential;
pub mod tables;
pub mod two_sample;

use statrs::distribution::{Beta, ContinuousCDF, Normal, StudentsT};

use crate::scorecard::Interval;

/// The Beta distribution's inverse is trusted up to this count on the rarer side (statrs is wrong where both are large).
const TRUSTED: u64 = 100_000;

/// Returns the exact interval of a proportion (Clopper and Pearson 1934) from the count of misses and of all.
///
/// None without observations, or where neither side is rare enough to be exact.
pub fn clopper_pearson(misses: u64, n: u64, level: f64) -> Option<Interval> {
    if n == 0 || misses > n {
        return None;
    }
    if misses > n - misses {
        // The rarer side is exact; the other is its mirror.
        let mirror = clopper_pearson(n - misses, n, level)?;
        return Some(Interval {
            low: 1.0 - mirror.high,
            high: 1.0 - mirror.low,
            level,
        });
    }
    if misses > TRUSTED {
        return None;
    }
    let tail = (1.0 - level) / 2.0;
    let (k, n) = (misses as f64, n as f64);
    let low = if misses == 0 {
        0.0
    } else {
        Beta::new(k, n - k + 1.0).ok()?.inverse_cdf(tail)
    };
    let high = if k >= n {
        1.0
    } else {
        Beta::new(k + 1.0, n - k).ok()?.inverse_cdf(1.0 - tail)
    };
    Some(Interval { low, high, level })
}

/// Returns the interval of a proportion by Wilson's score (1927).
pub fn wilson(hits: u64, n: u64, level: f64) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    let z = normal_quantile(0.5 + level / 2.0)?;
    let n = n as f64;
    let p = hits as f64 / n;
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * libm::sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n));
    Some(Interval {
        low: centre - half,
        high: centre + half,
        level,
    })
}

/// Returns the quantile of sorted values at a probability, the smallest value with at least that share at or below it.
pub fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let place = (p * sorted.len() as f64).ceil() as usize;
    sorted.get(place.max(1) - 1).copied()
}

/// Returns the interval of a quantile from order statistics, exact by the binomial distribution.
///
/// None where there are too few values for one of the ends.
pub fn quantile_interval(sorted: &[f64], p: f64, level: f64) -> Option<Interval> {
    let bounds = quantile::quantile_bounds(sorted, p, level, quantile::Sides::Both);
    Some(Interval {
        low: bounds.low?,
        high: bounds.high?,
        level,
    })
}

/// Returns the standard normal quantile.
pub fn normal_quantile(p: f64) -> Option<f64> {
    Some(Normal::new(0.0, 1.0).ok()?.inverse_cdf(p))
}

/// Returns the probability that a standard normal variable exceeds `z`.
pub fn normal_tail(z: f64) -> f64 {
    0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2)
}

/// Returns mean and variance (with n - 1); none with fewer than two values.
pub fn mean_variance(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum::<f64>()
        / (n - 1.0);
    Some((mean, variance))
}

/// Returns the interval of a mean by Student's t.
pub fn mean_interval(values: &[f64], level: f64) -> Option<(f64, Interval)> {
    let (mean, variance) = mean_variance(values)?;
    let n = values.len() as f64;
    let t = StudentsT::new(0.0, 1.0, n - 1.0)
        .ok()?
        .inverse_cdf(0.5 + level / 2.0);
    let half = t * libm::sqrt(variance / n);
    Some((
        mean,
        Interval {
            low: mean - half,
            high: mean + half,
            level,
        },
    ))
}

/// A comparison of two means without equal variances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Welch {
    /// Mean of the first minus mean of the second.
    pub difference: f64,
    /// The statistic.
    pub t: f64,
    /// Its degrees of freedom.
    pub df: f64,
    /// The two-sided probability.
    pub p: f64,
    /// The interval of the difference.
    pub interval: Interval,
}

/// Compares two means (Welch 1947); none with fewer than two values on a side or no variance at all.
pub fn welch(a: &[f64], b: &[f64], level: f64) -> Option<Welch> {
    let (mean_a, variance_a) = mean_variance(a)?;
    let (mean_b, variance_b) = mean_variance(b)?;
    let (part_a, part_b) = (variance_a / a.len() as f64, variance_b / b.len() as f64);
    let variance = part_a + part_b;
    if variance <= 0.0 {
        return None;
    }
    let df = variance * variance
        / (part_a * part_a / (a.len() as f64 - 1.0) + part_b * part_b / (b.len() as f64 - 1.0));
    let student = StudentsT::new(0.0, 1.0, df).ok()?;
    let difference = mean_a - mean_b;
    let t = difference / libm::sqrt(variance);
    let half = student.inverse_cdf(0.5 + level / 2.0) * libm::sqrt(variance);
    let interval = Interval {
        low: difference - half,
        high: difference + half,
        level,
    };
    Some(Welch {
        difference,
        t,
        df,
        p: 2.0 * student.cdf(-t.abs()),
        interval,
    })
}

/// Returns by how much the variance of a share over batches exceeds that of independent trials; at least 1.
///
/// Slow spells make requests alike: a thousand in one spell are one piece of evidence (batch means).
pub fn design_effect(batches: &[(u64, u64)]) -> f64 {
    let used: Vec<&(u64, u64)> = batches.iter().filter(|(_, n)| *n > 0).collect();
    let total: u64 = used.iter().map(|(_, n)| n).sum();
    let misses: u64 = used.iter().map(|(misses, _)| misses).sum();
    if used.len() < 2 || misses == 0 || misses == total {
        return 1.0;
    }
    let p = misses as f64 / total as f64;
    let spread: f64 = used
        .iter()
        .map(|(misses, n)| {
            let expected = p * *n as f64;
            (*misses as f64 - expected) * (*misses as f64 - expected)
        })
        .sum();
    let independent: f64 = used.iter().map(|(_, n)| *n as f64 * p * (1.0 - p)).sum();
    (spread / independent * used.len() as f64 / (used.len() as f64 - 1.0)).max(1.0)
}
