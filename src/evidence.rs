//! The bundle of evidence: written item by item while a run goes, readable at any moment, and the only source of a grade.
//!
//! A bundle is a folder with two files. `manifest.json` says what was about to be measured and is written whole, once.
//! `items.jsonl` holds one item a line and only grows: a crash, a signal or a full disk leaves a valid bundle whose last
//! line may be cut, and a cut line is never taken for an item.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::exchange::Exchange;
use crate::mirror::Fetched;
use crate::repository::{CoverageFacts, FileFacts, HistoryFacts};
use crate::scorecard::{RubricRef, RunKind, WorldRef};

/// The schema name of a bundle.
pub const SCHEMA: &str = "reelworld/evidence/v1";
/// The file that says what is measured.
pub const MANIFEST: &str = "manifest.json";
/// The file of items.
pub const ITEMS: &str = "items.jsonl";

/// Items are handed to the system after this many lines, so that little is lost when the process is killed.
const FLUSH_EVERY: u32 = 32;

/// What a bundle is about, fixed before anything runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The version of the tool.
    pub tool: String,
    /// A student's run or a grade.
    pub kind: RunKind,
    /// The milestone.
    pub milestone: String,
    /// The submission's name.
    pub submission: String,
    /// What was measured: a folder or an address.
    pub source: String,
    /// The commit of the folder, if it is a git repository.
    pub commit: Option<String>,
    /// What tells the files that were handed in from others: a commit or a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// What of the files that were handed in was left out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The rubric at the time of measuring; a later one may be applied to the same bundle.
    pub rubric: RubricRef,
    /// The world.
    pub world: WorldRef,
    /// The seed of the run.
    pub seed: u64,
    /// The SHA-256 of the assignment file: contract and workload.
    pub assignment_sha256: String,
    /// The limit within which an answer counts, in milliseconds.
    pub deadline_ms: u64,
    /// The machine: system, processors.
    pub machine: String,
    /// When the run began, RFC 3339.
    pub started_at: String,
}

/// One thing that happened or was found, in the order in which it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "item", rename_all = "snake_case")]
pub enum Item {
    /// How the submission's programs were kept from the machine and from each other.
    Isolation(IsolationNote),
    /// What the build has had of the mirror of packages.
    Fetched(Fetched),
    /// The build came to an end.
    Build(StageEnd),
    /// The service became ready, or did not.
    Start(StageEnd),
    /// The traffic began: times of exchanges count from here.
    TrafficBegins {
        /// The number of requests that were planned.
        planned: u32,
        /// The address that was asked.
        address: String,
        /// The phases, in seconds from the first request: name, start, end.
        phases: Vec<(String, f64, f64)>,
    },
    /// One request and what came back.
    Exchange(Exchange),
    /// The traffic ended.
    TrafficEnds(TrafficEnd),
    /// What a list was worth to one asked user, by the truth or by held-out behaviour.
    User(UserScore),
    /// What a list was worth to one asked user without history.
    NewUser(NewUserScore),
    /// What the measures of lists need to know of the movies that were recommended.
    Catalogue(CatalogueFacts),
    /// What the service told of itself.
    Telemetry(TelemetryFacts),
    /// A new model was brought into the running service, or was to be.
    Update(UpdateFacts),
    /// An incident was run, or was to be.
    Incident(IncidentFacts),
    /// An attack on ratings reached the data, and the service learnt from it, or was to.
    Attack(AttackFacts),
    /// The repository's own tests came to an end.
    Tests(StageEnd),
    /// What the repository's history tells.
    History(HistoryFacts),
    /// What the files of the submitted commit tell.
    Files(FileFacts),
    /// What the run of the tests has covered.
    Coverage(CoverageFacts),
    /// The split that the offline evaluation has made of data that only this run has.
    Split(SplitFacts),
    /// What came of the commands that the README gives.
    Commands {
        /// The end of each, in their order.
        stages: Vec<StageEnd>,
    },
    /// What came of building its container image.
    Image(ImageFacts),
    /// What the team says it has found in the log, beside what is there.
    Claims(ClaimFacts),
    /// The team's report on an experiment, as it stands in the repository.
    Experiment(ReportText),
    /// The service was ended, or had ended by itself.
    End(StageEnd),
    /// The sandbox was lost, through nothing that the submission has done: nothing above says anything of it, and no more comes.
    Lost {
        /// What has become of it.
        why: String,
    },
    /// The bundle is complete.
    Finished {
        /// How long the run took, in seconds.
        duration_s: f64,
    },
}

