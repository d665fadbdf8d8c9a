//! What a movie is truly worth to a viewer, and which movies are worth the most: acceptance without awareness, times satisfaction.

use super::taste::{FEATURES, MovieTraits, Taste};

/// The movies of a block, whose pulls are summed side by side: eight registers of the least common machine.
const LANES: usize = 32;
/// The users for whom a block of movies is gone through before the next: it then comes from memory once for all of them.
const ABREAST: usize = 8;
/// How many movies [`Merits::best`] puts in order at once: several times a usual list.
const BATCH: usize = 128;
/// Of so many movies one is looked at for the first guess of a level.
const GUESS: usize = 64;
/// How near to the solution of its part a guess must be, relatively.
const GUESSED: f64 = 1e-2;
/// How small the last step to a level is, relatively to `exp(-c)`; what is left then is of the order of its square.
const SOLVED: f64 = 1e-6;
/// Up to this expected number of acceptances a movie is among the many unlikely ones, of which three sums tell enough.
const UNLIKELY: f64 = 0.01;
/// The sums of powers that stand for the unlikely ones.
const POWERS: usize = 3;
/// The most that `exp(-c)` can be: beyond it no movie is to be had.
const LEVELS: f64 = 1e30;
/// The sums that are kept side by side over the weights: two registers of the least common machine.
const SUMS: usize = 8;
/// The weights that are summed in single precision before the sum is kept in double.
const STRETCH: usize = 256;
/// The weights that are looked at together in search of large ones.
const GROUP: usize = 8;
/// The steps of Newton that are taken at most; some six are enough.
const STEPS: u32 = 60;

/// The features of all movies with merit in the place of appeal: what being shown a movie makes of its pull.
///
/// They lie in blocks of movies, feature after feature, so that the sums of a block go on side by side and the sum of each
/// movie is taken in the order of the features.
#[derive(Debug)]
pub(super) struct Merits {
    blocks: Vec<[[f32; LANES]; FEATURES]>,
    movies: usize,
}

impl Merits {
    pub(super) fn new(movies: &[MovieTraits]) -> Self {
        let mut blocks = vec![[[0.0; LANES]; FEATURES]; movies.len().div_ceil(LANES)];
        for (place, movie) in movies.iter().enumerate() {
            let block = &mut blocks[place / LANES];
            for (row, feature) in block.iter_mut().zip(&movie.features) {
                row[place % LANES] = *feature;
            }
            block[0][place % LANES] = movie.intrinsic as f32;
        }
        Self {
            blocks,
            movies: movies.len(),
        }
    }

    /// Returns the pull on a user of a movie that is put before them, in logits.
    pub(super) fn pull(&self, taste: &Taste, place: usize) -> f64 {
        let mut sum = 0.0_f32;
        for (weight, row) in taste.weights().iter().zip(&self.blocks[place / LANES]) {
            sum += weight * row[place % LANES];
        }
        f64::from(sum)
    }

    /// Fills the desks of some users with the pull of every movie on each, in logits, with what the time adds.
    fn pulls(&self, tastes: &[&Taste], shifts: Option<&[f32]>, desks: &mut [Desk]) {
        for desk in desks.iter_mut() {
            desk.pulls.resize(self.blocks.len() * LANES, 0.0);
        }
        for (number, block) in self.blocks.iter().enumerate() {
            for (desk, taste) in desks.iter_mut().zip(tastes) {
                desk.pulls[number * LANES..][..LANES].copy_from_slice(&sums(block, taste.weights()));
            }
        }
        for desk in desks {
            desk.pulls.truncate(self.movies);
            if let Some(shifts) = shifts {
                for (pull, shift) in desk.pulls.iter_mut().zip(shifts) {
                    *pull += shift;
                }
            }
        }
    }

