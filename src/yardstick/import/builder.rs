//! Gathers users, movies and meetings under their own names while a log is read.

use std::collections::HashMap;

use super::super::{Dataset, Meeting, MovieRow, UserRow};
use crate::world::slug;

/// The most meetings that are held: the largest public set of ratings has a third of it.
const MAX_MEETINGS: usize = 100_000_000;

/// A data set in the making: names to places, and one meeting for each pair.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub(super) data: Dataset,
    users: HashMap<String, u32>,
    movies: HashMap<String, u32>,
    genres: HashMap<String, u16>,
    pairs: HashMap<(u32, u32), usize>,
}

impl Builder {
    /// Returns the place of a user, who is made when new.
    pub(super) fn user(&mut self, name: &str) -> u32 {
        if let Some(place) = self.users.get(name) {
            return *place;
        }
        let place = self.data.users.len() as u32;
        self.users.insert(name.to_owned(), place);
        self.data.users.push(UserRow {
            id: name.to_owned(),
            ..UserRow::default()
        });
        place
    }

    /// Returns the place of a movie, which is made when new.
    pub(super) fn movie(&mut self, name: &str) -> u32 {
        if let Some(place) = self.movies.get(name) {
            return *place;
        }
        let place = self.data.movies.len() as u32;
        self.movies.insert(name.to_owned(), place);
        self.data.movies.push(MovieRow {
            id: name.to_owned(),
            year: year_of_id(name),
            ..MovieRow::default()
        });
        place
    }

    /// Returns a new user's row.
    pub(super) fn new_user(&mut self, name: &str) -> Result<&mut UserRow, String> {
        if self.users.contains_key(name) {
            return Err(format!("user `{name}` stood here before"));
        }
        let place = self.user(name);
        Ok(&mut self.data.users[place as usize])
    }

    /// Returns a new movie's row.
    pub(super) fn new_movie(&mut self, name: &str) -> Result<&mut MovieRow, String> {
        if self.movies.contains_key(name) {
            return Err(format!("movie `{name}` stood here before"));
        }
        let place = self.movie(name);
        Ok(&mut self.data.movies[place as usize])
    }

    /// Returns the place of a genre, which is made when new.
    pub(super) fn genre(&mut self, name: &str) -> Result<u16, String> {
        if let Some(place) = self.genres.get(name) {
            return Ok(*place);
        }
        let place = u16::try_from(self.data.genres.len()).map_err(|_| "more genres than 65535".to_owned())?;
        self.genres.insert(name.to_owned(), place);
        self.data.genres.push(name.to_owned());
        Ok(place)
    }

    /// Returns the meeting of a pair, made at this moment when new.
    pub(super) fn meeting(&mut self, user: u32, movie: u32, at: i64) -> Result<&mut Meeting, String> {
        let meetings = &mut self.data.meetings;
        let place = *self.pairs.entry((user, movie)).or_insert(meetings.len());
        if place == meetings.len() {
            if place >= MAX_MEETINGS {
                return Err(format!("more than {MAX_MEETINGS} meetings"));
            }
            meetings.push(Meeting {
                user,
                movie,
                at,
                minutes: None,
                stars: None,
            });
        }
        Ok(&mut meetings[place])
    }

    /// Takes back the movie that was made last.
    pub(super) fn forget_last_movie(&mut self, name: &str) {
        self.movies.remove(name);
        self.data.movies.pop();
    }

    /// Returns the number of meetings so far.
    pub(super) fn len(&self) -> usize {
        self.data.meetings.len()
    }

    /// Gives the movies the ids of the company's rule, made from their titles; a number keeps two apart.
    pub(super) fn name_movies(&mut self, titles: &HashMap<u32, String>) {
        let mut taken = HashMap::new();
        for (place, movie) in self.data.movies.iter_mut().enumerate() {
            let Some(title) = titles.get(&(place as u32)) else {
                continue;
            };
            let mut id = slug(title, movie.year);
            if taken.contains_key(&id) {
                id = slug(&format!("{title} No. {}", place + 1), movie.year);
            }
            taken.insert(id.clone(), ());
            movie.id = id;
        }
    }

    /// Returns the data set, settled.
    pub(super) fn finish(mut self, name: String) -> Dataset {
        self.data.name = name;
        self.pairs = HashMap::new();
        self.data.meetings.sort_by_key(|meeting| meeting.at);
        self.data
    }
}

/// Returns the year that an id of the company's rule ends with.
fn year_of_id(id: &str) -> Option<u16> {
    let (_, year) = id.rsplit_once('+')?;
    (year.len() == 4).then(|| year.parse().ok())?
}

/// Splits a title of MovieLens, `Heat (1995)`, in name and year.
pub(super) fn title_and_year(title: &str) -> (&str, Option<u16>) {
    let title = title.trim();
    let inside = title
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once('('))
        .filter(|(_, year)| year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()));
    match inside {
        Some((name, year)) => (name.trim_end(), year.parse().ok()),
        None => (title, None),
    }
}
