//! What a viewer does with a recommended list: which place they take, how long they watch, whether they rate.

use super::life::day_of_term;
use super::viewer::{Occasion, ViewerModel, Viewing};
use crate::event::SimTime;
use crate::seed::Branch;
use crate::world::{Moment, MovieIndex, Taste, UserId, World};

/// A list as it is put before a viewer.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'l> {
    /// Who looks at it.
    pub user: UserId,
    /// When.
    pub at: SimTime,
    /// The number of the occasion, which names the draws: the same occasion has the same luck whatever list is shown.
    pub occasion: u32,
    /// The movies, best first.
    pub list: &'l [MovieIndex],
    /// Movies that the viewer has watched before and does not take again.
    pub seen: &'l [MovieIndex],
}

/// What came of a list that was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaction {
    /// The place of the movie that was taken, from 0.
    pub place: usize,
    /// What was watched, and the stars it got if any.
    pub viewing: Viewing,
}

/// Shows a list to a viewer; none when they take nothing, or when there is no such user.
///
/// The viewer looks at place k with probability k^-0.8 and takes what of that pulls them most, or nothing
/// ([`ViewerModel::take`]). A movie that was seen, or stands in the list a second time, is not taken.
pub fn react(world: &World, model: &dyn ViewerModel, branch: &Branch, shown: Shown<'_>) -> Option<Reaction> {
    let taste = world.taste(shown.user)?;
    let moment = world.habits().moment(day_of_term(shown.at));
    let level = world.acceptance_level(shown.user)?;
    let pulls: Vec<f64> = pulls(world, (&taste, level, &moment), shown.list, |movie| {
        shown.seen.contains(&movie)
    });
    let mut draws = branch.at(u64::from(shown.user.0) << 32 | u64::from(shown.occasion));
    let place = model.take(world, &pulls, &mut draws)?;
    let movie = shown.list[place];
    // Minutes and stars have draws of their own, so that they do not depend on the length of the list.
    let mut draws = branch
        .branch("watching")
        .at(u64::from(shown.user.0) << 32 | u64::from(movie.0));
    let on = Occasion::new(world, shown.user, &taste, &moment, shown.at);
    let minutes = model.watch(on, movie, &mut draws);
    let stars = model.rate(on, (movie, minutes), &mut draws);
    let viewing = Viewing {
        user: shown.user,
        movie,
        at: shown.at,
        minutes,
        stars,
        is_first: false,
    };
    Some(Reaction { place, viewing })
}

/// How far the pull of each movie of a list is above a viewer's level; minus infinity for what was seen or stands there twice.
pub(super) fn pulls(
    world: &World,
    (taste, level, moment): (&Taste, f64, &Moment),
    list: &[MovieIndex],
    seen: impl Fn(MovieIndex) -> bool,
) -> Vec<f64> {
    list.iter()
        .enumerate()
        .map(|(rank, movie)| {
            let is_new = !seen(*movie) && !list[..rank].contains(movie);
            let pull = is_new.then(|| world.pull_shown(taste, moment, *movie)).flatten();
            pull.map_or(f64::NEG_INFINITY, |pull| pull - level)
        })
        .collect()
}
