//! What a run found and what it is worth: findings in, verdicts out, and the card that every page is made from.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The schema name that every written scorecard carries.
pub const SCHEMA: &str = "reelworld/report/v1";

/// What is said of one criterion.
///
/// No path turns an error of ours into a number: what could not be told is [`Verdict::NoVerdict`], never zero points
/// by default and never full marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The criterion holds.
    Pass,
    /// The criterion does not hold.
    Fail,
    /// We could not tell, or the fault was ours.
    NoVerdict,
    /// A criterion that it needs did not pass.
    Skipped,
    /// A person decides.
    PendingReview,
}

/// How a criterion is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A count of what happened; our own misses are attributed and excluded.
    Census,
    /// An estimate with an interval; undecided while the bar lies inside it.
    Sampled,
    /// A thing that is so or is not so.
    Fact,
    /// A person decides, with canned marks.
    Judged,
}

/// Who earns the points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole team.
    Team,
    /// Each member on their own.
    Individual,
}

/// Who may see a criterion; hidden ones never reach a student's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Students see it (and staff do).
    Student,
    /// Staff alone see it.
    Staff,
}

/// A confidence interval, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end, in the unit of the value.
    pub low: f64,
    /// The upper end, in the unit of the value.
    pub high: f64,
    /// The two-sided confidence level: 0.98 means that each end errs in 1 % of runs.
    pub level: f64,
}

/// A number of observations left out of a figure, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// The reason, such as `grader_late`.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// What a run found out about one measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Finding {
    /// The measure has a value.
    Measured(Measurement),
    /// The measure has none, through no merit or fault of the team.
    NotMeasured {
        /// Why not, as a sentence without a full stop.
        why: String,
        /// What would give a value, if we know it.
        hint: Option<String>,
    },
}

/// The value of one measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The value, in the measure's unit; a fact is 1 (so) or 0 (not so).
    pub value: f64,
    /// The interval that decides and is shown; none for a census or a fact.
    pub interval: Option<Interval>,
    /// The number of observations behind the value.
    pub n: u64,
    /// What was left out.
    pub excluded: Vec<Excluded>,
    /// What the value means here, as a short phrase: `4,000 of 4,000`.
    pub why: String,
    /// What to look at or to try, if we know it.
    pub hint: Option<String>,
    /// What was sent, what came back: lines that a student can act on, already cut to a bounded length.
    pub evidence: Vec<String>,
}

/// All that a run found, by the name of the measure.
pub type Findings = BTreeMap<String, Finding>;

/// A measure that the tool can produce, for the linter of rubrics and for the docs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasureInfo {
    /// The stable name, such as `answers.valid_share`.
    pub id: &'static str,
    /// The unit of its value: `share`, `ms`, `count`, `score`, `bits`, `fact` or `rps`.
    pub unit: &'static str,
    /// How it may be decided.
    pub method: Method,
    /// Whether `reelworld check`, which does not know the truth, can produce it.
    pub in_check: bool,
    /// One sentence about it.
    pub about: &'static str,
}

/// A canned mark that a person may give on a judged criterion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The stable name within its criterion.
    pub id: String,
    /// What the team reads.
    pub text: String,
    /// Whether giving it fails the criterion.
    pub fails: bool,
}

/// One line of a scorecard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CriterionResult {
    /// The stable id, such as `m1.answers.valid`.
    pub id: String,
    /// The short title, as the terminal shows it.
    pub title: String,
    /// The whole text, word for word as in the handout.
    pub text: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The points earned; 0 unless the verdict is a pass.
    pub points: f64,
    /// The points to be had.
    pub max: f64,
    /// Whether the points come on top of the maximum.
    pub bonus: bool,
    /// Who earns them.
    pub scope: Scope,
    /// How it was decided.
    pub method: Method,
    /// Who may see it.
    pub visibility: Audience,
    /// The measure it was decided by; none for a judged criterion.
    pub measure: Option<String>,
    /// The value found.
    pub value: Option<f64>,
    /// The unit of value, interval and bar.
    pub unit: Option<String>,
    /// The interval of the value.
    pub interval: Option<Interval>,
    /// The number of observations.
    pub n: Option<u64>,
    /// The bar in words: `wanted at least 95 %`.
    pub bar: Option<String>,
    /// Whether the bar lay inside the interval, and the rubric's rule for that decided.
    pub undecided: bool,
    /// Why the verdict is what it is, in a short phrase.
    pub why: String,
    /// What to do next, if we know it.
    pub hint: Option<String>,
    /// What was sent and what came back.
    pub evidence: Vec<String>,
    /// What was left out of the value.
    pub excluded: Vec<Excluded>,
    /// The criteria that must pass first.
    pub needs: Vec<String>,
    /// For a judged criterion: the marks that a person may give.
    pub marks: Vec<Mark>,
    /// For a judged criterion: a note to the grader, which students never see.
    pub grader_note: Option<String>,
}

/// What made a scorecard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// A student's own run; not a grade.
    Check,
    /// An instructor's run.
    Grade,
}

/// The rubric that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RubricRef {
    /// Its id, such as `m1`.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
}

/// The world that the run was played in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldRef {
    /// The number of users.
    pub users: u32,
    /// The number of movies.
    pub movies: u32,
    /// The contract profile: `classic` or `current`.
    pub profile: String,
    /// Eight digits that name the world's key; empty in a self-check, which knows none.
    pub fingerprint: String,
    /// Whether the key is the public one of the practice world.
    pub practice: bool,
}