/// What was isolated and how, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IsolationNote {
    /// By what: `sandbox: bubblewrap 0.8.0`, or `not isolated`.
    pub how: String,
    /// What else is so, a phrase each: the bounds, the user.
    pub details: Vec<String>,
    /// What this machine could not give, a phrase each.
    pub weak: Vec<String>,
}

/// How a stage of the service's life came out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StageEnd {
    /// Whether it went well.
    pub ok: bool,
    /// What was run or asked.
    pub command: String,
    /// What happened, as a phrase: `ready after 0.4 s`.
    pub what: String,
    /// What would help, if we know it.
    pub hint: Option<String>,
    /// Whether the fault is this machine's or ours, so that nothing may be charged to the team.
    pub ours: bool,
    /// What we asked and what we got.
    pub evidence: Vec<String>,
    /// The last lines of the output, bounded.
    pub log_tail: Vec<String>,
    /// Processes and threads that were not begun, as there were as many as may be.
    #[serde(default)]
    pub refused: u64,
}

impl StageEnd {
    /// What stands in the place of a command where the files of a submission were to be taken.
    pub const UNPACK: &str = "unpack";

    /// Whether what was handed in could not be taken, through no fault of ours.
    pub fn is_refusal(&self) -> bool {
        self.command == Self::UNPACK && !self.ok && !self.ours
    }
}

/// How the traffic ended, and whether our own side kept its promises.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrafficEnd {
    /// Requests dispatched.
    pub dispatched: u32,
    /// The median of our own lateness in milliseconds.
    pub lateness_p50_ms: f64,
    /// Its 99th percentile.
    pub lateness_p99_ms: f64,
    /// Its maximum.
    pub lateness_max_ms: f64,
    /// Connections opened.
    pub connections: u64,
    /// Requests sent a second time because a kept connection had been closed.
    pub stale_retries: u64,
    /// Why latency cannot be judged from this run, if it cannot.
    pub tainted: Option<String>,
    /// Whether the run was interrupted before its end.
    pub interrupted: bool,
}

/// What a service told of itself; each part only where the rubric asks for it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TelemetryFacts {
    /// Its metrics before the traffic and after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<[Scrape; 2]>,
    /// The versions that it named behind the lists of some users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Vec<Provenance>>,
    /// The arms of the experiment that some users were in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<ArmFacts>,
}

/// A look at a service's metrics.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Scrape {
    /// The requests that the named counter had counted.
    pub requests: Option<f64>,
    /// The named histogram: upper bound in seconds (none is the last, which has no bound), and how many were at most that.
    pub buckets: Vec<(Option<f64>, f64)>,
    /// Why there is nothing to read, if there is not.
    pub fault: Option<String>,
}

/// The versions behind one user's list, as the service names them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// The user.
    pub user: u32,
    /// The model.
    pub model: Option<String>,
    /// The commit.
    pub code: Option<String>,
    /// The data.
    pub data: Option<String>,
    /// What of these is named and not to be found: neither a commit, a tag nor a file of the repository.
    pub missing: Vec<String>,
    /// What came instead of an answer, if anything did.
    pub fault: Option<String>,
}

