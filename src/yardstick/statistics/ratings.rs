//! What stars are given, and how much of it is the user's, the movie's, or neither's.

use super::{Figures, View, collect, deviation, mean, stars, variance};

const HEADING: &str = "ratings";
const PARTS: &str = "parts of the ratings' variance";
/// Pulls of a user's and a movie's effect to 0, in ratings: residual variance over the variance of effects, as in a
/// model of random effects.
const USER_PULL: f64 = 5.5;
const MOVIE_PULL: f64 = 2.8;
/// Rounds of fitting users and movies in turn.
const ROUNDS: u32 = 15;
/// Movies with fewer ratings than this are left out of the spread of movies' effects.
const RATED_SOME: f64 = 5.0;

/// The effects of users and movies on stars, and what they leave.
pub(super) struct Effects {
    user: Vec<f64>,
    movie: Vec<f64>,
    /// Place of user, place of movie, residual: one for each rating.
    pub(super) residuals: Vec<(u32, u32, f64)>,
}

/// Fits the effects; none where nobody rated.
pub(super) fn effects(view: &View) -> Option<Effects> {
    let ratings: Vec<(u32, u32, f64)> = view
        .data
        .meetings
        .iter()
        .filter_map(|meeting| Some((meeting.user, meeting.movie, stars(meeting)?)))
        .collect();
    let centre = mean(&collect(ratings.iter().map(|rating| rating.2)))?;
    let mut user = vec![0.0; view.data.users.len()];
    let mut movie = vec![0.0; view.data.movies.len()];
    for _ in 0..ROUNDS {
        movie = fitted(
            &ratings,
            movie.len(),
            MOVIE_PULL,
            |rating| rating.1,
            |rating| rating.2 - centre - user[rating.0 as usize],
        );
        user = fitted(
            &ratings,
            user.len(),
            USER_PULL,
            |rating| rating.0,
            |rating| rating.2 - centre - movie[rating.1 as usize],
        );
    }
    let residuals = ratings
        .iter()
        .map(|(u, m, stars)| (*u, *m, stars - centre - user[*u as usize] - movie[*m as usize]))
        .collect();
    Some(Effects {
        user,
        movie,
        residuals,
    })
}

fn fitted(
    ratings: &[(u32, u32, f64)],
    count: usize,
    pull: f64,
    place: impl Fn(&(u32, u32, f64)) -> u32,
    left: impl Fn(&(u32, u32, f64)) -> f64,
) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); count];
    for rating in ratings {
        let sum = &mut sums[place(rating) as usize];
        sum.0 += left(rating);
        sum.1 += 1.0;
    }
    sums.into_iter()
        .map(|(sum, count)| sum / (count + pull))
        .collect()
}

pub(super) fn measure(view: &View, effects: Option<&Effects>, figures: &mut Figures) {
    let all = view.stars();
    figures.put(
        HEADING,
        "share of meetings rated",
        all.len() as f64 / view.data.meetings.len() as f64,
    );
    for wanted in 1..=5 {
        let share =
            all.iter().filter(|stars| stars.round() as u32 == wanted).count() as f64 / all.len() as f64;
        figures.put(HEADING, format!("share of {wanted} stars"), share);
    }
    figures.put(HEADING, "rating mean", mean(&all));
    figures.put(HEADING, "rating variance", variance(&all));
    let deviations = collect(view.users.iter().filter_map(|meetings| {
        let given = collect(meetings.iter().filter_map(stars));
        if given.len() < 2 { None } else { deviation(&given) }
    }));
    figures.put(HEADING, "usd_m", mean(&deviations));
    figures.put(HEADING, "usd_s", deviation(&deviations));
    let Some(effects) = effects else { return };
    let of = |effect: &[f64], place: &dyn Fn(&(u32, u32, f64)) -> u32| {
        variance(&collect(
            effects
                .residuals
                .iter()
                .map(|rating| effect[place(rating) as usize]),
        ))
    };
    figures.put(PARTS, "vu", of(&effects.user, &|rating| rating.0));
    figures.put(PARTS, "vi", of(&effects.movie, &|rating| rating.1));
    figures.put(
        PARTS,
        "vr",
        variance(&collect(effects.residuals.iter().map(|rating| rating.2))),
    );
    let mut counts = vec![0.0; effects.movie.len()];
    for (_, movie, _) in &effects.residuals {
        counts[*movie as usize] += 1.0;
    }
    let known = collect(
        effects
            .movie
            .iter()
            .zip(&counts)
            .filter(|(_, count)| **count >= RATED_SOME)
            .map(|(effect, _)| *effect),
    );
    figures.put(PARTS, "bi_sd", deviation(&known));
}
