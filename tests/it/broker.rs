//! The embedded broker: whatever comes from outside it answers or closes, and every client that a student would use works.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;
use reelworld::clock::Clock;
use reelworld::stream::{Archive, Broker, BrokerOptions, Publisher, TopicName, WriteOptions, answer_frame};
use serde_json::Value;

/// The lines of the topic that clients read, and what of them they look for by time.
const LINES: u64 = 3000;
const SOUGHT: u64 = 1234;

fn stamp_ms(seq: u64) -> i64 {
    1_700_000_000_000 + seq as i64 * 1000
}

/// Publishes the lines that the clients check: each says its own number where a user's number stands.
fn publish(archive: &Archive, lines: u64) {
    let options = WriteOptions {
        segment_bytes: 50_000,
        ..WriteOptions::default()
    };
    let topic = TopicName::of_team("7").unwrap();
    let mut publisher = archive.publisher(&topic, options, Clock::start()).unwrap();
    for seq in publisher.next_seq()..lines {
        let line = format!(
            "2023-02-08T02:29:01,{seq},GET /data/m/heat+1995/{}.mpg",
            seq % 120
        );
        publisher.publish(stamp_ms(seq), line.as_bytes()).unwrap();
        // Batches of many sizes, some in the packed segments, some in the newest.
        if seq % 97 == 0 {
            publisher.flush().unwrap();
        }
    }
}

fn start(archive: &Archive) -> Broker {
    let options = BrokerOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        advertised: None,
    };
    Broker::start(archive.clone(), &options, Clock::start()).unwrap()
}

fn served() -> (tempfile::TempDir, Broker) {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::new(dir.path().join("archive"));
    publish(&archive, 500);
    let broker = start(&archive);
    (dir, broker)
}

/// A request without its frame's length: key, version, number, no client name, and a body.
fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(7_i32.to_be_bytes());
    frame.extend((-1_i16).to_be_bytes());
    frame.extend(body);
    frame
}

#[test]
fn whatever_is_sent_is_answered_or_refused() {
    let (_dir, broker) = served();
    let keys = proptest::sample::select(vec![
        0_i16, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 22, 32, 60,
    ]);
    // Bytes that stand for lengths of arrays and texts, so that deep fields are reached and claims are large.
    let part = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 1..8),
        1 => Just(i32::MAX.to_be_bytes().to_vec()),
        1 => Just(vec![0xff; 5]),
        2 => Just(1_i32.to_be_bytes().to_vec()),
        1 => Just(b"\0\x09movielog7".to_vec()),
        1 => Just(b"\x0amovielog7".to_vec()),
        2 => Just(vec![0; 4]),
    ];
    let body = proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat());
    let any_frame = proptest::collection::vec(any::<u8>(), 0..64);
    let shaped = (keys, -1..14_i16, body).prop_map(|(key, version, body)| request(key, version, &body));
    let frames = prop_oneof![1 => any_frame, 9 => shaped];
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(4000)
    };
    proptest!(config, |(frame in frames)| {
        if let Some(response) = answer_frame(&broker, &frame) {
            let length = i32::from_be_bytes(response[..4].try_into().unwrap());
            prop_assert_eq!(length as usize, response.len() - 4);
            prop_assert!(response.len() < 9 << 20);
        }
    });
}

#[test]
fn a_version_that_is_too_high_is_answered_in_the_oldest_form() {
    let (_dir, broker) = served();
    let response = answer_frame(&broker, &request(18, 9, &[])).unwrap();
    assert_eq!(response[4..8], 7_i32.to_be_bytes());
    assert_eq!(response[8..10], 35_i16.to_be_bytes());
    assert_eq!(answer_frame(&broker, &request(3, 99, &[])), None);
}

