//! How fast a world stands and the company's stream runs: a million users, 27,000 movies, formatted and thrown away.
//!
//! `cargo bench --bench simulate` prints one line for each number of threads, and the ratio of the two rates, which
//! says more on a strange machine than the rates themselves. `--quick` plays a hundredth of the company. The first line of
//! a stream needs four hours of company time played before it, which a short stream pays for as well as a long one.

use std::convert::Infallible;
use std::io::{self, Write};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use reelworld::clock::Clock;
use reelworld::seed::Key;
use reelworld::sim::{self, Played, SimulateSpec};
use reelworld::world::{Profile, World, WorldSpec};

/// The company at the size of the real course.
const USERS: u32 = 1_000_000;
const MOVIES: u32 = 27_000;
/// Company time that is played: the evening, when there is most to write.
const FIRST_HOUR: i64 = 20;
const HOURS: f64 = 3.0;

struct Run {
    world_s: f64,
    stream_s: f64,
    stream_cpu_s: f64,
    played: Played,
}

fn main() -> io::Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let users = if quick { USERS / 100 } else { USERS };
    let mut out = io::stdout().lock();
    writeln!(out, "{users} users, {MOVIES} movies, {HOURS} h of company time")?;
    let mut rates = Vec::new();
    let mut counts = Vec::new();
    for threads in [1, 2] {
        let run = run(users, threads);
        let rate = run.played.events as f64 / run.stream_s;
        writeln!(
            out,
            "{threads} thread(s): world {:.2} s; {} events, {:.1} MB in {:.2} s: {:.0} events a second, {:.0} a second of processor",
            run.world_s,
            run.played.events,
            run.played.bytes as f64 / 1e6,
            run.stream_s,
            rate,
            run.played.events as f64 / run.stream_cpu_s
        )?;
        rates.push(rate);
        counts.push(run.played);
    }
    assert_eq!(
        counts[0], counts[1],
        "the stream depends on the number of threads"
    );
    writeln!(
        out,
        "2 threads to 1: {:.2} times the events a second",
        rates[1] / rates[0]
    )?;
    if let Some(peak) = peak_kib() {
        writeln!(out, "peak resident memory: {} MiB", peak / 1024)?;
    }
    Ok(())
}

fn run(users: u32, threads: usize) -> Run {
    let key = Key::from_seed(1);
    let clock = Clock::start();
    let spec = WorldSpec {
        users,
        movies: MOVIES,
        profile: Profile::Classic,
    };
    let world = World::new(&key, spec, threads);
    let world_s = clock.elapsed().as_secs_f64();
    let cpu_s = processor_s();
    let play = SimulateSpec {
        start: sim::term_start().plus_seconds(FIRST_HOUR * 3600),
        hours: HOURS,
        threads,
    };
    let played = sim::simulate(&world, &key.branch("sim"), play, &mut |text: &[u8]| {
        std::hint::black_box(text);
        Ok::<(), Infallible>(())
    });
    let Ok(played) = played;
    Run {
        world_s,
        stream_s: clock.elapsed().as_secs_f64() - world_s,
        stream_cpu_s: processor_s() - cpu_s,
        played,
    }
}

/// The processor time that this process has used, all threads together: what a busy machine does not stretch.
fn processor_s() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the system tells a process of itself");
    let time = usage.user_time() + usage.system_time();
    time.num_microseconds() as f64 / 1e6
}

/// The most memory that this process ever held, where the system tells (Linux).
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
