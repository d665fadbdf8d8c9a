//! The little linear algebra that statistics need: leading singular values of a sparse matrix, and a ridge solved.

use crate::seed::Branch;

/// Rounds of subspace iteration; with half as many directions again as are wanted, the last one is right to 10⁻⁴.
const ROUNDS: u32 = 18;
/// Sweeps of Jacobi's method; it converges quadratically, and a dozen are more than it ever needs.
const SWEEPS: u32 = 12;

/// A sparse matrix as its entries: row, column, value.
pub(super) struct Sparse {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) entries: Vec<(u32, u32, f64)>,
}

impl Sparse {
    /// Multiplies with a block of vectors, which are rows of `width` numbers, one for each column of the matrix.
    fn times(&self, block: &[f64], width: usize) -> Vec<f64> {
        let mut out = vec![0.0; self.rows * width];
        for (row, column, value) in &self.entries {
            let from = &block[*column as usize * width..][..width];
            let to = &mut out[*row as usize * width..][..width];
            for (to, from) in to.iter_mut().zip(from) {
                *to += value * from;
            }
        }
        out
    }

    fn transposed_times(&self, block: &[f64], width: usize) -> Vec<f64> {
        let mut out = vec![0.0; self.columns * width];
        for (row, column, value) in &self.entries {
            let from = &block[*row as usize * width..][..width];
            let to = &mut out[*column as usize * width..][..width];
            for (to, from) in to.iter_mut().zip(from) {
                *to += value * from;
            }
        }
        out
    }

    /// Returns the leading singular values, falling, by subspace iteration (Halko, Martinsson and Tropp 2011).
    pub(super) fn singular_values(&self, wanted: usize, branch: &Branch) -> Vec<f64> {
        let width = (2 * wanted + 10).min(self.rows).min(self.columns);
        if width == 0 {
            return Vec::new();
        }
        let mut draws = branch.at(0);
        let mut block: Vec<f64> = (0..self.columns * width).map(|_| draws.normal()).collect();
        for _ in 0..ROUNDS {
            orthonormalise(&mut block, width);
            block = self.transposed_times(&self.times(&block, width), width);
        }
        orthonormalise(&mut block, width);
        let image = self.times(&block, width);
        let mut gram = vec![0.0; width * width];
        for row in image.chunks_exact(width) {
            for (a, left) in row.iter().enumerate() {
                for (b, right) in row.iter().enumerate().take(a + 1) {
                    gram[a * width + b] += left * right;
                }
            }
        }
        for a in 0..width {
            for b in 0..a {
                gram[b * width + a] = gram[a * width + b];
            }
        }
        let mut values = eigenvalues(gram, width);
        values.truncate(wanted);
        values
            .into_iter()
            .map(|value| libm::sqrt(value.max(0.0)))
            .collect()
    }
}

/// Makes the columns of a block orthonormal by Gram and Schmidt, twice for accuracy; a dependent column becomes 0.
fn orthonormalise(block: &mut [f64], width: usize) {
    let height = block.len() / width;
    let mut columns: Vec<Vec<f64>> = (0..width)
        .map(|column| (0..height).map(|row| block[row * width + column]).collect())
        .collect();
    for place in 0..width {
        let (before, rest) = columns.split_at_mut(place);
        let own = &mut rest[0];
        let size = libm::sqrt(dot(own, own));
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(own, other);
                for (value, other) in own.iter_mut().zip(other) {
                    *value -= along * other;
                }
            }
        }
        let left = libm::sqrt(dot(own, own));
        let scale = if left > 1e-12 * size { 1.0 / left } else { 0.0 };
        for value in own.iter_mut() {
            *value *= scale;
        }
    }
    for (column, values) in columns.iter().enumerate() {
        for (row, value) in values.iter().enumerate() {
            block[row * width + column] = *value;
        }
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_left) = a.as_chunks::<8>();
    let (b, b_left) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + a_left.iter().zip(b_left).map(|(a, b)| a * b).sum::<f64>()
}