/// Who was in which arm.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ArmFacts {
    /// The announced share of each arm.
    pub announced: BTreeMap<String, f64>,
    /// User, and the arm named at the first and at the second asking.
    pub answers: Vec<(u32, Option<String>, Option<String>)>,
    /// Why nobody was asked, if nobody was.
    pub fault: Option<String>,
}

/// A report that a team hands in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportText {
    /// Its text.
    Read(String),
    /// Why there is none to be read.
    Unreadable(String),
}

/// One bringing of a new model into the running service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UpdateFacts {
    /// When it began, in seconds from the first request.
    pub from_s: f64,
    /// When it had ended.
    pub to_s: f64,
    /// Whether the command went well.
    pub ok: bool,
    /// What happened, as a phrase.
    pub what: String,
    /// The model that the service named before.
    pub before: Option<String>,
    /// The model that it named afterwards.
    pub after: Option<String>,
    /// The last lines of the command's output.
    pub log_tail: Vec<String>,
}

/// One incident while the service was asked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct IncidentFacts {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// What happened, as a phrase.
    pub what: String,
    /// When it began, in seconds from the first request.
    pub from_s: f64,
    /// When it ended.
    pub to_s: f64,
    /// Until when the service was watched.
    pub until_s: f64,
    /// Whether it was of a part of the company that the service had never read: then nothing went wrong for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
    /// Why it could not be run, if it could not: never the team's fault.
    pub fault: Option<String>,
    /// What the service's own alert said, by moment; none where it has no alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Vec<(f64, f64)>>,
    /// The movie that was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub movie: Option<String>,
    /// How long it might still be recommended, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<f64>,
    /// What the service said when it was told of the withdrawal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
}

/// An attack on ratings that reached a team's data; for staff, as it names the movie.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AttackFacts {
    /// Why the attack could not be made, if it could not: never the team's fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The movie that was pushed.
    pub movie: String,
    /// The number of accounts that pushed it.
    pub accounts: u32,
    /// How the update went that learnt from the attacked data.
    pub update: StageEnd,
    /// The model that the service named before.
    pub model_before: Option<String>,
    /// The model that it named afterwards.
    pub model_after: Option<String>,
    /// Of the users who were asked about, those who got a list before the update, and those who had the movie in it.
    pub before: (u32, u32),
    /// The same after the update.
    pub after: (u32, u32),
    /// The mean place of the movie in the lists that had it before; none where none had.
    pub rank_before: Option<f64>,
    /// The same after the update.
    pub rank_after: Option<f64>,
}

/// What a team says it has found in the log, beside what is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClaimFacts {
    /// Why the file can't be read: all its faults.
    pub faults: Option<String>,
    /// The number of claims.
    pub claims: u32,
    /// The number of troubles that were found.
    pub found: u32,
    /// The number of troubles that a log of this size can show.
    pub findable: u32,
    /// The number of claims of what is not there.
    pub false_claims: u32,
    /// Each claim and what came of it, and what nobody found: for staff.
    pub details: Vec<String>,
}

/// What came of building a container image; nothing where the commit has no file for one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageFacts {
    /// Why it could not be told, if so: this machine has no tool, or what the image is made of could not be fetched.
    pub fault: Option<String>,
    /// How the build ended.
    pub stage: Option<StageEnd>,
}

/// What a split turns out to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SplitFacts {
    /// Why there is nothing to compare, if there isn't.
    pub fault: Option<String>,
    /// The last lines that the evaluation has printed.
    pub log_tail: Vec<String>,
    /// Rows to learn from.
    pub train: u64,
    /// Rows to test on.
    pub test: u64,
    /// Rows of both that are no events of the data.
    pub strangers: u64,
    /// Events to test on that are also learnt from.
    pub both: u64,
    /// Other events to test on of users of whom something later is learnt from.
    pub early: u64,
    /// Users to test on of whom anything is learnt from.
    pub known_users: u64,
    /// Users to test on.
    pub users: u64,
    /// Users whom only this run's data has.
    pub planted: u32,
    /// Those of them who are in the split.
    pub planted_seen: u32,
    /// Rows that show what is wrong.
    pub examples: Vec<String>,
}

