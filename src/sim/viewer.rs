//! One viewer: when they come, what they choose, how long they watch, whether they rate.

use super::life::Seen;
use super::sway::Fame;
use crate::event::SimTime;
use crate::seed::Draws;
use crate::world::{GenreSet, Moment, MovieIndex, Taste, UserId, World};

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
    /// Whether the account was made for it: the first viewing of somebody who joined during the term.
    pub is_first: bool,
}

/// The share of viewings, in percent, that begin with a request for recommendations.
const ASKS: u32 = 75;

impl Viewing {
    /// Returns the response time, in milliseconds, of the request for recommendations that came before it; none where the
    /// viewer asked for nothing. A hash of the viewing decides, as it needs no draw of its own.
    pub fn request_ms(&self) -> Option<u16> {
        let hash = self.user.0.wrapping_mul(0x9e37_79b1) ^ self.movie.0.wrapping_mul(0x85eb_ca6b);
        let hash = hash.rotate_left(13).wrapping_mul(0xc2b2_ae35);
        ((hash >> 8) % 100 < ASKS).then_some((20 + hash % 120) as u16)
    }
}

/// A viewing as the log will tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged {
    /// The viewing.
    pub viewing: Viewing,
    /// The seconds that a minute of the movie takes: 60 for people.
    pub pace_s: u16,
    /// The response time of the request for recommendations that came before it, if one did.
    pub request_ms: Option<u16>,
}

impl From<Viewing> for Logged {
    fn from(viewing: Viewing) -> Self {
        Self {
            request_ms: viewing.request_ms(),
            viewing,
            pace_s: 60,
        }
    }
}

/// Who decides, in which company, and when.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'o> {
    /// The company.
    pub world: &'o World,
    /// The account.
    pub user: UserId,
    /// The taste of whoever uses the account this time.
    pub taste: &'o Taste,
    /// What holds for all viewers.
    pub moment: &'o Moment,
    /// The hour of the day, 0 to 23.
    pub hour: u8,
    /// How well known movies have become under the influence of a service, if there is one.
    pub fame: Option<Fame<'o>>,
}

impl<'o> Occasion<'o> {
    /// Makes the occasion of a user with a taste at a time.
    pub fn new(world: &'o World, user: UserId, taste: &'o Taste, moment: &'o Moment, at: SimTime) -> Self {
        Self {
            world,
            user,
            taste,
            moment,
            hour: at.seconds().div_euclid(3600).rem_euclid(24) as u8,
            fame: None,
        }
    }
}

impl Occasion<'_> {
    /// Tells whether the viewer watches on a phone this hour; a hash decides, as it needs no draw of its own.
    pub fn is_on_phone(&self) -> bool {
        let hour = (self.moment.day * 24.0).floor() as i64 as u32;
        let mixed = (self.user.0 ^ hour.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca6b);
        let mixed = (mixed ^ mixed >> 15).wrapping_mul(0xc2b2_ae35);
        let share = if DAY.contains(&self.hour) {
            PHONES_BY_DAY
        } else {
            PHONES_BY_NIGHT
        };
        f64::from(mixed ^ mixed >> 16) < share * 4_294_967_296.0
    }
}

