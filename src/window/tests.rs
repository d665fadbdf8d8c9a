//! Windows told by hand: what counts, what is left out, and that no order and no success can hurt.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::exchange::{Phase, Planned, RequestKind};
use crate::scorecard::{MeasureInfo, Method};
use crate::seed::Key;

const RUBRIC: &str = r#"
schema = "reelworld/rubric/v1"
id = "w"
version = "1"
title = "Windows"
points = 5

[window.day]
before_h = 24
after_h = 24
pick = "better"

[window.week]
before_h = 96
after_h = 72
pick = "both"

[[criterion]]
id = "w.count"
title = "count"
text = "At least 200 answers."
points = 1
method = "census"
measure = "answers.count"
at_least = 200
window = "day"

[[criterion]]
id = "w.personal"
title = "personal"
text = "A tenth is personal."
points = 1
method = "census"
measure = "personalised.share"
at_least = 0.1
window = "day"
needs = ["w.up"]

[[criterion]]
id = "w.up"
title = "up"
text = "Available."
points = 1
method = "census"
measure = "availability.share"
at_least = 0.7
window = "week"

[[criterion]]
id = "w.updates"
title = "updates"
text = "Two updates."
points = 1
method = "census"
measure = "update.count"
at_least = 2
window = "week"

[[criterion]]
id = "w.clean"
title = "clean"
text = "Nothing is dropped."
points = 1
method = "census"
measure = "update.failed_share"
at_most = 0.01
window = "week"
"#;

fn rubric() -> Rubric {
    let info = |id, unit| MeasureInfo {
        id,
        unit,
        method: Method::Census,
        in_check: true,
        about: "",
    };
    let measures = [
        info("answers.count", "count"),
        info("personalised.share", "share"),
        info("availability.share", "share"),
        info("update.count", "count"),
        info("update.failed_share", "share"),
    ];
    Rubric::parse("w.toml", RUBRIC, &measures).unwrap()
}

fn submitted() -> SimTime {
    SimTime::from_date(2026, 3, 2)
}

fn hours(hours: f64) -> SimTime {
    SimTime(submitted().0 + (hours * 3_600e6) as i64)
}

fn asked(at: SimTime, user: u32, came: Came) -> Asked {
    Asked { at, user, came }
}

fn personal(user: u32) -> Came {
    Came::Success((user..user + 5).map(|movie| format!("m+{movie}")).collect())
}

fn popular() -> Came {
    Came::Success((0..5).map(|movie| format!("p+{movie}")).collect())
}

fn failure() -> Came {
    Came::Failure("no answer".to_owned())
}

fn found(records: &[Asked], models: &[(f64, &str)], outages: &[Span]) -> Findings {
    let rubric = rubric();
    let mut watch = Watch::new(&rubric, submitted(), outages.to_vec());
    for record in records {
        watch.asked(record);
    }
    for (at, name) in models {
        watch.model(hours(*at), name);
    }
    watch.findings()
}

fn measurement<'a>(findings: &'a Findings, measure: &str) -> &'a Measurement {
    match &findings[measure] {
        Finding::Measured(found) => found,
        Finding::NotMeasured { why, .. } => panic!("{measure}: {why}"),
    }
}

fn value(findings: &Findings, measure: &str) -> f64 {
    measurement(findings, measure).value
}

fn why_not(findings: &Findings, measure: &str) -> String {
    match &findings[measure] {
        Finding::NotMeasured { why, .. } => why.clone(),
        Finding::Measured(found) => panic!("{measure}: {}", found.value),
    }
}

/// Every user asked twice in the day before the submission.
fn day(came: impl Fn(u32, u32) -> Came) -> Vec<Asked> {
    (0..300_u32)
        .flat_map(|user| [(user, 0), (user, 1)])
        .map(|(user, call)| {
            let at = hours(-20.0 + f64::from(call * 300 + user) / 100.0);
            asked(at, user, came(user, call))
        })
        .collect()
}

