//! The open company, with a real service behind it: killed at any moment, it neither loses nor repeats an event.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reelworld::clock::Clock;
use reelworld::course::{Course, CourseFiles};
use reelworld::event::{Event, Record, SimTime};
use reelworld::release::{Release, ReleaseSpec};
use reelworld::seed::Key;
use reelworld::server::Titles;
use reelworld::store::Store;
use reelworld::stream::{Archive, At, Page, Reader, TopicName};
use reelworld::telemetry::parse_exposition;
use reelworld::world::World;

/// How long anything of this may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that is ended with the test.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A course with three teams: one has a Python service of the zoo, one a service that does as it is told, one nothing at its
/// address.
pub(super) struct Ground {
    pub(super) dir: tempfile::TempDir,
    pub(super) course: Course,
    pub(super) world: Arc<World>,
    _services: Vec<Running>,
}

/// A team of such a course.
pub(super) struct Deployed {
    /// Its name, and its number where it is not its place.
    pub(super) name: &'static str,
    pub(super) number: u32,
    /// The folder of `fixtures/` whose service it runs; none if there is nothing at its address.
    pub(super) service: Option<&'static str>,
    /// Where its model is asked for, and where a movie is withdrawn.
    pub(super) routes: &'static str,
}

/// The teams of most tests.
pub(super) const USUAL: [Deployed; 3] = [
    Deployed {
        name: "owls",
        number: 1,
        service: Some("services/popular"),
        routes: "model_path = '/recommend/1'\ntakedown = '/takedown/{movie}'\n",
    },
    Deployed {
        name: "gone",
        number: 9,
        service: None,
        routes: "",
    },
    Deployed {
        name: "herons",
        number: 4,
        service: Some("live/herons"),
        routes: "model_path = '/model'\ntakedown = '/takedown/{movie}'\n",
    },
];

/// What is odd about the stream of most tests.
const QUIRKS: &str =
    "[[quirk]]\nkind = 'inserted'\nshare = 0.02\n[[quirk]]\nkind = 'implausible'\nshare = 0.01\n";
/// From an hour before it opens until long after it is closed.
const ALWAYS: &str = "from = '2026-09-01T19:00'\nuntil = '2026-10-01'\n";

impl Ground {
    pub(super) fn new() -> Self {
        let down = format!("[[incident]]\nname = 'down'\nkind = 'api_outage'\nhow = 'error'\n{ALWAYS}");
        let nonsense = format!("[[incident]]\nname = 'nonsense'\nkind = 'bad_requests'\nrate = 5\n{ALWAYS}");
        Self::with(12, QUIRKS, &(down + &nonsense))
    }

    /// As many requests a second, quirks and incidents as a test wants.
    pub(super) fn with(requests_per_s: u32, quirks: &str, incidents: &str) -> Self {
        Self::of(&USUAL, 3000, requests_per_s, (quirks, incidents))
    }