/// Returns the eigenvalues of a symmetric matrix, falling, by Jacobi's rotations.
fn eigenvalues(mut matrix: Vec<f64>, n: usize) -> Vec<f64> {
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let off = matrix[p * n + q];
                let (pp, qq) = (matrix[p * n + p], matrix[q * n + q]);
                if off.abs() <= 1e-14 * (pp.abs() + qq.abs()) {
                    continue;
                }
                rotated = true;
                let theta = (qq - pp) / (2.0 * off);
                let t = theta.signum() / (theta.abs() + libm::sqrt(theta * theta + 1.0));
                let c = 1.0 / libm::sqrt(t * t + 1.0);
                let s = t * c;
                for k in 0..n {
                    let (a, b) = (matrix[k * n + p], matrix[k * n + q]);
                    matrix[k * n + p] = c * a - s * b;
                    matrix[k * n + q] = s * a + c * b;
                }
                for k in 0..n {
                    let (a, b) = (matrix[p * n + k], matrix[q * n + k]);
                    matrix[p * n + k] = c * a - s * b;
                    matrix[q * n + k] = s * a + c * b;
                }
            }
        }
        if !rotated {
            break;
        }
    }
    let mut values: Vec<f64> = (0..n).map(|place| matrix[place * n + place]).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

/// Solves a symmetric positive system for several right-hand sides by Cholesky's factors; none where it is not positive.
pub(super) fn solve<const SIDES: usize>(
    mut rows: Vec<Vec<f64>>,
    mut sides: Vec<[f64; SIDES]>,
) -> Option<Vec<[f64; SIDES]>> {
    let n = rows.len();
    for i in 0..n {
        let (before, rest) = rows.split_at_mut(i);
        let own = &mut rest[0];
        for (j, other) in before.iter().enumerate() {
            own[j] = (own[j] - dot(&own[..j], &other[..j])) / other[j];
        }
        let pivot = own[i] - dot(&own[..i], &own[..i]);
        if pivot <= 0.0 {
            return None;
        }
        own[i] = libm::sqrt(pivot);
    }
    for (i, row) in rows.iter().enumerate() {
        let (before, rest) = sides.split_at_mut(i);
        for (side, value) in rest[0].iter_mut().enumerate() {
            let known: f64 = row
                .iter()
                .zip(&*before)
                .map(|(row, solved)| row * solved[side])
                .sum();
            *value = (*value - known) / row[i];
        }
    }
    for i in (0..n).rev() {
        let (before, after) = sides.split_at_mut(i + 1);
        for (side, value) in before[i].iter_mut().enumerate() {
            let below = rows[i + 1..].iter().zip(&*after);
            let known: f64 = below.map(|(row, solved)| row[i] * solved[side]).sum();
            *value = (*value - known) / rows[i][i];
        }
    }
    Some(sides)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;

    #[test]
    fn singular_values_of_a_known_matrix() {
        // A diagonal of 3, 2, 1 with its rows and columns in other order.
        let matrix = Sparse {
            rows: 4,
            columns: 3,
            entries: vec![(2, 0, 1.0), (0, 1, 3.0), (3, 2, -2.0)],
        };
        let values = matrix.singular_values(3, &Key::from_seed(1).branch("test"));
        for (value, wanted) in values.iter().zip([3.0, 2.0, 1.0]) {
            assert!((value - wanted).abs() < 1e-9, "{values:?}");
        }
        // All ones: one direction of the root of rows times columns.
        let ones = (0..20)
            .flat_map(|row| (0..30).map(move |column| (row, column, 1.0)))
            .collect();
        let matrix = Sparse {
            rows: 20,
            columns: 30,
            entries: ones,
        };
        let values = matrix.singular_values(2, &Key::from_seed(1).branch("test"));
        assert!(
            (values[0] - 600_f64.sqrt()).abs() < 1e-9 && values[1] < 1e-6,
            "{values:?}"
        );
    }

    #[test]
    fn a_positive_system_is_solved() {
        let rows = vec![vec![4.0, 2.0], vec![2.0, 3.0]];
        let solved = solve(rows, vec![[8.0], [7.0]]).unwrap();
        assert!((solved[0][0] - 1.25).abs() < 1e-12 && (solved[1][0] - 1.5).abs() < 1e-12);
        assert_eq!(
            solve(vec![vec![1.0, 2.0], vec![2.0, 1.0]], vec![[1.0], [1.0]]),
            None
        );
    }
}
