//! How long movies are watched, where a log tells minutes.

use super::{Figures, View, collect, mean};

const HEADING: &str = "minutes";
/// The minutes at which the share that has left is told.
const LEFT_BY: [u16; 7] = [1, 2, 5, 10, 20, 40, 60];

pub(super) fn measure(view: &View, figures: &mut Figures) {
    let watched: Vec<_> = view
        .data
        .meetings
        .iter()
        .filter_map(|meeting| {
            let runtime = view.data.movies[meeting.movie as usize].runtime_min;
            Some((meeting.minutes?, runtime, meeting.stars))
        })
        .collect();
    if watched.is_empty() {
        return;
    }
    let n = watched.len() as f64;
    figures.put(
        HEADING,
        "minutes watched, mean",
        mean(&collect(watched.iter().map(|row| f64::from(row.0)))),
    );
    // Whoever saw the end has not left, however short the movie.
    let left = |by: u16| {
        watched
            .iter()
            .filter(|row| row.0 <= by && row.1.is_none_or(|runtime| row.0 < runtime))
            .count() as f64
            / n
    };
    for by in LEFT_BY {
        figures.put(HEADING, format!("left by minute {by}"), left(by));
    }
    let completed = |holds: &dyn Fn(Option<f32>) -> bool| {
        mean(&collect(watched.iter().filter(|row| holds(row.2)).filter_map(
            |row| row.1.map(|runtime| f64::from(u8::from(row.0 >= runtime))),
        )))
    };
    figures.put(HEADING, "completed", completed(&|_| true));
    for wanted in 1..=5_u32 {
        figures.put(
            HEADING,
            format!("completed, of {wanted} stars"),
            completed(&|stars| stars.is_some_and(|stars| stars.round() as u32 == wanted)),
        );
    }
    figures.put(HEADING, "completed, unrated", completed(&|stars| stars.is_none()));
}
