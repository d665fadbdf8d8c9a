//! How women and men, the young and the old differ, and how well a history tells who somebody is.

use super::{Figures, View, collect, deviation, mean, stars};
use crate::seed::Branch;
use crate::yardstick::Meeting;
use crate::yardstick::linear::{dot, factor, substitute};

const PEOPLE: &str = "people";
const GENDER: &str = "women and men";
const AGE: &str = "ages";
const TELLING: &str = "who somebody is, from history";
/// Bands of age: name, first year, last year.
const BANDS: [(&str, u16, u16); 7] = [
    ("under 18", 0, 17),
    ("18-24", 18, 24),
    ("25-34", 25, 34),
    ("35-44", 35, 44),
    ("45-49", 45, 49),
    ("50-55", 50, 55),
    ("56 and over", 56, u16::MAX),
];
/// Whose genres are compared by age: the fifties with 18 to 24.
const OLD: (u16, u16) = (50, 55);
const YOUNG: (u16, u16) = (18, 24);
/// The ridge in units of the mean diagonal of the kernel.
const RIDGE: f64 = 0.28;
/// Parts that are told from the other parts, and how often they are drawn anew.
const FOLDS: usize = 5;
const FOLDINGS: u64 = 3;
/// Users that the prediction learns from and tells at most: a kernel is the square of them.
const MOST_USERS: usize = 1500;
/// Fewer users than this tell nothing.
const LEAST_USERS: usize = 50;

pub(super) fn measure(view: &View, branch: &Branch, figures: &mut Figures) {
    let rows = &view.data.users;
    let present = |place: &usize| !view.users[*place].is_empty();
    let known: Vec<usize> = (0..rows.len())
        .filter(present)
        .filter(|place| rows[*place].is_female.is_some())
        .collect();
    if !known.is_empty() {
        let (women, men): (Vec<usize>, Vec<usize>) = known
            .iter()
            .partition(|place| rows[**place].is_female == Some(true));
        figures.put(PEOPLE, "women", women.len() as f64 / known.len() as f64);
        group(view, GENDER, "women", &women, figures);
        group(view, GENDER, "men", &men, figures);
        compare(view, GENDER, "women to men", &women, &men, figures);
    }
    let aged: Vec<(usize, u16)> = (0..rows.len())
        .filter(present)
        .filter_map(|place| Some((place, rows[place].age?)))
        .collect();
    if !aged.is_empty() {
        let ages = collect(aged.iter().map(|(_, age)| f64::from(*age)));
        figures.put(PEOPLE, "age mean", mean(&ages));
        figures.put(PEOPLE, "age sd", deviation(&ages));
        let within = |first: u16, last: u16| -> Vec<usize> {
            aged.iter()
                .filter(|(_, age)| (first..=last).contains(age))
                .map(|(place, _)| *place)
                .collect()
        };
        for (name, first, last) in BANDS {
            let users = within(first, last);
            figures.put(
                PEOPLE,
                format!("age {name}"),
                users.len() as f64 / aged.len() as f64,
            );
            group(view, AGE, name, &users, figures);
        }
        let (old, young) = (within(OLD.0, OLD.1), within(YOUNG.0, YOUNG.1));
        compare(view, AGE, "50-55 to 18-24", &old, &young, figures);
    }
    telling(view, branch, figures);
}

fn group(view: &View, heading: &'static str, name: &str, users: &[usize], figures: &mut Figures) {
    let over = |figure: &dyn Fn(&[Meeting]) -> Option<f64>| {
        mean(&collect(
            users.iter().filter_map(|place| figure(&view.users[*place])),
        ))
    };
    figures.put(
        heading,
        format!("activity, {name}"),
        over(&|meetings| Some(meetings.len() as f64)),
    );
    figures.put(
        heading,
        format!("stars, {name}"),
        over(&|meetings| mean(&collect(meetings.iter().filter_map(stars)))),
    );
    figures.put(
        heading,
        format!("log popularity, {name}"),
        over(&|meetings| view.mean_log_popularity(meetings)),
    );
}

/// Tells the logarithm of how much larger the share of meetings with a genre is in one group than in another.
fn compare(
    view: &View,
    heading: &'static str,
    name: &str,
    one: &[usize],
    other: &[usize],
    figures: &mut Figures,
) {
    let shares = |users: &[usize]| {
        let mut counts = vec![0.0; view.data.genres.len()];
        let mut all = 0.0;
        for meeting in users.iter().flat_map(|place| &view.users[*place]) {
            all += 1.0;
            for genre in &view.data.movies[meeting.movie as usize].genres {
                counts[usize::from(*genre)] += 1.0;
            }
        }
        counts.into_iter().map(|count| count / all).collect::<Vec<f64>>()
    };
    for ((genre, one), other) in view.data.genres.iter().zip(shares(one)).zip(shares(other)) {
        figures.put(heading, format!("log {genre}, {name}"), libm::log(one / other));
    }
}

