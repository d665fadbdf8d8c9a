//! Stars: their histogram, what of their variance is whose, how they go with popularity, and how much structure is left.

use ndarray::Array2;

use super::spectrum::singular_values;
use super::{Moment, deviation, mean, pearson, spearman};
use crate::seed::Branch;
use crate::yardstick::dataset::Dataset;

/// The singular values of the residual that are told, over the largest of a permuted one.
const TOLD: [usize; 6] = [1, 2, 3, 4, 6, 10];
/// How many ratings of the mean a movie's and a user's own are mixed with.
const MOVIE_RIDGE: f64 = 3.0;
const USER_RIDGE: f64 = 5.0;
/// Rounds of alternating means, which settle within a few.
const ROUNDS: usize = 30;

struct Rated {
    user: usize,
    movie: usize,
    stars: f64,
}

pub(super) fn moments(data: &Dataset, branch: &Branch) -> Vec<Moment> {
    let rated: Vec<Rated> = data
        .meetings
        .iter()
        .filter_map(|meeting| {
            Some(Rated {
                user: meeting.user as usize,
                movie: meeting.movie as usize,
                stars: f64::from(meeting.stars?),
            })
        })
        .collect();
    let mut all = histogram(&rated);
    all.extend(parts(data, &rated, branch));
    all.extend(by_popularity(data, &rated));
    all
}

fn moment(name: impl Into<String>, value: Option<f64>, about: &'static str) -> Moment {
    Moment {
        part: "rating",
        name: name.into(),
        value,
        about,
    }
}

fn histogram(rated: &[Rated]) -> Vec<Moment> {
    let stars: Vec<f64> = rated.iter().map(|rating| rating.stars).collect();
    let mut all: Vec<Moment> = (1..=5)
        .map(|number| {
            let of = stars
                .iter()
                .filter(|stars| (stars.round() - f64::from(number)).abs() < 0.5)
                .count();
            let share = (!stars.is_empty()).then(|| of as f64 / stars.len() as f64);
            moment(
                format!("stars{number}"),
                share,
                "share of ratings with so many stars",
            )
        })
        .collect();
    all.push(moment("stars_mean", mean(&stars), "mean stars"));
    let variance = deviation(&stars).map(|sd| sd * sd);
    all.push(moment("stars_var", variance, "variance of stars"));
    all
}

/// Variance by user, movie and the rest; the spread within users; the spectrum of what is left.
fn parts(data: &Dataset, rated: &[Rated], branch: &Branch) -> Vec<Moment> {
    let centre = mean(&rated.iter().map(|rating| rating.stars).collect::<Vec<f64>>()).unwrap_or(0.0);
    let mut users = vec![0.0; data.users.len()];
    let mut movies = vec![0.0; data.movies.len()];
    for _ in 0..ROUNDS {
        movies = means(data.movies.len(), rated, MOVIE_RIDGE, |rating| {
            (rating.movie, rating.stars - centre - users[rating.user])
        });
        users = means(data.users.len(), rated, USER_RIDGE, |rating| {
            (rating.user, rating.stars - centre - movies[rating.movie])
        });
    }
    let of = |value: &dyn Fn(&Rated) -> f64| rated.iter().map(value).collect::<Vec<f64>>();
    let square = |values: &[f64]| deviation(values).map(|sd| sd * sd);
    let residuals = of(&|rating| rating.stars - centre - users[rating.user] - movies[rating.movie]);
    let within: Vec<f64> = by_place(data.users.len(), rated, |rating| (rating.user, rating.stars))
        .iter()
        .filter_map(|stars| deviation(stars))
        .collect();
    let mut all = vec![
        moment(
            "vu",
            square(&of(&|rating| users[rating.user])),
            "variance by user, over ratings",
        ),
        moment(
            "vi",
            square(&of(&|rating| movies[rating.movie])),
            "variance by movie, over ratings",
        ),
        moment("vr", square(&residuals), "variance of the rest"),
        moment(
            "usd_m",
            mean(&within),
            "spread of a user's stars, mean over users",
        ),
        moment(
            "usd_s",
            deviation(&within),
            "spread of a user's stars, spread over users",
        ),
    ];
    let fill = |values: &[f64]| {
        let mut matrix = Array2::zeros((data.users.len(), data.movies.len()));
        for (rating, value) in rated.iter().zip(values) {
            matrix[[rating.user, rating.movie]] = *value;
        }
        matrix
    };
    let values = singular_values(
        &fill(&residuals),
        TOLD[TOLD.len() - 1],
        &branch.branch("residual"),
    );
    let permuted = permuted(data.movies.len(), rated, &residuals, &branch.branch("permuted"));
    let null = singular_values(&fill(&permuted), 1, &branch.branch("null"));
    for place in TOLD {
        let ratio = values
            .get(place - 1)
            .zip(null.first())
            .filter(|_| !rated.is_empty())
            .map(|(value, null)| value / null);
        all.push(moment(
            format!("s{place}"),
            ratio,
            "singular value of the rest over the largest by chance",
        ));
    }
    all
}

