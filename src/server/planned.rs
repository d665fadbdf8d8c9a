//! The calendar's incidents as the open company plays them: what each does, between which moments, and what is true of it (pure).

use serde_json::{Value, json};

use crate::company::ApiFault;
use crate::course::{Course, CourseFiles};
use crate::coursefile::Faults;
use crate::event::SimTime;
use crate::incident::{Incident, Incidents, Kind, Part};
use crate::seed::Branch;
use crate::sim::factor;
use crate::store::{Played, Spell};
use crate::trouble::{Attack, Fault, Onslaught, Spoil};
use crate::world::{Drift, MovieIndex, World};

/// Something of the calendar that the server runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// What it is, in words.
    pub what: String,
    /// The first moment.
    pub from: SimTime,
    /// The first moment after it.
    pub until: SimTime,
    /// What it does.
    pub deed: Deed,
    /// What is true of it, as an object.
    pub truth: Value,
}

/// What something planned does.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// A fault of the API.
    Api(ApiFault),
    /// The API refuses connections.
    NoApi,
    /// So many times as many viewers.
    Spike(f64),
    /// So many requests a second, to each team, that nobody should send.
    Odd(f64),
    /// Viewers' taste moves.
    Drift(Drift),
    /// Lines of the streams are lost, doubled, or not what they should be.
    Spoil(Fault),
    /// Clients cannot read the streams.
    NoStream,
    /// Accounts push a movie with ratings.
    Attack(Attack),
    /// A movie is withdrawn; where none is named, the one that all services have recommended most.
    Takedown(Option<MovieIndex>),
}

/// Reads the incidents that the calendar has, of all assignments.
///
/// # Errors
/// All faults of a file.
pub fn calendar(files: &CourseFiles, course: &Course) -> Result<Vec<Planned>, Faults> {
    let mut all = Vec::new();
    for milestone in files.assignments() {
        let (incidents, _) = files.incidents(&milestone, course)?;
        all.extend(planned(&milestone, &incidents, course.calendar.start));
    }
    Ok(all)
}

/// Returns a milestone's incidents that have a date, in a term that begins at a moment.
fn planned(milestone: &str, incidents: &Incidents, term_start: SimTime) -> Vec<Planned> {
    let dated = |incident: &Incident| {
        let dates = incident.calendar?;
        let deed = match incident.kind {
            Kind::DependencyLoss(Part::Api) => Deed::NoApi,
            Kind::DependencyLoss(Part::Stream) => Deed::NoStream,
            Kind::TrafficSpike { factor } => Deed::Spike(factor),
            Kind::BadRequests { rate } => Deed::Odd(rate),
            Kind::Takedown { movie_line, .. } => Deed::Takedown(movie_line.map(|line| MovieIndex(line - 1))),
            Kind::MalformedStream(fault) => Deed::Spoil(fault),
            Kind::RatingAttack(attack) => Deed::Attack(attack),
            Kind::Drift(_) => Deed::Drift(incident.drift(term_start)?),
            Kind::ApiSchemaChange(_) | Kind::ApiOutage(_) => Deed::Api(ApiFault::of(&incident.kind)?),
        };
        Some(Planned {
            name: format!("{milestone}/{}", incident.name),
            what: incident.kind.describe(),
            from: dates.from,
            until: dates.until,
            deed,
            truth: truth(&incident.kind),
        })
    };
    incidents.0.iter().filter_map(dated).collect()
}

/// Returns what is true of an incident from the beginning on.
fn truth(kind: &Kind) -> Value {
    let mut truth = json!({ "kind": kind.name() });
    match kind {
        Kind::Drift(drift) => {
            truth["genre"] = Value::from(drift.genre.name());
            truth["size"] = Value::from(drift.size);
        }
        Kind::Takedown { grace_s, .. } => truth["grace_s"] = Value::from(*grace_s),
        Kind::TrafficSpike { factor } => truth["factor"] = Value::from(*factor),
        Kind::BadRequests { rate } => truth["rate"] = Value::from(*rate),
        Kind::DependencyLoss(part) => {
            let word = Part::WORDS.iter().find(|(_, of)| of == part);
            truth["part"] = word.map_or(Value::Null, |(word, _)| Value::from(*word));
        }
        Kind::MalformedStream(fault) => truth["fault"] = Value::from(fault.name()),
        Kind::ApiSchemaChange(_) | Kind::ApiOutage(_) | Kind::RatingAttack(_) => {}
    }
    truth
}

impl Planned {
    /// Returns the fault of the API that it is.
    pub(super) fn api_fault(&self) -> Option<&ApiFault> {
        match &self.deed {
            Deed::Api(fault) => Some(fault),
            _ => None,
        }
    }

    /// Tells whether the company speaks of it to everybody: what teams are to find out for themselves stands on no page.
    pub(super) fn is_announced(&self) -> bool {
        match self.deed {
            Deed::Api(_)
            | Deed::NoApi
            | Deed::Spike(_)
            | Deed::Odd(_)
            | Deed::NoStream
            | Deed::Takedown(_) => true,
            Deed::Drift(_) | Deed::Spoil(_) | Deed::Attack(_) => false,
        }
    }

