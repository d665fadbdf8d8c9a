//! What the streams were written with: oddities of their lines that have begun are what they were, or what is read from a stream
//! would be another thing than what the store has counted (pure).

use serde::{Deserialize, Serialize};

use super::planned::{Deed, Planned};
use super::shown;
use crate::course::Quirk;
use crate::event::SimTime;

/// The note of the store that has the oddities of the last time.
pub(super) const NOTE: &str = "oddities";

/// Something that changes lines between two moments, in seconds of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Oddity {
    what: String,
    from: i64,
    until: i64,
}

/// Returns what changes lines of a course's streams. The place of a quirk among the others is part of it, as its luck is.
pub(super) fn oddities(quirks: &[Quirk], planned: &[Planned]) -> Vec<Oddity> {
    let quirks = (1..).zip(quirks).map(|(place, quirk)| Oddity {
        what: format!(
            "[[quirk]] number {place}, {}, share {}",
            quirk.kind.name(),
            quirk.share
        ),
        from: quirk.from.seconds(),
        until: quirk.until.seconds(),
    });
    let faults = planned.iter().filter_map(|planned| match planned.deed {
        Deed::Spoil(fault) => Some(Oddity {
            what: match fault.share() {
                Some(share) => format!("incident {}, {}, share {share}", planned.name, fault.name()),
                None => format!("incident {}, {}", planned.name, fault.name()),
            },
            from: planned.from.seconds(),
            until: planned.until.seconds(),
        }),
        _ => None,
    });
    quirks.chain(faults).collect()
}

/// Tells what of the time before `reached` is not what it was; an oddity that is on may end at another moment that is to come.
pub(super) fn rewritten(before: &[Oddity], now: &[Oddity], reached: SimTime) -> Vec<String> {
    let reached = reached.seconds();
    let shown = |second: i64| shown(SimTime::from_seconds(second));
    let is = |one: &Oddity, other: &Oddity| one.what == other.what && one.from == other.from;
    let mut told = Vec::new();
    for had in before.iter().filter(|had| had.from < reached) {
        let (what, from) = (&had.what, shown(had.from));
        match now.iter().find(|has| is(had, has)) {
            None => told.push(format!("{what}, from {from}: it is not there any more")),
            Some(has) if had.until.min(reached) != has.until.min(reached) => told.push(format!(
                "{what}, from {from}: it ended at {}, and would have ended at {}",
                shown(had.until.min(reached)),
                shown(has.until.min(reached))
            )),
            Some(_) => {}
        }
    }
    for has in now.iter().filter(|has| has.from < reached) {
        if !before.iter().any(|had| is(had, has)) {
            let (what, from) = (&has.what, shown(has.from));
            told.push(format!("{what}, from {from}: it was not there then"));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oddity(what: &str, from: i64, until: i64) -> Oddity {
        Oddity {
            what: what.to_owned(),
            from,
            until,
        }
    }

    #[test]
    fn what_has_been_told_stays_and_what_is_to_come_is_free() {
        let before = [oddity("a", 0, 50), oddity("b", 60, 900), oddity("c", 500, 600)];
        let reached = SimTime::from_seconds(100);
        for (now, faults) in [
            (before.to_vec(), &[][..]),
            // What is on ends sooner or later, what is to come goes, and something comes.
            (
                vec![before[0].clone(), oddity("b", 60, 100), oddity("d", 100, 200)],
                &[],
            ),
            (
                vec![before[0].clone()],
                &["b, from 1970-01-01T00:01: it is not there any more"],
            ),
            (
                vec![oddity("a", 0, 50), oddity("b", 60, 99)],
                &[
                    "b, from 1970-01-01T00:01: it ended at 1970-01-01T00:01:40, and would have ended at 1970-01-01T00:01:39",
                ],
            ),
            (
                vec![oddity("a", 0, 51), oddity("b", 60, 900), oddity("e", 99, 200)],
                &[
                    "a, from 1970-01-01T00:00: it ended at 1970-01-01T00:00:50, and would have ended at 1970-01-01T00:00:51",
                    "e, from 1970-01-01T00:01:39: it was not there then",
                ],
            ),
            (
                vec![oddity("a", 1, 50), oddity("b", 60, 900)],
                &[
                    "a, from 1970-01-01T00:00: it is not there any more",
                    "a, from 1970-01-01T00:00:01: it was not there then",
                ],
            ),
        ] {
            assert_eq!(rewritten(&before, &now, reached), faults, "{now:?}");
        }
        assert!(rewritten(&[], &before, SimTime::from_seconds(0)).is_empty());
    }
}
