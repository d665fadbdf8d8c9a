//! The course: its files, those of the current folder before those that are built in, and what they say.

mod calendar;
mod teams;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use include_dir::{Dir, DirEntry, include_dir};
use walkdir::WalkDir;

pub use calendar::{Calendar, Due, Live, Quirk, QuirkKind};
pub use teams::Team;

use crate::coursefile::{Document, Fault, Faults, Section};
use crate::incident::{FILE as INCIDENTS, Incidents};
use crate::mirror::Declared;
use crate::release::ReleaseSpec;
use crate::rubric::Rubric;
use crate::sandbox::{Bounds, Limits};
use crate::scorecard::MeasureInfo;
use crate::seed::Key;
use crate::sim;
use crate::traffic::Workload;
use crate::trouble::Plan;
use crate::world::{Drift, DriftKind, Genre, Habits, Profile, Strength, WorldSpec};

static ASSIGNMENTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assignments");
static RUBRICS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/rubrics");
static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
static COURSE: &str = include_str!("../course.toml");

/// The file of a template that names, a line each, the files of the layers below that are not in it.
const LEFT_OUT: &str = ".leave-out";

/// The seed of the practice world, whose key is public.
const PRACTICE: u64 = 0;

/// Where a course's files come from.
#[derive(Debug, Clone)]
pub struct CourseFiles {
    folder: Option<PathBuf>,
}

/// A file of the course: what it is called and what it holds.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name for messages.
    pub name: String,
    /// The text.
    pub text: String,
}

impl CourseFiles {
    /// Takes the files of a folder before the built-in ones; without a folder, those of the current one if it is a course's.
    pub fn open(folder: Option<&Path>) -> Self {
        let here = || Path::new("course.toml").is_file().then(|| PathBuf::from("."));
        Self {
            folder: folder.map(Path::to_owned).or_else(here),
        }
    }

