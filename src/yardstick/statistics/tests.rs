//! Statistics of logs small enough to be worked out by hand.

use std::collections::BTreeMap;

use super::*;
use crate::yardstick::{MovieRow, UserRow};

/// Four users and three movies: user, movie, seconds, minutes, stars.
fn small() -> Dataset {
    let rows = [
        (0, 0, 0, Some(100), Some(5.0)),
        (0, 1, 0, Some(5), Some(1.0)),
        (0, 2, 90, None, None),
        (1, 0, 3600, Some(100), Some(4.0)),
        (1, 1, 8000, Some(1), None),
        (2, 0, 86_400, None, Some(3.0)),
        (3, 0, 86_401, None, Some(4.0)),
    ];
    Dataset {
        name: "small".into(),
        genres: vec!["Action".into(), "Drama".into()],
        users: (0..4_u16)
            .map(|place| UserRow {
                id: place.to_string(),
                is_female: Some(place < 2),
                age: Some(20 + 10 * place),
                occupation: None,
            })
            .collect(),
        movies: vec![vec![0], vec![0, 1], vec![1]]
            .into_iter()
            .map(|genres| MovieRow {
                genres,
                runtime_min: Some(100),
                ..MovieRow::default()
            })
            .collect(),
        meetings: rows
            .into_iter()
            .map(|(user, movie, at, minutes, stars)| Meeting {
                user,
                movie,
                at,
                minutes,
                stars,
            })
            .collect(),
    }
}

fn measured(data: &Dataset) -> BTreeMap<String, f64> {
    statistics(data, &Key::from_seed(1), &mut |_| {})
        .into_iter()
        .map(|figure| (figure.name, figure.value))
        .collect()
}

#[test]
fn the_figures_of_a_small_log_are_those_worked_out_by_hand() {
    let found = measured(&small());
    let ln = f64::ln;
    let cases = [
        ("share of meetings rated", 5.0 / 7.0),
        ("share of 4 stars", 0.4),
        ("rating mean", 3.4),
        ("rating variance", 1.84),
        ("usd_m", 2.0),
        ("activity mean", 1.75),
        ("activity quantile 0.5", 1.5),
        ("activity max", 3.0),
        // 1, 1, 2, 3: (-3 - 1 + 2 + 9) / (4 × 7).
        ("activity gini", 0.25),
        // 1, 2, 4: (-2 + 0 + 8) / (3 × 7).
        ("gini", 6.0 / 21.0),
        ("top50", 6.0 / 7.0),
        ("max_share", 1.0),
        ("frac_le5", 1.0),
        ("share met once", 1.0 / 3.0),
        // Two rated movies: 4 stars for the one met by four, 1 star for the other.
        ("pear", 1.0),
        ("movies of Action", 2.0 / 3.0),
        ("movies of 2 genres", 1.0 / 3.0),
        ("Action and Drama", 1.0 / 3.0),
        ("meetings of Drama", 3.0 / 7.0),
        ("women", 0.5),
        ("age mean", 35.0),
        ("activity, women", 2.5),
        ("stars, men", 3.5),
        ("log Action, women to men", ln(0.8)),
        ("gaps of 0 s", 1.0 / 3.0),
        ("gap quantile 0.5, s", 90.0),
        ("sessions a user", 1.25),
        ("hour 00", 5.0 / 7.0),
        ("hour 01", 1.0 / 7.0),
        ("left by minute 1", 0.25),
        ("left by minute 5", 0.5),
        ("completed", 0.5),
        ("completed, of 5 stars", 1.0),
        ("completed, unrated", 0.0),
    ];
    for (name, wanted) in cases {
        let value = found.get(name).copied().unwrap_or(f64::NAN);
        assert!((value - wanted).abs() < 1e-12, "{name}: {value}, not {wanted}");
    }
    assert!(!found.contains_key("gAUC") && !found.contains_key("ss"));
}

#[test]
fn choice_of_two_separate_halves_has_a_second_singular_value_of_one() {
    let mut data = Dataset {
        users: vec![UserRow::default(); 8],
        movies: vec![MovieRow::default(); 8],
        ..Dataset::default()
    };
    for user in 0..8 {
        for movie in 0..8 {
            if (user < 4) == (movie < 4) {
                data.meetings.push(Meeting {
                    user,
                    movie,
                    at: 0,
                    minutes: None,
                    stars: Some(3.0),
                });
            }
        }
    }
    let found = measured(&data);
    assert!((found["sv2"] - 1.0).abs() < 1e-9 && found["sv3"] < 1e-6);
    assert_eq!(found["vr"], 0.0);
}

#[test]
fn an_empty_log_and_one_without_any_facts_have_few_figures() {
    assert!(measured(&Dataset::default()).is_empty());
    let mut data = small();
    data.users = vec![UserRow::default(); 4];
    data.movies = vec![MovieRow::default(); 3];
    data.genres.clear();
    for meeting in &mut data.meetings {
        meeting.stars = None;
        meeting.minutes = None;
    }
    let found = measured(&data);
    assert!(found.contains_key("gini") && !found.contains_key("rating mean") && !found.contains_key("women"));
}

#[test]
fn ranks_share_ties_and_correlations_are_known() {
    assert_eq!(ranks(&[3.0, 1.0, 3.0]), [1.5, 0.0, 1.5]);
    assert_eq!(spearman(&[1.0, 2.0, 9.0], &[1.0, 4.0, 5.0]), Some(1.0));
    assert_eq!(pearson(&[1.0, 1.0], &[1.0, 2.0]), None);
    assert_eq!(gini(&[1.0, 1.0]), Some(0.0));
    assert_eq!(gini(&[]), None);
}

#[test]
fn gender_and_age_are_told_from_history_that_shows_them() {
    // Women and men meet other movies; nobody else differs.
    let mut data = Dataset {
        movies: vec![MovieRow::default(); 20],
        ..Dataset::default()
    };
    for user in 0..80_u32 {
        let female = user % 2 == 0;
        data.users.push(UserRow {
            is_female: Some(female),
            age: Some(if female { 20 } else { 40 }),
            ..UserRow::default()
        });
        for turn in 0..6 {
            data.meetings.push(Meeting {
                user,
                movie: (user / 2 * 3 + turn) % 10 + if female { 10 } else { 0 },
                at: 0,
                minutes: None,
                stars: None,
            });
        }
    }
    let found = measured(&data);
    assert_eq!(found["gAUC"], 1.0);
    assert!(found["ageR2"] > 0.9, "{}", found["ageR2"]);
}
