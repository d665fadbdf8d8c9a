//! A world through its public door: pinned for ever, the same for any thread count, its log calibrated, its lists reacted to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use reelworld::event::{Event, Record};
use reelworld::seed::Key;
use reelworld::sim::{MnlViewer, Shown, Viewing, react, term_start, viewings};
use reelworld::world::{MovieIndex, Profile, UserId, World, WorldSpec};

fn world(users: u32, movies: u32, profile: Profile, threads: usize) -> World {
    let spec = WorldSpec {
        users,
        movies,
        profile,
    };
    World::new(&Key::from_seed(7), spec, threads)
}

/// Everything that can be asked of a world, as text.
fn all_of(world: &World) -> String {
    let profile = world.spec().profile;
    let mut text = String::new();
    let mut worth = Vec::new();
    for id in world.user_ids() {
        world.enjoyment(id, &mut worth);
        let user = world.user(id).expect("the id is the world's own");
        writeln!(
            text,
            "{} {:x?}",
            user.to_json(),
            worth.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
        )
        .expect("a string takes all");
    }
    for index in world.movie_indices() {
        writeln!(
            text,
            "{} {:x}",
            world.movie(index).to_json(profile),
            world.appeal(index).to_bits()
        )
        .expect("a string takes all");
    }
    text
}

#[test]
fn a_world_is_the_same_to_the_last_bit_for_any_number_of_threads() {
    for profile in [Profile::Classic, Profile::Current] {
        let one = all_of(&world(301, 120, profile, 1));
        for threads in [2, 7] {
            assert_eq!(one, all_of(&world(301, 120, profile, threads)));
        }
    }
}

#[test]
fn another_key_is_another_world() {
    let other = WorldSpec {
        users: 301,
        movies: 120,
        profile: Profile::Classic,
    };
    let other = World::new(&Key::from_seed(8), other, 1);
    assert_ne!(all_of(&world(301, 120, Profile::Classic, 1)), all_of(&other));
}

#[test]
fn a_user_that_is_not_given_has_no_worth_no_life_and_no_reaction() {
    let world = world(10, 40, Profile::Classic, 1);
    let branch = Key::from_seed(7).branch("lives");
    let mut worth = vec![1.0];
    for id in [UserId(0), UserId(11), UserId(u32::MAX)] {
        world.enjoyment(id, &mut worth);
        assert!(worth.is_empty());
        assert!(world.acceptance_level(id).is_none());
        assert!(viewings(&world, &branch, id, term_start(), 3).is_empty());
    }
}

#[test]
fn a_user_lives_the_same_life_alone_and_in_company_and_a_longer_life_begins_with_the_shorter() {
    let small = world(50, 300, Profile::Classic, 1);
    let large = world(400, 300, Profile::Classic, 1);
    let branch = Key::from_seed(7).branch("lives");
    for id in [UserId(1), UserId(23), UserId(50)] {
        let life = viewings(&small, &branch, id, term_start(), 20);
        assert_eq!(life, viewings(&large, &branch, id, term_start(), 20));
        let begin = viewings(&small, &branch, id, term_start(), 8);
        assert_eq!(begin, life[..begin.len()]);
    }
}

/// Lives of a sample of users over thirty days at the size of a course.
fn lives() -> (World, Vec<Vec<Viewing>>) {
    let world = world(20_000, 2_000, Profile::Classic, 2);
    let branch = Key::from_seed(7).branch("lives");
    let lives = world
        .user_ids()
        .step_by(25)
        .map(|id| viewings(&world, &branch, id, term_start(), 30))
        .collect();
    (world, lives)
}

#[test]
fn a_life_has_no_overlaps_few_repeats_and_nothing_longer_than_the_movie() {
    let (world, lives) = lives();
    let (mut different, mut all) = (0, 0);
    for life in &lives {
        let movies: BTreeSet<MovieIndex> = life.iter().map(|viewing| viewing.movie).collect();
        different += movies.len();
        all += life.len();
        for pair in life.windows(2) {
            assert!(pair[0].at.plus_seconds(i64::from(pair[0].minutes) * 60) <= pair[1].at);
        }
        for viewing in life {
            assert!((1..=world.movie(viewing.movie).runtime_min).contains(&viewing.minutes));
            assert!(viewing.stars.is_none_or(|stars| (1..=5).contains(&stars)));
        }
    }
    let repeats = (all - different) as f64 / all as f64;
    assert!((0.002..0.02).contains(&repeats), "{repeats}");
}

