//! The calendar's incidents, played by a real server for a real service: what a team's topic has, and that a kill changes nothing.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reelworld::course::CourseFiles;
use reelworld::event::{Event, Record, SimTime};
use reelworld::server::{Reading, Titles, calendar};
use reelworld::store::Store;
use reelworld::world::Genre;
use serde_json::{Value, json};

use super::serve::{Ground, figure, get, wait};

/// Company time runs ten minutes a second.
const WORDS: [&str; 4] = ["--speed", "600", "--broker", "127.0.0.1:0"];
/// The course's day; it opens at eight in the evening.
const DAY: &str = "2026-09-01";
/// When the test has seen enough.
const END: &str = "22:50";
/// What goes wrong on that evening, and between which moments.
const EVENING: [(&str, &str, &str); 9] = [
    (
        "name = 'ghosts'\nkind = 'drift'\ndrift = 'sudden'\ngenre = 'Horror'\nsize = 4.0",
        "21:00",
        "23:59",
    ),
    (
        "name = 'late'\nkind = 'malformed_stream'\nfault = 'late_events'\nshare = 0.3\nseconds = 1200",
        "20:40",
        "21:00",
    ),
    (
        "name = 'twice'\nkind = 'malformed_stream'\nfault = 'duplicates'\nshare = 0.5",
        "21:00",
        "21:20",
    ),
    (
        "name = 'lost'\nkind = 'malformed_stream'\nfault = 'missing'\nshare = 0.5",
        "21:20",
        "21:40",
    ),
    (
        "name = 'form'\nkind = 'malformed_stream'\nfault = 'schema_change'\nform = 'semicolons'",
        "21:40",
        "22:00",
    ),
    (
        "name = 'noise'\nkind = 'malformed_stream'\nfault = 'random_character'\nshare = 0.2",
        "21:50",
        "22:10",
    ),
    (
        "name = 'pushed'\nkind = 'rating_attack'\nmodel = 'average'\ngoal = 'promote'\nsize = 0.02\nfillers = 1\ntarget_line = 55",
        "20:40",
        "22:00",
    ),
    (
        "name = 'court'\nkind = 'takedown'\ngrace_s = 600",
        "21:00",
        "23:59",
    ),
    (
        "name = 'deaf'\nkind = 'dependency_loss'\npart = 'stream'",
        "21:20",
        "22:00",
    ),
];

fn at(time: &str) -> SimTime {
    SimTime::parse(&format!("{DAY}T{time}")).unwrap()
}

fn evening() -> String {
    EVENING
        .map(|(kind, from, until)| {
            format!("[[incident]]\n{kind}\nfrom = '{DAY}T{from}'\nuntil = '{DAY}T{until}'\n")
        })
        .concat()
}

fn until(pages: SocketAddr, time: &str) {
    let wanted = at(time).seconds() as f64;
    wait(time, || figure(pages, "reelworld_company_seconds") >= wanted);
}

/// Plays a ground until the end, killed at some moments before.
fn play(ground: &Ground, kills: &[&str]) {
    for time in kills {
        let (server, pages) = ground.open_with(&WORDS);
        until(pages, time);
        kill(Pid::from_raw(server.0.id() as i32), Signal::SIGKILL).unwrap();
    }
    let (mut server, pages) = ground.open_with(&WORDS);
    let broker = ground.door("kafka");
    until(pages, "21:22");
    if figure(pages, "reelworld_company_seconds") < at("21:50").seconds() as f64 {
        wait("the broker is gone", || TcpStream::connect(broker).is_err());
    }
    until(pages, "22:01");
    wait("the broker is back", || TcpStream::connect(broker).is_ok());
    wait("a movie is withdrawn", || {
        get(ground.door("api"), "/takedowns").is_some_and(|(_, told)| told.contains("\"movie\""))
    });
    until(pages, END);
    kill(Pid::from_raw(server.0.id() as i32), Signal::SIGTERM).unwrap();
    assert!(server.0.wait().unwrap().success());
}

/// A team's stream, told apart: its requests, and its other lines up to the end.
struct Told {
    requests: Vec<Record>,
    others: Vec<String>,
}

impl Told {
    fn of(ground: &Ground, topic: &str) -> Self {
        let files = CourseFiles::open(Some(ground.dir.path()));
        let planned = calendar(&files, &ground.course).unwrap();
        let reading = Reading::new(&ground.course, &planned, &ground.world);
        let (mut requests, mut others) = (Vec::new(), Vec::new());
        for (seq, line) in ground.lines(topic) {
            match reading.request(seq, line.as_bytes()) {
                Some(request) => requests.push(request),
                None => others.push(line),
            }
        }
        // One that was killed does not end at the same line as another.
        let is_behind = |line: &String| Record::parse(line).is_ok_and(|record| record.time >= at(END));
        let end = others
            .iter()
            .position(is_behind)
            .expect("the stream goes on to the end");
        others.truncate(end);
        Self { requests, others }
    }

