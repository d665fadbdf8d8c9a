//! Running a team's offline evaluation on data that only this run has, and reading the split that it leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::measure::Tools;
use super::split::{Events, SPLIT_BYTES, compare, moment, part};
use crate::evidence::SplitFacts;
use crate::repository::Looks;
use crate::sandbox::{CommandLine, Limits, ServiceSpec, Workplace, build, build_with_mirror};
use crate::seed::Branch;

/// The most bytes that a log may unfold to.
const LOG_BYTES: u64 = 1 << 30;
/// The users who are put among the others. A split that leaves out half of them was made of other data.
const PLANTED: usize = 60;
/// What each of them watches: as much as a user who has been here for some weeks.
const WATCHED: usize = 24;

/// Runs the evaluation and compares its split; none when the run is stopped meanwhile.
pub(super) fn evaluate(
    spec: Option<&ServiceSpec>,
    place: &Workplace,
    (data, branch): (&Path, &Branch),
    limits: Limits,
    tools: Tools<'_>,
) -> io::Result<Option<SplitFacts>> {
    let fault = |fault: String, log_tail: Vec<String>| SplitFacts {
        fault: Some(fault),
        log_tail,
        ..SplitFacts::default()
    };
    let Some((service, spec)) = spec.and_then(|spec| Some((spec, spec.evaluation.as_ref()?))) else {
        return Ok(Some(fault(
            "reelworld.toml has no [evaluation]".to_owned(),
            Vec::new(),
        )));
    };
    fs::create_dir_all(&place.home)?;
    // A new folder with a name that nobody knows: a build that came before cannot have prepared it.
    let own = tempfile::Builder::new().prefix("data-").tempdir_in(&place.home)?;
    fs::set_permissions(own.path(), fs::Permissions::from_mode(0o755))?;
    let (events, planted) = plant(data, own.path(), branch)?;
    let place = with_data(place, own.path());
    let run = |command: &CommandLine, what: &str| -> io::Result<Option<(bool, String, Vec<String>)>> {
        let words = command.words();
        let (ended, log_tail) = build(&words, &place, limits, tools.leash, tools.clock, tools.stop)?;
        let told = ended.told(what, limits.build);
        Ok(told.map(|(ok, what)| (ok, what, log_tail)))
    };
    // A sandbox with other data is another one, and has nothing yet of what the build makes.
    if let Some(command) = service.build.as_ref().filter(|_| place.sandbox.is_some()) {
        let words = command.words();
        let (ended, log_tail, fetched) =
            build_with_mirror(&words, &place, limits, tools.leash, tools.clock, tools.stop)?;
        match (
            ended.told("the build before the evaluation", limits.build),
            fetched.and_then(|fetched| fetched.fault),
        ) {
            (None, _) => return Ok(None),
            (Some((true, _)), _) => {}
            (Some((false, what)), Some(ours)) => return Err(io::Error::other(format!("{what}, and {ours}"))),
            (Some((false, what)), None) => return Ok(Some(fault(what, log_tail))),
        }
    }
    let open = || -> io::Result<Vec<(String, File)>> {
        let mut opened = Vec::new();
        for name in [&spec.train, &spec.test] {
            opened.extend(place.open(name)?.map(|file| (name.clone(), file)));
        }
        Ok(opened)
    };
    let before = Looks::of(&open()?);
    let Some((ok, what, log_tail)) = run(&spec.run, "the evaluation")? else {
        return Ok(None);
    };
    let files: BTreeMap<String, File> = open()?.into_iter().collect();
    if let Some(sandbox) = &place.sandbox {
        sandbox.close();
    }
    if !ok {
        return Ok(Some(fault(what, log_tail)));
    }
    let parts = [&spec.train, &spec.test].map(|name| match files.get(name) {
        None => Err(format!("the evaluation has left no `{name}`")),
        Some(file) if !before.has_changed(name, file) => Err(format!(
            "the evaluation has not written `{name}`: it was there before it ran"
        )),
        Some(file) => part(name, &read_part(name, file)?, &events),
    });
    Ok(Some(match parts {
        [Ok(train), Ok(test)] => SplitFacts {
            log_tail,
            ..compare(&train, &test, &planted)
        },
        [Err(why), _] | [_, Err(why)] => fault(why, log_tail),
    }))
}