/// Shuffles residuals among the ratings of each movie: chance that leaves movies as contentious as they are.
fn permuted(movies: usize, rated: &[Rated], residuals: &[f64], branch: &Branch) -> Vec<f64> {
    let mut places = vec![Vec::new(); movies];
    for (place, rating) in rated.iter().enumerate() {
        places[rating.movie].push(place);
    }
    let mut all = residuals.to_vec();
    for (movie, own) in places.iter().enumerate() {
        let mut order = own.clone();
        branch.at(movie as u64).shuffle(&mut order);
        for (from, to) in own.iter().zip(order) {
            all[to] = residuals[*from];
        }
    }
    all
}

fn means(places: usize, rated: &[Rated], ridge: f64, value: impl Fn(&Rated) -> (usize, f64)) -> Vec<f64> {
    let mut sums = vec![(0.0, ridge); places];
    for rating in rated {
        let (place, value) = value(rating);
        sums[place].0 += value;
        sums[place].1 += 1.0;
    }
    sums.into_iter()
        .map(|(sum, count)| sum / f64::max(count, 1.0))
        .collect()
}

fn by_place(places: usize, rated: &[Rated], value: impl Fn(&Rated) -> (usize, f64)) -> Vec<Vec<f64>> {
    let mut all = vec![Vec::new(); places];
    for rating in rated {
        let (place, value) = value(rating);
        all[place].push(value);
    }
    all
}

/// How stars go with the popularity of movies and the activity of users.
fn by_popularity(data: &Dataset, rated: &[Rated]) -> Vec<Moment> {
    let of_movies = by_place(data.movies.len(), rated, |rating| (rating.movie, rating.stars));
    let mut rows: Vec<(f64, f64)> = of_movies
        .iter()
        .filter_map(|stars| Some((stars.len() as f64, mean(stars)?)))
        .collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (counts, stars): (Vec<f64>, Vec<f64>) = rows.iter().copied().unzip();
    let logs: Vec<f64> = counts.iter().map(|count| libm::log(*count)).collect();
    let first = counts.partition_point(|count| *count < 20.0);
    let (act, own): (Vec<f64>, Vec<f64>) =
        by_place(data.users.len(), rated, |rating| (rating.user, rating.stars))
            .iter()
            .filter_map(|stars| Some((stars.len() as f64, mean(stars)?)))
            .unzip();
    let mut all = vec![
        moment(
            "pear",
            pearson(&logs, &stars),
            "log popularity with a movie's mean stars (Pearson)",
        ),
        moment(
            "sp20",
            spearman(&counts[first..], &stars[first..]),
            "the same among movies with 20 ratings or more (Spearman)",
        ),
        moment(
            "spact",
            spearman(&act, &own),
            "activity with a user's mean stars (Spearman)",
        ),
    ];
    for decile in [0, 2, 5, 9] {
        let at = |tenth: usize| rows.len() * tenth / 10;
        let part = &rows[at(decile)..at(decile + 1)];
        let total: f64 = part.iter().map(|(count, _)| count).sum();
        let weighted: f64 = part.iter().map(|(count, stars)| count * stars).sum();
        all.push(moment(
            format!("d{decile}"),
            (total > 0.0).then(|| weighted / total),
            "mean stars by tenth of movies, the least popular first",
        ));
    }
    all
}
