//! Counts in tables: independence, and how far a distribution has drifted from another.

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// A bin without observations counts as this share in the stability index, whose logarithm it would otherwise break.
const EMPTY_BIN: f64 = 1e-4;
/// Tables whose probability is this much above the observed one still count as no more likely: rounding.
const AS_LIKELY: f64 = 1.0 + 1e-9;

/// Whether a two-by-two table is corrected for continuity (Yates).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// Each count is moved by up to a half towards what is expected, in tables with one degree of freedom.
    Corrected,
    /// Counts are taken as they are.
    Plain,
}

/// A χ² statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquare {
    /// The statistic.
    pub statistic: f64,
    /// Its degrees of freedom.
    pub degrees: usize,
    /// The probability of one at least as large.
    pub p: f64,
}

fn chi_square(statistic: f64, degrees: usize) -> Option<ChiSquare> {
    let p = if statistic <= 0.0 {
        1.0
    } else {
        ChiSquared::new(degrees as f64).ok()?.sf(statistic)
    };
    Some(ChiSquare {
        statistic,
        degrees,
        p,
    })
}

/// Tests whether rows and columns of a table are independent (Pearson).
///
/// None for a table that is not rectangular, has fewer than two rows or columns, or one without observations.
pub fn independence(table: &[Vec<f64>], continuity: Continuity) -> Option<ChiSquare> {
    let columns = table.first()?.len();
    if table.len() < 2 || columns < 2 || table.iter().any(|row| row.len() != columns) {
        return None;
    }
    let rows: Vec<f64> = table.iter().map(|row| row.iter().sum()).collect();
    let column_sums: Vec<f64> = (0..columns)
        .map(|column| table.iter().map(|row| row[column]).sum())
        .collect();
    if rows.iter().chain(&column_sums).any(|sum| *sum <= 0.0) {
        return None;
    }
    let total: f64 = rows.iter().sum();
    let degrees = (table.len() - 1) * (columns - 1);
    let mut statistic = 0.0;
    for (row, of_row) in table.iter().zip(&rows) {
        for (found, of_column) in row.iter().zip(&column_sums) {
            let expected = of_row * of_column / total;
            let mut off = (found - expected).abs();
            if continuity == Continuity::Corrected && degrees == 1 {
                off -= off.min(0.5);
            }
            statistic += off * off / expected;
        }
    }
    chi_square(statistic, degrees)
}

/// Tests whether counts follow the shares of other counts (Pearson's goodness of fit).
///
/// None where the two differ in length, have fewer than two bins, or a bin that is expected to be empty.
pub fn goodness_of_fit(found: &[f64], expected: &[f64]) -> Option<ChiSquare> {
    let scale = found.iter().sum::<f64>() / expected.iter().sum::<f64>();
    if found.len() != expected.len() || found.len() < 2 || expected.iter().any(|count| *count <= 0.0) {
        return None;
    }
    let statistic = found
        .iter()
        .zip(expected)
        .map(|(found, expected)| {
            let expected = expected * scale;
            (found - expected) * (found - expected) / expected
        })
        .sum();
    chi_square(statistic, found.len() - 1)
}

/// Returns the two-sided probability of a two-by-two table by Fisher's exact test: of all tables no likelier than it.
pub fn fisher_exact(table: [[u64; 2]; 2]) -> f64 {
    let [[a, b], [c, d]] = table;
    let (row, column, n) = (a + b, a + c, a + b + c + d);
    let choose = |n: u64, k: u64| {
        libm::lgamma(n as f64 + 1.0) - libm::lgamma(k as f64 + 1.0) - libm::lgamma((n - k) as f64 + 1.0)
    };
    let probability =
        |cell: u64| libm::exp(choose(row, cell) + choose(n - row, column - cell) - choose(n, column));
    let observed = probability(a);
    let least = column.saturating_sub(n - row);
    let sum: f64 = (least..=row.min(column))
        .map(probability)
        .filter(|likely| *likely <= observed * AS_LIKELY)
        .sum();
    sum.min(1.0)
}

/// Returns shares of counts; none without observations.
fn shares(counts: &[f64]) -> Option<Vec<f64>> {
    let total: f64 = counts.iter().sum();
    (total > 0.0).then(|| counts.iter().map(|count| count / total).collect())
}

/// Returns the distance of Jensen and Shannon in [0, 1]: the root of the divergence in bits. It needs no smoothing.
pub fn jensen_shannon_distance(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (shares(a)?, shares(b)?);
    (a.len() == b.len()).then(|| libm::sqrt(jensen_shannon_bits(&a, &b)))
}

/// Returns the divergence of Jensen and Shannon of two distributions, in bits.
pub(crate) fn jensen_shannon_bits(a: &[f64], b: &[f64]) -> f64 {
    let towards = |from: f64, middle: f64| {
        if from > 0.0 {
            from * libm::log2(from / middle)
        } else {
            0.0
        }
    };
    let sum: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| {
            let middle = f64::midpoint(*a, *b);
            f64::midpoint(towards(*a, middle), towards(*b, middle))
        })
        .sum();
    sum.max(0.0)
}

/// Returns the divergence of Kullback and Leibler of `current` from `reference`, in nats.
///
/// None where `current` has something in a bin that `reference` has not: it would be infinite.
pub fn kullback_leibler(current: &[f64], reference: &[f64]) -> Option<f64> {
    let (current, reference) = (shares(current)?, shares(reference)?);
    if current.len() != reference.len() {
        return None;
    }
    let mut sum = 0.0;
    for (now, before) in current.iter().zip(&reference) {
        if *now > 0.0 {
            if *before <= 0.0 {
                return None;
            }
            sum += now * libm::log(now / before);
        }
    }
    Some(sum)
}

/// Returns the population stability index, Σ(current - reference) ln(current / reference).
///
/// Empty bins count as 0.01 %. Without any drift it is about (bins - 1)(1/n + 1/m): no small sample can pass a fixed bar.
pub fn stability_index(current: &[f64], reference: &[f64]) -> Option<f64> {
    let (current, reference) = (shares(current)?, shares(reference)?);
    (current.len() == reference.len()).then(|| {
        current
            .iter()
            .zip(&reference)
            .map(|(now, before)| {
                let (now, before) = (now.max(EMPTY_BIN), before.max(EMPTY_BIN));
                (now - before) * libm::log(now / before)
            })
            .sum()
    })
}
