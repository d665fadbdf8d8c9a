//! Incidents: what goes wrong around a service, when, and how its team responds to it (pure).
//!
//! An assignment's `incidents.toml` names them. Each has a day of the calendar, on which the company that is open all semester
//! runs it, or a length in seconds, for a drill and for the grading of a repository, or both.

mod read;
mod response;

pub use read::{FILE, Moments};
pub use response::{Asked, Minute, Response, Spell, Takedown, respond, respond_by_minute, takedown};

use crate::event::SimTime;
use crate::trouble::{Attack, Fault};
use crate::world::Drift;

/// The incidents of an assignment, in the order of its file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Incidents(pub Vec<Incident>);

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Its name, unique in its file; draws hang on it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// When the open company runs it.
    pub calendar: Option<Dates>,
    /// How long it is when it is run at once.
    pub drill: Option<Length>,
}

/// A span of the calendar, in the log's own time: from the first moment, to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dates {
    /// The first moment.
    pub from: SimTime,
    /// The first moment after it.
    pub until: SimTime,
}

/// The length of an incident that is run at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Length {
    /// How long it lasts, in seconds.
    pub for_s: f64,
    /// How long the service is watched after it, in seconds.
    pub watch_s: f64,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Viewers' taste moves.
    Drift(Drift),
    /// The company's API answers in another form.
    ApiSchemaChange(Form),
    /// The company's API does not answer as it should.
    ApiOutage(Outage),
    /// Connections to a part of the company are refused.
    DependencyLoss(Part),
    /// More viewers ask than usual.
    TrafficSpike {
        /// How many times as many.
        factor: f64,
    },
    /// Requests come that no client should send.
    BadRequests {
        /// How many a second.
        rate: f64,
    },
    /// Lines of the stream are lost, doubled, or not what they should be.
    MalformedStream(Fault),
    /// A movie is withdrawn and must not be recommended any more.
    Takedown {
        /// The line of the catalogue, from 1; none takes the movie that the service recommends most.
        movie_line: Option<u32>,
        /// How long a service may go on recommending it, in seconds.
        grace_s: f64,
    },
    /// Accounts push a movie with ratings; then the service learns from them.
    RatingAttack(Attack),
}

/// Another form of the API's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Fields have other names: `userId` for `user_id`.
    Renamed,
    /// The record lies in an envelope: `{"data": {...}}`.
    Nested,
    /// Numbers are texts and texts that can be null are missing.
    Texts,
}

impl Form {
    /// The words of course files.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("renamed", Self::Renamed),
        ("nested", Self::Nested),
        ("texts", Self::Texts),
    ];
}

/// How the API fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outage {
    /// Every answer has status 503.
    Error,
    /// Requests are taken and never answered.
    Silent,
    /// Every answer is right and comes late.
    Slow {
        /// By so many seconds.
        late_s: f64,
    },
}

impl Outage {
    /// The words of course files.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("error", Self::Error),
        ("silent", Self::Silent),
        ("slow", Self::Slow { late_s: 2.0 }),
    ];
}

/// A part of the company that a service depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The API of users and movies.
    Api,
    /// The stream.
    Stream,
}

impl Part {
    /// The words of course files.
    pub const WORDS: [(&'static str, Self); 2] = [("api", Self::Api), ("stream", Self::Stream)];
}

impl Kind {
    /// Returns the name of course files and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Drift(_) => "drift",
            Self::ApiSchemaChange(_) => "api_schema_change",
            Self::ApiOutage(_) => "api_outage",
            Self::DependencyLoss(_) => "dependency_loss",
            Self::TrafficSpike { .. } => "traffic_spike",
            Self::BadRequests { .. } => "bad_requests",
            Self::MalformedStream(_) => "malformed_stream",
            Self::Takedown { .. } => "takedown",
            Self::RatingAttack(_) => "rating_attack",
        }
    }

    /// Returns the part of the company that must be there for it.
    pub fn part(&self) -> Option<Part> {
        match self {
            Self::ApiSchemaChange(_) | Self::ApiOutage(_) => Some(Part::Api),
            Self::DependencyLoss(part) => Some(*part),
            Self::MalformedStream(_) => Some(Part::Stream),
            Self::Drift(_)
            | Self::TrafficSpike { .. }
            | Self::BadRequests { .. }
            | Self::Takedown { .. }
            | Self::RatingAttack(_) => None,
        }
    }

