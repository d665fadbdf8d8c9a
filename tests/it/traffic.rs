//! The driver against services that misbehave on real sockets.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reelworld::clock::Clock;
use reelworld::exchange::{Exchange, Outcome, Phase, Planned, RequestKind};
use reelworld::stand_in::{Answers, StandIn};
use reelworld::traffic::{DriveOptions, DriveReport, Target, drive};

/// The driver's error in these tests: none but the system's.
#[derive(Debug)]
struct Io;

impl From<std::io::Error> for Io {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

fn catalogue() -> BTreeSet<String> {
    (0..40).map(|number| format!("movie+{number}+2000")).collect()
}

fn list() -> Vec<String> {
    catalogue().into_iter().take(20).collect()
}

fn plan(count: u32, gap_ms: u64) -> Vec<Planned> {
    (0..count)
        .map(|seq| Planned {
            seq,
            intended_ns: u64::from(seq) * gap_ms * 1_000_000,
            phase: Phase::Steady,
            kind: RequestKind::Known,
            path: format!("/recommend/{seq}"),
            user: Some(seq),
        })
        .collect()
}

fn run(address: std::net::SocketAddr, plan: &[Planned], deadline_ms: u64) -> (Vec<Exchange>, DriveReport) {
    let options = DriveOptions {
        target: Target {
            address,
            host: address.to_string(),
            sockets: None,
        },
        deadline: Duration::from_millis(deadline_ms),
        peak_rate: 100.0,
    };
    let mut all = Vec::new();
    let report = drive(
        plan,
        &options,
        &catalogue(),
        Clock::start(),
        &AtomicBool::new(false),
        &mut |exchange| {
            all.push(exchange);
            Ok::<(), Io>(())
        },
    );
    (all, report.unwrap())
}

/// A server that reads one request after another and lets `reply` write the answer; false ends the connection.
fn server(reply: impl Fn(&mut TcpStream, usize) -> bool + Send + Sync + 'static) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reply = Arc::new(reply);
    let calls = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), reply, calls) = (stream, Arc::clone(&reply), Arc::clone(&calls)) else {
                return;
            };
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                loop {
                    let mut lines = 0;
                    let mut line = String::new();
                    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                        lines += 1;
                        line.clear();
                    }
                    if lines == 0 || !reply(&mut stream, calls.fetch_add(1, Ordering::Relaxed)) {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn good() -> String {
    let body = list().join(",");
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_good_service_is_answered_well_over_few_connections() {
    let service = StandIn::start(Answers::Same(list())).unwrap();
    let (all, report) = run(service.address(), &plan(200, 3), 2_000);
    assert_eq!(all.len(), 200);
    assert!(
        all.iter().all(|exchange| exchange.ids().is_some()),
        "{:?}",
        all[0]
    );
    assert_eq!(report.dispatched, 200);
    assert!(report.connections < 100, "{report:?}");
}

#[test]
fn each_way_to_break_an_answer_is_an_outcome_of_its_own_and_costs_bounded_work() {
    type Reply = fn(&mut TcpStream, usize) -> bool;
    let cases: Vec<(&str, Reply)> = vec![
        ("no answer in time", |_, _| {
            std::thread::park_timeout(Duration::from_secs(5));
            false
        }),
        ("connection failed", |_, _| false),
        ("unreadable answer", |stream, _| {
            // One gigabyte is announced, and sent for as long as anybody reads.
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n"));
            while stream.write_all(&[b'a'; 8192]).is_ok() {}
            false
        }),
        ("unreadable answer", |stream, _| {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\n"));
            while stream
                .write_all(b"x-header: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
                .is_ok()
            {}
            false
        }),
        ("unreadable answer", |stream, _| {
            drop(stream.write_all(b"HELLO I AM NO HTTP\r\n\r\n"));
            false
        }),
        ("unreadable answer", |stream, _| {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nshort"));
            false
        }),
        ("status 302", |stream, _| {
            drop(stream.write_all(
                b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            ));
            true
        }),
        ("not UTF-8", |stream, _| {
            drop(stream.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\xff",
            ));
            true
        }),
    ];
    for (label, reply) in cases {
        let (all, _) = run(server(reply), &plan(3, 1), 700);
        assert_eq!(all.len(), 3, "{label}");
        for exchange in all {
            assert_eq!(exchange.outcome.label(), label, "{:?}", exchange.outcome);
        }
    }
}

#[test]
fn a_port_where_nobody_listens_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (all, _) = run(address, &plan(5, 1), 500);
    assert!(
        all.iter()
            .all(|exchange| matches!(exchange.outcome, Outcome::Refused { .. }))
    );
    assert_eq!(all.len(), 5);
}

#[test]
fn answers_of_every_shape_of_http_are_read() {
    let chunked = |stream: &mut TcpStream, _: usize| {
        let body = list().join(",");
        drop(write!(
            stream,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ));
        true
    };
    let until_close = |stream: &mut TcpStream, _: usize| {
        drop(write!(stream, "HTTP/1.0 200 OK\r\n\r\n{}\n", list().join(", ")));
        false
    };
    let informed = |stream: &mut TcpStream, _: usize| {
        drop(write!(stream, "HTTP/1.1 103 Early Hints\r\n\r\n{}", good()));
        true
    };
    for address in [server(chunked), server(until_close), server(informed)] {
        let (all, _) = run(address, &plan(20, 2), 2_000);
        assert!(
            all.iter().all(|exchange| exchange.ids().is_some()),
            "{:?}",
            all[0].outcome
        );
    }
}

#[test]
fn a_kept_connection_that_was_closed_is_tried_once_more_and_costs_the_team_nothing() {
    let closing = |stream: &mut TcpStream, call: usize| {
        drop(stream.write_all(good().as_bytes()));
        call.is_multiple_of(2)
    };
    let (all, _) = run(server(closing), &plan(60, 5), 2_000);
    assert!(all.iter().all(|exchange| exchange.ids().is_some()));
}

#[test]
fn a_healthy_slow_service_never_times_out_for_want_of_connections() {
    let slow = |stream: &mut TcpStream, _: usize| {
        std::thread::park_timeout(Duration::from_millis(300));
        stream.write_all(good().as_bytes()).is_ok()
    };
    let (all, report) = run(server(slow), &plan(120, 10), 2_000);
    assert!(all.iter().all(|exchange| exchange.ids().is_some()), "{report:?}");
}

#[test]
fn a_set_flag_ends_the_run_early() {
    let service = StandIn::start(Answers::Same(list())).unwrap();
    let address = service.address();
    let options = DriveOptions {
        target: Target {
            address,
            host: address.to_string(),
            sockets: None,
        },
        deadline: Duration::from_millis(800),
        peak_rate: 10.0,
    };
    let stop = AtomicBool::new(false);
    let mut count = 0;
    // A schedule of an hour: the test could not end if the flag were not seen.
    let report = drive(
        &plan(36_000, 100),
        &options,
        &catalogue(),
        Clock::start(),
        &stop,
        &mut |_| {
            count += 1;
            stop.store(count >= 3, Ordering::Relaxed);
            Ok::<(), Io>(())
        },
    );
    assert!(report.unwrap().interrupted);
    assert!((3..10).contains(&count));
}

#[test]
fn an_error_of_the_recorder_ends_the_run_with_that_error() {
    #[derive(Debug, PartialEq)]
    enum Full {
        Disk,
        Other,
    }
    impl From<std::io::Error> for Full {
        fn from(_: std::io::Error) -> Self {
            Self::Other
        }
    }
    let service = StandIn::start(Answers::Same(list())).unwrap();
    let address = service.address();
    let options = DriveOptions {
        target: Target {
            address,
            host: address.to_string(),
            sockets: None,
        },
        deadline: Duration::from_millis(800),
        peak_rate: 10.0,
    };
    let stop = AtomicBool::new(false);
    let end = drive(
        &plan(100, 1),
        &options,
        &catalogue(),
        Clock::start(),
        &stop,
        &mut |_| Err(Full::Disk),
    );
    assert_eq!(end.unwrap_err(), Full::Disk);
}