    /// Returns a file of the course by its path from the course's top; none if there is no such file.
    ///
    /// # Errors
    /// When a file of the folder is there and cannot be read.
    pub fn read(&self, path: &str) -> Result<Option<Source>, Faults> {
        if let Some(folder) = &self.folder {
            let file = folder.join(path);
            match fs::read_to_string(&file) {
                Ok(text) => {
                    return Ok(Some(Source {
                        name: shown(&file),
                        text,
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(whole(&shown(&file), format!("cannot be read: {error}"))),
            }
        }
        Ok(built_in(path).map(|text| Source {
            name: path.to_owned(),
            text: text.to_owned(),
        }))
    }

    fn need(&self, path: &str) -> Result<Source, Faults> {
        self.read(path)?
            .ok_or_else(|| whole(path, "there is no such file in the course".to_owned()))
    }

    /// Returns the paths of all rubrics: those of the folder and the built-in ones.
    pub fn rubrics(&self) -> Vec<String> {
        let mut paths: Vec<String> = RUBRICS
            .files()
            .map(|file| format!("rubrics/{}", file.path().display()))
            .collect();
        let own = self
            .folder
            .as_ref()
            .and_then(|folder| fs::read_dir(folder.join("rubrics")).ok());
        for entry in own.into_iter().flatten().flatten() {
            let path = format!("rubrics/{}", entry.file_name().to_string_lossy());
            if Path::new(&path)
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                paths.push(path);
            }
        }
        paths.sort();
        paths.dedup();
        paths
    }

    /// Returns the files of a template: path from the template's top, and content.
    ///
    /// A milestone's template is what it adds to the one before, so that what is mended in one reaches all that follow; what a
    /// framework has otherwise lies over each. Files of the folder come before built-in ones and may be more of them; a file
    /// `.leave-out` of a layer names those of the layers below that are not in it.
    ///
    /// # Errors
    /// When a file of the folder is there and cannot be read.
    pub fn template(&self, name: &str, framework: Framework) -> Result<Vec<(String, Vec<u8>)>, Faults> {
        let own = self.folder.as_ref().map(|folder| folder.join("templates"));
        if TEMPLATES.get_dir(name).is_none() && !own.as_ref().is_some_and(|own| own.join(name).is_dir()) {
            return Ok(Vec::new());
        }
        let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for layer in layers(name, framework) {
            let mut files: Vec<(String, Vec<u8>)> = Vec::new();
            if let Some(dir) = TEMPLATES.get_dir(&layer) {
                collect(dir, &layer, &mut files);
            }
            if let Some(own) = &own {
                files.extend(files_of(&own.join(&layer))?);
            }
            // A template of the same name and the plain file are one: what comes later stands.
            let plain = |path: &str| path.strip_suffix(".tera").unwrap_or(path).to_owned();
            let (left_out, files): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|(path, _)| path == LEFT_OUT);
            for (_, text) in left_out {
                for path in String::from_utf8_lossy(&text).lines().map(str::trim) {
                    all.retain(|name, _| plain(name) != path);
                }
            }
            for (path, content) in files {
                let (one, other) = (plain(&path), format!("{}.tera", plain(&path)));
                all.remove(&one);
                all.remove(&other);
                all.insert(path, content);
            }
        }
        Ok(all.into_iter().collect())
    }

    /// Returns the course.
    ///
    /// # Errors
    /// All faults of `course.toml`.
    pub fn course(&self) -> Result<Course, Faults> {
        let source = self.need("course.toml")?;
        let mut course = Course::parse(&source.name, &source.text)?;
        if let Some(folder) = &self.folder {
            let path = folder.join(&course.key_file);
            if let Ok(text) = fs::read_to_string(&path) {
                course.key = Key::parse(&text).map_err(|error| whole(&shown(&path), error.to_string()))?;
                course.practice = false;
            }
        }
        Ok(course)
    }

    /// Returns the ids of all assignments: those of the folder and the built-in ones.
    pub fn assignments(&self) -> Vec<String> {
        let mut ids: Vec<String> = ASSIGNMENTS
            .dirs()
            .map(|dir| dir.path().display().to_string())
            .collect();
        let own = self
            .folder
            .as_ref()
            .and_then(|folder| fs::read_dir(folder.join("assignments")).ok());
        for entry in own.into_iter().flatten().flatten() {
            if entry.path().join("assignment.toml").is_file() {
                ids.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        ids.sort();
        ids.dedup();
        ids
    }

    /// Returns an assignment.
    ///
    /// # Errors
    /// All faults of its file.
    pub fn assignment(&self, milestone: &str) -> Result<(Assignment, Source), Faults> {
        let source = self.need(&format!("assignments/{milestone}/assignment.toml"))?;
        let mut assignment = Assignment::parse(&source.name, &source.text)?;
        if assignment.workload.is_some() {
            assignment.keep_to(self.course()?.world.profile);
        }
        Ok((assignment, source))
    }

    /// Returns what goes wrong around a milestone's service in a course, by its catalogue and calendar; nothing where there is no such file.
    ///
    /// # Errors
    /// All faults of its file.
    pub fn incidents(&self, milestone: &str, course: &Course) -> Result<(Incidents, Option<Source>), Faults> {
        let path = format!("assignments/{milestone}/{INCIDENTS}");
        match self.read(&path)? {
            None => Ok((Incidents::default(), None)),
            Some(source) => Ok((
                Incidents::parse(&source.name, &source.text, course.world.movies, &|text| {
                    course.calendar.read_in_term(text)
                })?,
                Some(source),
            )),
        }
    }

    /// Returns a rubric by its path.
    ///
    /// # Errors
    /// All faults of its file.
    pub fn rubric(&self, path: &str, measures: &[MeasureInfo]) -> Result<(Rubric, Source), Faults> {
        let source = self.need(path)?;
        Ok((Rubric::parse(&source.name, &source.text, measures)?, source))
    }

    /// Returns an assignment's handout.
    ///
    /// # Errors
    /// When it is missing.
    pub fn handout(&self, milestone: &str) -> Result<String, Faults> {
        Ok(self.need(&format!("assignments/{milestone}/handout.md"))?.text)
    }
}

/// What stands before the lines of the built-in `course.toml` that a course of one's own begins with.
const OWN: &str = "# new: ";

/// Returns every file that a course of one's own begins with: those of the built-in course, with troubles in its log.
pub fn new_course_files() -> Vec<(String, Vec<u8>)> {
    let own: Vec<&str> = COURSE
        .lines()
        .map(|line| match line.strip_prefix(OWN) {
            Some(own) => own,
            None if line == OWN.trim_end() => "",
            None => line,
        })
        .collect();
    let mut files = vec![("course.toml".to_owned(), (own.join("\n") + "\n").into_bytes())];
    for (top, dir) in [
        ("assignments", &ASSIGNMENTS),
        ("rubrics", &RUBRICS),
        ("templates", &TEMPLATES),
    ] {
        let mut inner = Vec::new();
        collect(dir, "", &mut inner);
        files.extend(
            inner
                .into_iter()
                .map(|(path, content)| (format!("{top}/{path}"), content)),
        );
    }
    files
}

/// Returns the place of a milestone in their row: 3 for `m3`, none for a name outside it.
pub fn number(milestone: &str) -> Option<u8> {
    milestone.strip_prefix('m')?.parse().ok()
}

/// What the service of a starter is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framework {
    /// Python, and its standard library alone.
    #[default]
    Plain,
    /// Python with Flask.
    Flask,
    /// Python with FastAPI.
    Fastapi,
    /// Node.js, and its standard library alone.
    Node,
}

impl Framework {
    /// The words for them, in their order.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("plain", Self::Plain),
        ("flask", Self::Flask),
        ("fastapi", Self::Fastapi),
        ("node", Self::Node),
    ];

    /// Returns its word.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize].0
    }
}

/// Returns the templates that one is made of, the first below: `m3` is `m1`, `m2` and itself, each with its framework's over it.
fn layers(name: &str, framework: Framework) -> Vec<String> {
    let names = match number(name) {
        Some(number) => (1..=number).map(|number| format!("m{number}")).collect(),
        None => vec![name.to_owned()],
    };
    let with = |name: String| {
        let over = (framework != Framework::Plain).then(|| format!("{}/{name}", framework.word()));
        std::iter::once(name).chain(over)
    };
    names.into_iter().flat_map(with).collect()
}

/// Returns the files of a folder and of those below it, in order; none where there is no such folder, and a link is not followed.
fn files_of(dir: &Path) -> Result<Vec<(String, Vec<u8>)>, Faults> {
    let mut files = Vec::new();
    if !dir.is_dir() {
        return Ok(files);
    }
    let refused = |path: &Path, why: &dyn fmt::Display| whole(&shown(path), format!("cannot be read: {why}"));
    for entry in WalkDir::new(dir).sort_by_file_name() {
        let entry = entry.map_err(|error| refused(dir, &error))?;
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.path();
        let name = path
            .strip_prefix(dir)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned();
        files.push((name, fs::read(path).map_err(|error| refused(path, &error))?));
    }
    Ok(files)
}

fn collect(dir: &Dir<'_>, top: &str, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(inner) => collect(inner, top, files),
            DirEntry::File(file) => {
                let path = file.path().strip_prefix(top).unwrap_or(file.path());
                files.push((path.to_string_lossy().into_owned(), file.contents().to_vec()));
            }
        }
    }
}