    /// The records of other lines between two moments; those that do not read are left out.
    fn between(&self, from: &str, until: &str) -> Vec<Record> {
        let (from, until) = (at(from), at(until));
        let read = self.others.iter().filter_map(|line| Record::parse(line).ok());
        read.filter(|record| from <= record.time && record.time < until)
            .collect()
    }
}

/// The share of what is begun that is of a genre.
fn share(ground: &Ground, records: &[Record], genre: Genre) -> f64 {
    let begun: Vec<bool> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Watch { movie, minute: 0 } => {
                let index = ground.world.movie_index(movie)?;
                Some(ground.world.movie(index).genres.iter().any(|of| of == genre))
            }
            _ => None,
        })
        .collect();
    assert!(begun.len() > 100, "{}", begun.len());
    begun.iter().filter(|is| **is).count() as f64 / begun.len() as f64
}

/// The share of minutes whose minute before stands nowhere.
fn orphans(told: &Told, from: &str, until: &str) -> f64 {
    let all: BTreeSet<(u32, String, u32)> = told
        .between("20:00", END)
        .into_iter()
        .filter_map(|record| match record.event {
            Event::Watch { movie, minute } => Some((record.user, movie, minute)),
            _ => None,
        })
        .collect();
    let later: Vec<(u32, String, u32)> = told
        .between(from, until)
        .into_iter()
        .filter_map(|record| match record.event {
            Event::Watch { movie, minute } if minute > 0 => Some((record.user, movie, minute - 1)),
            _ => None,
        })
        .collect();
    let alone = later.iter().filter(|before| !all.contains(before)).count();
    alone as f64 / later.len() as f64
}

#[test]
fn what_the_calendar_has_is_played_at_its_time_and_a_kill_in_the_middle_changes_no_line() {
    let grounds = [(); 2].map(|()| Ground::with(60, "", &evening()));
    std::thread::scope(|scope| {
        scope.spawn(|| play(&grounds[0], &[]));
        play(&grounds[1], &["20:55", "21:30", "21:55"]);
    });
    let ground = &grounds[1];
    // What stands in the stream of a service that is gone follows from the seed and the calendar alone.
    let [alone, told] = [0, 1].map(|place| Told::of(&grounds[place], "movielog9"));
    assert!(told.others.len() > 5_000, "{}", told.others.len());
    assert!(alone.others == told.others, "a kill changed a line");
    lines_are_as_the_calendar_has_them(ground, &told);

    let mut store = Store::open(ground.state().join("store.sqlite").to_str().unwrap()).unwrap();
    let titles = Titles(Arc::clone(&ground.world));
    for (number, topic) in [(1, "movielog1"), (9, "movielog9")] {
        let stored = store
            .requests(number, (SimTime(0), SimTime(i64::MAX)), &titles)
            .unwrap();
        let told = Told::of(ground, topic);
        assert!(stored.len() > 500, "{}", stored.len());
        let first = (0..stored.len()).find(|place| told.requests.get(*place) != stored.get(*place));
        if let Some(first) = first {
            panic!(
                "{topic}: damage hides a request: {:?} is {:?} in the store",
                told.requests.get(first),
                stored[first]
            );
        }
        assert_eq!(told.requests.len(), stored.len(), "{topic}");
    }
    let played = store.incidents().unwrap();
    let truth = |name: &str| -> Value {
        let played = played.iter().find(|played| played.name == format!("m3/{name}"));
        serde_json::from_str(&played.unwrap().truth).unwrap()
    };
    assert_eq!(played.len(), EVENING.len(), "each is noted once: {played:?}");
    assert_eq!(truth("ghosts")["genre"], "Horror");
    assert_eq!(truth("deaf")["part"], "stream");
    let owls = Told::of(ground, "movielog1");
    let withdrawn = truth("court")["movie"].as_str().unwrap().to_owned();
    let had = owls.requests.iter().filter(|request| match &request.event {
        Event::Recommend { result, .. } => result.split(", ").any(|id| id == withdrawn),
        _ => false,
    });
    assert!(had.count() > 100, "what is withdrawn was recommended much");
    pushed(&owls, &truth("pushed"));
    drop(store);
    teams_responded(ground, &withdrawn);
    let submitted = "2026-09-01T21:30";
    let live = ground.grade(submitted, &["--live".to_owned()]);
    assert_eq!(live, ground.grade(submitted, &ground.streams()));
}

