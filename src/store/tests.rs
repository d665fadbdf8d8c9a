//! One suite for both data bases.

use super::*;
use crate::event::Event;

struct Movie;

impl Movies for Movie {
    fn place(&self, id: &str) -> Option<u32> {
        (id == "a+2000").then_some(0)
    }

    fn id(&self, place: u32) -> Option<&str> {
        (place == 0).then_some("a+2000")
    }
}

fn request(second: i64, millis: u32) -> Record {
    Record {
        time: SimTime::from_seconds(second),
        user: 7,
        event: Event::Recommend {
            server: "a:1".to_owned(),
            status: 200,
            result: "a+2000".to_owned(),
            millis,
        },
    }
}

fn save(requests: &[(u64, i64)], counted: u64) -> Save {
    Save {
        team: 3,
        requests: requests
            .iter()
            .map(|(seq, second)| (*seq, request(*second, 100 + *seq as u32)))
            .collect(),
        counted,
        ..Save::default()
    }
}

fn all() -> (SimTime, SimTime) {
    (SimTime(0), SimTime::from_seconds(10_000))
}

/// What must hold of any store; `reopen` opens the same one again.
fn holds(reopen: &dyn Fn() -> Store) {
    let mut store = reopen();
    store.set_teams(&[(3, "owls".to_owned())]).unwrap();
    store.set_teams(&[(3, "falcons".to_owned())]).unwrap();
    let first = save(&[(5, 60), (8, 119), (9, 120)], 10);
    store.save(&first, &Movie, 800).unwrap();
    // The same again, as after a crash before anybody was told, and with something new behind it.
    store.save(&first, &Movie, 800).unwrap();
    store
        .save(&save(&[(9, 120), (12, 150)], 20), &Movie, 800)
        .unwrap();
    drop(store);
    let mut store = reopen();
    let times: Vec<i64> = store
        .requests(3, all(), &Movie)
        .unwrap()
        .iter()
        .map(|record| record.time.seconds())
        .collect();
    assert_eq!(times, [60, 119, 120, 150]);
    let within = (SimTime::from_seconds(119), SimTime::from_seconds(150));
    assert_eq!(store.requests(3, within, &Movie).unwrap().len(), 2);
    assert_eq!(store.requests(4, all(), &Movie).unwrap(), []);
    assert_eq!((store.counted(3).unwrap(), store.counted(4).unwrap()), (20, 0));
    let minutes = store.minutes(3, all()).unwrap();
    assert_eq!(minutes, [[1, 2, 2, 213, 108], [2, 2, 2, 221, 112]]);
    assert_eq!(store.last_minute().unwrap(), Some(2));

    let checkpoint = |seq: u64, people: &[(u32, u8)], anew: bool| Save {
        checkpoint: Some(Checkpoint {
            second: 99,
            seq,
            noted: 4,
            setup: "{}".to_owned(),
            agenda: vec![0, 1, 255],
            people: people.iter().map(|(user, state)| (*user, vec![*state])).collect(),
            anew,
        }),
        sightings: vec![
            (SimTime(5), "model 1".to_owned()),
            (SimTime(9), "it's \"2\"".to_owned()),
        ],
        ..save(&[], 20)
    };
    assert_eq!(store.checkpoint(3).unwrap(), None);
    store
        .save(&checkpoint(1, &[(1, 1), (2, 2)], false), &Movie, 800)
        .unwrap();
    store.save(&checkpoint(2, &[(2, 3)], false), &Movie, 800).unwrap();
    let found = store.checkpoint(3).unwrap().unwrap();
    assert_eq!((found.seq, found.second, found.noted), (2, 99, 4));
    assert_eq!(found.agenda, [0, 1, 255]);
    let everybody: Vec<u32> = (0..1_000).collect();
    assert_eq!(store.people(3, &everybody).unwrap(), [(1, vec![1]), (2, vec![3])]);
    assert_eq!(store.people(3, &[2, 7]).unwrap(), [(2, vec![3])]);
    assert_eq!(store.people(3, &[]).unwrap(), []);
    assert_eq!(store.people(4, &everybody).unwrap(), []);
    store.save(&checkpoint(3, &[(9, 9)], true), &Movie, 800).unwrap();
    assert_eq!(store.people(3, &everybody).unwrap(), [(9, vec![9])]);
    let sightings = store.sightings(3).unwrap();
    assert_eq!(sightings[1], (SimTime(9), "it's \"2\"".to_owned()));

    let spell = |until: i64| Spell {
        from: SimTime(10),
        until: SimTime(until),
        what: "stopped".to_owned(),
    };
    store.add_outage(&spell(20)).unwrap();
    store.add_outage(&spell(30)).unwrap();
    assert_eq!(store.outages().unwrap(), [spell(30)]);
    let played = |until: i64, truth: &str| Played {
        name: "m3/api".to_owned(),
        spell: spell(until),
        truth: truth.to_owned(),
    };
    store.add_incident(&played(40, "{}")).unwrap();
    store.add_incident(&played(50, "{\"kind\": \"drift\"}")).unwrap();
    assert_eq!(store.incidents().unwrap(), [played(50, "{\"kind\": \"drift\"}")]);
    store.set_note("x", "1").unwrap();
    store.set_note("x", "2").unwrap();
    assert_eq!(store.note("x").unwrap().as_deref(), Some("2"));
    store.forget_before(SimTime::from_seconds(120)).unwrap();
    assert_eq!(store.requests(3, all(), &Movie).unwrap().len(), 2);
    assert_eq!(store.counted(3).unwrap(), 20);
}

#[test]
fn sqlite_keeps_what_it_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store.sqlite");
    holds(&|| Store::open(file.to_str().unwrap()).unwrap());
}

/// Where `.ci/run` has started a PostgreSQL; on other machines the test says that it was left out.
#[test]
fn postgres_keeps_what_it_is_told_once() {
    let Some(url) = option_env!("REELWORLD_TEST_POSTGRES") else {
        println!("left out: REELWORLD_TEST_POSTGRES names no PostgreSQL to test against (as .ci/run does)");
        assert!(option_env!("CI").is_none(), "CI must test against PostgreSQL");
        return;
    };
    let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
    client
        .batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
        .unwrap();
    holds(&|| Store::open(url).unwrap());
}

#[test]
fn a_store_of_a_later_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store.sqlite");
    let mut store = Store::open(file.to_str().unwrap()).unwrap();
    store
        .back
        .run("INSERT INTO migration VALUES ($1)", &[Value::Int(77)])
        .unwrap();
    drop(store);
    let error = Store::open(file.to_str().unwrap()).unwrap_err();
    assert!(error.to_string().contains("use a later one"), "{error}");
}

#[test]
fn what_fails_in_the_middle_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store.sqlite");
    let mut store = Store::open(file.to_str().unwrap()).unwrap();
    let failed = store.back.transaction(|back| {
        back.run(
            "INSERT INTO counted VALUES ($1, $2)",
            &[Value::Int(1), Value::Int(5)],
        )?;
        back.run("INSERT INTO nowhere VALUES ($1)", &[Value::Int(1)])
    });
    assert!(failed.is_err());
    assert_eq!(store.counted(1).unwrap(), 0);
}
