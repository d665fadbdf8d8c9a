//! Services of the zoo, graded by the real program, against the table of what each must earn.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::isolation::trusted_without_sandbox;
use crate::model::{Table, holds, table};

/// The table: service, criterion, verdict.
const MODEL: &str = "services/model.toml";

fn grade(names: &[&String]) -> Table {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command
        .arg("--course")
        .arg(root.join("fixtures/course"))
        .args(["grade", "m1", "--seed", "7", "--out"])
        .arg(out.path().join("run"))
        .args(trusted_without_sandbox());
    for name in names {
        command.arg(root.join("fixtures/services").join(name));
    }
    let output = command.output().unwrap();
    assert!(
        output.status.code().is_some_and(|code| [0, 1, 3].contains(&code)),
        "{output:?}"
    );
    names
        .iter()
        .map(|name| {
            let text =
                std::fs::read_to_string(out.path().join("run").join(name).join("report.json")).unwrap();
            let report: serde_json::Value = serde_json::from_str(&text).unwrap();
            let verdicts = report["criteria"].as_array().unwrap().iter().map(|criterion| {
                let text = |key: &str| criterion[key].as_str().unwrap().to_owned();
                (text("id"), text("verdict"))
            });
            ((*name).clone(), verdicts.collect())
        })
        .collect()
}

/// Services graded at once: they mostly wait, and what a busy machine disturbs is left open.
const AT_ONCE: usize = 3;

#[test]
fn every_service_earns_what_the_table_says() {
    let model = table(MODEL);
    let names: Vec<&String> = model.keys().collect();
    let mut found = BTreeMap::new();
    std::thread::scope(|scope| {
        let parts = names.chunks(names.len().div_ceil(AT_ONCE));
        let handles: Vec<_> = parts.map(|part| scope.spawn(move || grade(part))).collect();
        for handle in handles {
            found.extend(handle.join().unwrap());
        }
    });
    let mut faults = Vec::new();
    for (name, wanted) in &model {
        for (id, verdict) in wanted {
            let earned = &found[name][id];
            if !holds(id, verdict, earned) {
                faults.push(format!("{name} {id}: {earned}, must be {verdict}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_names_every_service_and_every_measured_criterion() {
    let model = table(MODEL);
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/services");
    let folders = std::fs::read_dir(services)
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.path().is_dir());
    let mut folders: Vec<String> = folders
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(model.keys().cloned().collect::<Vec<_>>(), folders);
    assert!(model.values().all(|row| row.contains_key("m1.service.starts")));
    assert!(model.values().map(BTreeMap::len).sum::<usize>() > 300);
}
