//! The linear algebra that rankers and statistics need: dense systems, an inverse, an orthonormal basis, the symmetric eigenproblem.
//!
//! Written out, because a library of generic code runs unoptimised in this crate's own tests, and each is short.

/// Below this a pivot or a length is taken for zero.
const TINY: f64 = 1e-12;
/// Sweeps of the eigenproblem: it converges quadratically, and ten are plenty for the sizes here.
const MOST_SWEEPS: usize = 30;

/// Vectors of one width, one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Vectors {
    /// The length of each vector.
    pub(super) width: usize,
    /// All of their entries.
    pub(super) cells: Vec<f64>,
}

impl Vectors {
    /// Makes `count` vectors from a source of entries.
    pub(super) fn from_fn(count: usize, width: usize, mut entry: impl FnMut() -> f64) -> Self {
        Self {
            width,
            cells: (0..count * width).map(|_| entry()).collect(),
        }
    }

    /// Makes `count` vectors of zeros.
    pub(super) fn zeros(count: usize, width: usize) -> Self {
        Self {
            width,
            cells: vec![0.0; count * width],
        }
    }

    /// Returns a vector.
    pub(super) fn row(&self, index: usize) -> &[f64] {
        &self.cells[index * self.width..(index + 1) * self.width]
    }

    /// Returns a vector to be changed.
    pub(super) fn row_mut(&mut self, index: usize) -> &mut [f64] {
        &mut self.cells[index * self.width..(index + 1) * self.width]
    }
}

/// Returns the inner product of two vectors of one length: eight sums side by side, always added in this order.
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

