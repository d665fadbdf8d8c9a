//! An attack on ratings that comes over the open company: whom it pushes, with which accounts, and what these watch and give.
//!
//! It follows from the seed and the calendar alone, and is the same for all teams. What an attack must know of the company, how
//! much each movie is rated, is counted over viewers who are played for it, without any service.

use std::collections::BTreeSet;

use super::attack::{Attack, Size};
use super::stage::{Facts, Scene};
use super::{DAY_S, Kind, Trouble};
use crate::event::SimTime;
use crate::seed::Branch;
use crate::sim::{Histories, SimulateSpec, Viewing};
use crate::world::{MovieIndex, UserId, World};

/// The most viewers who are played: ratings of ten thousands tell which movie has how many.
const MOST_PLAYED: usize = 5_000;
/// For how many days they are played.
const PLAYED_DAYS: f64 = 14.0;

/// An attack, made ready.
#[derive(Debug, Clone, PartialEq)]
pub struct Onslaught {
    /// The movie that it is about.
    pub target: MovieIndex,
    /// The accounts, in order.
    pub accounts: Vec<UserId>,
    /// What they watch and give, in order of time.
    pub viewings: Vec<Viewing>,
}

impl Onslaught {
    /// Makes an attack ready that begins at a moment and has begun all its viewings before another. `ratings` says how many
    /// times as many ratings the company has by then as all its users give in a day by themselves.
    pub fn new(
        attack: Attack,
        (name, branch): (&str, &Branch),
        world: &World,
        (from, until): (SimTime, SimTime),
        ratings: f64,
    ) -> Self {
        let spec = SimulateSpec {
            // A whole hour, as viewers are played by the hour.
            start: SimTime::from_seconds(from.seconds().div_euclid(3_600) * 3_600),
            hours: PLAYED_DAYS * 24.0,
            threads: 1,
        };
        let lives = branch.branch("played");
        let histories = Histories::new(world, &lives, spec);
        let users: Vec<UserId> = world.user_ids().collect();
        let step = users.len().div_ceil(MOST_PLAYED).max(1);
        let played: Vec<UserId> = users.iter().copied().step_by(step).collect();
        let facts = Facts::count(
            world.spec().movies,
            played.iter().flat_map(|user| histories.of(*user)),
        );
        let history = |user: UserId| histories.of(user);
        let seconds = (until.seconds() - from.seconds()).max(1);
        let scene = Scene {
            world,
            branch,
            users: &users,
            everybody: true,
            start: from,
            days: seconds.div_euclid(DAY_S) as u32 + 1,
            end: Some(until),
            history: &history,
        };
        let size = match attack.size {
            // The movie's ratings are those of the viewers who were played, in their days.
            Size::Ratio { share, rho } => {
                let part = played.len() as f64 / users.len() as f64 * PLAYED_DAYS / ratings.max(1.0);
                Size::Ratio {
                    share,
                    rho: rho / part,
                }
            }
            target @ Size::Target { .. } => target,
        };
        let trouble = Trouble {
            name: name.to_owned(),
            onset_day: 0,
            end_day: None,
            kind: Kind::RatingAttack(attack),
        };
        let attack = Attack { size, ..attack };
        let raid = attack.raid(&trouble, &scene, &facts, branch, &mut BTreeSet::new());
        let mut viewings: Vec<Viewing> = raid.extras.into_iter().map(|logged| logged.viewing).collect();
        viewings.sort_by_key(|viewing| (viewing.at, viewing.user));
        Self {
            target: raid.target,
            accounts: raid.accounts,
            viewings,
        }
    }
}
