//! The distribution of Kolmogorov's largest distance for n values (the methods of Simard and L'Ecuyer 2011).

use std::f64::consts::PI;

/// Sizes up to this one are computed exactly.
const EXACT: u64 = 140;
/// Terms of the series of Pelz and Good: they fall off like exp(-k²), so that few matter.
const TERMS: i32 = 40;
/// Powers of ten by which a matrix is rescaled before it leaves the range of doubles.
const RESCALE: f64 = 1e140;

/// Returns the probability that the distance of n values to their distribution is at least `x`.
pub(super) fn exceeded(n: u64, x: f64) -> f64 {
    let size = n as f64;
    let t = size * x;
    if n == 0 || t <= 0.5 {
        return 1.0;
    }
    if x >= 1.0 {
        return 0.0;
    }
    let squared = t * x;
    let upper_tail = x >= 0.5 || (n <= EXACT && squared > 4.0) || (n > EXACT && squared >= 2.2);
    if upper_tail {
        // Both distances can't be this large but with a probability beyond a double's digits.
        return (2.0 * one_sided(n, x)).min(1.0);
    }
    let within = if n <= EXACT || (n <= 100_000 && size * libm::pow(x, 1.5) <= 1.4) {
        durbin(n, x)
    } else {
        pelz_good(size, x)
    };
    (1.0 - within).clamp(0.0, 1.0)
}

/// Returns the probability that the one-sided distance is at least `x` (Smirnov): a sum of positive terms.
fn one_sided(n: u64, x: f64) -> f64 {
    let size = n as f64;
    let last = (size * (1.0 - x)).floor() as u64;
    let whole = libm::lgamma(size + 1.0);
    (0..=last)
        .map(|j| {
            let j = j as f64;
            let (up, down) = (x + j / size, 1.0 - x - j / size);
            if down <= 0.0 {
                return 0.0;
            }
            let choose = whole - libm::lgamma(j + 1.0) - libm::lgamma(size - j + 1.0);
            x * libm::exp(choose + (j - 1.0) * libm::log(up) + (size - j) * libm::log(down))
        })
        .sum()
}

/// A square matrix and the power of ten it is to be multiplied with.
struct Scaled {
    side: usize,
    cells: Vec<f64>,
    exponent: i32,
}

impl Scaled {
    fn times(&self, other: &Self) -> Self {
        let side = self.side;
        let mut cells = vec![0.0; side * side];
        for row in 0..side {
            for column in 0..side {
                cells[row * side + column] = (0..side)
                    .map(|k| self.cells[row * side + k] * other.cells[k * side + column])
                    .sum();
            }
        }
        let mut product = Self {
            side,
            cells,
            exponent: self.exponent + other.exponent,
        };
        if product.cells[(side / 2) * side + side / 2] > RESCALE {
            for cell in &mut product.cells {
                *cell /= RESCALE;
            }
            product.exponent += 140;
        }
        product
    }
}

/// Returns the probability of a distance below `x`, exactly (Durbin 1973 as computed by Marsaglia, Tsang and Wang 2003).
fn durbin(n: u64, x: f64) -> f64 {
    let t = n as f64 * x;
    let k = t as usize + 1;
    let side = 2 * k - 1;
    let rest = k as f64 - t;
    let mut cells = vec![0.0; side * side];
    for row in 0..side {
        for column in 0..side.min(row + 2) {
            cells[row * side + column] = 1.0;
        }
    }
    for i in 0..side {
        let power = libm::pow(rest, i as f64 + 1.0);
        cells[i * side] -= power;
        cells[(side - 1) * side + (side - 1 - i)] -= power;
    }
    if 2.0 * rest > 1.0 {
        cells[(side - 1) * side] += libm::pow(2.0 * rest - 1.0, side as f64);
    }
    for row in 0..side {
        for column in 0..side.min(row + 1) {
            let steps = row + 1 - column;
            cells[row * side + column] /= libm::tgamma(steps as f64 + 1.0);
        }
    }
    let base = Scaled {
        side,
        cells,
        exponent: 0,
    };
    let power = to_the_power(&base, n);
    let mut found = power.cells[(k - 1) * side + k - 1];
    let mut exponent = power.exponent;
    for i in 1..=n {
        found *= i as f64 / n as f64;
        if found < 1.0 / RESCALE {
            found *= RESCALE;
            exponent -= 140;
        }
    }
    found * libm::pow(10.0, f64::from(exponent))
}

fn to_the_power(base: &Scaled, power: u64) -> Scaled {
    let mut found = Scaled {
        side: base.side,
        cells: base.cells.clone(),
        exponent: base.exponent,
    };
    // The bits of the power below its highest, from high to low.
    for bit in (0..power.ilog2()).rev() {
        found = found.times(&found);
        if power >> bit & 1 == 1 {
            found = found.times(base);
        }
    }
    found
}

/// Returns the probability of a distance below `x` for large n: the limit and three corrections (Pelz and Good 1976).
///
/// The last sum has the factor of scipy, 1/216 over all k, to which the values are held; it matters in the sixth digit.
fn pelz_good(n: f64, x: f64) -> f64 {
    let z = libm::sqrt(n) * x;
    let z2 = z * z;
    let (z4, z6) = (z2 * z2, z2 * z2 * z2);
    let half = libm::sqrt(PI / 2.0);
    let pi2 = PI * PI;
    // Sums over all whole k; `shifted` has k + 1/2 in place of k.
    let sum = |shift: f64, term: &dyn Fn(f64) -> f64| {
        (-TERMS..TERMS)
            .map(|k| {
                let square = (f64::from(k) + shift) * (f64::from(k) + shift);
                term(square) * libm::exp(-pi2 * square / (2.0 * z2))
            })
            .sum::<f64>()
    };
    let limit = half / z * sum(0.5, &|_| 1.0);
    let first = half / (6.0 * z4) * sum(0.5, &|s| pi2 * s - z2);
    let second = half / (72.0 * z6 * z)
        * sum(0.5, &|s| {
            6.0 * z6 + 2.0 * z4 + pi2 * (2.0 * z4 - 5.0 * z2) * s + pi2 * pi2 * (1.0 - 2.0 * z2) * s * s
        })
        - half / (36.0 * z2 * z) * sum(0.0, &|s| pi2 * s);
    let third = half / (6480.0 * z6 * z4)
        * sum(0.5, &|s| {
            pi2 * pi2 * pi2 * s * s * s * (5.0 - 30.0 * z2)
                + pi2 * pi2 * s * s * (-60.0 * z2 + 212.0 * z4)
                + pi2 * s * (135.0 * z4 - 96.0 * z6)
                - (30.0 * z6 + 90.0 * z4 * z4)
        })
        + half / (216.0 * z6) * sum(0.0, &|s| -pi2 * pi2 * s * s + 3.0 * pi2 * s * z2);
    limit + first / libm::sqrt(n) + second / n + third / (n * libm::sqrt(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_and_the_asymptotic_distribution_agree_where_both_hold() {
        for n in [150, 400] {
            for distance in [0.04, 0.06, 0.08] {
                let gap = durbin(n, distance) - pelz_good(n as f64, distance);
                assert!(gap.abs() < 1e-5, "{n} {distance} {gap}");
            }
        }
    }

    #[test]
    fn the_probability_falls_with_the_distance_across_all_methods() {
        for n in [1, 2, 10, 140, 141, 1000] {
            let mut last = 1.0;
            for step in 0..200 {
                let p = exceeded(n, f64::from(step) / 200.0);
                assert!(p <= last + 1e-6 && p >= 0.0, "{n} {step} {p} {last}");
                last = p;
            }
        }
    }
}