/// What the lists that one user got were worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserScore {
    /// The user.
    pub user: u32,
    /// The groups: attribute and group.
    pub groups: BTreeMap<String, String>,
    /// The number of movies in the user's released history: the activity that a gap is adjusted for.
    pub history: u32,
    /// Expected enjoyment, known to the grader alone.
    pub enjoyment: Option<EnjoymentScore>,
    /// Agreement with what the user watched afterwards.
    pub observed: Option<ObservedScore>,
    /// The movies for adults only that a user under age got in any list; none where the user is of age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsuitable: Option<Vec<String>>,
}

/// Expected enjoyment of three lists for one user, each in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EnjoymentScore {
    /// Of the list that the service gave; 0 if it gave none.
    pub service: f64,
    /// Of the most popular list.
    pub popular: f64,
    /// Of the best list there is.
    pub oracle: f64,
}

/// Expected enjoyment of three lists for one user without history, each in [0, 1]; known to the grader alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NewUserScore {
    /// The user.
    pub user: u32,
    /// Whether any valid list came.
    pub got_a_list: bool,
    /// Of the first valid list that the service gave; 0 if it gave none.
    pub service: f64,
    /// Of a list at random.
    pub random: f64,
    /// Of the most popular list.
    pub popular: f64,
}

/// Agreement of a list with held-out behaviour for one user.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ObservedScore {
    /// NDCG@20 of the service's list.
    pub ndcg: f64,
    /// Whether any of the 20 was watched: 1 or 0.
    pub hit: f64,
    /// Recall@20.
    pub recall: f64,
    /// NDCG@20 of the most popular list.
    pub popular_ndcg: f64,
}

/// What the measures of lists need to know of the catalogue.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CatalogueFacts {
    /// The number of movies, recommended or not.
    pub size: u32,
    /// The number of users behind the viewer counts.
    pub panel: u32,
    /// For each movie that was recommended: how many of them watched it, and its genres.
    pub movies: BTreeMap<String, (u32, Vec<String>)>,
    /// What a play of each of them costs the company, in dollars, where the contract tells.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub costs: BTreeMap<String, f64>,
}

/// Why a bundle can't be written or read.
#[derive(Debug)]
pub enum BundleError {
    /// The system refused.
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// A file does not hold what a bundle holds.
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        error: String,
    },
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "cannot use `{}`: {error}", path.display()),
            Self::Malformed { path, line, error } => {
                write!(
                    f,
                    "{}:{line}:1: not an evidence bundle of this version: {error}",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for BundleError {}

/// A bundle that is being written.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    since_flush: u32,
}

impl Writer {
    /// Begins a bundle in a folder, which is made if need be.
    ///
    /// A bundle that stands there already is kept aside as `interrupted-N`: a load test that was cut in the middle is
    /// not one experiment, so it is evidence, but it is not continued.
    ///
    /// # Errors
    /// When the folder or its files cannot be written.
    pub fn begin(dir: &Path, manifest: &Manifest) -> Result<Self, BundleError> {
        set_aside(dir)?;
        fs::create_dir_all(dir).map_err(|error| io_error(dir, error))?;
        let path = dir.join(ITEMS);
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .map_err(|error| io_error(&path, error))?;
        let text = serde_json::to_string_pretty(manifest).expect("a manifest holds only plain values");
        write_whole(&dir.join(MANIFEST), text.as_bytes())?;
        Ok(Self {
            path,
            file: BufWriter::new(file),
            since_flush: 0,
        })
    }

    /// Appends one item.
    ///
    /// # Errors
    /// When the disk refuses; what was appended before stays valid.
    pub fn append(&mut self, item: &Item) -> Result<(), BundleError> {
        let mut line = serde_json::to_vec(item).expect("an item holds only plain values");
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(|error| io_error(&self.path, error))?;
        self.since_flush += 1;
        if self.since_flush >= FLUSH_EVERY || !matches!(item, Item::Exchange(_) | Item::User(_)) {
            self.file.flush().map_err(|error| io_error(&self.path, error))?;
            self.since_flush = 0;
        }
        Ok(())
    }

    /// Ends the bundle: everything is on the disk when this returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self, duration_s: f64) -> Result<(), BundleError> {
        self.append(&Item::Finished { duration_s })?;
        let file = self
            .file
            .into_inner()
            .map_err(|error| io_error(&self.path, error.into_error()))?;
        file.sync_all().map_err(|error| io_error(&self.path, error))
    }
}

