//! Who met what: popularity, activity, genres, structure, and what it tells of people.

use ndarray::Array2;

use super::spectrum::singular_values;
use super::{Moment, deviation, mean, spearman};
use crate::metrics::beyond;
use crate::seed::Branch;
use crate::yardstick::dataset::Dataset;
use crate::yardstick::rankers::inverse;

/// The singular values that are told, counted from 1: the first is popularity times activity.
const TOLD: [usize; 10] = [2, 3, 4, 5, 6, 8, 11, 20, 30, 50];
/// The singular values from the second on whose squares are summed.
const SUMMED: usize = 50;

pub(super) fn moments(data: &Dataset, branch: &Branch) -> Vec<Moment> {
    let mut all = popularity(data);
    all.extend(activity(data));
    let mut add = |name: &str, value: Option<f64>, about| {
        all.push(Moment {
            part: "choice",
            name: name.to_owned(),
            value,
            about,
        });
    };
    add(
        "KL",
        genre_divergence(data),
        "how far users' mixes of genres are from everybody's, nats",
    );
    let matrix = correspondence(data);
    let values = singular_values(&matrix, SUMMED + 1, &branch.branch("choice"));
    for place in TOLD {
        add(
            &format!("sv{place}"),
            values.get(place - 1).copied(),
            "singular value of the choices, activity and popularity taken out",
        );
    }
    let squares = values
        .iter()
        .skip(1)
        .take(SUMMED)
        .map(|value| value * value)
        .sum();
    add(
        "ss",
        (values.len() > SUMMED).then_some(squares),
        "sum of squares of the 2nd to 51st singular value",
    );
    let (auc, r2) = people(data, &matrix, branch);
    add(
        "gAUC",
        auc,
        "how well gender is told from what was met, area under the curve",
    );
    add(
        "ageR2",
        r2,
        "how well age is told from what was met, share of variance",
    );
    all
}

fn moment(name: &str, value: Option<f64>, about: &'static str) -> Moment {
    Moment {
        part: "choice",
        name: name.to_owned(),
        value,
        about,
    }
}

fn popularity(data: &Dataset) -> Vec<Moment> {
    let mut counts: Vec<f64> = data
        .popularity()
        .into_iter()
        .filter(|count| *count > 0)
        .map(f64::from)
        .collect();
    counts.sort_by(|a, b| b.total_cmp(a));
    let total: f64 = counts.iter().sum();
    let some = !counts.is_empty();
    let top = |share: f64| {
        let most = (counts.len() as f64 * share).round().max(1.0) as usize;
        some.then(|| counts.iter().take(most).sum::<f64>() / total)
    };
    vec![
        moment(
            "gini",
            some.then(|| beyond::gini_of(&counts)),
            "inequality of movies' popularity",
        ),
        moment("top1", top(0.01), "share of the most popular 1 % of movies"),
        moment("top10", top(0.1), "share of the most popular 10 %"),
        moment("top20", top(0.2), "share of the most popular 20 %"),
        moment("top50", top(0.5), "share of the most popular half"),
        moment(
            "max_share",
            counts.first().map(|most| most / data.users.len() as f64),
            "share of users who met the most popular movie",
        ),
        moment(
            "frac_le5",
            some.then(|| counts.iter().filter(|count| **count <= 5.0).count() as f64 / counts.len() as f64),
            "share of movies that at most five users met",
        ),
        moment(
            "zipf_10_100",
            zipf(&counts, 10, 100),
            "exponent of Zipf's law over ranks 10 to 100",
        ),
        moment(
            "zipf_100_1000",
            zipf(&counts, 100, 1_000),
            "the same over ranks 100 to 1000: no real log has one exponent",
        ),
    ]
}

/// The slope of log popularity against log rank, with its sign turned.
fn zipf(counts: &[f64], from: usize, to: usize) -> Option<f64> {
    let part = counts.get(from - 1..to)?;
    let x: Vec<f64> = (from..=to).map(|rank| libm::log(rank as f64)).collect();
    let y: Vec<f64> = part.iter().map(|count| libm::log(*count)).collect();
    Some(-super::pearson(&x, &y)? * deviation(&y)? / deviation(&x)?)
}

fn activity(data: &Dataset) -> Vec<Moment> {
    let popularity: Vec<f64> = data.popularity().into_iter().map(f64::from).collect();
    let (mut counts, mut taste) = (Vec::new(), Vec::new());
    for meetings in data.by_user().iter().filter(|meetings| !meetings.is_empty()) {
        let logs: Vec<f64> = meetings
            .iter()
            .map(|meeting| libm::log(popularity[meeting.movie as usize]))
            .collect();
        counts.push(meetings.len() as f64);
        taste.extend(mean(&logs));
    }
    let mut sorted = counts.clone();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| crate::metrics::stats::quantile(&sorted, share);
    vec![
        moment("act_mean", mean(&counts), "meetings of a user, mean"),
        moment("act_median", at(0.5), "meetings of a user, median"),
        moment("act_q95", at(0.95), "meetings of a user, 95th percentile"),
        moment(
            "act_gini",
            (!counts.is_empty()).then(|| beyond::gini_of(&counts)),
            "inequality of users' activity",
        ),
        moment(
            "mlp_sd",
            deviation(&taste),
            "spread of users' mean log popularity: how mainstream they are",
        ),
        moment(
            "sp_act_mlp",
            spearman(&counts, &taste),
            "active users watch less popular movies (Spearman)",
        ),
    ]
}