    /// With teams and as many users as a test wants.
    pub(super) fn of(
        teams: &[Deployed],
        users: u32,
        requests_per_s: u32,
        (quirks, incidents): (&str, &str),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Nobody's connection takes a port of another address by chance.
        let bound = |host: &str| TcpListener::bind(format!("{host}:0"));
        let held: Vec<TcpListener> = teams
            .iter()
            .map(|team| match team.service {
                Some(_) => bound("127.0.0.1").unwrap(),
                None => bound("127.0.0.2").or_else(|_| bound("127.0.0.1")).unwrap(),
            })
            .collect();
        let addresses: Vec<SocketAddr> = held
            .into_iter()
            .map(|listener| listener.local_addr().unwrap())
            .collect();
        let mut text = format!(
            "schema = 'reelworld/course/v1'\nname = 'Small & <quick>'\n[world]\nusers = {users}\nmovies = 200\n\
             [live]\nrequests_per_s = {requests_per_s}\ncheckpoint_s = 2\nmodel_s = 1\n\
             [calendar]\ntimezone = 'America/New_York'\nstart = '2026-08-31'\n{quirks}\n"
        );
        for (team, address) in teams.iter().zip(&addresses) {
            let Deployed {
                name, number, routes, ..
            } = team;
            text.push_str(&format!(
                "[[team]]\nname = '{name}'\nnumber = {number}\naddress = '{address}'\n{routes}"
            ));
        }
        fs::write(dir.path().join("course.toml"), text).unwrap();
        let incidents = format!("schema = 'reelworld/incidents/v1'\n{incidents}");
        let m3 = dir.path().join("assignments/m3");
        fs::create_dir_all(&m3).unwrap();
        fs::write(m3.join("incidents.toml"), incidents).unwrap();
        let course = CourseFiles::open(Some(dir.path())).course().unwrap();
        let world = World::new(&course.key, course.world, 2).with_habits(course.habits.clone());
        let spec = ReleaseSpec {
            users: 200,
            days: 3,
            heldout_days: 1,
        };
        let data = dir.path().join("data");
        Release::make(&world, &course.key, spec, 2)
            .write(&world, &data)
            .unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let serving: Vec<(&str, SocketAddr)> = teams
            .iter()
            .zip(&addresses)
            .filter_map(|(team, address)| Some((team.service?, *address)))
            .collect();
        let services = serving.iter().map(|(folder, address)| {
            let child = Command::new("python3")
                .arg("service.py")
                .current_dir(fixtures.join(folder))
                .env("PORT", address.port().to_string())
                .env("REELWORLD_DATA", &data)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            Running(child.unwrap())
        });
        let ground = Self {
            dir,
            course,
            world: Arc::new(world),
            _services: services.collect(),
        };
        for (_, address) in serving {
            wait("the service listens", || TcpStream::connect(address).is_ok());
        }
        ground
    }

    pub(super) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Opens the company, and returns it with the address of its pages.
    pub(super) fn open(&self) -> (Running, SocketAddr) {
        self.open_with(&[])
    }

    /// Opens it with more words.
    pub(super) fn open_with(&self, words: &[&str]) -> (Running, SocketAddr) {
        self.open_in(words, &[])
    }

    /// Opens it with more words and more of an environment.
    pub(super) fn open_in(&self, words: &[&str], environment: &[(&str, &str)]) -> (Running, SocketAddr) {
        let log = self.dir.path().join("server.log");
        let usual: &[&str] = if words.contains(&"--speed") {
            &[]
        } else {
            &["--speed", "60"]
        };
        let mut child = Command::new(env!("CARGO_BIN_EXE_reelworld"))
            .arg("--course")
            .arg(self.dir.path())
            .args([
                "serve",
                "--at",
                "2026-09-01T20:00",
                "--pages",
                "127.0.0.1:0",
                "--api",
                "127.0.0.1:0",
            ])
            .args(usual)
            .arg("--state")
            .arg(self.state())
            .args(words)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let server = Running(child);
        let mut told = String::new();
        loop {
            let mut line = String::new();
            assert!(
                lines.read_line(&mut line).unwrap() > 0,
                "it did not open:\n{told}"
            );
            told.push_str(&line);
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_ne!(value["event"], "resumed apart", "{line}");
            assert_ne!(value["event"], "begun anew", "{line}");
            if value["event"] == "open" {
                let pages = value["pages"].as_str().unwrap().parse().unwrap();
                for door in ["api", "kafka"] {
                    let address = value[door].as_str().unwrap_or_default();
                    fs::write(self.dir.path().join(door), address).unwrap();
                }
                // The rest is read by somebody, or the server would wait for a reader.
                std::thread::spawn(move || {
                    let mut rest = Vec::new();
                    drop(lines.read_to_end(&mut rest));
                    drop(File::create(log).and_then(|mut file| file.write_all(&rest)));
                });
                return (server, pages);
            }
        }
    }

    /// Returns the address of the API or of the broker of the server that was opened last.
    pub(super) fn door(&self, name: &str) -> SocketAddr {
        let address = fs::read_to_string(self.dir.path().join(name)).unwrap();
        address.parse().unwrap()
    }

