//! Names that somebody else chose: of entries in an archive, and of submissions.

use std::path::PathBuf;

/// The most parts of an entry's path.
pub(super) const MOST_DEPTH: usize = 40;
/// The most bytes of one part: what file systems take.
const MOST_PART: usize = 255;
/// The most bytes of a path.
const MOST_PATH: usize = 2_000;
/// The most signs of a submission's name: it is a folder's name and a column of a table.
const MOST_NAME: usize = 80;

/// Returns the path of an entry below the folder it is unpacked to; none for the folder itself.
///
/// # Errors
/// Why an entry of this name is written nowhere.
pub(super) fn entry_path(name: &str) -> Result<Option<PathBuf>, String> {
    let refuse = |why: &str| Err(format!("{name:?} {why}"));
    if name.len() > MOST_PATH {
        let head: String = name.chars().take(60).collect();
        return Err(format!("{head:?}… is a path of {} bytes", name.len()));
    }
    if name.chars().any(char::is_control) {
        return refuse("has a control character in its name");
    }
    // Packers on Windows write the other slash.
    let parts: Vec<&str> = name.split(['/', '\\']).collect();
    if parts.first() == Some(&"") && parts.len() > 1 {
        return refuse("is an absolute path");
    }
    let drive = parts.first().is_some_and(|first| {
        first.len() == 2 && first.ends_with(':') && first.as_bytes()[0].is_ascii_alphabetic()
    });
    if drive {
        return refuse("is an absolute path");
    }
    if parts.contains(&"..") {
        return refuse("leads out of its folder");
    }
    let parts: Vec<&str> = parts
        .into_iter()
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.len() > MOST_DEPTH {
        return refuse(&format!("lies more than {MOST_DEPTH} folders deep"));
    }
    if parts.iter().any(|part| part.len() > MOST_PART) {
        return refuse(&format!("has a part of more than {MOST_PART} bytes"));
    }
    let path: PathBuf = parts.iter().collect();
    Ok((!parts.is_empty()).then_some(path))
}

/// Returns a submission's name as a folder and a table can hold it; none if nothing of it is left.
pub(super) fn submission_name(raw: &str) -> Option<String> {
    let plain: String = raw
        .chars()
        .map(|sign| {
            if sign.is_control() || ['/', '\\', '\u{fffd}'].contains(&sign) {
                '_'
            } else {
                sign
            }
        })
        .take(MOST_NAME)
        .collect();
    // Where it begins a line, a colon or a hash would be a command to a runner of workflows, wherever that line is printed.
    let name = plain.trim().trim_start_matches(['.', '-', ':', '#', ' ']).trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Returns who handed in a file that Canvas named: `falconsteam_LATE_1234_56789_project.zip` is `falconsteam`'s.
pub(super) fn canvas_owner(stem: &str) -> Option<&str> {
    let mut parts = stem.split('_');
    let owner = parts.next()?;
    let known = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut next = parts.next()?;
    if next == "LATE" {
        next = parts.next()?;
    }
    let rest = parts.next()?;
    let plain = !owner.is_empty() && owner.chars().all(|sign| sign.is_alphanumeric() || sign == '-');
    (plain && known(next) && known(rest) && parts.next().is_some()).then_some(owner)
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_that_climb_out_are_refused_with_the_reason() {
        for (name, why) in [
            ("../etc/passwd", "leads out"),
            ("a/../../b", "leads out"),
            ("a\\..\\b", "leads out"),
            ("/etc/passwd", "absolute"),
            ("\\windows", "absolute"),
            ("C:\\windows", "absolute"),
            ("c:/windows", "absolute"),
            ("a\u{1b}[31m", "control character"),
            ("a\0b", "control character"),
        ] {
            let error = entry_path(name).unwrap_err();
            assert!(error.contains(why), "{error}");
            assert!(!error.contains('\u{1b}') && !error.contains('\0'));
        }
        assert!(entry_path(&"a/".repeat(41)).unwrap_err().contains("deep"));
        assert!(entry_path(&"a".repeat(256)).unwrap_err().contains("255"));
        assert!(
            entry_path(&"a/".repeat(2_000))
                .unwrap_err()
                .contains("4000 bytes")
        );
    }

    #[test]
    fn ordinary_and_odd_names_keep_their_form() {
        for (name, path) in [
            ("./src/app.py", "src/app.py"),
            ("src\\app.py", "src/app.py"),
            ("a//b/", "a/b"),
            ("..a/b..", "..a/b.."),
            ("-rf", "-rf"),
            ("ünïcode ☃.py", "ünïcode ☃.py"),
        ] {
            assert_eq!(entry_path(name).unwrap().as_deref(), Some(Path::new(path)));
        }
        for top in ["", ".", "./", "././"] {
            assert_eq!(entry_path(top).unwrap(), None);
        }
    }

    #[test]
    fn names_of_submissions_are_folders_and_nothing_else() {
        for (raw, name) in [
            ("falcons", Some("falcons")),
            ("..", None),
            (".hidden", Some("hidden")),
            ("--out", Some("out")),
            ("::stop-commands::abc", Some("stop-commands::abc")),
            (" ##[error]boo", Some("[error]boo")),
            ("a/b\\c\n", Some("a_b_c_")),
            (" \u{fffd} ", Some("_")),
            ("", None),
        ] {
            assert_eq!(submission_name(raw).as_deref(), name, "{raw:?}");
        }
    }

    #[test]
    fn a_file_from_canvas_is_named_by_its_owner() {
        for (stem, owner) in [
            ("falcons_1234_56789_project", Some("falcons")),
            ("falcons_LATE_1234_56789_my_project-2", Some("falcons")),
            ("muellerana_1_2_x", Some("muellerana")),
            ("team_7_final", None),
            ("team_7_8", None),
            ("_1_2_x", None),
        ] {
            assert_eq!(canvas_owner(stem), owner, "{stem}");
        }
    }

    proptest! {
        #[test]
        fn whatever_an_entry_is_called_its_path_stays_below(name in "(\\.\\.|/|\\\\|[a-c:.]|\\PC){0,12}") {
            if let Ok(Some(path)) = entry_path(&name) {
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
                prop_assert!(path.components().count() <= MOST_DEPTH);
            }
        }

        #[test]
        fn whatever_a_submission_is_called_its_name_is_one_part(raw in "\\PC{0,100}|[./\\\\\n\u{0}-]{0,6}") {
            if let Some(name) = submission_name(&raw) {
                let parts: Vec<_> = Path::new(&name).components().collect();
                prop_assert!(matches!(parts[..], [Component::Normal(_)]), "{parts:?}");
            }
        }
    }
}