    /// Fills `worth` with the true worth of every movie to a user, each in [0, 1].
    ///
    /// `shifts` is what the time adds to each movie's pull, minus infinity for what is not to be had; none when it adds nothing.
    pub(super) fn enjoyment(
        &self,
        taste: &Taste,
        movies: &[MovieTraits],
        shifts: Option<&[f32]>,
        worth: &mut Vec<f64>,
    ) {
        let mut desk = Desk::default();
        self.pulls(&[taste], shifts, std::slice::from_mut(&mut desk));
        let level = desk.level(taste);
        worth.clear();
        worth.extend(
            desk.pulls
                .iter()
                .zip(movies)
                .map(|(pull, movie)| acceptance(f64::from(*pull), level) * taste.satisfaction(movie)),
        );
    }

    /// Returns the level at which a user would accept as many movies as they watch in thirty days.
    pub(super) fn level(&self, taste: &Taste, shifts: Option<&[f32]>) -> f64 {
        let mut desk = Desk::default();
        self.pulls(&[taste], shifts, std::slice::from_mut(&mut desk));
        desk.level(taste)
    }

    /// Returns the places of the `k` movies of the highest worth to each of some users, the foremost first, ties in the order
    /// of the catalogue: exactly the heads of what [`Merits::enjoyment`] sorts to.
    pub(super) fn best(
        &self,
        tastes: &[&Taste],
        movies: &[MovieTraits],
        shifts: Option<&[f32]>,
        k: usize,
    ) -> Vec<Vec<usize>> {
        let mut desks: Vec<Desk> = (0..ABREAST).map(|_| Desk::default()).collect();
        let mut lists = Vec::with_capacity(tastes.len());
        for together in tastes.chunks(ABREAST) {
            let desks = &mut desks[..together.len()];
            self.pulls(together, shifts, desks);
            lists.extend(
                desks
                    .iter_mut()
                    .zip(together)
                    .map(|(desk, taste)| desk.best(taste, movies, k)),
            );
        }
        lists
    }
}

/// What is worked out for one user: room that is used again for the next.
#[derive(Debug, Default)]
struct Desk {
    /// The pull of every movie, in logits.
    pulls: Vec<f32>,
    /// Its exponential.
    weights: Vec<f32>,
    /// The places of the movies that the user is likely to accept at all.
    likely: Vec<u32>,
    /// The weights of those.
    large: Vec<f64>,
}

/// The pulls of a block of movies; by itself, so that the compiler keeps all of its sums in registers.
#[inline(never)]
fn sums(block: &[[f32; LANES]; FEATURES], weights: &[f32; FEATURES]) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    for (row, weight) in block.iter().zip(weights) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += weight * value;
        }
    }
    sums
}

impl Desk {
    /// Returns the places of the `k` movies of the highest worth.
    ///
    /// Satisfaction is at most 1, so a movie whose acceptance alone is below the worth of the last of the list can't enter it,
    /// and neither can any that pulls less: what they are worth is never computed. Those that are likely to be accepted at all
    /// are put in order first, the others only if the list is not complete by then.
    fn best(&mut self, taste: &Taste, movies: &[MovieTraits], k: usize) -> Vec<usize> {
        if k == 0 {
            return Vec::new();
        }
        let level = self.level(taste);
        let mut list = Best {
            taste,
            pulls: &self.pulls,
            movies,
            level,
            k,
            found: Vec::with_capacity(k + 1),
        };
        if !list.take(&mut self.likely.clone()) {
            let is_other = |place: &u32| self.likely.binary_search(place).is_err();
            let mut others: Vec<u32> = (0..movies.len() as u32).filter(is_other).collect();
            list.take(&mut others);
        }
        list.found.into_iter().map(|(_, place)| place).collect()
    }

    /// Returns the level at which a user would accept as many movies as they watch in thirty days.
    fn level(&mut self, taste: &Taste) -> f64 {
        self.solve(taste.activity().min(self.pulls.len() as f64 / 4.0))
    }

