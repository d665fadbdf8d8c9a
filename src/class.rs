//! A class that is graded: what came of each submission, appended to a file that only grows, and who is to be measured.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::evidence::{Bundle, sha256_hex};
use crate::scorecard::{RubricRef, Scorecard, Verdict, WorldRef};

/// The schema name of a line of results.
pub const SCHEMA: &str = "reelworld/result/v1";
/// The file of results in a run's folder.
pub const RESULTS: &str = "results.jsonl";

/// What must be the same for two measurings to be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The milestone.
    pub milestone: String,
    /// The rubric.
    pub rubric: RubricRef,
    /// The SHA-256 of the assignment file.
    pub assignment_sha256: String,
    /// The world.
    pub world: WorldRef,
    /// The seed of the traffic.
    pub seed: u64,
}

impl Terms {
    /// Returns the name of a result: the same submission under the same terms has the same one, wherever it is measured.
    pub fn key(&self, submission: &str, identity: &str) -> String {
        let parts = serde_json::json!([submission, identity, self]);
        sha256_hex(parts.to_string().as_bytes())
    }

    /// Whether a bundle was measured under these terms. A rubric may change afterwards: judging needs no service.
    pub fn fit(&self, bundle: &Bundle) -> bool {
        let manifest = &bundle.manifest;
        self.as_measured()
            == (
                manifest.milestone.as_str(),
                manifest.assignment_sha256.as_str(),
                &manifest.world,
                manifest.seed,
            )
    }

    /// Returns what decides how a submission is measured: all but the rubric.
    pub fn as_measured(&self) -> (&str, &str, &WorldRef, u64) {
        (&self.milestone, &self.assignment_sha256, &self.world, self.seed)
    }
}

/// One line of the results: a submission came to an end, whichever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultLine {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The submission.
    pub submission: String,
    /// Where it came from.
    pub source: String,
    /// What tells its files from others.
    pub identity: String,
    /// Under which terms it was measured.
    pub terms: Terms,
    /// When it ended, RFC 3339.
    pub ended_at: String,
    /// How long its turns took together, in seconds.
    pub took_s: f64,
    /// What came of it.
    pub end: End,
}

/// What came of one measuring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// It was measured to the end and judged.
    Graded {
        /// The points earned.
        score: f64,
        /// The points to be had.
        max: f64,
        /// The points that wait for a person.
        pending: f64,
        /// The points that the run could not decide.
        undecided: f64,
        /// The verdict on each criterion.
        verdicts: BTreeMap<String, Verdict>,
    },
    /// Its deadline passed; what was measured by then is kept.
    OutOfTime {
        /// The deadline, in seconds.
        deadline_s: u64,
    },
    /// This machine refused.
    Machine {
        /// What it said.
        why: String,
    },
    /// A fault of this program ended it.
    Bug {
        /// The words of the panic.
        why: String,
    },
    /// The run was stopped.
    Interrupted,
}

impl End {
    /// Returns the end that a card stands for.
    pub fn graded(card: &Scorecard) -> Self {
        let verdicts = card.criteria.iter();
        Self::Graded {
            score: card.score,
            max: card.max,
            pending: card.pending,
            undecided: card.undecided,
            verdicts: verdicts
                .map(|criterion| (criterion.id.clone(), criterion.verdict))
                .collect(),
        }
    }
}

/// The file of results, open for appending.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    file: File,
}

impl Results {
    /// Opens the results of a run's folder; what is there stays as it is.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(run: &Path) -> io::Result<Self> {
        let path = run.join(RESULTS);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)?;
        // A line that was cut when a machine went down is ended, so that the next one is whole.
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self { path, file })
    }

    /// Appends a line; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append(&mut self, line: &ResultLine) -> io::Result<()> {
        let mut text = serde_json::to_vec(line).expect("a result holds only plain values");
        text.push(b'\n');
        self.file
            .write_all(&text)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", self.path.display())))
    }

    /// Reads the results of a run's folder, in the order in which they came; a line that was cut is none.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(run: &Path) -> io::Result<Vec<ResultLine>> {
        let text = match std::fs::read(run.join(RESULTS)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let lines = text.split(|byte| *byte == b'\n');
        Ok(lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect())
    }
}

/// What is wanted of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Keep what is finished.
    pub resume: bool,
    /// Measure these alone; all if there are none.
    pub only: Vec<String>,
    /// Measure again what has no verdict.
    pub retry: bool,
}

