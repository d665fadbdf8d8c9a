//! Each habit of viewers on and off: what it changes, and that it changes nothing when it is off.

use std::collections::BTreeSet;

use reelworld::event::SimTime;
use reelworld::seed::Key;
use reelworld::sim::{Viewing, day_of_term, term_start, viewings};
use reelworld::world::{Drift, DriftKind, Genre, Habits, MovieIndex, Profile, UserId, World, WorldSpec};

const USERS: u32 = 6_000;
const DAYS: u32 = 30;

fn world(habits: Habits) -> World {
    let spec = WorldSpec {
        users: USERS,
        movies: 1_500,
        profile: Profile::Classic,
    };
    World::new(&Key::from_seed(11), spec, 2).with_habits(habits)
}

/// The lives of every third user with some habits and no others.
fn lives(habits: Habits) -> (World, Vec<Vec<Viewing>>) {
    let world = world(habits);
    let branch = Key::from_seed(11).branch("lives");
    let lives = (1..=USERS)
        .step_by(6)
        .map(|id| viewings(&world, &branch, UserId(id), term_start(), DAYS))
        .collect();
    (world, lives)
}

fn share(lives: &[Vec<Viewing>], test: impl Fn(&Viewing) -> bool) -> f64 {
    let all = lives.iter().flatten().count();
    lives.iter().flatten().filter(|viewing| test(viewing)).count() as f64 / all as f64
}

fn hour(at: SimTime) -> i64 {
    at.seconds().div_euclid(3600).rem_euclid(24)
}

fn horror(world: &World, movie: MovieIndex) -> bool {
    world.movie(movie).genres.holds(Genre::named("Horror").unwrap())
}

#[test]
fn the_same_habits_give_the_same_lives() {
    assert_eq!(lives(Habits::default()).1, lives(Habits::default()).1);
    assert_ne!(lives(Habits::default()).1, lives(Habits::none()).1);
}

#[test]
fn the_shelf_draws_viewers_to_what_stands_on_it_and_most_to_its_front() {
    let habits = |shelf| Habits {
        shelf,
        visibility: 3.0,
        position: 0.8,
        ..Habits::none()
    };
    let on_shelf = |(world, lives): &(World, Vec<Vec<Viewing>>), from: usize, to: usize| {
        let shelf: BTreeSet<MovieIndex> = world.by_appeal()[from..to].iter().copied().collect();
        share(lives, |viewing| shelf.contains(&viewing.movie))
    };
    let (without, with) = (lives(habits(0.0)), lives(habits(0.6)));
    let gain = |from, to| on_shelf(&with, from, to) / on_shelf(&without, from, to);
    assert!(gain(0, 20) > 1.3, "{}", gain(0, 20));
    assert!(gain(0, 5) > gain(15, 20), "{} {}", gain(0, 5), gain(15, 20));
    assert!(gain(20, 60) < 1.0, "{}", gain(20, 60));
}

#[test]
fn repeats_happen_as_often_as_they_are_set_and_liked_movies_allow() {
    let again = |repeat| {
        let (_, lives) = lives(Habits {
            repeat,
            ..Habits::none()
        });
        let (mut different, mut all) = (0, 0);
        for life in &lives {
            different += life
                .iter()
                .map(|viewing| viewing.movie)
                .collect::<BTreeSet<_>>()
                .len();
            all += life.len();
        }
        (all - different) as f64 / f64::from(all as u32)
    };
    assert_eq!(again(0.0), 0.0);
    let often = again(0.2);
    assert!((0.04..0.16).contains(&often), "{often}");
}

#[test]
fn fatigue_makes_the_next_movie_another_genre() {
    let same = |fatigue| {
        let (world, lives) = lives(Habits {
            fatigue,
            ..Habits::none()
        });
        let genre = |viewing: &Viewing| world.movie(viewing.movie).genres.iter().next();
        let pairs: Vec<bool> = lives
            .iter()
            .flat_map(|life| life.windows(2).map(|pair| genre(&pair[0]) == genre(&pair[1])))
            .collect();
        pairs.iter().filter(|same| **same).count() as f64 / pairs.len() as f64
    };
    let (free, tired) = (same(0.0), same(1.0));
    assert!(tired < 0.7 * free, "{tired} {free}");
}

