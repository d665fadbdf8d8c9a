//! How a service responded to one incident: what was answered during it and after, what was lost, when it was noticed and mended.

/// The moments of an incident, in seconds from the first request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spell {
    /// When it began.
    pub from_s: f64,
    /// When it ended.
    pub to_s: f64,
    /// Until when the service was watched.
    pub until_s: f64,
}

/// One request that is charged to the service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// When it was due, in seconds from the first request.
    pub at_s: f64,
    /// Whether it went well.
    pub well: bool,
}

/// What was charged to the service in a minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Minute {
    /// When it began, in seconds from the incident's beginning.
    pub at_s: f64,
    /// The requests.
    pub asked: u64,
    /// Those that went well.
    pub well: u64,
}

/// How a service responded.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Response {
    /// Requests during the incident: all, and those that went well.
    pub during: (u64, u64),
    /// The same after it, while the service was watched.
    pub after: (u64, u64),
    /// What failed from the incident's beginning on.
    pub lost: u64,
    /// How long after the beginning the service's own alert rose, in seconds; none where it did not, or there is none.
    pub noticed_s: Option<f64>,
    /// How long after the beginning all was well again, and stayed so; 0 where it always was, none where it was not in the end.
    pub recovered_s: Option<f64>,
}

/// A service is well again from a moment on when at least this share of the rest goes well.
const WELL: f64 = 0.95;
/// Fewer requests than this cannot show that a service is well again.
const LEAST: u64 = 10;

impl Response {
    /// The share that went well during the incident; none where nobody asked.
    pub fn during_share(&self) -> Option<f64> {
        share(self.during)
    }

    /// The share that went well after it.
    pub fn after_share(&self) -> Option<f64> {
        share(self.after)
    }
}

fn share((all, well): (u64, u64)) -> Option<f64> {
    (all > 0).then(|| well as f64 / all as f64)
}

/// Returns how a service responded, from all that was asked in any order, and from what its own alert said: moment and value.
///
/// It has noticed when its alert rises above what it said before the incident.
pub fn respond(spell: Spell, asked: &[Asked], alerts: &[(f64, f64)]) -> Response {
    let mut watched: Vec<Asked> = asked
        .iter()
        .copied()
        .filter(|asked| spell.from_s <= asked.at_s && asked.at_s < spell.until_s)
        .collect();
    watched.sort_by(|a, b| a.at_s.total_cmp(&b.at_s).then(b.well.cmp(&a.well)));
    let single = |asked: &Asked| Minute {
        at_s: asked.at_s,
        asked: 1,
        well: u64::from(asked.well),
    };
    let parts: Vec<Minute> = watched.iter().map(single).collect();
    Response {
        noticed_s: noticed(spell, alerts),
        ..responded(spell, &parts)
    }
}

/// Returns how a service responded to an incident that ended, and was watched until, so many seconds after its beginning, from
/// minutes in their order. What happened when is known to the minute.
pub fn respond_by_minute((to_s, until_s): (f64, f64), minutes: &[Minute]) -> Response {
    let spell = Spell {
        from_s: 0.0,
        to_s,
        until_s,
    };
    let is_watched = |minute: &&Minute| 0.0 <= minute.at_s && minute.at_s < until_s;
    let watched: Vec<Minute> = minutes.iter().filter(is_watched).copied().collect();
    responded(spell, &watched)
}

/// Returns how a service responded, from what was charged to it while it was watched, in order of time.
fn responded(spell: Spell, watched: &[Minute]) -> Response {
    let mut response = Response::default();
    for minute in watched {
        let part = if minute.at_s < spell.to_s {
            &mut response.during
        } else {
            &mut response.after
        };
        part.0 += minute.asked;
        part.1 += minute.well;
        response.lost += minute.asked.saturating_sub(minute.well);
    }
    response.recovered_s = recovered(watched).map(|at_s| (at_s - spell.from_s).max(0.0));
    response
}

/// The earliest moment from which on nearly all goes well until the end; the beginning itself where it always did.
fn recovered(watched: &[Minute]) -> Option<f64> {
    let (mut all, mut well) = (0, 0);
    let mut from = None;
    for (place, minute) in watched.iter().enumerate().rev() {
        all += minute.asked;
        well += minute.well;
        if all >= LEAST && well as f64 >= WELL * all as f64 {
            from = Some(place);
        }
    }
    // A failure with which the good rest begins is not yet a part of it.
    let place = from?;
    if place == 0 {
        return Some(f64::NEG_INFINITY);
    }
    let first_good = watched[place..].iter().find(|minute| minute.well > 0)?;
    Some(first_good.at_s)
}

fn noticed(spell: Spell, alerts: &[(f64, f64)]) -> Option<f64> {
    let mut alerts = alerts.to_vec();
    alerts.sort_by(|a, b| a.0.total_cmp(&b.0));
    let before = alerts
        .iter()
        .rev()
        .find(|(at_s, _)| *at_s <= spell.from_s)
        .map_or(0.0, |(_, value)| *value);
    alerts
        .iter()
        .find(|(at_s, value)| spell.from_s < *at_s && *at_s < spell.until_s && *value > before)
        .map(|(at_s, _)| at_s - spell.from_s)
}

/// What became of a movie that was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Takedown {
    /// Lists from before the withdrawal, and those of them that had the movie.
    pub before: (u64, u64),
    /// Lists from after the grace, and those of them that had the movie.
    pub after: (u64, u64),
    /// How long after the withdrawal it was last recommended, in seconds; none where it was not any more.
    pub last_s: Option<f64>,
}

