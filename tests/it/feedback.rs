//! What lists do to viewers: each way of acting back on and off, twins, and that the answer key tells it.

use std::sync::OnceLock;

use reelworld::seed::{Branch, Key};
use reelworld::sim::{Lives, MnlViewer, Sway, Viewing, term_start};
use reelworld::twin::{Life, Measure, STAND_INS, Service, Truth, TwinSpec, compare, play, play_all};
use reelworld::world::{Feedback, Gender, Habits, MovieIndex, Profile, Strength, UserId, World, WorldSpec};
use reelworld::yardstick::{Algorithm, Dataset, Ranker};

const SPEC: TwinSpec = TwinSpec {
    users: 500,
    history_days: 28,
    rounds: 4,
    round_days: 7,
};

fn world(seed: u64, feedback: Feedback) -> (Key, World) {
    let key = Key::from_seed(seed);
    let spec = WorldSpec {
        users: SPEC.users,
        movies: 400,
        profile: Profile::Classic,
    };
    let habits = Habits {
        feedback,
        ..Habits::default()
    };
    let world = World::new(&key, spec, 2).with_habits(habits);
    (key, world)
}

fn only(set: impl Fn(&mut Feedback)) -> Feedback {
    let mut feedback = Feedback {
        homogenisation: Strength::Strong,
        ..Feedback::default()
    };
    set(&mut feedback);
    feedback
}

/// A short life under the popular list.
fn popular_life(feedback: Feedback, service: Option<&dyn Service>) -> (World, Life) {
    let (key, world) = world(3, feedback);
    let spec = TwinSpec {
        users: 150,
        rounds: 3,
        ..SPEC
    };
    let life = play(&world, &key, spec, service, &mut |_| true).expect("nobody interrupts");
    (world, life)
}

/// The twins of a world in which everything acts back strongly.
fn strong() -> &'static [Truth] {
    static FOUND: OnceLock<Vec<Truth>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let (key, world) = world(1, Feedback::all(Strength::Strong));
        let services: Vec<&dyn Service> = vec![&Algorithm::Random, &Algorithm::Pop, &Algorithm::Ials];
        let (nobody, lives) =
            play_all(&world, &key, SPEC, &services, 2, &|_, _| true).expect("nobody interrupts");
        compare(&world, &key, SPEC, &nobody, &lives)
    })
}

/// The difference and its interval.
fn effect(truths: &[Truth], service: &str, measure: &str) -> (f64, f64, f64) {
    let truth = truths
        .iter()
        .find(|truth| truth.service == service)
        .expect(service);
    let figure = truth
        .figures
        .iter()
        .find(|figure| figure.measure == measure)
        .expect(measure);
    let interval = figure.interval.expect("the measure has a meaning here");
    (
        figure.difference.expect("the measure has a meaning here"),
        interval.low,
        interval.high,
    )
}

#[test]
fn the_popular_list_makes_viewers_alike_and_a_personal_one_far_less() {
    for measure in ["overlap", "concentration"] {
        let (popular, low, _) = effect(strong(), "Pop", measure);
        let (personal, _, high) = effect(strong(), "iALS", measure);
        assert!(low > 0.0, "{measure}: {popular} from {low}");
        assert!(
            high < low && personal < 0.7 * popular,
            "{measure}: {personal} {popular}"
        );
    }
    let (overlap, _, _) = effect(strong(), "iALS", "overlap");
    assert!(overlap < 0.5 * effect(strong(), "Pop", "overlap").0, "{overlap}");
    let (coverage, _, high) = effect(strong(), "Pop", "coverage");
    assert!(high < 0.0, "the popular list narrows what is watched: {coverage}");
}

#[test]
fn what_is_watched_is_worth_less_under_the_popular_list_than_under_a_personal_one() {
    let (popular, _, high) = effect(strong(), "Pop", "worth");
    let (personal, low, _) = effect(strong(), "iALS", "worth");
    assert!(popular < 0.0, "{popular}");
    assert!(personal > high && popular < low, "{personal} {popular}");
}

#[test]
fn those_whom_the_list_serves_worse_leave_more_often() {
    let (random, low, _) = effect(strong(), "Random", "left");
    let (popular, ..) = effect(strong(), "Pop", "left");
    let (personal, _, high) = effect(strong(), "iALS", "left");
    assert!(
        random > popular && popular > personal,
        "{random} {popular} {personal}"
    );
    assert!(low > high && personal > 0.0, "{low} {high}");
}

#[test]
fn one_list_for_all_moves_tastes_together_and_personal_lists_move_them_apart() {
    let (popular, low, _) = effect(strong(), "Pop", "taste_together");
    let (personal, _, high) = effect(strong(), "iALS", "taste_together");
    assert!(low > high && popular > 3.0 * personal, "{popular} {personal}");
    let (moved, low, _) = effect(strong(), "iALS", "taste_moved");
    assert!(low > 0.1, "{moved} logits");
}

