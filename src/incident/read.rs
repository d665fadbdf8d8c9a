//! `incidents.toml`, read so that every fault is told at once with its line and column.

use super::{Dates, Form, Incident, Incidents, Kind, Length, Outage, Part};
use crate::coursefile::{Document, Faults, Section};
use crate::event::SimTime;
use crate::trouble::{read_attack, read_fault};
use crate::world::{Drift, DriftKind, Genre};

/// The file's name, beside an assignment's `assignment.toml`.
pub const FILE: &str = "incidents.toml";
/// The schema name of the file.
const SCHEMA: &str = "reelworld/incidents/v1";
/// The most incidents of an assignment: a course has fourteen weeks.
const MOST: usize = 50;
/// The longest that an incident lasts in a drill, in seconds: a grade must come to an end.
const LONGEST_S: f64 = 3_600.0;
/// How long a service is watched after an incident if nothing is said, in seconds.
const WATCH_S: f64 = 3.0;

/// Reads a moment as the course's calendar has it, within its term; what is wrong with one is told in a sentence.
pub type Moments<'c> = dyn Fn(&str) -> Result<SimTime, String> + 'c;

/// Reads what is particular to a kind; `movies` is the size of the catalogue.
type Read = fn(&Section<'_>, movies: u32) -> Option<Kind>;

/// Every kind, as the file calls it, and how its keys are read.
const KINDS: [(&str, Read); 9] = [
    ("drift", drift),
    ("api_schema_change", api_schema_change),
    ("api_outage", api_outage),
    ("dependency_loss", dependency_loss),
    ("traffic_spike", traffic_spike),
    ("bad_requests", bad_requests),
    ("malformed_stream", malformed_stream),
    ("takedown", takedown),
    ("rating_attack", rating_attack),
];

impl Incidents {
    /// Reads an `incidents.toml` for a course whose catalogue has so many movies and whose calendar reads its moments.
    ///
    /// # Errors
    /// All faults of the file.
    pub fn parse(file: &str, text: &str, movies: u32, moments: &Moments<'_>) -> Result<Self, Faults> {
        let document = Document::parse(file, text)?;
        let root = document.root();
        root.require("schema");
        if root.text("schema").is_some_and(|schema| schema != SCHEMA) {
            root.fault_at(
                "schema",
                "this is no file of a version that we read",
                Some(format!("`{SCHEMA}`")),
            );
        }
        let sections = root.tables("incident");
        if sections.len() > MOST {
            root.fault_at("incident", format!("more than {MOST} incidents"), None);
        }
        let mut all: Vec<Incident> = Vec::new();
        for (number, section) in sections.into_iter().enumerate() {
            section.require("kind");
            // Without its kind nobody can say which other keys are right.
            let Some(read) = section.choice("kind", &KINDS) else {
                continue;
            };
            let kind = read(&section, movies);
            let incident = when(&section, kind, number, (&all, moments));
            section.finish();
            all.extend(incident);
        }
        root.finish();
        document.finish()?;
        Ok(Self(all))
    }
}

/// Reads the name and the time of an incident.
fn when(
    section: &Section<'_>,
    kind: Option<Kind>,
    number: usize,
    (others, moments): (&[Incident], &Moments<'_>),
) -> Option<Incident> {
    let name = section.text("name");
    let from = moment(section, "from", moments);
    let until = moment(section, "until", moments);
    for (key, other) in [("from", "until"), ("until", "from")] {
        if section.has(key) {
            section.require(other);
        }
    }
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        section.fault_at("until", "the incident ends before it begins", None);
    }
    let for_s = section.number_in("for_s", 0.1..=LONGEST_S);
    let watch_s = section.number_in("watch_s", 0.1..=LONGEST_S);
    if watch_s.is_some() && !section.has("for_s") {
        section.require("for_s");
    }
    if !section.has("from") && !section.has("for_s") {
        let hint = "`from` and `until` for a date of the calendar, `for_s` for a drill, or both";
        section.fault_at("kind", "the incident never happens", Some(hint.to_owned()));
    }
    let kind = kind?;
    if matches!(kind, Kind::Drift(_)) && section.has("for_s") {
        let hint = "give it `from` and `until`".to_owned();
        section.fault_at(
            "for_s",
            "taste moves over days: there is no drill of it",
            Some(hint),
        );
    }
    let name = name.unwrap_or_else(|| format!("{}-{}", kind.name(), number + 1));
    if others.iter().any(|other| other.name == name) {
        section.fault_at("name", format!("two incidents are called `{name}`"), None);
    }
    Some(Incident {
        name,
        kind,
        calendar: from.zip(until).map(|(from, until)| Dates { from, until }),
        drill: for_s.map(|for_s| Length {
            for_s,
            watch_s: watch_s.unwrap_or(WATCH_S),
        }),
    })
}

/// Reads a moment: a day, or a day and a time.
fn moment(section: &Section<'_>, key: &str, moments: &Moments<'_>) -> Option<SimTime> {
    let text = section.text(key)?;
    moments(&text)
        .map_err(|why| {
            let hint = "a day, or a day and a time: \"2026-02-10\", \"2026-02-10T09:30\"".to_owned();
            section.fault_at(key, why, Some(hint));
        })
        .ok()
}

fn drift(section: &Section<'_>, _: u32) -> Option<Kind> {
    for key in ["drift", "from"] {
        section.require(key);
    }
    let kind = section.choice("drift", DriftKind::WORDS);
    let genres: Vec<(&str, Genre)> = Genre::all().map(|genre| (genre.name(), genre)).collect();
    let genre = if kind == Some(DriftKind::Label) {
        Genre::all().next()
    } else {
        section.require("genre");
        section.choice("genre", &genres)
    };
    if kind != Some(DriftKind::NewGenre) {
        section.require("size");
    }
    let size = section.number_in("size", -5.0..=5.0).unwrap_or(0.0);
    Some(Kind::Drift(Drift {
        kind: kind?,
        genre: genre?,
        size,
        // The days of the term follow from the dates; see `Incident::drift`.
        onset_day: 0.0,
        end_day: 1.0,
    }))
}

fn api_schema_change(section: &Section<'_>, _: u32) -> Option<Kind> {
    section.require("form");
    section.choice("form", &Form::WORDS).map(Kind::ApiSchemaChange)
}

fn api_outage(section: &Section<'_>, _: u32) -> Option<Kind> {
    section.require("how");
    let how = section.choice("how", &Outage::WORDS)?;
    let late_s = section.number_in("late_s", 0.05..=60.0);
    if late_s.is_some() && !matches!(how, Outage::Slow { .. }) {
        let hint = "`late_s` belongs to `how = \"slow\"`".to_owned();
        section.fault_at("late_s", "answers that do not come are not late", Some(hint));
    }
    Some(Kind::ApiOutage(match how {
        Outage::Slow { late_s: usual } => Outage::Slow {
            late_s: late_s.unwrap_or(usual),
        },
        other => other,
    }))
}

fn dependency_loss(section: &Section<'_>, _: u32) -> Option<Kind> {
    section.require("part");
    section.choice("part", &Part::WORDS).map(Kind::DependencyLoss)
}

fn traffic_spike(section: &Section<'_>, _: u32) -> Option<Kind> {
    let factor = section.number_in("factor", 1.0..=50.0).or(Some(3.0));
    factor.map(|factor| Kind::TrafficSpike { factor })
}

fn bad_requests(section: &Section<'_>, _: u32) -> Option<Kind> {
    let rate = section.number_in("rate", 0.1..=1_000.0).or(Some(20.0));
    rate.map(|rate| Kind::BadRequests { rate })
}

fn malformed_stream(section: &Section<'_>, _: u32) -> Option<Kind> {
    read_fault(section, "fault").map(Kind::MalformedStream)
}

fn takedown(section: &Section<'_>, movies: u32) -> Option<Kind> {
    let movie_line = section
        .integer_in("movie_line", 1..=i64::from(movies))
        .and_then(|line| u32::try_from(line).ok());
    section.require("grace_s");
    let grace_s = section.number_in("grace_s", 0.0..=30.0 * 86_400.0)?;
    Some(Kind::Takedown { movie_line, grace_s })
}

fn rating_attack(section: &Section<'_>, movies: u32) -> Option<Kind> {
    let attack = read_attack(section, movies);
    section.has("model").then_some(Kind::RatingAttack(attack))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::Fault;

    const HEAD: &str = "schema = 'reelworld/incidents/v1'\n";

    fn faults(text: &str) -> String {
        Incidents::parse(FILE, &format!("{HEAD}{text}"), 500, &plain)
            .unwrap_err()
            .to_string()
    }

    /// A calendar without a zone and an end.
    fn plain(text: &str) -> Result<SimTime, String> {
        SimTime::parse(text)
            .or_else(|| SimTime::parse(&format!("{text}T00:00")))
            .ok_or_else(|| format!("`{text}` is no moment of the calendar"))
    }

    fn read(text: &str) -> Incidents {
        Incidents::parse(FILE, &format!("{HEAD}{text}"), 500, &plain).unwrap()
    }

    #[test]
    fn every_kind_reads_with_what_is_particular_to_it() {
        let all = read(
            "[[incident]]\nkind = 'drift'\ndrift = 'sudden'\ngenre = 'Horror'\nsize = 0.3\nfrom = '2026-02-10'\nuntil = '2026-02-20'\n\
             [[incident]]\nkind = 'api_schema_change'\nform = 'nested'\nfor_s = 3\n\
             [[incident]]\nkind = 'api_outage'\nhow = 'silent'\nfor_s = 3\nwatch_s = 5\n\
             [[incident]]\nkind = 'dependency_loss'\npart = 'stream'\nfor_s = 3\n\
             [[incident]]\nkind = 'traffic_spike'\nfactor = 4\nfor_s = 3\nfrom = '2026-02-10T09:30'\nuntil = '2026-02-10T10:30'\n\
             [[incident]]\nkind = 'bad_requests'\nfor_s = 3\n\
             [[incident]]\nkind = 'malformed_stream'\nfault = 'duplicates'\nshare = 0.5\nfor_s = 3\n\
             [[incident]]\nname = 'court order'\nkind = 'takedown'\ngrace_s = 4\nfor_s = 8\n\
             [[incident]]\nkind = 'rating_attack'\nmodel = 'average'\ngoal = 'promote'\nfor_s = 3\n",
        );
        let names: Vec<&str> = all.0.iter().map(|incident| incident.kind.name()).collect();
        assert_eq!(names, KINDS.map(|(name, _)| name));
        assert_eq!(
            all.0[2].drill,
            Some(Length {
                for_s: 3.0,
                watch_s: 5.0
            })
        );
        assert_eq!(all.0[5].name, "bad_requests-6");
        assert_eq!(
            all.0[6].kind,
            Kind::MalformedStream(Fault::Duplicates { share: 0.5 })
        );
        assert_eq!(all.0[7].name, "court order");
        assert!(all.0[4].calendar.is_some() && all.0[4].drill.is_some());
        assert!(all.need(Part::Api) && all.need(Part::Stream));
        assert!(all.0.iter().all(|incident| !incident.kind.describe().is_empty()));
        let drift = all.0[0].drift(SimTime::from_date(2026, 2, 1)).unwrap();
        assert_eq!((drift.onset_day, drift.end_day, drift.size), (9.0, 19.0, 0.3));
    }

    #[test]
    fn all_faults_are_told_at_once_with_their_places() {
        let told = faults(
            "[[incident]]\nkind = 'api_outag'\n\
             [[incident]]\nkind = 'api_outage'\nhow = 'eror'\n\
             [[incident]]\nkind = 'takedown'\nmovie_line = 501\nfor_s = 3\n\
             [[incident]]\nname = 'a'\nkind = 'traffic_spike'\nfrom = '2026-02-30'\nuntil = '2026-03-01'\n\
             [[incident]]\nname = 'b'\nkind = 'bad_requests'\nfrom = '2026-02-10'\nuntil = '2026-02-09'\n\
             [[incident]]\nkind = 'drift'\ndrift = 'sudden'\ngenre = 'Horror'\nsize = 1\nfor_s = 3\n\
             [[incident]]\nkind = 'malformed_stream'\nfault = 'missng'\nfor_s = 3\nspeed = 3\n",
        );
        for part in [
            "incidents.toml:3:8: `kind` cannot be `api_outag`\n  hint: did you mean `api_outage`?",
            "incidents.toml:5:8: the incident never happens",
            "incidents.toml:6:7: `how` cannot be `eror`\n  hint: did you mean `error`?",
            "incidents.toml:9:14: `movie_line` is 501",
            "`grace_s` is missing",
            "incidents.toml:14:8: `2026-02-30` is no moment of the calendar",
            "incidents.toml:20:9: the incident ends before it begins",
            "incidents.toml:26:9: taste moves over days",
            "`from` is missing",
            "incidents.toml:29:9: `fault` cannot be `missng`\n  hint: did you mean `missing`?",
            "incidents.toml:31:1: unknown key `speed`",
        ] {
            assert!(told.contains(part), "`{part}` is not in\n{told}");
        }
    }

    #[test]
    fn an_outage_says_how_late_answers_come() {
        let all = read(
            "[[incident]]\nkind = 'api_outage'\nhow = 'slow'\nfor_s = 3\n\
             [[incident]]\nkind = 'api_outage'\nhow = 'slow'\nlate_s = 0.5\nfor_s = 3\n",
        );
        let told: Vec<String> = all.0.iter().map(|incident| incident.kind.describe()).collect();
        assert_eq!(told, ["the API answers 2 s late", "the API answers 0.5 s late"]);
        let other = "[[incident]]\nkind = 'api_outage'\nhow = 'error'\nlate_s = 1\nfor_s = 3\n";
        assert!(faults(other).contains("answers that do not come are not late"));
    }

    #[test]
    fn two_of_one_name_and_a_file_of_another_version_are_refused() {
        let one = "[[incident]]\nname = 'a'\nkind = 'bad_requests'\nfor_s = 1\n";
        assert!(faults(&format!("{one}{one}")).contains("two incidents are called `a`"));
        let other = Incidents::parse(FILE, "schema = 'reelworld/incidents/v9'\n", 5, &plain).unwrap_err();
        assert!(
            other
                .to_string()
                .contains("incidents.toml:1:10: this is no file of a version")
        );
    }

    #[test]
    fn the_calendar_says_what_is_on_and_when_that_changes() {
        let all = read(
            "[[incident]]\nname = 'a'\nkind = 'bad_requests'\nfrom = '2026-02-10'\nuntil = '2026-02-12'\n\
             [[incident]]\nname = 'b'\nkind = 'traffic_spike'\nfrom = '2026-02-11T06:00'\nuntil = '2026-02-11T07:00'\n\
             [[incident]]\nname = 'c'\nkind = 'bad_requests'\nfor_s = 2\n",
        );
        let at = |text: &str| SimTime::parse(text).unwrap();
        let on = |text: &str| {
            all.at(at(text))
                .map(|incident| incident.name.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(on("2026-02-11T06:30"), ["a", "b"]);
        assert_eq!(on("2026-02-11T07:00"), ["a"]);
        assert!(on("2026-02-12T00:00").is_empty());
        assert_eq!(
            all.next_change(at("2026-02-10T00:00")),
            Some(at("2026-02-11T06:00"))
        );
        assert_eq!(all.next_change(at("2026-02-12T00:00")), None);
    }

    #[test]
    fn drills_follow_each_other() {
        let all = read(
            "[[incident]]\nname = 'a'\nkind = 'bad_requests'\nfor_s = 2\nwatch_s = 1\n\
             [[incident]]\nname = 'b'\nkind = 'traffic_spike'\nfrom = '2026-02-11'\nuntil = '2026-02-12'\n\
             [[incident]]\nname = 'c'\nkind = 'traffic_spike'\nfor_s = 4\nwatch_s = 2\n",
        );
        let spells: Vec<(&str, f64, f64, f64)> = all
            .drill(10.0)
            .into_iter()
            .map(|(incident, spell)| (incident.name.as_str(), spell.from_s, spell.to_s, spell.until_s))
            .collect();
        assert_eq!(spells, [("a", 10.0, 12.0, 13.0), ("c", 13.0, 17.0, 19.0)]);
        assert_eq!(all.only("c").unwrap().0.len(), 1);
        assert_eq!(all.only("d"), None);
    }
}
