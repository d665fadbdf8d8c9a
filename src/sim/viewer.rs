//! One viewer: when they come, what they choose, how long they watch, whether they rate.

use super::life::Seen;
use crate::event::SimTime;
use crate::seed::Draws;
use crate::world::{MovieIndex, Taste, UserId, World};

/// One watching of one movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewing {
    /// Who.
    pub user: UserId,
    /// What.
    pub movie: MovieIndex,
    /// When the first minute began.
    pub at: SimTime,
    /// How many minutes were watched, at least 1.
    pub minutes: u16,
    /// The stars that were given after the last minute, if any.
    pub stars: Option<u8>,
}

/// How viewers decide: the seam behind which richer behaviour goes.
pub trait ViewerModel: Sync {
    /// Chooses a movie that was not seen, by the viewer's own discovery.
    fn choose(&self, world: &World, taste: &Taste, seen: Seen<'_>, draws: &mut Draws) -> MovieIndex;
    /// Looks at a recommended list, best first, and returns the place (from 0) of the movie that is taken, if any.
    ///
    /// `accepted` holds for each place the probability that the viewer takes it when they look at it.
    fn take(&self, accepted: &[f64], draws: &mut Draws) -> Option<usize>;
    /// Returns how many minutes of a movie a viewer watches.
    fn watch(&self, world: &World, user: UserId, taste: &Taste, movie: MovieIndex, draws: &mut Draws) -> u16;
    /// Returns the stars that a viewer gives, if they give any.
    fn rate(
        &self,
        world: &World,
        user: UserId,
        taste: &Taste,
        watched: (MovieIndex, u16),
        draws: &mut Draws,
    ) -> Option<u8>;
}

/// Candidates that a viewer considers for one choice.
const CONSIDERED: usize = 64;
/// The temperature of the proposal: candidates are drawn in proportion to exp(this × appeal).
const PROPOSAL: f64 = 0.6;
/// The exponent of position bias: place k is looked at with probability k to the minus this (Chaney et al. 2018).
const POSITION: f64 = 0.8;
/// Hazard of leaving a movie a minute, in its first minutes and afterwards, and how satisfaction lowers it.
const FIRST_MINUTES: f64 = 8.0;
const HAZARD_FIRST: f64 = 0.06;
const HAZARD_LATER: f64 = 0.0025;
/// Propensity to rate: base, strength of feeling, completion (logits).
const RATE_BASE: f64 = -1.5;
const RATE_FEELING: f64 = 0.45;
const RATE_COMPLETED: f64 = 1.6;

/// Multinomial logit over appeal and taste with Gumbel noise, on an importance-corrected consideration set.
#[derive(Debug)]
pub struct MnlViewer {
    /// Walker's alias table of the proposal.
    keep: Vec<f64>,
    other: Vec<u32>,
    log_weight: Vec<f64>,
}

impl MnlViewer {
    /// Prepares the proposal for a world's catalogue.
    pub fn new(world: &World) -> Self {
        let weights: Vec<f64> = world
            .movie_indices()
            .map(|index| libm::exp(PROPOSAL * world.appeal(index)))
            .collect();
        let (keep, other) = alias_table(&weights);
        let log_weight = world
            .movie_indices()
            .map(|index| PROPOSAL * world.appeal(index))
            .collect();
        Self {
            keep,
            other,
            log_weight,
        }
    }

    fn propose(&self, draws: &mut Draws) -> usize {
        let bits = draws.bits();
        let place = ((u128::from(bits >> 32) * self.keep.len() as u128) >> 32) as usize;
        let coin = (bits & 0xffff_ffff) as f64 / 4_294_967_296.0;
        if coin < self.keep[place] {
            place
        } else {
            self.other[place] as usize
        }
    }
}

impl ViewerModel for MnlViewer {
    fn choose(&self, world: &World, taste: &Taste, seen: Seen<'_>, draws: &mut Draws) -> MovieIndex {
        let mut best = (f64::NEG_INFINITY, MovieIndex(0));
        let mut round = 0;
        // A catalogue smaller than what somebody has seen would never give a new movie: after some rounds a repeat is taken.
        while best.0 == f64::NEG_INFINITY {
            round += 1;
            let mut places = [0_usize; CONSIDERED];
            let mut luck = [0.0; CONSIDERED];
            for (place, luck) in places.iter_mut().zip(&mut luck) {
                *place = self.propose(draws);
                *luck = draws.open_unit();
            }
            // All pulls before any noise: the movies lie far apart in memory, and are fetched side by side this way.
            let pulls =
                places.map(|place| world.pull(taste, MovieIndex(place as u32)) - self.log_weight[place]);
            for ((place, pull), luck) in places.into_iter().zip(pulls).zip(luck) {
                if pull + gumbel_bound(luck) <= best.0 {
                    continue;
                }
                let utility = pull + gumbel(luck);
                let movie = MovieIndex(place as u32);
                if utility > best.0 && (round > 4 || !seen.holds(movie)) {
                    best = (utility, movie);
                }
            }
        }
        best.1
    }