    /// Tells whether it is the very one that the store has noted.
    pub(super) fn is(&self, played: &Played) -> bool {
        self.name == played.name && self.from == played.spell.from
    }

    /// Returns it as the store notes it, with the movie that it is about.
    pub(super) fn played(&self, movie: Option<&String>) -> Played {
        let mut truth = self.truth.clone();
        if let Some(movie) = movie {
            truth["movie"] = Value::from(movie.as_str());
        }
        Played {
            name: self.name.clone(),
            spell: Spell {
                from: self.from,
                until: self.until,
                what: self.what.clone(),
            },
            truth: truth.to_string(),
        }
    }
}

/// The luck of an incident: its name's own, whatever else the calendar has.
fn luck(branch: &Branch, planned: &Planned) -> Branch {
    branch.branch("incidents").branch(&planned.name)
}

/// Returns the faults of lines that the calendar has; the branch is that of the open company.
pub(super) fn spoil(planned: &[Planned], branch: &Branch, world: &World) -> Spoil {
    let mut spoil = Spoil::new(world);
    for planned in planned {
        if let Deed::Spoil(fault) = planned.deed {
            spoil.add(fault, (planned.from, planned.until), luck(branch, planned));
        }
    }
    spoil
}

/// Makes the attacks on ratings ready that the calendar has, and writes down whom they push and whose ratings these are.
pub(super) fn onslaughts(planned: &mut [Planned], course: &Course, world: &World) -> Vec<Onslaught> {
    let branch = course.key.branch("live");
    // Times as many sessions as viewers begin by themselves; a rehearsal, in which fewer come, is no other company.
    let factor = factor(world, course.calendar.live.requests_per_s);
    let mut all = Vec::new();
    for planned in planned {
        let Deed::Attack(attack) = planned.deed else {
            continue;
        };
        let days = (planned.from.seconds() - course.calendar.start.seconds()) as f64 / 86_400.0;
        let named = (planned.name.as_str(), &luck(&branch, planned));
        let span = (planned.from, planned.until);
        let onslaught = Onslaught::new(attack, named, world, span, factor * days.max(1.0));
        let accounts: Vec<u32> = onslaught.accounts.iter().map(|account| account.0).collect();
        planned.truth["movie"] = Value::from(world.movie(onslaught.target).id.as_str());
        planned.truth["accounts"] = Value::from(accounts);
        all.push(onslaught);
    }
    all
}

/// Returns the world with the drifts that the calendar has on top of its own.
pub(super) fn with_drifts(world: World, planned: &[Planned]) -> World {
    let mut habits = world.habits().clone();
    habits
        .drifts
        .extend(planned.iter().filter_map(|planned| match planned.deed {
            Deed::Drift(drift) => Some(drift),
            _ => None,
        }));
    world.with_habits(habits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_played_where_it_has_a_date_and_nowhere_else() {
        let dates = "from = '2026-09-10'\nuntil = '2026-09-11'\n";
        let kinds = [
            "kind = 'api_outage'\nhow = 'error'",
            "kind = 'api_schema_change'\nform = 'renamed'",
            "kind = 'dependency_loss'\npart = 'api'",
            "kind = 'dependency_loss'\npart = 'stream'",
            "kind = 'traffic_spike'\nfactor = 3",
            "kind = 'bad_requests'\nrate = 5",
            "kind = 'malformed_stream'\nfault = 'unit_change'",
            "kind = 'takedown'\ngrace_s = 9\nmovie_line = 4",
            "kind = 'rating_attack'\nmodel = 'average'\ngoal = 'promote'",
            "kind = 'drift'\ndrift = 'sudden'\ngenre = 'Horror'\nsize = 0.5",
        ];
        let all: String = kinds
            .map(|kind| format!("[[incident]]\n{kind}\n{dates}"))
            .concat();
        let drill = "[[incident]]\nkind = 'bad_requests'\nfor_s = 3\n";
        let text = format!("schema = 'reelworld/incidents/v1'\n{all}{drill}");
        let incidents = Incidents::parse("incidents.toml", &text, 100, &|text| {
            SimTime::parse(&format!("{text}T00:00")).ok_or_else(String::new)
        })
        .unwrap();
        let run = planned("m3", &incidents, SimTime::from_date(2026, 9, 1));
        let deeds: Vec<&Deed> = run.iter().map(|planned| &planned.deed).collect();
        assert!(
            matches!(
                deeds[..],
                [
                    Deed::Api(_),
                    Deed::Api(_),
                    Deed::NoApi,
                    Deed::NoStream,
                    Deed::Spike(3.0),
                    Deed::Odd(5.0),
                    Deed::Spoil(Fault::UnitChange),
                    Deed::Takedown(Some(MovieIndex(3))),
                    Deed::Attack(_),
                    Deed::Drift(Drift {
                        onset_day: 9.0,
                        end_day: 10.0,
                        ..
                    }),
                ]
            ),
            "{deeds:?}"
        );
        assert!(run.iter().all(|planned| planned.from < planned.until));
        assert_eq!(run[7].truth, json!({"kind": "takedown", "grace_s": 9.0}));
        assert_eq!(run[3].truth, json!({"kind": "dependency_loss", "part": "stream"}));
    }
}
