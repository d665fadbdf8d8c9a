//! Quantiles: their estimates, their distribution-free bounds, and a test of one.

use statrs::distribution::{Beta, ContinuousCDF};

use super::binomial;

/// Which ends of a quantile are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// Both, each with half of the error.
    Both,
    /// The upper end alone, with all of the error.
    Upper,
    /// The lower end alone, with all of the error.
    Lower,
}

/// Distribution-free ends of a quantile; infinite where not wanted, none where there are too few values to tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantileBounds {
    /// The lower end.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

/// Returns bounds of a quantile by order statistics of sorted values (Conover 1999), exact by the binomial distribution.
pub fn quantile_bounds(sorted: &[f64], p: f64, level: f64, sides: Sides) -> QuantileBounds {
    let n = sorted.len();
    let error = match sides {
        Sides::Both => (1.0 - level) / 2.0,
        Sides::Upper | Sides::Lower => 1.0 - level,
    };
    let terms: Vec<f64> = (0..=n)
        .map(|k| binomial::probability(k as u64, n as u64, p))
        .collect();
    let low = || {
        let mut below = 0.0;
        let place = terms.iter().position(|term| {
            below += term;
            below >= error
        })?;
        sorted.get(place.checked_sub(1)?).copied()
    };
    let high = || {
        // The first place above which no more than the error remains, the tail summed from its small end.
        let mut above = 0.0;
        let beyond = terms.iter().rev().position(|term| {
            above += term;
            above > error
        })?;
        sorted.get(n - beyond).copied()
    };
    match sides {
        Sides::Both => QuantileBounds {
            low: low(),
            high: high(),
        },
        Sides::Upper => QuantileBounds {
            low: Some(f64::NEG_INFINITY),
            high: high(),
        },
        Sides::Lower => QuantileBounds {
            low: low(),
            high: Some(f64::INFINITY),
        },
    }
}

/// A test of "the quantile is this value".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantileTest {
    /// The count that decided.
    pub statistic: u64,
    /// What was counted: 1 for values up to and with the hypothetical one, 2 for values below it.
    pub kind: u8,
    /// The two-sided probability.
    pub p: f64,
}

/// Tests whether the quantile at `p` is `value` (Conover 1999): counts, and no assumption about the distribution.
pub fn quantile_test(values: &[f64], p: f64, value: f64) -> QuantileTest {
    let n = values.len() as u64;
    let up_to = values.iter().filter(|x| **x <= value).count() as u64;
    let below = values.iter().filter(|x| **x < value).count() as u64;
    let greater = binomial::at_most(up_to, n, p);
    let less = binomial::at_least(below, n, p);
    let (statistic, kind) = if greater <= less { (up_to, 1) } else { (below, 2) };
    QuantileTest {
        statistic,
        kind,
        p: (2.0 * greater.min(less)).min(1.0),
    }
}

/// Returns the quantile of sorted values between neighbours (type 7 of Hyndman and Fan 1996, the default of many tools).
pub fn interpolated(sorted: &[f64], p: f64) -> Option<f64> {
    let place = p * (sorted.len().checked_sub(1)?) as f64;
    let below = place.floor();
    let low = sorted.get(below as usize)?;
    let high = sorted.get(place.ceil() as usize)?;
    Some(low + (high - low) * (place - below))
}

/// Returns the larger of the two neighbours that [`interpolated`] lies between.
pub fn higher(sorted: &[f64], p: f64) -> Option<f64> {
    let place = p * (sorted.len().checked_sub(1)?) as f64;
    sorted.get(place.ceil() as usize).copied()
}

/// Returns the quantile of Harrell and Davis (1982): all sorted values, weighted by how likely each is the quantile.
pub fn harrell_davis(sorted: &[f64], p: f64) -> Option<f64> {
    let n = sorted.len() as f64;
    let place = Beta::new((n + 1.0) * p, (n + 1.0) * (1.0 - p)).ok()?;
    let mut before = 0.0;
    let mut sum = 0.0;
    for (rank, value) in sorted.iter().enumerate() {
        let until = place.cdf((rank as f64 + 1.0) / n);
        sum += (until - before) * value;
        before = until;
    }
    (!sorted.is_empty()).then_some(sum)
}