fn built_in(path: &str) -> Option<&'static str> {
    if path == "course.toml" {
        return Some(COURSE);
    }
    let (top, rest) = path.split_once('/')?;
    let dir = match top {
        "assignments" => &ASSIGNMENTS,
        "rubrics" => &RUBRICS,
        "templates" => &TEMPLATES,
        _ => return None,
    };
    dir.get_file(rest)?.contents_utf8()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

fn whole(file: &str, message: String) -> Faults {
    Faults(vec![Fault {
        file: file.to_owned(),
        line: 1,
        column: 1,
        message,
        hint: None,
    }])
}

/// What `course.toml` says, and the key of its world.
#[derive(Debug, Clone)]
pub struct Course {
    /// The course's name.
    pub name: String,
    /// The world's size and contract.
    pub world: WorldSpec,
    /// What viewers are in the habit of doing, and how their taste moves.
    pub habits: Habits,
    /// How much data is released.
    pub release: ReleaseSpec,
    /// What is wrong with the log that students get.
    pub troubles: Plan,
    /// Who takes part, in the order of their numbers.
    pub teams: Vec<Team>,
    /// When things are.
    pub calendar: Calendar,
    /// Where builds get packages from; nothing of it, and they reach nothing.
    pub mirror: Declared,
    /// The world's key.
    pub key: Key,
    /// Whether the key is the public one of the practice world.
    pub practice: bool,
    key_file: String,
}

