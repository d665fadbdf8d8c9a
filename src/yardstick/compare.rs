//! Sets a log's statistics beside those of the reference, and says how far each is off.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::{Dataset, Figure, REFERENCE_SIZE};

/// The reference, as its file has it.
#[derive(Debug, Deserialize)]
struct Reference {
    needs_rankers: Vec<String>,
    figures: BTreeMap<String, Target>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Target {
    value: f64,
    tolerance: Option<f64>,
    #[serde(default)]
    any_size: bool,
}

static REFERENCE: LazyLock<Reference> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../fixtures/reference_log_stats.json"))
        .expect("the compiled-in reference is well-formed")
});

/// Genres that two catalogues name differently: ours, the reference's.
const GENRE_NAMES: [(&str, &str); 3] = [
    ("Family", "Children's"),
    ("Music", "Musical"),
    ("Science Fiction", "Sci-Fi"),
];
/// The share of figures that must be within two tolerances.
const LEAST_WITHIN: f64 = 0.8;
/// No figure may be off by more tolerances than this.
const MOST_OFF: f64 = 5.0;
/// A log whose users and movies differ from the reference's by less than this share has its size.
const SAME_SIZE: f64 = 0.05;

/// How far a figure is from the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// By one tolerance at most.
    Within,
    /// By two at most.
    Near,
    /// By five at most.
    Off,
    /// By more than five.
    FarOff,
    /// The reference has no tolerance for it, or does not know it: it is shown and does not count.
    Shown,
    /// It depends on the numbers of users and movies, and the log has others.
    OtherSize,
}

impl Verdict {
    /// Returns the words of tables and JSON.
    pub fn words(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Near => "within 2",
            Self::Off => "beyond 2",
            Self::FarOff => "beyond 5",
            Self::Shown => "",
            Self::OtherSize => "other size",
        }
    }
}

/// A figure beside the reference's.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was measured.
    pub figure: Figure,
    /// The reference's value, where it has one.
    pub reference: Option<f64>,
    /// The tolerance, where there is one.
    pub tolerance: Option<f64>,
    /// How far off it is.
    pub verdict: Verdict,
}

/// All figures of a log beside the reference's.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// A row for each figure, in the order of headings.
    pub rows: Vec<Row>,
    /// Whether the log has the reference's size.
    pub same_size: bool,
    /// Figures with a tolerance that this log does not tell.
    pub untold: Vec<String>,
    /// Figures of the reference that need rankers to be trained.
    pub needs_rankers: Vec<String>,
}

impl Comparison {
    /// Returns how many figures have each verdict that counts: within, within 2, beyond 2, beyond 5.
    pub fn counts(&self) -> [usize; 4] {
        [Verdict::Within, Verdict::Near, Verdict::Off, Verdict::FarOff]
            .map(|verdict| self.rows.iter().filter(|row| row.verdict == verdict).count())
    }

    /// Tells whether the log is lifelike: four of five figures within two tolerances, and none beyond five. None where
    /// nothing can be compared.
    pub fn passes(&self) -> Option<bool> {
        let [within, near, off, far] = self.counts();
        let all = within + near + off + far;
        (all > 0).then(|| far == 0 && (within + near) as f64 >= LEAST_WITHIN * all as f64)
    }
}

/// Compares a log's figures with the reference's.
pub fn compare(data: &Dataset, figures: Vec<Figure>) -> Comparison {
    let users = data
        .by_user()
        .iter()
        .filter(|meetings| !meetings.is_empty())
        .count();
    let near =
        |found: usize, wanted: usize| (found as f64 - wanted as f64).abs() <= SAME_SIZE * wanted as f64;
    let same_size = near(users, REFERENCE_SIZE.users) && near(data.movies.len(), REFERENCE_SIZE.movies);
    let rows: Vec<Row> = figures.into_iter().map(|figure| row(figure, same_size)).collect();
    let untold = REFERENCE
        .figures
        .iter()
        .filter(|(name, target)| {
            target.tolerance.is_some() && !rows.iter().any(|row| row.figure.name == **name)
        })
        .map(|(name, _)| name.clone())
        .collect();
    Comparison {
        rows,
        same_size,
        untold,
        needs_rankers: REFERENCE.needs_rankers.clone(),
    }
}