#[test]
fn viewers_leave_sooner_at_night_and_long_movies_sooner() {
    let habits = |night, long| Habits {
        rhythm: 0.0,
        night,
        long,
        ..Habits::none()
    };
    let finished = |(world, lives): &(World, Vec<Vec<Viewing>>), test: &dyn Fn(&World, &Viewing) -> bool| {
        let of: Vec<&Viewing> = lives
            .iter()
            .flatten()
            .filter(|viewing| test(world, viewing))
            .collect();
        let done = of
            .iter()
            .filter(|viewing| viewing.minutes == world.movie(viewing.movie).runtime_min);
        done.count() as f64 / of.len() as f64
    };
    let at_night = |_: &World, viewing: &Viewing| hour(viewing.at) < 5;
    let by_day = |_: &World, viewing: &Viewing| (8..20).contains(&hour(viewing.at));
    let off = lives(habits(0.0, 0.0));
    let on = lives(habits(1.0, 0.0));
    assert!((finished(&off, &at_night) - finished(&off, &by_day)).abs() < 0.03);
    assert!(finished(&on, &at_night) < finished(&on, &by_day) - 0.08);
    let long = |world: &World, viewing: &Viewing| world.movie(viewing.movie).runtime_min > 125;
    let sooner = lives(habits(0.0, 2.0));
    assert!(finished(&sooner, &long) < finished(&off, &long) - 0.03);
}

#[test]
fn on_a_phone_movies_are_left_sooner_and_phones_are_for_the_day() {
    let habits = |devices| Habits {
        rhythm: 0.0,
        devices,
        ..Habits::none()
    };
    let finished = |(world, lives): &(World, Vec<Vec<Viewing>>), hours: std::ops::Range<i64>| {
        let of: Vec<&Viewing> = lives
            .iter()
            .flatten()
            .filter(|viewing| hours.contains(&hour(viewing.at)))
            .collect();
        let done = of
            .iter()
            .filter(|viewing| viewing.minutes == world.movie(viewing.movie).runtime_min);
        done.count() as f64 / of.len() as f64
    };
    let (off, on) = (lives(habits(0.0)), lives(habits(2.0)));
    let lost = |hours: std::ops::Range<i64>| finished(&off, hours.clone()) - finished(&on, hours);
    let (by_day, by_night) = (lost(6..18), lost(18..24));
    assert!(by_night > 0.02, "{by_night}");
    assert!(by_day > by_night + 0.05, "{by_day} {by_night}");
}

#[test]
fn the_course_says_what_a_play_costs() {
    let world = |licence| {
        let spec = WorldSpec {
            users: 10,
            movies: 60,
            profile: Profile::Current,
        };
        World::new(&Key::from_seed(1), spec, 1).with_habits(Habits {
            licence,
            ..Habits::default()
        })
    };
    let (usual, dear, free) = (world(1.0), world(3.0), world(0.0));
    for index in usual.movie_indices() {
        let cost = |world: &World| {
            world.movie(index).to_json(Profile::Current)["cost"]
                .as_f64()
                .unwrap()
        };
        assert!((0.02..=0.25).contains(&cost(&usual)), "{}", cost(&usual));
        assert!(
            (cost(&dear) - 3.0 * cost(&usual)).abs() < 0.0015,
            "rounded to a tenth of a cent"
        );
        assert_eq!(cost(&free), 0.0);
        assert!(usual.movie(index).to_json(Profile::Classic).get("cost").is_none());
    }
}