    fn take(&self, accepted: &[f64], draws: &mut Draws) -> Option<usize> {
        // Two draws for every place, looked at or not, so that swapping two movies leaves the other places' luck alone.
        let mut taken = None;
        for (place, probability) in accepted.iter().enumerate() {
            let looks = draws.chance(libm::pow(place as f64 + 1.0, -POSITION));
            let likes = draws.chance(*probability);
            if taken.is_none() && looks && likes {
                taken = Some(place);
            }
        }
        taken
    }

    fn watch(&self, world: &World, user: UserId, taste: &Taste, movie: MovieIndex, draws: &mut Draws) -> u16 {
        let felt = world.felt(user, taste, movie);
        let patience = draws.exponential();
        let first = HAZARD_FIRST * libm::exp(-0.9 * felt);
        let later = HAZARD_LATER * libm::exp(-0.6 * felt);
        let minutes = if patience < FIRST_MINUTES * first {
            patience / first
        } else {
            FIRST_MINUTES + (patience - FIRST_MINUTES * first) / later
        };
        let runtime = world.movie(movie).runtime_min;
        (minutes.min(f64::from(runtime)).ceil() as u16).clamp(1, runtime)
    }

    fn rate(
        &self,
        world: &World,
        user: UserId,
        taste: &Taste,
        watched: (MovieIndex, u16),
        draws: &mut Draws,
    ) -> Option<u8> {
        let (movie, minutes) = watched;
        let felt = world.felt(user, taste, movie);
        let completed = if minutes == world.movie(movie).runtime_min {
            1.0
        } else {
            0.0
        };
        let logit = RATE_BASE + RATE_FEELING * felt.abs() + RATE_COMPLETED * completed;
        let rates = draws.chance(1.0 / (1.0 + libm::exp(-logit)));
        let occasion = draws.normal();
        rates.then(|| world.stars(user, taste, movie, occasion))
    }
}

/// The standard Gumbel variate of a uniform one.
fn gumbel(uniform: f64) -> f64 {
    -libm::log(-libm::log(uniform))
}

/// A number that [`gumbel`] does not exceed, for a fraction of its time: as -ln u is at least 1 - u, the variate is at most
/// -ln(1 - u), and that is at most ln 2 times the number of halvings that lead from 1 to or below 1 - u.
fn gumbel_bound(uniform: f64) -> f64 {
    let exponent = ((1.0 - uniform).to_bits() >> 52) as i32 - 1023;
    f64::from(-exponent) * std::f64::consts::LN_2
}

/// Builds an alias table (Walker 1977, Vose 1991): a draw in proportion to weights from one place and one coin.
fn alias_table(weights: &[f64]) -> (Vec<f64>, Vec<u32>) {
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    let mut keep: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
    let mut other: Vec<u32> = (0..weights.len() as u32).collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) =
        (0..weights.len()).partition(|place| keep[*place] < 1.0);
    while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
        other[poor] = rich as u32;
        keep[rich] -= 1.0 - keep[poor];
        if keep[rich] < 1.0 {
            large.pop();
            small.push(rich);
        }
    }
    (keep, other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;

    #[test]
    fn the_alias_table_draws_in_proportion() {
        let weights = [1.0, 4.0, 0.5, 2.5];
        let (keep, other) = alias_table(&weights);
        let viewer = MnlViewer {
            keep,
            other,
            log_weight: Vec::new(),
        };
        let mut draws = Key::from_seed(1).branch("alias").at(0);
        let mut counts = [0.0; 4];
        for _ in 0..80_000 {
            counts[viewer.propose(&mut draws)] += 1.0 / 10_000.0;
        }
        for (count, weight) in counts.iter().zip(weights) {
            assert!((count - weight).abs() < 0.1, "{counts:?}");
        }
    }

    #[test]
    fn the_bound_of_the_noise_holds_and_is_seldom_far() {
        let mut draws = Key::from_seed(1).branch("bound").at(0);
        let mut slack = 0.0;
        for _ in 0..20_000 {
            let uniform = draws.open_unit();
            let (variate, bound) = (gumbel(uniform), gumbel_bound(uniform));
            assert!(variate <= bound, "{uniform} {variate} {bound}");
            slack += (bound - variate) / 20_000.0;
        }
        assert!(slack < 1.5, "{slack}");
    }
}
