//! Rubrics: what a milestone asks for and what each part is worth, read with all faults at once, applied without IO.
//!
//! A rubric knows no measure by name: it is told which exist, and is given what a run found.

mod parse;
mod score;
mod words;

use std::collections::BTreeSet;

use crate::scorecard::{Audience, Mark, Method, Scope};

pub use score::{Scored, score};
pub use words::handout;

/// A milestone's criteria.
#[derive(Debug, Clone, PartialEq)]
pub struct Rubric {
    /// The id, such as `m1`; every criterion's id begins with it.
    pub id: String,
    /// The version; an edit of a released rubric is a new one.
    pub version: String,
    /// The title.
    pub title: String,
    /// The sum of the points that are no bonus.
    pub points: f64,
    /// The sum of the bonus points.
    pub bonus: f64,
    /// The named spans of time around a submission.
    pub windows: Vec<Window>,
    /// The criteria, in the order in which students see them.
    pub criteria: Vec<Criterion>,
}

impl Rubric {
    /// Returns the measures that its criteria name, those of a student's own run included.
    pub fn measures(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for criterion in &self.criteria {
            if let Rule::Measured { test, self_check, .. } = &criterion.rule {
                names.insert(test.measure.clone());
                names.extend(self_check.iter().map(|test| test.measure.clone()));
            }
        }
        names
    }

    /// Returns the criteria that a measure decides, by their ids.
    pub fn asking<'r>(&'r self, measure: &'r str) -> impl Iterator<Item = &'r str> {
        let decides = move |criterion: &&Criterion| matches!(&criterion.rule, Rule::Measured { test, .. } if test.measure == measure);
        self.criteria
            .iter()
            .filter(decides)
            .map(|criterion| criterion.id.as_str())
    }
}

/// A span of time around a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The name.
    pub name: String,
    /// Hours before the submission.
    pub before_h: f64,
    /// Hours after it.
    pub after_h: f64,
    /// Whether the better of the two sides counts, or both together.
    pub better_side: bool,
}

/// One line of a rubric.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    /// The stable id; never used again for something else.
    pub id: String,
    /// The short title.
    pub title: String,
    /// The whole text, as students read it.
    pub text: String,
    /// The points.
    pub points: f64,
    /// Whether they come on top.
    pub bonus: bool,
    /// Who earns them.
    pub scope: Scope,
    /// Who may see it.
    pub visibility: Audience,
    /// The criteria that must pass first.
    pub needs: Vec<String>,
    /// The window that it is about, for a service that is deployed.
    pub window: Option<String>,
    /// How it is decided.
    pub rule: Rule,
    /// What to try when it fails.
    pub hint: Option<String>,
}

/// How a criterion is decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// By a measure.
    Measured {
        /// Census, sample or fact.
        method: Method,
        /// In a grade.
        test: Test,
        /// In a student's own run, which does not know the truth; none where it is the same.
        self_check: Option<Test>,
        /// The least number of observations.
        min_n: u64,
        /// What counts while the bar lies inside the interval.
        undecided: Undecided,
    },
    /// By a person.
    Judged {
        /// The marks to choose from.
        marks: Vec<Mark>,
        /// What a grader should know.
        note: String,
        /// What a grader should look at.
        look_at: Vec<String>,
    },
}

/// A measure and its bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The measure.
    pub measure: String,
    /// Its unit.
    pub unit: String,
    /// The bar.
    pub bar: Bar,
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bar {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// So: for a fact.
    Holds,
}

/// What counts while the bar lies inside the interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Undecided {
    /// The team has the benefit of the doubt where the value misses the bar by this margin at most, in the measure's unit.
    /// Further off, a wide interval shows that the run was too short, and there is no verdict.
    BenefitOfDoubt(f64),
    /// It must be shown: no verdict.
    NoVerdict,
}