/// One request a minute over the whole week.
fn week(came: impl Fn(i64) -> Came) -> Vec<Asked> {
    (0..168 * 60)
        .map(|minute| {
            let at = hours(-96.0).plus_seconds(minute * 60 + 7);
            asked(at, (minute % 5000) as u32, came(minute))
        })
        .collect()
}

#[test]
fn answers_are_counted_and_a_tenth_of_personal_ones_is_a_tenth() {
    let mixed = day(|user, _| {
        if user.is_multiple_of(10) {
            personal(user * 100 + 7)
        } else if user.is_multiple_of(3) {
            failure()
        } else {
            popular()
        }
    });
    let found = found(&mixed, &[], &[]);
    assert_eq!(value(&found, "answers.count"), 420.0);
    assert_eq!(measurement(&found, "answers.count").n, 600);
    assert_eq!(measurement(&found, "answers.count").evidence, ["180 × no answer"]);
    assert_eq!(value(&found, "personalised.share"), 0.1);
}

#[test]
fn a_list_that_changes_at_random_is_made_for_nobody() {
    let random = day(|user, call| personal(user * 1000 + call * 400 + 1));
    assert_eq!(value(&found(&random, &[], &[]), "personalised.share"), 0.0);
    let same = day(|user, _| personal(user * 1000));
    assert_eq!(value(&found(&same, &[], &[]), "personalised.share"), 1.0);
}

#[test]
fn the_better_side_is_one_side_for_all_criteria_of_the_window() {
    // Before: many answers, all the same. After: fewer, and personal, but enough for both bars.
    let before = day(|_, _| popular());
    let mut after = day(|user, _| personal(user * 10));
    after.truncate(240);
    for record in &mut after {
        record.at = SimTime(record.at.0 + 24 * 3_600_000_000);
    }
    let both: Vec<Asked> = before.iter().chain(&after).cloned().collect();
    let found = found(&both, &[], &[]);
    assert_eq!(value(&found, "answers.count"), 240.0);
    assert_eq!(value(&found, "personalised.share"), 1.0);
}

#[test]
fn a_side_on_which_nobody_asked_does_not_hide_the_failures_of_the_other() {
    let mut after = day(|_, _| failure());
    for record in &mut after {
        record.at = SimTime(record.at.0 + 22 * 3_600_000_000);
    }
    let found = found(&after, &[], &[]);
    let answers = measurement(&found, "answers.count");
    assert_eq!((answers.value, answers.n), (0.0, 600));
}

#[test]
fn updates_are_seen_behind_any_number_of_sightings() {
    // A sighting every ten seconds, by two replicas of the same models, in any order.
    let sightings = |hour: f64| -> Vec<(f64, &str)> {
        (0..50_000)
            .map(|place| {
                let at = -96.0 + f64::from(place * 7_919 % 50_000) / 360.0;
                (at, if at < hour { "a" } else { "b" })
            })
            .collect()
    };
    let seen = found(&week(|_| popular()), &sightings(42.0), &[]);
    assert_eq!(value(&seen, "update.count"), 1.0);
    let at = measurement(&seen, "update.count");
    assert!(at.why.contains("50000 moments"), "{}", at.why);
}

#[test]
fn downtime_is_counted_by_the_minute_and_our_own_is_left_out() {
    let outage = Span {
        from: hours(-50.0),
        until: hours(-49.0),
    };
    // Down for 101 minutes at the beginning, and for the whole hour in which the company was down too.
    let records = week(|minute| {
        if minute < 101 || (46 * 60..47 * 60).contains(&minute) {
            failure()
        } else {
            popular()
        }
    });
    let found = found(&records, &[], &[outage]);
    let share = measurement(&found, "availability.share");
    assert_eq!(share.n, 168 * 60 - 60);
    assert!((share.value - (1.0 - 101.0 / 10_020.0)).abs() < 1e-12);
    assert_eq!(
        share.excluded,
        [Excluded {
            reason: "our_own_downtime".to_owned(),
            count: 60
        }]
    );
    assert_eq!(share.evidence, ["down for 101 min from 2026-02-26T00:00"]);
    // A hundred minutes of 168 hours are within the 99 % of the bonus, 101 are not, even of an hour less.
    assert!(share.value < 0.99);
}

