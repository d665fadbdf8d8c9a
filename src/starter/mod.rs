//! A team's repository for a milestone: templates rendered, data put in, a first commit made, and later starters merged in.

mod commit;
mod lines;
mod merge;
mod record;
mod update;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use tera::{Context, Tera};

use crate::course::{CourseFiles, Framework, number};
use crate::coursefile::Faults;
use crate::evidence::sha256_hex;
use crate::release::Release;
use crate::rubric::{Rubric, handout};
use crate::world::{Profile, World};

pub use merge::{BaseFile, Change, Kind, Left, Merged, Note, StarterFile, TeamFile, Three, What, merge};
pub use record::{RECORD, Record};
pub use update::{Begun, Update};

use record::blob_id;

/// The most letters of a team's name: it becomes a folder and a part of addresses.
const MOST_NAME: usize = 64;
/// The digits of a starter's version that are shown and written.
const VERSION_DIGITS: usize = 10;
/// Where what must not be in a repository is written.
const SECRETS: &str = ".env";

/// Why a starter can't be made.
#[derive(Debug)]
pub enum StarterError {
    /// The folder holds something already.
    NotEmpty(PathBuf),
    /// The name can't be a folder and a part of addresses.
    BadTeam(String),
    /// There is no template for the milestone.
    NoTemplate(String),
    /// A template is broken.
    Template(String),
    /// A file of the course cannot be read.
    Course(Faults),
    /// The disk refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for StarterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEmpty(path) => write!(
                f,
                "`{}` is not empty, and nothing in it is overwritten",
                path.display()
            ),
            Self::BadTeam(name) => write!(
                f,
                "`{name}` cannot be a team: use letters, digits, dots, hyphens, underscores"
            ),
            Self::NoTemplate(milestone) => write!(f, "there is no starter for `{milestone}`"),
            Self::Template(error) => write!(f, "{error}"),
            Self::Course(faults) => write!(f, "{faults}"),
            Self::Io(path, error) => write!(f, "cannot write `{}`: {error}", path.display()),
        }
    }
}

impl std::error::Error for StarterError {}

/// Whose repository it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The team's name.
    pub name: String,
    /// The team's number, which its topic carries.
    pub number: Option<u32>,
    /// The port on which its service is asked.
    pub port: u16,
    /// Where the company reaches its service, as `host:port`.
    pub address: Option<String>,
}

impl Seat {
    /// Whether a name can be a folder and a part of addresses.
    pub fn fits(name: &str) -> bool {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
        !name.is_empty() && name.len() <= MOST_NAME && !name.starts_with(['.', '-']) && name.chars().all(fits)
    }

    /// The team's topic in the company's stream.
    pub fn topic(&self) -> Option<String> {
        self.number.map(|number| format!("movielog{number}"))
    }
}

/// A milestone's starter before it is anybody's: templates, and what every team gets alike.
#[derive(Debug)]
pub struct Starter {
    milestone: String,
    framework: Framework,
    version: String,
    world: String,
    profile: Profile,
    template: Vec<(String, Vec<u8>)>,
    alike: BTreeMap<String, Vec<u8>>,
}

impl Starter {
    /// Puts a milestone's starter together.
    ///
    /// # Errors
    /// When there is no template, or the disk refuses.
    pub fn open(
        files: &CourseFiles,
        milestone: &str,
        framework: Framework,
        texts: (&Rubric, &str),
        (world, release): (&World, &Release),
    ) -> Result<Self, StarterError> {
        let template = files
            .template(milestone, framework)
            .map_err(StarterError::Course)?;
        if template.is_empty() {
            return Err(StarterError::NoTemplate(milestone.to_owned()));
        }
        let (rubric, text) = texts;
        let mut alike: BTreeMap<String, Vec<u8>> = [
            ("HANDOUT.md".to_owned(), text.as_bytes().to_vec()),
            ("CHECKLIST.md".to_owned(), handout(rubric).into_bytes()),
        ]
        .into();
        let refused = |error| StarterError::Io(PathBuf::from("data"), error);
        let dir = tempfile::tempdir().map_err(refused)?;
        release.write(world, dir.path()).map_err(refused)?;
        for entry in fs::read_dir(dir.path()).map_err(refused)? {
            let entry = entry.map_err(refused)?;
            let name = format!("data/{}", entry.file_name().to_string_lossy());
            alike.insert(name, fs::read(entry.path()).map_err(refused)?);
        }
        let mut whole = Vec::new();
        for (path, content) in template
            .iter()
            .map(|(path, content)| (path, content))
            .chain(&alike)
        {
            whole.extend(format!("{path}\0{}\0", content.len()).into_bytes());
            whole.extend_from_slice(content);
        }
        let mut version = sha256_hex(&whole);
        version.truncate(VERSION_DIGITS);
        Ok(Self {
            milestone: milestone.to_owned(),
            framework,
            version,
            world: world.fingerprint().to_owned(),
            profile: world.spec().profile,
            template,
            alike,
        })
    }