#[test]
fn a_connection_that_claims_too_much_or_says_nothing_harms_nobody() {
    let (_dir, broker) = served();
    let connect = || {
        let socket = TcpStream::connect(broker.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    };
    // Many that say nothing, or half of something.
    let mut silent: Vec<TcpStream> = (0..50).map(|_| connect()).collect();
    for socket in &mut silent {
        socket.write_all(&[0, 0]).unwrap();
    }
    for claim in [i32::MAX, i32::MIN, -1, 3 << 20] {
        let mut socket = connect();
        socket.write_all(&claim.to_be_bytes()).unwrap();
        assert_eq!(socket.read(&mut [0; 8]).unwrap(), 0, "{claim} was not refused");
    }
    let mut good = connect();
    let frame = request(18, 0, &[]);
    good.write_all(&(frame.len() as i32).to_be_bytes()).unwrap();
    good.write_all(&frame).unwrap();
    let mut head = [0; 10];
    good.read_exact(&mut head).unwrap();
    assert_eq!(head[4..10], [0, 0, 0, 7, 0, 0]);
}

#[test]
fn an_archive_has_one_broker_at_a_time() {
    let (dir, broker) = served();
    let archive = Archive::new(dir.path().join("archive"));
    let options = BrokerOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        advertised: None,
    };
    assert!(Broker::start(archive.clone(), &options, Clock::start()).is_err());
    broker.stop().unwrap();
    start(&archive);
}

/// Prints a line that is seen whether the test passes or not.
pub(crate) fn say(line: &str) {
    std::io::stdout()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

/// Where the clients of the matrix are: `fixtures/clients/install.sh` puts them there.
pub(crate) fn clients() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the machine of all tests says where they are"
    )]
    let named = |name: &str| std::env::var(name).ok().map(PathBuf::from);
    let home = named("REELWORLD_CLIENTS").or_else(|| {
        let cache = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
        Some(cache?.join("reelworld/clients"))
    });
    let home = home.filter(|home| home.join("complete").exists());
    if home.is_none() {
        assert!(
            named("CI").is_none(),
            "fixtures/clients/install.sh has not been run"
        );
        say("SKIPPED: the client matrix needs fixtures/clients/install.sh");
    }
    home
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/clients")
        .join(name)
}

/// The clients, and what runs the script of each.
fn programs(home: &Path) -> Vec<(&'static str, Command)> {
    let python = |script: &str| {
        let mut command = Command::new(home.join("venv/bin/python"));
        command.arg(fixture(script));
        command
    };
    let mut node = Command::new("node");
    node.env("NODE_PATH", home.join("node_modules"))
        .arg(fixture("kafkajs_client.js"));
    let mut kcat = Command::new("bash");
    kcat.arg(fixture("kcat.sh"));
    vec![
        ("kafka-python", python("kafka_python_client.py")),
        ("confluent-kafka", python("confluent_kafka_client.py")),
        ("aiokafka", python("aiokafka_client.py")),
        ("kcat", kcat),
        ("kafkajs", node),
    ]
}

const CHECKS: [&str; 4] = ["list", "beginning", "group", "time"];

