//! What publishing costs: lines a second into an archive, packing included, and out of it again.

use std::io::{self, Write};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use reelworld::clock::Clock;
use reelworld::stream::{Archive, Page, Publisher, Reader, TopicName, WriteOptions};

/// The lines that are published: a team's forty minutes and more.
const LINES: u64 = 3_000_000;
/// The lines between two flushes, as a server that flushes twenty times a second at 20,000 lines.
const FLUSH_EVERY: u64 = 1000;

fn main() -> io::Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let lines = if quick { LINES / 100 } else { LINES };
    let mut out = io::stdout().lock();
    let dir = tempfile::tempdir()?;
    let archive = Archive::new(dir.path());
    let topic = TopicName::of_team("7").map_err(io::Error::other)?;
    let clock = Clock::start();
    let mut publisher = archive
        .publisher(&topic, WriteOptions::default(), clock)
        .map_err(io::Error::other)?;
    let (begin, cpu_s) = (clock.elapsed(), processor_s());
    let mut line = Vec::new();
    let mut bytes = 0;
    for seq in 0..lines {
        line.clear();
        write!(
            line,
            "2023-02-08T{:02}:{:02}:{:02},{},GET /data/m/the+movie+number+{}+1995/{}.mpg",
            seq / 360_000 % 24,
            seq / 6000 % 60,
            seq / 100 % 60,
            seq * 7919 % 1_000_000,
            seq * 104_729 % 27_000,
            seq % 130
        )?;
        bytes += line.len() as u64 + 1;
        publisher
            .publish(1_700_000_000_000 + seq as i64 / 100, &line)
            .map_err(io::Error::other)?;
        if seq % FLUSH_EVERY == 0 {
            publisher.flush().map_err(io::Error::other)?;
        }
    }
    publisher.sync().map_err(io::Error::other)?;
    tell(
        &mut out,
        "published and synced",
        lines,
        bytes,
        clock.elapsed() - begin,
        processor_s() - cpu_s,
    )?;
    publisher.finish().map_err(io::Error::other)?;
    tell(
        &mut out,
        "and packed",
        lines,
        bytes,
        clock.elapsed() - begin,
        processor_s() - cpu_s,
    )?;
    let (begin, cpu_s) = (clock.elapsed(), processor_s());
    let mut reader = archive.reader(&topic, clock).map_err(io::Error::other)?;
    let (mut page, mut read) = (Page::default(), 0);
    loop {
        let count = reader.read(&mut page, Duration::ZERO).map_err(io::Error::other)?;
        if count == 0 {
            break;
        }
        read += count as u64;
    }
    assert_eq!(read, lines);
    tell(
        &mut out,
        "read back",
        lines,
        bytes,
        clock.elapsed() - begin,
        processor_s() - cpu_s,
    )
}

fn tell(
    out: &mut dyn Write,
    what: &str,
    lines: u64,
    bytes: u64,
    time: Duration,
    cpu_s: f64,
) -> io::Result<()> {
    let seconds = time.as_secs_f64();
    writeln!(
        out,
        "{what}: {lines} lines, {:.0} MB in {seconds:.2} s: {:.0} lines a second, {:.0} a second of processor",
        bytes as f64 / 1e6,
        lines as f64 / seconds,
        lines as f64 / cpu_s
    )
}

/// The processor time that this process has used, all threads together: what a busy machine does not stretch.
fn processor_s() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the system tells a process of itself");
    let time = usage.user_time() + usage.system_time();
    time.num_microseconds() as f64 / 1e6
}
