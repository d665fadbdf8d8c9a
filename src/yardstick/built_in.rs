//! The built-in world's own log, played for measuring.

use super::{Dataset, Meeting, MovieRow, UserRow};
use crate::seed::Key;
use crate::sim::{term_start, viewings};
use crate::world::{Genre, Profile, UserId, World};

/// A user with fewer meetings is left out, as MovieLens left them out.
const LEAST_MEETINGS: usize = 20;

/// Plays users of a world for some days up to the start of the term, and returns what they met.
///
/// Users are asked in an order that the key decides, and the first ones with at least 20 different movies are taken; where
/// the world has too few of them, the data set has fewer users than wanted. Every meeting has the stars that the user
/// would give, rated or not: MovieLens knows rated movies alone. All movies of the catalogue are in the data set.
pub fn built_in_dataset(world: &World, key: &Key, users: u32, days: u32) -> Dataset {
    let branch = key.branch("yardstick");
    let (lives, occasions) = (branch.branch("lives"), branch.branch("occasions"));
    let mut order: Vec<UserId> = world.user_ids().collect();
    branch.branch("users").at(0).shuffle(&mut order);
    let start = term_start().plus_seconds(-i64::from(days) * 86_400);
    let mut data = Dataset {
        name: "built-in".to_owned(),
        genres: Genre::all().map(|genre| genre.name().to_owned()).collect(),
        ..Dataset::default()
    };
    data.movies = world
        .movie_indices()
        .map(|index| MovieRow::from(world.movie(index)))
        .collect();
    for id in order {
        if data.users.len() >= users as usize {
            break;
        }
        // Somebody who comes half as often as needed will hardly have enough meetings: playing them is wasted time.
        let expected = world.activity(id).unwrap_or_default() * f64::from(days) / 30.0;
        if expected < LEAST_MEETINGS as f64 / 2.0 {
            continue;
        }
        let (Some(user), Some(taste)) = (world.user(id), world.taste(id)) else {
            continue;
        };
        let mut met = std::collections::BTreeSet::new();
        let place = data.users.len() as u32;
        let meetings: Vec<Meeting> = viewings(world, &lives, id, start, days)
            .into_iter()
            .filter(|viewing| met.insert(viewing.movie))
            .map(|viewing| {
                let occasion = occasions
                    .at(u64::from(id.0) << 32 | u64::from(viewing.movie.0))
                    .normal();
                let stars = world.stars(id, &taste, viewing.movie, occasion);
                let stars = match world.spec().profile {
                    Profile::Classic => stars,
                    Profile::Current => stars.div_ceil(2),
                };
                Meeting {
                    user: place,
                    movie: viewing.movie.0,
                    at: viewing.at.seconds(),
                    minutes: Some(viewing.minutes),
                    stars: Some(f32::from(stars)),
                }
            })
            .collect();
        if meetings.len() < LEAST_MEETINGS {
            continue;
        }
        data.meetings.extend(meetings);
        data.users.push(UserRow::from(&user));
    }
    data.settle();
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::WorldSpec;

    #[test]
    fn everybody_has_enough_meetings_all_of_them_rated() {
        let key = Key::from_seed(3);
        let spec = WorldSpec {
            users: 200,
            movies: 150,
            profile: Profile::Classic,
        };
        let world = World::new(&key, spec, 1);
        let data = built_in_dataset(&world, &key, 25, 30);
        assert_eq!(data.users.len(), 25);
        assert_eq!(data.movies.len(), 150);
        assert!(
            data.by_user()
                .iter()
                .all(|meetings| meetings.len() >= LEAST_MEETINGS)
        );
        assert!(data.meetings.iter().all(|meeting| meeting.stars.is_some()));
        assert!(data.meetings.is_sorted_by_key(|meeting| meeting.at));
        assert_eq!(data, built_in_dataset(&world, &key, 25, 30));
    }
}