/// Adds `factor` times a vector to another.
pub(super) fn add_scaled(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

/// Adds `weight` times the outer product of a vector with itself to the lower half of a square matrix.
pub(super) fn add_outer(to: &mut [f64], weight: f64, vector: &[f64]) {
    for (row, (cells, entry)) in to.chunks_exact_mut(vector.len()).zip(vector).enumerate() {
        add_scaled(&mut cells[..=row], weight * entry, &vector[..=row]);
    }
}

/// Solves `a x = b` for a symmetric positive definite `a`, of which the lower half is read.
///
/// `a` (n x n, row after row) is overwritten by its factor and `b` (n) by the solution. What the data does not determine stays
/// finite.
pub(super) fn solve(a: &mut [f64], b: &mut [f64]) {
    factor(a, b.len());
    substitute(a, b);
}

/// Overwrites the lower half of a symmetric matrix (n x n, row after row) by its Cholesky factor.
///
/// A pivot that is no more than rounding is raised to [`TINY`]; tells whether none had to be.
pub(super) fn factor(a: &mut [f64], n: usize) -> bool {
    let mut is_definite = true;
    for row in 0..n {
        let (above, rest) = a.split_at_mut(row * n);
        let current = &mut rest[..=row];
        for column in 0..row {
            let other = &above[column * n..=column * n + column];
            let left = current[column] - dot(&current[..column], &other[..column]);
            current[column] = left / other[column];
        }
        let left = current[row] - dot(&current[..row], &current[..row]);
        is_definite &= left > TINY;
        current[row] = left.max(TINY).sqrt();
    }
    is_definite
}

/// Overwrites `b` by the solution of `a x = b`, given the factor of `a`.
pub(super) fn substitute(factor: &[f64], b: &mut [f64]) {
    let n = b.len();
    for row in 0..n {
        let current = &factor[row * n..=row * n + row];
        b[row] = (b[row] - dot(&current[..row], &b[..row])) / current[row];
    }
    for row in (0..n).rev() {
        b[row] /= factor[row * n + row];
        let (before, current) = b.split_at_mut(row);
        add_scaled(before, -current[0], &factor[row * n..row * n + row]);
    }
}

/// Replaces a symmetric positive definite matrix (n x n, row after row) by its inverse (sweep operator, Goodnight 1979).
///
/// Reads the lower half and writes both.
pub(super) fn invert(a: &mut [f64], n: usize) {
    let mut column = vec![0.0; n];
    for pivot in 0..n {
        for (row, cell) in column.iter_mut().enumerate() {
            *cell = a[row.max(pivot) * n + row.min(pivot)];
        }
        let scale = 1.0 / column[pivot].max(TINY);
        for (row, cells) in a.chunks_exact_mut(n).enumerate() {
            if row == pivot {
                for (cell, entry) in cells[..=row].iter_mut().zip(&column) {
                    *cell = entry * scale;
                }
            } else {
                add_scaled(&mut cells[..=row], -column[row] * scale, &column[..=row]);
                if row > pivot {
                    cells[pivot] = column[row] * scale;
                }
            }
        }
        a[pivot * n + pivot] = -scale;
    }
    for row in 0..n {
        for column in 0..=row {
            let entry = -a[row * n + column];
            a[row * n + column] = entry;
            a[column * n + row] = entry;
        }
    }
}

/// Makes columns orthonormal in order (Gram and Schmidt, twice over for accuracy); one that depends on others becomes zero.
pub(super) fn orthonormalise(columns: &mut [Vec<f64>]) {
    orthonormalise_passes(columns, 2);
}

/// The same in one pass, to rounding: enough between the rounds of an iteration that only needs columns kept apart.
pub(super) fn orthonormalise_roughly(columns: &mut [Vec<f64>]) {
    orthonormalise_passes(columns, 1);
}

fn orthonormalise_passes(columns: &mut [Vec<f64>], passes: usize) {
    for place in 0..columns.len() {
        let (before, rest) = columns.split_at_mut(place);
        let current = &mut rest[0];
        let length = dot(current, current).sqrt();
        for _ in 0..passes {
            for other in before.iter() {
                let shared = dot(current, other);
                add_scaled(current, -shared, other);
            }
        }
        let left = dot(current, current).sqrt();
        let scale = if left > length * 1e-10 && left > TINY {
            1.0 / left
        } else {
            0.0
        };
        for entry in current.iter_mut() {
            *entry *= scale;
        }
    }
}

/// Returns the eigenvectors of a symmetric matrix, of the largest eigenvalue first (Jacobi's rotations).
///
/// `a` is a list of rows and is left diagonal: its eigenvalues, in no order.
pub(super) fn eigenvectors(a: &mut [Vec<f64>]) -> Vec<Vec<f64>> {
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> = (0..n)
        .map(|row| (0..n).map(|column| f64::from(u8::from(row == column))).collect())
        .collect();
    let size: f64 = a.iter().map(|row| dot(row, row)).sum();
    for _ in 0..MOST_SWEEPS {
        let off: f64 = (0..n).map(|row| dot(&a[row][..row], &a[row][..row])).sum();
        if off <= size * 1e-26 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(a, &mut vectors, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|x, y| a[*y][*y].total_cmp(&a[*x][*x]));
    order
        .into_iter()
        .map(|place| std::mem::take(&mut vectors[place]))
        .collect()
}

/// Turns rows and columns p and q so that the entry between them is 0; `vectors` holds the eigenvectors as rows.
fn rotate(a: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    let turn = |x: &mut f64, y: &mut f64| (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
    for row in a.iter_mut() {
        let (before, rest) = row.split_at_mut(q);
        turn(&mut before[p], &mut rest[0]);
    }
    for rows in [a, vectors] {
        let (before, rest) = rows.split_at_mut(q);
        for (x, y) in before[p].iter_mut().zip(rest[0].iter_mut()) {
            turn(x, y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;

    /// A symmetric positive definite matrix of random entries.
    fn definite(n: usize) -> Vec<f64> {
        let mut draws = Key::from_seed(1).branch("definite").at(n as u64);
        let mut a = vec![0.0; n * n];
        for place in 0..n {
            a[place * n + place] = 0.5;
        }
        for _ in 0..n {
            let vector: Vec<f64> = (0..n).map(|_| draws.normal()).collect();
            add_outer(&mut a, 1.0, &vector);
        }
        for row in 0..n {
            for column in 0..row {
                a[column * n + row] = a[row * n + column];
            }
        }
        a
    }

    #[test]
    fn a_matrix_times_its_inverse_is_one_and_a_solution_solves() {
        for n in [1, 2, 7, 20] {
            let a = definite(n);
            let mut inverse = a.clone();
            invert(&mut inverse, n);
            let right: Vec<f64> = (0..n).map(|place| place as f64 - 1.5).collect();
            let mut solution = right.clone();
            solve(&mut a.clone(), &mut solution);
            for (row, (cells, right)) in a.chunks_exact(n).zip(&right).enumerate() {
                assert!((dot(cells, &solution) - right).abs() < 1e-9);
                for column in 0..n {
                    let product = dot(cells, &inverse[column * n..(column + 1) * n]);
                    let wanted = f64::from(u8::from(row == column));
                    assert!((product - wanted).abs() < 1e-9, "{n} {row} {column} {product}");
                }
            }
        }
    }

    #[test]
    fn a_basis_is_orthonormal_and_drops_what_depends() {
        let mut columns = vec![vec![2.0, 0.0, 0.0], vec![4.0, 0.0, 0.0], vec![1.0, 1.0, 0.0]];
        orthonormalise(&mut columns);
        assert_eq!(columns, [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
    }

    #[test]
    fn eigenvectors_come_largest_first_and_satisfy_their_equation() {
        let n = 6;
        let rows: Vec<Vec<f64>> = definite(n).chunks_exact(n).map(<[f64]>::to_vec).collect();
        let mut diagonal = rows.clone();
        let vectors = eigenvectors(&mut diagonal);
        let mut last = f64::INFINITY;
        for vector in &vectors {
            let image: Vec<f64> = rows.iter().map(|row| dot(row, vector)).collect();
            let value = dot(&image, vector);
            assert!(value <= last + 1e-9);
            last = value;
            for (image, entry) in image.iter().zip(vector) {
                assert!((image - value * entry).abs() < 1e-8);
            }
        }
    }
}