    pub(super) fn streams(&self) -> [String; 2] {
        let streams = self.state().join("streams");
        ["--from-log".to_owned(), streams.display().to_string()]
    }

    /// Grades M1 by the windows around a moment, and returns the class with what two cards say.
    pub(super) fn grade(&self, submitted: &str, from: &[String]) -> serde_json::Value {
        self.grade_of("m1", &["owls", "gone"], submitted, from)
    }

    /// Grades a milestone by the windows around a moment, and returns the class with what the cards of teams say.
    pub(super) fn grade_of(
        &self,
        milestone: &str,
        teams: &[&str],
        submitted: &str,
        from: &[String],
    ) -> serde_json::Value {
        let out = self.dir.path().join("graded").join(milestone);
        let done = Command::new(env!("CARGO_BIN_EXE_reelworld"))
            .arg("--course")
            .arg(self.dir.path())
            .args(["grade", milestone, "--json", "--submitted", submitted])
            .args(from)
            .arg("--state")
            .arg(self.state())
            .arg("--out")
            .arg(&out)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(matches!(done.status.code(), Some(1 | 3)), "{told}");
        let read = |file: PathBuf| -> serde_json::Value {
            let mut value: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            value.as_object_mut().unwrap().remove("started_at");
            value
        };
        let cards: Vec<serde_json::Value> = teams
            .iter()
            .map(|team| read(out.join(team).join("report.json")))
            .collect();
        serde_json::json!({"class": read(out.join("class.json")), "cards": cards})
    }

    fn grades_from_store_and_stream_agree(&self) {
        let submitted = "2026-09-02T20:00";
        let live = self.grade(submitted, &["--live".to_owned()]);
        assert_eq!(live, self.grade(submitted, &self.streams()));
        let mut store = Store::open(self.state().join("store.sqlite").to_str().unwrap()).unwrap();
        let titles = Titles(Arc::clone(&self.world));
        for (place, number) in [(0, 1), (1, 9)] {
            let span = (SimTime(0), SimTime(i64::MAX));
            let stored = store.requests(number, span, &titles).unwrap();
            let answered = stored
                .iter()
                .filter(|record| matches!(record.event, Event::Recommend { status: 200, millis, .. } if millis <= 800))
                .count();
            let card = &live["cards"][place];
            let answers = card["measures"]
                .as_array()
                .unwrap()
                .iter()
                .find(|row| row["id"] == "answers.count")
                .unwrap();
            // The side before the submission holds all, as the company has not played on to it.
            assert_eq!(answers["finding"]["value"], answered as f64, "{card}");
            assert_eq!(answered > 0, number == 1);
            let criteria = card["criteria"].as_array().unwrap();
            let volume = criteria
                .iter()
                .find(|row| row["id"] == "m1.stream.volume")
                .unwrap();
            // Decided by the record alone, and not at all where fewer were asked than are wanted.
            let wanted = match (stored.len(), answered) {
                (..2_000, _) => "no_verdict",
                (_, 2_000..) => "pass",
                _ => "fail",
            };
            assert_eq!(volume["verdict"], wanted, "{volume}");
            assert!(card["notes"].to_string().contains("the record ends at"), "{card}");
        }
    }

    /// Asserts that the streams have every event once, and the store what they have; returns the store.
    pub(super) fn is_whole(&self, least: usize) -> Store {
        let mut store = Store::open(self.state().join("store.sqlite").to_str().unwrap()).unwrap();
        for (number, topic) in [(1, "movielog1"), (9, "movielog9")] {
            let lines = self.lines(topic);
            assert!(lines.len() > least, "{topic} has {} lines", lines.len());
            for (place, (seq, _)) in lines.iter().enumerate() {
                assert_eq!(*seq, place as u64, "{topic} has every number once");
            }
            let records: Vec<Record> = lines
                .iter()
                .filter_map(|(_, line)| Record::parse(line).ok())
                .collect();
            assert!(
                records.len() * 100 >= lines.len() * 95,
                "few lines have a character too many"
            );
            every_minute_once(&records, least / 2);
            let all = (SimTime(0), SimTime(i64::MAX));
            let stored = store
                .requests(number, all, &Titles(Arc::clone(&self.world)))
                .unwrap();
            the_same_requests(&stored, &lines);
            assert_eq!(store.counted(number).unwrap(), lines.len() as u64);
        }
        store
    }

