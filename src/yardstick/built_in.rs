//! The built-in world's own log in plain form, played for measuring or as it was released.

use std::collections::{BTreeMap, BTreeSet};

use super::{Dataset, Meeting, MovieRow, UserRow};
use crate::seed::Key;
use crate::sim::{Viewing, term_start, viewings};
use crate::world::{Gender, Genre, Profile, UserId, World};

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
    let mut data = catalogue(world);
    for id in order {
        if data.users.len() >= users as usize {
            break;
        }
        // Somebody who comes half as often as needed will hardly have enough meetings: playing them is wasted time.
        let expected = world.activity(id).unwrap_or_default() * f64::from(days) / 30.0;
        if expected < LEAST_MEETINGS as f64 / 2.0 {
            continue;
        }
        let Some(taste) = world.taste(id) else {
            continue;
        };
        let mut met = BTreeSet::new();
        let place = data.users.len() as u32;
        let meetings: Vec<Meeting> = viewings(world, &lives, id, start, days)
            .into_iter()
            .filter(|viewing| met.insert(viewing.movie))
            .map(|viewing| {
                let occasion = occasions
                    .at(u64::from(id.0) << 32 | u64::from(viewing.movie.0))
                    .normal();
                let stars = world.stars(id, &taste, viewing.movie, occasion);
                meeting(
                    world,
                    place,
                    Viewing {
                        stars: Some(stars),
                        ..viewing
                    },
                )
            })
            .collect();
        if meetings.len() < LEAST_MEETINGS {
            continue;
        }
        data.meetings.extend(meetings);
        data.users.push(user_row(world, id));
    }
    data.settle();
    data
}

/// Returns a log of viewings in plain form, with the stars that were given alone.
///
/// The users that are named come first and in their order, whether they watched anything or not; whoever else is in the log
/// comes after them in the order of numbers.
pub fn log_dataset(world: &World, users: &[UserId], viewings: &[Viewing]) -> Dataset {
    let mut data = catalogue(world);
    let mut places: BTreeMap<UserId, u32> = BTreeMap::new();
    let others: BTreeSet<UserId> = viewings.iter().map(|viewing| viewing.user).collect();
    for id in users.iter().copied().chain(others) {
        let next = places.len() as u32;
        places.entry(id).or_insert_with(|| {
            data.users.push(user_row(world, id));
            next
        });
    }
    data.meetings = viewings
        .iter()
        .map(|viewing| meeting(world, places[&viewing.user], *viewing))
        .collect();
    data.settle();
    data
}

/// A data set with all movies of a world's catalogue, and nobody who met them.
fn catalogue(world: &World) -> Dataset {
    let movies = world.movie_indices().map(|index| {
        let movie = world.movie(index);
        MovieRow {
            id: movie.id.clone(),
            year: movie.year,
            genres: movie.genres.iter().map(|genre| genre.index() as u16).collect(),
            runtime_min: Some(movie.runtime_min),
        }
    });
    Dataset {
        name: "built-in".to_owned(),
        genres: Genre::all().map(|genre| genre.name().to_owned()).collect(),
        movies: movies.collect(),
        ..Dataset::default()
    }
}

/// Returns what is known of a user; the number alone where the company has no record.
fn user_row(world: &World, id: UserId) -> UserRow {
    let user = world.user(id);
    UserRow {
        id: id.0.to_string(),
        is_female: user.as_ref().map(|user| user.gender == Gender::Female),
        age: user.as_ref().map(|user| u16::from(user.age)),
        occupation: user.map(|user| user.occupation.label().to_owned()),
    }
}

/// Returns a viewing as a meeting; ten stars are halved, upwards.
fn meeting(world: &World, user: u32, viewing: Viewing) -> Meeting {
    let five = |stars: u8| match world.spec().profile {
        Profile::Classic => stars,
        Profile::Current => stars.div_ceil(2),
    };
    Meeting {
        user,
        movie: viewing.movie.0,
        at: viewing.at.seconds(),
        minutes: Some(viewing.minutes),
        stars: viewing.stars.map(five).map(f32::from),
    }
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
