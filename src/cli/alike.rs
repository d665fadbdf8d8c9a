//! `alike`: whose lists of a class are more alike than good models are, and whose code; for a person to look at.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::args::Alike;
use super::exit::Exit;
use super::ui::{Failure, Ui};
use crate::alike::{Lists, Pair, Report, SourceFile, alike as compare, shared_code};
use crate::course::{CourseFiles, Framework};
use crate::evidence::Bundle;
use crate::grade::lists_given;

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
    let text = match &args.run {
        Some(run) => of_lists(run, args.json, ui)?,
        None => of_code(args, files)?,
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))?;
    Ok(Exit::Passed)
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
    let mut all = Vec::new();
    for milestone in ["m1", "m2", "m3", "m4"] {
        for (_, framework) in Framework::WORDS {
            let template = files.template(milestone, *framework)?;
            all.extend(
                template
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
