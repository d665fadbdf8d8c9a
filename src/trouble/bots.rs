//! Bots: accounts that watch by machine, with traces whose strength can be set.

use std::collections::BTreeSet;

use super::attack::{Accounts, accounts};
use super::stage::Scene;
use super::{Trouble, Window};
use crate::seed::Branch;
use crate::sim::{Logged, Viewing};
use crate::world::{MovieIndex, UserId};

/// How many bots there are, and what gives them away. Every trace runs from 0, as people are, to 1, as a machine is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bots {
    /// Bots for every real user.
    pub size: f64,
    /// Viewings a day of each.
    pub volume: f64,
    /// How regular the pauses between viewings are.
    pub regularity: f64,
    /// The share of viewings that are watched to the end whatever the movie.
    pub completion: f64,
    /// How many times faster than real time minutes go by.
    pub speed: f64,
    /// The share of viewings without a request for recommendations before.
    pub unasked: f64,
}

impl Bots {
    pub(super) fn swarm(
        &self,
        trouble: &Trouble,
        scene: &Scene<'_>,
        branch: &Branch,
        taken: &mut BTreeSet<u32>,
    ) -> (Vec<UserId>, Vec<Logged>) {
        let count = ((self.size * scene.users.len() as f64).round() as usize).max(1);
        let bots = accounts(scene, Accounts::Dormant, count, &branch.branch("accounts"), taken);
        let window = scene.window(trouble);
        let mut extras = Vec::new();
        for (number, bot) in bots.iter().enumerate() {
            self.life(*bot, number as u64, scene, window, branch, &mut extras);
        }
        (bots, extras)
    }

    fn life(
        &self,
        bot: UserId,
        number: u64,
        scene: &Scene<'_>,
        window: Window,
        branch: &Branch,
        extras: &mut Vec<Logged>,
    ) {
        let mut draws = branch.branch("lives").at(number);
        let gap_s = 86_400.0 / self.volume;
        let pace_s = ((60.0 / self.speed).round() as u16).max(1);
        let movies = u64::from(scene.world.spec().movies);
        let mut at = window.from.plus_seconds((draws.unit() * gap_s) as i64);
        while window.holds(at) {
            let movie = MovieIndex(draws.below(movies) as u32);
            let runtime = scene.world.movie(movie).runtime_min;
            let early = 1 + draws.below(u64::from(runtime)) as u16;
            let minutes = if draws.chance(self.completion) {
                runtime
            } else {
                early
            };
            let viewing = Viewing {
                user: bot,
                movie,
                at,
                minutes,
                stars: None,
                is_first: false,
            };
            let asks = !draws.chance(self.unasked);
            extras.push(Logged {
                viewing,
                pace_s,
                request_ms: viewing.request_ms().filter(|_| asks),
            });
            let pause = gap_s * (self.regularity + (1.0 - self.regularity) * draws.exponential());
            // Even a machine watches one movie after the other.
            let watched = i64::from(minutes) * i64::from(pace_s) + 1;
            at = at.plus_seconds((pause as i64).max(watched));
        }
    }
}