    /// Returns the level c at which `Σ 1 - exp(-exp(pull - c))` is what is wanted, and leaves the places of the movies whose
    /// expected number of acceptances, `exp(pull - c)`, is not far below [`UNLIKELY`], in order.
    ///
    /// With `e = exp(pull)` and `t = exp(-c)` the sum is increasing and concave in t, so that Newton's steps find the solution
    /// from below without passing it, and from above by stepping below it once. A first guess comes of a part of the movies.
    /// Around it the terms of nearly all movies are small, and theirs are `Σ e t - Σ e² t²/2 + …` up to the third power, which
    /// is exact to four parts in 10⁸ of each; the others are summed one by one, and all are where the part gives no guess.
    fn solve(&mut self, wanted: f64) -> f64 {
        let Self {
            pulls,
            weights,
            likely,
            large,
        } = self;
        weights.clear();
        weights.extend(pulls.iter().map(|pull| exponential_f32(*pull)));
        large.clear();
        large.extend(weights.iter().step_by(GUESS).map(|weight| f64::from(*weight)));
        // The part may lack what is wanted: its own least is a guess as good as any.
        let share = large.len() as f64 / weights.len() as f64;
        let part = (wanted * share).min(0.5 * large.len() as f64);
        let mut guess = newton(large, &[0.0; POWERS], part, None, GUESSED);
        for _ in 0..STEPS {
            let border = guess.map_or(0.0, |guess| UNLIKELY / guess) as f32;
            let small = powers(weights, border);
            likely.clear();
            for (number, group) in weights.chunks(GROUP).enumerate() {
                // Most groups have none: all are looked at together first, which is several times as fast.
                if group
                    .iter()
                    .map(|weight| u32::from(*weight > border))
                    .sum::<u32>()
                    > 0
                {
                    let places = (number * GROUP) as u32..;
                    let large = places.zip(group).filter(|(_, weight)| **weight > border);
                    likely.extend(large.map(|(place, _)| place));
                }
            }
            large.clear();
            large.extend(likely.iter().map(|place| f64::from(weights[*place as usize])));
            let found = newton(large, &small, wanted, guess, SOLVED);
            // Farther off than the guess the small ones may not be small.
            let is_far = guess.zip(found).is_some_and(|(guess, found)| found > 2.0 * guess);
            guess = found;
            if !is_far {
                break;
            }
        }
        // Where nothing is to be had nothing is taken at any level.
        guess.map_or(0.0, |guess| -libm::log(guess))
    }
}

/// The list of the best movies while it is put together.
struct Best<'a> {
    taste: &'a Taste,
    pulls: &'a [f32],
    movies: &'a [MovieTraits],
    level: f64,
    k: usize,
    /// Worth and place, the foremost first.
    found: Vec<(f64, usize)>,
}

impl Best<'_> {
    /// Takes movies into the list, a batch of those that pull the most at a time; returns whether none of the others, and none
    /// that pulls less, can enter it.
    fn take(&mut self, places: &mut [u32]) -> bool {
        let pulls = self.pulls;
        let by_pull = |a: &u32, b: &u32| {
            let (one, other) = (pulls[*a as usize], pulls[*b as usize]);
            other.total_cmp(&one).then(a.cmp(b))
        };
        let mut from = 0;
        while from < places.len() {
            let rest = &mut places[from..];
            let batch = BATCH.max(self.k).min(rest.len());
            if batch < rest.len() {
                rest.select_nth_unstable_by(batch - 1, by_pull);
            }
            rest[..batch].sort_unstable_by(by_pull);
            for place in &rest[..batch] {
                if !self.weigh(*place as usize) {
                    return true;
                }
            }
            from += batch;
        }
        false
    }

    /// Puts a movie in its place in the list, if it has one; returns false when the movie and all that pull less have none.
    fn weigh(&mut self, place: usize) -> bool {
        let accepted = acceptance(f64::from(self.pulls[place]), self.level);
        let is_full = self.found.len() == self.k;
        if is_full && self.found.last().is_some_and(|(least, _)| accepted < *least) {
            return false;
        }
        let worth = accepted * self.taste.satisfaction(&self.movies[place]);
        let at = self.found.partition_point(|(other, before)| {
            other.total_cmp(&worth).reverse().then(before.cmp(&place)).is_lt()
        });
        self.found.insert(at, (worth, place));
        self.found.truncate(self.k);
        true
    }
}