/// How viewers decide: the seam behind which richer behaviour goes.
pub trait ViewerModel: Sync {
    /// Chooses a movie that was not seen, by the viewer's own discovery.
    fn choose(&self, on: Occasion<'_>, seen: Seen<'_>, draws: &mut Draws) -> MovieIndex;
    /// Looks at a recommended list, best first, and returns the place (from 0) of the movie that is taken, if any.
    ///
    /// `pulls` holds for each place how far, in logits, the movie's pull is above the viewer's level
    /// ([`World::acceptance_level`]); minus infinity for what is not to be taken.
    fn take(&self, world: &World, pulls: &[f64], draws: &mut Draws) -> Option<usize>;
    /// Returns how many minutes of a movie a viewer watches.
    fn watch(&self, on: Occasion<'_>, movie: MovieIndex, draws: &mut Draws) -> u16;
    /// Returns the stars that a viewer gives after some minutes, if they give any.
    fn rate(&self, on: Occasion<'_>, watched: (MovieIndex, u16), draws: &mut Draws) -> Option<u8>;
}

/// Candidates that a viewer considers for one choice.
const CONSIDERED: usize = 64;
/// The temperature of the proposal: candidates are drawn in proportion to exp(this × appeal).
const PROPOSAL: f64 = 0.6;
/// The movies on the popular shelf.
const SHELF: usize = 20;
/// What having sat down to watch something adds to every movie of a list, in logits: the level of a viewer is that of a month
/// and the whole catalogue, and few who open a list want nothing.
const EAGER: f64 = 6.0;
/// Hazard of leaving a movie a minute, in its first minutes and afterwards, and how satisfaction lowers it.
const FIRST_MINUTES: f64 = 8.0;
const HAZARD_FIRST: f64 = 0.06;
const HAZARD_LATER: f64 = 0.0025;
/// The runtime at which the hazard of leaving is as fitted.
const USUAL_RUNTIME: f64 = 108.0;
/// The share of viewings on a phone from 6 to 18 o'clock, and in the evening and at night.
const PHONES_BY_DAY: f64 = 0.6;
const PHONES_BY_NIGHT: f64 = 0.25;
const DAY: std::ops::Range<u8> = 6..18;
/// The hours in which viewers tire.
const NIGHT_FROM: u8 = 23;
const NIGHT_UNTIL: u8 = 5;
/// Propensity to rate: base, strength of feeling, completion (logits).
const RATE_BASE: f64 = -1.5;
const RATE_FEELING: f64 = 0.45;
const RATE_COMPLETED: f64 = 1.6;
/// What the propensity is on average when neither feeling nor completion tells.
const RATE_FLAT: f64 = -0.35;

/// What a choice needs of a movie beside its pull, side by side in memory.
#[derive(Debug, Clone, Copy)]
struct Facts {
    /// The logarithm of the probability that one proposal is this movie.
    log_proposal: f32,
    /// The day of the term from which it is to be had.
    arrives: f32,
    genres: GenreSet,
    first_genre: u8,
}

/// Multinomial logit over appeal and taste with Gumbel noise, on an importance-corrected consideration set.
#[derive(Debug)]
pub struct MnlViewer {
    /// Walker's alias table of the proposal.
    keep: Vec<f64>,
    other: Vec<u32>,
    facts: Vec<Facts>,
    shelf: Vec<MovieIndex>,
}

impl MnlViewer {
    /// Prepares the proposal for a world's catalogue.
    pub fn new(world: &World) -> Self {
        let weights: Vec<f64> = world
            .movie_indices()
            .map(|index| libm::exp(PROPOSAL * world.appeal(index)))
            .collect();
        let (keep, other) = alias_table(&weights);
        let total = weights.iter().sum::<f64>();
        let facts = world
            .movie_indices()
            .zip(weights)
            .map(|(index, weight)| {
                let genres = world.movie(index).genres;
                Facts {
                    log_proposal: libm::log(weight / total) as f32,
                    arrives: world.arrived(index).map_or(f32::NEG_INFINITY, |day| day as f32),
                    genres,
                    first_genre: genres.iter().next().map_or(0, |genre| genre.index() as u8),
                }
            })
            .collect();
        let shelf = world.by_appeal().into_iter().take(SHELF).collect();
        Self {
            keep,
            other,
            facts,
            shelf,
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

    /// Returns what the time and the movie watched last add to a pull; none when the movie is not to be had.
    fn adds(&self, on: Occasion<'_>, last_genre: Option<u8>, place: usize) -> Option<f64> {
        let facts = &self.facts[place];
        if f64::from(facts.arrives) > on.moment.day {
            return None;
        }
        let shift = on.moment.gain(facts.genres)?;
        let is_more_of_the_same = last_genre == Some(facts.first_genre);
        let fame = on.fame.map_or(0.0, |fame| f64::from(fame.gains[place]));
        Some(shift + fame - on.world.habits().fatigue * f64::from(u8::from(is_more_of_the_same)))
    }

    /// Returns the best of the popular shelf with its utility, on the scale of the search: shown movies are noticed more,
    /// the lower ones less.
    fn on_shelf(
        &self,
        on: Occasion<'_>,
        seen: Seen<'_>,
        last_genre: Option<u8>,
        draws: &mut Draws,
    ) -> (f64, MovieIndex) {
        let habits = on.world.habits();
        let mut best = (f64::NEG_INFINITY, MovieIndex(0));
        for (rank, movie) in self.shelf.iter().enumerate() {
            let luck = draws.gumbel();
            let Some(adds) = self.adds(on, last_genre, movie.0 as usize) else {
                continue;
            };
            let noticed = habits.visibility - habits.position * libm::log(rank as f64 + 1.0);
            let utility = on.world.pull(on.taste, *movie) + adds + noticed + luck;
            if utility > best.0 && !seen.holds(*movie) {
                best = (utility, *movie);
            }
        }
        best
    }
}

impl ViewerModel for MnlViewer {
    fn choose(&self, on: Occasion<'_>, seen: Seen<'_>, draws: &mut Draws) -> MovieIndex {
        let last_genre = seen.last().map(|movie| self.facts[movie.0 as usize].first_genre);
        let mut best = (f64::NEG_INFINITY, MovieIndex(0));
        let passes_shelf = draws.chance(on.world.habits().shelf);
        if passes_shelf {
            best = self.on_shelf(on, seen, last_genre, draws);
        }
        let most = on.moment.most() + on.fame.map_or(0.0, |fame| f64::from(fame.most));
        let log_considered = libm::log(CONSIDERED as f64);
        let mut round = 0;
        // A catalogue smaller than what somebody has seen would never give a new movie: after some rounds a repeat is taken.
        while best.0 == f64::NEG_INFINITY || round == 0 {
            round += 1;
            let mut places = [0_usize; CONSIDERED];
            let mut luck = [0.0; CONSIDERED];
            for (place, luck) in places.iter_mut().zip(&mut luck) {
                *place = self.propose(draws);
                *luck = draws.open_unit();
            }
            // All pulls before any noise: the movies lie far apart in memory, and are fetched side by side this way.
            let pulls = places.map(|place| {
                let log_proposal = f64::from(self.facts[place].log_proposal);
                on.world.pull(on.taste, MovieIndex(place as u32)) - log_proposal - log_considered
            });
            for ((place, pull), luck) in places.into_iter().zip(pulls).zip(luck) {
                if pull + gumbel_bound(luck) + most <= best.0 {
                    continue;
                }
                let Some(adds) = self.adds(on, last_genre, place) else {
                    continue;
                };
                let utility = pull + adds + gumbel(luck);
                let movie = MovieIndex(place as u32);
                if utility > best.0 && (round > 4 || !seen.holds(movie)) {
                    best = (utility, movie);
                }
            }
            // Everything to be had may be seen, or nothing may be to be had.
            if round > 8 && best.0 == f64::NEG_INFINITY {
                return MovieIndex(places[0] as u32);
            }
        }
        best.1
    }

    fn take(&self, world: &World, pulls: &[f64], draws: &mut Draws) -> Option<usize> {
        let position = world.habits().position;
        let mut best = (gumbel(draws.open_unit()), None);
        // Two draws for every place, looked at or not, so that swapping two movies leaves the other places' luck alone.
        for (place, pull) in pulls.iter().enumerate() {
            let looks = draws.chance(libm::pow(place as f64 + 1.0, -position));
            let utility = pull + EAGER + gumbel(draws.open_unit());
            if looks && utility > best.0 {
                best = (utility, Some(place));
            }
        }
        best.1
    }

    fn watch(&self, on: Occasion<'_>, movie: MovieIndex, draws: &mut Draws) -> u16 {
        let habits = on.world.habits();
        let runtime = on.world.movie(movie).runtime_min;
        let felt = on.world.felt(on.user, on.taste, movie);
        let is_night = on.hour >= NIGHT_FROM || on.hour < NIGHT_UNTIL;
        let tired = 1.0 + habits.night * f64::from(u8::from(is_night));
        let restless = 1.0 + habits.devices * f64::from(u8::from(on.is_on_phone()));
        let long = libm::pow(f64::from(runtime) / USUAL_RUNTIME, habits.long);
        let patience = draws.exponential();
        let first = HAZARD_FIRST * tired * restless * libm::exp(-0.9 * felt);
        let later = HAZARD_LATER * tired * restless * long * libm::exp(-0.6 * felt);
        let minutes = if patience < FIRST_MINUTES * first {
            patience / first
        } else {
            FIRST_MINUTES + (patience - FIRST_MINUTES * first) / later
        };
        (minutes.min(f64::from(runtime)).ceil() as u16).clamp(1, runtime)
    }

    fn rate(&self, on: Occasion<'_>, watched: (MovieIndex, u16), draws: &mut Draws) -> Option<u8> {
        let (movie, minutes) = watched;
        let felt = on.world.felt(on.user, on.taste, movie);
        let completed = if minutes == on.world.movie(movie).runtime_min {
            1.0
        } else {
            0.0
        };
        let selective = RATE_BASE + RATE_FEELING * felt.abs() + RATE_COMPLETED * completed;
        let logit = RATE_FLAT + on.world.habits().selection * (selective - RATE_FLAT);
        let rates = draws.chance(1.0 / (1.0 + libm::exp(-logit)));
        let occasion = draws.normal();
        rates.then(|| on.world.stars_at(on.user, on.taste, movie, occasion, on.moment))
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
            facts: Vec::new(),
            shelf: Vec::new(),
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