    pub(super) fn lines(&self, topic: &str) -> Vec<(u64, String)> {
        let clock = Clock::start();
        let archive = Archive::new(self.state().join("streams"));
        let mut reader = archive.reader(&TopicName::new(topic).unwrap(), clock).unwrap();
        reader.seek(At::Start).unwrap();
        let (mut page, mut all) = (Page::default(), Vec::new());
        while reader.read(&mut page, Duration::ZERO).unwrap() > 0 {
            all.extend(
                page.entries()
                    .map(|entry| (entry.seq, String::from_utf8_lossy(entry.line).into_owned())),
            );
        }
        all
    }
}

/// After how many lines each server is killed: four times, or as often as whoever rehearses a semester wants, by
/// `REELWORLD_KILLS=200`. Not a round number of ticks, saves or checkpoints: each is killed in the middle of something else.
fn kills() -> Vec<f64> {
    #[expect(clippy::disallowed_methods, reason = "who runs the test by hand says so")]
    let wanted = std::env::var("REELWORLD_KILLS").map_or(4, |count| count.parse().unwrap());
    let mut draws = Key::from_seed(5).branch("kills").at(0);
    let first = [150.0, 900.0, 400.0, 1_300.0].into_iter();
    first
        .chain(std::iter::repeat_with(|| draws.below(900) as f64))
        .take(wanted)
        .collect()
}

pub(super) fn wait(what: &str, is: impl FnMut() -> bool) {
    wait_for(PATIENCE, what, is);
}

/// Waits longer than usual.
pub(super) fn wait_for(patience: Duration, what: &str, mut is: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !is() {
        assert!(clock.elapsed() < patience, "{what}: not within {patience:?}");
        clock.sleep(Duration::from_millis(20));
    }
}

pub(super) fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n")?.1.to_owned();
    Some((status, body))
}

/// Returns a figure of the server.
pub(super) fn figure(pages: SocketAddr, name: &str) -> f64 {
    let page = get(pages, "/metrics").map_or_else(String::new, |(_, page)| page);
    page.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or(0.0)
}

#[test]
fn a_server_that_is_killed_at_any_moment_neither_loses_nor_repeats_an_event() {
    let ground = Ground::new();
    let lines_of_owls = "reelworld_lines_total{team=\"owls\"}";
    for lines in kills() {
        let (server, pages) = ground.open();
        wait("it publishes", || figure(pages, lines_of_owls) >= lines);
        kill(Pid::from_raw(server.0.id() as i32), Signal::SIGKILL).unwrap();
    }
    // A window that is over: what it says does not change any more, whatever happens to the server.
    let over = "2026-08-31T20:05";
    let before = ground.grade(over, &ground.streams());
    let (mut server, pages) = ground.open_with(&["--broker", "127.0.0.1:0"]);
    wait("it answers", || {
        figure(pages, "reelworld_requests_ok_total{team=\"owls\"}") >= 20.0
    });
    wait("it fails", || {
        figure(pages, "reelworld_requests_total{team=\"gone\"}") >= 20.0
    });
    look_at(pages, &ground);
    kill(Pid::from_raw(server.0.id() as i32), Signal::SIGTERM).unwrap();
    assert!(server.0.wait().unwrap().success());
    let mut store = ground.is_whole(2_000);
    assert!(!store.sightings(1).unwrap().is_empty());
    let run: Vec<String> = store
        .incidents()
        .unwrap()
        .into_iter()
        .map(|played| played.name)
        .collect();
    assert_eq!(run, ["m3/down", "m3/nonsense"], "each is noted once");
    drop(store);
    let after = ground.grade(over, &["--live".to_owned()]);
    assert_eq!(before, after, "a kill changed a grade");
    ground.grades_from_store_and_stream_agree();
}