/// Returns what became of a movie that was withdrawn at a moment: `lists` are the moments at which lists were asked for, in any
/// order, and whether they had the movie.
pub fn takedown(at_s: f64, grace_s: f64, lists: &[(f64, bool)]) -> Takedown {
    let mut found = Takedown::default();
    for (asked_s, had) in lists {
        let side = if *asked_s < at_s {
            &mut found.before
        } else {
            if *had {
                let later = asked_s - at_s;
                found.last_s = Some(found.last_s.map_or(later, |last| last.max(later)));
            }
            if *asked_s < at_s + grace_s {
                continue;
            }
            &mut found.after
        };
        side.0 += 1;
        side.1 += u64::from(*had);
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seed::Key;

    const SPELL: Spell = Spell {
        from_s: 10.0,
        to_s: 14.0,
        until_s: 20.0,
    };

    /// Ten requests a second, well where a test says so.
    fn asked(well: impl Fn(f64) -> bool) -> Vec<Asked> {
        (0..300)
            .map(|tenth| f64::from(tenth) / 10.0)
            .map(|at_s| Asked {
                at_s,
                well: well(at_s),
            })
            .collect()
    }

    #[test]
    fn a_service_that_does_not_feel_it_has_lost_nothing() {
        let response = respond(SPELL, &asked(|_| true), &[]);
        assert_eq!(
            (response.during, response.after, response.lost),
            ((40, 40), (60, 60), 0)
        );
        assert_eq!((response.recovered_s, response.noticed_s), (Some(0.0), None));
    }

    #[test]
    fn what_fails_is_lost_until_it_recovers() {
        let response = respond(SPELL, &asked(|at_s| !(11.0..15.5).contains(&at_s)), &[]);
        assert_eq!(
            (response.during, response.after, response.lost),
            ((40, 10), (60, 45), 45)
        );
        assert_eq!(response.recovered_s, Some(5.5));
        let dead = respond(SPELL, &asked(|at_s| at_s < 11.0), &[]);
        assert_eq!(dead.recovered_s, None);
        assert_eq!(dead.after_share(), Some(0.0));
        // What failed before the incident is another matter.
        let before = respond(SPELL, &asked(|at_s| at_s >= 10.0), &[]);
        assert_eq!(before.lost, 0);
        assert_eq!(respond(SPELL, &[], &[]).during_share(), None);
    }

    #[test]
    fn an_alert_notices_when_it_rises_above_what_it_said_before() {
        let alerts = |values: &[(f64, f64)]| respond(SPELL, &[], values).noticed_s;
        assert_eq!(alerts(&[(9.0, 0.0), (10.5, 0.0), (12.0, 1.0)]), Some(2.0));
        assert_eq!(alerts(&[(9.0, 1.0), (12.0, 1.0)]), None);
        assert_eq!(alerts(&[(9.0, 1.0), (12.0, 2.0)]), Some(2.0));
        assert_eq!(alerts(&[(21.0, 1.0)]), None);
    }

    #[test]
    fn a_withdrawn_movie_is_gone_after_the_grace() {
        let lists: Vec<(f64, bool)> = (0..100).map(|n| (f64::from(n) / 10.0, n < 60)).collect();
        let found = takedown(5.0, 2.0, &lists);
        assert_eq!((found.before, found.after), ((50, 50), (30, 0)));
        assert!((found.last_s.unwrap() - 0.9).abs() < 1e-9);
        let obstinate: Vec<(f64, bool)> = lists.iter().map(|(at, _)| (*at, true)).collect();
        assert_eq!(takedown(5.0, 2.0, &obstinate).after, (30, 30));
    }

    fn some() -> impl Strategy<Value = Vec<Asked>> {
        proptest::collection::vec((5.0..25.0_f64, any::<bool>()), 0..120)
            .prop_map(|all| all.into_iter().map(|(at_s, well)| Asked { at_s, well }).collect())
    }

    proptest! {
        #[test]
        fn order_changes_nothing(asked in some(), seed in 0..1000_u64) {
            let mut other = asked.clone();
            Key::from_seed(seed).branch("order").at(0).shuffle(&mut other);
            prop_assert_eq!(respond(SPELL, &asked, &[]), respond(SPELL, &other, &[]));
        }

        #[test]
        fn a_request_that_goes_well_instead_never_hurts(asked in some(), which in any::<prop::sample::Index>()) {
            prop_assume!(!asked.is_empty());
            let mut better = asked.clone();
            which.get_mut(&mut better).well = true;
            let (before, after) = (respond(SPELL, &asked, &[]), respond(SPELL, &better, &[]));
            prop_assert!(after.lost <= before.lost);
            prop_assert!(after.during.1 >= before.during.1 && after.after.1 >= before.after.1);
            if let Some(recovered) = before.recovered_s {
                prop_assert!(after.recovered_s.is_some_and(|now| now <= recovered));
            }
        }

        #[test]
        fn lists_without_the_movie_are_never_held_against_anybody(moments in proptest::collection::vec(0.0..20.0_f64, 0..60)) {
            let lists: Vec<(f64, bool)> = moments.into_iter().map(|at| (at, false)).collect();
            let found = takedown(5.0, 2.0, &lists);
            prop_assert_eq!((found.before.1, found.after.1, found.last_s), (0, 0, None));
        }
    }
}
