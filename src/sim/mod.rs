//! What viewers do next, in virtual time: sessions, choices, minutes, ratings; no IO and no shared state.
//!
//! Every draw is keyed by user and hour, never by the order of calls: one user's life is the same whether they are played
//! alone for a data set or with a million others for the company's stream.

mod crowd;
mod life;
mod reaction;
mod stream;
mod sway;
mod viewer;

pub use crowd::{Arrival, Crowd, Person, Scene, Todo, Told, arrivals, factor};
pub use life::{Lives, Seen, day_of_term};
pub use reaction::{Reaction, Shown, react};
pub use stream::{Histories, Played, SimulateSpec, Teller, simulate, simulate_told, survey};
pub use sway::{Fame, Sway};
pub use viewer::{Logged, MnlViewer, Occasion, ViewerModel, Viewing};

use crate::event::SimTime;
use crate::seed::Branch;
use crate::world::{UserId, World};

/// The moment at which the built-in term begins.
pub fn term_start() -> SimTime {
    SimTime::from_date(2026, 8, 31)
}

/// Plays one user for some days and returns what they watched, in order of time.
///
/// A movie is watched once at most. The branch names the run: the same branch and start give the same life.
pub fn viewings(world: &World, branch: &Branch, user: UserId, start: SimTime, days: u32) -> Vec<Viewing> {
    let model = MnlViewer::new(world);
    let mut life = Lives::new(user, 1);
    let mut all = Vec::new();
    for hour in 0..i64::from(days) * 24 {
        life.play_hour(world, &model, branch, start.plus_seconds(hour * 3600), &mut all);
    }
    all
}
