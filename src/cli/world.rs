//! `world`: how lifelike a log is, beside a real one; and foreign logs as the company's own files.

use std::fmt::Write as _;

use serde_json::json;

use super::args::{WorldImport, WorldInspect};
use super::exit::Exit;
use super::simulate::available;
use super::ui::{Failure, Stop, Ui};
use crate::seed::Key;
use crate::world::{Profile, World, WorldSpec};
use crate::yardstick::{
    Comparison, Dataset, Imported, Row, Skipped, Verdict, built_in_dataset, compare, import, sample,
    statistics, write_folder,
};

/// The world has this many times the users that are wanted: not everybody meets enough movies.
const SPARE_USERS: u32 = 3;

/// Measures a log beside the reference.
pub(super) fn inspect(args: &WorldInspect, ui: &Ui, stop: &Stop) -> Result<Exit, Failure> {
    let key = Key::from_seed(args.seed);
    let (mut data, about) = if let Some(path) = &args.path {
        ui.progress(format_args!("reading {}", path.display()));
        let read = import(path, args.format.format()).map_err(|bad| {
            Failure::usage(bad.to_string())
                .hint("say the form of the log with --format, if it is another than was thought")
        })?;
        if read.data.meetings.is_empty() {
            return Err(Failure::usage(format!(
                "`{}` is a catalogue, and nobody has watched or rated anything in it",
                path.display()
            ))
            .hint("put MovieLens' ratings.csv beside it"));
        }
        told_skipped(&read, ui);
        let about = json!({"format": read.format.name(), "skipped": skipped_json(&read.skipped)});
        (read.data, about)
    } else {
        ui.progress(format_args!(
            "playing {} users for {} days in a world of {} movies, seed {}",
            args.users, args.days, args.movies, args.seed
        ));
        (play(args, &key), json!({"format": "built-in"}))
    };
    if stop.is_set() {
        return Ok(Exit::Interrupted);
    }
    if let Some(size) = args.sample {
        data = sample(&data, size, &key).map_err(|small| {
            Failure::usage(format!("cannot take a sample of {size}: {small}"))
                .hint("ask for a smaller --sample; figures that depend on size are then not compared")
        })?;
    }
    let figures = statistics(&data, &key, &mut |part| {
        ui.progress(format_args!("measuring {part}"));
    });
    if stop.is_set() {
        return Ok(Exit::Interrupted);
    }
    let compared = compare(&data, figures);
    let text = if args.json {
        format!("{:#}\n", to_json(&data, &about, &compared))
    } else {
        table(&data, &compared)
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))?;
    Ok(match compared.passes() {
        Some(true) => Exit::Passed,
        Some(false) => Exit::Failed,
        None => Exit::NoVerdict,
    })
}

fn play(args: &WorldInspect, key: &Key) -> Dataset {
    let spec = WorldSpec {
        users: args.users.saturating_mul(SPARE_USERS),
        movies: args.movies,
        profile: Profile::Classic,
    };
    built_in_dataset(&World::new(key, spec, available()), key, args.users, args.days)
}

/// Writes a foreign log as the company's own files.
pub(super) fn bring_in(args: &WorldImport, ui: &Ui) -> Result<Exit, Failure> {
    if args.out.exists() {
        return Err(
            Failure::usage(format!("`{}` is there already", args.out.display()))
                .hint("name a folder that is not there; nothing is overwritten"),
        );
    }
    let read = import(&args.path, args.format.format()).map_err(|bad| Failure::usage(bad.to_string()))?;
    told_skipped(&read, ui);
    let written = write_folder(&read.data, &read.records, &args.out)
        .map_err(|error| Failure::machine(format!("cannot write `{}`: {error}", args.out.display())))?;
    if written.rounded_stars > 0 {
        ui.progress(format_args!(
            "note: {} half stars were rounded up",
            written.rounded_stars
        ));
    }
    if written.unknown_minutes > 0 {
        ui.progress(format_args!(
            "note: {} meetings of unknown length were written as one minute",
            written.unknown_minutes
        ));
    }
    let text = if args.json {
        let report = json!({
            "format": read.format.name(), "users": read.data.users.len(), "movies": read.data.movies.len(),
            "meetings": read.data.meetings.len(), "lines": written.lines,
            "rounded_stars": written.rounded_stars, "unknown_minutes": written.unknown_minutes,
            "skipped": skipped_json(&read.skipped), "out": args.out.display().to_string(),
        });
        format!("{report:#}\n")
    } else {
        format!(
            "{} users, {} movies, {} meetings in {} lines: {}\n",
            read.data.users.len(),
            read.data.movies.len(),
            read.data.meetings.len(),
            written.lines,
            args.out.display()
        )
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))?;
    Ok(Exit::Passed)
}