/// A bundle that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// What it is about.
    pub manifest: Manifest,
    /// What happened.
    pub items: Vec<Item>,
    /// Whether the last line was cut and so left out.
    pub cut: bool,
    /// The SHA-256 of each file.
    pub hashes: BTreeMap<String, String>,
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// When a file is missing or holds something else; a cut last line is no error.
    pub fn read(dir: &Path) -> Result<Self, BundleError> {
        let manifest_path = dir.join(MANIFEST);
        let manifest_bytes = read_all(&manifest_path)?;
        let manifest: Manifest =
            serde_json::from_slice(&manifest_bytes).map_err(|error| BundleError::Malformed {
                path: manifest_path.clone(),
                line: error.line(),
                error: error.to_string(),
            })?;
        if manifest.schema != SCHEMA {
            let error = format!("its schema is `{}`, this tool reads `{SCHEMA}`", manifest.schema);
            return Err(BundleError::Malformed {
                path: manifest_path,
                line: 1,
                error,
            });
        }
        let items_path = dir.join(ITEMS);
        let bytes = read_all(&items_path)?;
        let (items, cut) = parse_items(&bytes).map_err(|(line, error)| BundleError::Malformed {
            path: items_path,
            line,
            error,
        })?;
        let hashes = [(MANIFEST, &manifest_bytes), (ITEMS, &bytes)]
            .into_iter()
            .map(|(name, bytes)| (name.to_owned(), sha256_hex(bytes)))
            .collect();
        Ok(Self {
            manifest,
            items,
            cut,
            hashes,
        })
    }

    /// Tells whether the run came to its end.
    pub fn finished(&self) -> bool {
        matches!(self.items.last(), Some(Item::Finished { .. }))
    }
}

/// Returns the SHA-256 of bytes in hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _written = write!(text, "{byte:02x}");
            text
        })
}

/// Writes a file so that a reader sees the old content or the new one, never a half.
///
/// # Errors
/// When the disk refuses.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        set_readable(file.as_file())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error| io_error(path, error))
}

/// A temporary file is its owner's alone; a report is for whoever may read the folder.
#[cfg(unix)]
fn set_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_readable(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Reads the items of a file's bytes; the second value tells whether a cut last line was left out.
fn parse_items(bytes: &[u8]) -> Result<(Vec<Item>, bool), (usize, String)> {
    let mut items = Vec::new();
    let mut rest = bytes;
    let mut line = 0;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        line += 1;
        items.push(serde_json::from_slice(&rest[..end]).map_err(|error| (line, error.to_string()))?);
        rest = &rest[end + 1..];
    }
    Ok((items, !rest.is_empty()))
}

/// Moves the files of an earlier run of the same submission into a numbered folder.
fn set_aside(dir: &Path) -> Result<(), BundleError> {
    if !dir.join(ITEMS).exists() {
        return Ok(());
    }
    let aside = (1..)
        .map(|n| dir.join(format!("interrupted-{n}")))
        .find(|aside| !aside.exists());
    let aside = aside.expect("the numbers do not end");
    fs::create_dir_all(&aside).map_err(|error| io_error(&aside, error))?;
    for name in [ITEMS, MANIFEST] {
        let from = dir.join(name);
        if from.exists() {
            fs::rename(&from, aside.join(name)).map_err(|error| io_error(&from, error))?;
        }
    }
    Ok(())
}

