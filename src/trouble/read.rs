//! The `[[trouble]]` tables of a course file.

use super::fate::MOST_LATE_S;
use super::{
    Accounts, Attack, Bots, Fault, Goal, Group, GroupBias, Kind, Model, Order, Plan, Size, Trouble,
    Unsuitable,
};
use crate::coursefile::Section;
use crate::world::{Gender, MovieIndex, Occupation};

/// The most troubles of a course: each takes a pass of its own over every event.
const MOST: usize = 50;
/// The most viewings a day of a bot: one every half minute.
const MOST_VOLUME: f64 = 2_880.0;
/// The longest that a clock may be off: two days.
const MOST_SKEW_S: i64 = 172_800;

/// Every kind, as course files, answer keys and claims call it, and how its keys are read.
pub(super) const KINDS: [(&str, Read); 12] = [
    ("group_bias", group_bias),
    ("rating_attack", rating_attack),
    ("bots", bots),
    ("unsuitable", unsuitable),
    ("schema_change", schema_change),
    ("missing", missing),
    ("duplicates", duplicates),
    ("out_of_range", out_of_range),
    ("unit_change", unit_change),
    ("random_character", random_character),
    ("clock_skew", clock_skew),
    ("late_events", late_events),
];

/// The kinds of these that are faults of lines.
const FAULTS: [&str; 8] = [
    "schema_change",
    "missing",
    "duplicates",
    "out_of_range",
    "unit_change",
    "random_character",
    "clock_skew",
    "late_events",
];

