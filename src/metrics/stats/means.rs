//! Means compared: within a margin, in pairs, by signed ranks, and with what was known before.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::two_sample::{Test, ranked};
use super::{Welch, mean_variance, normal_tail, welch};

/// Up to this many pairs the signed-rank test counts all signs, provided that no differences are equal.
const EXACT_PAIRS: usize = 50;

/// Two one-sided tests of "the means differ by less than a margin".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Equivalence {
    /// The larger of the two: small speaks for equivalence.
    pub p: f64,
    /// Against "the first is lower by the margin or more"; alone, a test of non-inferiority.
    pub p_lower: f64,
    /// Against "the first is higher by the margin or more".
    pub p_upper: f64,
}

/// Tests whether two means are within a margin, without equal variances (Schuirmann 1987 with Welch's t).
///
/// None where [`welch`] has none.
pub fn equivalence(a: &[f64], b: &[f64], margin: f64) -> Option<Equivalence> {
    let found = welch(a, b, 0.95)?;
    let student = StudentsT::new(0.0, 1.0, found.df).ok()?;
    let (_, variance_a) = mean_variance(a)?;
    let (_, variance_b) = mean_variance(b)?;
    let error = libm::sqrt(variance_a / a.len() as f64 + variance_b / b.len() as f64);
    let p_lower = student.cdf(-(found.difference + margin) / error);
    let p_upper = student.cdf((found.difference - margin) / error);
    Some(Equivalence {
        p: p_lower.max(p_upper),
        p_lower,
        p_upper,
    })
}

/// Compares pairs by Student's t on their differences; none with fewer than two pairs or no variance.
pub fn paired_t(a: &[f64], b: &[f64]) -> Option<Test> {
    if a.len() != b.len() {
        return None;
    }
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let (mean, variance) = mean_variance(&differences)?;
    if variance <= 0.0 {
        return None;
    }
    let n = differences.len() as f64;
    let statistic = mean / libm::sqrt(variance / n);
    let student = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
    Some(Test {
        statistic,
        p: 2.0 * student.cdf(-statistic.abs()),
    })
}

/// Compares pairs by the ranks of their differences (Wilcoxon 1945); the statistic is the smaller rank sum.
///
/// Differences of zero are left out. Exact for few pairs without ties; else normal, corrected for ties. None without a
/// difference.
pub fn signed_rank(a: &[f64], b: &[f64]) -> Option<Test> {
    if a.len() != b.len() {
        return None;
    }
    let differences: Vec<f64> = a
        .iter()
        .zip(b)
        .map(|(a, b)| a - b)
        .filter(|difference| *difference != 0.0)
        .collect();
    if differences.is_empty() {
        return None;
    }
    let sizes: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
    let (ranks, ties) = ranked(&sizes);
    let positive: f64 = ranks
        .iter()
        .zip(&differences)
        .filter(|(_, difference)| **difference > 0.0)
        .map(|(rank, _)| rank)
        .sum();
    let n = differences.len() as f64;
    let statistic = positive.min(n * (n + 1.0) / 2.0 - positive);
    let whole = differences.len() == a.len();
    let p = if a.len() <= EXACT_PAIRS && whole && ties == 0.0 {
        2.0 * signed_rank_tail(differences.len(), statistic as usize)
    } else {
        let variance = (n * (n + 1.0) * (2.0 * n + 1.0) - ties / 2.0) / 24.0;
        2.0 * normal_tail((n * (n + 1.0) / 4.0 - statistic) / libm::sqrt(variance))
    };
    Some(Test {
        statistic,
        p: p.min(1.0),
    })
}

/// Returns the share of all choices of signs whose positive ranks sum to at most `limit`.
fn signed_rank_tail(n: usize, limit: usize) -> f64 {
    let mut shares = vec![0.0; limit + 1];
    shares[0] = 1.0;
    for rank in 1..=n {
        for sum in (0..=limit).rev() {
            let with = if sum >= rank { shares[sum - rank] } else { 0.0 };
            shares[sum] = f64::midpoint(shares[sum], with);
        }
    }
    shares.iter().sum()
}

/// The arm of an experiment that a user was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    /// The service as it was.
    Control,
    /// The service with the change.
    Treatment,
}

/// One user of an experiment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// The arm.
    pub arm: Arm,
    /// The figure in the time before the experiment, when the arm could not matter.
    pub before: f64,
    /// The figure in the experiment.
    pub after: f64,
}

/// A comparison of two arms with less noise, because of what was known before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cuped {
    /// How much of the figure before is taken off the figure after: their covariance over the variance before.
    pub theta: f64,
    /// Treatment minus control, as observed.
    pub raw_difference: f64,
    /// Treatment minus control, adjusted.
    pub adjusted: Welch,
    /// The variance after the adjustment over the variance before it.
    pub variance_ratio: f64,
}

/// Compares two arms with the figure of the time before as a control variate (Deng and others 2013).
///
/// None where an arm has fewer than two users or nothing varied before.
pub fn cuped(units: &[Unit], level: f64) -> Option<Cuped> {
    let before: Vec<f64> = units.iter().map(|unit| unit.before).collect();
    let after: Vec<f64> = units.iter().map(|unit| unit.after).collect();
    let (mean_before, variance_before) = mean_variance(&before)?;
    let (mean_after, variance_after) = mean_variance(&after)?;
    if variance_before <= 0.0 || variance_after <= 0.0 {
        return None;
    }
    let covariance = units
        .iter()
        .map(|unit| (unit.before - mean_before) * (unit.after - mean_after))
        .sum::<f64>()
        / (units.len() as f64 - 1.0);
    let theta = covariance / variance_before;
    let adjust = |unit: &Unit| unit.after - theta * (unit.before - mean_before);
    let of_arm = |arm: Arm, value: &dyn Fn(&Unit) -> f64| -> Vec<f64> {
        units.iter().filter(|unit| unit.arm == arm).map(value).collect()
    };
    let raw = |unit: &Unit| unit.after;
    let (treated, _) = mean_variance(&of_arm(Arm::Treatment, &raw))?;
    let (control, _) = mean_variance(&of_arm(Arm::Control, &raw))?;
    let adjusted: Vec<f64> = units.iter().map(adjust).collect();
    let (_, variance_adjusted) = mean_variance(&adjusted)?;
    Some(Cuped {
        theta,
        raw_difference: treated - control,
        adjusted: welch(
            &of_arm(Arm::Treatment, &adjust),
            &of_arm(Arm::Control, &adjust),
            level,
        )?,
        variance_ratio: variance_adjusted / variance_after,
    })
}