/// The minutes of a viewing come one after the other, once each; a line that has an oddity may tell of another one.
fn every_minute_once(records: &[Record], least: usize) {
    let mut seen: BTreeMap<(u32, &str, i64), u32> = BTreeMap::new();
    let mut begun: BTreeMap<(u32, &str), i64> = BTreeMap::new();
    let mut apart = 0;
    for record in records {
        if let Event::Watch { movie, minute } = &record.event {
            let begin = record.time.seconds() - i64::from(*minute) * 60;
            *seen
                .entry((record.user, movie, record.time.seconds()))
                .or_default() += 1;
            let before = begun.insert((record.user, movie.as_str()), begin);
            apart += usize::from(*minute > 0 && before.is_some_and(|before| before != begin));
        }
    }
    assert!(seen.len() > least);
    assert!(apart * 100 <= seen.len(), "{apart} of {}", seen.len());
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// The store has the requests of the stream, in their order; those that the stream has with a character too many as well.
fn the_same_requests(stored: &[Record], lines: &[(u64, String)]) {
    let told: Vec<&String> = lines
        .iter()
        .map(|(_, line)| line)
        .filter(|line| line.contains("status ") || line.contains("recommendation request"))
        .collect();
    assert_eq!(stored.len(), told.len());
    let mut whole = 0;
    for (stored, line) in stored.iter().zip(told) {
        if let Ok(record) = Record::parse(line) {
            // A character that was put into a result leaves a line that reads.
            whole += usize::from(record == *stored);
        }
    }
    assert!(whole * 100 >= stored.len() * 95, "{whole} of {}", stored.len());
}

fn look_at(pages: SocketAddr, ground: &Ground) {
    let (status, page) = get(pages, "/").unwrap();
    assert_eq!(status, 200);
    assert!(
        page.contains("Small &amp; &lt;quick&gt;") && page.contains("owls"),
        "{page}"
    );
    let (status, health) = get(pages, "/health").unwrap();
    assert_eq!((status, health.contains("\"ok\"")), (200, true), "{health}");
    assert!(page.contains("the API answers 503"), "{page}");
    let api = ground.door("api");
    assert_eq!(get(api, "/user/1").unwrap().0, 503);
    assert_eq!(get(api, "/health").unwrap().0, 200);
    let (_, metrics) = get(pages, "/metrics").unwrap();
    assert!(parse_exposition(&metrics).is_ok(), "{metrics}");
    let team = &ground.course.teams[0];
    let token = team.token(&ground.course.key);
    assert_eq!(get(pages, "/team/owls").unwrap().0, 404);
    let (status, own) = get(pages, &format!("/team/owls?token={token}")).unwrap();
    assert_eq!((status, own.contains("movielog1")), (200, true), "{own}");
}

#[cfg(feature = "kafka")]
mod with_kafka {
    //! The same with Apache Kafka behind the server, which is killed as the server is.

    use reelworld::stream::KafkaSettings;

    use super::*;

    /// How often the broker is killed: once, or as often as whoever rehearses a semester wants, by `REELWORLD_RESTARTS=20`.
    fn restarts() -> usize {
        #[expect(clippy::disallowed_methods, reason = "who runs the test by hand says so")]
        std::env::var("REELWORLD_RESTARTS").map_or(1, |count| count.parse().unwrap())
    }

    #[test]
    fn kafka_has_every_line_of_the_archive_once_however_often_server_and_broker_are_killed() {
        let Some(node) = crate::kafka::Node::start() else {
            return;
        };
        let ground = Ground::new();
        let words = ["--kafka", node.server()];
        let lines_of_owls = "reelworld_lines_total{team=\"owls\"}";
        let behind = "reelworld_kafka_behind_lines{topic=\"movielog1\"}";
        for round in 0..=2 * restarts() {
            let (server, pages) = ground.open_with(&words);
            wait("it publishes", || figure(pages, lines_of_owls) >= 400.0);
            if round % 2 == 1 {
                node.kill();
                wait("the page says so", || {
                    get(pages, "/health")
                        .is_some_and(|(status, told)| status == 503 && told.contains("is not carried on"))
                });
                // Long before as much is on its way as may be: more lines keep coming, and it takes them.
                let waiting = figure(pages, behind);
                assert!(0.0 < waiting && waiting < 10_000.0, "{waiting} lines wait");
                node.go_on();
                wait("it has caught up", || {
                    figure(pages, "reelworld_up") == 1.0 && figure(pages, behind) < 2_000.0
                });
            }
            kill(Pid::from_raw(server.0.id() as i32), Signal::SIGKILL).unwrap();
        }
        let (mut server, pages) = ground.open_with(&words);
        wait("it has caught up", || {
            figure(pages, lines_of_owls) >= 100.0 && figure(pages, behind) < 2_000.0
        });
        kill(Pid::from_raw(server.0.id() as i32), Signal::SIGTERM).unwrap();
        assert!(server.0.wait().unwrap().success());
        kafka_has_the_archive(&ground, node.server());
        let submitted = "2026-09-02T20:00";
        let kafka = ["--from-log".to_owned(), format!("kafka://{}", node.server())];
        assert_eq!(
            ground.grade(submitted, &["--live".to_owned()]),
            ground.grade(submitted, &kafka)
        );
        a_backup_catches_up(&ground, node.server());
    }

    fn kafka_has_the_archive(ground: &Ground, server: &str) {
        let clock = Clock::start();
        for topic in ["movielog1", "movielog9"] {
            let settings = KafkaSettings::new(server);
            let mut reader = settings.reader(&TopicName::new(topic).unwrap(), clock).unwrap();
            let end = reader.bounds().unwrap().end;
            let (mut page, mut carried) = (Page::default(), Vec::new());
            while reader.position() < end {
                assert!(reader.read(&mut page, PATIENCE).unwrap() > 0, "silence");
                carried.extend(
                    page.entries()
                        .map(|entry| (entry.seq, String::from_utf8_lossy(entry.line).into_owned())),
                );
            }
            assert_eq!(carried, ground.lines(topic));
        }
    }

    /// An older copy of the state gets from Kafka what it has not, and goes on as if nothing had been.
    fn a_backup_catches_up(ground: &Ground, server: &str) {
        let backup = ground.dir.path().join("backup");
        let copy = |from: &Path, to: &Path| {
            let copied = Command::new("cp").arg("-a").args([from, to]).status();
            assert!(copied.unwrap().success());
        };
        copy(&ground.state(), &backup);
        let play = |lines: f64| {
            let (mut running, pages) = ground.open_with(&["--kafka", server]);
            wait("it goes on and catches up", || {
                figure(pages, "reelworld_lines_total{team=\"owls\"}") >= lines
                    && figure(pages, "reelworld_kafka_behind_lines{topic=\"movielog1\"}") < 2_000.0
            });
            kill(Pid::from_raw(running.0.id() as i32), Signal::SIGTERM).unwrap();
            assert!(running.0.wait().unwrap().success());
        };
        play(300.0);
        let before = ground.lines("movielog1");
        fs::remove_dir_all(ground.state()).unwrap();
        copy(&backup, &ground.state());
        assert!(ground.lines("movielog1").len() + 300 <= before.len());
        for topic in ["movielog1", "movielog4", "movielog9"] {
            let replayed = Command::new(env!("CARGO_BIN_EXE_reelworld"))
                .args(["log", "replay"])
                .arg(format!("kafka://{server}/{topic}"))
                .arg("--to")
                .arg(ground.state().join("streams").join(topic))
                .output()
                .unwrap();
            assert!(
                replayed.status.success(),
                "{}",
                String::from_utf8_lossy(&replayed.stderr)
            );
        }
        assert_eq!(ground.lines("movielog1"), before);
        play(100.0);
        assert_eq!(ground.lines("movielog1")[..before.len()], before);
        kafka_has_the_archive(ground, server);
    }
}