/// Reads what is particular to a kind; `movies` is the size of the catalogue.
pub(super) type Read = fn(&Section<'_>, movies: u32) -> Kind;

impl Plan {
    /// Reads the `[[trouble]]` tables of a course whose log has so many days and whose catalogue so many movies.
    ///
    /// Faults go to the section's document, with line and column; what is faulty reads as some value within its range.
    pub fn read(root: &Section<'_>, days: u32, movies: u32) -> Self {
        let sections = root.tables("trouble");
        if sections.len() > MOST {
            root.fault_at("trouble", format!("more than {MOST} troubles"), None);
        }
        let mut plan = Self::default();
        for (number, section) in sections.into_iter().enumerate() {
            section.require("kind");
            let Some(read) = section.choice("kind", &KINDS) else {
                // Without its kind nobody can say which other keys are right.
                continue;
            };
            let kind = read(&section, movies);
            let name = section
                .text("name")
                .unwrap_or_else(|| format!("{}-{}", kind.name(), number + 1));
            if plan.troubles.iter().any(|other| other.name == name) {
                section.fault_at("name", format!("two troubles are called `{name}`"), None);
            }
            let day = |key: &str, least: i64| {
                section
                    .integer_in(key, least..=i64::from(days))
                    .and_then(|day| u32::try_from(day).ok())
            };
            let onset_day = day("onset_day", 0).unwrap_or(0);
            let end_day = day("end_day", 1);
            if onset_day >= end_day.unwrap_or(days) {
                let key = if end_day.is_some() { "end_day" } else { "onset_day" };
                section.fault_at(key, "the trouble ends before it begins", None);
            }
            section.finish();
            plan.troubles.push(Trouble {
                name,
                onset_day,
                end_day,
                kind,
            });
        }
        plan
    }
}

/// Reads a fault of lines from a table of any course file: a key names it, and what is particular to it stands beside that key.
pub fn read_fault(section: &Section<'_>, key: &str) -> Option<Fault> {
    section.require(key);
    let faults: Vec<(&str, Read)> = KINDS
        .into_iter()
        .filter(|(name, _)| FAULTS.contains(name))
        .collect();
    match section.choice(key, &faults)?(section, 0) {
        Kind::Fault(fault) => Some(fault),
        Kind::GroupBias(_) | Kind::RatingAttack(_) | Kind::Bots(_) | Kind::Unsuitable(_) => None,
    }
}

fn group_bias(section: &Section<'_>, _: u32) -> Kind {
    let group = group(section);
    if group.is_none() {
        section.fault_at(
            "kind",
            "a group is missing: one of `gender`, `age_band`, `occupation`",
            None,
        );
    }
    let bias = GroupBias {
        group: group.unwrap_or(Group::Gender(Gender::Female)),
        lost: section.number_in("lost", 0.0..=0.99).unwrap_or(0.0),
        noise: section.number_in("noise", 0.0..=5.0).unwrap_or(0.0),
        deflated: section.number_in("deflated", 0.0..=9.0).unwrap_or(0.0),
    };
    if !["lost", "noise", "deflated"].iter().any(|key| section.has(key)) {
        section.fault_at("kind", "a size is missing: `lost`, `noise` or `deflated`", None);
    }
    Kind::GroupBias(bias)
}

/// Reads the one attribute by which a group is named.
fn group(section: &Section<'_>) -> Option<Group> {
    let gender = section
        .choice("gender", &[("F", Gender::Female), ("M", Gender::Male)])
        .map(Group::Gender);
    let bands = Group::AGE_BANDS.map(|band| (band, Group::AgeBand(band)));
    let age_band = section.choice("age_band", &bands);
    let occupations: Vec<(&str, Group)> = Occupation::all()
        .map(|occupation| (occupation.label(), Group::Occupation(occupation)))
        .collect();
    let occupation = section.choice("occupation", &occupations);
    let named = ["gender", "age_band", "occupation"].map(|key| (key, section.has(key)));
    if let Some((key, _)) = named.iter().filter(|(_, is)| *is).nth(1) {
        section.fault_at(key, "a group is named by one attribute only", None);
    }
    gender.or(age_band).or(occupation)
}

fn rating_attack(section: &Section<'_>, movies: u32) -> Kind {
    Kind::RatingAttack(read_attack(section, movies))
}

/// Reads the keys of an attack on ratings from a table of any course file.
pub fn read_attack(section: &Section<'_>, movies: u32) -> Attack {
    section.require("model");
    section.require("goal");
    let share = section.number_in("size", 0.0001..=1.0).unwrap_or(0.03);
    let target = section.integer_in("target_line", 1..=i64::from(movies));
    let rho = section.number_in("rho", 0.1..=1000.0);
    if target.is_some() && section.has("rho") {
        section.fault_at(
            "rho",
            "a target that is named has the ratings that it has: leave out `rho`",
            None,
        );
    }
    let size = match target {
        Some(line) => Size::Target {
            share,
            movie: MovieIndex(line as u32 - 1),
        },
        None => Size::Ratio {
            share,
            rho: rho.unwrap_or(10.0),
        },
    };
    Attack {
        model: section.choice("model", &Model::WORDS).unwrap_or(Model::Random),
        goal: section
            .choice("goal", &[("promote", Goal::Promote), ("demote", Goal::Demote)])
            .unwrap_or(Goal::Promote),
        size,
        fillers: section
            .integer_in("fillers", 1..=1000)
            .map_or(20, |fillers| fillers as u32),
        burst_hours: section.number_in("burst_hours", 0.0..=8784.0).unwrap_or(24.0),
        accounts: section
            .choice(
                "accounts",
                &[("dormant", Accounts::Dormant), ("extra", Accounts::Extra)],
            )
            .unwrap_or(Accounts::Dormant),
    }
}

fn bots(section: &Section<'_>, _: u32) -> Kind {
    let trace = |key: &str, usual: f64| section.number_in(key, 0.0..=1.0).unwrap_or(usual);
    Kind::Bots(Bots {
        size: section.number_in("size", 0.0001..=1.0).unwrap_or(0.01),
        volume: section.number_in("volume", 0.1..=MOST_VOLUME).unwrap_or(10.0),
        regularity: trace("regularity", 1.0),
        completion: trace("completion", 1.0),
        speed: section.number_in("speed", 1.0..=60.0).unwrap_or(1.0),
        unasked: trace("unasked", 1.0),
    })
}

fn unsuitable(section: &Section<'_>, _: u32) -> Kind {
    Kind::Unsuitable(Unsuitable {
        share: share(section, 0.3),
        titles: section
            .integer_in("titles", 1..=100)
            .map_or(2, |titles| titles as u32),
    })
}

fn schema_change(section: &Section<'_>, _: u32) -> Kind {
    section.require("form");
    let order = section.choice("form", &Order::WORDS).unwrap_or(Order::UserFirst);
    Kind::Fault(Fault::SchemaChange(order))
}

fn missing(section: &Section<'_>, _: u32) -> Kind {
    let hour = |key: &str| section.integer_in(key, 0..=23).map(|hour| hour as u8);
    let hours = match (hour("from_hour"), hour("to_hour")) {
        (Some(from), Some(until)) => Some((from, until)),
        (None, None) => None,
        (Some(_), None) => {
            section.require("to_hour");
            None
        }
        (None, Some(_)) => {
            section.require("from_hour");
            None
        }
    };
    Kind::Fault(Fault::Missing {
        share: share(section, 0.3),
        group: group(section),
        hours,
    })
}

fn duplicates(section: &Section<'_>, _: u32) -> Kind {
    Kind::Fault(Fault::Duplicates {
        share: share(section, 0.02),
    })
}

fn out_of_range(section: &Section<'_>, _: u32) -> Kind {
    Kind::Fault(Fault::OutOfRange {
        share: share(section, 0.0006),
    })
}

fn unit_change(_: &Section<'_>, _: u32) -> Kind {
    Kind::Fault(Fault::UnitChange)
}

fn random_character(section: &Section<'_>, _: u32) -> Kind {
    Kind::Fault(Fault::RandomCharacter {
        share: share(section, 0.0006),
    })
}

fn clock_skew(section: &Section<'_>, _: u32) -> Kind {
    Kind::Fault(Fault::ClockSkew {
        share: share(section, 0.05),
        seconds: section
            .integer_in("seconds", -MOST_SKEW_S..=MOST_SKEW_S)
            .unwrap_or(3600),
    })
}

fn late_events(section: &Section<'_>, _: u32) -> Kind {
    Kind::Fault(Fault::LateEvents {
        share: share(section, 0.02),
        seconds: section.integer_in("seconds", 2..=MOST_LATE_S).unwrap_or(3600),
    })
}

fn share(section: &Section<'_>, usual: f64) -> f64 {
    section.number_in("share", 0.0..=1.0).unwrap_or(usual)
}
