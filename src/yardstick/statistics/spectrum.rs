//! How many directions taste has: singular values of choice, and of what effects leave of the ratings.

use super::ratings::Effects;
use super::singular::Sparse;
use super::{Figures, View};
use crate::seed::Branch;

const CHOICE: &str = "structure of choice";
const RATINGS: &str = "structure of ratings";
/// The singular values of choice that are told, counted from the trivial first.
const CHOICE_PLACES: [usize; 10] = [2, 3, 4, 5, 6, 8, 11, 20, 30, 50];
/// The singular values of residuals that are told.
const RATING_PLACES: [usize; 6] = [1, 2, 3, 4, 6, 10];
/// Permutations of which the largest first singular value stands for chance: one alone varies by two in a hundred.
const PERMUTATIONS: u64 = 8;
/// The singular values that are sought of a permutation, of which the first is used: chance has no gaps, and with so many the
/// first is right to 10⁻⁷.
const CHANCE_VALUES: usize = 8;

pub(super) fn measure(view: &View, effects: Option<&Effects>, branch: &Branch, figures: &mut Figures) {
    let matrix = Sparse {
        rows: view.data.users.len(),
        columns: view.data.movies.len(),
        entries: view
            .data
            .meetings
            .iter()
            .map(|meeting| {
                let activity = view.users[meeting.user as usize].len() as f64;
                let popularity = view.popularity[meeting.movie as usize];
                (
                    meeting.user,
                    meeting.movie,
                    1.0 / libm::sqrt(activity * popularity),
                )
            })
            .collect(),
    };
    let values = matrix.singular_values(51, &branch.branch("choice"));
    for place in CHOICE_PLACES {
        figures.put(CHOICE, format!("sv{place}"), values.get(place - 1).copied());
    }
    if values.len() == 51 {
        let squares: f64 = values[1..].iter().map(|value| value * value).sum();
        figures.put(CHOICE, "ss", squares);
    }
    let Some(effects) = effects else { return };
    residuals(view, effects, branch, figures);
}

/// Compares the singular values of residuals with the largest that the same residuals have in random orders.
fn residuals(view: &View, effects: &Effects, branch: &Branch, figures: &mut Figures) {
    let mut matrix = Sparse {
        rows: view.data.users.len(),
        columns: view.data.movies.len(),
        entries: effects.residuals.clone(),
    };
    let values = matrix.singular_values(20, &branch.branch("residuals"));
    let mut chance = 0.0_f64;
    for permutation in 0..PERMUTATIONS {
        let mut shuffled: Vec<f64> = effects.residuals.iter().map(|entry| entry.2).collect();
        branch
            .branch("permutation")
            .at(permutation)
            .shuffle(&mut shuffled);
        for (entry, value) in matrix.entries.iter_mut().zip(shuffled) {
            entry.2 = value;
        }
        let values = matrix.singular_values(CHANCE_VALUES, &branch.branch("chance"));
        chance = chance.max(values.first().copied().unwrap_or_default());
    }
    if chance <= 0.0 {
        return;
    }
    for place in RATING_PLACES {
        figures.put(
            RATINGS,
            format!("s{place}"),
            values.get(place - 1).map(|value| value / chance),
        );
    }
}
