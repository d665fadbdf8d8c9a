//! Lives of viewers: who comes when, and what they have seen; in columns, so that a million of them cost no allocation each.

use super::sway::{Looked, Sway};
use super::term_start;
use super::viewer::{Occasion, ViewerModel, Viewing};
use crate::event::SimTime;
use crate::seed::Branch;
use crate::world::{Moment, MovieIndex, UserId, World};

/// Weights of the hours of a day, mean 1: an evening peak.
const HOURS: [f64; 24] = [
    0.75, 0.45, 0.28, 0.20, 0.17, 0.18, 0.25, 0.38, 0.52, 0.66, 0.78, 0.88, 0.98, 1.00, 1.00, 1.05, 1.18,
    1.38, 1.68, 2.05, 2.35, 2.30, 1.95, 1.58,
];
/// Weights of the days of a week from Monday, mean 1.
const DAYS: [f64; 7] = [0.88, 0.86, 0.88, 0.92, 1.10, 1.24, 1.12];

/// Returns how busy an hour is, compared to the mean.
pub(super) fn busyness(time: SimTime) -> f64 {
    let hours = time.seconds().div_euclid(3600);
    // The first of January 1970 was a Thursday.
    let day = (hours.div_euclid(24) + 3).rem_euclid(7);
    HOURS[hours.rem_euclid(24) as usize] * DAYS[day as usize]
}

/// How many movies one link of a viewer's chain holds.
const LINK: usize = 6;
/// The end of a chain.
const NONE: u32 = u32::MAX;

/// Movies that a viewer has seen, a few at a time.
#[derive(Debug, Clone, Copy)]
struct Link {
    movies: [u32; LINK],
    used: u8,
    next: u32,
}

/// What one viewer has seen so far.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'l> {
    links: &'l [Link],
    head: u32,
}

impl Seen<'_> {
    /// Returns the movie that was seen last.
    pub fn last(&self) -> Option<MovieIndex> {
        let link = self.links.get(self.head as usize)?;
        Some(MovieIndex(link.movies[usize::from(link.used) - 1]))
    }

    /// Returns one of the movies that were seen not long ago, in proportion to nothing: `draw` is uniform in [0, 1).
    fn recent(&self, draw: f64) -> Option<MovieIndex> {
        let link = self.links.get(self.head as usize)?;
        Some(MovieIndex(link.movies[(draw * f64::from(link.used)) as usize]))
    }

    /// Tells whether the viewer has seen a movie.
    pub fn holds(&self, movie: MovieIndex) -> bool {
        let mut at = self.head;
        while at != NONE {
            let link = &self.links[at as usize];
            if link.movies[..usize::from(link.used)].contains(&movie.0) {
                return true;
            }
            at = link.next;
        }
        false
    }
}

/// Movies that a viewer has seen, laid out for [`Seen`] by whoever keeps them otherwise.
pub(super) struct Chain(Vec<Link>);

impl Chain {
    /// Lays out movies in the order in which they were seen.
    pub(super) fn new(movies: &[u32]) -> Self {
        let links = movies
            .chunks(LINK)
            .enumerate()
            .map(|(place, chunk)| {
                let mut link = Link {
                    movies: [0; LINK],
                    used: chunk.len() as u8,
                    next: place.checked_sub(1).map_or(NONE, |before| before as u32),
                };
                link.movies[..chunk.len()].copy_from_slice(chunk);
                link
            })
            .collect();
        Self(links)
    }

    pub(super) fn seen(&self) -> Seen<'_> {
        Seen {
            head: self.0.len().checked_sub(1).map_or(NONE, |last| last as u32),
            links: &self.0,
        }
    }
}

/// The lives of viewers with neighbouring numbers.
#[derive(Debug, Clone)]
pub struct Lives {
    first: UserId,
    busy_until: Vec<i64>,
    heads: Vec<u32>,
    links: Vec<Link>,
}

impl Lives {
    /// Begins the lives of `count` users from `first`: nothing seen.
    pub fn new(first: UserId, count: u32) -> Self {
        Self {
            first,
            busy_until: vec![i64::MIN; count as usize],
            heads: vec![NONE; count as usize],
            links: Vec::new(),
        }
    }

    /// Plays every viewer for the hour that begins at `hour`, and appends what they begin to watch in it, in the order of
    /// users and, for each, of time.
    pub fn play_hour(
        &mut self,
        world: &World,
        model: &dyn ViewerModel,
        branch: &Branch,
        hour: SimTime,
        all: &mut Vec<Viewing>,
    ) {
        let hour = Hour::new(world, model, branch, hour);
        for place in 0..self.heads.len() {
            self.play(place, &hour, None, all);
        }
    }

    /// As [`Lives::play_hour`], under the influence of a service's lists.
    pub fn play_hour_under(
        &mut self,
        (world, model, branch): (&World, &dyn ViewerModel, &Branch),
        hour: SimTime,
        sway: &mut Sway,
        all: &mut Vec<Viewing>,
    ) {
        let hour = Hour::new(world, model, branch, hour);
        for place in 0..self.heads.len() {
            self.play(place, &hour, Some(sway), all);
        }
    }

