//! What goes between the machines of one grading run: a topic of Kafka says that there is something to do, a folder that all of them
//! see says what, and takes the results.
//!
//! `RUN/queue/` holds the name of the folder and that of its present run; `RUN/queue/ID/` is what belongs to one run: `KEY.task`
//! for each submission, `KEY.json` for each result, and the bundles that they name until they are moved to their place. A key
//! follows from the submission and from the terms that it is measured under, the rubric among them. The first result of a key is
//! the one that counts, so that whoever does a job once more does no harm. A message on the topic names a task and holds none: what
//! is measured is what the folder says, whoever may write to the topic.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::log::kafka_config;
use super::ui::Failure;
use crate::class::{ResultLine, Terms};
use crate::clock::Clock;
use crate::evidence::{sha256_hex, write_whole};
use crate::stream::{Job, KafkaSettings, Place, StreamError, TOPIC_PREFIX, TopicName};
use crate::submission::{Source, Submission};

/// The folder of a run that holds what goes between machines.
const FOLDER: &str = "queue";
/// The file in it with the folder's own name: workers of one folder are a group, and take no job of another's.
const NAME: &str = "name";
/// The file in it that says which run is the present one: jobs of another are nobody's.
const PRESENT: &str = "present";
/// What the group of a folder's workers begins with.
const GROUP: &str = "reelworld-workers-";
/// The schema name of a message.
const SCHEMA: &str = "reelworld/job/v1";
/// The most bytes of a message: ours have about two hundred.
const MESSAGE_BYTES: usize = 1 << 10;
/// What the folder of a job at work begins with; its key follows.
const AT_WORK: &str = "at-work-";
/// The most letters of a run's or a folder's name, and of a key.
const NAME_LETTERS: usize = 64;

/// A message on the topic.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    /// Always [`SCHEMA`].
    schema: String,
    run: String,
    key: String,
}

/// One submission to be measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Task {
    pub(super) submission: String,
    source: Whence,
    /// What must be the same for whoever measures it.
    pub(super) terms: Terms,
    /// What it may take, in seconds.
    pub(super) deadline_s: f64,
}

/// Where a submission comes from, as another machine can find it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Whence {
    Folder(PathBuf),
    Archive(PathBuf),
    Git { url: String, commit: String },
}

/// A result, as it lies beside its bundle.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Done {
    /// The folder of the bundle.
    pub(super) bundle: String,
    /// What came of it.
    pub(super) line: ResultLine,
}

impl Task {
    /// Returns the task of measuring a submission.
    ///
    /// # Errors
    /// When the submission cannot be told to others: its address holds a password, or its path is no text.
    pub(super) fn new(submission: &Submission, terms: Terms, deadline_s: f64) -> Result<Self, Failure> {
        let name = &submission.name;
        let whole = |path: &Path| {
            fs::canonicalize(path)
                .map_err(|error| Failure::machine(format!("cannot use `{}`: {error}", path.display())))
        };
        let source = match &submission.source {
            Source::Folder(path) => Whence::Folder(whole(path)?),
            Source::Archive(path) => Whence::Archive(whole(path)?),
            Source::Git { url, commit } => {
                if submission.source.to_string() != format!("{url}@{commit}") {
                    return Err(
                        Failure::usage(format!("the address of `{name}` holds a password")).hint(
                            "who sees the run's folder would read it: give the workers' git its own access",
                        ),
                    );
                }
                Whence::Git {
                    url: url.clone(),
                    commit: commit.clone(),
                }
            }
        };
        if let Whence::Folder(path) | Whence::Archive(path) = &source
            && path.to_str().is_none()
        {
            return Err(Failure::usage(format!("`{}` is not UTF-8", path.display())));
        }
        Ok(Self {
            submission: name.clone(),
            source,
            terms,
            deadline_s,
        })
    }

    /// Returns the submission, if this machine sees it.
    pub(super) fn submission(&self) -> Result<Submission, Failure> {
        let unseen = |path: &Path| {
            Failure::machine(format!("`{}` is not to be seen from here", path.display()))
                .hint("every worker needs the submissions at the same path as `grade --queue`")
        };
        let source = match &self.source {
            Whence::Folder(path) if path.is_dir() => Source::Folder(path.clone()),
            Whence::Archive(path) if path.is_file() => Source::Archive(path.clone()),
            Whence::Folder(path) | Whence::Archive(path) => return Err(unseen(path)),
            Whence::Git { url, commit } => Source::Git {
                url: url.clone(),
                commit: commit.clone(),
            },
        };
        Ok(Submission {
            name: self.submission.clone(),
            source,
        })
    }
}

/// Where the messages of a folder are.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) settings: KafkaSettings,
    pub(super) name: TopicName,
}

