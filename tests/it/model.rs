//! The model tables: what each fixture must earn, and that every check of the course has one that passes it and one that does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use reelworld::course::CourseFiles;
use reelworld::grade::MEASURES;
use reelworld::rubric::{Bar, Criterion, Rubric, Rule, Test};

/// What must be earned: fixture, criterion or measure, verdict.
pub(super) type Table = BTreeMap<String, BTreeMap<String, String>>;

/// What a machine that is too busy can't tell, and says so.
const TIMED: [&str; 10] = [
    "m1.answers.in_time",
    "m1.answers.peak",
    "m1.bonus.fast",
    "m2.bonus.fast",
    "m2.incidents.answered",
    "m2.incidents.after",
    "m3.bonus.available",
    "m3.service.available",
    "m3.update.clean",
    "m3.metrics.latency",
];

/// The tables whose keys are criteria of the course; the tests that compare are named in each.
const BY_CRITERION: [&str; 5] = [
    "services/model.toml",
    "starters.toml",
    "current.toml",
    SOLUTIONS,
    "live/model.toml",
];
/// The table whose keys are measures, each with the bar that the rubric `told` of the small course has for it.
const BY_MEASURE: &str = "told/model.toml";

/// What no fixture can show, and why: criterion, verdict, reason.
const NOT_SHOWN: [(&str, &str, &str); 1] = [(
    "mlops.tool.unique",
    "fail",
    "who claimed a tool first is decided by a person, so two that claim the same have no verdict",
)];

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The table of what solutions earn, and other repositories.
pub(super) const SOLUTIONS: &str = "repositories.toml";

/// Reads a table by its path within the fixtures.
pub(super) fn table(path: &str) -> Table {
    toml::from_str(&fs::read_to_string(fixtures().join(path)).unwrap()).unwrap()
}

/// Tells whether a criterion has the verdict that a table wants. What depends on time may be left open where the machine was too busy, but never
/// be wrong; what needs something that is left open is skipped.
pub(super) fn holds(criterion: &str, wanted: &str, found: &str) -> bool {
    found == wanted || TIMED.contains(&criterion) && ["no_verdict", "skipped"].contains(&found)
}

/// The criteria of a rubric that a machine measures, with measure and bar.
fn measured(rubric: &Rubric) -> impl Iterator<Item = (&Criterion, &Test)> {
    rubric
        .criteria
        .iter()
        .filter_map(|criterion| match &criterion.rule {
            Rule::Measured { test, .. } => Some((criterion, test)),
            Rule::Judged { .. } => None,
        })
}

/// The rubrics of the assignments of a course that lies in a folder.
fn rubrics(folder: &Path) -> Vec<Rubric> {
    let files = CourseFiles::open(Some(folder));
    let read = |id: String| {
        let (assignment, _) = files.assignment(&id).unwrap();
        files.rubric(&assignment.rubric, MEASURES).unwrap().0
    };
    files.assignments().into_iter().map(read).collect()
}

/// A verdict that a fixture has from a test.
struct Shown {
    test: Test,
    verdict: String,
}

impl Shown {
    /// Tells whether it is a verdict of another test, too: who passes a bar passes a lower one, and who fails a bar fails a higher one.
    fn speaks_of(&self, other: &Test, verdict: &str) -> bool {
        let (passes, same) = (verdict == "pass", self.test.measure == other.measure);
        let bars = match (self.test.bar, other.bar) {
            (Bar::Holds, Bar::Holds) => true,
            (Bar::AtLeast(own), Bar::AtLeast(bar)) => own == bar || (own > bar) == passes,
            (Bar::AtMost(own), Bar::AtMost(bar)) => own == bar || (own < bar) == passes,
            _ => false,
        };
        same && bars && self.verdict == verdict
    }
}

/// Everything that the tables say.
fn shown(course: &[Rubric], small: &[Rubric]) -> Vec<Shown> {
    let criteria: BTreeMap<&str, &Test> = course
        .iter()
        .flat_map(measured)
        .map(|(criterion, test)| (criterion.id.as_str(), test))
        .collect();
    let told = small.iter().find(|rubric| rubric.id == "told").unwrap();
    let measures: BTreeMap<&str, &Test> = measured(told)
        .map(|(_, test)| (test.measure.as_str(), test))
        .collect();
    let tables = BY_CRITERION.map(|path| (path, &criteria));
    let mut all = Vec::new();
    for (path, tests) in tables.into_iter().chain([(BY_MEASURE, &measures)]) {
        for (fixture, row) in table(path) {
            for (key, verdict) in row {
                let test = tests
                    .get(key.as_str())
                    .unwrap_or_else(|| panic!("{path}, {fixture}: nothing measures `{key}`"));
                assert!(
                    ["pass", "fail", "skipped", "no_verdict"].contains(&verdict.as_str()),
                    "{path}, {fixture}, {key}: `{verdict}` is no verdict"
                );
                let test = (*test).clone();
                all.push(Shown { test, verdict });
            }
        }
    }
    all
}

#[test]
fn every_check_has_a_fixture_that_passes_it_and_one_that_fails_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (course, small) = (rubrics(root), rubrics(&fixtures().join("course")));
    let shown = shown(&course, &small);
    let all: Vec<(&Criterion, &Test)> = course.iter().flat_map(measured).collect();
    let mut missing = BTreeSet::new();
    for (criterion, test) in &all {
        // Who fails what must pass first is skipped: where that has a bar for the same measure, somebody must lie between the two.
        let two_bars = all
            .iter()
            .any(|(other, first)| criterion.needs.contains(&other.id) && first.measure == test.measure);
        for verdict in ["pass", "fail"] {
            let is_shown = shown
                .iter()
                .any(|shown| shown.speaks_of(test, verdict) && (!two_bars || shown.test.bar == test.bar));
            if !is_shown {
                missing.insert((criterion.id.as_str(), verdict));
            }
        }
    }
    // What is shown must not be said to be impossible, either.
    let named: BTreeSet<(&str, &str)> = NOT_SHOWN.iter().map(|(id, verdict, _)| (*id, *verdict)).collect();
    assert_eq!(missing, named);
}