/// A service that offers women what nobody else wants.
struct MenOnly;

struct MenOnlyRanker {
    men: Box<dyn Ranker>,
    popular: Box<dyn Ranker>,
    women: Vec<bool>,
}

impl Ranker for MenOnlyRanker {
    fn name(&self) -> &'static str {
        "men only"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        if self.women[user] {
            self.popular.scores(user, scores);
            for score in scores.iter_mut() {
                *score = -*score;
            }
        } else {
            self.men.scores(user, scores);
        }
    }
}

impl Service for MenOnly {
    fn name(&self) -> &'static str {
        "men only"
    }

    fn learn(&self, log: &Dataset, branch: &Branch) -> Box<dyn Ranker> {
        Box::new(MenOnlyRanker {
            men: Algorithm::ItemKnn.fit(log, branch),
            popular: Algorithm::Pop.fit(log, branch),
            women: log
                .users
                .iter()
                .map(|user| user.is_female == Some(true))
                .collect(),
        })
    }
}

#[test]
fn a_group_that_is_left_unserved_leaves() {
    let (key, world) = world(2, Feedback::all(Strength::Strong));
    let women = world
        .user_ids()
        .filter(|id| world.user(*id).is_some_and(|user| user.gender == Gender::Female))
        .count();
    assert!(women > 60, "{women} women");
    let services: Vec<&dyn Service> = vec![&MenOnly, &Algorithm::ItemKnn];
    let (nobody, lives) =
        play_all(&world, &key, SPEC, &services, 2, &|_, _| true).expect("nobody interrupts");
    let truths = compare(&world, &key, SPEC, &nobody, &lives);
    let (gap, low, _) = effect(&truths, "men only", "left_gap");
    assert!(low > 0.0, "women leave by {gap} more often, at least {low}");
    let (fair, low, _) = effect(&truths, "ItemKNN", "left_gap");
    assert!(low < 0.0 && fair < gap, "{fair} against {gap}");
}

#[test]
fn lists_do_nothing_when_feedback_is_off() {
    let (_, under) = popular_life(Feedback::default(), Some(&Algorithm::Pop));
    let (_, without) = popular_life(Feedback::default(), None);
    assert_eq!(under.viewings, without.viewings);
    assert!(without.viewings.len() > 1_000, "{}", without.viewings.len());
    assert!(under.gone.iter().all(Option::is_none));
    assert!(under.leanings.iter().flatten().all(|leaning| *leaning == 0.0));
}

#[test]
fn without_a_service_a_company_lives_as_it_always_did() {
    let feedback = only(|feedback| {
        feedback.echo_chamber = Strength::Strong;
        feedback.leaving = Strength::Strong;
    });
    let (world, life) = popular_life(feedback, None);
    let branch = Key::from_seed(3).branch("twin").branch("lives");
    let model = MnlViewer::new(&world);
    let mut lives = Lives::new(UserId(1), 150);
    let mut all: Vec<Viewing> = Vec::new();
    for hour in -28 * 24..21 * 24 {
        lives.play_hour(
            &world,
            &model,
            &branch,
            term_start().plus_seconds(hour * 3_600),
            &mut all,
        );
    }
    all.retain(|viewing| viewing.at >= term_start());
    assert_eq!(life.viewings, all);
}

#[test]
fn each_way_of_acting_back_has_its_own_switch() {
    let (_, follow) = popular_life(only(|_| ()), Some(&Algorithm::Pop));
    let (_, without) = popular_life(only(|_| ()), None);
    assert_ne!(follow.viewings, without.viewings, "viewers follow lists");
    assert!(follow.gone.iter().all(Option::is_none));
    assert!(follow.leanings.iter().flatten().all(|leaning| *leaning == 0.0));

    let (_, echo) = popular_life(
        only(|feedback| feedback.echo_chamber = Strength::Strong),
        Some(&Algorithm::Pop),
    );
    assert!(echo.leanings.iter().flatten().any(|leaning| *leaning > 0.05));
    assert!(echo.gone.iter().all(Option::is_none));

    let (_, leaving) = popular_life(
        only(|feedback| feedback.leaving = Strength::Strong),
        Some(&Algorithm::Random),
    );
    let gone = leaving.gone.iter().filter(|gone| gone.is_some()).count();
    assert!(gone > 5, "{gone}");
    for viewing in &leaving.viewings {
        let gone = leaving.gone[viewing.user.0 as usize - 1];
        // The session in which they find nothing is their last.
        assert!(
            gone.is_none_or(|gone| viewing.at <= gone),
            "{viewing:?} after {gone:?}"
        );
    }

    let (_, fame) = popular_life(
        only(|feedback| feedback.lock_in = Strength::Strong),
        Some(&Algorithm::Pop),
    );
    assert_ne!(fame.viewings, follow.viewings, "what is watched becomes known");
}

