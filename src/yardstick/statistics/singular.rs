//! Leading singular values of a sparse matrix.

use crate::seed::Branch;
use crate::yardstick::linear::{add_scaled, eigenvectors, orthonormalise, orthonormalise_roughly};

/// Rounds of subspace iteration; with half as many directions again as are wanted, the last one is right to 10⁻⁴.
const ROUNDS: u32 = 18;
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
            orthonormalise_block(&mut block, width, orthonormalise_roughly);
            block = self.transposed_times(&self.times(&block, width), width);
        }
        orthonormalise_block(&mut block, width, orthonormalise);
        let image = self.times(&block, width);
        let mut gram = vec![vec![0.0; width]; width];
        for row in image.chunks_exact(width) {
            for (own, left) in gram.iter_mut().zip(row) {
                add_scaled(own, *left, row);
            }
        }
        eigenvectors(&mut gram);
        let mut values: Vec<f64> = (0..width).map(|place| gram[place][place]).collect();
        values.sort_by(|a, b| b.total_cmp(a));
        values.truncate(wanted);
        values
            .into_iter()
            .map(|value| libm::sqrt(value.max(0.0)))
            .collect()
    }
}

/// Makes the columns of a block orthonormal.
fn orthonormalise_block(block: &mut [f64], width: usize, make: fn(&mut [Vec<f64>])) {
    let height = block.len() / width;
    let mut columns: Vec<Vec<f64>> = (0..width)
        .map(|column| (0..height).map(|row| block[row * width + column]).collect())
        .collect();
    make(&mut columns);
    for (column, values) in columns.iter().enumerate() {
        for (row, value) in values.iter().enumerate() {
            block[row * width + column] = *value;
        }
    }
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
}
