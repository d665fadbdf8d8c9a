//! `simulate`: the company's stream to a file, to the terminal or to nowhere, with counts and times.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::num::NonZero;

use serde_json::json;

use super::args::Simulate;
use super::exit::Exit;
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::seed::Key;
use crate::sim::{self, SimulateSpec};
use crate::world::{Profile, World, WorldSpec};

/// Why the stream ended before its time.
enum Ended {
    Interrupted,
    Reader,
    Disk(io::Error),
}

pub(super) fn run(args: &Simulate, ui: &Ui, stop: &Stop, clock: Clock) -> Result<Exit, Failure> {
    let threads = args.threads.map_or_else(available, usize::from);
    let key = Key::from_seed(args.seed);
    let spec = WorldSpec {
        users: args.users,
        movies: args.movies,
        profile: Profile::Classic,
    };
    let world = World::new(&key, spec, threads);
    let world_s = clock.elapsed().as_secs_f64();
    let to_stdout = args.out.as_os_str() == "-";
    let mut out: Option<Box<dyn Write>> = match args.out.as_os_str() {
        name if name == "null" => None,
        name if name == "-" => Some(Box::new(io::stdout().lock())),
        _ => {
            let file = File::create(&args.out).map_err(|error| {
                Failure::machine(format!("cannot write `{}`: {error}", args.out.display()))
            })?;
            Some(Box::new(BufWriter::with_capacity(1 << 20, file)))
        }
    };
    let play = SimulateSpec {
        start: sim::term_start(),
        hours: args.hours,
        threads,
    };
    let played = sim::simulate(&world, &key.branch("sim"), play, &mut |text: &[u8]| {
        if stop.is_set() {
            return Err(Ended::Interrupted);
        }
        let Some(out) = &mut out else { return Ok(()) };
        out.write_all(text).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Ended::Reader,
            _ => Ended::Disk(error),
        })
    });
    let flushed = out.as_mut().map_or(Ok(()), Write::flush);
    let played = match played {
        Ok(played) => played,
        Err(Ended::Interrupted) => return Ok(Exit::Interrupted),
        Err(Ended::Reader) => return Ok(Exit::Passed),
        Err(Ended::Disk(error)) => {
            return Err(Failure::machine(format!(
                "cannot write `{}`: {error}",
                args.out.display()
            )));
        }
    };
    flushed.map_err(|error| Failure::machine(format!("cannot write `{}`: {error}", args.out.display())))?;
    let seconds = clock.elapsed().as_secs_f64();
    let sim_s = seconds - world_s;
    let rate = played.events as f64 / sim_s.max(1e-9);
    let text = if args.json {
        let report = json!({
            "users": args.users, "movies": args.movies, "hours": args.hours, "seed": args.seed, "threads": threads,
            "events": played.events, "watch": played.watch, "rate": played.rate, "recommend": played.recommend,
            "create_account": played.create_account, "bytes": played.bytes,
            "world_s": world_s, "simulate_s": sim_s, "total_s": seconds, "events_per_s": rate,
        });
        format!("{report:#}\n")
    } else {
        format!(
            "{} events in {sim_s:.2} s ({rate:.0} a second): {} minutes watched, {} ratings, {} requests; the world took {world_s:.2} s\n",
            played.events, played.watch, played.rate, played.recommend
        )
    };
    if to_stdout {
        ui.progress(format_args!("{}", text.trim_end()));
    } else {
        ui.data(&text)
            .map_err(|error| Failure::machine(error.to_string()))?;
    }
    Ok(Exit::Passed)
}

/// Returns the number of processors that this process may use.
pub(super) fn available() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}
