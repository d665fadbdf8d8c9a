//! `alike`: whose lists of a class are more alike than good models are, and whose code; for a person to look at.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::args::Alike;
use super::exit::Exit;
use super::starter::failed as broken;
use super::ui::{Failure, Ui};
use crate::alike::{Lists, Pair, Report, SourceFile, alike as compare, shared_code, shared_downtime};
use crate::course::{CourseFiles, Framework};
use crate::event::SimTime;
use crate::evidence::Bundle;
use crate::grade::lists_given;
use crate::starter::code_of;
use crate::store::{Store, StoreError};

/// The most pairs that are printed where nothing is flagged: the most alike.
const SHOWN: usize = 5;

/// The most bytes of a file of code that is read: what is larger was not written by hand.
const MOST_BYTES: u64 = 512 << 10;
/// The most files of a submission.
const MOST_FILES: usize = 2_000;
/// The endings of what teams write by hand.
const ENDINGS: [&str; 14] = [
    "py", "js", "ts", "tsx", "jsx", "java", "kt", "go", "rs", "rb", "scala", "c", "cpp", "sh",
];
/// Folders of what others have written.
const FOREIGN: [&str; 7] = [
    ".git",
    ".reelworld",
    "node_modules",
    "venv",
    ".venv",
    "target",
    "site-packages",
];

/// Compares the lists or the code of a class.
pub(super) fn alike(args: &Alike, files: &CourseFiles, ui: &Ui) -> Result<Exit, Failure> {
    let text = match (&args.run, &args.store) {
        (Some(run), _) => of_lists(run, args.json, ui)?,
        (None, Some(store)) => of_downtime(store, args.json)?,
        (None, None) => of_code(args, files)?,
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))?;
    Ok(Exit::Passed)
}

/// Compares when the services of the open company were down, minute by minute; what was the company's own fault is left out.
fn of_downtime(place: &str, as_json: bool) -> Result<String, Failure> {
    let refused = |error: StoreError| Failure::usage(format!("`{place}`: {error}"));
    // A file that is not there would be made, and compared as an empty one.
    if !place.starts_with("postgres") && !Path::new(place).is_file() {
        return Err(Failure::usage(format!("`{place}` is no store"))
            .hint("`reelworld serve` names the store that it keeps"));
    }
    let mut store = Store::open(place).map_err(refused)?;
    let own: Vec<(i64, i64)> = store
        .outages()
        .map_err(refused)?
        .iter()
        .map(|spell| (minute(spell.from), minute(spell.until)))
        .collect();
    let whole = (SimTime(0), SimTime(i64::MAX));
    let mut down: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    for (number, name) in store.teams().map_err(refused)? {
        let minutes = store.minutes(number, whole).map_err(refused)?;
        for [minute, ..] in &minutes {
            (first, last) = (first.min(*minute), last.max(*minute));
        }
        // As availability has it: more than half of what was asked in it failed.
        let failed = minutes.iter().filter(|[_, asked, well, ..]| well * 2 < *asked);
        let failed = failed
            .map(|[minute, ..]| *minute)
            .filter(|minute| !own.iter().any(|(from, until)| from <= minute && minute <= until));
        down.insert(name, failed.collect());
    }
    let teams = down.len();
    let span = u32::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(0);
    let down = down
        .into_iter()
        .map(|(team, minutes)| {
            let from_first = minutes.iter().map(|minute| (minute - first) as u32);
            (team, from_first.collect())
        })
        .collect();
    let found = shared_downtime(&down, span);
    if as_json {
        let pairs: Vec<serde_json::Value> = found
            .iter()
            .map(|pair| {
                serde_json::json!({
                    "teams": pair.teams, "minutes": pair.minutes, "minutes_of_each": pair.each,
                    "spells_that_meet": pair.spells.0, "spells": pair.spells.1, "chance": pair.chance,
                })
            })
            .collect();
        let all = serde_json::json!({
            "schema": "reelworld/alike-downtime/v1", "teams": teams, "minutes": span, "pairs": pairs,
        });
        return Ok(format!("{all:#}\n"));
    }
    let mut lines = vec![format!(
        "{} pairs of {teams} teams should be looked at by a person",
        found.len()
    )];
    for pair in &found {
        lines.push(format!(
            "\n{} and {}\n  down together for {} minutes, of {} and {}; {} of {} spells meet, by chance in {:.2} % of cases",
            pair.teams[0],
            pair.teams[1],
            pair.minutes,
            pair.each[0],
            pair.each[1],
            pair.spells.0,
            pair.spells.1,
            pair.chance * 100.0
        ));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

fn minute(moment: SimTime) -> i64 {
    moment.seconds().div_euclid(60)
}

fn of_code(args: &Alike, files: &CourseFiles) -> Result<String, Failure> {
    let mut teams: BTreeMap<String, Vec<SourceFile>> = BTreeMap::new();
    for dir in &args.code {
        let name = fs::canonicalize(dir)
            .ok()
            .and_then(|dir| dir.file_name().map(|name| name.to_string_lossy().into_owned()))
            .ok_or_else(|| Failure::usage(format!("`{}` is no folder", dir.display())))?;
        if teams.insert(name.clone(), source(dir)?).is_some() {
            return Err(Failure::usage(format!("two submissions are called `{name}`")));
        }
    }
    let base = match &args.base {
        Some(dir) => source(dir)?,
        None => starters(files)?,
    };
    let found = shared_code(&teams, &base);
    if args.json {
        let pairs: Vec<serde_json::Value> = found
            .iter()
            .map(|pair| {
                serde_json::json!({
                    "teams": pair.teams, "shared": pair.shared, "share": pair.share, "flagged": pair.flagged,
                    "evidence": pair.evidence,
                })
            })
            .collect();
        let all = serde_json::json!({ "schema": "reelworld/alike-code/v1", "submissions": teams.len(), "pairs": pairs });
        return Ok(format!("{all:#}\n"));
    }
    let flagged = found.iter().filter(|pair| pair.flagged);
    let mut lines = vec![format!(
        "{} pairs of {} submissions should be looked at by a person",
        flagged.clone().count(),
        teams.len()
    )];
    for pair in flagged {
        lines.push(format!(
            "\n{} and {}\n  {} passages that nearly nobody else has: {:.0} % of the smaller one's own",
            pair.teams[0],
            pair.teams[1],
            pair.shared,
            pair.share * 100.0
        ));
        lines.extend(pair.evidence.iter().map(|line| format!("    {line}")));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// Returns what the starters hold, of every milestone and framework.
fn starters(files: &CourseFiles) -> Result<Vec<SourceFile>, Failure> {
    let profile = files.course()?.world.profile;
    let mut all = Vec::new();
    for milestone in ["m1", "m2", "m3", "m4"] {
        for (_, framework) in Framework::WORDS {
            let given = code_of(files, milestone, *framework, profile).map_err(|error| broken(&error))?;
            all.extend(
                given
                    .into_iter()
                    .map(|(path, content)| (path, String::from_utf8_lossy(&content).into_owned())),
            );
        }
    }
    Ok(all)
}

/// Reads what a folder holds of code; links are left out, as they may lead anywhere.
fn source(dir: &Path) -> Result<Vec<SourceFile>, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::usage(format!("`{}`: {error}", dir.display()));
    let foreign = |entry: &walkdir::DirEntry| {
        entry.depth() > 0
            && entry
                .file_name()
                .to_str()
                .is_some_and(|name| FOREIGN.contains(&name))
    };
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(dir)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| !foreign(entry))
    {
        let entry = entry.map_err(|error| refused(&error))?;
        let ending = entry.path().extension().and_then(|ending| ending.to_str());
        let written = entry.file_type().is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending));
        if !written || entry.metadata().map_or(0, |about| about.len()) > MOST_BYTES {
            continue;
        }
        if files.len() >= MOST_FILES {
            return Err(refused(&format!("more than {MOST_FILES} files of code")));
        }
        let text = fs::read(entry.path()).map_err(|error| refused(&error))?;
        let path = entry.path().strip_prefix(dir).unwrap_or(entry.path());
        files.push((
            path.display().to_string(),
            String::from_utf8_lossy(&text).into_owned(),
        ));
    }
    Ok(files)
}