impl Course {
    fn parse(file: &str, text: &str) -> Result<Self, Faults> {
        let document = Document::parse(file, text)?;
        let root = document.root();
        schema(&root, "reelworld/course/v1");
        let name = root.required_text("name");
        let profile = root
            .choice(
                "profile",
                &[("classic", Profile::Classic), ("current", Profile::Current)],
            )
            .unwrap_or(Profile::Classic);
        let mut world = WorldSpec {
            users: 20_000,
            movies: 2_000,
            profile,
        };
        let mut key_file = "world.key".to_owned();
        if let Some(section) = root.table("world") {
            world.users = whole_number(&section, "users", 100..=10_000_000).unwrap_or(world.users);
            world.movies = whole_number(&section, "movies", 50..=100_000).unwrap_or(world.movies);
            key_file = section.text("key_file").unwrap_or(key_file);
            section.finish();
        }
        let mut release = ReleaseSpec {
            users: 3_000,
            days: 30,
            heldout_days: 7,
        };
        if let Some(section) = root.table("release") {
            release.users = whole_number(&section, "users", 50..=1_000_000).unwrap_or(release.users);
            release.days = whole_number(&section, "days", 1..=365).unwrap_or(release.days);
            release.heldout_days =
                whole_number(&section, "heldout_days", 1..=60).unwrap_or(release.heldout_days);
            section.finish();
        }
        let habits = habits(&root);
        let troubles = Plan::read(&root, release.days, world.movies);
        let teams = teams::read(&root);
        let calendar = calendar::read(&root, sim::term_start());
        let mirror = Declared::read(&root);
        root.finish();
        document.finish()?;
        Ok(Self {
            name,
            world,
            habits,
            release,
            troubles,
            teams,
            calendar,
            mirror,
            key: Key::from_seed(PRACTICE),
            practice: true,
            key_file,
        })
    }
}

/// Reads `[viewers]`, `[feedback]` and `[[drift]]`; what is not said stays as it is built in.
fn habits(root: &Section<'_>) -> Habits {
    let mut habits = Habits::default();
    if let Some(section) = root.table("viewers") {
        for (key, value, most) in [
            ("position", &mut habits.position, 5.0),
            ("shelf", &mut habits.shelf, 1.0),
            ("visibility", &mut habits.visibility, 10.0),
            ("repeat", &mut habits.repeat, 1.0),
            ("fatigue", &mut habits.fatigue, 10.0),
            ("guests", &mut habits.guests, 1.0),
            ("night", &mut habits.night, 10.0),
            ("long", &mut habits.long, 5.0),
            ("rhythm", &mut habits.rhythm, 5.0),
            ("selection", &mut habits.selection, 5.0),
            ("joining", &mut habits.joining, 0.9),
            ("arriving", &mut habits.arriving, 1.0),
            ("devices", &mut habits.devices, 10.0),
            ("licence", &mut habits.licence, 100.0),
        ] {
            *value = section.number_in(key, 0.0..=most).unwrap_or(*value);
        }
        section.finish();
    }
    if let Some(section) = root.table("feedback") {
        let feedback = &mut habits.feedback;
        for (key, strength) in [
            ("homogenisation", &mut feedback.homogenisation),
            ("lock_in", &mut feedback.lock_in),
            ("echo_chamber", &mut feedback.echo_chamber),
            ("leaving", &mut feedback.leaving),
        ] {
            *strength = section.choice(key, Strength::WORDS).unwrap_or(*strength);
        }
        section.finish();
    }
    habits.drifts = root.tables("drift").into_iter().filter_map(drift).collect();
    habits
}