/// What the report says of an evening: who is there answers all the time and goes on recommending what is withdrawn, who obeys
/// pays with some requests and is well again, who is gone loses everything; the store and the stream agree.
fn teams_responded(ground: &Ground, withdrawn: &str) {
    let told = |words: &[String]| -> Value {
        let done = Command::new(env!("CARGO_BIN_EXE_reelworld"))
            .arg("--course")
            .arg(ground.dir.path())
            .args(["incidents", "--json", "--state"])
            .arg(ground.state())
            .args(words)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let all = told(&[]);
    assert_eq!(all, told(&ground.streams()));
    let incidents = all["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), EVENING.len());
    let find = |name: &str| {
        let is = |row: &&Value| row["name"] == format!("m3/{name}");
        incidents.iter().find(is).unwrap()
    };
    let court = find("court");
    assert_eq!(
        (&court["truth"]["movie"], &court["is_over"]),
        (&json!(withdrawn), &json!(false))
    );
    let [owls, gone, herons] = ["owls", "gone", "herons"].map(|name| {
        let teams = court["teams"].as_array().unwrap().iter();
        teams.clone().find(|team| team["team"] == name).unwrap()
    });
    let count = |row: &Value, part: &str, key: &str| row[part][key].as_u64().unwrap();
    assert!(count(owls, "during", "well") > 300, "{owls}");
    assert!(count(&owls["movie"], "after", "with_the_movie") > 200, "{owls}");
    assert_eq!(owls["recovered_s"], 0.0, "{owls}");
    assert_eq!(owls["new_model_s"], Value::Null, "{owls}");
    // Everybody's lists are the same popular ones until it is told.
    assert!(
        count(&herons["movie"], "before", "with_the_movie") > 0,
        "{herons}"
    );
    // What is withdrawn is decided by what is saved, every five seconds: up to fifty minutes of this evening later.
    let after = |key: &str| count(&herons["movie"], "after", key);
    assert!(
        after("lists") > 100 && after("with_the_movie") * 2 < after("lists"),
        "{herons}"
    );
    let seconds = |row: &Value, key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{row}"));
    let last = |row: &Value| seconds(&row["movie"], "last_s");
    assert!(last(herons) < last(owls) * 0.75, "{herons} {owls}");
    assert!(
        count(herons, "during", "asked") - count(herons, "during", "well") >= 60,
        "{herons}"
    );
    assert!(seconds(herons, "recovered_s") > 0.0, "{herons}");
    assert!(seconds(herons, "new_model_s") > 0.0, "{herons}");
    assert_eq!(
        (count(gone, "during", "well"), &gone["recovered_s"]),
        (0, &Value::Null)
    );
    assert_eq!(
        gone["lost"].as_u64(),
        Some(count(gone, "during", "asked")),
        "{gone}"
    );
    let pushed = find("pushed");
    assert_eq!(pushed["truth"]["accounts"].as_array().unwrap().len(), 60);
    let only = told(&["--only", "m3/deaf", "--team", "owls"].map(str::to_owned));
    assert_eq!(only["incidents"].as_array().unwrap().len(), 1, "{only}");
    assert_eq!(
        only["incidents"][0]["teams"].as_array().unwrap().len(),
        1,
        "{only}"
    );
}

fn lines_are_as_the_calendar_has_them(ground: &Ground, told: &Told) {
    let horror = Genre::all().find(|genre| genre.name() == "Horror").unwrap();
    let before = share(ground, &told.between("20:20", "21:00"), horror);
    let during = share(ground, &told.between("22:10", END), horror);
    assert!(during > before + 0.3, "{before} {during}");

    let mut latest = SimTime(0);
    for record in told.between("20:00", END) {
        let is_late = record.time.plus_seconds(300) < latest;
        let may_be = at("20:40") <= record.time && record.time < at("21:00");
        assert!(!is_late || may_be, "{record:?}");
        latest = latest.max(record.time);
    }
    let twice = |from: &str, until: &str| {
        let records = told.between(from, until);
        let pairs = records.windows(2).filter(|pair| pair[0] == pair[1]).count();
        pairs as f64 / records.len() as f64
    };
    assert!((0.25..0.42).contains(&twice("21:00", "21:20")));
    assert_eq!((twice("20:20", "21:00"), twice("22:10", END)), (0.0, 0.0));
    assert!((0.3..0.7).contains(&orphans(told, "21:25", "21:35")));
    assert_eq!(orphans(told, "22:20", END), 0.0);
    let unreadable = told.others.iter().filter(|line| Record::parse(line).is_err());
    let semicolons = |line: &&String| line.as_bytes().get(19) == Some(&b';');
    assert!(unreadable.clone().filter(semicolons).count() > 500);
    assert!(unreadable.filter(|line| !semicolons(line)).count() > 50);
    assert!(
        told.between("21:40", "22:00").is_empty(),
        "every line has another form"
    );
}

/// The accounts of the attack push its movie, and do nothing else but what an account does.
fn pushed(told: &Told, truth: &Value) {
    let accounts: BTreeSet<u64> = truth["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_u64)
        .collect();
    assert_eq!(accounts.len(), 60);
    // Whatever form the lines have at the time.
    let rating = format!("/rate/{}=5", truth["movie"].as_str().unwrap());
    let stuffed: Vec<&String> = told
        .others
        .iter()
        .filter(|line| line.contains(&rating))
        .filter(|line| {
            let user = line.split([',', ';']).nth(1).and_then(|user| user.parse().ok());
            user.is_some_and(|user: u64| accounts.contains(&user))
        })
        .collect();
    // Half of them come with a first movie, and the noise of the evening hits some.
    assert!((15..=60).contains(&stuffed.len()), "{stuffed:?}");
    let asked = |request: &&Record| {
        let is_meanwhile = at("20:55") < request.time && request.time < at("22:00");
        accounts.contains(&u64::from(request.user)) && is_meanwhile
    };
    assert_eq!(told.requests.iter().filter(asked).count(), 0);
}