fn of_lists(run: &Path, as_json: bool, ui: &Ui) -> Result<String, Failure> {
    let mut teams: BTreeMap<String, Lists> = BTreeMap::new();
    let mut seeds: BTreeMap<u64, u32> = BTreeMap::new();
    let entries = fs::read_dir(run)
        .map_err(|error| Failure::usage(format!("`{}` is no run: {error}", run.display())))?;
    for entry in entries.flatten() {
        let evidence = entry.path().join("evidence");
        if !evidence.is_dir() {
            continue;
        }
        let bundle = Bundle::read(&evidence)?;
        *seeds.entry(bundle.manifest.seed).or_default() += 1;
        let team = entry.file_name().to_string_lossy().into_owned();
        teams.insert(team, lists_given(&bundle));
    }
    if teams.len() < 2 {
        return Err(Failure::usage(format!(
            "`{}` holds the evidence of fewer than two submissions",
            run.display()
        ))
        .hint("name the folder that `reelworld grade --out` has written"));
    }
    if seeds.len() > 1 {
        ui.progress(format_args!(
            "  the submissions were measured with {} seeds: fewer users are the same in two of them",
            seeds.len()
        ));
    }
    let report = compare(&teams);
    Ok(if as_json {
        json(&report, teams.len())
    } else {
        table(&report, teams.len())
    })
}

fn table(report: &Report, teams: usize) -> String {
    let flagged: Vec<&Pair> = report
        .pairs
        .iter()
        .filter(|pair| !pair.reasons.is_empty())
        .collect();
    let mut lines = vec![format!(
        "{} of {} pairs of {teams} submissions should be looked at by a person",
        flagged.len(),
        report.pairs.len()
    )];
    for pair in &flagged {
        lines.push(format!("\n{} and {}", pair.teams[0], pair.teams[1]));
        lines.extend(pair.reasons.iter().map(|reason| format!("  {reason}")));
        lines.extend(pair.evidence.iter().map(|line| format!("    {line}")));
    }
    if flagged.is_empty() {
        lines.extend(report.pairs.iter().take(SHOWN).map(|pair| {
            let agreement = pair.agreement.map_or_else(
                || "not personal".to_owned(),
                |agreement| format!("{agreement:.2}"),
            );
            format!("  {agreement}  {} and {}", pair.teams[0], pair.teams[1])
        }));
    }
    if report.too_few > 0 {
        lines.push(format!(
            "{} pairs have too few users in common to be compared",
            report.too_few
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn json(report: &Report, teams: usize) -> String {
    let pairs: Vec<serde_json::Value> = report
        .pairs
        .iter()
        .map(|pair| {
            serde_json::json!({
                "teams": pair.teams, "users": pair.users, "same_user": pair.same_user, "other_users": pair.other_users,
                "agreement": pair.agreement, "interval": pair.interval, "identical": pair.identical,
                "flagged": !pair.reasons.is_empty(), "reasons": pair.reasons, "evidence": pair.evidence,
            })
        })
        .collect();
    format!(
        "{:#}\n",
        serde_json::json!({
            "schema": "reelworld/alike/v1", "submissions": teams, "bar": report.bar, "median": report.median,
            "too_few_users": report.too_few, "pairs": pairs,
        })
    )
}
