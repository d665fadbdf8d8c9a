//! What a team says it has found in the log, and how much of it is there: the claim, the answer key, and the comparison.
//!
//! A team hands in `findings.toml`. A finding agrees with an entry of the answer key when it is of the same kind, its window
//! is about right, and whatever it names (the group, the movies, the accounts) is about right too. Which entry a finding
//! agrees with is for staff: what a team is told are counts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::read::KINDS;
use super::truth::Truth;
use crate::coursefile::{Document, Faults, Section};
use crate::event::SimTime;
use crate::world::{Feedback, Strength};

/// The name of the file in a repository.
pub const FINDINGS: &str = "findings.toml";
/// The schema name of the file.
const SCHEMA: &str = "reelworld/findings/v1";
/// The most findings of a file: who claims everything has found nothing.
const MOST_FINDINGS: usize = 20;
/// The most movies of a finding that is about one movie.
const MOST_TARGETS: usize = 3;
/// How far a bound of a window may be off: two days, or this share of the window if that is more. Tests on daily counts are
/// not sharper.
const SLACK_S: i64 = 2 * 86_400;
const SLACK_SHARE: f64 = 0.1;
/// The least F1 of the accounts that a finding names.
const LEAST_F1: f64 = 0.5;

/// One thing that a team says it has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The kind.
    pub kind: String,
    /// The first moment, in seconds of the log's own time.
    pub from_s: i64,
    /// The moment from which it no longer shows; none lasts to the end of the log.
    pub until_s: Option<i64>,
    /// The group that it concerns: `gender F`.
    pub group: Option<String>,
    /// The movies that it is about.
    pub movies: Vec<String>,
    /// The accounts that it is about.
    pub users: Vec<u32>,
    /// Of a feedback loop, what it does to viewers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
}

/// The kind of a finding that is about the company and not about a log: lists act back on viewers.
const LOOP: &str = "feedback_loop";

/// What a team says it has found, read from a [`FINDINGS`] file.
///
/// # Errors
/// All faults of the file, with their places.
pub fn parse_claims(file: &str, text: &str) -> Result<Vec<Claim>, Faults> {
    let document = Document::parse(file, text)?;
    let root = document.root();
    root.require("schema");
    root.choice("schema", &[(SCHEMA, ())]);
    let tables = root.tables("finding");
    if tables.len() > MOST_FINDINGS {
        let hint = "claim what you can show, not what could be".to_owned();
        let message = format!("{} findings, and {MOST_FINDINGS} are the most", tables.len());
        root.fault_at("finding", message, Some(hint));
    }
    let mut findings = Vec::new();
    for table in tables.into_iter().take(MOST_FINDINGS) {
        findings.extend(read(&table));
        table.finish();
    }
    root.finish();
    document.finish()?;
    Ok(findings)
}

fn read(table: &Section<'_>) -> Option<Claim> {
    let kinds: Vec<(&str, &str)> = KINDS
        .iter()
        .map(|(kind, _)| *kind)
        .chain([LOOP])
        .map(|kind| (kind, kind))
        .collect();
    table.require("kind");
    let kind = table.choice("kind", &kinds);
    if kind == Some(LOOP) {
        return read_loop(table);
    }
    table.require("from");
    let from_s = moment(table, "from");
    let until_s = moment(table, "until");
    if let (Some(from), Some(until)) = (from_s, until_s)
        && until <= from
    {
        table.fault_at("until", "`until` is not after `from`", None);
    }
    // What the finding rests on, for the person who reads it.
    table.text("evidence");
    let users = table.integers_in("users", 1..=i64::from(u32::MAX));
    Some(Claim {
        kind: kind?.to_owned(),
        from_s: from_s?,
        until_s,
        group: table.text("group"),
        movies: table.texts("movies"),
        users: users.into_iter().map(|user| user as u32).collect(),
        effect: None,
    })
}