/// The mean over users of the divergence of their genres from those of all meetings.
fn genre_divergence(data: &Dataset) -> Option<f64> {
    let genres = data.genres.len();
    let profile = |movies: &mut dyn Iterator<Item = usize>| {
        let mut counts = vec![0.0; genres];
        for movie in movies {
            for genre in &data.movies[movie].genres {
                counts[usize::from(*genre)] += 1.0 / data.movies[movie].genres.len() as f64;
            }
        }
        let total: f64 = counts.iter().sum();
        (total > 0.0).then(|| counts.iter().map(|count| count / total).collect::<Vec<f64>>())
    };
    let all = profile(&mut data.meetings.iter().map(|meeting| meeting.movie as usize))?;
    let divergences: Vec<f64> = data
        .by_user()
        .iter()
        .filter_map(|meetings| profile(&mut meetings.iter().map(|meeting| meeting.movie as usize)))
        .map(|own| {
            own.iter()
                .zip(&all)
                .filter(|(own, _)| **own > 0.0)
                .map(|(own, all)| own * libm::log(own / all))
                .sum()
        })
        .collect();
    mean(&divergences)
}

/// Returns the matrix of meetings, each over the root of its user's and of its movie's number of them.
fn correspondence(data: &Dataset) -> Array2<f64> {
    let popularity = data.popularity();
    let mut matrix = Array2::zeros((data.users.len(), data.movies.len()));
    for (user, meetings) in data.by_user().iter().enumerate() {
        for meeting in meetings {
            let of_movie = f64::from(popularity[meeting.movie as usize]);
            matrix[[user, meeting.movie as usize]] = 1.0 / libm::sqrt(meetings.len() as f64 * of_movie);
        }
    }
    matrix
}

/// The ridge of the regression on people, on kernels whose diagonal is 1.
const PEOPLE_RIDGE: f64 = 0.3;
const FOLDS: usize = 5;
/// The most users on whom people are told from their logs: more take cubically longer.
const MOST_PEOPLE: usize = 1_500;

/// Tells gender and age by kernel ridge regression over five folds.
fn people(data: &Dataset, matrix: &Array2<f64>, branch: &Branch) -> (Option<f64>, Option<f64>) {
    let mut users: Vec<usize> = (0..data.users.len())
        .filter(|user| data.users[*user].is_female.is_some() && data.users[*user].age.is_some())
        .collect();
    branch.branch("folds").at(0).shuffle(&mut users);
    users.truncate(MOST_PEOPLE);
    if users.len() < 50 {
        return (None, None);
    }
    let rows = matrix.select(ndarray::Axis(0), &users);
    let mut kernel = rows.dot(&rows.t());
    let diagonal: Vec<f64> = kernel
        .diag()
        .iter()
        .map(|value| libm::sqrt(value.max(1e-12)))
        .collect();
    for ((a, b), value) in kernel.indexed_iter_mut() {
        *value /= diagonal[a] * diagonal[b];
    }
    let female: Vec<f64> = users
        .iter()
        .map(|user| f64::from(u8::from(data.users[*user].is_female == Some(true))))
        .collect();
    let age: Vec<f64> = users
        .iter()
        .map(|user| f64::from(data.users[*user].age.unwrap_or(0)))
        .collect();
    let (told_gender, told_age) = (foretold(&kernel, &female), foretold(&kernel, &age));
    let errors: Vec<f64> = age
        .iter()
        .zip(&told_age)
        .map(|(age, told)| (age - told) * (age - told))
        .collect();
    let spread = deviation(&age);
    let r2 = spread
        .zip(mean(&errors))
        .map(|(spread, errors)| 1.0 - errors / (spread * spread));
    (auc(&told_gender, &female), r2)
}

/// Returns what the other folds foretell of each.
fn foretold(kernel: &Array2<f64>, values: &[f64]) -> Vec<f64> {
    let mut told = vec![0.0; values.len()];
    for fold in 0..FOLDS {
        let (inside, outside): (Vec<usize>, Vec<usize>) =
            (0..values.len()).partition(|place| place % FOLDS == fold);
        let centre = outside.iter().map(|place| values[*place]).sum::<f64>() / outside.len() as f64;
        let own = kernel
            .select(ndarray::Axis(0), &outside)
            .select(ndarray::Axis(1), &outside)
            + Array2::<f64>::eye(outside.len()) * PEOPLE_RIDGE;
        let known: ndarray::Array1<f64> = outside.iter().map(|place| values[*place] - centre).collect();
        let weights = inverse(&own.view()).dot(&known);
        for place in inside {
            let row = kernel.row(place).select(ndarray::Axis(0), &outside);
            told[place] = centre + row.dot(&weights);
        }
    }
    told
}

/// The area under the curve: how often somebody of the class is told above somebody who is not.
fn auc(told: &[f64], class: &[f64]) -> Option<f64> {
    let ranks = super::ranks(told);
    let (mut sum, mut inside) = (0.0, 0.0);
    for (rank, class) in ranks.iter().zip(class) {
        sum += (rank + 1.0) * class;
        inside += class;
    }
    let outside = class.len() as f64 - inside;
    (inside > 0.0 && outside > 0.0).then(|| (sum - inside * (inside + 1.0) / 2.0) / (inside * outside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_and_slopes_are_right() {
        assert_eq!(auc(&[0.9, 0.8, 0.2, 0.1], &[1.0, 1.0, 0.0, 0.0]), Some(1.0));
        assert_eq!(auc(&[0.9, 0.8, 0.2, 0.1], &[1.0, 0.0, 1.0, 0.0]), Some(0.75));
        assert_eq!(auc(&[0.9], &[1.0]), None);
        let counts: Vec<f64> = (1..=200)
            .map(|rank| 1_000.0 / f64::from(rank).powf(0.7))
            .collect();
        assert!((zipf(&counts, 10, 100).unwrap() - 0.7).abs() < 1e-9);
        assert_eq!(zipf(&counts, 100, 1_000), None);
    }
}