/// Tells gender and age from what somebody met, by ridge regression on a kernel, each part from the other parts.
fn telling(view: &View, branch: &Branch, figures: &mut Figures) {
    let mut users: Vec<usize> = (0..view.users.len())
        .filter(|place| {
            let row = &view.data.users[*place];
            !view.users[*place].is_empty() && row.is_female.is_some() && row.age.is_some()
        })
        .collect();
    branch.branch("told").at(0).shuffle(&mut users);
    users.truncate(MOST_USERS);
    if users.len() < LEAST_USERS {
        return;
    }
    let truth: Vec<[f64; 2]> = users
        .iter()
        .map(|place| {
            let row = &view.data.users[*place];
            let female = f64::from(u8::from(row.is_female == Some(true)));
            [female, f64::from(row.age.unwrap_or_default())]
        })
        .collect();
    let kernel = kernel(view, &users);
    let mut found = [Vec::new(), Vec::new()];
    for folding in 0..FOLDINGS {
        let mut fold: Vec<usize> = (0..users.len()).map(|place| place % FOLDS).collect();
        branch.branch("folds").at(folding).shuffle(&mut fold);
        let Some(told) = told(&kernel, &truth, &fold) else {
            return;
        };
        found[0].extend(area(&told, &truth));
        found[1].extend(explained(&told, &truth));
    }
    figures.put(TELLING, "gAUC", mean(&found[0]));
    figures.put(TELLING, "ageR2", mean(&found[1]));
}

/// Returns the similarity of users: products of rows of the choice matrix, scaled by activity and popularity.
fn kernel(view: &View, users: &[usize]) -> Vec<Vec<f64>> {
    let mut dense = vec![0.0; view.data.movies.len()];
    let mut rows = Vec::with_capacity(users.len());
    for user in users {
        let own = &view.users[*user];
        for meeting in own {
            let movie = meeting.movie as usize;
            dense[movie] = 1.0 / view.popularity[movie];
        }
        let row: Vec<f64> = users
            .iter()
            .map(|other| {
                let other = &view.users[*other];
                let common: f64 = other.iter().map(|meeting| dense[meeting.movie as usize]).sum();
                common / libm::sqrt((own.len() * other.len()) as f64)
            })
            .collect();
        rows.push(row);
        for meeting in own {
            dense[meeting.movie as usize] = 0.0;
        }
    }
    rows
}

fn told(kernel: &[Vec<f64>], truth: &[[f64; 2]], fold: &[usize]) -> Option<Vec<[f64; 2]>> {
    let diagonal = mean(&collect((0..kernel.len()).map(|place| kernel[place][place])))?;
    let mut told = vec![[0.0; 2]; truth.len()];
    for part in 0..FOLDS {
        let (asked, learnt): (Vec<usize>, Vec<usize>) =
            (0..truth.len()).partition(|place| fold[*place] == part);
        let centre = [0, 1]
            .map(|side| learnt.iter().map(|place| truth[*place][side]).sum::<f64>() / learnt.len() as f64);
        let n = learnt.len();
        let mut square: Vec<f64> = learnt
            .iter()
            .flat_map(|a| learnt.iter().map(|b| kernel[*a][*b]))
            .collect();
        for place in 0..n {
            square[place * n + place] += RIDGE * diagonal;
        }
        if !factor(&mut square, n) {
            return None;
        }
        let weights = [0, 1].map(|side| {
            let mut known = collect(learnt.iter().map(|place| truth[*place][side] - centre[side]));
            substitute(&square, &mut known);
            known
        });
        for place in asked {
            let row = collect(learnt.iter().map(|other| kernel[place][*other]));
            told[place] = [0, 1].map(|side| centre[side] + dot(&row, &weights[side]));
        }
    }
    Some(told)
}

/// Returns the area under the curve for gender: the share of pairs of a woman and a man that are in order.
fn area(told: &[[f64; 2]], truth: &[[f64; 2]]) -> Option<f64> {
    let ranks = super::ranks(&collect(told.iter().map(|told| told[0])));
    let women = truth.iter().filter(|truth| truth[0] > 0.5).count() as f64;
    let men = truth.len() as f64 - women;
    let sum: f64 = ranks
        .iter()
        .zip(truth)
        .filter(|(_, truth)| truth[0] > 0.5)
        .map(|(rank, _)| rank + 1.0)
        .sum();
    (women > 0.0 && men > 0.0).then(|| (sum - women * (women + 1.0) / 2.0) / (women * men))
}

/// Returns the share of the variance of age that is told.
fn explained(told: &[[f64; 2]], truth: &[[f64; 2]]) -> Option<f64> {
    let errors: f64 = told
        .iter()
        .zip(truth)
        .map(|(told, truth)| (told[1] - truth[1]) * (told[1] - truth[1]))
        .sum();
    let all = super::variance(&collect(truth.iter().map(|truth| truth[1])))? * truth.len() as f64;
    (all > 0.0).then(|| 1.0 - errors / all)
}
