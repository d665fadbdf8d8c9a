//! A team's repository for a milestone: templates rendered, data put in, a first commit made.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tera::{Context, Tera};

use crate::course::{CourseFiles, number};
use crate::release::Release;
use crate::rubric::{Rubric, handout};
use crate::world::World;

/// What a starter is made of.
#[derive(Debug)]
pub struct StarterSpec<'a> {
    /// The milestone; its template has the same name.
    pub milestone: &'a str,
    /// The team.
    pub team: &'a str,
    /// The contract's port.
    pub port: u16,
    /// The milestone's rubric, for the checklist.
    pub rubric: &'a Rubric,
    /// The milestone's handout.
    pub handout: &'a str,
}

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
            Self::Io(path, error) => write!(f, "cannot write `{}`: {error}", path.display()),
        }
    }
}

impl std::error::Error for StarterError {}

/// Writes a starter repository into a folder that is new or empty; returns the number of files.
///
/// # Errors
/// When the folder is not empty, the name is bad, a template is broken, or the disk refuses.
pub fn write_starter(
    dir: &Path,
    spec: &StarterSpec<'_>,
    files: &CourseFiles,
    world: &World,
    release: &Release,
) -> Result<usize, StarterError> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    if spec.team.is_empty() || spec.team.starts_with('.') || !spec.team.chars().all(fits) {
        return Err(StarterError::BadTeam(spec.team.to_owned()));
    }
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(StarterError::NotEmpty(dir.to_owned()));
    }
    let template = files.template(spec.milestone);
    if template.is_empty() {
        return Err(StarterError::NoTemplate(spec.milestone.to_owned()));
    }
    let mut context = Context::new();
    context.insert("team", spec.team);
    context.insert("milestone", spec.milestone);
    // For what is there from one milestone on; a template outside their row has nothing of that.
    context.insert("number", &number(spec.milestone).unwrap_or(0));
    context.insert("port", &spec.port);
    let mut written = 0;
    for (path, content) in &template {
        let (path, content) = match path.strip_suffix(".tera") {
            Some(plain) => (plain.to_owned(), render(path, content, &context)?.into_bytes()),
            None => (path.clone(), content.clone()),
        };
        write(&dir.join(path), &content)?;
        written += 1;
    }
    write(&dir.join("HANDOUT.md"), spec.handout.as_bytes())?;
    write(&dir.join("CHECKLIST.md"), handout(spec.rubric).as_bytes())?;
    release
        .write(world, &dir.join("data"))
        .map_err(|error| StarterError::Io(dir.join("data"), error))?;
    Ok(written + 7)
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
