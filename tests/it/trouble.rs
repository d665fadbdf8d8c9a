//! Troubles with a known truth: what students get is enough to find them, and a clean log has none to be found.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use reelworld::seed::Key;
use reelworld::sim::{Viewing, term_start, viewings};
use reelworld::trouble::{
    Accounts, Attack, Facts, Goal, Kind, Logged, Model, Plan, Scene, Size, Staged, Trouble, Truth,
};
use reelworld::world::{Profile, UserId, World, WorldSpec};
use reelworld::yardstick::{Algorithm, log_dataset, standings};
use serde_json::Value;

/// The course of these tests: 1,000 users' log of thirty days, some 35,000 viewings and 15,000 ratings.
const COURSE: &str = "schema = 'reelworld/course/v1'\nname = 'Troubles'\n[world]\nusers = 4000\nmovies = 500\n\
                      [release]\nusers = 1000\ndays = 30\nheldout_days = 1\n";

/// Each reference analysis.
const ANALYSES: [&str; 12] = [
    "group_bias",
    "rating_attack",
    "bots",
    "unsuitable",
    "schema_change",
    "missing",
    "duplicates",
    "out_of_range",
    "unit_change",
    "random_character",
    "clock_skew",
    "late_events",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A course folder with troubles, its exported data, and its answer key.
struct Exercise {
    dir: tempfile::TempDir,
    truth: Value,
}

impl Exercise {
    fn new(troubles: &str, seed: u64, requests: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("course.toml"), format!("{COURSE}{troubles}")).unwrap();
        let seed = seed.to_string();
        let run = |words: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
            command.arg("--course").arg(dir.path()).arg("world").args(words);
            command.args(["--seed", &seed]);
            if requests {
                command.arg("--requests");
            }
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            output.stdout
        };
        run(&["export", "--out", dir.path().join("data").to_str().unwrap()]);
        let truth: Value = serde_json::from_slice(&run(&["truth", "--only", "troubles", "--json"])).unwrap();
        Self { dir, truth }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn trouble(&self) -> &Value {
        &self.truth["troubles"][0]
    }
}

