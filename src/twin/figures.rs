//! What a service has done, measured against its twin without one: concentration, overlap, worth, taste, who left.

use std::collections::BTreeMap;

use serde::Serialize;

use super::play::{Life, TwinSpec, window_from};
use crate::metrics::beyond::gini_of;
use crate::metrics::stats::bootstrap::standard;
use crate::scorecard::Interval;
use crate::seed::{Branch, Key};
use crate::world::{GENRES, Gender, MovieIndex, UserId, World};

/// The resamples of every interval.
const RESAMPLES: usize = 200;
/// The level of every interval.
const LEVEL: f64 = 0.95;
/// The number of others with whom each viewer is compared.
const PARTNERS: usize = 8;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// The Gini coefficient of the viewings of the movies of the catalogue.
    Concentration,
    /// The share of the catalogue that anybody watched.
    Coverage,
    /// The mean Jaccard similarity of what two viewers watched (Chaney, Stewart and Engelhardt 2018).
    Overlap,
    /// The mean true worth of what was watched, by the taste that the viewer began with.
    Worth,
    /// The mean entropy, in bits, of the genres of what a viewer watched.
    GenreEntropy,
    /// The mean distance, in logits, that the weights of the genres have gone.
    TasteMoved,
    /// The mean correlation of two viewers' movements of taste, of those whose taste moved.
    TasteTogether,
    /// The share of viewers who left.
    Left,
    /// The share of women who left, less the share of men who did.
    LeftGap,
}

impl Measure {
    /// Every measure, in the order of tables.
    pub const ALL: [Self; 9] = [
        Self::Concentration,
        Self::Coverage,
        Self::Overlap,
        Self::Worth,
        Self::GenreEntropy,
        Self::TasteMoved,
        Self::TasteTogether,
        Self::Left,
        Self::LeftGap,
    ];

    /// Returns the name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Concentration => "concentration",
            Self::Coverage => "coverage",
            Self::Overlap => "overlap",
            Self::Worth => "worth",
            Self::GenreEntropy => "genre_entropy",
            Self::TasteMoved => "taste_moved",
            Self::TasteTogether => "taste_together",
            Self::Left => "left",
            Self::LeftGap => "left_gap",
        }
    }

    /// Returns what it says, in a line.
    pub fn what(self) -> &'static str {
        match self {
            Self::Concentration => "Gini coefficient of the viewings of movies",
            Self::Coverage => "share of the catalogue that anybody watched",
            Self::Overlap => "mean Jaccard similarity of what two viewers watched",
            Self::Worth => "mean true worth of what was watched, 0 to 1",
            Self::GenreEntropy => "mean entropy of a viewer's genres, in bits",
            Self::TasteMoved => "mean distance that taste moved, in logits",
            Self::TasteTogether => "mean correlation of two viewers' movements of taste",
            Self::Left => "share of viewers who left",
            Self::LeftGap => "share of women who left less that of men",
        }
    }
}

/// One measure under a service and without it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// The measure's name.
    pub measure: &'static str,
    /// What it says.
    pub what: &'static str,
    /// Its value in the twin without a service; none where it has no meaning there.
    pub without: Option<f64>,
    /// Its value under the service; none where it has no meaning.
    pub with: Option<f64>,
    /// The difference.
    pub difference: Option<f64>,
    /// The interval of the difference, by the spread of resampled viewers, the same in both twins.
    pub interval: Option<Interval>,
}

/// What one service has done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Truth {
    /// The service.
    pub service: String,
    /// The measures.
    pub figures: Vec<Figure>,
}

/// What the measures need of one life.
struct Seen {
    /// What each viewer watched in the window, sorted, each movie once.
    sets: Vec<Vec<u32>>,
    /// All viewings of each viewer in the window.
    all: Vec<Vec<u32>>,
    /// The sum of the true worth of those.
    worth: Vec<f64>,
    entropy: Vec<Option<f64>>,
    leanings: Vec<[f32; GENRES]>,
    left: Vec<bool>,
}

/// Compares lives under services with the life under none; all of the same world, key and size.
///
/// What is watched is taken from the second half of the term. Intervals are conditional on the path that each service's loop
/// took: they say how sure the difference is for other viewers of these companies, not for other runs of luck.
pub fn compare(world: &World, key: &Key, spec: TwinSpec, nobody: &Life, lives: &[Life]) -> Vec<Truth> {
    let branch = key.branch("twin").branch("resamples");
    let users = nobody.gone.len();
    let women: Vec<bool> = (1..=users as u32)
        .map(|id| {
            world
                .user(UserId(id))
                .is_some_and(|user| user.gender == Gender::Female)
        })
        .collect();
    let mut all: Vec<&Life> = vec![nobody];
    all.extend(lives);
    let mut seen = look(world, spec, &all);
    let without = seen.remove(0);
    lives
        .iter()
        .zip(&seen)
        .map(|(life, with)| Truth {
            service: life.service.clone().unwrap_or_default(),
            figures: Measure::ALL
                .iter()
                .map(|measure| figure(*measure, (&without, with), &women, world, &branch))
                .collect(),
        })
        .collect()
}

