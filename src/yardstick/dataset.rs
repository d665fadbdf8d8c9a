//! Who watched and rated what: the plain form in which a log is measured and rankers are trained, ours or a real one.

use std::collections::BTreeSet;

/// A user as far as a data set tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserRow {
    /// The data set's own name for the user.
    pub id: String,
    /// Whether the user is recorded as female; none where it is not told.
    pub is_female: Option<bool>,
    /// The age in years.
    pub age: Option<u16>,
    /// The occupation.
    pub occupation: Option<String>,
}

/// A movie as far as a data set tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MovieRow {
    /// The data set's own name for the movie.
    pub id: String,
    /// The year of its release.
    pub year: Option<u16>,
    /// Its genres, as places in [`Dataset::genres`], in order.
    pub genres: Vec<u16>,
    /// Its length in minutes.
    pub runtime_min: Option<u16>,
}

/// One user's first meeting with one movie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Meeting {
    /// The user's place in [`Dataset::users`].
    pub user: u32,
    /// The movie's place in [`Dataset::movies`].
    pub movie: u32,
    /// When, in seconds since 1970.
    pub at: i64,
    /// The minutes watched, where the data set tells.
    pub minutes: Option<u16>,
    /// The stars given, on a scale of 1 to 5 (half stars occur), where the user gave any.
    pub stars: Option<f32>,
}

/// A log in plain form.
///
/// Every pair of user and movie occurs at most once, and meetings are in order of time (those of the same second in the
/// order of the source). Users and movies without any meeting are allowed: they belong to the company, not to the log.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dataset {
    /// What it is called in tables.
    pub name: String,
    /// The names of genres.
    pub genres: Vec<String>,
    /// The users.
    pub users: Vec<UserRow>,
    /// The movies.
    pub movies: Vec<MovieRow>,
    /// Who met what.
    pub meetings: Vec<Meeting>,
}

impl Dataset {
    /// Sorts meetings by time and keeps the first of each pair of user and movie.
    pub fn settle(&mut self) {
        self.meetings.sort_by_key(|meeting| meeting.at);
        let mut met = BTreeSet::new();
        self.meetings
            .retain(|meeting| met.insert((meeting.user, meeting.movie)));
    }

    /// Returns the meetings of each user, in order of time.
    pub fn by_user(&self) -> Vec<Vec<Meeting>> {
        let mut all = vec![Vec::new(); self.users.len()];
        for meeting in &self.meetings {
            all[meeting.user as usize].push(*meeting);
        }
        all
    }

    /// Returns the number of meetings of each movie.
    pub fn popularity(&self) -> Vec<u32> {
        let mut counts = vec![0; self.movies.len()];
        for meeting in &self.meetings {
            counts[meeting.movie as usize] += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settled_log_has_each_pair_once_the_first_in_time() {
        let meeting = |movie: u32, at: i64| Meeting {
            user: 0,
            movie,
            at,
            minutes: None,
            stars: None,
        };
        let mut data = Dataset {
            users: vec![UserRow::default()],
            movies: vec![MovieRow::default(); 2],
            meetings: vec![meeting(0, 9), meeting(1, 5), meeting(0, 3)],
            ..Dataset::default()
        };
        data.settle();
        assert_eq!(data.meetings, [meeting(0, 3), meeting(1, 5)]);
        assert_eq!(data.by_user()[0].len(), 2);
        assert_eq!(data.popularity(), [1, 1]);
    }
}