fn drift(section: Section<'_>) -> Option<Drift> {
    for key in ["kind", "onset_day", "end_day"] {
        section.require(key);
    }
    let kind = section.choice("kind", DriftKind::WORDS);
    let genres: Vec<(&str, Genre)> = Genre::all().map(|genre| (genre.name(), genre)).collect();
    // A ruler that moves, moves for all genres.
    let genre = if kind == Some(DriftKind::Label) {
        Genre::all().next()
    } else {
        section.require("genre");
        section.choice("genre", &genres)
    };
    if kind != Some(DriftKind::NewGenre) {
        section.require("size");
    }
    let size = section.number_in("size", -5.0..=5.0);
    let onset_day = section.number_in("onset_day", -365.0..=365.0);
    let end_day = section.number_in("end_day", -365.0..=730.0);
    if let (Some(onset), Some(end)) = (onset_day, end_day)
        && end <= onset
    {
        section.fault_at("end_day", "the end is not after the onset", None);
    }
    section.finish();
    Some(Drift {
        kind: kind?,
        genre: genre?,
        size: size.unwrap_or(0.0),
        onset_day: onset_day?,
        end_day: end_day?,
    })
}

fn schema(root: &Section<'_>, wanted: &str) {
    root.require("schema");
    if root.text("schema").is_some_and(|schema| schema != wanted) {
        root.fault_at(
            "schema",
            "this is no file of a version that we read",
            Some(format!("`{wanted}`")),
        );
    }
}

fn whole_number(section: &Section<'_>, key: &str, range: std::ops::RangeInclusive<i64>) -> Option<u32> {
    section
        .integer_in(key, range)
        .and_then(|number| u32::try_from(number).ok())
}

/// An assignment: what is asked of a service, and how much; or of a repository alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The id: `m1`, `final`.
    pub id: String,
    /// The path of its rubric.
    pub rubric: String,
    /// The limit within which an answer counts: its own, or that of the course's profile.
    pub deadline: Duration,
    /// The limit that its contract names, if it names one.
    own_deadline: Option<Duration>,
    /// The contract's port.
    pub port: u16,
    /// What is asked of a service; none where only the repository is looked at.
    pub workload: Option<Workload>,
    /// How long building and starting may take.
    pub limits: Limits,
    /// How much of the machine a submission may use.
    pub bounds: Bounds,
}

impl Assignment {
    /// Takes the limit within which an answer counts from a contract, unless it has its own.
    pub fn keep_to(&mut self, profile: Profile) {
        self.deadline = self
            .own_deadline
            .unwrap_or(Duration::from_millis(profile.deadline_ms()));
    }