/// The chance that a user who is shown a movie takes it: `1 - exp(-exp(U - c))` with the pull U and the user's level c.
fn acceptance(pull: f64, level: f64) -> f64 {
    -libm::expm1(-libm::exp(pull - level))
}

/// The sums of the first powers of the weights up to a border.
fn powers(weights: &[f32], border: f32) -> [f64; POWERS] {
    let mut total = [0.0; POWERS];
    // Short sums in single precision, the sum of those in double: fast, and no digit is lost on the way.
    for stretch in weights.chunks(STRETCH) {
        let mut sums = [[0.0_f32; SUMS]; POWERS];
        let (blocks, rest) = stretch.as_chunks::<SUMS>();
        let mut last = [0.0; SUMS];
        last[..rest.len()].copy_from_slice(rest);
        for block in blocks.iter().chain([&last]) {
            let small = block.map(|weight| if weight > border { 0.0 } else { weight });
            let mut power = small;
            for sums in &mut sums {
                for lane in 0..SUMS {
                    sums[lane] += power[lane];
                    power[lane] *= small[lane];
                }
            }
        }
        for (total, sums) in total.iter_mut().zip(sums) {
            *total += sums.iter().copied().map(f64::from).sum::<f64>();
        }
    }
    total
}

/// Solves `Σ 1 - exp(-e t) + s₁ t - s₂ t²/2! + s₃ t³/3! - … = wanted` for t, from a guess if there is one; none where nothing
/// is to be had.
fn newton(large: &[f64], small: &[f64; POWERS], wanted: f64, guess: Option<f64>, near: f64) -> Option<f64> {
    let least = wanted / (large.iter().sum::<f64>() + small[0]);
    if least > LEVELS {
        return None;
    }
    // What is wanted takes at least so much, as the sum is concave.
    let mut t = guess.unwrap_or(least).max(least);
    for _ in 0..STEPS {
        let (unlikely, slope_unlikely) = unlikely(small, t);
        let (likely, slope_likely) = likely(large, t);
        let (value, slope) = (unlikely + likely, slope_unlikely + slope_likely);
        let step = (wanted - value) / slope;
        // Far beyond where the small ones are small the slope may be anything: at most doubling finds the way back.
        if !step.is_finite() || step > t {
            t *= 2.0;
            continue;
        }
        t = (t + step).max(least);
        if step.abs() <= near * t {
            break;
        }
    }
    Some(t)
}

/// What the likely ones add to the sum, and to its slope.
fn likely(large: &[f64], t: f64) -> (f64, f64) {
    let (mut values, mut slopes) = ([0.0; SUMS], [0.0; SUMS]);
    let (blocks, rest) = large.as_chunks::<SUMS>();
    let mut last = [0.0; SUMS];
    last[..rest.len()].copy_from_slice(rest);
    for block in blocks.iter().chain([&last]) {
        let left = block.map(|weight| exponential(-weight * t));
        for lane in 0..SUMS {
            values[lane] += 1.0 - left[lane];
            slopes[lane] += block[lane] * left[lane];
        }
    }
    (values.iter().sum(), slopes.iter().sum())
}

/// What the unlikely ones add to the sum, and to its slope.
fn unlikely(small: &[f64; POWERS], t: f64) -> (f64, f64) {
    let (mut value, mut slope) = (0.0, 0.0);
    let mut before = 1.0;
    for (power, sum) in (1_i32..).zip(small) {
        slope += sum * before;
        value += sum * before * t / f64::from(power);
        before *= -t / f64::from(power);
    }
    (value, slope)
}