#[test]
fn minutes_in_which_nobody_asked_are_nobodys_downtime_and_too_few_tell_nothing() {
    let mut records = week(|_| popular());
    records.truncate(120 * 60);
    let all = found(&records, &[], &[]);
    assert_eq!(value(&all, "availability.share"), 1.0);
    assert_eq!(
        measurement(&all, "availability.share").excluded,
        [Excluded {
            reason: "nobody_asked".to_owned(),
            count: 48 * 60
        }]
    );
    records.truncate(60 * 60);
    let why = why_not(&found(&records, &[], &[]), "availability.share");
    assert_eq!(why, "only 3600 of the window's 10080 minutes have a request");
}

#[test]
fn two_replicas_are_one_update_and_a_way_back_is_none() {
    let models = [
        (-90.0, "a"),
        (-20.0, "b"),
        (-19.0, "a"),
        (-18.0, "b"),
        (10.0, "a"),
        (50.0, "c"),
    ];
    let all = found(&week(|_| popular()), &models, &[]);
    assert_eq!(value(&all, "update.count"), 2.0);
    assert_eq!(value(&all, "update.failed_share"), 0.0);
    let none = found(&week(|_| popular()), &models[..1], &[]);
    assert_eq!(value(&none, "update.count"), 0.0);
    assert!(why_not(&none, "update.failed_share").contains("no change"));
    assert!(why_not(&found(&[], &[], &[]), "update.count").contains("nobody has seen"));
}

#[test]
fn what_fails_between_two_models_is_charged_to_the_update() {
    // The last sighting of `a` is at minute 600, the first of `b` at minute 610; the second of those ten minutes fails.
    let records = week(|minute| {
        if minute == 602 || minute == 900 {
            failure()
        } else {
            popular()
        }
    });
    let models = [(-96.0 + 10.0, "a"), (-96.0 + 610.0 / 60.0, "b")];
    let found = found(&records, &models, &[]);
    assert_eq!(value(&found, "update.failed_share"), 0.1);
}

#[test]
fn lines_of_the_stream_and_exchanges_of_a_run_say_the_same() {
    let catalogue: BTreeSet<String> = ["a+2001", "b+2002"].map(str::to_owned).into();
    let line = |rest: &str| {
        let text = format!("2026-03-02T12:00:01.250,7,recommendation request team1:8082, {rest}");
        Asked::from_record(&Record::parse(&text).unwrap(), &catalogue, 800).unwrap()
    };
    let at = SimTime(submitted().0 + 43_201_250_000);
    let exchange = |outcome: Outcome, millis: u64| {
        let exchange = Exchange {
            planned: Planned {
                seq: 0,
                intended_ns: 1_250_000_000,
                phase: Phase::Steady,
                kind: RequestKind::Known,
                path: "/recommend/7".to_owned(),
                user: Some(7),
            },
            dispatched_ns: 0,
            sent_ns: Some(0),
            finished_ns: 1_250_000_000 + millis * 1_000_000,
            outcome,
        };
        let origin = SimTime(submitted().0 + 43_200_000_000);
        Asked::from_exchange(&exchange, origin, 800_000_000).unwrap()
    };
    let ids = || Outcome::Answered {
        ids: vec!["a+2001".to_owned(), "b+2002".to_owned()],
    };
    let status = Outcome::Status {
        code: 503,
        body: String::new(),
    };
    for (read, ran, wanted) in [
        (
            line("status 200, result: a+2001, b+2002, 102 ms"),
            exchange(ids(), 102),
            Came::Success(vec!["a+2001".to_owned(), "b+2002".to_owned()]),
        ),
        (
            line("status 200, result: a+2001, b+2002, 801 ms"),
            exchange(ids(), 801),
            Came::Failure("late".to_owned()),
        ),
        (
            line("status 503, result: , 3 ms"),
            exchange(status, 3),
            Came::Failure("status 503".to_owned()),
        ),
    ] {
        assert_eq!(read, asked(at, 7, wanted));
        assert_eq!(read, ran);
    }
    let dead = line("status 0, result: java.util.concurrent.TimeoutException: x after 800 ms, 832 ms");
    assert_eq!(dead.came, failure());
    let doubled = line("status 200, result: a+2001, a+2001, 9 ms");
    assert_eq!(doubled.came, Came::Failure("an id twice".to_owned()));
    let watch = Record::parse("2026-03-02T12:00,7,GET /data/m/a+2001/3.mpg").unwrap();
    assert_eq!(Asked::from_record(&watch, &catalogue, 800), None);
}

