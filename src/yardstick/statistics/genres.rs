//! What genres are offered and met, which stand together, and how far users' mixes are from the common one.

use super::{Figures, View, collect, mean, median};
use crate::yardstick::Meeting;

const OFFERED: &str = "genres of movies";
const MET: &str = "genres of meetings";
const PAIRS: &str = "genres that stand together (Jaccard)";
/// The number of pairs that are told.
const STRONGEST: usize = 10;
/// The most genres that are told of a movie; more are one class.
const MOST_GENRES: usize = 5;

pub(super) fn measure(view: &View, figures: &mut Figures) {
    let genres = view.data.genres.len();
    if genres == 0 {
        return;
    }
    let movies = view.data.movies.len() as f64;
    let meetings = view.data.meetings.len() as f64;
    let mut offered = vec![0.0; genres];
    let mut met = vec![0.0; genres];
    let mut both = vec![vec![0.0; genres]; genres];
    let mut counts = [0.0; MOST_GENRES + 1];
    for (movie, popularity) in view.data.movies.iter().zip(&view.popularity) {
        counts[movie.genres.len().min(MOST_GENRES)] += 1.0;
        for genre in &movie.genres {
            offered[usize::from(*genre)] += 1.0;
            met[usize::from(*genre)] += popularity;
            for other in &movie.genres {
                both[usize::from(*genre)][usize::from(*other)] += 1.0;
            }
        }
    }
    for (name, count) in view.data.genres.iter().zip(&offered) {
        figures.put(OFFERED, format!("movies of {name}"), count / movies);
    }
    for (number, count) in counts.iter().enumerate().skip(1) {
        let more = if number == MOST_GENRES { " or more" } else { "" };
        figures.put(
            OFFERED,
            format!("movies of {number}{more} genres"),
            count / movies,
        );
    }
    for (name, count) in view.data.genres.iter().zip(&met) {
        figures.put(MET, format!("meetings of {name}"), count / meetings);
    }
    pairs(view, &offered, &both, figures);
    let divergences = collect(divergences(view).into_iter());
    figures.put(MET, "KL", mean(&divergences));
    figures.put(MET, "KL median", median(&divergences));
}

fn pairs(view: &View, offered: &[f64], both: &[Vec<f64>], figures: &mut Figures) {
    let mut pairs = Vec::new();
    for first in 0..offered.len() {
        for second in first + 1..offered.len() {
            let common = both[first][second];
            let any = offered[first] + offered[second] - common;
            if common > 0.0 {
                pairs.push((common / any, first, second));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (jaccard, first, second) in pairs.into_iter().take(STRONGEST) {
        let mut names = [&view.data.genres[first], &view.data.genres[second]];
        names.sort();
        figures.put(PAIRS, format!("{} and {}", names[0], names[1]), jaccard);
    }
}

/// Returns the genre mix of some meetings: each meeting counts one, shared equally by the movie's genres.
fn mix<'m>(view: &View, meetings: impl Iterator<Item = &'m Meeting>) -> Option<Vec<f64>> {
    let mut mix = vec![0.0; view.data.genres.len()];
    for meeting in meetings {
        let genres = &view.data.movies[meeting.movie as usize].genres;
        for genre in genres {
            mix[usize::from(*genre)] += 1.0 / genres.len() as f64;
        }
    }
    let total: f64 = mix.iter().sum();
    (total > 0.0).then(|| mix.into_iter().map(|share| share / total).collect())
}

/// Returns the divergence of Kullback and Leibler of each user's mix from the common one, in nats.
fn divergences(view: &View) -> Vec<f64> {
    let Some(common) = mix(view, view.data.meetings.iter()) else {
        return Vec::new();
    };
    view.users
        .iter()
        .filter_map(|meetings| mix(view, meetings.iter()))
        .map(|own| {
            own.iter()
                .zip(&common)
                .filter(|(own, _)| **own > 0.0)
                .map(|(own, common)| own * libm::log(own / common))
                .sum()
        })
        .collect()
}