    /// The version: it changes with anything that is given out.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the files of a team's repository, with the record of where they came from.
    ///
    /// # Errors
    /// When the name is bad or a template is broken.
    pub fn files(&self, seat: &Seat) -> Result<BTreeMap<String, Vec<u8>>, StarterError> {
        if !Seat::fits(&seat.name) {
            return Err(StarterError::BadTeam(seat.name.clone()));
        }
        let mut files = self.alike.clone();
        let kind = (self.milestone.as_str(), self.framework, self.profile);
        files.extend(filled(&self.template, kind, seat)?);
        let record = Record {
            milestone: self.milestone.clone(),
            framework: self.framework,
            version: self.version.clone(),
            world: self.world.clone(),
            seat: seat.clone(),
            files: files
                .iter()
                .map(|(path, content)| (path.clone(), blob_id(content)))
                .collect(),
        };
        files.insert(RECORD.to_owned(), record.print().into_bytes());
        Ok(files)
    }

    /// Writes a team's repository into a folder that is new or empty, with a first commit; returns what was made.
    ///
    /// `secrets` are names and values that the team alone may read: they go to a file that git does not take up.
    ///
    /// # Errors
    /// When the folder is not empty, the name is bad, a template is broken, or the disk refuses.
    pub fn write(
        &self,
        dir: &Path,
        seat: &Seat,
        secrets: &BTreeMap<String, String>,
        at: DateTime<Utc>,
    ) -> Result<Made, StarterError> {
        if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(StarterError::NotEmpty(dir.to_owned()));
        }
        let files = self.files(seat)?;
        let mut bytes = 0;
        for (path, content) in &files {
            write(&dir.join(path), content)?;
            bytes += content.len() as u64;
        }
        let committed = commit::first_commit(dir, at);
        if !secrets.is_empty() {
            write_secrets(&dir.join(SECRETS), secrets)?;
        }
        Ok(Made {
            files: files.len(),
            bytes,
            committed,
        })
    }
}

/// Returns what a milestone's starter has beside texts and data, with the names of nobody in particular.
///
/// # Errors
/// When the course's templates cannot be read, or one is broken.
pub fn code_of(
    files: &CourseFiles,
    milestone: &str,
    framework: Framework,
    profile: Profile,
) -> Result<BTreeMap<String, Vec<u8>>, StarterError> {
    let template = files
        .template(milestone, framework)
        .map_err(StarterError::Course)?;
    let nobody = Seat {
        name: "team".to_owned(),
        number: None,
        port: 8082,
        address: None,
    };
    filled(&template, (milestone, framework, profile), &nobody)
}

/// Fills templates in for a team.
fn filled(
    template: &[(String, Vec<u8>)],
    (milestone, framework, profile): (&str, Framework, Profile),
    seat: &Seat,
) -> Result<BTreeMap<String, Vec<u8>>, StarterError> {
    let mut context = Context::new();
    context.insert("team", &seat.name);
    context.insert("milestone", milestone);
    // For what is there from one milestone on; a template outside their row has nothing of that.
    context.insert("number", &number(milestone).unwrap_or(0));
    context.insert("framework", framework.word());
    context.insert("profile", profile.name());
    context.insert("stars", &profile.stars());
    context.insert("deadline_ms", &profile.deadline_ms());
    context.insert("port", &seat.port);
    context.insert("address", &seat.address.as_deref().unwrap_or_default());
    context.insert("topic", &seat.topic().unwrap_or_default());
    let mut files = BTreeMap::new();
    for (path, content) in template {
        let (path, content) = match path.strip_suffix(".tera") {
            Some(plain) => (plain, render(path, content, &context)?.into_bytes()),
            None => (path.as_str(), content.clone()),
        };
        files.insert(path.to_owned(), content);
    }
    Ok(files)
}

/// What was made of a starter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// The number of files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Whether it is a git repository with a first commit.
    pub committed: bool,
}

fn render(name: &str, content: &[u8], context: &Context) -> Result<String, StarterError> {
    let text =
        std::str::from_utf8(content).map_err(|error| StarterError::Template(format!("{name}: {error}")))?;
    let mut tera = Tera::default();
    let broken = |error: tera::Error| StarterError::Template(format!("{name}: {error}"));
    tera.autoescape_on(Vec::<String>::new());
    tera.add_raw_template(name, text).map_err(broken)?;
    tera.render(name, context).map_err(broken)
}

fn write(path: &Path, content: &[u8]) -> Result<(), StarterError> {
    let io = |error| StarterError::Io(path.to_owned(), error);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io)?;
    }
    fs::write(path, content).map_err(io)
}

/// Writes names and values for their owner alone, in the form that shells and compose files read.
fn write_secrets(path: &Path, secrets: &BTreeMap<String, String>) -> Result<(), StarterError> {
    use std::os::unix::fs::OpenOptionsExt;
    let io = |error| StarterError::Io(path.to_owned(), error);
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(io)?;
    for (name, value) in secrets {
        writeln!(file, "{name}={value}").map_err(io)?;
    }
    Ok(())
}
