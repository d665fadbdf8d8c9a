//! Small logs on which each ranker can be checked by hand, and odd ones that none may stumble over.

use proptest::prelude::*;

use super::*;
use crate::seed::Key;
use crate::yardstick::{Meeting, MovieRow, UserRow};

fn data(histories: &[&[u32]], movies: usize) -> Dataset {
    let mut data = Dataset {
        genres: vec!["A".to_owned(), "B".to_owned()],
        users: vec![UserRow::default(); histories.len()],
        movies: vec![MovieRow::default(); movies],
        ..Dataset::default()
    };
    for (user, history) in histories.iter().enumerate() {
        for (place, movie) in history.iter().enumerate() {
            data.meetings.push(Meeting {
                user: user as u32,
                movie: *movie,
                at: place as i64,
                minutes: None,
                stars: None,
            });
        }
    }
    data.settle();
    data
}

/// Returns a log of so many users and movies in which these pairs met, in order of time.
pub(super) fn pairs_log(users: usize, movies: usize, pairs: &[(u32, u32)]) -> Dataset {
    let mut histories = vec![Vec::new(); users];
    for (user, movie) in pairs {
        histories[*user as usize].push(*movie);
    }
    let histories: Vec<&[u32]> = histories.iter().map(Vec::as_slice).collect();
    data(&histories, movies)
}

fn scores(algorithm: Algorithm, data: &Dataset, user: usize) -> Vec<f64> {
    let ranker = algorithm.fit(data, &Key::from_seed(1).branch("fit"));
    let mut scores = vec![f64::NAN; data.movies.len()];
    ranker.scores(user, &mut scores);
    assert_eq!(ranker.name(), algorithm.name());
    scores
}

#[test]
fn popularity_counts_viewers_and_recent_popularity_the_last_fifth() {
    let data = data(&[&[0, 1], &[0, 2], &[0, 1], &[3], &[0]], 4);
    assert_eq!(scores(Algorithm::Pop, &data, 0), [4.0, 2.0, 1.0, 1.0]);
    let recent = scores(Algorithm::RecentPop, &data, 0);
    // The last of eight meetings by time: the second ones of users 1 and 2.
    assert!(
        recent[2] >= 1.0 && recent[1] >= 1.0 && recent[3] < 0.01,
        "{recent:?}"
    );
}

#[test]
fn item_neighbours_have_the_shrunk_cosine() {
    let data = data(&[&[0, 1], &[0, 1], &[0, 2], &[2]], 3);
    let scores = scores(Algorithm::ItemKnn, &data, 3);
    let expected = 1.0 / ((3.0_f64 * 2.0).sqrt() + 20.0);
    assert!(
        (scores[0] - expected).abs() < 1e-12 && scores[1] == 0.0,
        "{scores:?}"
    );
}

#[test]
fn user_neighbours_lend_what_they_met() {
    let data = data(&[&[0, 1], &[0, 1, 2], &[3]], 4);
    let scores = scores(Algorithm::UserKnn, &data, 0);
    let cosine = 2.0 / (2.0_f64 * 3.0).sqrt();
    assert!((scores[2] - cosine).abs() < 1e-12);
    assert_eq!(scores[3], 0.0);
}

#[test]
fn the_autoencoder_has_its_closed_form() {
    // Two movies met together twice: X'X + λI = [[302, 2], [2, 302]], and B has 2 / 302 off the diagonal.
    let data = data(&[&[0, 1], &[0, 1]], 2);
    let scores = scores(Algorithm::Ease, &data, 0);
    assert!((scores[0] - 2.0 / 302.0).abs() < 1e-12, "{scores:?}");
}