#[test]
fn the_log_has_the_shape_of_a_streaming_companys() {
    let (world, lives) = lives();
    let all: Vec<&Viewing> = lives.iter().flatten().collect();
    let n = all.len() as f64;

    let mut activity: Vec<usize> = lives.iter().map(Vec::len).collect();
    activity.sort_unstable();
    let mean = n / lives.len() as f64;
    let busiest: usize = activity[activity.len() * 9 / 10..].iter().sum();
    assert!((20.0..45.0).contains(&mean), "viewings a user: {mean}");
    assert!(
        (0.22..0.5).contains(&(busiest as f64 / n)),
        "share of the busiest tenth: {busiest} of {n}"
    );

    let mut viewers: BTreeMap<MovieIndex, f64> = BTreeMap::new();
    for viewing in &all {
        *viewers.entry(viewing.movie).or_default() += 1.0;
    }
    let mut viewers: Vec<f64> = viewers.into_values().collect();
    viewers.sort_by(|a, b| b.total_cmp(a));
    let top = viewers
        .iter()
        .take(world.spec().movies as usize / 10)
        .sum::<f64>()
        / n;
    assert!((0.3..0.75).contains(&top), "share of the foremost tenth: {top}");

    let whole = |viewing: &&&Viewing| viewing.minutes == world.movie(viewing.movie).runtime_min;
    let completed = all.iter().filter(whole).count() as f64 / n;
    assert!(
        (0.4..0.75).contains(&completed),
        "watched to the end: {completed}"
    );
    let short = all.iter().filter(|viewing| viewing.minutes <= 10).count() as f64 / n;
    assert!((0.15..0.45).contains(&short), "left within ten minutes: {short}");

    let stars: Vec<f64> = all
        .iter()
        .filter_map(|viewing| viewing.stars)
        .map(f64::from)
        .collect();
    let rated = stars.len() as f64 / n;
    assert!((0.15..0.8).contains(&rated), "rated: {rated}");
    let mean_stars = stars.iter().sum::<f64>() / stars.len() as f64;
    assert!((3.3..4.3).contains(&mean_stars), "mean stars: {mean_stars}");

    let hour = |viewing: &Viewing| viewing.at.seconds().rem_euclid(86_400) / 3600;
    let count = |from: i64| {
        all.iter()
            .filter(|viewing| (from..from + 3).contains(&hour(viewing)))
            .count()
    };
    assert!(
        count(19) > 4 * count(2),
        "evening {} night {}",
        count(19),
        count(2)
    );
}

#[test]
fn those_who_rate_are_happier_than_those_who_watch() {
    let (world, lives) = lives();
    let felt = |viewing: &Viewing| {
        let taste = world
            .taste(viewing.user)
            .expect("the viewing is of a user of the world");
        world.felt(viewing.user, &taste, viewing.movie)
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let all: Vec<f64> = lives.iter().flatten().map(felt).collect();
    let rated: Vec<f64> = lives
        .iter()
        .flatten()
        .filter(|viewing| viewing.stars.is_some())
        .map(felt)
        .collect();
    assert!(
        mean(&rated) > mean(&all) + 0.05,
        "{} {}",
        mean(&rated),
        mean(&all)
    );
}

#[test]
fn a_better_list_is_taken_from_more_often_and_its_head_more_than_its_tail() {
    let world = world(600, 500, Profile::Classic, 1);
    let model = MnlViewer::new(&world);
    let branch = Key::from_seed(7).branch("reactions");
    let mut taken = [0.0; 2];
    let mut places = [0.0; 2];
    let mut worth = Vec::new();
    for user in world.user_ids() {
        world.enjoyment(user, &mut worth);
        let mut best: Vec<MovieIndex> = world.movie_indices().collect();
        best.sort_by(|a, b| worth[b.0 as usize].total_cmp(&worth[a.0 as usize]).then(a.cmp(b)));
        let worst: Vec<MovieIndex> = best.iter().rev().copied().collect();
        for (kind, list) in [&best, &worst].into_iter().enumerate() {
            let shown = Shown {
                user,
                at: term_start(),
                occasion: 3,
                list: &list[..20],
                seen: &[],
            };
            let reaction = react(&world, &model, &branch, shown);
            assert_eq!(reaction, react(&world, &model, &branch, shown));
            if let Some(reaction) = reaction {
                assert_eq!(reaction.viewing.movie, list[reaction.place]);
                taken[kind] += 1.0;
                places[usize::from(reaction.place >= 10)] += 1.0;
            }
        }
    }
    assert!(taken[0] > 0.5 * 600.0 && taken[1] < 0.1 * taken[0], "{taken:?}");
    assert!(places[0] > 4.0 * places[1], "{places:?}");
}

#[test]
fn nobody_takes_what_they_have_seen_nor_the_second_copy_of_a_movie() {
    let world = world(200, 100, Profile::Classic, 1);
    let model = MnlViewer::new(&world);
    let branch = Key::from_seed(7).branch("reactions");
    let popular = world.by_appeal();
    let copies = [popular[0]; 20];
    let show = |user, list, seen| Shown {
        user,
        at: term_start(),
        occasion: 0,
        list,
        seen,
    };
    for user in world.user_ids() {
        assert_eq!(
            react(
                &world,
                &model,
                &branch,
                show(user, &popular[..20], &popular[..20])
            ),
            None
        );
        let reaction = react(&world, &model, &branch, show(user, &copies, &[]));
        assert!(reaction.is_none_or(|reaction| reaction.place == 0));
    }
    assert_eq!(
        react(&world, &model, &branch, show(UserId(0), &popular[..20], &[])),
        None
    );
}

#[test]
fn every_movie_id_survives_the_log() {
    let world = world(10, 5_000, Profile::Classic, 1);
    for index in world.movie_indices() {
        let id = &world.movie(index).id;
        for event in [
            Event::Watch {
                movie: id.clone(),
                minute: 84,
            },
            Event::Rate {
                movie: id.clone(),
                stars: 4,
            },
        ] {
            let record = Record {
                time: term_start().plus_seconds(i64::from(index.0)),
                user: 7,
                event,
            };
            let mut line = Vec::new();
            record.print(Profile::Classic, &mut line);
            let line = String::from_utf8(line).expect("a line is text");
            assert_eq!(Record::parse(&line), Ok(record));
        }
    }
}