impl Topic {
    /// Reads the address of a queue, and a file of settings for the client.
    pub(super) fn read(text: &str, config: Option<&Path>) -> Result<Self, Failure> {
        let client = kafka_config(config)?;
        match Place::parse(text).map_err(failure)?.with_client(&client) {
            Place::Kafka { topic, .. } if topic.as_str().starts_with(TOPIC_PREFIX) => Err(Failure::usage(
                format!("`{topic}` is a team's stream, and its readers would read the queue"),
            )
            .hint("another name, as in kafka://HOST:PORT/grading")),
            Place::Kafka { settings, topic } => Ok(Self {
                settings,
                name: topic,
            }),
            Place::Archive { .. } => Err(Failure::usage(format!("`{text}` is no topic of Kafka"))
                .hint("an address is kafka://HOST:PORT/TOPIC")),
        }
    }
}

pub(super) fn failure(error: StreamError) -> Failure {
    super::log::failure(error)
}

pub(super) fn disk(what: &Path, error: &io::Error) -> Failure {
    Failure::machine(format!("cannot use `{}`: {error}", what.display()))
}

/// Whether a text may be part of a path of ours.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=NAME_LETTERS).contains(&text.len()) && text.bytes().all(plain)
}

/// Returns the message that names a task.
pub(super) fn message(run: &str, key: &str) -> Vec<u8> {
    let message = Message {
        schema: SCHEMA.to_owned(),
        run: run.to_owned(),
        key: key.to_owned(),
    };
    serde_json::to_vec(&message).expect("names are plain")
}

/// Reads a message; none if it is not one of ours.
fn read_message(text: &[u8]) -> Option<Message> {
    if text.len() > MESSAGE_BYTES {
        return None;
    }
    let message: Message = serde_json::from_slice(text).ok()?;
    (message.schema == SCHEMA && is_plain(&message.run) && is_plain(&message.key)).then_some(message)
}

