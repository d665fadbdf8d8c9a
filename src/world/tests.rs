//! The world keeps its promises: the same for any order and number of threads, with the company's marginals.

use super::*;

fn world(users: u32, movies: u32, profile: Profile, threads: usize) -> World {
    World::new(
        &Key::from_seed(7),
        WorldSpec {
            users,
            movies,
            profile,
        },
        threads,
    )
}

#[test]
fn a_user_is_the_same_in_a_small_and_a_large_world_and_for_any_number_of_threads() {
    let small = world(100, 50, Profile::Current, 1);
    let large = world(5_000, 50, Profile::Current, 3);
    for id in [UserId(1), UserId(57), UserId(100)] {
        assert_eq!(small.user(id), large.user(id));
        assert_eq!(small.activity(id), large.activity(id));
    }
    assert_eq!(small.user(UserId(0)), None);
    assert_eq!(small.user(UserId(101)), None);
}

#[test]
fn the_stored_activity_is_that_of_the_taste() {
    let world = world(300, 50, Profile::Classic, 2);
    for id in world.user_ids() {
        assert_eq!(
            world.activity(id).unwrap() as f32,
            world.taste(id).unwrap().activity() as f32
        );
    }
}

#[test]
fn the_marginals_are_the_companys() {
    let world = world(40_000, 50, Profile::Classic, 2);
    let users: Vec<User> = world.user_ids().map(|id| world.user(id).unwrap()).collect();
    let n = users.len() as f64;
    let share = |test: &dyn Fn(&User) -> bool| users.iter().filter(|user| test(user)).count() as f64 / n;
    assert!((share(&|user| user.gender == Gender::Male) - 0.82).abs() < 0.01);
    let mean = users.iter().map(|user| f64::from(user.age)).sum::<f64>() / n;
    assert!((mean - 30.0).abs() < 0.5, "{mean}");
    assert!(users.iter().all(|user| AGES.contains(&user.age)));
    for (label, wanted) in [
        ("college/grad student", 0.24),
        ("executive/managerial", 0.19),
        ("sales/marketing", 0.13),
        ("scientist", 0.09),
        ("self-employed", 0.07),
        ("other or not specified", 0.07),
    ] {
        let found = share(&|user| user.occupation.label() == label);
        assert!((found - wanted).abs() < 0.02, "{label}: {found}");
    }
    assert!(users.iter().all(|user| user.age >= 18
        || ["K-12 student", "other or not specified"].contains(&user.occupation.label())));
}

#[test]
fn a_large_catalogue_has_unique_ids_of_the_rule_and_its_odd_cases() {
    let world = world(10, 27_000, Profile::Classic, 1);
    let mut odd = [0; 5];
    for index in world.movie_indices() {
        let movie = world.movie(index);
        assert_eq!(world.movie_index(&movie.id), Some(index), "{}", movie.id);
        assert_eq!(movie.id, slug(&movie.title, movie.year));
        assert!(!movie.genres.is_empty());
        for (place, sign) in [",", "&", "*", "É"].iter().enumerate() {
            odd[place] += u32::from(movie.title.contains(sign));
        }
        odd[4] += u32::from(movie.id.ends_with('+'));
    }
    assert!(odd.iter().all(|count| *count > 10), "{odd:?}");
}

#[test]
fn records_have_the_types_of_their_profile() {
    let classic = world(10, 60, Profile::Classic, 1);
    let current = world(10, 60, Profile::Current, 1);
    for index in classic.movie_indices() {
        let record = classic.movie(index).to_json(Profile::Classic);
        for (key, value) in record.as_object().unwrap() {
            match key.as_str() {
                "tmdb_id" | "runtime" => assert!(value.is_u64(), "{key}"),
                "genres" | "production_companies" | "production_countries" | "spoken_languages" => {
                    assert!(value.is_array());
                }
                "belongs_to_collection" => assert!(value.is_object()),
                _ => assert!(value.is_string(), "{key} {value}"),
            }
        }
        assert!(["True", "False"].contains(&record["adult"].as_str().unwrap()));
        let record = current.movie(index).to_json(Profile::Current);
        assert!(record["adult"].is_boolean() && record["vote_average"].is_f64() && record["cost"].is_f64());
    }
    assert_eq!(
        classic
            .user(UserId(3))
            .unwrap()
            .to_json()
            .as_object()
            .unwrap()
            .len(),
        4
    );
}

#[test]
fn some_users_describe_themselves_and_some_do_not() {
    let world = world(500, 50, Profile::Current, 1);
    let said = world
        .user_ids()
        .filter(|id| world.user(*id).unwrap().likes.is_some())
        .count();
    assert!((350..450).contains(&said), "{said}");
}

#[test]
fn the_true_worth_leaves_room_between_popular_and_oracle() {
    let world = world(400, 800, Profile::Classic, 1);
    let popular: Vec<MovieIndex> = world.by_appeal().into_iter().take(20).collect();
    let (mut of_popular, mut of_oracle, mut of_all) = (0.0, 0.0, 0.0);
    let mut worth = Vec::new();
    for id in world.user_ids() {
        world.enjoyment(id, &mut worth);
        assert!(worth.iter().all(|value| (0.0..=1.0).contains(value)));
        of_popular += popular.iter().map(|index| worth[index.0 as usize]).sum::<f64>() / 20.0;
        of_all += worth.iter().sum::<f64>() / worth.len() as f64;
        worth.sort_by(|a, b| b.total_cmp(a));
        of_oracle += worth[..20].iter().sum::<f64>() / 20.0;
    }
    assert!(of_all < 0.5 * of_popular, "{of_all} {of_popular} {of_oracle}");
    assert!(of_popular < 0.7 * of_oracle, "{of_all} {of_popular} {of_oracle}");
}

#[test]
fn the_best_movies_are_the_head_of_all_sorted_by_worth() {
    for (movies, k) in [(700, 20), (300, 300), (20, 30), (50, 0)] {
        let world = world(60, movies, Profile::Classic, 1);
        let moment = world.habits().moment(10.0);
        let mut worth = Vec::new();
        let ids: Vec<UserId> = world.user_ids().chain([UserId(62)]).collect();
        let best = world.best(&ids, &moment, k);
        assert_eq!(best.len(), ids.len());
        for (id, best) in world.user_ids().zip(&best) {
            world.enjoyment_at(id, &moment, &mut worth);
            let mut sorted: Vec<MovieIndex> = world.movie_indices().collect();
            sorted.sort_by(|a, b| worth[b.0 as usize].total_cmp(&worth[a.0 as usize]).then(a.cmp(b)));
            sorted.truncate(k);
            assert_eq!(*best, sorted, "{id:?} {movies} {k}");
        }
        assert!(best[60].is_empty());
    }
}
