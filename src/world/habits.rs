//! What viewers are in the habit of doing, and how taste moves with time: every mechanism by name, with a size that 0 switches off.

use super::feedback::{Feedback, Strength};
use super::genre::{GENRES, Genre, GenreSet};

/// The sizes of all mechanisms of viewers. `docs/design/world.md` gives the formula and the source of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Habits {
    /// The exponent of position bias: place k of a list is looked at with probability k to the minus this.
    pub position: f64,
    /// The share of sessions that pass the popular shelf before anything is searched for.
    pub shelf: f64,
    /// How much more a movie on a shelf or list is noticed than one that must be found, in logits.
    pub visibility: f64,
    /// The share of sessions in which a movie that was liked is watched again.
    pub repeat: f64,
    /// What a movie loses, in logits, when it shares the first genre of the one watched last.
    pub fatigue: f64,
    /// The share of accounts that a second person uses for a third of the sessions.
    pub guests: f64,
    /// The factor on the hazard of leaving a movie between 23 and 5 o'clock, less 1.
    pub night: f64,
    /// The exponent with which the hazard of leaving grows with runtime.
    pub long: f64,
    /// How far the hours and days differ: 1 as fitted, 0 not at all.
    pub rhythm: f64,
    /// How much a strong feeling and a finished movie raise the odds of a rating, as a factor on the fitted logits.
    pub selection: f64,
    /// The share of users who make their account during the term.
    pub joining: f64,
    /// The share of this year's movies that come out during the term.
    pub arriving: f64,
    /// How much sooner a movie is left on a phone, as the factor on the hazard of leaving less 1.
    pub devices: f64,
    /// The factor on what the company pays for a play; 0 makes all movies free.
    pub licence: f64,
    /// How taste moves during the term.
    pub drifts: Vec<Drift>,
    /// How strongly the lists that a service shows act back on its viewers.
    pub feedback: Feedback,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            position: 0.8,
            shelf: 0.1,
            visibility: 2.0,
            repeat: 0.02,
            fatigue: 0.2,
            guests: 0.05,
            night: 0.4,
            long: 0.5,
            rhythm: 1.0,
            selection: 1.0,
            joining: 0.05,
            arriving: 0.1,
            devices: 0.0,
            licence: 1.0,
            drifts: Vec::new(),
            feedback: Feedback::all(Strength::Mild),
        }
    }
}

impl Habits {
    /// Returns habits without any: choice, minutes and ratings alone, at the same rate in every hour.
    pub fn none() -> Self {
        Self {
            position: 0.0,
            shelf: 0.0,
            visibility: 0.0,
            repeat: 0.0,
            fatigue: 0.0,
            guests: 0.0,
            night: 0.0,
            long: 0.0,
            rhythm: 0.0,
            selection: 0.0,
            joining: 0.0,
            arriving: 0.0,
            devices: 0.0,
            licence: 0.0,
            drifts: Vec::new(),
            feedback: Feedback::default(),
        }
    }

    /// Returns what holds on a day of the term, counted from 0; the days before the term are negative.
    pub fn moment(&self, day: f64) -> Moment {
        let mut moment = Moment {
            day,
            ..Moment::default()
        };
        for drift in &self.drifts {
            let level = drift.level(day);
            match drift.kind {
                DriftKind::Label => moment.label += drift.size * level,
                DriftKind::NewGenre if level == 0.0 => moment.absent.insert(drift.genre),
                DriftKind::NewGenre => {}
                DriftKind::Sudden | DriftKind::Gradual | DriftKind::Seasonal => {
                    moment.genres[drift.genre.index()] += (drift.size * level) as f32;
                    moment.is_shifted |= level != 0.0;
                }
            }
        }
        moment
    }
}

/// How something changes for good or comes and goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriftKind {
    /// From one day to the next, until it ends.
    Sudden,
    /// Little by little from its beginning to its end, and there it stays.
    Gradual,
    /// Up and down with a period of `end - onset` days.
    Seasonal,
    /// Movies of the genre are not to be had before the onset.
    NewGenre,
    /// Stars move, choices do not: the ruler changes and not the world.
    Label,
}

impl DriftKind {
    /// Every kind, by the word that course files use.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("sudden", Self::Sudden),
        ("gradual", Self::Gradual),
        ("seasonal", Self::Seasonal),
        ("new_genre", Self::NewGenre),
        ("label", Self::Label),
    ];
}