#[test]
fn without_rhythm_all_hours_are_alike_and_with_it_evenings_are_full() {
    let evening = |rhythm| {
        let (_, lives) = lives(Habits {
            rhythm,
            ..Habits::none()
        });
        share(&lives, |viewing| (19..23).contains(&hour(viewing.at)))
    };
    assert!((evening(0.0) - 4.0 / 24.0).abs() < 0.015, "{}", evening(0.0));
    assert!(evening(1.0) > 0.3, "{}", evening(1.0));
}

#[test]
fn without_selection_ratings_are_missing_at_random() {
    let rated_more_when_finished = |selection| {
        let (world, lives) = lives(Habits {
            selection,
            ..Habits::none()
        });
        let done = |viewing: &&Viewing| viewing.minutes == world.movie(viewing.movie).runtime_min;
        let rate = |is_done: bool| {
            let of: Vec<&Viewing> = lives
                .iter()
                .flatten()
                .filter(|viewing| done(viewing) == is_done)
                .collect();
            of.iter().filter(|viewing| viewing.stars.is_some()).count() as f64 / of.len() as f64
        };
        rate(true) / rate(false)
    };
    assert!((rated_more_when_finished(0.0) - 1.0).abs() < 0.05);
    assert!(rated_more_when_finished(1.0) > 1.5);
}

#[test]
fn who_joins_during_the_term_watches_nothing_before() {
    let (world, lives) = lives(Habits {
        joining: 0.5,
        ..Habits::none()
    });
    let joined: Vec<Option<f64>> = (1..=USERS)
        .step_by(6)
        .map(|id| world.joined(UserId(id)))
        .collect();
    let late = joined.iter().flatten().count() as f64 / joined.len() as f64;
    assert!((late - 0.5).abs() < 0.06, "{late}");
    for (life, joined) in lives.iter().zip(joined) {
        let day = joined.unwrap_or(f64::NEG_INFINITY);
        assert!(
            life.iter()
                .all(|viewing| day_of_term(viewing.at) > day - 1.0 / 24.0)
        );
    }
    let nobody = self::world(Habits::none());
    assert!((1..=USERS).all(|id| nobody.joined(UserId(id)).is_none()));
}

#[test]
fn what_comes_out_during_the_term_is_watched_from_then_on() {
    let (world, lives) = lives(Habits {
        arriving: 1.0,
        ..Habits::none()
    });
    let late: Vec<MovieIndex> = world
        .movie_indices()
        .filter(|index| world.arrived(*index).is_some())
        .collect();
    assert!(late.len() > 100);
    let mut watched = 0;
    for viewing in lives.iter().flatten() {
        if let Some(day) = world.arrived(viewing.movie) {
            assert!(day_of_term(viewing.at) > day - 1.0 / 24.0);
            watched += 1;
        }
    }
    assert!(watched > 100, "{watched}");
    let nobody = self::world(Habits::none());
    assert!(
        nobody
            .movie_indices()
            .all(|index| nobody.arrived(index).is_none())
    );
}

#[test]
fn a_shared_account_has_two_tastes() {
    let (world, shared) = lives(Habits {
        guests: 1.0,
        ..Habits::none()
    });
    let (_, single) = lives(Habits::none());
    assert!(world.guest(UserId(1)).is_some());
    let pull = |lives: &[Vec<Viewing>]| {
        let mut sum = (0.0, 0.0);
        for life in lives {
            let Some(first) = life.first() else { continue };
            let taste = world.taste(first.user).unwrap();
            for viewing in life {
                sum.0 += world.pull(&taste, viewing.movie);
                sum.1 += 1.0;
            }
        }
        sum.0 / sum.1
    };
    let (alone, together) = (pull(&single), pull(&shared));
    assert!(together < alone - 0.3, "{together} {alone}");
}

fn drifting(kind: DriftKind, size: f64) -> Habits {
    Habits {
        drifts: vec![Drift {
            kind,
            genre: Genre::named("Horror").unwrap(),
            size,
            onset_day: 15.0,
            end_day: 40.0,
        }],
        ..Habits::none()
    }
}

