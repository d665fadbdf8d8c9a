//! A smaller log taken from a larger one, so that figures which depend on size can be compared.

use std::fmt;

use super::Dataset;
use crate::seed::Key;

/// A number of users and of movies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The number of users.
    pub users: usize,
    /// The number of movies.
    pub movies: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.users, self.movies)
    }
}

/// The size of the reference.
pub const REFERENCE_SIZE: Size = Size {
    users: 943,
    movies: 1682,
};

/// A user with fewer meetings is left out, as in the reference.
const LEAST_MEETINGS: u32 = 20;

/// A log without enough users or movies for a sample; it tells the largest that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooSmall(pub Size);

impl fmt::Display for TooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the log has {} users with at least {LEAST_MEETINGS} meetings among the sampled movies, and {} movies",
            self.0.users, self.0.movies
        )
    }
}

impl std::error::Error for TooSmall {}

/// Draws movies that anybody met, and users with at least 20 meetings among them; both keep their order.
///
/// # Errors
/// When there are too few.
pub fn sample(data: &Dataset, size: Size, key: &Key) -> Result<Dataset, TooSmall> {
    let branch = key.branch("sample");
    let met: Vec<usize> = data
        .popularity()
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(place, _)| place)
        .collect();
    let all_movies = met.len();
    let movies = drawn(met, size.movies, &branch, "movies");
    let new_movie = places(&movies, data.movies.len());
    let mut counts = vec![0; data.users.len()];
    for meeting in &data.meetings {
        counts[meeting.user as usize] += u32::from(new_movie[meeting.movie as usize].is_some());
    }
    let enough: Vec<usize> = (0..data.users.len())
        .filter(|place| counts[*place] >= LEAST_MEETINGS)
        .collect();
    if enough.len() < size.users || all_movies < size.movies {
        return Err(TooSmall(Size {
            users: enough.len(),
            movies: all_movies,
        }));
    }
    let users = drawn(enough, size.users, &branch, "users");
    let new_user = places(&users, data.users.len());
    let meetings = data
        .meetings
        .iter()
        .filter_map(|meeting| {
            let mut kept = *meeting;
            kept.user = new_user[meeting.user as usize]?;
            kept.movie = new_movie[meeting.movie as usize]?;
            Some(kept)
        })
        .collect();
    Ok(Dataset {
        name: format!("{} ({size} of it)", data.name),
        genres: data.genres.clone(),
        users: users.iter().map(|place| data.users[*place].clone()).collect(),
        movies: movies.iter().map(|place| data.movies[*place].clone()).collect(),
        meetings,
    })
}

fn drawn(mut places: Vec<usize>, count: usize, branch: &crate::seed::Branch, what: &str) -> Vec<usize> {
    branch.branch(what).at(0).shuffle(&mut places);
    places.truncate(count);
    places.sort_unstable();
    places
}

fn places(kept: &[usize], all: usize) -> Vec<Option<u32>> {
    let mut places = vec![None; all];
    for (new, old) in kept.iter().enumerate() {
        places[*old] = Some(new as u32);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yardstick::{Meeting, MovieRow, UserRow};

    #[test]
    fn a_sample_has_its_size_and_only_busy_users() {
        let meeting = |user: u32, movie: u32| Meeting {
            user,
            movie,
            at: i64::from(movie),
            minutes: None,
            stars: None,
        };
        // User u meets the first 10 × u movies of 60.
        let data = Dataset {
            users: (0..6)
                .map(|user: u32| UserRow {
                    id: user.to_string(),
                    ..UserRow::default()
                })
                .collect(),
            movies: vec![MovieRow::default(); 70],
            meetings: (0..6)
                .flat_map(|user| (0..10 * user).map(move |movie| meeting(user, movie)))
                .collect(),
            ..Dataset::default()
        };
        let size = Size { users: 3, movies: 50 };
        let small = sample(&data, size, &Key::from_seed(1)).unwrap();
        assert_eq!((small.users.len(), small.movies.len()), (3, 50));
        assert!(small.by_user().iter().all(|meetings| meetings.len() >= 20));
        assert_eq!(small, sample(&data, size, &Key::from_seed(1)).unwrap());
        let size = Size { users: 5, movies: 50 };
        let found = sample(&data, size, &Key::from_seed(1)).unwrap_err();
        assert_eq!(found.0, Size { users: 4, movies: 50 });
    }
}