fn read_all(path: &Path) -> Result<Vec<u8>, BundleError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|error| io_error(path, error))?;
    Ok(bytes)
}

fn io_error(path: &Path, error: io::Error) -> BundleError {
    BundleError::Io {
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Outcome, Phase, Planned, RequestKind};

    fn manifest() -> Manifest {
        Manifest {
            schema: SCHEMA.to_owned(),
            tool: "0".to_owned(),
            kind: RunKind::Grade,
            milestone: "m1".to_owned(),
            submission: "team".to_owned(),
            source: "team".to_owned(),
            commit: None,
            identity: None,
            left_out: Vec::new(),
            rubric: RubricRef {
                id: "m1".to_owned(),
                version: "1".to_owned(),
                sha256: String::new(),
            },
            world: WorldRef {
                users: 10,
                movies: 10,
                profile: "classic".to_owned(),
                fingerprint: String::new(),
                practice: true,
            },
            seed: 1,
            assignment_sha256: String::new(),
            deadline_ms: 800,
            machine: String::new(),
            started_at: String::new(),
        }
    }

    fn exchange(seq: u32) -> Item {
        let planned = Planned {
            seq,
            intended_ns: 5,
            phase: Phase::Steady,
            kind: RequestKind::Known,
            path: "/recommend/1".to_owned(),
            user: Some(1),
        };
        let outcome = Outcome::Answered {
            ids: vec!["a+2000".to_owned()],
        };
        Item::Exchange(Exchange {
            planned,
            dispatched_ns: 6,
            sent_ns: Some(7),
            finished_ns: 8,
            outcome,
        })
    }

    #[test]
    fn a_bundle_reads_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::begin(dir.path(), &manifest()).unwrap();
        for seq in 0..100 {
            writer.append(&exchange(seq)).unwrap();
        }
        writer.finish(1.5).unwrap();
        let bundle = Bundle::read(dir.path()).unwrap();
        assert!(bundle.finished() && !bundle.cut);
        assert_eq!(bundle.items.len(), 101);
        assert_eq!(bundle.items[3], exchange(3));
        assert_eq!(bundle.manifest, manifest());
    }

    #[test]
    fn a_bundle_cut_at_any_byte_reads_as_what_was_whole() {
        let mut bytes = Vec::new();
        for seq in 0..5 {
            serde_json::to_writer(&mut bytes, &exchange(seq)).unwrap();
            bytes.push(b'\n');
        }
        for cut in 0..bytes.len() {
            let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
            let (items, was_cut) = parse_items(&bytes[..cut]).unwrap();
            assert_eq!(items.len(), whole);
            assert_eq!(was_cut, cut > 0 && bytes[cut - 1] != b'\n');
        }
    }

    #[test]
    fn an_earlier_run_is_kept_aside_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        for run in 0..3 {
            let mut writer = Writer::begin(dir.path(), &manifest()).unwrap();
            writer.append(&exchange(run)).unwrap();
            drop(writer);
        }
        for run in 0..2 {
            let aside = Bundle::read(&dir.path().join(format!("interrupted-{}", run + 1))).unwrap();
            assert_eq!(aside.items, [exchange(run)]);
            assert!(!aside.finished());
        }
    }

    #[test]
    fn a_line_that_is_no_item_is_told_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        drop(Writer::begin(dir.path(), &manifest()).unwrap());
        fs::write(
            dir.path().join(ITEMS),
            "{\"item\":\"finished\",\"duration_s\":1}\n{\"item\":\"gift\"}\n",
        )
        .unwrap();
        let error = Bundle::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("items.jsonl:2:1"), "{error}");
    }
}