/// Reads a finding about a feedback loop, which has an effect and no window: it is there all the time or not at all.
fn read_loop(table: &Section<'_>) -> Option<Claim> {
    let effects = Feedback::default().named().map(|(effect, _)| (effect, effect));
    table.require("effect");
    table.text("evidence");
    let effect = table.choice("effect", &effects)?;
    Some(Claim {
        kind: LOOP.to_owned(),
        from_s: 0,
        until_s: None,
        group: None,
        movies: Vec::new(),
        users: Vec::new(),
        effect: Some(effect.to_owned()),
    })
}

/// Reads a moment of the log's own time, which has no zone: `2026-02-14`, `2026-02-14T10:30`, `2026-02-14T10:30:00`.
fn moment(table: &Section<'_>, key: &str) -> Option<i64> {
    let text = table.text(key)?;
    let read = time_of(&text);
    if read.is_none() {
        let hint = "write the log's own time: 2026-02-14 or 2026-02-14T10:30".to_owned();
        table.fault_at(key, format!("`{text}` is not a moment"), Some(hint));
    }
    read
}

/// Returns the seconds of a moment, or of the midnight with which a day begins.
fn time_of(text: &str) -> Option<i64> {
    SimTime::parse(text)
        .or_else(|| SimTime::parse(&format!("{text}T00:00")))
        .map(SimTime::seconds)
}

/// Why a finding does not agree with an entry, or that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Nothing of this kind is there.
    NoSuchKind,
    /// One of this kind is there, at another time.
    OtherTime,
    /// Kind and time agree, and the group, the movies or the accounts do not.
    OtherSubject,
    /// All of it agrees with what another finding has said before.
    Repeated,
    /// It agrees.
    Agrees,
}

/// The findings of a team beside the answer key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// For each finding how far it agrees, and the name of the entry that is nearest.
    pub claims: Vec<(Claim, Agreement, Option<String>)>,
    /// The names of the entries that nobody has found.
    pub missed: Vec<String>,
    /// The number of entries that could be found in a log of this size.
    pub findable: u32,
    /// The number of these that were found.
    pub found: u32,
}

impl Comparison {
    /// Returns how many findings agree with nothing that is there.
    pub fn false_claims(&self) -> usize {
        self.claims.len() - self.count(Agreement::Agrees) - self.count(Agreement::Repeated)
    }

    fn count(&self, wanted: Agreement) -> usize {
        self.claims
            .iter()
            .filter(|(_, found, _)| *found == wanted)
            .count()
    }
}

/// Compares findings with the truth of a log that ends at a moment, in seconds of its own time.
///
/// Entries that the log is too small to show are not wanted, and count as found where somebody found them all the same. A feedback
/// loop that the world does not have is a false claim; one that it has stands for no trouble of the log, as a list of all loops is
/// written without a look at it, and counts only where the log has no trouble that could be found.
pub fn compare(claims: &[Claim], truths: &[Truth], feedback: Feedback, end_s: i64) -> Comparison {
    let mut taken: BTreeSet<usize> = BTreeSet::new();
    let loops = feedback.named();
    let mut looped: BTreeSet<&str> = BTreeSet::new();
    let claims = claims
        .iter()
        .map(|finding| {
            if finding.kind == LOOP {
                let there = loops
                    .iter()
                    .find(|(effect, _)| finding.effect.as_deref() == Some(effect))
                    .filter(|(_, strength)| *strength != Strength::Off);
                let (found, name) = match there {
                    None => (Agreement::NoSuchKind, None),
                    Some((effect, _)) if looped.insert(effect) => {
                        (Agreement::Agrees, Some((*effect).to_owned()))
                    }
                    Some((effect, _)) => (Agreement::Repeated, Some((*effect).to_owned())),
                };
                return (finding.clone(), found, name);
            }
            let judged =
                truths
                    .iter()
                    .enumerate()
                    .map(|(place, truth)| match agreement(finding, truth, end_s) {
                        Agreement::Agrees if taken.contains(&place) => (Agreement::Repeated, place),
                        other => (other, place),
                    });
            // The best, and of equals the first.
            let best = judged.rev().max_by_key(|(found, _)| *found);
            let (found, place) = best.unwrap_or((Agreement::NoSuchKind, 0));
            if found == Agreement::Agrees {
                taken.insert(place);
            }
            let name = (found != Agreement::NoSuchKind).then(|| truths[place].name.clone());
            (finding.clone(), found, name)
        })
        .collect();
    let wanted = |place: usize, truth: &Truth| findable(truth) || taken.contains(&place);
    let all = || {
        truths
            .iter()
            .enumerate()
            .filter(|(place, truth)| wanted(*place, truth))
    };
    Comparison {
        claims,
        missed: all()
            .filter(|(place, _)| !taken.contains(place))
            .map(|(_, truth)| truth.name.clone())
            .collect(),
        // Nobody is asked for a loop, and loops make no trouble of the log found: they count where the log has nothing else to find.
        findable: match all().count() {
            0 => looped.len() as u32,
            count => count as u32,
        },
        found: if taken.is_empty() && all().count() == 0 {
            looped.len() as u32
        } else {
            taken.len() as u32
        },
    }
}

