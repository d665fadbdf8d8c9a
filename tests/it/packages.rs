//! Packages of a class: what the same requirements ask for is made once, by nobody's own code, and never given to others.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::interrupt::root;
use crate::isolation::pip_inside;

/// The source of a package whose only module says when it was made: with a number that no other making has.
fn source(folder: &Path, name: &str, fault: &str) {
    let backend = format!(
        "import os, zipfile\n\
         def build_wheel(folder, settings=None, metadata=None):\n    {fault}\n    \
         name = '{name}-1.0-py3-none-any.whl'\n    info = '{name}-1.0.dist-info/'\n    \
         with zipfile.ZipFile(os.path.join(folder, name), 'w') as wheel:\n        \
         wheel.writestr('{name}.py', 'MADE = %r' % os.urandom(8).hex())\n        \
         wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n')\n        \
         wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n        \
         wheel.writestr(info + 'RECORD', '')\n    return name\n"
    );
    let project = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n";
    let about = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n");
    let file = File::create(folder.join(format!("{name}-1.0.tar.gz"))).unwrap();
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    for (path, text) in [
        ("PKG-INFO", about.as_str()),
        ("pyproject.toml", project),
        ("backend.py", backend.as_str()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let path = format!("{name}-1.0/{path}");
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}

/// A submission that installs what it needs, says when that was made, and goes no further.
fn submission(class: &Path, name: &str, requirements: &str) {
    let folder = class.join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("requirements.txt"), requirements).unwrap();
    let build = "touch /packages/evil.whl 2> /dev/null && echo changed; python3 -m pip install --quiet --user -r requirements.txt && \
                 python3 -c 'import shared; print(\"made\", shared.MADE)'; exit 1";
    let text = format!("[service]\nbuild = '''{build}'''\nstart = ['true']\n");
    fs::write(folder.join("reelworld.toml"), text).unwrap();
}

/// The last lines of a submission's build.
fn printed(out: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(out.join(name).join("evidence/items.jsonl")).unwrap();
    let items = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let build = items.into_iter().find(|item| item["item"] == "build").unwrap();
    let lines = build["log_tail"].as_array().unwrap().iter();
    lines.map(|line| line.as_str().unwrap().to_owned()).collect()
}

/// When the package that a submission has installed was made.
fn made(out: &Path, name: &str) -> String {
    let lines = printed(out, name);
    let line = lines.iter().find_map(|line| line.strip_prefix("made "));
    line.unwrap_or_else(|| panic!("{name}: {lines:?}")).to_owned()
}

#[test]
fn a_class_with_the_same_requirements_makes_its_packages_once() {
    if !pip_inside() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (class, wheels, out) = (
        home.path().join("class"),
        home.path().join("wheels"),
        home.path().join("run"),
    );
    fs::create_dir(&wheels).unwrap();
    source(&wheels, "shared", "pass");
    source(&wheels, "other", "pass");
    source(&wheels, "broken", "raise SystemExit('broken for good')");
    for name in ["a", "b", "c"] {
        submission(&class, name, "shared==1.0\n");
    }
    submission(&class, "more", "shared==1.0\nother==1.0\n");
    submission(&class, "own", "--pre\nshared==1.0\n");
    for name in ["broken1", "broken2"] {
        submission(&class, name, "broken==1.0\n");
    }
    // Returns who has had packages made.
    let grade = |more: &[&str]| -> Vec<String> {
        let output = Command::new(env!("CARGO_BIN_EXE_reelworld"))
            .arg("--course")
            .arg(root().join("fixtures/course"))
            .args(["grade", "m1", "--jobs", "3", "--out"])
            .arg(&out)
            .arg("--wheels")
            .arg(&wheels)
            .arg(&class)
            .args(more)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let lines = text
            .lines()
            .filter_map(|line| line.strip_suffix(": making its packages"));
        let mut names: Vec<String> = lines.map(|name| name.trim().to_owned()).collect();
        names.sort();
        names
    };
    let makers = grade(&[]);
    let same = makers
        .iter()
        .filter(|name| ["a", "b", "c"].contains(&name.as_str()));
    assert_eq!(same.count(), 1, "{makers:?}");
    let others: Vec<&String> = makers.iter().filter(|name| name.len() > 1).collect();
    assert_eq!(
        others,
        ["broken1", "broken2", "more"],
        "a failure is kept for nobody"
    );
    let first = made(&out, "a");
    for name in ["b", "c"] {
        assert_eq!(made(&out, name), first, "{name} has installed what was made once");
    }
    let numbers = BTreeSet::from([first.clone(), made(&out, "more"), made(&out, "own")]);
    assert_eq!(numbers.len(), 3, "other requirements are other packages");
    let broken = printed(&out, "broken1").join("\n");
    assert!(
        broken.contains("broken for good"),
        "its own build says why: {broken}"
    );
    for name in ["a", "b", "c", "more", "own", "broken1"] {
        assert!(
            !printed(&out, name).iter().any(|line| line == "changed"),
            "{name}"
        );
    }
    let kept: Vec<String> = fs::read_dir(out.join("packages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(kept.len(), 2, "{kept:?}");

    // A run later on, what was made is still there; where the folder of packages has changed, it is made anew.
    assert_eq!(grade(&["--only", "b"]), Vec::<String>::new());
    assert_eq!(made(&out, "b"), first);
    source(&wheels, "new", "pass");
    assert_eq!(grade(&["--only", "b"]), ["b"]);
    assert_ne!(made(&out, "b"), first);
}
