//! Finding submissions among what a command names: one each, or a folder as a course system exports it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Source;
use super::archive::packing;
use super::name::{canvas_owner, submission_name};
use crate::sandbox::SERVICE_FILE;

/// A submission: what it is called, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Submission {
    /// The name: a folder of the run, a line of every table.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
}

/// The most submissions of one run.
const MOST: usize = 5_000;
/// Names that a run's folder keeps for itself.
const RESERVED: [&str; 7] = [
    "data",
    "packages",
    "queue",
    "report.html",
    "results.jsonl",
    "class.csv",
    "class.json",
];

/// Finds the submissions that words of a command line name: folders, archives, `URL@COMMIT`, a folder of many, and any of
/// them with a name before it, as `falcons=submission.zip`.
///
/// # Errors
/// What is wrong with the words, as a sentence; two submissions of one name are an error, as one would overwrite the other.
pub fn find(words: &[String]) -> Result<Vec<Submission>, String> {
    let mut all = Vec::new();
    for word in words {
        match named(word) {
            Some((name, rest)) => {
                let one = one(rest)?.ok_or_else(|| {
                    format!("`{rest}` is a folder of many submissions, which have their own names")
                })?;
                all.push((name.to_owned(), one.1));
            }
            None => match one(word)? {
                Some(found) => all.push(found),
                None => all.extend(many(Path::new(word))?),
            },
        }
    }
    if all.len() > MOST {
        return Err(format!(
            "{} submissions are more than the {MOST} of one run",
            all.len()
        ));
    }
    let mut seen: BTreeMap<String, Source> = BTreeMap::new();
    let mut found = Vec::new();
    for (raw, source) in all {
        let name = submission_name(&raw)
            .filter(|name| !RESERVED.contains(&name.as_str()))
            .ok_or_else(|| {
                format!(
                    "`{}` cannot be a submission's name; write NAME={source}",
                    raw.escape_debug()
                )
            })?;
        if let Some(other) = seen.insert(name.clone(), source.clone()) {
            return Err(format!(
                "`{other}` and `{source}` have the same name; write NAME={source}"
            ));
        }
        found.push(Submission { name, source });
    }
    Ok(found)
}

/// Takes a name off a word, unless the whole word is there as a file.
fn named(word: &str) -> Option<(&str, &str)> {
    let (name, rest) = word.split_once('=')?;
    let plain = name.starts_with(char::is_alphanumeric)
        && name
            .chars()
            .all(|sign| sign.is_alphanumeric() || "-_.".contains(sign));
    (plain && !Path::new(word).exists()).then_some((name, rest))
}

/// Returns the one submission that a word names; none if it names a folder of many.
fn one(word: &str) -> Result<Option<(String, Source)>, String> {
    let path = Path::new(word);
    if !path.exists()
        && let Some(source) = repository(word)?
    {
        let Source::Git { url, .. } = &source else {
            return Ok(None);
        };
        let last = url
            .trim_end_matches('/')
            .rsplit(['/', ':'])
            .next()
            .unwrap_or_default();
        let name = last.strip_suffix(".git").unwrap_or(last).to_owned();
        return Ok(Some((name, source)));
    }
    let real = fs::canonicalize(path).map_err(|error| format!("`{word}` is not a submission: {error}"))?;
    let name = real
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    if real.is_dir() {
        return Ok((!is_class(&real)?).then_some((name, Source::Folder(real))));
    }
    match packing(&name) {
        Some((_, stem)) if real.is_file() => Ok(Some((owner(stem), Source::Archive(real)))),
        _ => Err(format!(
            "`{word}` is neither a folder nor a .zip, .tar, .tar.gz or .tgz"
        )),
    }
}

fn owner(stem: &str) -> String {
    canvas_owner(stem).unwrap_or(stem).to_owned()
}

/// Reads `URL@COMMIT`; none if the word is no address.
fn repository(word: &str) -> Result<Option<Source>, String> {
    let scheme = ["https://", "http://", "ssh://", "git://", "file://"]
        .iter()
        .any(|scheme| word.starts_with(scheme));
    // The short form of ssh: user@host:path.
    let short = word.split_once(':').is_some_and(|(host, path)| {
        !path.starts_with("//")
            && host.split_once('@').is_some_and(|(user, host)| {
                let plain = |text: &str| {
                    text.chars().next().is_some_and(char::is_alphanumeric)
                        && text
                            .chars()
                            .all(|sign| sign.is_ascii_alphanumeric() || "-_.".contains(sign))
                };
                plain(user) && plain(host)
            })
    });
    if !scheme && !short {
        return match word.split_once("://") {
            Some((scheme, _)) => Err(format!(
                "`{}` addresses are not fetched; https, ssh, git and file are",
                scheme.escape_debug()
            )),
            None => Ok(None),
        };
    }
    let is_commit =
        |text: &str| [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match word.rsplit_once('@') {
        Some((url, commit)) if is_commit(commit) => Ok(Some(Source::Git {
            url: url.to_owned(),
            commit: commit.to_ascii_lowercase(),
        })),
        _ => Err(format!(
            "`{}` names no commit; write URL@COMMIT with all digits of the commit, so that what is graded cannot change",
            super::without_password(word)
        )),
    }
}

/// Whether a folder holds submissions and is none: it says not how a service is started, and either holds nothing but folders,
/// archives and a course system's notes, of which one at least looks like a submission, or two folders that do.
fn is_class(folder: &Path) -> Result<bool, String> {
    if folder.join(SERVICE_FILE).exists()
        || folder.join(".git").exists()
        || folder.join("Dockerfile").exists()
    {
        return Ok(false);
    }
    let (mut any, mut only, mut repositories) = (false, true, 0);
    for path in entries(folder)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            let looks = path.join(SERVICE_FILE).exists() || path.join(".git").exists();
            any |= looks;
            repositories += u32::from(looks);
        } else if packing(&name).is_some() {
            any = true;
        } else if !is_note(&name) {
            only = false;
        }
    }
    Ok(any && only || repositories >= 2)
}