#[test]
fn success_makes_a_movie_known_and_neglect_makes_it_forgotten() {
    let (key, world) = world(5, only(|feedback| feedback.lock_in = Strength::Strong));
    let branch = key.branch("fame");
    let viewing = |user: u32, movie: u32| Viewing {
        user: UserId(user),
        movie: MovieIndex(movie),
        at: term_start(),
        minutes: 90,
        stars: None,
        is_first: false,
    };
    let before: Vec<Viewing> = (0..400).map(|n| viewing(n % 9 + 1, n % 20)).collect();
    let mut sway = Sway::new(&world, &branch, (UserId(1), 9), &before, 28.0);
    assert_eq!(sway.fame().most, 0.0);
    // As before, but that movie 0 has three times its share at the cost of movie 1.
    let now: Vec<Viewing> = (0..100_u32)
        .map(|n| match n % 20 {
            1 => viewing(1, 0),
            7 if n < 60 => viewing(1, 0),
            movie => viewing(1, movie),
        })
        .collect();
    sway.settle(&now, 7.0);
    let fame = sway.fame();
    assert!(
        fame.gains[0] > 0.2 && fame.gains[0] == fame.most,
        "{:?}",
        fame.most
    );
    assert!(fame.gains[1] < -0.2, "{}", fame.gains[1]);
    assert!(
        fame.gains[2].abs() < 1e-6 && fame.gains[399].abs() < 1e-6,
        "{} {}",
        fame.gains[2],
        fame.gains[399]
    );
}

#[test]
fn twins_are_the_same_again_for_any_number_of_threads() {
    let (key, world) = world(4, Feedback::all(Strength::Mild));
    let spec = TwinSpec {
        users: 60,
        rounds: 2,
        ..SPEC
    };
    let services: Vec<&dyn Service> = STAND_INS[..3]
        .iter()
        .map(|service| service as &dyn Service)
        .collect();
    let found = |threads: usize| {
        let (nobody, lives) =
            play_all(&world, &key, spec, &services, threads, &|_, _| true).expect("nobody interrupts");
        assert!(nobody.service.is_none());
        let names: Vec<&str> = lives.iter().filter_map(|life| life.service.as_deref()).collect();
        assert_eq!(names, ["Random", "Pop", "ItemKNN"]);
        compare(&world, &key, spec, &nobody, &lives)
    };
    assert_eq!(found(1), found(4));
    assert!(play_all(&world, &key, spec, &services, 2, &|_, _| false).is_none());
}

#[test]
fn the_answer_key_tells_what_lists_have_done() {
    let dir = tempfile::tempdir().unwrap();
    let course = "schema = 'reelworld/course/v1'\nname = 'loops'\n[world]\nusers = 300\nmovies = 100\n[feedback]\nlock_in = 'strong'\nleaving = 'off'\n";
    std::fs::write(dir.path().join("course.toml"), course).unwrap();
    let run = |arguments: &[&str]| {
        let output = assert_cmd::Command::cargo_bin("reelworld")
            .unwrap()
            .args([
                "--course",
                dir.path().to_str().unwrap(),
                "world",
                "truth",
                "--viewers",
                "60",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let key: serde_json::Value = serde_json::from_str(&run(&["--json"])).unwrap();
    assert_eq!(key["schema"], "reelworld/truth/v1");
    let feedback = &key["feedback"];
    assert_eq!(feedback["viewers"], 60);
    let settings = serde_json::json!({
        "homogenisation": "mild", "lock_in": "strong", "echo_chamber": "mild", "leaving": "off",
    });
    assert_eq!(feedback["settings"], settings);
    let services = feedback["services"].as_array().unwrap();
    assert_eq!(services.len(), STAND_INS.len());
    for service in services {
        let figures = service["figures"].as_array().unwrap();
        assert_eq!(figures.len(), Measure::ALL.len());
        let overlap = figures
            .iter()
            .find(|figure| figure["measure"] == "overlap")
            .unwrap();
        let difference = overlap["with"].as_f64().unwrap() - overlap["without"].as_f64().unwrap();
        assert!((overlap["difference"].as_f64().unwrap() - difference).abs() < 1e-12);
        assert!(overlap["interval"]["low"].as_f64().unwrap() < overlap["interval"]["high"].as_f64().unwrap());
        let left = figures.iter().find(|figure| figure["measure"] == "left").unwrap();
        assert_eq!(left["with"], 0.0, "nobody leaves where leaving is off");
    }
    let text = run(&["--only", "feedback"]);
    for part in [
        "feedback: homogenisation mild, lock_in strong",
        "  iALS\n",
        "    overlap",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let text = run(&["--only", "troubles"]);
    assert!(
        !text.contains("feedback") && text.contains("nothing is wrong"),
        "{text}"
    );
}