#[test]
fn a_drift_leaves_the_days_before_it_alone_and_moves_those_after_it() {
    let (_, plain) = lives(Habits::none());
    let before = |viewing: &&Viewing| day_of_term(viewing.at) < 15.0;
    for (kind, size) in [
        (DriftKind::Sudden, 1.5),
        (DriftKind::Seasonal, 1.5),
        (DriftKind::Gradual, 3.0),
    ] {
        let (world, moved) = lives(drifting(kind, size));
        let (a, b): (Vec<&Viewing>, Vec<&Viewing>) = (
            plain.iter().flatten().filter(before).collect(),
            moved.iter().flatten().filter(before).collect(),
        );
        assert_eq!(a, b, "{kind:?}");
        let after = |lives: &[Vec<Viewing>]| {
            let late: Vec<Vec<Viewing>> = lives
                .iter()
                .map(|life| life.iter().filter(|viewing| !before(viewing)).copied().collect())
                .collect();
            share(&late, |viewing| horror(&world, viewing.movie))
        };
        let gain = after(&moved) / after(&plain);
        assert!(gain > 1.3, "{kind:?} {gain}");
    }
}

#[test]
fn a_new_genre_is_not_to_be_had_before_its_day() {
    let (world, moved) = lives(drifting(DriftKind::NewGenre, 0.0));
    let (early, late): (Vec<&Viewing>, Vec<&Viewing>) = moved
        .iter()
        .flatten()
        .partition(|viewing| day_of_term(viewing.at) < 15.0);
    assert!(early.iter().all(|viewing| !horror(&world, viewing.movie)));
    assert!(late.iter().any(|viewing| horror(&world, viewing.movie)));
    let mut worth = Vec::new();
    world.enjoyment(UserId(1), &mut worth);
    let index = world
        .movie_indices()
        .find(|index| horror(&world, *index))
        .unwrap();
    assert_eq!(
        worth[index.0 as usize], 0.0,
        "on the first day nobody can enjoy it"
    );
    world.enjoyment_at(UserId(1), &world.habits().moment(20.0), &mut worth);
    assert!(worth[index.0 as usize] > 0.0);
}

#[test]
fn a_ruler_that_moves_changes_stars_and_no_choice() {
    let (_, plain) = lives(Habits::none());
    let (_, moved) = lives(drifting(DriftKind::Label, 0.8));
    let chosen = |lives: &[Vec<Viewing>]| -> Vec<(UserId, MovieIndex)> {
        lives
            .iter()
            .flatten()
            .map(|viewing| (viewing.user, viewing.movie))
            .collect()
    };
    assert_eq!(chosen(&plain), chosen(&moved));
    let mean = |lives: &[Vec<Viewing>]| {
        let stars: Vec<f64> = lives
            .iter()
            .flatten()
            .filter(|viewing| day_of_term(viewing.at) >= 15.0)
            .filter_map(|viewing| viewing.stars.map(f64::from))
            .collect();
        stars.iter().sum::<f64>() / stars.len() as f64
    };
    let gain = mean(&moved) - mean(&plain);
    assert!((0.3..0.9).contains(&gain), "{gain}");
}

#[test]
fn a_drift_moves_the_truth_with_it() {
    let world = world(drifting(DriftKind::Sudden, 1.5));
    let mean = |day: f64| {
        let mut worth = Vec::new();
        let mut sum = 0.0;
        for id in 1..=60 {
            world.enjoyment_at(UserId(id), &world.habits().moment(day), &mut worth);
            let all: f64 = worth.iter().sum();
            let of: f64 = world
                .movie_indices()
                .filter(|index| horror(&world, *index))
                .map(|index| worth[index.0 as usize])
                .sum();
            sum += of / all / 60.0;
        }
        sum
    };
    assert_eq!(mean(0.0), mean(14.0));
    assert!(mean(20.0) > 1.5 * mean(14.0));
}