    fn parse(file: &str, text: &str) -> Result<Self, Faults> {
        let document = Document::parse(file, text)?;
        let root = document.root();
        schema(&root, "reelworld/assignment/v1");
        let id = root.required_text("id");
        let rubric = root.required_text("rubric");
        let mut own_deadline = None;
        let mut port = 8082;
        // Without a contract there is no service, and nothing is asked.
        let has_service = root.has("contract") || root.has("workload");
        if has_service {
            root.require("contract");
            root.require("workload");
        }
        if let Some(contract) = root.table("contract") {
            if let Some(ms) = contract.integer_in("deadline_ms", 1..=60_000) {
                own_deadline = Some(Duration::from_millis(ms.unsigned_abs()));
            }
            port = contract
                .integer_in("port", 1..=65_535)
                .map_or(port, |port| port as u16);
            contract.finish();
        }
        let workload = root.table("workload").map(|section| {
            let number = |key: &str, most: f64| {
                section.require(key);
                section.number_in(key, 0.0..=most).unwrap_or_default()
            };
            let span = |name: &str| {
                (
                    number(&format!("{name}_s"), 86_400.0),
                    number(&format!("{name}_rate"), 5_000.0),
                )
            };
            let workload = Workload {
                warmup: span("warmup"),
                steady: span("steady"),
                peak: span("peak"),
                odd_share: number("odd_share", 0.5),
                new_share: number("new_share", 0.5),
                probes: whole_number(&section, "probes", 50..=1_000_000).unwrap_or(50),
            };
            section.finish();
            workload
        });
        let mut limits = Limits {
            build: Duration::from_secs(300),
            ready: Duration::from_secs(60),
        };
        let mut bounds = Bounds::default();
        if let Some(section) = root.table("limits") {
            bounds = Bounds::read(&section);
            let seconds = |key: &str, usual: Duration| {
                section
                    .number_in(key, 0.1..=86_400.0)
                    .map_or(usual, Duration::from_secs_f64)
            };
            limits.build = seconds("build_s", limits.build);
            limits.ready = seconds("ready_s", limits.ready);
            section.finish();
        }
        root.finish();
        document.finish()?;
        Ok(Self {
            id,
            rubric,
            deadline: own_deadline.unwrap_or(Duration::from_millis(Profile::Classic.deadline_ms())),
            own_deadline,
            port,
            workload,
            limits,
            bounds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_course_begins_with_troubles_and_the_built_in_one_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let files = new_course_files();
        let (name, content) = &files[0];
        assert_eq!(name, "course.toml");
        fs::write(dir.path().join(name), content).unwrap();
        let course = CourseFiles::open(Some(dir.path())).course().unwrap();
        let names: Vec<&str> = course
            .troubles
            .troubles
            .iter()
            .map(|trouble| trouble.name.as_str())
            .collect();
        assert_eq!(names, ["pushed", "lowered", "evenings", "doubled"]);
        assert!(!String::from_utf8_lossy(content).contains(OWN.trim_end()));
        let empty = tempfile::tempdir().unwrap();
        assert!(
            CourseFiles::open(Some(empty.path()))
                .course()
                .unwrap()
                .troubles
                .troubles
                .is_empty()
        );
    }

    #[test]
    fn the_built_in_course_has_no_faults() {
        let files = CourseFiles { folder: None };
        let course = files.course().unwrap();
        assert!(course.practice);
        assert_eq!(
            course.habits,
            Habits::default(),
            "course.toml says what is built in"
        );
        let milestones = ["m1", "m2", "m3", "m4"];
        for milestone in milestones {
            let (assignment, _) = files.assignment(milestone).unwrap();
            assert_eq!(assignment.deadline, Duration::from_millis(800));
            assert!(assignment.workload.is_some());
            assert!(files.handout(milestone).unwrap().starts_with("# Milestone "));
            assert!(!files.template(milestone, Framework::Plain).unwrap().is_empty());
        }
        assert!(files.template("m5", Framework::Plain).unwrap().is_empty());
        let all = files.assignments();
        for id in ["architecture", "final", "mlops", "product", "requirements"] {
            assert!(files.assignment(id).unwrap().0.workload.is_none());
            assert!(files.handout(id).unwrap().starts_with("# "));
            assert!(all.iter().any(|known| known == id), "{all:?}");
        }
        let rubrics: Vec<String> = all.iter().map(|id| format!("rubrics/{id}.toml")).collect();
        assert_eq!(files.rubrics(), rubrics);
    }

    #[test]
    fn an_assignment_asks_a_service_or_none_and_never_half_of_it() {
        let head = "schema = 'reelworld/assignment/v1'\nid = 'x'\nrubric = 'rubrics/x.toml'\n";
        let none = Assignment::parse("a.toml", head).unwrap();
        assert_eq!(none.workload, None);
        assert_eq!(
            (Profile::Classic.deadline_ms(), Profile::Current.deadline_ms()),
            (800, 600)
        );
        let half = Assignment::parse("a.toml", &format!("{head}[contract]\nport = 8082\n"));
        let faults = half.unwrap_err().to_string();
        assert!(faults.contains("`workload` is missing"), "{faults}");
    }

    #[test]
    fn a_file_of_the_folder_comes_before_the_built_in_one_and_its_key_is_secret() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("course.toml"),
            "schema = 'reelworld/course/v1'\nname = 'x'\nworld = { users = 500 }\n",
        )
        .unwrap();
        let key = Key::from_seed(99);
        fs::write(dir.path().join("world.key"), key.to_hex()).unwrap();
        let course = CourseFiles::open(Some(dir.path())).course().unwrap();
        assert_eq!(
            (course.world.users, course.practice, course.key),
            (500, false, key)
        );
    }