#[test]
fn content_follows_genres_and_groups_follow_their_own() {
    let mut data = data(&[&[0], &[1], &[0, 2], &[1, 3]], 4);
    for (movie, genre) in [(0, 0), (1, 1), (2, 0), (3, 1)] {
        data.movies[movie].genres = vec![genre];
    }
    let content = scores(Algorithm::GenreContent, &data, 0);
    assert!(content[2] > content[3]);
    let mixed = scores(Algorithm::GenrePop, &data, 0);
    assert!(mixed[2] > mixed[3]);
    for (user, is_female) in [(0, true), (1, false), (2, true), (3, false)] {
        data.users[user].is_female = Some(is_female);
    }
    let group = scores(Algorithm::DemoPop, &data, 0);
    assert!(group[2] > group[3]);
}

#[test]
fn stars_rank_by_their_mean_and_factors_learn_what_biases_cannot() {
    let mut log = data(&[&[0, 1], &[0, 1], &[0, 1], &[0, 1]], 3);
    for meeting in &mut log.meetings {
        meeting.stars = Some(if meeting.movie == 0 { 5.0 } else { 1.0 });
    }
    let mean = scores(Algorithm::ItemAvg, &log, 0);
    assert!(mean[0] > mean[2] && mean[2] > mean[1], "{mean:?}");
    // Half of the users like even movies, half odd ones: no bias tells, one factor does.
    let histories: Vec<Vec<u32>> = (0..20).map(|_| (0..12).collect()).collect();
    let histories: Vec<&[u32]> = histories.iter().map(Vec::as_slice).collect();
    let mut log = data(&histories, 12);
    for meeting in &mut log.meetings {
        let alike = meeting.user % 2 == meeting.movie % 2;
        meeting.stars = Some(if alike { 5.0 } else { 1.0 });
    }
    let error = |factors| {
        let model = fit_star_model(&log, factors, &Key::from_seed(1).branch("mf"));
        let squares = log.meetings.iter().map(|meeting| {
            let error = f64::from(meeting.stars.unwrap())
                - model.predict(meeting.user as usize, meeting.movie as usize);
            error * error
        });
        (squares.sum::<f64>() / log.meetings.len() as f64).sqrt()
    };
    assert!(error(0) > 1.9, "{}", error(0));
    assert!(error(2) < 0.8, "{}", error(2));
}

#[test]
fn two_worlds_apart_are_kept_apart_by_all_that_learn() {
    // Users of either half meet most movies of their half, never one of the other.
    let histories: Vec<Vec<u32>> = (0..40_u32)
        .map(|user| {
            (0..20)
                .filter(|movie| movie % 2 == user % 2 && (movie * 7 + user * 3) % 5 != 0)
                .collect()
        })
        .collect();
    let histories: Vec<&[u32]> = histories.iter().map(Vec::as_slice).collect();
    let log = data(&histories, 20);
    for algorithm in [
        Algorithm::Bpr,
        Algorithm::UserKnn,
        Algorithm::ItemKnn,
        Algorithm::PureSvd,
        Algorithm::Ials,
        Algorithm::Ease,
    ] {
        let scores = scores(algorithm, &log, 0);
        let of = |half: usize| scores.iter().skip(half).step_by(2).sum::<f64>();
        assert!(of(0) > of(1), "{algorithm:?} {scores:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_log_is_too_odd_for_any_ranker(
        pairs in proptest::collection::vec((0_u32..5, 0_u32..6, proptest::option::of(1_u8..=5)), 0..30),
        movies in 6_usize..8,
    ) {
        let mut log = data(&[&[], &[], &[], &[], &[]], movies);
        for (place, (user, movie, stars)) in pairs.iter().enumerate() {
            let stars = stars.map(f32::from);
            log.meetings.push(Meeting { user: *user, movie: *movie, at: place as i64, minutes: None, stars });
        }
        log.settle();
        for algorithm in Algorithm::ALL {
            let first = scores(algorithm, &log, 0);
            prop_assert!(first.iter().all(|score| score.is_finite()), "{algorithm:?} {first:?}");
            prop_assert_eq!(first, scores(algorithm, &log, 0));
        }
    }
}