/// One movement of taste.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// How it goes.
    pub kind: DriftKind,
    /// The genre that gains or loses; of no matter to [`DriftKind::Label`].
    pub genre: Genre,
    /// By how much: logits of choice, or stars on the latent scale for [`DriftKind::Label`].
    pub size: f64,
    /// The day of the term on which it begins.
    pub onset_day: f64,
    /// The day on which it ends, is complete, or (for a season) has gone round once.
    pub end_day: f64,
}

impl Drift {
    /// Returns how much of the drift is there on a day: 0 to 1, or -1 to 1 for a season.
    pub fn level(&self, day: f64) -> f64 {
        let share = (day - self.onset_day) / (self.end_day - self.onset_day).max(1e-9);
        if share < 0.0 {
            return 0.0;
        }
        match self.kind {
            DriftKind::Sudden | DriftKind::Label => f64::from(u8::from(share < 1.0)),
            DriftKind::Gradual => share.min(1.0),
            DriftKind::Seasonal => libm::sin(std::f64::consts::TAU * share),
            DriftKind::NewGenre => 1.0,
        }
    }
}

/// What holds at one time for all viewers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moment {
    /// The day of the term, with its fraction.
    pub day: f64,
    /// What each genre has gained, in logits.
    pub(super) genres: [f32; GENRES],
    pub(super) is_shifted: bool,
    /// Genres that are not to be had.
    pub(super) absent: GenreSet,
    /// What stars have gained on the latent scale.
    pub(super) label: f64,
}

impl Moment {
    /// Returns what a movie of these genres has gained, in logits; none when such movies are not to be had.
    pub fn gain(&self, genres: GenreSet) -> Option<f64> {
        (!genres.meets(self.absent)).then(|| self.shift(genres))
    }

    /// Returns a number that no gain exceeds.
    pub fn most(&self) -> f64 {
        if !self.is_shifted {
            return 0.0;
        }
        self.genres.iter().map(|gain| f64::from(gain.max(0.0))).sum()
    }

    /// Returns what a movie of these genres has gained, in logits.
    pub(super) fn shift(&self, genres: GenreSet) -> f64 {
        if !self.is_shifted {
            return 0.0;
        }
        let sum: f64 = genres
            .iter()
            .map(|genre| f64::from(self.genres[genre.index()]))
            .sum();
        sum / libm::sqrt(genres.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift(kind: DriftKind) -> Drift {
        Drift {
            kind,
            genre: Genre::named("Horror").unwrap(),
            size: 0.5,
            onset_day: 10.0,
            end_day: 20.0,
        }
    }

    #[test]
    fn drifts_come_and_go_as_their_kind_says() {
        let level = |kind, day| drift(kind).level(day);
        for (kind, _) in DriftKind::WORDS.iter().map(|(word, kind)| (*kind, word)) {
            assert_eq!(level(kind, 9.9), 0.0, "{kind:?}");
        }
        assert_eq!(level(DriftKind::Sudden, 10.0), 1.0);
        assert_eq!(level(DriftKind::Sudden, 20.0), 0.0);
        assert_eq!(level(DriftKind::Gradual, 15.0), 0.5);
        assert_eq!(level(DriftKind::Gradual, 99.0), 1.0);
        assert!((level(DriftKind::Seasonal, 12.5) - 1.0).abs() < 1e-12);
        assert!((level(DriftKind::Seasonal, 17.5) + 1.0).abs() < 1e-12);
        assert_eq!(level(DriftKind::NewGenre, 10.0), 1.0);
    }

    #[test]
    fn a_moment_sums_up_what_holds() {
        let horror = Genre::named("Horror").unwrap();
        let mut both = GenreSet::default();
        both.insert(horror);
        both.insert(Genre::named("Comedy").unwrap());
        let habits = Habits {
            drifts: vec![
                drift(DriftKind::Sudden),
                drift(DriftKind::NewGenre),
                drift(DriftKind::Label),
            ],
            ..Habits::none()
        };
        let before = habits.moment(5.0);
        assert!(before.absent.holds(horror) && before.shift(both) == 0.0 && before.label == 0.0);
        let during = habits.moment(12.0);
        assert!(!during.absent.holds(horror) && during.label == 0.5);
        assert!((during.shift(both) - 0.5 / 2.0_f64.sqrt()).abs() < 1e-6);
    }
}
