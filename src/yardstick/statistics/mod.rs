//! The statistics of a log, by the names of the reference: what is rated, chosen, by whom, when and for how long.

mod activity;
mod genres;
mod groups;
mod minutes;
mod popularity;
mod ratings;
mod singular;
mod spectrum;
mod time;

use super::{Dataset, Meeting};
use crate::metrics::beyond;
use crate::metrics::stats::quantile::interpolated;
use crate::seed::Key;

/// One statistic of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The heading under which tables show it.
    pub heading: &'static str,
    /// Its name, the reference's where the reference has it.
    pub name: String,
    /// Its value.
    pub value: f64,
}

/// Figures in the order of tables.
#[derive(Debug, Default)]
struct Figures(Vec<Figure>);

impl Figures {
    /// Adds a figure; one that cannot be told of this log is left out.
    fn put(&mut self, heading: &'static str, name: impl Into<String>, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into().filter(|value| value.is_finite()) {
            self.0.push(Figure {
                heading,
                name: name.into(),
                value,
            });
        }
    }
}

/// A log with what every statistic needs of it.
struct View<'d> {
    data: &'d Dataset,
    /// The meetings of each user, in order of time; users without any are left out of every mean over users.
    users: Vec<Vec<Meeting>>,
    /// The number of meetings of each movie.
    popularity: Vec<f64>,
}

impl View<'_> {
    fn log_popularity(&self, movie: u32) -> f64 {
        libm::log(self.popularity[movie as usize])
    }

    /// Returns the mean logarithm of the popularity of what a user met.
    fn mean_log_popularity(&self, meetings: &[Meeting]) -> Option<f64> {
        mean(&collect(
            meetings.iter().map(|meeting| self.log_popularity(meeting.movie)),
        ))
    }

    fn stars(&self) -> Vec<f64> {
        collect(self.data.meetings.iter().filter_map(stars))
    }
}

/// Measures a log. The key decides the permutations and folds of the few statistics that need chance.
///
/// `told` is called with the name of each part before it is measured, so that long work shows where it is.
pub fn statistics(data: &Dataset, key: &Key, told: &mut dyn FnMut(&str)) -> Vec<Figure> {
    let view = View {
        data,
        users: data.by_user(),
        popularity: data.popularity().into_iter().map(f64::from).collect(),
    };
    let branch = key.branch("statistics");
    let mut figures = Figures::default();
    let effects = ratings::effects(&view);
    told("ratings");
    ratings::measure(&view, effects.as_ref(), &mut figures);
    told("activity and popularity");
    activity::measure(&view, &mut figures);
    popularity::measure(&view, &mut figures);
    told("genres");
    genres::measure(&view, &mut figures);
    told("structure of choice and ratings");
    spectrum::measure(&view, effects.as_ref(), &branch, &mut figures);
    told("groups");
    groups::measure(&view, &branch, &mut figures);
    told("time");
    time::measure(&view, &mut figures);
    minutes::measure(&view, &mut figures);
    by_heading(figures.0)
}

/// Puts figures of one heading together, headings in the order of their first figures.
fn by_heading(mut figures: Vec<Figure>) -> Vec<Figure> {
    let mut headings: Vec<&str> = Vec::new();
    for figure in &figures {
        if !headings.contains(&figure.heading) {
            headings.push(figure.heading);
        }
    }
    figures.sort_by_key(|figure| headings.iter().position(|heading| *heading == figure.heading));
    figures
}

fn stars(meeting: &Meeting) -> Option<f64> {
    meeting.stars.map(f64::from)
}

fn collect(values: impl Iterator<Item = f64>) -> Vec<f64> {
    values.collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Returns the variance over n, as the reference has it.
fn variance(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    Some(squares / values.len() as f64)
}

fn deviation(values: &[f64]) -> Option<f64> {
    variance(values).map(libm::sqrt)
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: &[f64]) -> Option<f64> {
    interpolated(&sorted(values.to_vec()), 0.5)
}

/// Returns the Gini coefficient of values that are not negative; none where nobody has anything.
fn gini(values: &[f64]) -> Option<f64> {
    (values.iter().sum::<f64>() > 0.0).then(|| beyond::gini_of(values))
}

fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (mean(a)?, mean(b)?);
    let covariance: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    let scale = libm::sqrt(variance(a)? * variance(b)?) * a.len() as f64;
    (scale > 0.0).then(|| covariance / scale)
}

/// Returns Spearman's rank correlation, ties sharing their mean rank.
fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    pearson(&ranks(a), &ranks(b))
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        let mut next = first + 1;
        while next < order.len() && values[order[next]] == values[order[first]] {
            next += 1;
        }
        for place in &order[first..next] {
            ranks[*place] = (first + next - 1) as f64 / 2.0;
        }
        first = next;
    }
    ranks
}

#[cfg(test)]
mod tests;