    #[test]
    fn a_template_is_its_layers_with_what_a_framework_has_otherwise_over_each() {
        let files = CourseFiles { folder: None };
        let names = |milestone: &str, framework: Framework| -> Vec<String> {
            let template = files.template(milestone, framework).unwrap();
            template.into_iter().map(|(path, _)| path).collect()
        };
        for (word, framework) in Framework::WORDS {
            assert_eq!(framework.word(), *word);
            let mut before = Vec::new();
            for milestone in ["m1", "m2", "m3", "m4"] {
                let all = names(milestone, *framework);
                assert!(!all.iter().any(|path| path.ends_with(LEFT_OUT)), "{all:?}");
                assert!(before.iter().all(|path| all.contains(path)), "{word} {milestone}");
                let python = all
                    .iter()
                    .filter(|path| Path::new(path).extension() == Some("py".as_ref()))
                    .count();
                assert_eq!(python == 0, *framework == Framework::Node, "{word}: {all:?}");
                before = all;
            }
        }
        assert!(names("m3", Framework::Node).contains(&"deploy/nginx.conf.tera".to_owned()));
        let flask = files.template("m3", Framework::Flask).unwrap();
        let service = flask.iter().find(|(path, _)| path == "service.py").unwrap();
        assert!(String::from_utf8_lossy(&service.1).contains("from flask import"));
    }

    #[test]
    fn a_course_adds_to_a_template_and_leaves_out_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("templates/m2");
        fs::create_dir_all(own.join("docs")).unwrap();
        fs::write(own.join("docs/why.md"), "why").unwrap();
        fs::write(own.join("evaluate.py"), "ours").unwrap();
        fs::write(own.join("README.md"), "plain").unwrap();
        fs::write(own.join(LEFT_OUT), "Dockerfile\ncompany.py\n").unwrap();
        let files = CourseFiles {
            folder: Some(dir.path().to_owned()),
        };
        let template: BTreeMap<String, Vec<u8>> = files
            .template("m2", Framework::Plain)
            .unwrap()
            .into_iter()
            .collect();
        assert_eq!(template["docs/why.md"], b"why");
        assert_eq!(template["evaluate.py"], b"ours");
        assert_eq!(template["README.md"], b"plain");
        assert!(template.contains_key("train.py"));
        for gone in ["README.md.tera", "Dockerfile.tera", "company.py", LEFT_OUT] {
            assert!(!template.contains_key(gone), "{gone}");
        }
        assert!(
            files
                .template("m1", Framework::Plain)
                .unwrap()
                .iter()
                .any(|(path, _)| path == "company.py")
        );
    }

    #[test]
    fn habits_and_drifts_are_read_and_their_faults_told() {
        let head = "schema = 'reelworld/course/v1'\nname = 'x'\n";
        let good = "[viewers]\nshelf = 0\n[feedback]\nleaving = 'strong'\n[[drift]]\nkind = 'gradual'\ngenre = 'Horror'\nsize = 0.5\nonset_day = 3\nend_day = 9\n";
        let course = Course::parse("course.toml", &format!("{head}{good}")).unwrap();
        assert_eq!(course.habits.shelf, 0.0);
        assert_eq!(course.habits.repeat, Habits::default().repeat);
        assert_eq!(course.habits.feedback.leaving, Strength::Strong);
        assert_eq!(course.habits.feedback.lock_in, Strength::Mild);
        assert_eq!(course.habits.drifts.len(), 1);
        assert_eq!(course.habits.drifts[0].kind, DriftKind::Gradual);
        let bad = "[viewers]\nshelves = 1\nnight = -1\n[feedback]\nleaving = 'stron'\n[[drift]]\nkind = 'suden'\ngenre = 'Horor'\nonset_day = 9\nend_day = 3\n";
        let faults = Course::parse("course.toml", &format!("{head}{bad}"))
            .unwrap_err()
            .to_string();
        for told in [
            "course.toml:4:1:",
            "course.toml:5:9:",
            "did you mean `strong`?",
            "did you mean `sudden`?",
            "did you mean `Horror`?",
            "the end is not after the onset",
            "`size`",
        ] {
            assert!(faults.contains(told), "`{told}` is not in\n{faults}");
        }
    }

    #[test]
    fn faults_of_a_course_are_told_at_once() {
        let text = "schema = 'reelworld/course/v1'\nname = 'x'\nprofile = 'clasic'\n[world]\nuser = 3\n";
        let faults = Course::parse("course.toml", text).unwrap_err().to_string();
        assert!(
            faults
                .contains("course.toml:3:11: `profile` cannot be `clasic`\n  hint: did you mean `classic`?"),
            "{faults}"
        );
        assert!(
            faults.contains("course.toml:5:1: unknown key `user`\n  hint: did you mean `users`?"),
            "{faults}"
        );
    }
}
