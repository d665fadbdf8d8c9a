//! Whether two samples come from one distribution, without assuming which.

use super::kolmogorov;
use super::normal_tail;

/// A statistic and its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// The statistic.
    pub statistic: f64,
    /// The two-sided probability.
    pub p: f64,
}

/// How the probability of a two-sample statistic is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probability {
    /// By counting all orders of the two samples; right where no values are equal.
    Exact,
    /// By the distribution that large samples approach.
    Asymptotic,
}

/// Compares two samples by the largest distance of their distribution functions (Kolmogorov, Smirnov).
///
/// Exactly in time proportional to the product of the sizes; asymptotically by the one-sample distribution at the effective
/// size. None where a sample is empty.
pub fn kolmogorov_smirnov(a: &[f64], b: &[f64], how: Probability) -> Option<Test> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let mut largest: u64 = 0;
    walk(a, b, |_, below_a, below_b| {
        let (up, down) = (below_a * b.len(), below_b * a.len());
        largest = largest.max(up.abs_diff(down) as u64);
    });
    let (n_a, n_b) = (a.len() as f64, b.len() as f64);
    let statistic = largest as f64 / (n_a * n_b);
    let p = match how {
        Probability::Exact => crossing_probability(a.len(), b.len(), largest),
        Probability::Asymptotic => {
            let size = libm::rint(n_a * n_b / (n_a + n_b));
            kolmogorov::exceeded(size as u64, statistic)
        }
    };
    Some(Test { statistic, p })
}

/// Visits each distinct value in order with the number of values of either sample up to it.
fn walk(a: &[f64], b: &[f64], mut visit: impl FnMut(f64, usize, usize)) {
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let value = match (a.get(i), b.get(j)) {
            (Some(a), Some(b)) => a.min(*b),
            (Some(only), None) | (None, Some(only)) => *only,
            (None, None) => return,
        };
        while a.get(i).is_some_and(|next| *next <= value) {
            i += 1;
        }
        while b.get(j).is_some_and(|next| *next <= value) {
            j += 1;
        }
        visit(value, i, j);
    }
}

/// Returns the share of all orders of two samples in which the distance reaches `limit` (in units of 1 / (a × b)).
///
/// Each cell holds the share of the paths to it that have reached the limit; only positive terms are added.
fn crossing_probability(a: usize, b: usize, limit: u64) -> f64 {
    if limit == 0 {
        return 1.0;
    }
    let outside = |i: usize, j: usize| (i * b).abs_diff(j * a) as u64 >= limit;
    let mut row = vec![0.0; b + 1];
    for j in 1..=b {
        row[j] = if outside(0, j) { 1.0 } else { row[j - 1] };
    }
    for i in 1..=a {
        row[0] = if outside(i, 0) { 1.0 } else { row[0] };
        for j in 1..=b {
            row[j] = if outside(i, j) {
                1.0
            } else {
                (i as f64 * row[j] + j as f64 * row[j - 1]) / (i + j) as f64
            };
        }
    }
    row[b]
}

/// Compares two samples by ranks (Mann and Whitney 1947); the statistic is that of the first sample.
///
/// Asymptotically with correction for ties and for continuity. It tests which sample tends to be larger, and not the means.
/// None where a sample is empty or all values are equal.
pub fn mann_whitney(a: &[f64], b: &[f64], how: Probability) -> Option<Test> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let (ranks, ties) = ranked(&all);
    let (n_a, n_b) = (a.len() as f64, b.len() as f64);
    let n = n_a + n_b;
    let statistic = ranks[..a.len()].iter().sum::<f64>() - n_a * (n_a + 1.0) / 2.0;
    let larger = statistic.max(n_a * n_b - statistic);
    let p = match how {
        Probability::Exact => 2.0 * rank_sum_tail(a.len(), b.len(), libm::ceil(larger) as usize),
        Probability::Asymptotic => {
            let variance = n_a * n_b / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
            if variance <= 0.0 {
                return None;
            }
            2.0 * normal_tail((larger - n_a * n_b / 2.0 - 0.5) / libm::sqrt(variance))
        }
    };
    Some(Test {
        statistic,
        p: p.min(1.0),
    })
}

/// Returns the share of all orders in which the rank statistic is at least `limit`.
fn rank_sum_tail(a: usize, b: usize, limit: usize) -> f64 {
    // shares[j][u]: of the orders of i of the first sample and j of the second, the share with statistic u.
    let size = a * b + 1;
    let mut shares = vec![vec![0.0; size]; b + 1];
    for of_b in &mut shares {
        of_b[0] = 1.0;
    }
    for i in 1..=a {
        for j in 1..=b {
            let (lower, upper) = shares.split_at_mut(j);
            let (i_f, j_f) = (i as f64, j as f64);
            let mut next = vec![0.0; size];
            for (u, next) in next.iter_mut().enumerate().take(i * j + 1) {
                // The largest value is of the first sample, above j of the second, or of the second.
                let of_a = if u >= j { upper[0][u - j] } else { 0.0 };
                *next = (i_f * of_a + j_f * lower[j - 1][u]) / (i_f + j_f);
            }
            upper[0] = next;
        }
    }
    shares[b].iter().skip(limit).sum()
}

/// Returns the ranks of values, equal ones sharing their mean rank, and Σ(t³ - t) over groups of t equal values.
pub(super) fn ranked(values: &[f64]) -> (Vec<f64>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut ties = 0.0;
    let mut first = 0;
    while first < order.len() {
        let mut last = first;
        while last + 1 < order.len() && values[order[last + 1]] == values[order[first]] {
            last += 1;
        }
        for place in &order[first..=last] {
            ranks[*place] = (first + last) as f64 / 2.0 + 1.0;
        }
        let equal = (last - first + 1) as f64;
        ties += equal * equal * equal - equal;
        first = last + 1;
    }
    (ranks, ties)
}

/// Returns the distance of Wasserstein: how far values must move, on average, to make one sample the other.
///
/// None where a sample is empty.
pub fn wasserstein(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    let mut before: Option<(f64, f64)> = None;
    walk(a, b, |value, below_a, below_b| {
        if let Some((from, gap)) = before {
            sum += gap * (value - from);
        }
        let gap = (below_a as f64 / a.len() as f64 - below_b as f64 / b.len() as f64).abs();
        before = Some((value, gap));
    });
    Some(sum)
}