/// Runs every client against a server, prints the table, and returns what did not pass.
pub(crate) fn matrix(title: &str, home: &Path, server: &str, topic: &str) -> Vec<String> {
    // All at once, as a class would: each waits most of its time.
    let started: Vec<_> = programs(home)
        .into_iter()
        .map(|(name, mut command)| {
            let child = command
                .args([server, topic, &format!("{topic}-{name}")])
                .args([
                    LINES.to_string(),
                    stamp_ms(SOUGHT).to_string(),
                    SOUGHT.to_string(),
                ])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            (name, child)
        })
        .collect();
    let ended =
        |(name, child): (&'static str, std::process::Child)| (name, child.wait_with_output().unwrap());
    let rows: Vec<_> = started.into_iter().map(ended).collect();
    say(&format!(
        "{title:<18}{}",
        CHECKS.map(|check| format!("{check:<11}")).concat()
    ));
    let mut faults = Vec::new();
    for (name, output) in rows {
        let said = String::from_utf8_lossy(&output.stdout);
        let cells = CHECKS.map(|check| {
            let pass = said.lines().any(|line| line == format!("{check} pass"));
            if !pass {
                let why = String::from_utf8_lossy(&output.stderr);
                faults.push(format!("{title}: {name}: {check}\n{why}"));
            }
            format!("{:<11}", if pass { "pass" } else { "FAIL" })
        });
        say(&format!("{name:<18}{}", cells.concat()));
    }
    faults
}

#[test]
fn every_client_of_the_matrix_reads_the_embedded_broker() {
    let Some(home) = clients() else { return };
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::new(dir.path().join("archive"));
    publish(&archive, LINES);
    let broker = start(&archive);
    let faults = matrix("embedded", &home, &broker.address().to_string(), "movielog7");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_students_consumer_reads_a_simulated_stream_and_goes_on_after_a_restart_of_both() {
    let Some(home) = clients() else { return };
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    let simulated = Command::new(env!("CARGO_BIN_EXE_reelworld"))
        .args([
            "simulate", "--users", "400", "--movies", "100", "--hours", "1", "--clean", "--json", "--to",
        ])
        .arg(archive.join("movielog7"))
        .output()
        .unwrap();
    assert!(
        simulated.status.success(),
        "{}",
        String::from_utf8_lossy(&simulated.stderr)
    );
    let counts: Value = serde_json::from_slice(&simulated.stdout).unwrap();
    let events = counts["events"].as_u64().unwrap();
    let (mut said, mut next) = (Vec::new(), 0);
    for stop_after in [events / 3, events - events / 3] {
        // Another port each time: what a group has committed lies with the archive.
        let broker = start(&Archive::new(&archive));
        let output = Command::new(home.join("venv/bin/python"))
            .arg(fixture("student_consumer.py"))
            .args([
                broker.address().to_string(),
                "movielog7".to_owned(),
                stop_after.to_string(),
            ])
            .output()
            .unwrap();
        let counts: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(counts["first"], next);
        next += stop_after;
        said.push(counts);
    }
    let total = |key: &str| {
        said.iter()
            .map(|counts| counts[key].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(total("watched"), counts["watch"]);
    assert_eq!(total("rated"), counts["rate"]);
    assert_eq!(total("recommended"), counts["recommend"]);
    assert_eq!(total("skipped"), 0);
}

/// Runs the program, and returns what it printed.
fn reelworld(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_reelworld"))
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_simulated_topic_holds_what_the_file_does_and_is_printed_searched_and_carried_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let small = [
        "simulate", "--users", "300", "--movies", "100", "--hours", "0.5", "--clean",
    ];
    let (file, topic, copy) = (path("log.csv"), path("archive/movielog7"), path("copy/movielog7"));
    reelworld(&[&small[..], &["--out", &file]].concat());
    reelworld(&[&small[..], &["--to", &topic]].concat());
    let lines = fs::read_to_string(&file).unwrap();
    assert_eq!(reelworld(&["log", "cat", &topic]), lines);
    // The same command again finds everything there.
    reelworld(&[&small[..], &["--to", &topic]].concat());
    assert_eq!(reelworld(&["log", "cat", &topic]), lines);
    let rated: String = lines
        .lines()
        .filter(|line| line.contains("/rate/"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(!rated.is_empty());
    assert_eq!(reelworld(&["log", "grep", "GET /rate/", &topic]), rated);
    let tenth = lines.lines().nth(10).unwrap();
    assert_eq!(
        reelworld(&["log", "cat", &topic, "--from", "10", "--limit", "1"]),
        format!("{tenth}\n")
    );
    for carried in [lines.lines().count(), 0] {
        let text = reelworld(&["log", "replay", &topic, "--to", &copy, "--json"]);
        let said: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(said["events"], carried);
        assert_eq!(reelworld(&["log", "cat", &copy]), lines);
    }
    let json = reelworld(&["log", "cat", &copy, "--limit", "1", "--json"]);
    let first: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(first["line"], lines.lines().next().unwrap());
}
