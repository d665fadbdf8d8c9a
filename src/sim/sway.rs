//! What the lists of one recommendation service have done to its viewers so far: who is gone, what is known, what is liked.

use super::life::Seen;
use super::reaction::pulls;
use super::viewer::{ViewerModel, Viewing};
use crate::event::SimTime;
use crate::seed::{Branch, Draws};
use crate::world::{Feedback, GENRES, Moment, MovieIndex, Taste, UserId, World};

/// How far taste goes in the end, in logits for each unit by which a list's share of a genre is above the usual one.
const FAR: f32 = 3.0;
/// Viewings that are added to the counts of every movie, so that a few of them make nobody famous.
const PRIOR_VIEWINGS: f64 = 3.0;
/// The days after which a viewing counts half for a movie's fame.
const FAME_HALF_LIFE_DAYS: f64 = 28.0;
/// The most that fame adds to or takes from a movie, in logits.
const MOST_FAME: f64 = 3.0;

/// How well known movies have become, beyond what they were when the service began.
#[derive(Debug, Clone, Copy)]
pub struct Fame<'f> {
    /// What each movie has gained, in logits.
    pub gains: &'f [f32],
    /// The most that any has gained, at least 0.
    pub most: f32,
}

/// The state of the viewers of one company under the influence of one service.
///
/// Two companies with the same world and branch and other services are twins: the same people with the same luck, and all
/// that differs between them is what the lists have done.
#[derive(Debug, Clone)]
pub struct Sway {
    first: UserId,
    feedback: Feedback,
    branch: Branch,
    lists: Vec<Vec<MovieIndex>>,
    /// The share of each genre in the list of each viewer, those at the top counting most, above the usual share.
    shown: Vec<[f32; GENRES]>,
    leanings: Vec<[f32; GENRES]>,
    levels: Vec<Option<f64>>,
    gone: Vec<Option<SimTime>>,
    fame: Vec<f32>,
    most_fame: f32,
    /// Viewings of each movie in the days before the service began, and how many days.
    usual: (Vec<f64>, f64),
    /// Viewings of each movie since, the older ones counting less, and the days that they stand for.
    since: (Vec<f64>, f64),
    usual_genres: [f32; GENRES],
}

/// What a viewer did with the list that was shown to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// They did not look at it, or there was none.
    Not,
    /// They found nothing in it.
    InVain,
    /// They took a movie.
    Took(MovieIndex),
}

impl Sway {
    /// Begins with `count` viewers from `first` to whom no list was shown, and what they watched in `days` days before.
    ///
    /// The branch names the luck of looking at lists: twins share it.
    pub fn new(
        world: &World,
        branch: &Branch,
        (first, count): (UserId, u32),
        before: &[Viewing],
        days: f64,
    ) -> Self {
        let count = count as usize;
        let mut usual = vec![0.0; world.spec().movies as usize];
        let mut usual_genres = [0.0; GENRES];
        for viewing in before {
            usual[viewing.movie.0 as usize] += 1.0;
            add_genres(world, viewing.movie, 1.0 / before.len() as f32, &mut usual_genres);
        }
        Self {
            first,
            feedback: world.habits().feedback,
            branch: branch.branch("lists"),
            lists: vec![Vec::new(); count],
            shown: vec![[0.0; GENRES]; count],
            leanings: vec![[0.0; GENRES]; count],
            levels: vec![None; count],
            gone: vec![None; count],
            fame: vec![0.0; usual.len()],
            most_fame: 0.0,
            since: (vec![0.0; usual.len()], 0.0),
            usual: (usual, days.max(1.0)),
            usual_genres,
        }
    }

    /// Puts a list before a viewer, best first: it is what they look at until they get another.
    ///
    /// # Panics
    /// When the viewer is not one of these.
    pub fn show(&mut self, world: &World, user: UserId, list: Vec<MovieIndex>) {
        let place = self.place(user);
        let weights: Vec<f32> = (0..list.len())
            .map(|rank| libm::pow(rank as f64 + 1.0, -world.habits().position) as f32)
            .collect();
        let total: f32 = weights.iter().sum();
        let mut shown = [0.0; GENRES];
        for (movie, weight) in list.iter().zip(&weights) {
            add_genres(world, *movie, weight / total, &mut shown);
        }
        if !list.is_empty() {
            for (share, usual) in shown.iter_mut().zip(&self.usual_genres) {
                *share -= usual;
            }
        }
        self.shown[place] = shown;
        self.lists[place] = list;
    }