    fn play(&mut self, place: usize, now: &Hour<'_>, mut sway: Option<&mut Sway>, all: &mut Vec<Viewing>) {
        let (world, hour) = (now.world, now.begin);
        let user = UserId(self.first.0 + place as u32);
        let Some(activity) = world.activity(user) else {
            return;
        };
        let joined = world.joined(user);
        if joined.is_some_and(|day| day > now.moment.day) {
            return;
        }
        let hour_number = hour.seconds().div_euclid(3600).rem_euclid(1 << 24);
        let mut draws = now.branch.at(u64::from(user.0) << 24 | hour_number as u64);
        let count = poisson(activity * now.rate, draws.unit());
        if count == 0 {
            return;
        }
        let Some(mut taste) = world.taste(user) else {
            return;
        };
        if let Some(sway) = &sway {
            taste.lean(sway.leaning(user));
        }
        let mut starts = [0_i64; MOST_STARTS];
        let starts = &mut starts[..count.min(MOST_STARTS)];
        for start in starts.iter_mut() {
            *start = hour.seconds() + draws.below(3600) as i64;
        }
        starts.sort_unstable();
        let guest = world.guest(user);
        for start in starts {
            let is_gone = sway.as_deref().is_some_and(|sway| sway.gone(user).is_some());
            if is_gone || *start < self.busy_until[place] {
                continue;
            }
            let is_guest = draws.chance(GUEST_SESSIONS);
            let taste = guest.as_ref().filter(|_| is_guest).unwrap_or(&taste);
            let looked = sway.as_deref_mut().map_or(Looked::Not, |sway| {
                let at = SimTime::from_seconds(*start);
                sway.look(world, now.model, (user, taste, &now.moment), at, self.seen(place))
            });
            let mut on = Occasion::new(world, user, taste, &now.moment, hour);
            on.fame = sway.as_deref().map(Sway::fame);
            let repeats = draws.chance(world.habits().repeat);
            let again = self
                .seen(place)
                .recent(draws.unit())
                .filter(|movie| repeats && world.felt(user, taste, *movie) > LIKED);
            let (movie, is_new) = match (looked, again) {
                (Looked::Took(movie), _) => (movie, true),
                (_, Some(movie)) => (movie, false),
                _ => (now.model.choose(on, self.seen(place), &mut draws), true),
            };
            let minutes = now.model.watch(on, movie, &mut draws);
            let stars = now.model.rate(on, (movie, minutes), &mut draws);
            let is_first = joined.is_some() && self.heads[place] == NONE;
            if is_new {
                self.remember(place, movie);
            }
            self.busy_until[place] = *start + i64::from(minutes) * 60 + 60;
            all.push(Viewing {
                user,
                movie,
                at: SimTime::from_seconds(*start),
                minutes,
                stars,
                is_first,
            });
        }
    }

    fn seen(&self, place: usize) -> Seen<'_> {
        Seen {
            links: &self.links,
            head: self.heads[place],
        }
    }

    fn remember(&mut self, place: usize, movie: MovieIndex) {
        let head = self.heads[place];
        if head != NONE && usize::from(self.links[head as usize].used) < LINK {
            let link = &mut self.links[head as usize];
            link.movies[usize::from(link.used)] = movie.0;
            link.used += 1;
            return;
        }
        let mut movies = [0; LINK];
        movies[0] = movie.0;
        self.heads[place] = self.links.len() as u32;
        self.links.push(Link {
            movies,
            used: 1,
            next: head,
        });
    }
}

/// What holds for every viewer in an hour.
struct Hour<'h> {
    world: &'h World,
    model: &'h dyn ViewerModel,
    branch: &'h Branch,
    begin: SimTime,
    /// Viewings an hour for each viewing in thirty days.
    rate: f64,
    moment: Moment,
}

impl<'h> Hour<'h> {
    fn new(world: &'h World, model: &'h dyn ViewerModel, branch: &'h Branch, begin: SimTime) -> Self {
        let habits = world.habits();
        Self {
            world,
            model,
            branch,
            begin,
            rate: libm::pow(busyness(begin), habits.rhythm) / 720.0,
            moment: habits.moment(day_of_term(begin)),
        }
    }
}

/// Returns the day of the term, counted from 0, with its fraction; days before the term are negative.
pub fn day_of_term(at: SimTime) -> f64 {
    (at.seconds() - term_start().seconds()) as f64 / 86_400.0
}

/// The share of sessions of a shared account that are the second person's.
const GUEST_SESSIONS: f64 = 1.0 / 3.0;
/// How satisfied one must have been, standardised, to watch a movie again.
const LIKED: f64 = 0.3;
/// The most viewings that one viewer begins within an hour.
const MOST_STARTS: usize = 60;

/// Draws from the Poisson distribution by inversion of one uniform number; means here are far below 10.
pub(super) fn poisson(mean: f64, uniform: f64) -> usize {
    let mut term = libm::exp(-mean);
    let mut sum = term;
    let mut count = 0;
    while uniform >= sum && count < MOST_STARTS {
        count += 1;
        term *= mean / count as f64;
        sum += term;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_days_weigh_one_on_average() {
        assert!((HOURS.iter().sum::<f64>() / 24.0 - 1.0).abs() < 0.01);
        assert!((DAYS.iter().sum::<f64>() / 7.0 - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_chain_remembers_all_that_was_seen_and_nothing_else() {
        let mut lives = Lives::new(UserId(1), 2);
        for movie in 0..40 {
            lives.remember((movie % 2) as usize, MovieIndex(movie));
        }
        for movie in 0..44 {
            for place in 0..2 {
                let seen = movie < 40 && (movie % 2) as usize == place;
                assert_eq!(
                    lives.seen(place).holds(MovieIndex(movie)),
                    seen,
                    "{movie} {place}"
                );
            }
        }
    }
}