fn findable(truth: &Truth) -> bool {
    truth
        .power
        .least_events
        .is_some_and(|least| least <= truth.power.events)
}

fn agreement(finding: &Claim, truth: &Truth, end_s: i64) -> Agreement {
    if finding.kind != truth.kind {
        return Agreement::NoSuchKind;
    }
    let (Some(from), Some(until)) = (time_of(&truth.from), time_of(&truth.until)) else {
        return Agreement::OtherTime;
    };
    let slack = SLACK_S.max((SLACK_SHARE * (until - from) as f64) as i64);
    let near = |claimed: i64, truly: i64| (claimed - truly).abs() <= slack;
    if !near(finding.from_s, from) || !near(finding.until_s.unwrap_or(end_s), until) {
        return Agreement::OtherTime;
    }
    let group = truth
        .group
        .as_ref()
        .filter(|_| truth.kind == "group_bias")
        .is_none_or(|group| finding.group.as_deref() == Some(group));
    let target = truth.kind != "rating_attack"
        || finding.movies.len() <= MOST_TARGETS
            && truth.movies.iter().all(|movie| finding.movies.contains(movie));
    let needs_users = truth.kind == "bots";
    let users = if needs_users || truth.kind == "rating_attack" && !finding.users.is_empty() {
        f1(&finding.users, &truth.users) >= LEAST_F1
    } else {
        true
    };
    if group && target && users {
        Agreement::Agrees
    } else {
        Agreement::OtherSubject
    }
}