/// What course systems put beside submissions.
fn is_note(name: &str) -> bool {
    [".csv", ".yml", ".yaml", ".txt", ".json"]
        .iter()
        .any(|ending| name.to_ascii_lowercase().ends_with(ending))
}

/// Returns the submissions of a class's folder, by name.
fn many(folder: &Path) -> Result<Vec<(String, Source)>, String> {
    let real = fs::canonicalize(folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
    let mut all = Vec::new();
    for path in entries(&real)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            all.push((name, Source::Folder(path)));
        } else if let Some((_, stem)) = packing(&name) {
            all.push((owner(stem), Source::Archive(path)));
        }
    }
    Ok(all)
}

/// Returns what a folder holds, in order, without hidden files and links: a link may lead to another team's work.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error: std::io::Error| format!("cannot read `{}`: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.') || name == "__MACOSX";
        if !hidden && !entry.file_type().map_err(unreadable)?.is_symlink() {
            paths.push(entry.path());
        }
        if paths.len() > MOST {
            return Err(format!("`{}` holds more than {MOST} entries", folder.display()));
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn names(words: &[&str]) -> Result<Vec<String>, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Ok(find(&words)?.into_iter().map(|one| one.name).collect())
    }

    #[test]
    fn a_folder_of_a_course_system_is_a_class() {
        let home = tempfile::tempdir().unwrap();
        let class = home.path().join("export");
        fs::create_dir_all(class.join("submission_17")).unwrap();
        fs::write(class.join("submission_17").join(SERVICE_FILE), "").unwrap();
        fs::create_dir_all(class.join("submission_9")).unwrap();
        for file in [
            "hawksteam_LATE_12_345_final.zip",
            "Owls.TAR.GZ",
            "grades.csv",
            ".DS_Store",
        ] {
            fs::write(class.join(file), "").unwrap();
        }
        let found = names(&[class.to_str().unwrap()]).unwrap();
        assert_eq!(found, ["Owls", "hawksteam", "submission_17", "submission_9"]);
        // A repository with folders of its own is one submission, also without the file that it should have.
        let one = home.path().join("one");
        fs::create_dir_all(one.join("src")).unwrap();
        fs::write(one.join("README.md"), "").unwrap();
        assert_eq!(names(&[one.to_str().unwrap()]).unwrap(), ["one"]);
        // A loose file among repositories makes no submission of their folder.
        let loose = home.path().join("loose");
        for team in ["hawks", "owls"] {
            fs::create_dir_all(loose.join(team).join(".git")).unwrap();
        }
        fs::write(loose.join("export.log"), "").unwrap();
        assert_eq!(names(&[loose.to_str().unwrap()]).unwrap(), ["hawks", "owls"]);
        let both = [one.to_str().unwrap(), class.to_str().unwrap()];
        assert_eq!(names(&both).unwrap().len(), 5);
    }

    #[test]
    fn a_repository_is_named_by_its_address_and_needs_a_commit() {
        let word = |url: &str| format!("{url}@{COMMIT}");
        for url in [
            "https://host.example/org/hawks.git",
            "ssh://git@host.example/org/hawks",
            "git@host.example:org/hawks.git",
        ] {
            assert_eq!(names(&[&word(url)]).unwrap(), ["hawks"]);
        }
        let both = [
            word("https://h.example/a/project"),
            format!("owls={}", word("https://h.example/b/project")),
        ];
        assert_eq!(names(&[&both[0], &both[1]]).unwrap(), ["project", "owls"]);
        for (bad, why) in [
            (
                "https://tok:en@h.example/a@main",
                "`https://h.example/a@main` names no commit",
            ),
            ("https://h.example/a", "names no commit"),
            ("ext::sh -c 'touch x' %S://", "are not fetched"),
            ("-oProxyCommand=x@host:path", "is not a submission"),
        ] {
            let error = names(&[bad]).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn two_of_one_name_and_names_that_are_kept_are_errors() {
        let home = tempfile::tempdir().unwrap();
        for folder in ["a/team", "b/team", "c/data"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let path = |folder: &str| home.path().join(folder).display().to_string();
        let error = names(&[&path("a/team"), &path("b/team")]).unwrap_err();
        assert!(error.contains("have the same name"), "{error}");
        let renamed = format!("owls={}", path("b/team"));
        assert_eq!(names(&[&path("a/team"), &renamed]).unwrap(), ["team", "owls"]);
        assert!(
            names(&[&path("c/data")])
                .unwrap_err()
                .contains("cannot be a submission's name")
        );
    }
}
