//! The table of layers, and a search for imports that break it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Each module of the crate and the modules it may use. Order is the reading order of `src/lib.rs`.
const LAYERS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("coursefile", &[]),
    ("lock", &[]),
    ("meter", &[]),
    ("seed", &[]),
    ("world", &["seed"]),
    ("event", &["world"]),
    ("exchange", &[]),
    ("scorecard", &[]),
    ("metrics", &["seed", "scorecard"]),
    ("rubric", &["coursefile", "scorecard"]),
    (
        "window",
        &["seed", "event", "exchange", "scorecard", "metrics", "rubric"],
    ),
    ("sim", &["seed", "world", "event"]),
    ("trouble", &["coursefile", "seed", "world", "event", "sim"]),
    ("incident", &["coursefile", "seed", "world", "event", "trouble"]),
    ("release", &["seed", "world", "event", "sim", "trouble"]),
    (
        "yardstick",
        &["seed", "world", "event", "scorecard", "metrics", "sim", "release"],
    ),
    (
        "twin",
        &[
            "seed",
            "world",
            "event",
            "scorecard",
            "metrics",
            "sim",
            "yardstick",
        ],
    ),
    (
        "alike",
        &["seed", "world", "scorecard", "metrics", "release", "yardstick"],
    ),
    ("door", &["clock"]),
    ("mirror", &["clock", "coursefile", "door"]),
    ("repository", &["coursefile"]),
    ("sandbox", &["clock", "coursefile", "meter", "mirror"]),
    ("stream", &["clock", "lock", "event"]),
    ("telemetry", &["coursefile", "scorecard", "metrics"]),
    ("traffic", &["clock", "seed", "exchange"]),
    ("stand_in", &["clock", "seed", "exchange", "traffic"]),
    ("company", &["clock", "seed", "world", "incident", "door"]),
    ("submission", &["clock", "meter", "repository", "sandbox"]),
    (
        "course",
        &[
            "coursefile",
            "seed",
            "world",
            "event",
            "sim",
            "incident",
            "traffic",
            "mirror",
            "sandbox",
            "trouble",
            "release",
            "rubric",
            "scorecard",
        ],
    ),
    ("evidence", &["exchange", "scorecard", "mirror", "repository"]),
    ("store", &["event", "exchange"]),
    ("class", &["scorecard", "evidence"]),
    (
        "grade",
        &[
            "clock",
            "seed",
            "world",
            "event",
            "exchange",
            "scorecard",
            "metrics",
            "rubric",
            "trouble",
            "incident",
            "release",
            "mirror",
            "repository",
            "sandbox",
            "telemetry",
            "traffic",
            "stand_in",
            "stream",
            "door",
            "company",
            "course",
            "evidence",
            "coursefile",
        ],
    ),
    ("report", &["scorecard"]),
    (
        "server",
        &[
            "clock",
            "seed",
            "world",
            "event",
            "exchange",
            "sim",
            "coursefile",
            "trouble",
            "incident",
            "stream",
            "telemetry",
            "traffic",
            "door",
            "company",
            "course",
            "store",
            "window",
        ],
    ),
    (
        "starter",
        &[
            "coursefile",
            "world",
            "release",
            "rubric",
            "repository",
            "course",
            "evidence",
        ],
    ),
    (
        "cli",
        &[
            "store",
            "clock",
            "coursefile",
            "lock",
            "seed",
            "world",
            "event",
            "exchange",
            "scorecard",
            "metrics",
            "rubric",
            "window",
            "sim",
            "trouble",
            "incident",
            "release",
            "mirror",
            "repository",
            "sandbox",
            "stream",
            "traffic",
            "stand_in",
            "course",
            "evidence",
            "store",
            "class",
            "grade",
            "report",
            "server",
            "starter",
            "submission",
            "yardstick",
            "twin",
            "alike",
        ],
    ),
];

#[test]
fn every_module_uses_only_the_layers_below_it() {
    let mut faults = Vec::new();
    for file in rust_files() {
        let module = module_of(&file);
        if module == "lib" || module == "main" {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            faults.push(format!(
                "{}: module `{module}` has no row in the table of layers",
                file.display()
            ));
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            for used in uses_of(line) {
                if used != module && !allowed.contains(&used.as_str()) && is_module(&used) {
                    faults.push(format!(
                        "{}:{}: `{module}` must not use `{used}`",
                        file.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_itself_runs_one_way() {
    let order: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .map(|(place, (name, _))| (*name, place))
        .collect();
    for (name, allowed) in LAYERS {
        for used in *allowed {
            assert!(
                order[used] < order[name],
                "`{name}` stands before `{used}`, which it may use"
            );
        }
    }
}

#[test]
fn the_table_names_every_module_of_the_crate_in_reading_order() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let table: Vec<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(modules, table);
}

#[test]
fn a_forbidden_import_would_be_seen() {
    assert_eq!(uses_of("use crate::cli::run;"), ["cli"]);
    assert_eq!(
        uses_of("    let x = crate::grade::measure(crate::seed::Key);"),
        ["grade", "seed"]
    );
    assert_eq!(uses_of("use crate::{world::World, cli};"), ["world", "cli"]);
    assert!(uses_of("/// see [`crate::cli`]").is_empty());
}

#[test]
fn every_file_opens_with_a_caption() {
    for file in rust_files() {
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("//! "),
            "{} opens without a caption",
            file.display()
        );
    }
}

/// Returns the crate's modules that a line names; doc comments do not count.
fn uses_of(line: &str) -> Vec<String> {
    let code = line.trim_start();
    if code.starts_with("//") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (place, _) in code.match_indices("crate::") {
        let rest = &code[place + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut at_name = true;
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.push(std::mem::take(&mut word));
                        at_name = true;
                    }
                    letter if at_name && (letter.is_alphanumeric() || letter == '_') => word.push(letter),
                    ' ' => {}
                    _ => at_name = false,
                }
            }
            found.push(word);
        } else {
            found.push(
                rest.chars()
                    .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                    .collect(),
            );
        }
    }
    found.retain(|name: &String| !name.is_empty());
    found
}

fn is_module(name: &str) -> bool {
    LAYERS.iter().any(|(module, _)| *module == name)
}

fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn rust_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = WalkDir::new(root().join("src"))
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    files.sort();
    assert!(files.len() > 10, "the sources are not where this test looks");
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