/// e to the power of `x`, to four parts in 10⁷, by arithmetic that the compiler can do for several numbers at a time, and that
/// gives the same bits on every machine. Beyond 80 on either side it stays at the value for 80.
fn exponential_f32(x: f32) -> f32 {
    /// One and a half times 2²³: what is added to it is rounded to a whole number, which stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// A part of ln 2 whose products with small whole numbers are exact, and the rest.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Not `clamp`, which asks whether the number is one at all.
    let x = if x < -80.0 { -80.0 } else { x };
    let x = if x > 80.0 { 80.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let power = rounded - ROUND;
    let r = (x - power * LN_2_HIGH) - power * LN_2_LOW;
    let high = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0));
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * high)));
    f32::from_bits(series.to_bits().wrapping_add(rounded.to_bits() << 23))
}

/// e to the power of `x`, to one part in 10¹⁰, by arithmetic that the compiler can do for several numbers at a time, and that
/// gives the same bits on every machine. Below -700 it stays at the value for -700.
fn exponential(x: f64) -> f64 {
    /// One and a half times 2⁵²: what is added to it is rounded to a whole number, which stands in the lowest bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = x.clamp(-700.0, 700.0);
    let rounded = x * std::f64::consts::LOG2_E + ROUND;
    let power = rounded - ROUND;
    let r = (x - power * LN_2_HIGH) - power * LN_2_LOW;
    let high = 1.0 / 24.0
        + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5_040.0 + r * (1.0 / 40_320.0 + r / 362_880.0))));
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * high)));
    f64::from_bits(series.to_bits().wrapping_add(rounded.to_bits() << 52))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;

    #[test]
    fn the_fast_exponential_is_the_exponential() {
        for step in -7_000..7_000 {
            let x = f64::from(step) * 0.0999;
            let (fast, exact) = (exponential(x), libm::exp(x));
            assert!((fast / exact - 1.0).abs() < 1e-10, "{x}: {fast} {exact}");
        }
        assert!(exponential(f64::NEG_INFINITY) < 1e-300);
        for step in -8_000..8_000 {
            let x = 0.009_99 * step as f32;
            let (fast, exact) = (f64::from(exponential_f32(x)), libm::exp(f64::from(x)));
            assert!((fast / exact - 1.0).abs() < 4e-7, "{x}: {fast} {exact}");
        }
        assert!(exponential_f32(f32::NEG_INFINITY) < 1e-34);
    }

    fn level_of(pulls: &[f64], wanted: f64) -> f64 {
        let mut desk = Desk {
            pulls: pulls.iter().map(|pull| *pull as f32).collect(),
            ..Desk::default()
        };
        desk.solve(wanted)
    }

    #[test]
    fn at_the_level_as_many_are_accepted_as_is_wanted() {
        let mut draws = Key::from_seed(1).branch("level").at(0);
        for (count, spread, wanted) in [
            (20, 1.0, 5.0),
            (1_000, 3.0, 25.0),
            (5_000, 4.0, 300.0),
            (30, 8.0, 0.2),
        ] {
            let pulls: Vec<f64> = (0..count).map(|_| spread * draws.normal()).collect();
            let level = level_of(&pulls, wanted);
            let accepted: f64 = pulls.iter().map(|pull| acceptance(*pull, level)).sum();
            assert!(
                (accepted / wanted - 1.0).abs() < 1e-6,
                "{count} {spread}: {accepted} for {wanted}"
            );
        }
        // Of these the first guess sees one alone, and that one is not to be had.
        let mut pulls: Vec<f64> = (0..40).map(|_| 2.0 * draws.normal()).collect();
        pulls[0] = f64::NEG_INFINITY;
        let level = level_of(&pulls, 5.0);
        let accepted: f64 = pulls.iter().map(|pull| acceptance(*pull, level)).sum();
        assert!((accepted / 5.0 - 1.0).abs() < 1e-6, "{accepted}");
        let none = [f64::NEG_INFINITY; 3];
        assert_eq!(none.map(|pull| acceptance(pull, level_of(&none, 1.0))), [0.0; 3]);
    }
}
