//! The difference of a group to the rest among those who are alike in something else.

use super::normal_quantile;
use crate::scorecard::Interval;

/// What a comparison is made of: one value, one place in or out of the group, and one covariate for each unit.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    /// What is compared.
    pub value: f64,
    /// Whether the unit is in the group.
    pub in_group: bool,
    /// What is held fixed.
    pub covariate: f64,
}

/// Returns how much higher the group's value is than the rest's at the same covariate, and its interval.
///
/// The coefficient of the group in a least-squares fit of the value on the group, the covariate and its square, found after
/// taking those two out of both (Frisch and Waugh 1933, Lovell 1963); the interval by errors that need no equal variances
/// (HC3 of MacKinnon and White 1985) and the normal distribution. None with fewer than ten units, or where the covariate
/// tells who is in the group.
pub fn adjusted_difference(units: &[Unit], level: f64) -> Option<(f64, Interval)> {
    if units.len() < LEAST {
        return None;
    }
    let constant = vec![1.0 / libm::sqrt(units.len() as f64); units.len()];
    let mut basis = vec![constant];
    let powers: [fn(f64) -> f64; 2] = [|covariate| covariate, |covariate| covariate * covariate];
    for power in powers {
        let column: Vec<f64> = units.iter().map(|unit| power(unit.covariate)).collect();
        let scale = libm::sqrt(column.iter().map(|value| value * value).sum());
        let mut left = without(column, &basis);
        // Taken out twice: what rounding leaves of the others the first time is gone then.
        left = without(left, &basis);
        let norm = libm::sqrt(left.iter().map(|value| value * value).sum());
        // A covariate that takes one or two values has no square of its own to take out.
        if norm > TOLD * scale {
            basis.push(left.iter().map(|value| value / norm).collect());
        }
    }
    let value = without(units.iter().map(|unit| unit.value).collect(), &basis);
    let group: Vec<f64> = units
        .iter()
        .map(|unit| f64::from(u8::from(unit.in_group)))
        .collect();
    let members = group.iter().sum::<f64>();
    let group = without(group, &basis);
    let own: f64 = group.iter().map(|value| value * value).sum();
    if own <= TOLD * members {
        return None;
    }
    let difference = group.iter().zip(&value).map(|(z, y)| z * y).sum::<f64>() / own;
    let variance: f64 = (0..units.len())
        .map(|place| {
            let z = group[place];
            let leverage = basis
                .iter()
                .map(|column| column[place] * column[place])
                .sum::<f64>()
                + z * z / own;
            // A unit that alone decides a coefficient has no error to be seen.
            let residual = (value[place] - difference * z) / (1.0 - leverage).max(TOLD);
            z * z * residual * residual
        })
        .sum();
    let half = normal_quantile(0.5 + level / 2.0)? * libm::sqrt(variance) / own;
    let interval = Interval {
        low: difference - half,
        high: difference + half,
        level,
    };
    Some((difference, interval))
}

/// The units that a fit of four coefficients needs to say anything.
const LEAST: usize = 10;
/// What of a column must be left, relatively, to count as more than rounding.
const TOLD: f64 = 1e-9;

/// Takes orthonormal columns out of a column.
fn without(mut column: Vec<f64>, basis: &[Vec<f64>]) -> Vec<f64> {
    for other in basis {
        let part: f64 = other.iter().zip(&column).map(|(a, b)| a * b).sum();
        for (value, other) in column.iter_mut().zip(other) {
            *value -= part * other;
        }
    }
    column
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;

    fn unit(value: f64, in_group: bool, covariate: f64) -> Unit {
        Unit {
            value,
            in_group,
            covariate,
        }
    }

    #[test]
    fn it_equals_the_coefficient_and_hc3_error_of_statsmodels() {
        // statsmodels 0.15: OLS(value ~ group + x + x²).fit(cov_type="HC3") on these twelve units.
        let units: Vec<Unit> = (0..12)
            .map(|place| {
                let x = f64::from(place) * 0.5;
                let wave = f64::from(place * 7 % 5);
                unit(0.3 * x - 0.02 * x * x + 0.1 * wave, place % 3 == 0, x)
            })
            .collect();
        let (difference, interval) = adjusted_difference(&units, 0.95).unwrap();
        assert!((difference - EXPECTED.0).abs() < 1e-9, "{difference}");
        let error = (interval.high - difference) / 1.959_963_984_540_054;
        assert!((error - EXPECTED.1).abs() < 1e-9, "{error}");
    }

    const EXPECTED: (f64, f64) = (-0.049_295_774_647_887_66, 0.118_147_005_978_632_13);

    #[test]
    fn a_difference_that_is_all_activity_is_adjusted_away_and_one_of_its_own_stays() {
        let mut draws = Key::from_seed(3).branch("adjusted").at(0);
        for own in [0.0, 0.2] {
            let units: Vec<Unit> = (0..2_000)
                .map(|place| {
                    let in_group = place % 4 == 0;
                    let activity = draws.normal() - if in_group { 1.0 } else { 0.0 };
                    let value = -0.1 * activity + if in_group { own } else { 0.0 } + 0.1 * draws.normal();
                    unit(value, in_group, activity)
                })
                .collect();
            let (difference, interval) = adjusted_difference(&units, 0.98).unwrap();
            assert!(
                interval.low < own && own < interval.high,
                "{difference} {interval:?}"
            );
            assert!(interval.high - interval.low < 0.05);
        }
    }

    #[test]
    fn what_cannot_be_told_apart_has_no_difference() {
        let told: Vec<Unit> = (0..20)
            .map(|place| unit(1.0, place < 10, f64::from(u8::from(place < 10))))
            .collect();
        assert_eq!(adjusted_difference(&told, 0.95), None);
        let all: Vec<Unit> = (0..20).map(|place| unit(1.0, true, f64::from(place))).collect();
        assert_eq!(adjusted_difference(&all, 0.95), None);
        assert_eq!(adjusted_difference(&told[..5], 0.95), None);
    }
}