fn kinds(skipped: &Skipped) -> [(&'static str, &crate::yardstick::SkippedLines); 3] {
    [
        ("with one character inserted", &skipped.inserted),
        ("that cannot be true", &skipped.impossible),
        (
            "of a movie that the catalogue does not have",
            &skipped.unknown_movie,
        ),
    ]
}

fn told_skipped(read: &Imported, ui: &Ui) {
    for (kind, lines) in kinds(&read.skipped) {
        if lines.count > 0 {
            let first: Vec<String> = lines.first.iter().map(u64::to_string).collect();
            ui.progress(format_args!(
                "warning: left out {} lines {kind}; the first: line {}",
                lines.count,
                first.join(", ")
            ));
        }
    }
}

fn skipped_json(skipped: &Skipped) -> serde_json::Value {
    json!({
        "inserted_character": skipped.inserted.count,
        "impossible": skipped.impossible.count,
        "unknown_movie": skipped.unknown_movie.count,
    })
}

/// Width of the column of names; the longest names of genres need it.
const NAME_WIDTH: usize = 42;

fn table(data: &Dataset, compared: &Comparison) -> String {
    let mut text = format!(
        "{}: {} users, {} movies, {} meetings; the reference is MovieLens 100K, 943 users, 1682 movies\n",
        data.name,
        data.users.len(),
        data.movies.len(),
        data.meetings.len()
    );
    let mut heading = "";
    for row in &compared.rows {
        if row.figure.heading != heading {
            heading = row.figure.heading;
            let _written = write!(
                text,
                "\n{:NAME_WIDTH$} {:>12} {:>12} {:>10}  verdict\n",
                heading.to_uppercase(),
                "log",
                "reference",
                "tolerance"
            );
        }
        let _written = writeln!(text, "{}", line(row).trim_end());
    }
    text.push('\n');
    text.push_str(&ending(compared));
    text
}

fn line(row: &Row) -> String {
    let shown = |value: Option<f64>| value.map_or_else(String::new, number);
    format!(
        "{:NAME_WIDTH$} {:>12} {:>12} {:>10}  {}",
        row.figure.name,
        number(row.figure.value),
        shown(row.reference),
        shown(row.tolerance),
        row.verdict.words()
    )
}

fn number(value: f64) -> String {
    if value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.4}")
    }
}

fn ending(compared: &Comparison) -> String {
    let [within, near, off, far] = compared.counts();
    let all = within + near + off + far;
    let mut text = String::new();
    if !compared.same_size {
        let other = compared
            .rows
            .iter()
            .filter(|row| row.verdict == Verdict::OtherSize)
            .count();
        let _written = writeln!(
            text,
            "{other} figures depend on the numbers of users and movies and are not compared at this size: --sample 943x1682 takes a part of the reference's size"
        );
    }
    if !compared.untold.is_empty() {
        let _written = writeln!(text, "this log does not tell: {}", compared.untold.join(", "));
    }
    let _written = writeln!(
        text,
        "not measured here, as they need rankers to be trained: {}",
        compared.needs_rankers.join(", ")
    );
    let verdict = match compared.passes() {
        Some(true) => "lifelike",
        Some(false) => "not lifelike",
        None => "no verdict",
    };
    let _written = writeln!(
        text,
        "{verdict}: of {all} figures {within} within their tolerance, {near} within two, {off} beyond two, {far} beyond five; wanted are 80 % within two and none beyond five"
    );
    text
}

fn to_json(data: &Dataset, about: &serde_json::Value, compared: &Comparison) -> serde_json::Value {
    let [within, near, off, far] = compared.counts();
    let figures: Vec<_> = compared
        .rows
        .iter()
        .map(|row| {
            json!({
                "heading": row.figure.heading, "name": row.figure.name, "value": row.figure.value,
                "reference": row.reference, "tolerance": row.tolerance,
                "verdict": (row.verdict != Verdict::Shown).then(|| row.verdict.words()),
            })
        })
        .collect();
    json!({
        "schema": "reelworld/inspect/v1",
        "name": data.name, "source": about,
        "users": data.users.len(), "movies": data.movies.len(), "meetings": data.meetings.len(),
        "same_size": compared.same_size, "lifelike": compared.passes(),
        "within": within, "within_2": near, "beyond_2": off, "beyond_5": far,
        "untold": compared.untold, "needs_rankers": compared.needs_rankers, "figures": figures,
    })
}