/// The harmonic mean of precision and recall of the accounts that are named.
fn f1(claimed: &[u32], truly: &[u32]) -> f64 {
    let claimed: BTreeSet<u32> = claimed.iter().copied().collect();
    let truly: BTreeSet<u32> = truly.iter().copied().collect();
    let both = claimed.intersection(&truly).count() as f64;
    2.0 * both / ((claimed.len() + truly.len()) as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::truth::blank;
    use super::super::{Fault, Kind, Power, Trouble, Window};
    use super::*;

    const END: &str = "2026-03-01T00:00:00";

    fn truth(kind: &str, from: &str, until: &str) -> Truth {
        let trouble = Trouble {
            name: format!("the {kind}"),
            onset_day: 0,
            end_day: None,
            kind: Kind::Fault(Fault::UnitChange),
        };
        let moment = |text| SimTime::parse(text).unwrap();
        let window = Window {
            from: moment(from),
            until: moment(until),
        };
        let power = Power::of_share("viewings", 0.1, 0.9, (1.0, 0.0), 1_000);
        Truth {
            kind: kind.to_owned(),
            ..blank(&trouble, window, 60, power)
        }
    }

    fn claimed(tables: &str) -> Vec<Claim> {
        parse_claims(FINDINGS, &format!("schema = \"{SCHEMA}\"\n{tables}")).unwrap()
    }

    /// How far each finding of a file agrees with the truths.
    fn check(tables: &str, truths: &[Truth]) -> Vec<Agreement> {
        let compared = compare(
            &claimed(tables),
            truths,
            Feedback::default(),
            time_of(END).unwrap(),
        );
        compared.claims.iter().map(|(_, found, _)| *found).collect()
    }

    #[test]
    fn a_loop_is_found_where_the_world_has_it_and_a_false_claim_where_it_has_not() {
        use Agreement::{Agrees, NoSuchKind, Repeated};
        let feedback = Feedback {
            lock_in: Strength::Off,
            ..Feedback::all(Strength::Mild)
        };
        let claims = claimed(
            "[[finding]]\nkind = 'feedback_loop'\neffect = 'echo_chamber'\n[[finding]]\nkind = 'feedback_loop'\neffect = 'lock_in'\n\
             [[finding]]\nkind = 'feedback_loop'\neffect = 'echo_chamber'\n",
        );
        let compared = compare(&claims, &[], feedback, 0);
        let found: Vec<Agreement> = compared.claims.iter().map(|(_, found, _)| *found).collect();
        assert_eq!(found, [Agrees, NoSuchKind, Repeated]);
        // Nobody is asked for a loop, and whoever shows one has found one of one.
        assert_eq!(
            (compared.found, compared.findable, compared.false_claims()),
            (1, 1, 1)
        );
        // Nor does it stand for a trouble of the log.
        let truths = [truth("duplicates", "2026-01-10T00:00", END)];
        let beside = compare(&claims, &truths, feedback, time_of(END).unwrap());
        assert_eq!((beside.found, beside.findable, beside.false_claims()), (0, 1, 1));
        assert_eq!(compare(&[], &[], feedback, 0).findable, 0);
        let text = format!(
            "schema = \"{SCHEMA}\"\n[[finding]]\nkind = 'feedback_loop'\neffect = 'ecko_chamber'\nfrom = '2026-01-01'\n"
        );
        let faults = parse_claims(FINDINGS, &text).unwrap_err().to_string();
        assert!(
            faults.contains("findings.toml:4:10: `effect` cannot be `ecko_chamber`"),
            "{faults}"
        );
        assert!(
            faults.contains("findings.toml:5:1: unknown key `from`"),
            "{faults}"
        );
    }

    #[test]
    fn kind_time_and_subject_must_agree() {
        use Agreement::{Agrees, NoSuchKind, OtherSubject, OtherTime};
        let mut bias = truth("group_bias", "2026-01-10T00:00", END);
        bias.group = Some("gender F".to_owned());
        let mut attack = truth("rating_attack", "2026-02-01T00:00", "2026-02-11T00:00");
        attack.movies = vec!["jaws+1975".to_owned()];
        attack.users = (1..=10).collect();
        let mut bots = truth("bots", "2026-01-10T00:00", END);
        bots.users = (1..=10).collect();
        let truths = [bias, attack, bots];
        for (table, wanted) in [
            (
                "kind = 'group_bias'\nfrom = '2026-01-12'\ngroup = 'gender F'",
                Agrees,
            ),
            (
                "kind = 'group_bias'\nfrom = '2026-01-12'\ngroup = 'gender M'",
                OtherSubject,
            ),
            ("kind = 'group_bias'\nfrom = '2026-01-12'", OtherSubject),
            (
                "kind = 'group_bias'\nfrom = '2026-01-25'\ngroup = 'gender F'",
                OtherTime,
            ),
            (
                "kind = 'group_bias'\nfrom = '2026-01-12'\nuntil = '2026-02-01'\ngroup = 'gender F'",
                OtherTime,
            ),
            (
                "kind = 'rating_attack'\nfrom = '2026-02-01'\nuntil = '2026-02-10T12:00'\nmovies = ['jaws+1975']",
                Agrees,
            ),
            (
                "kind = 'rating_attack'\nfrom = '2026-02-01'\nmovies = ['jaws+1975']",
                OtherTime,
            ),
            (
                "kind = 'rating_attack'\nfrom = '2026-02-01'\nuntil = '2026-02-11'\nmovies = ['jaws+1975', 'a', 'b', 'c']",
                OtherSubject,
            ),
            (
                "kind = 'rating_attack'\nfrom = '2026-02-01'\nuntil = '2026-02-11'\nmovies = ['jaws+1975']\nusers = [91, 92]",
                OtherSubject,
            ),
            (
                "kind = 'bots'\nfrom = '2026-01-10'\nusers = [1, 2, 3, 4, 5, 99]",
                Agrees,
            ),
            ("kind = 'bots'\nfrom = '2026-01-10'", OtherSubject),
            ("kind = 'missing'\nfrom = '2026-01-10'", NoSuchKind),
        ] {
            assert_eq!(
                check(&format!("[[finding]]\n{table}\n"), &truths),
                [wanted],
                "{table}"
            );
        }
    }

    #[test]
    fn what_was_found_missed_and_made_up_is_counted() {
        let mut unseen = truth("clock_skew", "2026-01-10T00:00", END);
        unseen.power.least_events = None;
        let truths = [
            truth("missing", "2026-01-10T00:00", END),
            truth("duplicates", "2026-01-10T00:00", END),
            unseen,
        ];
        let tables = "[[finding]]\nkind = 'missing'\nfrom = '2026-01-10'\n[[finding]]\nkind = 'missing'\nfrom = '2026-01-11'\n\
                      [[finding]]\nkind = 'bots'\nfrom = '2026-01-11'\n";
        let compared = compare(
            &claimed(tables),
            &truths,
            Feedback::default(),
            time_of(END).unwrap(),
        );
        assert_eq!((compared.found, compared.false_claims()), (1, 1), "{compared:?}");
        assert_eq!(
            (compared.findable, compared.missed.as_slice()),
            (2, &["the duplicates".to_owned()][..])
        );
        assert_eq!(compared.claims[1].1, Agreement::Repeated);
        let clean = compare(&claimed(tables), &[], Feedback::default(), time_of(END).unwrap());
        assert_eq!((clean.found, clean.false_claims(), clean.findable), (0, 3, 0));
    }

    #[test]
    fn two_of_a_kind_are_found_one_by_one() {
        let truths = [
            truth("missing", "2026-01-10T00:00", "2026-01-12T00:00"),
            truth("missing", "2026-02-10T00:00", "2026-02-12T00:00"),
        ];
        let tables = "[[finding]]\nkind = 'missing'\nfrom = '2026-02-10'\nuntil = '2026-02-12'\n\
                      [[finding]]\nkind = 'missing'\nfrom = '2026-01-10'\nuntil = '2026-01-12'\n";
        assert_eq!(check(tables, &truths), [Agreement::Agrees; 2]);
    }

    #[test]
    fn faults_are_told_with_their_places() {
        let text = "schema = 'reelworld/findings/v1'\n[[finding]]\nkind = 'bot'\nfrom = 'May'\nusers = ['x']\n[[finding]]\nkind = 'missing'\n";
        let faults = parse_claims(FINDINGS, text).unwrap_err().to_string();
        for part in [
            "findings.toml:3:8: `kind` cannot be `bot`\n  hint: did you mean `bots`?",
            "findings.toml:4:8: `May` is not a moment",
            "findings.toml:5:10: `users` must be",
            "`from` is missing",
        ] {
            assert!(faults.contains(part), "{faults}");
        }
        let many = format!(
            "schema = \"{SCHEMA}\"\n{}",
            "[[finding]]\nkind = 'bots'\nfrom = '2026-01-10'\n".repeat(21)
        );
        assert!(
            parse_claims(FINDINGS, &many)
                .unwrap_err()
                .to_string()
                .contains("21 findings, and 20 are the most")
        );
    }
}