/// Some requests of a week, any of which may have gone wrong.
fn some() -> impl Strategy<Value = Vec<Asked>> {
    let came = |kind: u8, user: u32| match kind {
        0 => failure(),
        1 => Came::Ours,
        2 | 3 => popular(),
        _ => personal(user * 10),
    };
    let one = (-100.0..80.0_f64, 0..90_u32, 0..8_u8);
    proptest::collection::vec(one, 0..400).prop_map(move |all| {
        all.into_iter()
            .map(|(at, user, kind)| asked(hours(at), user, came(kind, user)))
            .collect()
    })
}

/// A value for comparisons; what was not measured is its own value.
fn values(findings: &Findings) -> Vec<(String, Option<f64>)> {
    findings
        .iter()
        .map(|(measure, finding)| match finding {
            Finding::Measured(found) => (measure.clone(), Some(found.value)),
            Finding::NotMeasured { .. } => (measure.clone(), None),
        })
        .collect()
}

/// A minute for each request of every other one, so that the week has been asked in.
fn with_ground(mut records: Vec<Asked>) -> Vec<Asked> {
    records.extend(week(|_| popular()).into_iter().step_by(2).map(|mut record| {
        record.user += 1000;
        record
    }));
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_in_which_requests_are_told_changes_nothing(records in some(), seed in 0..1000_u64) {
        let records = with_ground(records);
        let models = [(-90.0, "a"), (3.0, "b")];
        let mut other = records.clone();
        Key::from_seed(seed).branch("order").at(0).shuffle(&mut other);
        prop_assert_eq!(found(&records, &models, &[]), found(&other, &models, &[]));
    }

    #[test]
    fn a_success_in_the_place_of_a_failure_never_hurts(records in some(), which in any::<prop::sample::Index>()) {
        let records = with_ground(records);
        let failed: Vec<usize> = (0..records.len()).filter(|place| records[*place].came == failure()).collect();
        prop_assume!(!failed.is_empty());
        let mut better = records.clone();
        better[*which.get(&failed)].came = popular();
        let (before, after) = (found(&records, &[], &[]), found(&better, &[], &[]));
        prop_assert!(value(&after, "availability.share") >= value(&before, "availability.share"));
        // Of the better side: no side has lost an answer.
        let count = |found: &Findings| value(found, "answers.count");
        if count(&before) >= 200.0 {
            prop_assert!(count(&after) >= 200.0);
        }
    }

    #[test]
    fn what_is_our_own_fault_or_outside_the_window_changes_no_value(records in some(), at in -90.0..70.0_f64) {
        let records = with_ground(records);
        let mut more = records.clone();
        more.push(asked(hours(at), 5, Came::Ours));
        more.push(asked(hours(-96.001), 5, failure()));
        more.push(asked(hours(72.0), 5, failure()));
        prop_assert_eq!(values(&found(&records, &[], &[])), values(&found(&more, &[], &[])));
    }
}