    /// Tells what happens, as a phrase.
    pub fn describe(&self) -> String {
        match self {
            Self::Drift(drift) => format!("taste for {} moves by {:+.2}", drift.genre.name(), drift.size),
            Self::ApiSchemaChange(Form::Renamed) => "fields of the API have other names".to_owned(),
            Self::ApiSchemaChange(Form::Nested) => "records of the API lie in an envelope".to_owned(),
            Self::ApiSchemaChange(Form::Texts) => "numbers of the API are texts".to_owned(),
            Self::ApiOutage(Outage::Error) => "the API answers 503".to_owned(),
            Self::ApiOutage(Outage::Silent) => "the API takes requests and never answers".to_owned(),
            Self::ApiOutage(Outage::Slow { late_s }) => format!("the API answers {late_s} s late"),
            Self::DependencyLoss(Part::Api) => "the API refuses connections".to_owned(),
            Self::DependencyLoss(Part::Stream) => "the stream refuses connections".to_owned(),
            Self::TrafficSpike { factor } => format!("{factor} times as many viewers ask"),
            Self::BadRequests { rate } => format!("{rate} requests a second that nobody should send"),
            Self::MalformedStream(fault) => format!("the stream has `{}`", fault.name()),
            Self::Takedown { grace_s, .. } => format!("a movie is withdrawn; {grace_s} s of grace"),
            Self::RatingAttack(_) => "accounts push a movie with ratings".to_owned(),
        }
    }
}

impl Incident {
    /// Returns the drift of taste that it is, with its days counted from the beginning of the term; none where it is none.
    pub fn drift(&self, term_start: SimTime) -> Option<Drift> {
        let (Kind::Drift(drift), Some(dates)) = (self.kind, self.calendar) else {
            return None;
        };
        let day = |moment: SimTime| (moment.seconds() - term_start.seconds()) as f64 / 86_400.0;
        Some(Drift {
            onset_day: day(dates.from),
            end_day: day(dates.until),
            ..drift
        })
    }
}

impl Incidents {
    /// Returns the incidents that the calendar has at a moment.
    pub fn at(&self, moment: SimTime) -> impl Iterator<Item = &Incident> {
        self.0.iter().filter(move |incident| {
            incident
                .calendar
                .is_some_and(|dates| dates.from <= moment && moment < dates.until)
        })
    }

    /// Returns the first moment after another at which an incident of the calendar begins or ends.
    pub fn next_change(&self, after: SimTime) -> Option<SimTime> {
        let dates = self.0.iter().filter_map(|incident| incident.calendar);
        dates
            .flat_map(|dates| [dates.from, dates.until])
            .filter(|moment| *moment > after)
            .min()
    }

    /// Returns the attack on ratings that can be run at once. It comes after all else and takes as long as the service learns.
    pub fn attack(&self) -> Option<Attack> {
        self.0.iter().find_map(|incident| match incident.kind {
            Kind::RatingAttack(attack) if incident.drill.is_some() => Some(attack),
            _ => None,
        })
    }

    /// Returns the incidents that can be run at once, one after the other, with their spells: the first begins so many seconds
    /// after the first request, each further one when the one before is no longer watched. An attack on ratings is none of them.
    pub fn drill(&self, from_s: f64) -> Vec<(&Incident, Spell)> {
        let mut at = from_s;
        let mut all = Vec::new();
        for incident in &self.0 {
            let Some(length) = incident.drill else { continue };
            if matches!(incident.kind, Kind::RatingAttack(_)) {
                continue;
            }
            let spell = Spell {
                from_s: at,
                to_s: at + length.for_s,
                until_s: at + length.for_s + length.watch_s,
            };
            at = spell.until_s;
            all.push((incident, spell));
        }
        all
    }

    /// Tells whether a part of the company must run beside the service for its drill.
    pub fn need(&self, part: Part) -> bool {
        self.0
            .iter()
            .any(|incident| incident.drill.is_some() && incident.kind.part() == Some(part))
    }

    /// Keeps the incident of a name alone; none if there is no such incident.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<Self> {
        let found = self.0.iter().find(|incident| incident.name == name)?;
        Some(Self(vec![found.clone()]))
    }
}
