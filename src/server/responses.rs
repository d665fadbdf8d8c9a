//! How a team's service responded to an incident that the open company has run, from the record of its requests (pure).

use serde_json::Value;

use crate::event::SimTime;
use crate::incident::{Minute, Response, Takedown, respond_by_minute, takedown};
use crate::store::Played;
use crate::window::Span;

/// How long a service is watched after an incident, in seconds; and before one, where it is about a movie.
const AROUND_S: i64 = 3_600;

/// What is asked of the record for one incident and one team.
#[derive(Debug)]
pub struct Watched<'p> {
    played: &'p Played,
    truth: Value,
    minutes: Vec<Minute>,
    lists: Vec<(f64, bool)>,
    sightings: Vec<(f64, String)>,
}

/// How one team responded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TeamResponse {
    /// Requests during it and after it, what was lost, and when all was well again.
    pub response: Response,
    /// What became of the movie that it is about, in the team's lists: before it, and from its beginning, or the end of the
    /// grace, on.
    pub movie: Option<Takedown>,
    /// How long after the beginning the service named a model that it had not before, in seconds; none where it did not.
    pub new_model_s: Option<f64>,
}

impl<'p> Watched<'p> {
    /// Begins with one that was run.
    pub fn new(played: &'p Played) -> Self {
        Self {
            played,
            truth: serde_json::from_str(&played.truth).unwrap_or_default(),
            minutes: Vec::new(),
            lists: Vec::new(),
            sightings: Vec::new(),
        }
    }

    /// Returns what is true of it.
    pub fn truth(&self) -> &Value {
        &self.truth
    }

    /// Returns the movie that it is about: lists are wanted then, and not only the figures of minutes.
    pub fn movie(&self) -> Option<&str> {
        self.truth["movie"].as_str()
    }

    /// Returns the span of the record that is wanted.
    pub fn span(&self) -> Span {
        let before = if self.movie().is_some() { AROUND_S } else { 0 };
        Span {
            from: self.played.spell.from.plus_seconds(-before),
            until: self.played.spell.until.plus_seconds(AROUND_S),
        }
    }

    fn since(&self, at: SimTime) -> f64 {
        (at.0 - self.played.spell.from.0) as f64 / 1e6
    }

    /// Takes a minute of the record: its number since 1970, the requests in it, and those that went well.
    pub fn minute(&mut self, number: i64, asked: u64, well: u64) {
        let at_s = self.since(SimTime::from_seconds(number * 60));
        match self.minutes.last_mut().filter(|last| last.at_s == at_s) {
            Some(last) => {
                last.asked += asked;
                last.well += well;
            }
            None => self.minutes.push(Minute { at_s, asked, well }),
        }
    }

    /// Takes a request of the record: its moment, and the list that it got, where it went well.
    pub fn request(&mut self, at: SimTime, list: Option<&[String]>) {
        self.minute(at.seconds().div_euclid(60), 1, u64::from(list.is_some()));
        if let (Some(movie), Some(list)) = (self.truth["movie"].as_str(), list) {
            let had = list.iter().any(|id| id == movie);
            self.lists.push((self.since(at), had));
        }
    }

    /// Takes a model that the service was seen to have, in order of time.
    pub fn model(&mut self, at: SimTime, model: &str) {
        let at_s = self.since(at);
        self.sightings.push((at_s, model.to_owned()));
    }

    /// Tells how the team responded.
    pub fn told(mut self) -> TeamResponse {
        self.minutes.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        let to_s = self.since(self.played.spell.until);
        let until_s = to_s + AROUND_S as f64;
        let is_about_one = self.movie().is_some();
        let movie = is_about_one.then(|| {
            let grace_s = self.truth["grace_s"].as_f64().unwrap_or_default();
            // What is withdrawn is so until the end; what was pushed stays where it came to.
            let last_s = if self.truth["kind"] == "takedown" {
                to_s
            } else {
                until_s
            };
            self.lists.retain(|(at_s, _)| *at_s < last_s);
            takedown(0.0, grace_s, &self.lists)
        });
        let before: Vec<&str> = self
            .sightings
            .iter()
            .filter(|(at_s, _)| *at_s <= 0.0)
            .map(|(_, model)| model.as_str())
            .collect();
        let new_model_s = self
            .sightings
            .iter()
            .find(|(at_s, model)| {
                (0.0..until_s).contains(at_s)
                    && *at_s > 0.0
                    && !before.is_empty()
                    && !before.contains(&model.as_str())
            })
            .map(|(at_s, _)| *at_s);
        TeamResponse {
            response: respond_by_minute((to_s, until_s), &self.minutes),
            movie,
            new_model_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Spell;

    fn played(truth: &str) -> Played {
        Played {
            name: "m4/x".to_owned(),
            spell: Spell {
                from: SimTime::from_seconds(6_000),
                until: SimTime::from_seconds(7_200),
                what: "x".to_owned(),
            },
            truth: truth.to_owned(),
        }
    }

    #[test]
    fn what_is_lost_and_when_all_is_well_again_follow_from_minutes() {
        let played = played("{\"kind\": \"api_outage\"}");
        let mut watched = Watched::new(&played);
        assert_eq!(watched.span().from, played.spell.from);
        // From minute 100 on: ten lost a minute for five minutes, then none.
        for minute in 95..170 {
            let well = if (100..105).contains(&minute) { 10 } else { 20 };
            watched.minute(minute, 20, well);
        }
        let told = watched.told();
        assert_eq!(
            (told.response.during, told.response.after),
            ((400, 350), (1_000, 1_000))
        );
        assert_eq!((told.response.lost, told.response.recovered_s), (50, Some(0.0)));
        assert_eq!(told.movie, None);
    }

    #[test]
    fn a_movie_is_looked_for_in_the_lists_around_its_incident_and_models_are_compared_with_those_before() {
        let played = played("{\"kind\": \"takedown\", \"grace_s\": 300.0, \"movie\": \"a+2000\"}");
        let mut watched = Watched::new(&played);
        let lists = [vec!["a+2000".to_owned()], vec!["b+2000".to_owned()]];
        for second in (5_000..9_000).step_by(10) {
            let obeys = second >= 6_600;
            let list = &lists[usize::from(obeys)];
            watched.request(SimTime::from_seconds(second), Some(list));
        }
        for (second, model) in [(5_000, "1"), (6_100, "1"), (6_500, "2"), (6_600, "1")] {
            watched.model(SimTime::from_seconds(second), model);
        }
        let told = watched.told();
        let movie = told.movie.unwrap();
        assert_eq!((movie.before, movie.after), ((100, 100), (90, 30)));
        assert_eq!((movie.last_s, told.new_model_s), (Some(590.0), Some(500.0)));
    }
}