/// Gathers what measures need; the worth of all movies to a viewer is computed once for all lives.
fn look(world: &World, spec: TwinSpec, lives: &[&Life]) -> Vec<Seen> {
    let from = window_from(spec);
    let mut seen: Vec<Seen> = lives
        .iter()
        .map(|life| {
            let mut all = vec![Vec::new(); life.gone.len()];
            for viewing in life.viewings.iter().filter(|viewing| viewing.at >= from) {
                all[viewing.user.0 as usize - 1].push(viewing.movie.0);
            }
            let sets = all.iter().cloned().map(sorted_set).collect();
            Seen {
                sets,
                worth: Vec::with_capacity(all.len()),
                entropy: all.iter().map(|movies| genre_entropy(world, movies)).collect(),
                all,
                leanings: life.leanings.clone(),
                left: life.gone.iter().map(Option::is_some).collect(),
            }
        })
        .collect();
    let mut worth = Vec::new();
    for place in 0..lives.first().map_or(0, |life| life.gone.len()) {
        world.enjoyment(UserId(place as u32 + 1), &mut worth);
        for seen in &mut seen {
            let sum = seen.all[place].iter().map(|movie| worth[*movie as usize]).sum();
            seen.worth.push(sum);
        }
    }
    seen
}

fn sorted_set(mut movies: Vec<u32>) -> Vec<u32> {
    movies.sort_unstable();
    movies.dedup();
    movies
}

fn genre_entropy(world: &World, movies: &[u32]) -> Option<f64> {
    let mut shares: BTreeMap<usize, f64> = BTreeMap::new();
    for movie in movies {
        let genres = world.movie(MovieIndex(*movie)).genres;
        for genre in genres.iter() {
            *shares.entry(genre.index()).or_insert(0.0) += 1.0 / (genres.len() * movies.len()) as f64;
        }
    }
    (!movies.is_empty()).then(|| shares.values().map(|share| -share * libm::log2(*share)).sum())
}

fn figure(
    measure: Measure,
    (without, with): (&Seen, &Seen),
    women: &[bool],
    world: &World,
    branch: &Branch,
) -> Figure {
    let everybody: Vec<usize> = (0..women.len()).collect();
    let of = |seen: &Seen, places: &[usize]| value(measure, seen, places, women, world.spec().movies);
    let finite = |value: f64| value.is_finite().then_some(value);
    let (before, after) = (finite(of(without, &everybody)), finite(of(with, &everybody)));
    // Without lists no taste moves and nobody leaves: the twin has nothing to be subtracted.
    let difference = |places: &[usize]| match measure {
        Measure::TasteTogether => of(with, places),
        _ => of(with, places) - of(without, places),
    };
    let found = finite(difference(&everybody));
    Figure {
        measure: measure.name(),
        what: measure.what(),
        without: before,
        with: after,
        difference: found,
        interval: found.and_then(|_| {
            let mut draws = branch.branch(measure.name()).at(0);
            standard(women.len(), difference, RESAMPLES, LEVEL, &mut draws)
        }),
    }
}

/// Returns a measure of some viewers, who may occur several times; not a number where it has no meaning.
fn value(measure: Measure, seen: &Seen, places: &[usize], women: &[bool], movies: u32) -> f64 {
    match measure {
        Measure::Concentration => gini_of(&counts(seen, places, movies)),
        Measure::Coverage => {
            let counts = counts(seen, places, movies);
            counts.iter().filter(|count| **count > 0.0).count() as f64 / f64::from(movies)
        }
        Measure::Overlap => pair_mean(places, |a, b| jaccard(&seen.sets[a], &seen.sets[b])),
        Measure::Worth => {
            let viewings: usize = places.iter().map(|place| seen.all[*place].len()).sum();
            places.iter().map(|place| seen.worth[*place]).sum::<f64>() / viewings as f64
        }
        Measure::GenreEntropy => mean(places.iter().filter_map(|place| seen.entropy[*place])),
        Measure::TasteMoved => mean(places.iter().map(|place| length(&seen.leanings[*place]))),
        Measure::TasteTogether => pair_mean(places, |a, b| cosine(&seen.leanings[a], &seen.leanings[b])),
        Measure::Left => mean(places.iter().map(|place| f64::from(u8::from(seen.left[*place])))),
        Measure::LeftGap => {
            let share = |female: bool| {
                let group = places.iter().filter(|place| women[**place] == female);
                mean(group.map(|place| f64::from(u8::from(seen.left[*place]))))
            };
            share(true) - share(false)
        }
    }
}

fn counts(seen: &Seen, places: &[usize], movies: u32) -> Vec<f64> {
    let mut counts = vec![0.0; movies as usize];
    for place in places {
        for movie in &seen.all[*place] {
            counts[*movie as usize] += 1.0;
        }
    }
    counts
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    sum / count
}

/// The mean of a figure of two viewers, over each and the next few; oneself and pairs without the figure are passed over.
fn pair_mean(places: &[usize], of: impl Fn(usize, usize) -> Option<f64>) -> f64 {
    let n = places.len();
    mean((0..n).flat_map(|at| {
        let of = &of;
        (1..=PARTNERS.min(n - 1)).filter_map(move |step| {
            let (a, b) = (places[at], places[(at + step) % n]);
            (a != b).then(|| of(a, b)).flatten()
        })
    }))
}

/// The Jaccard similarity of two sorted sets; none where either is empty.
fn jaccard(a: &[u32], b: &[u32]) -> Option<f64> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (mut i, mut j, mut both) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        both += usize::from(a[i] == b[j]);
        let (left, right) = (a[i], b[j]);
        i += usize::from(left <= right);
        j += usize::from(right <= left);
    }
    Some(both as f64 / (a.len() + b.len() - both) as f64)
}

fn length(leaning: &[f32; GENRES]) -> f64 {
    libm::sqrt(leaning.iter().map(|by| f64::from(*by) * f64::from(*by)).sum())
}

fn cosine(a: &[f32; GENRES], b: &[f32; GENRES]) -> Option<f64> {
    let product: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    let lengths = length(a) * length(b);
    (lengths > 0.0).then(|| product / lengths)
}
