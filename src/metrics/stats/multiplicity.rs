//! Probabilities of several tests at once, adjusted so that their number does not make findings out of noise.

/// How probabilities are adjusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// Times the number of tests: no false finding at all, whatever the tests' dependence.
    Bonferroni,
    /// Holm (1979): the same promise, never less powerful.
    Holm,
    /// Holm's steps with Šidák's exact product, for tests that are independent.
    HolmSidak,
    /// Hochberg's steps upwards (1988), for tests that are not negatively dependent.
    Hochberg,
    /// Benjamini and Hochberg (1995): a bound on the share of false findings.
    BenjaminiHochberg,
}

/// Returns the adjusted probabilities in the order given: reject those that are at most the level.
pub fn adjusted(p: &[f64], adjustment: Adjustment) -> Vec<f64> {
    let n = p.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let step = |rank: usize| {
        let value = p[order[rank]];
        let left = (n - rank) as f64;
        match adjustment {
            Adjustment::Bonferroni => value * n as f64,
            Adjustment::Holm | Adjustment::Hochberg => value * left,
            Adjustment::HolmSidak => -libm::expm1(left * libm::log1p(-value)),
            Adjustment::BenjaminiHochberg => value * n as f64 / (rank as f64 + 1.0),
        }
    };
    let mut steps: Vec<f64> = (0..n).map(|rank| step(rank).min(1.0)).collect();
    match adjustment {
        Adjustment::Bonferroni => {}
        Adjustment::Holm | Adjustment::HolmSidak => {
            for rank in 1..n {
                steps[rank] = steps[rank].max(steps[rank - 1]);
            }
        }
        Adjustment::Hochberg | Adjustment::BenjaminiHochberg => {
            for rank in (1..n).rev() {
                steps[rank - 1] = steps[rank - 1].min(steps[rank]);
            }
        }
    }
    let mut found = vec![0.0; n];
    for (rank, place) in order.into_iter().enumerate() {
        found[place] = steps[rank];
    }
    found
}