/// Returns the same place with other data.
fn with_data(place: &Workplace, data: &Path) -> Workplace {
    let mut other = place.clone();
    if let Some(sandbox) = &place.sandbox {
        other.sandbox = Some(sandbox.with_data(data));
    } else {
        let data = data.display().to_string();
        other.env.insert("REELWORLD_DATA".to_owned(), data);
    }
    other
}

fn read_part(name: &str, file: &File) -> Result<String, String> {
    let mut content = Vec::new();
    let read = file.take(SPLIT_BYTES + 1).read_to_end(&mut content);
    read.map_err(|error| format!("`{name}` cannot be read: {error}"))?;
    if content.len() as u64 > SPLIT_BYTES {
        return Err(format!("`{name}` is larger than {} MiB", SPLIT_BYTES >> 20));
    }
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// Writes the data that the evaluation gets: the released one with users who are nowhere else, the lines of the log in no order.
/// Returns the events of it, and who was put there.
fn plant(from: &Path, to: &Path, branch: &Branch) -> io::Result<(Events, BTreeSet<u32>)> {
    let mut lines = read_lines(&from.join("log.csv.gz"))?;
    let users = fs::read_to_string(from.join("users.jsonl"))?;
    let records: Vec<Value> = users
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let mut about: Value = serde_json::from_str(&fs::read_to_string(from.join("release.json"))?)?;
    let company = about["company_users"].as_u64().unwrap_or(0) as u32;
    let (planted, added) = strangers(&records, company, &lines, branch);
    lines.extend(added);
    branch.branch("order").at(0).shuffle(&mut lines);
    let mut out = BufWriter::new(File::create(to.join("users.jsonl"))?);
    out.write_all(users.as_bytes())?;
    for (record, user) in records.iter().cycle().zip(&planted) {
        let mut record = record.clone();
        record["user_id"] = Value::from(*user);
        writeln!(out, "{record}")?;
    }
    out.flush()?;
    let mut events = Events::default();
    let mut out = GzEncoder::new(
        BufWriter::new(File::create(to.join("log.csv.gz"))?),
        Compression::fast(),
    );
    for line in &lines {
        events.add_line(line);
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
    }
    out.finish()?.flush()?;
    for name in ["movies.jsonl", "heldout.csv.gz"] {
        fs::copy(from.join(name), to.join(name))?;
    }
    for line in read_lines(&from.join("heldout.csv.gz"))? {
        events.add_line(&line);
    }
    about["users"] = Value::from(records.len() + planted.len());
    about["log_lines"] = Value::from(lines.len());
    about["as_it_came"] = Value::Bool(true);
    fs::write(to.join("release.json"), format!("{about:#}\n"))?;
    Ok((events, planted.into_iter().collect()))
}

/// Draws users whose numbers nobody else has, and the lines of what they watched: others' movies, at moments spread over the log.
fn strangers(records: &[Value], company: u32, lines: &[String], branch: &Branch) -> (Vec<u32>, Vec<String>) {
    let known: BTreeSet<u32> = records
        .iter()
        .filter_map(|record| record.get("user_id")?.as_u64())
        .map(|user| user as u32)
        .collect();
    let mut draw = branch.branch("planted").at(0);
    let mut users: Vec<u32> = (1..=company).filter(|user| !known.contains(user)).collect();
    draw.shuffle(&mut users);
    users.truncate(PLANTED);
    let watched: Vec<(&str, &str)> = lines
        .iter()
        .filter_map(|line| {
            let (time, rest) = line.split_once(',')?;
            let (_, request) = rest.split_once(',')?;
            (request.starts_with("GET /data/m/") && moment(time).is_some()).then_some((time, request))
        })
        .collect();
    let mut added = Vec::new();
    if !watched.is_empty() {
        for user in &users {
            for _ in 0..WATCHED {
                let (time, _) = watched[draw.below(watched.len() as u64) as usize];
                let (_, request) = watched[draw.below(watched.len() as u64) as usize];
                added.push(format!("{time},{user},{request}"));
            }
        }
    }
    (users, added)
}

fn read_lines(path: &Path) -> io::Result<Vec<String>> {
    let unfolded = MultiGzDecoder::new(BufReader::new(File::open(path)?)).take(LOG_BYTES);
    let mut lines = Vec::new();
    for line in BufReader::new(unfolded).split(b'\n') {
        lines.push(String::from_utf8_lossy(&line?).into_owned());
    }
    Ok(lines)
}
