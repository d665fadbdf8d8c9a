//! Singular values: how many directions a log has.

use ndarray::Array2;

use crate::seed::Branch;

/// Vectors that are carried beside those that are wanted, and the rounds of iteration.
const BESIDE: usize = 30;
const ROUNDS: usize = 14;

/// Returns the largest singular values, the largest first (subspace iteration, Halko, Martinsson and Tropp 2011).
pub(super) fn singular_values(matrix: &Array2<f64>, wanted: usize, branch: &Branch) -> Vec<f64> {
    let wide = (wanted + BESIDE).min(matrix.nrows()).min(matrix.ncols());
    let mut draws = branch.at(0);
    let mut vectors = Array2::from_shape_simple_fn((matrix.ncols(), wide), || draws.normal());
    for _ in 0..ROUNDS {
        orthonormalise(&mut vectors);
        vectors = matrix.t().dot(&matrix.dot(&vectors));
    }
    orthonormalise(&mut vectors);
    let image = matrix.dot(&vectors);
    let mut values: Vec<f64> = eigenvalues(image.t().dot(&image))
        .into_iter()
        .map(|value| libm::sqrt(value.max(0.0)))
        .collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values.truncate(wanted);
    values
}

/// Makes the columns orthonormal by the Cholesky factor of their products, twice for accuracy.
fn orthonormalise(vectors: &mut Array2<f64>) {
    for _ in 0..2 {
        let products = vectors.t().dot(&*vectors);
        let size = products.nrows();
        let mut factor = Array2::<f64>::zeros((size, size));
        for row in 0..size {
            for column in 0..=row {
                let done: f64 = (0..column)
                    .map(|place| factor[[row, place]] * factor[[column, place]])
                    .sum();
                let left = products[[row, column]] - done;
                factor[[row, column]] = if row == column {
                    libm::sqrt(left.max(1e-300))
                } else {
                    left / factor[[column, column]]
                };
            }
        }
        // Columns times the inverse of the factor's transpose, by substitution.
        for column in 0..size {
            for before in 0..column {
                let weight = factor[[column, before]];
                let part = &vectors.column(before) * weight;
                let mut own = vectors.column_mut(column);
                own -= &part;
            }
            let scale = 1.0 / factor[[column, column]];
            vectors.column_mut(column).mapv_inplace(|value| value * scale);
        }
    }
}

/// The eigenvalues of a symmetric matrix by Jacobi's rotations.
fn eigenvalues(mut matrix: Array2<f64>) -> Vec<f64> {
    let size = matrix.nrows();
    for _ in 0..30 {
        let off: f64 = (0..size)
            .flat_map(|row| (0..row).map(move |column| (row, column)))
            .map(|place| matrix[place] * matrix[place])
            .sum();
        if off < 1e-18 * matrix.diag().iter().map(|value| value * value).sum::<f64>() {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut matrix, p, q);
            }
        }
    }
    matrix.diag().to_vec()
}

fn rotate(matrix: &mut Array2<f64>, p: usize, q: usize) {
    let off = matrix[[p, q]];
    if off == 0.0 {
        return;
    }
    let theta = (matrix[[q, q]] - matrix[[p, p]]) / (2.0 * off);
    let t = theta.signum() / (theta.abs() + libm::sqrt(theta * theta + 1.0));
    let c = 1.0 / libm::sqrt(t * t + 1.0);
    let s = t * c;
    for place in 0..matrix.nrows() {
        let (a, b) = (matrix[[place, p]], matrix[[place, q]]);
        matrix[[place, p]] = c * a - s * b;
        matrix[[place, q]] = s * a + c * b;
    }
    for place in 0..matrix.nrows() {
        let (a, b) = (matrix[[p, place]], matrix[[q, place]]);
        matrix[[p, place]] = c * a - s * b;
        matrix[[q, place]] = s * a + c * b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;

    #[test]
    fn the_singular_values_of_a_known_matrix_are_found() {
        let branch = Key::from_seed(1).branch("spectrum");
        let mut matrix = Array2::zeros((90, 70));
        for place in 0..70 {
            matrix[[place, (place * 3) % 70]] = 100.0 - place as f64;
        }
        let values = singular_values(&matrix, 5, &branch);
        for (value, wanted) in values.iter().zip([100.0, 99.0, 98.0, 97.0, 96.0]) {
            assert!((value - wanted).abs() < 0.05, "{values:?}");
        }
        let sum: f64 = singular_values(&matrix, 70, &branch)
            .iter()
            .map(|value| value * value)
            .sum();
        let wanted: f64 = matrix.iter().map(|value| value * value).sum();
        assert!((sum / wanted - 1.0).abs() < 1e-9);
    }
}
