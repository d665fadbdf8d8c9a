//! Exact tails of the binomial distribution, and what follows from them without any approximation.

/// The tails of a binomial sum, by the recurrence of its probabilities from the largest term outwards.
///
/// Every term is positive, so that a small tail is as exact as a large one; no incomplete beta function is needed.
fn sum_between(from: u64, to: u64, n: u64, p: f64) -> f64 {
    if from > to {
        return 0.0;
    }
    if p <= 0.0 || p >= 1.0 {
        let only = if p <= 0.0 { 0 } else { n };
        return f64::from(u8::from((from..=to).contains(&only)));
    }
    let mode = (((n + 1) as f64 * p).floor() as u64).min(n);
    let start = mode.clamp(from, to);
    let odds = p / (1.0 - p);
    let top = probability(start, n, p);
    let mut sum = top;
    let mut term = top;
    for k in (from..start).rev() {
        term *= (k + 1) as f64 / ((n - k) as f64 * odds);
        sum += term;
    }
    term = top;
    for k in start + 1..=to {
        term *= (n - k + 1) as f64 / k as f64 * odds;
        sum += term;
    }
    sum.min(1.0)
}

/// Returns P(X = k) for X binomial.
pub fn probability(k: u64, n: u64, p: f64) -> f64 {
    let (k, n) = (k as f64, n as f64);
    let choose = libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0);
    libm::exp(choose + k * libm::log(p) + (n - k) * libm::log1p(-p))
}

/// Returns P(X ≤ k) for X binomial.
pub fn at_most(k: u64, n: u64, p: f64) -> f64 {
    sum_between(0, k.min(n), n, p)
}

/// Returns P(X ≥ k) for X binomial.
pub fn at_least(k: u64, n: u64, p: f64) -> f64 {
    sum_between(k, n, n, p)
}

/// The probabilities of a sign test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignTest {
    /// Of a count at least this far from half, on either side.
    pub two_sided: f64,
    /// Of at least this many positive signs.
    pub greater: f64,
    /// Of at most this many positive signs.
    pub less: f64,
}

/// Tests whether positive and negative differences are equally likely; zeros are left out before.
pub fn sign_test(positives: u64, non_zero: u64) -> SignTest {
    let greater = at_least(positives, non_zero, 0.5);
    let less = at_most(positives, non_zero, 0.5);
    SignTest {
        two_sided: (2.0 * greater.min(less)).min(1.0),
        greater,
        less,
    }
}

/// Returns the fewest requests, all in time, that prove the share `p` in time with an error of at most `alpha`.
///
/// None unless both lie strictly between 0 and 1.
pub fn least_n_without_miss(p: f64, alpha: f64) -> Option<u64> {
    let inside = |share: f64| share > 0.0 && share < 1.0;
    if !inside(p) || !inside(alpha) {
        return None;
    }
    let wanted = libm::log(alpha) / libm::log(p);
    // The quotient may err in its last digit: ask its neighbours which is the first to prove it.
    let near = wanted.floor() as u64;
    (near.max(1)..=near + 2).find(|n| *n as f64 * libm::log(p) <= libm::log(alpha))
}