fn row(figure: Figure, same_size: bool) -> Row {
    let target = REFERENCE
        .figures
        .get(&figure.name)
        .or_else(|| REFERENCE.figures.get(&other_name(&figure.name)))
        .copied();
    let tolerance = target.and_then(|target| target.tolerance);
    let comparable = target.is_none_or(|target| target.any_size || same_size);
    let verdict = match (target, tolerance) {
        (Some(_), _) if !comparable => Verdict::OtherSize,
        (Some(target), Some(tolerance)) => judged((figure.value - target.value).abs() / tolerance),
        _ => Verdict::Shown,
    };
    Row {
        figure,
        reference: target.map(|target| target.value),
        tolerance,
        verdict,
    }
}

fn judged(tolerances: f64) -> Verdict {
    if tolerances <= 1.0 {
        Verdict::Within
    } else if tolerances <= 2.0 {
        Verdict::Near
    } else if tolerances <= MOST_OFF {
        Verdict::Off
    } else {
        Verdict::FarOff
    }
}

/// Returns the name with genres called as the reference calls them; the two of a pair in order.
fn other_name(name: &str) -> String {
    let renamed = |name: &str| {
        GENRE_NAMES
            .iter()
            .find(|(ours, _)| *ours == name)
            .map_or(name, |(_, theirs)| *theirs)
            .to_owned()
    };
    if let Some((first, second)) = name.split_once(" and ") {
        let mut both = [renamed(first), renamed(second)];
        both.sort();
        return both.join(" and ");
    }
    if let Some((genre, rest)) = name.strip_prefix("log ").and_then(|name| name.split_once(", ")) {
        return format!("log {}, {rest}", renamed(genre));
    }
    for start in ["movies of ", "meetings of "] {
        if let Some(genre) = name.strip_prefix(start) {
            return format!("{start}{}", renamed(genre));
        }
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, value: f64) -> Figure {
        Figure {
            heading: "h",
            name: name.to_owned(),
            value,
        }
    }

    #[test]
    fn a_figure_is_judged_by_its_tolerance() {
        for (value, verdict) in [
            (0.64, Verdict::Within),
            (0.60, Verdict::Near),
            (0.55, Verdict::Off),
            (0.1, Verdict::FarOff),
        ] {
            assert_eq!(row(figure("gini", value), true).verdict, verdict);
            assert_eq!(row(figure("gini", value), false).verdict, Verdict::OtherSize);
        }
        assert_eq!(row(figure("vu", 0.16), false).verdict, Verdict::Within);
        assert_eq!(row(figure("no such figure", 1.0), true).verdict, Verdict::Shown);
    }

    #[test]
    fn the_rule_wants_four_of_five_near_and_none_far() {
        let with = |values: &[f64]| Comparison {
            rows: values
                .iter()
                .map(|value| row(figure("gini", *value), true))
                .collect(),
            same_size: true,
            untold: Vec::new(),
            needs_rankers: Vec::new(),
        };
        assert_eq!(with(&[]).passes(), None);
        assert_eq!(with(&[0.629, 0.629, 0.629, 0.6, 0.55]).passes(), Some(true));
        assert_eq!(with(&[0.629, 0.629, 0.629, 0.55]).passes(), Some(false));
        assert_eq!(
            with(&[0.629, 0.629, 0.629, 0.629, 0.629, 0.1]).passes(),
            Some(false)
        );
    }

    #[test]
    fn genres_of_other_names_find_their_reference() {
        for name in [
            "movies of Science Fiction",
            "log Family, women to men",
            "Animation and Family",
        ] {
            assert!(row(figure(name, 0.1), true).reference.is_some(), "{name}");
        }
    }
}