    /// Takes note of what was watched in some days, from which movies get known or forgotten.
    pub fn settle(&mut self, watched: &[Viewing], days: f64) {
        let kept = libm::pow(0.5, days / FAME_HALF_LIFE_DAYS);
        let (counts, span) = &mut self.since;
        for count in counts.iter_mut() {
            *count *= kept;
        }
        *span = *span * kept + days;
        for viewing in watched {
            counts[viewing.movie.0 as usize] += 1.0;
        }
        let (usual, usual_days) = &self.usual;
        let total: f64 = counts.iter().sum();
        let usual_total: f64 = usual.iter().sum();
        if total == 0.0 || usual_total == 0.0 {
            return;
        }
        let expected = *span / usual_days;
        // Success is a movie's share of what is watched: a company that loses viewers does not make its movies unknown.
        let scale = usual_total * expected / total;
        self.most_fame = 0.0;
        for ((fame, count), usual) in self.fame.iter_mut().zip(counts.iter()).zip(usual) {
            let now = count * scale + PRIOR_VIEWINGS;
            let then = usual * expected + PRIOR_VIEWINGS;
            let gain = self.feedback.fame() * libm::log(now / then);
            *fame = gain.clamp(-MOST_FAME, MOST_FAME) as f32;
            self.most_fame = self.most_fame.max(*fame);
        }
    }

    /// Returns how well known movies have become.
    pub fn fame(&self) -> Fame<'_> {
        Fame {
            gains: &self.fame,
            most: self.most_fame,
        }
    }

    /// Returns when a viewer left for good; none for those who are still there.
    ///
    /// # Panics
    /// When the viewer is not one of these.
    pub fn gone(&self, user: UserId) -> Option<SimTime> {
        self.gone[self.place(user)]
    }

    /// Returns what a viewer's weights of the genres have gained, in logits.
    ///
    /// # Panics
    /// When the viewer is not one of these.
    pub fn leaning(&self, user: UserId) -> &[f32; GENRES] {
        &self.leanings[self.place(user)]
    }

    fn place(&self, user: UserId) -> usize {
        (user.0 - self.first.0) as usize
    }

    /// Lets a viewer look at their list, if they do, and changes what it changes in them.
    pub(super) fn look(
        &mut self,
        world: &World,
        model: &dyn ViewerModel,
        (user, taste, moment): (UserId, &Taste, &Moment),
        at: SimTime,
        seen: Seen<'_>,
    ) -> Looked {
        let place = self.place(user);
        let mut draws = self.luck(user, at);
        if self.lists[place].is_empty() || !draws.chance(self.feedback.follow_share()) {
            return Looked::Not;
        }
        let level = match self.levels[place] {
            Some(level) => level,
            None => *self.levels[place].insert(world.acceptance_level(user).unwrap_or(f64::INFINITY)),
        };
        let list = &self.lists[place];
        let pulls = pulls(world, (taste, level, moment), list, |movie| seen.holds(movie));
        let leaves = draws.chance(self.feedback.leave_chance());
        let taken = model.take(world, &pulls, &mut draws);
        let step = self.feedback.pull_of_lists() as f32;
        for (leaning, shown) in self.leanings[place].iter_mut().zip(&self.shown[place]) {
            *leaning += step * (FAR * shown - *leaning);
        }
        if let Some(rank) = taken {
            return Looked::Took(list[rank]);
        }
        if leaves {
            self.gone[place] = Some(at);
        }
        Looked::InVain
    }

    /// Returns the draws of one session: the same whatever list is shown.
    fn luck(&self, user: UserId, at: SimTime) -> Draws {
        let minute = at.seconds().div_euclid(60).rem_euclid(1 << 28);
        self.branch.at(u64::from(user.0) << 28 | minute as u64)
    }
}

fn add_genres(world: &World, movie: MovieIndex, weight: f32, to: &mut [f32; GENRES]) {
    let genres = world.movie(movie).genres;
    for genre in genres.iter() {
        to[genre.index()] += weight / genres.len() as f32;
    }
}
