//! The moments of a log that tell a real one from a naive simulator's, by the names of the reference.

mod choice;
mod rating;
mod spectrum;
mod watching;

use super::dataset::Dataset;
use crate::seed::Branch;

/// One figure of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// What it is about: `choice`, `rating` or `watching`.
    pub part: &'static str,
    /// Its name, that of the reference where the reference has it.
    pub name: String,
    /// Its value; none where the log does not tell.
    pub value: Option<f64>,
    /// What it is, in a phrase.
    pub about: &'static str,
}

/// Measures a log. Draws decide the order of permuted residuals and of folds alone.
pub fn moments(data: &Dataset, branch: &Branch) -> Vec<Moment> {
    let mut all = choice::moments(data, branch);
    all.extend(rating::moments(data, branch));
    all.extend(watching::moments(data));
    for moment in &mut all {
        moment.value = moment.value.filter(|value| value.is_finite());
    }
    all
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation over a whole population.
fn deviation(values: &[f64]) -> Option<f64> {
    let centre = mean(values)?;
    let squares: Vec<f64> = values
        .iter()
        .map(|value| (value - centre) * (value - centre))
        .collect();
    mean(&squares).map(libm::sqrt)
}

/// Pearson's correlation.
fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (mean(a)?, mean(b)?);
    let products: Vec<f64> = a
        .iter()
        .zip(b)
        .map(|(a, b)| (a - mean_a) * (b - mean_b))
        .collect();
    Some(mean(&products)? / (deviation(a)? * deviation(b)?))
}

/// Spearman's correlation: Pearson's of ranks, ties at their mean rank.
fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    pearson(&ranks(a), &ranks(b))
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let mut to = from + 1;
        while to < order.len() && values[order[to]] == values[order[from]] {
            to += 1;
        }
        for place in &order[from..to] {
            ranks[*place] = (from + to - 1) as f64 / 2.0;
        }
        from = to;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_are_those_of_the_textbook() {
        let a = [1.0, 2.0, 3.0, 4.0];
        assert!((pearson(&a, &[2.0, 4.0, 6.0, 8.0]).unwrap() - 1.0).abs() < 1e-12);
        assert!((spearman(&a, &[1.0, 10.0, 100.0, 50.0]).unwrap() - 0.8).abs() < 1e-12);
        assert_eq!(ranks(&[5.0, 1.0, 5.0]), [1.5, 0.0, 1.5]);
        assert_eq!(mean(&[]), None);
    }
}