/// Reads a file; none where there is none.
fn read<T>(path: &Path, of: impl Fn(&[u8]) -> Result<T, String>) -> Result<Option<T>, Failure> {
    match fs::read(path) {
        Ok(bytes) => of(&bytes).map(Some).map_err(|why| {
            Failure::machine(format!("`{}` is none of this program's: {why}", path.display()))
                .hint("every machine needs the same version of this program")
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk(path, &error)),
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn plain(bytes: &[u8]) -> Result<String, String> {
    let text = str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let text = text.trim_ascii();
    if is_plain(text) {
        Ok(text.to_owned())
    } else {
        Err("it holds no name".to_owned())
    }
}

/// The folder of a run, as the machines that work for it see it.
#[derive(Debug)]
pub(super) struct Desk {
    folder: PathBuf,
}

impl Desk {
    /// Looks at the folder of a run.
    pub(super) fn of(out: &Path) -> Self {
        Self {
            folder: out.join(FOLDER),
        }
    }

    /// Returns the group of the folder's workers; none as long as nobody has put anything here.
    pub(super) fn group(&self) -> Result<Option<String>, Failure> {
        let name = read(&self.folder.join(NAME), plain)?;
        Ok(name.map(|name| format!("{GROUP}{name}")))
    }

    /// Begins a run, or goes on with the present one; the group is there afterwards.
    pub(super) fn begin(&self, resume: bool, clock: Clock) -> Result<String, Failure> {
        fs::create_dir_all(&self.folder).map_err(|error| disk(&self.folder, &error))?;
        let now = format!("{} {}", clock.now_utc().to_rfc3339(), std::process::id());
        if self.group()?.is_none() {
            let name = sha256_hex(format!("{} {now}", self.folder.display()).as_bytes());
            write_whole(&self.folder.join(NAME), &name.as_bytes()[..32])?;
        }
        let run = match self.present()? {
            Some(run) if resume && self.run(&run).is_dir() => run,
            _ => {
                let digits = now.bytes().filter(u8::is_ascii_alphanumeric).map(char::from);
                digits.take(NAME_LETTERS).collect()
            }
        };
        let folder = self.run(&run);
        fs::create_dir_all(&folder).map_err(|error| disk(&folder, &error))?;
        write_whole(&self.folder.join(PRESENT), run.as_bytes())?;
        Ok(run)
    }

    /// Ends the present run: whoever is still at one of its jobs does it in vain. Its results stay.
    pub(super) fn end(&self, run: &str) -> Result<(), Failure> {
        let present = self.folder.join(PRESENT);
        match fs::remove_file(&present) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(&present, &error)),
            _ => {}
        }
        for name in self.names(run)? {
            let path = self.run(run).join(&name);
            if name.starts_with(AT_WORK) {
                // Somebody may still be writing there; what is left is in nobody's way.
                drop(fs::remove_dir_all(path));
            }
        }
        Ok(())
    }

    /// Returns the present run; none while there is nothing to do.
    fn present(&self) -> Result<Option<String>, Failure> {
        read(&self.folder.join(PRESENT), plain)
    }

    /// Returns the folder of a run.
    pub(super) fn run(&self, run: &str) -> PathBuf {
        self.folder.join(run)
    }

    /// Lays a task down; it is on the disk when this returns.
    pub(super) fn put(&self, run: &str, key: &str, task: &Task) -> Result<(), Failure> {
        let text = serde_json::to_vec(task).expect("a task holds only plain values");
        Ok(write_whole(&self.run(run).join(format!("{key}.task")), &text)?)
    }

    /// Returns the names of what is in the folder of a run.
    pub(super) fn names(&self, run: &str) -> Result<BTreeSet<String>, Failure> {
        let folder = self.run(run);
        let entries = fs::read_dir(&folder).map_err(|error| disk(&folder, &error))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        let names: io::Result<Vec<Option<String>>> = names.collect();
        Ok(names
            .map_err(|error| disk(&folder, &error))?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Returns what a message wants, if it is of the present run and nobody has done it.
    ///
    /// # Errors
    /// When the folder cannot be read: then nobody knows whether the job is wanted, and it must stay.
    pub(super) fn wanted(&self, job: &Job) -> Result<Option<Wanted>, Failure> {
        // Whatever else is on the topic is none of ours.
        let Some(message) = read_message(&job.text) else {
            return Ok(None);
        };
        if self.group()?.is_none() {
            let shown = self.folder.display();
            return Err(Failure::machine(format!(
                "`{shown}` is gone: is the run's folder still mounted?"
            )));
        }
        let wanted = Wanted {
            run: message.run,
            key: message.key,
            place: job.place(),
        };
        Ok(self.is_open(&wanted)?.then_some(wanted))
    }

    /// Whether a job is of the present run, and has no result yet.
    pub(super) fn is_open(&self, wanted: &Wanted) -> Result<bool, Failure> {
        Ok(self.present()?.as_deref() == Some(&wanted.run)
            && self.result(&wanted.run, &wanted.key)?.is_none())
    }

    /// Reads the task that a message names; none if there is none, as the message was a stranger's.
    pub(super) fn task(&self, wanted: &Wanted) -> Result<Option<Task>, Failure> {
        read(
            &self.run(&wanted.run).join(format!("{}.task", wanted.key)),
            json::<Task>,
        )
    }

    /// Reads a result; none as long as there is none.
    pub(super) fn result(&self, run: &str, key: &str) -> Result<Option<Done>, Failure> {
        let done = |bytes: &[u8]| {
            let done: Done = json(bytes)?;
            // It becomes part of a path.
            if done.bundle.starts_with(AT_WORK) && !done.bundle.contains('/') {
                Ok(done)
            } else {
                Err("it names no bundle".to_owned())
            }
        };
        read(&self.run(run).join(format!("{key}.json")), done)
    }

    /// Makes the folder of a job at work.
    pub(super) fn at_work(&self, wanted: &Wanted) -> Result<tempfile::TempDir, Failure> {
        let folder = self.run(&wanted.run);
        let prefix = format!("{}{}-", wanted.at_work(), std::process::id());
        tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(&folder)
            .map_err(|error| disk(&folder, &error))
    }

    /// Returns how many have begun with a message and not come to any end of it: who ends, in whichever way, takes its folder away.
    pub(super) fn begun(&self, wanted: &Wanted) -> Result<usize, Failure> {
        let prefix = wanted.at_work();
        let names = self.names(&wanted.run)?;
        Ok(names.iter().filter(|name| name.starts_with(&prefix)).count())
    }

    /// Lays a result down under its key, unless another is there.
    pub(super) fn hand_in(
        &self,
        wanted: &Wanted,
        own: tempfile::TempDir,
        line: ResultLine,
    ) -> Result<(), Failure> {
        let bundle = own
            .path()
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let done = Done {
            bundle: bundle.unwrap_or_default(),
            line,
        };
        let text = serde_json::to_vec(&done).expect("a result holds only plain values");
        let staged = own.path().join("result.json");
        write_whole(&staged, &text)?;
        let place = self.run(&wanted.run).join(format!("{}.json", wanted.key));
        match fs::hard_link(&staged, &place) {
            Ok(()) => {
                // The grader moves it to its place.
                let _kept = own.keep();
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(disk(&place, &error)),
        }
    }
}

/// Returns the key of who is at work in a folder of that name.
pub(super) fn key_at_work(name: &str) -> Option<&str> {
    name.strip_prefix(AT_WORK)?.split('-').next()
}

/// A job that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) run: String,
    pub(super) key: String,
    /// Where the message stands on the topic.
    place: String,
}

impl Wanted {
    fn at_work(&self) -> String {
        format!("{AT_WORK}{}-{}-", self.key, self.place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::class::{End, SCHEMA as RESULT};
    use crate::scorecard::{RubricRef, WorldRef};

    fn terms() -> Terms {
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
            seed: 1,
        }
    }

    fn line(took_s: f64) -> ResultLine {
        ResultLine {
            schema: RESULT.to_owned(),
            submission: "falcons".to_owned(),
            source: "x".to_owned(),
            identity: "y".to_owned(),
            terms: terms(),
            ended_at: String::new(),
            took_s,
            end: End::OutOfTime { deadline_s: 1 },
        }
    }

    fn git(url: &str) -> Submission {
        let (url, commit) = (url.to_owned(), "c0ffee".to_owned());
        Submission {
            name: "falcons".to_owned(),
            source: Source::Git { url, commit },
        }
    }

    #[test]
    fn a_password_goes_to_no_other_machine() {
        assert!(Task::new(&git("https://host/owls.git"), terms(), 1.0).is_ok());
        let failure = Task::new(&git("https://token@host/owls.git"), terms(), 1.0).unwrap_err();
        assert_eq!(failure.message, "the address of `falcons` holds a password");
    }

    #[test]
    fn the_first_result_of_a_key_stays_and_no_message_of_another_run_is_wanted() {
        let home = tempfile::tempdir().unwrap();
        let desk = Desk::of(home.path());
        let clock = Clock::start();
        let run = desk.begin(false, clock).unwrap();
        assert_eq!(desk.begin(true, clock).unwrap(), run, "the present run goes on");
        let key = terms().key("falcons", "y");
        let task = Task::new(&git("https://host/owls.git"), terms(), 2.5).unwrap();
        desk.put(&run, &key, &task).unwrap();
        let job = |text: Vec<u8>| Job::new(text, 3, 7);
        for stranger in [
            message("another", &key),
            b"{}".to_vec(),
            vec![b'['; 100_000],
            message(&run, "../../etc/passwd"),
        ] {
            assert_eq!(desk.wanted(&job(stranger)).unwrap(), None);
        }
        let wanted = desk.wanted(&job(message(&run, &key))).unwrap().unwrap();
        assert_eq!(desk.task(&wanted).unwrap(), Some(task));
        let unknown = desk.wanted(&job(message(&run, "00"))).unwrap().unwrap();
        assert_eq!(desk.task(&unknown).unwrap(), None, "nobody has laid it down");

        let (first, second) = (desk.at_work(&wanted).unwrap(), desk.at_work(&wanted).unwrap());
        assert_eq!(desk.begun(&wanted).unwrap(), 2);
        let names = desk.names(&run).unwrap();
        assert!(
            names
                .iter()
                .filter_map(|name| key_at_work(name))
                .all(|found| found == key)
        );
        desk.hand_in(&wanted, first, line(1.0)).unwrap();
        desk.hand_in(&wanted, second, line(2.0)).unwrap();
        let done = desk.result(&run, &key).unwrap().unwrap();
        assert!((done.line.took_s - 1.0).abs() < 1e-9);
        assert_eq!(desk.wanted(&job(message(&run, &key))).unwrap(), None);

        desk.end(&run).unwrap();
        assert_ne!(desk.begin(true, clock).unwrap(), run, "it came to its end");
    }

    #[test]
    fn a_folder_that_is_gone_swallows_no_job() {
        let home = tempfile::tempdir().unwrap();
        let desk = Desk::of(home.path());
        assert_eq!(desk.group().unwrap(), None);
        let run = desk.begin(false, Clock::start()).unwrap();
        let job = Job::new(message(&run, "00"), 0, 0);
        fs::remove_dir_all(home.path().join(FOLDER)).unwrap();
        assert!(desk.wanted(&job).unwrap_err().message.contains("is gone"));
        assert!(
            desk.wanted(&Job::new(b"x".to_vec(), 0, 1)).unwrap().is_none(),
            "what is none of ours is skipped in any case"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_on_the_topic_is_a_message_of_ours_or_none(text in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(read_message(&text), None);
        }

        #[test]
        fn a_message_reads_back(run in "[a-zA-Z0-9-]{1,64}", key in "[0-9a-f]{64}") {
            let text = message(&run, &key);
            prop_assert!(text.len() <= MESSAGE_BYTES);
            prop_assert_eq!(read_message(&text), Some(Message { schema: SCHEMA.to_owned(), run, key }));
        }
    }
}
