//! What each attack of a course truly does to recommenders: the log and its twin with the attack off, side by side.

use super::ui::Ui;
use crate::course::Course;
use crate::release::Release;
use crate::trouble::{Effect, Truth};
use crate::world::World;
use crate::yardstick::{Algorithm, Shift, log_dataset, standings};

/// Those that rate, those that count, and one that does neither for comparison: who watches what together moves little.
const ASKED: [Algorithm; 5] = [
    Algorithm::ItemAvg,
    Algorithm::MfRating,
    Algorithm::Pop,
    Algorithm::RecentPop,
    Algorithm::ItemKnn,
];
/// The kind of the troubles that are attacks.
const ATTACK: &str = "rating_attack";

/// Adds to the entry of each attack where recommenders put its target, trained on the log as it is told and on its twin:
/// the same log without the attack's accounts, and nothing else changed.
pub(super) fn add_standings(
    world: &World,
    course: &Course,
    release: &Release,
    truths: &mut [Truth],
    ui: &Ui,
) {
    let told = release.told();
    for truth in truths.iter_mut().filter(|truth| truth.kind == ATTACK) {
        let Some(target) = truth.movies.first().and_then(|id| world.movie_index(id)) else {
            continue;
        };
        ui.progress(format_args!(
            "training recommenders with `{}` and without",
            truth.name
        ));
        let twin: Vec<_> = told
            .iter()
            .filter(|viewing| truth.users.binary_search(&viewing.user.0).is_err())
            .copied()
            .collect();
        let with = log_dataset(world, &release.users, &told);
        let without = log_dataset(world, &release.users, &twin);
        let branch = course.key.branch("twins").branch(&truth.name);
        for standing in standings(&without, &with, target.0 as usize, &ASKED, &branch) {
            let name = standing.ranker;
            truth.effects.extend([
                effect(&format!("mean rank of the target by {name}"), &standing.rank),
                effect(
                    &format!("share of users with the target in their twenty by {name}"),
                    &standing.listed,
                ),
            ]);
        }
    }
}

fn effect(measure: &str, shift: &Shift) -> Effect {
    Effect {
        change: shift.change.map(|interval| [interval.low, interval.high]),
        ..Effect::new(measure, shift.without, shift.with)
    }
}