/// Runs a reference analysis on what students get.
fn analyse(analysis: &str, data: &Path) -> Value {
    // Only the three files of students are there to be read.
    let given = tempfile::tempdir().unwrap();
    for file in ["users.jsonl", "movies.jsonl", "log.csv.gz"] {
        fs::copy(data.join(file), given.path().join(file)).unwrap();
    }
    let script = root()
        .join("fixtures/analyses")
        .join(analysis)
        .with_extension("py");
    let output = Command::new("python3")
        .arg("-B")
        .arg(script)
        .arg(given.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{analysis}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The shares of the found that are right, and of the right that are found.
fn precision_and_recall(found: &Value, right: &Value) -> (f64, f64) {
    let set = |value: &Value| -> std::collections::BTreeSet<String> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let (found, right) = (set(found), set(right));
    let both = found.intersection(&right).count() as f64;
    (
        both / (found.len() as f64).max(1.0),
        both / (right.len() as f64).max(1.0),
    )
}

/// Asserts that days agree to some days.
fn assert_window(found: &Value, truth: &Value, tolerance: i64) {
    for key in ["onset_day", "end_day"] {
        let (found, right) = (found[key].as_i64().unwrap(), truth[key].as_i64().unwrap());
        assert!((found - right).abs() <= tolerance, "{key}: {found} for {right}");
    }
}

/// Asserts that the window of an exercise has as many events as its answer key says that one needs.
fn assert_powered(truth: &Value) {
    let power = &truth["power"];
    assert!(
        power["least_events"].as_u64().unwrap() <= power["events"].as_u64().unwrap(),
        "{power}"
    );
}

fn found(analysis: &str, table: &str) -> (Value, Value) {
    found_in(1, analysis, table)
}

fn found_in(seed: u64, analysis: &str, table: &str) -> (Value, Value) {
    let exercise = Exercise::new(&format!("[[trouble]]\nkind = '{analysis}'\n{table}"), seed, false);
    let finding = analyse(analysis, &exercise.data());
    assert_eq!(finding["found"], true, "{finding} {}", exercise.trouble());
    (finding, exercise.trouble().clone())
}

#[test]
fn a_clean_log_has_nothing_to_be_found_in_three_worlds() {
    let mut alarms = Vec::new();
    // Worlds on which no threshold was set. In 12 somebody watches nineteen movies at regular hours, nearly all to the end; 13 and 15
    // come nearest to a false alarm otherwise.
    for seed in [12, 13, 15] {
        let clean = Exercise::new("", seed, true);
        assert_eq!(clean.truth["troubles"].as_array().unwrap().len(), 0);
        for analysis in ANALYSES {
            let finding = analyse(analysis, &clean.data());
            if finding["found"] != false {
                alarms.push(format!("{analysis} in world {seed}: {finding}"));
            }
        }
    }
    assert!(alarms.is_empty(), "{}", alarms.join("\n"));
}

#[test]
fn a_group_that_is_lost_from_the_log_is_found_with_its_days() {
    let (finding, truth) = found(
        "group_bias",
        "gender = 'F'\nlost = 0.5\nonset_day = 10\nend_day = 20\n",
    );
    assert_eq!(
        (&finding["group"], &finding["what"]),
        (&truth["group"], &"lost".into())
    );
    assert_window(&finding, &truth, 2);
    assert_powered(&truth);
}

#[test]
fn ratings_that_are_lowered_or_scattered_are_found_with_their_group() {
    for (table, what) in [
        ("age_band = '35-49'\ndeflated = 1\nonset_day = 12\n", "deflated"),
        (
            "gender = 'M'\nnoise = 1.5\nonset_day = 8\nend_day = 22\n",
            "noise",
        ),
    ] {
        let (finding, truth) = found("group_bias", table);
        assert_eq!(
            (&finding["group"], &finding["what"]),
            (&truth["group"], &what.into())
        );
        assert_window(&finding, &truth, 3);
        assert_powered(&truth);
    }
}

#[test]
fn the_target_and_the_accounts_of_an_attack_are_found() {
    for (model, goal) in [
        ("random", "promote"),
        ("average", "promote"),
        ("bandwagon", "promote"),
        ("love_hate", "demote"),
        ("copied", "promote"),
        ("blended", "promote"),
    ] {
        let table = format!("model = '{model}'\ngoal = '{goal}'\nonset_day = 8\nend_day = 20\n");
        // Among the worlds that were tried, the one in which attacks stand out least.
        let (finding, truth) = found_in(14, "rating_attack", &table);
        assert_eq!(finding["movie"], truth["movies"][0], "{model}");
        assert_eq!(finding["goal"], goal);
        let (precision, recall) = precision_and_recall(&finding["accounts"], &truth["users"]);
        assert!(precision > 0.8 && recall > 0.95, "{model}: {precision} {recall}");
        assert_powered(&truth);
        // And it was worth finding: the twin without it has the target elsewhere.
        let effects = truth["effects"].as_array().unwrap();
        for ranker in ["ItemAvg", "MFrating"] {
            let name = format!("mean rank of the target by {ranker}");
            let effect = effects.iter().find(|effect| effect["measure"] == name).unwrap();
            let ends = [0, 1].map(|end| effect["change"][end].as_f64().unwrap());
            match goal {
                "promote" => assert!(ends[1] < -100.0, "{model}: {effect}"),
                _ => assert!(ends[0] > 100.0, "{model}: {effect}"),
            }
        }
    }
}

#[test]
fn bots_are_found_by_their_traces() {
    let table = "[[trouble]]\nkind = 'bots'\nvolume = 8\nspeed = 2\nonset_day = 5\nend_day = 25\n";
    let exercise = Exercise::new(table, 1, true);
    let finding = analyse("bots", &exercise.data());
    let truth = exercise.trouble();
    let (precision, recall) = precision_and_recall(&finding["accounts"], &truth["users"]);
    assert!(precision > 0.9 && recall > 0.9, "{finding} {truth}");
    assert_window(&finding, truth, 1);
}

#[test]
fn minors_before_movies_for_adults_are_found_case_by_case() {
    // In world 13 minors watch most of it by themselves: 56 viewings, to which 40 are added.
    for seed in [1, 13] {
        let (finding, truth) = found_in(
            seed,
            "unsuitable",
            "share = 0.5\ntitles = 1\nonset_day = 10\nend_day = 20\n",
        );
        let (_, recall) = precision_and_recall(&finding["pairs"], &truth["pairs"]);
        assert_eq!(recall, 1.0, "{finding}");
        assert_window(&finding, &truth, 3);
        assert_powered(&truth);
    }
}

#[test]
fn lines_of_another_form_are_found_with_the_day_of_the_change() {
    for form in ["user_first", "semicolons", "no_verb"] {
        let (finding, truth) = found("schema_change", &format!("form = '{form}'\nonset_day = 20\n"));
        assert_eq!(finding["form"], form);
        assert_window(&finding, &truth, 1);
    }
}

#[test]
fn lines_missing_by_hour_and_by_group_are_found() {
    let (finding, truth) = found(
        "missing",
        "share = 0.4\nfrom_hour = 19\nto_hour = 23\nonset_day = 12\nend_day = 18\n",
    );
    let hours: Vec<i64> = finding["hours"]
        .as_array()
        .unwrap_or_else(|| panic!("{finding}"))
        .iter()
        .map(|hour| hour.as_i64().unwrap())
        .collect();
    assert!(
        (hours[0] - 19).abs() <= 1 && (hours[1] - 23).abs() <= 1,
        "{finding}"
    );
    assert_window(&finding, &truth, 1);
    assert_powered(&truth);
    let (finding, truth) = found(
        "missing",
        "share = 0.6\noccupation = 'college/grad student'\nonset_day = 12\nend_day = 22\n",
    );
    assert_eq!(
        truth["group"],
        format!("{}, all day", finding["group"].as_str().unwrap())
    );
    assert_window(&finding, &truth, 2);
    assert_powered(&truth);
}

#[test]
fn faulty_lines_are_found_line_by_line() {
    for (kind, table, least_precision, least_recall) in [
        (
            "duplicates",
            "share = 0.01\nonset_day = 4\nend_day = 9\n",
            1.0,
            1.0,
        ),
        ("out_of_range", "onset_day = 4\nend_day = 24\n", 1.0, 0.95),
        ("unit_change", "onset_day = 17\n", 0.97, 0.97),
        // Some characters leave a line well-formed: another star, another minute.
        ("random_character", "", 1.0, 0.7),
        (
            "late_events",
            "share = 0.02\nseconds = 3600\nonset_day = 6\nend_day = 22\n",
            0.95,
            0.85,
        ),
    ] {
        let (finding, truth) = found(kind, table);
        let (precision, recall) = precision_and_recall(&finding["lines"], &truth["lines"]);
        assert!(
            precision >= least_precision && recall >= least_recall,
            "{kind}: precision {precision}, recall {recall}"
        );
    }
}

#[test]
fn users_whose_clocks_are_off_are_found_with_the_offset() {
    let (finding, truth) = found(
        "clock_skew",
        "share = 0.05\nseconds = 7200\nonset_day = 6\nend_day = 22\n",
    );
    let (precision, recall) = precision_and_recall(&finding["users"], &truth["users"]);
    assert!(precision > 0.9 && recall > 0.8, "{precision} {recall}");
    let seconds = finding["seconds"].as_f64().unwrap();
    assert!((seconds - 7200.0).abs() < 300.0, "{seconds}");
}

#[test]
fn an_exercise_and_its_twin_differ_by_the_trouble_alone_and_what_came_afterwards_is_clean() {
    let trouble = "[[trouble]]\nkind = 'group_bias'\ngender = 'F'\nlost = 0.5\n";
    let (with, without) = (Exercise::new(trouble, 1, false), Exercise::new("", 1, false));
    let bytes = |exercise: &Exercise, file: &str| fs::read(exercise.data().join(file)).unwrap();
    for file in ["users.jsonl", "movies.jsonl", "heldout.csv.gz"] {
        assert!(bytes(&with, file) == bytes(&without, file), "{file}");
    }
    assert!(bytes(&with, "log.csv.gz") != bytes(&without, "log.csv.gz"));
}

/// A log without troubles, from which attacked logs are made.
struct Company {
    world: World,
    users: Vec<UserId>,
    histories: BTreeMap<UserId, Vec<Viewing>>,
    viewings: Vec<Viewing>,
}

impl Company {
    fn play(seed: u64) -> (Self, Key) {
        let key = Key::from_seed(seed);
        let spec = WorldSpec {
            users: 3000,
            movies: 500,
            profile: Profile::Classic,
        };
        let world = World::new(&key, spec, 2);
        let users: Vec<UserId> = world
            .user_ids()
            .filter(|id| world.activity(*id).is_some_and(|found| found >= 15.0))
            .take(1000)
            .collect();
        let branch = key.branch("release").branch("lives");
        let histories: BTreeMap<UserId, Vec<Viewing>> = users
            .iter()
            .map(|user| (*user, viewings(&world, &branch, *user, term_start(), 30)))
            .collect();
        let mut all: Vec<Viewing> = histories.values().flatten().copied().collect();
        all.sort_by_key(|viewing| (viewing.at, viewing.user));
        let company = Self {
            world,
            users,
            histories,
            viewings: all,
        };
        (company, key)
    }

    fn attacked(&self, key: &Key, model: Model) -> (Vec<Logged>, Truth) {
        let attack = Attack {
            model,
            goal: Goal::Promote,
            size: Size::Ratio {
                share: 0.03,
                rho: 10.0,
            },
            fillers: 20,
            burst_hours: 24.0,
            accounts: Accounts::Dormant,
        };
        let plan = Plan {
            troubles: vec![Trouble {
                name: "attack".to_owned(),
                onset_day: 0,
                end_day: None,
                kind: Kind::RatingAttack(attack),
            }],
        };
        let facts = Facts::count(500, self.viewings.iter().copied());
        let branch = key.branch("trouble");
        let history = |user| self.histories.get(&user).cloned().unwrap_or_default();
        let scene = Scene {
            world: &self.world,
            branch: &branch,
            users: &self.users,
            everybody: false,
            start: term_start(),
            days: 30,
            end: None,
            history: &history,
        };
        let staged = Staged::new(&plan, scene, &facts);
        let mut around = staged.around(self.viewings.iter().copied());
        let logged: Vec<Logged> = around.by_ref().collect();
        let truths = staged.truths(&around.into_tallies());
        (logged, truths.into_iter().next().unwrap())
    }
}

/// Rating deviation from mean agreement (Chirita and others 2005), for each user with five ratings or more.
fn rdma(logged: &[Logged]) -> BTreeMap<u32, f64> {
    let mut movies: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    let mut users: BTreeMap<u32, Vec<(u32, f64)>> = BTreeMap::new();
    for Logged { viewing, .. } in logged {
        if let Some(stars) = viewing.stars {
            let sum = movies.entry(viewing.movie.0).or_default();
            *sum = (sum.0 + 1.0, sum.1 + f64::from(stars));
            users
                .entry(viewing.user.0)
                .or_default()
                .push((viewing.movie.0, f64::from(stars)));
        }
    }
    users
        .into_iter()
        .filter(|(_, ratings)| ratings.len() >= 5)
        .map(|(user, ratings)| {
            let deviations = ratings.iter().map(|(movie, stars)| {
                let (count, sum) = movies[movie];
                (stars - sum / count).abs() / count
            });
            (user, deviations.sum::<f64>() / ratings.len() as f64)
        })
        .collect()
}

/// Neighbours whose similarity counts in [`deg_sim`].
const NEIGHBOURS: usize = 25;

/// How unlike its nearest neighbours a profile is (DegSim of Chirita and others 2005, negative): the mean of the cosines of its
/// most similar profiles, stars taken less the mean of all.
fn deg_sim(logged: &[Logged]) -> BTreeMap<u32, f64> {
    let mut users: BTreeMap<u32, BTreeMap<u32, f64>> = BTreeMap::new();
    for Logged { viewing, .. } in logged {
        if let Some(stars) = viewing.stars {
            let profile = users.entry(viewing.user.0).or_default();
            profile.insert(viewing.movie.0, f64::from(stars) - 3.0);
        }
    }
    users.retain(|_, profile| profile.len() >= 5);
    let length =
        |profile: &BTreeMap<u32, f64>| profile.values().map(|value| value * value).sum::<f64>().sqrt();
    let lengths: BTreeMap<u32, f64> = users
        .iter()
        .map(|(user, profile)| (*user, length(profile)))
        .collect();
    users
        .iter()
        .map(|(user, profile)| {
            let mut similar: Vec<f64> = users
                .iter()
                .filter(|(other, _)| *other != user)
                .map(|(other, theirs)| {
                    let product: f64 = profile
                        .iter()
                        .filter_map(|(movie, value)| theirs.get(movie).map(|their| value * their))
                        .sum();
                    product / (lengths[user] * lengths[other]).max(1e-9)
                })
                .collect();
            similar.sort_by(|a, b| b.total_cmp(a));
            similar.truncate(NEIGHBOURS);
            (*user, -similar.iter().sum::<f64>() / similar.len() as f64)
        })
        .collect()
}

/// The likeness of the one profile that is most like each user's: the share of movies that both watched among those that
/// either did.
fn nearest(logged: &[Logged]) -> BTreeMap<u32, f64> {
    let mut users: BTreeMap<u32, std::collections::BTreeSet<u32>> = BTreeMap::new();
    for Logged { viewing, .. } in logged {
        users.entry(viewing.user.0).or_default().insert(viewing.movie.0);
    }
    users.retain(|_, movies| movies.len() >= 5);
    let likeness = |a: &std::collections::BTreeSet<u32>, b: &std::collections::BTreeSet<u32>| {
        let both = a.intersection(b).count();
        both as f64 / (a.len() + b.len() - both) as f64
    };
    users
        .iter()
        .map(|(user, movies)| {
            let others = users.iter().filter(|(other, _)| *other != user);
            let most = others
                .map(|(_, theirs)| likeness(movies, theirs))
                .fold(0.0, f64::max);
            (*user, most)
        })
        .collect()
}

/// The probability that a fake account has the larger value.
fn auc(values: &BTreeMap<u32, f64>, fake: &[u32]) -> f64 {
    let (fakes, real): (Vec<_>, Vec<_>) = values.iter().partition(|(user, _)| fake.contains(user));
    let mut wins = 0.0;
    for (_, fake) in &fakes {
        for (_, real) in &real {
            wins += if fake > real {
                1.0
            } else if fake == real {
                0.5
            } else {
                0.0
            };
        }
    }
    wins / (fakes.len() * real.len()) as f64
}

#[test]
fn invented_profiles_are_seen_at_once_and_copied_ones_hardly() {
    let (company, key) = Company::play(4);
    let mut seen = BTreeMap::new();
    for (model, range) in [
        (Model::Random, 0.95..=1.0),
        (Model::Average, 0.9..=1.0),
        (Model::Bandwagon, 0.9..=1.0),
        (Model::LoveHate, 0.95..=1.0),
        (Model::Copied, 0.4..=0.75),
        (Model::Blended, 0.3..=0.75),
    ] {
        let (logged, truth) = company.attacked(&key, model);
        let found = auc(&rdma(&logged), &truth.users);
        let unlike = auc(&deg_sim(&logged), &truth.users);
        seen.insert(model.name(), found);
        assert!(range.contains(&found), "{}: {found}", model.name());
        // One profile that is nearly the same gives a copy away, and a blend has none.
        let near = auc(&nearest(&logged), &truth.users);
        println!(
            "{}: RDMA {found:.2}, DegSim {unlike:.2}, nearest {near:.2}",
            model.name()
        );
        assert!(
            if model == Model::Copied {
                near > 0.98
            } else {
                near < 0.75
            },
            "{}: {near}",
            model.name()
        );
        match model {
            Model::Random | Model::Average | Model::LoveHate => assert!(unlike > 0.9, "{unlike}"),
            Model::Copied | Model::Blended => assert!((0.2..0.8).contains(&unlike), "{unlike}"),
            // Its known half makes it like everybody.
            Model::Bandwagon => {}
        }
        let mean = &truth.effects[0];
        assert!(mean.with - mean.without > 0.8 && (mean.with - mean.predicted.unwrap()).abs() < 1e-9);
        let rank = &truth.effects[2];
        assert!(rank.with < rank.without, "{rank:?}");
    }
    for hard in ["copied", "blended"] {
        let hard = seen.remove(hard).unwrap();
        let easy = ["random", "average", "bandwagon", "love_hate"];
        assert!(
            easy.iter().all(|easy| seen[easy] - hard > 0.25),
            "{hard} {seen:?}"
        );
    }
}

#[test]
fn an_attack_of_the_usual_size_moves_its_target_in_every_model_and_nothing_else() {
    let (company, key) = Company::play(4);
    let without = log_dataset(&company.world, &company.users, &company.viewings);
    let asked = [Algorithm::ItemAvg, Algorithm::MfRating, Algorithm::Pop];
    for model in [
        Model::Random,
        Model::Average,
        Model::Bandwagon,
        Model::LoveHate,
        Model::Copied,
        Model::Blended,
    ] {
        let (logged, truth) = company.attacked(&key, model);
        let told: Vec<Viewing> = logged.iter().map(|logged| logged.viewing).collect();
        let twin: Vec<Viewing> = told
            .iter()
            .filter(|viewing| !truth.users.contains(&viewing.user.0))
            .copied()
            .collect();
        assert!(twin == company.viewings, "{}", model.name());
        let with = log_dataset(&company.world, &company.users, &told);
        let target = company.world.movie_index(&truth.movies[0]).unwrap().0 as usize;
        let branch = key.branch("twins");
        // A movie that stood beside the target, and that nobody attacked.
        let popularity = without.popularity();
        let bystander = (0..popularity.len())
            .filter(|movie| *movie != target)
            .min_by_key(|movie| popularity[*movie].abs_diff(popularity[target]))
            .unwrap();
        let moved = standings(&without, &with, target, &asked, &branch);
        let stayed = standings(&without, &with, bystander, &asked, &branch);
        for (moved, stayed) in moved.iter().zip(&stayed) {
            let (change, told) = (moved.rank.change.unwrap(), (model.name(), moved));
            if moved.ranker == "Pop" {
                assert!(change.high < -80.0, "{told:?}");
            } else {
                assert!(change.high < -100.0, "{told:?}");
                assert!(moved.listed.without < 0.1 && moved.listed.with > 0.9, "{told:?}");
            }
            // Fillers touch it as well, by chance.
            let aside = (stayed.rank.with - stayed.rank.without).abs();
            assert!(aside < -change.high / 2.0, "{} {stayed:?}", model.name());
        }
    }
}

/// Plays a stream of 2,500 users for 30 hours in a course with troubles; returns its bytes and its answer key.
fn stream(troubles: &str, words: &[&str]) -> (Vec<u8>, Value) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("course.toml"), format!("{COURSE}{troubles}")).unwrap();
    let (log, key) = (dir.path().join("log"), dir.path().join("key"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command
        .arg("--course")
        .arg(dir.path())
        .arg("simulate")
        .args(words);
    command.args(["--users", "2500", "--movies", "300", "--hours", "30"]);
    command.arg("--out").arg(&log);
    if !words.contains(&"--clean") {
        command.arg("--truth").arg(&key);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let key = fs::read(&key).map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap());
    (fs::read(&log).unwrap(), key)
}

/// Every user's lines, in order.
fn lines_by_user(log: &[u8]) -> BTreeMap<u32, Vec<&str>> {
    let mut users: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for line in std::str::from_utf8(log).unwrap().lines() {
        let user = line.split(',').nth(1).unwrap().parse().unwrap();
        users.entry(user).or_default().push(line);
    }
    users
}

const STREAM_TROUBLES: &str = "[[trouble]]\nkind = 'group_bias'\ngender = 'F'\nlost = 0.5\ndeflated = 1\n\
    [[trouble]]\nkind = 'rating_attack'\nmodel = 'copied'\ngoal = 'promote'\n\
    [[trouble]]\nkind = 'rating_attack'\nmodel = 'bandwagon'\ngoal = 'demote'\naccounts = 'extra'\n\
    [[trouble]]\nkind = 'bots'\nvolume = 30\nspeed = 3\n\
    [[trouble]]\nkind = 'unsuitable'\nshare = 0.5\n\
    [[trouble]]\nkind = 'missing'\nshare = 0.5\nonset_day = 20\n";

#[test]
fn the_stream_has_the_troubles_that_begin_within_it_and_nobody_else_is_told_of_otherwise() {
    let (log, key) = stream(STREAM_TROUBLES, &["--threads", "1"]);
    for threads in ["2", "5"] {
        let (other, other_key) = stream(STREAM_TROUBLES, &["--threads", threads]);
        assert!(log == other && key == other_key, "{threads} threads");
    }
    let (twin, _) = stream(STREAM_TROUBLES, &["--clean"]);
    let (lines, twin) = (lines_by_user(&log), lines_by_user(&twin));
    let kinds: Vec<&str> = key["troubles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|truth| truth["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "group_bias",
            "rating_attack",
            "rating_attack",
            "bots",
            "unsuitable"
        ]
    );
    let users = |truth: &Value| -> Vec<u32> {
        let users = truth["users"].as_array().unwrap().iter();
        users.map(|user| user.as_u64().unwrap() as u32).collect()
    };
    let told: std::collections::BTreeSet<u32> = key["troubles"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(users)
        .collect();
    for user in lines.keys().chain(twin.keys()) {
        let differ = lines.get(user) != twin.get(user);
        assert!(!differ || told.contains(user), "{user}");
    }
    for attack in [1, 2] {
        let truth = &key["troubles"][attack];
        let accounts = users(truth);
        assert_eq!(accounts.len(), 75);
        let stars = if attack == 1 { 5 } else { 1 };
        let rated = format!("GET /rate/{}={stars}", truth["movies"][0].as_str().unwrap());
        let hits = accounts
            .iter()
            .filter(|user| {
                lines
                    .get(user)
                    .is_some_and(|lines| lines.iter().any(|line| line.ends_with(&rated)))
            })
            .count();
        // The window is longer than the stream: what would come after its end is not told any more.
        assert!(hits > 30, "{hits} {rated}");
        // Nobody tells of what the owners of the numbers do themselves.
        let own = accounts.iter().filter(|user| {
            let own = twin.get(user).into_iter().flatten();
            own.clone().count() > 0 && own.eq(lines.get(user).into_iter().flatten())
        });
        assert_eq!(own.count(), 0);
    }
    let bot = lines[&users(&key["troubles"][3])[0]].as_slice();
    assert!(bot.len() > 500, "{bot:?}");
}

#[test]
fn faults_of_lines_reach_the_stream_and_the_key_knows_each() {
    let fault = "[[trouble]]\nkind = 'duplicates'\nshare = 0.001\n";
    let (log, key) = stream(fault, &["--threads", "2"]);
    let (twin, _) = stream(fault, &["--clean"]);
    let count = |log: &[u8]| log.iter().filter(|byte| **byte == b'\n').count();
    let truth = &key["troubles"][0];
    let altered = truth["altered"].as_u64().unwrap() as usize;
    assert!(altered > 50 && count(&log) == count(&twin) + altered, "{altered}");
    let lines: Vec<&str> = std::str::from_utf8(&log).unwrap().lines().collect();
    for number in truth["lines"].as_array().unwrap() {
        let number = number.as_u64().unwrap() as usize;
        assert_eq!(lines[number - 1], lines[number - 2]);
    }
}