/// How the service ran.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServiceRef {
    /// The command it was started with, or the address that was given.
    pub command: String,
    /// The address that was asked.
    pub address: String,
    /// How it began: `ready after 0.4 s`, or the way it failed.
    pub start: String,
    /// How it ended: `stopped by us`, or the way it failed.
    pub end: String,
    /// The last lines of its output, cut to a bounded length.
    pub log_tail: Vec<String>,
}

/// One measure beside the criteria, for the table of all figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasureRow {
    /// The measure's name.
    pub id: String,
    /// Its unit.
    pub unit: String,
    /// What it is, in one sentence.
    pub about: String,
    /// What was found.
    pub finding: Finding,
}

/// The latency of one slice of the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatencySlice {
    /// The start of the slice, in seconds since the first measured request.
    pub at_s: f64,
    /// Requests that were due in the slice and are charged to the service.
    pub n: u64,
    /// Those that were answered well and in time.
    pub ok: u64,
    /// The median latency in milliseconds, time-outs counted at the limit.
    pub p50_ms: f64,
    /// The 95th percentile in milliseconds.
    pub p95_ms: f64,
    /// The largest in milliseconds.
    pub max_ms: f64,
}

/// One bar of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// The lower edge, included.
    pub from: f64,
    /// The upper edge, excluded.
    pub to: f64,
    /// How many fell in.
    pub count: u64,
}

/// One group of users in a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupFigure {
    /// What the group is made by: `gender`, `age band`, `occupation`, `history`.
    pub attribute: String,
    /// The group.
    pub group: String,
    /// Its number of users that were asked.
    pub n: u64,
    /// The value; none where the group is below the least size and so not assessed.
    pub value: Option<f64>,
    /// The interval of the value.
    pub interval: Option<Interval>,
}

/// A named span of the run, to shade in plots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseSpan {
    /// The phase: `warm-up`, `steady`, `peak`, `odd`.
    pub name: String,
    /// Its start in seconds since the first request.
    pub from_s: f64,
    /// Its end in seconds since the first request.
    pub to_s: f64,
}

/// What the plots of a page are drawn from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Latency over time.
    pub latency_over_time: Vec<LatencySlice>,
    /// The distribution of latency, in milliseconds.
    pub latency_histogram: Vec<Bin>,
    /// The limit within which an answer counts, in milliseconds.
    pub deadline_ms: f64,
    /// The phases of the run.
    pub phases: Vec<PhaseSpan>,
    /// What `accuracy_by_group` shows: `regret to the oracle` or `NDCG@20 on held-out behaviour`.
    pub accuracy_label: String,
    /// Accuracy by group, with intervals.
    pub accuracy_by_group: Vec<GroupFigure>,
    /// How often each of the most recommended movies was recommended, the most exposed first: share of all slots.
    pub exposure_curve: Vec<f64>,
    /// What came back, by outcome, the most frequent first.
    pub outcomes: Vec<(String, u64)>,
}

/// The whole result of one submission under one rubric: all that any page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scorecard {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The version of the tool.
    pub tool: String,
    /// What kind of run it was.
    pub kind: RunKind,
    /// The milestone, such as `m1`.
    pub milestone: String,
    /// The submission's name.
    pub submission: String,
    /// The rubric.
    pub rubric: RubricRef,
    /// The world.
    pub world: WorldRef,
    /// The seed of the run.
    pub seed: u64,
    /// When the run began, RFC 3339.
    pub started_at: String,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// The points earned so far, bonus included.
    pub score: f64,
    /// The points to be had without bonus.
    pub max: f64,
    /// The bonus points to be had on top.
    pub bonus_max: f64,
    /// The points that wait for a person.
    pub pending: f64,
    /// The points that this run could not decide: no verdict, or skipped for want of one.
    pub undecided: f64,
    /// The criteria, in the rubric's order.
    pub criteria: Vec<CriterionResult>,
    /// All measures, also those that no criterion uses.
    pub measures: Vec<MeasureRow>,
    /// What the plots are drawn from.
    pub figures: Figures,
    /// How the service ran.
    pub service: ServiceRef,
    /// What a reader must know: our own misses, a practice world, an interrupted run.
    pub notes: Vec<String>,
    /// The files of the evidence and their SHA-256, so that the card can be traced.
    pub evidence: BTreeMap<String, String>,
}

/// Returns the ids of the criteria that a run left open: those without a verdict, and those skipped only because what they
/// need is open or waits for a person. What is skipped because something failed is not open.
pub fn open(criteria: &[CriterionResult]) -> BTreeSet<String> {
    let by_id: BTreeMap<&str, &CriterionResult> = criteria
        .iter()
        .map(|criterion| (criterion.id.as_str(), criterion))
        .collect();
    let mut lost: BTreeSet<&str> = BTreeSet::new();
    // Each round may find more that is lost through what was found before; there are at most as many rounds as criteria.
    for _ in 0..criteria.len() {
        for criterion in criteria
            .iter()
            .filter(|criterion| criterion.verdict == Verdict::Skipped)
        {
            let through = criterion.needs.iter().any(|need| {
                lost.contains(need.as_str())
                    || by_id
                        .get(need.as_str())
                        .is_some_and(|need| need.verdict == Verdict::Fail)
            });
            if through {
                lost.insert(&criterion.id);
            }
        }
    }
    criteria
        .iter()
        .filter(|criterion| match criterion.verdict {
            Verdict::NoVerdict => true,
            Verdict::Skipped => !lost.contains(criterion.id.as_str()),
            Verdict::Pass | Verdict::Fail | Verdict::PendingReview => false,
        })
        .map(|criterion| criterion.id.clone())
        .collect()
}