/// How a submission stands before a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// It was measured to its end, or to its deadline, as it is now and under the same terms.
    pub ended: bool,
    /// Something of it has no verdict.
    pub open: bool,
}

/// What a run does with a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Measure it.
    Measure,
    /// Show what is there.
    Keep,
    /// It is not asked for and there is nothing to show.
    Leave,
}

/// Decides what a run does with a submission.
pub fn plan(name: &str, wish: &Wish, before: Before) -> Plan {
    let asked = wish.only.is_empty() || wish.only.iter().any(|only| only == name);
    let keep = match (asked, wish.retry, wish.resume) {
        (false, ..) => true,
        (true, true, _) => !before.open,
        (true, false, resume) => resume,
    };
    match (keep, before.ended, asked) {
        (true, true, _) => Plan::Keep,
        (true, false, false) => Plan::Leave,
        (true, false, true) | (false, ..) => Plan::Measure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(seed: u64) -> Terms {
        Terms {
            milestone: "m1".to_owned(),
            rubric: RubricRef {
                id: "m1".to_owned(),
                version: "1".to_owned(),
                sha256: "ab".to_owned(),
            },
            assignment_sha256: "cd".to_owned(),
            world: WorldRef {
                users: 1,
                movies: 1,
                profile: "classic".to_owned(),
                fingerprint: String::new(),
                practice: true,
            },
            seed,
        }
    }

    fn line(name: &str, end: End) -> ResultLine {
        ResultLine {
            schema: SCHEMA.to_owned(),
            submission: name.to_owned(),
            source: "x".to_owned(),
            identity: "y".to_owned(),
            terms: terms(1),
            ended_at: String::new(),
            took_s: 1.5,
            end,
        }
    }

    #[test]
    fn results_only_grow_and_a_cut_line_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let first = line("a", End::Interrupted);
        let second = line("b", End::OutOfTime { deadline_s: 3 });
        Results::open(dir.path()).unwrap().append(&first).unwrap();
        let path = dir.path().join(RESULTS);
        let whole = std::fs::read(&path).unwrap();
        let cut = [&whole[..], &whole[..whole.len() / 2]].concat();
        std::fs::write(&path, &cut).unwrap();
        Results::open(dir.path()).unwrap().append(&second).unwrap();
        assert!(
            std::fs::read(&path).unwrap().starts_with(&cut),
            "nothing is rewritten"
        );
        assert_eq!(Results::read(dir.path()).unwrap(), [first, second]);
    }

    #[test]
    fn a_key_is_the_same_for_the_same_submission_under_the_same_terms() {
        let key = terms(1).key("falcons", "c0ffee");
        assert_eq!(key, terms(1).key("falcons", "c0ffee"));
        for other in [
            terms(2).key("falcons", "c0ffee"),
            terms(1).key("hawks", "c0ffee"),
            terms(1).key("falcons", "c0ffef"),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn what_is_measured_follows_from_the_wish_and_from_what_is_there() {
        let wish = |resume, only: &[&str], retry| Wish {
            resume,
            only: only.iter().map(|name| (*name).to_owned()).collect(),
            retry,
        };
        let (new, ended, open) = (
            Before {
                ended: false,
                open: true,
            },
            Before {
                ended: true,
                open: false,
            },
            Before {
                ended: true,
                open: true,
            },
        );
        for (wish, before, wanted) in [
            (wish(false, &[], false), new, Plan::Measure),
            (wish(false, &[], false), ended, Plan::Measure),
            (wish(true, &[], false), new, Plan::Measure),
            (wish(true, &[], false), ended, Plan::Keep),
            (wish(true, &[], false), open, Plan::Keep),
            (wish(false, &[], true), open, Plan::Measure),
            (wish(false, &[], true), ended, Plan::Keep),
            (wish(false, &[], true), new, Plan::Measure),
            (wish(false, &["a"], false), ended, Plan::Measure),
            (wish(true, &["a"], false), ended, Plan::Keep),
            (wish(false, &["b"], false), ended, Plan::Keep),
            (wish(false, &["b"], false), new, Plan::Leave),
            (wish(false, &["b"], true), open, Plan::Keep),
        ] {
            assert_eq!(plan("a", &wish, before), wanted, "{wish:?} {before:?}");
        }
    }
}
