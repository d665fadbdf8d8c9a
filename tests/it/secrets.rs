//! Secrets hold: what a student has gives neither the key nor the truth, and no better lists than a good model's.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use reelworld::metrics::accuracy::accuracy_score;
use reelworld::release::ReleaseSpec;
use reelworld::seed::Key;
use reelworld::world::{Habits, Profile, World, WorldSpec};
use reelworld::yardstick::{Algorithm, Ranker};
use serde_json::Value;

use crate::company::Company;

const LEVEL: f64 = 0.95;
/// A month of log.
const RELEASED: ReleaseSpec = ReleaseSpec {
    users: 1_000,
    days: 30,
    heldout_days: 1,
};
const MOVIES: u32 = 1_000;
/// The seed of the practice world that every copy of the program holds.
const PRACTICE: u64 = 7;

fn company(key: Key) -> Company {
    Company::new(key, Habits::default(), MOVIES, RELEASED)
}

/// A course whose key no plain number stands for.
fn secret_key(last: u8) -> Key {
    Key::parse(&format!(
        "{}{last:02x}",
        "5ec3e7a9d1f04b68".repeat(4)[..62].to_owned()
    ))
    .unwrap()
}

/// The accuracy of a student's lists as a service is graded.
fn score(company: &Company, ranker: &dyn Ranker) -> f64 {
    accuracy_score(&company.graded(0.0, &[ranker])[0], LEVEL)
        .unwrap()
        .0
}

/// What a student can work out of the log and the company's records for each user and movie.
struct Clues {
    rankers: Vec<Box<dyn Ranker>>,
    /// For each movie: the logarithm of its viewers, its vote and its popularity outside, its age.
    movies: Vec<[f64; 4]>,
}

const LEARNED: [Algorithm; 9] = [
    Algorithm::Ials,
    Algorithm::Ease,
    Algorithm::ItemKnn,
    Algorithm::UserKnn,
    Algorithm::PureSvd,
    Algorithm::ItemAvg,
    Algorithm::MfRating,
    Algorithm::GenreContent,
    Algorithm::DemoPop,
];
const CLUES: usize = 2 * LEARNED.len() + 4 + 1;

impl Clues {
    fn find(company: &Company) -> Self {
        let viewers = company.log(&company.release.viewings).popularity();
        let movies = company
            .world
            .movie_indices()
            .map(|index| {
                let movie = company.world.movie(index);
                let record = movie.to_json(Profile::Classic);
                let number = |name: &str| match &record[name] {
                    Value::String(text) => text.parse().unwrap_or(0.0),
                    other => other.as_f64().unwrap_or(0.0),
                };
                [
                    f64::from(viewers[index.0 as usize] + 1).ln(),
                    number("vote_average"),
                    (number("popularity") + 1.0).ln(),
                    movie.year.map_or(50.0, |year| f64::from(2030 - year)).ln_1p(),
                ]
            })
            .collect();
        let rankers = LEARNED
            .iter()
            .map(|algorithm| company.fit(*algorithm, &company.release.viewings))
            .collect();
        Self { rankers, movies }
    }

    /// The clues about every movie for one user: each ranker's scores, standardised, and their squares with the sign kept.
    fn about(&self, user: usize) -> Vec<[f64; CLUES]> {
        let mut found = vec![[0.0; CLUES]; self.movies.len()];
        let mut scores = vec![0.0; self.movies.len()];
        for (place, ranker) in self.rankers.iter().enumerate() {
            ranker.scores(user, &mut scores);
            let n = scores.len() as f64;
            let mean = scores.iter().sum::<f64>() / n;
            let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / n;
            for (found, score) in found.iter_mut().zip(&scores) {
                let z = (score - mean) / variance.sqrt().max(1e-9);
                found[2 * place] = z;
                found[2 * place + 1] = z * z.abs();
            }
        }
        for (found, movie) in found.iter_mut().zip(&self.movies) {
            found[2 * LEARNED.len()..CLUES - 1].copy_from_slice(movie);
            found[CLUES - 1] = 1.0;
        }
        found
    }
}

/// Learns in a world whose truth is public what clues are worth: least squares on a function of the true worth.
fn learn(practice: &Company, clues: &Clues, target: impl Fn(f64) -> f64) -> [f64; CLUES] {
    let mut gram = vec![[0.0; CLUES]; CLUES];
    let mut right = [0.0; CLUES];
    let mut worth = Vec::new();
    let seen = practice.release.seen();
    for (user, id) in practice.release.users.iter().enumerate().step_by(4) {
        practice.world.enjoyment(*id, &mut worth);
        let best = worth.iter().copied().fold(0.0, f64::max);
        for (movie, clues) in clues.about(user).iter().enumerate() {
            if seen.get(&id.0).is_some_and(|seen| seen.contains(&movie)) {
                continue;
            }
            let wanted = target(worth[movie] / best);
            for (row, a) in gram.iter_mut().zip(clues) {
                for (cell, b) in row.iter_mut().zip(clues) {
                    *cell += a * b;
                }
            }
            for (cell, a) in right.iter_mut().zip(clues) {
                *cell += a * wanted;
            }
        }
    }
    solve(gram, right)
}

/// Solves the normal equations, with a ridge that is small beside them.
fn solve(mut gram: Vec<[f64; CLUES]>, mut right: [f64; CLUES]) -> [f64; CLUES] {
    for (place, row) in gram.iter_mut().enumerate() {
        row[place] *= 1.0 + 1e-6;
    }
    for pivot in 0..CLUES {
        for other in 0..CLUES {
            if other == pivot {
                continue;
            }
            let factor = gram[other][pivot] / gram[pivot][pivot];
            let row = gram[pivot];
            for (cell, value) in gram[other].iter_mut().zip(row) {
                *cell -= factor * value;
            }
            right[other] -= factor * right[pivot];
        }
    }
    for (place, value) in right.iter_mut().enumerate() {
        *value /= gram[place][place];
    }
    right
}

/// A student's model that weighs clues as the practice world has taught.
struct Taught<'a> {
    clues: &'a Clues,
    weights: [f64; CLUES],
}

impl Ranker for Taught<'_> {
    fn name(&self) -> &'static str {
        "Taught"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        for (score, clues) in scores.iter_mut().zip(self.clues.about(user)) {
            *score = clues.iter().zip(self.weights).map(|(a, b)| a * b).sum();
        }
    }
}

/// How far above the best single model a student gets who has the practice world's truth to learn from, at most; measured
/// is .05, with a score of .33, and .06 when it learns from all users and not from every fourth.
const TAUGHT_MORE: f64 = 0.10;
/// What nobody may reach without the key: halfway to the oracle.
const HALFWAY: f64 = 0.5;

#[test]
fn the_practice_worlds_truth_teaches_little_more_than_a_good_model_learns() {
    let practice = company(Key::from_seed(PRACTICE));
    let taught = Clues::find(&practice);
    let real = company(secret_key(1));
    let clues = Clues::find(&real);
    let alone = clues.rankers.iter().map(|ranker| score(&real, &**ranker));
    let alone = alone.fold(f64::MIN, f64::max);
    assert!(alone > 0.2, "the best model of the log alone has {alone}");
    let targets: [fn(f64) -> f64; 2] = [|worth| worth, |worth| (worth + 1e-3).ln()];
    for target in targets {
        let weights = learn(&practice, &taught, target);
        let with_practice = score(
            &real,
            &Taught {
                clues: &clues,
                weights,
            },
        );
        println!("with the practice world {with_practice:.3}, alone {alone:.3}");
        assert!(
            with_practice < (alone + TAUGHT_MORE).min(HALFWAY),
            "{with_practice} with the practice world, {alone} without"
        );
        // The clues are real: an attack that gains nothing would bound nothing.
        assert!(with_practice > 0.9 * alone, "{with_practice} {alone}");
    }
}

/// Recommends what the same number of user would enjoy in another world.
struct Elsewhere {
    worth: Vec<Vec<f64>>,
}

impl Ranker for Elsewhere {
    fn name(&self) -> &'static str {
        "Elsewhere"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        scores.copy_from_slice(&self.worth[user]);
    }
}

#[test]
fn the_same_numbers_in_another_world_are_other_people_and_other_movies() {
    let real = company(secret_key(1));
    let random = score(&real, &*real.fit(Algorithm::Random, &real.release.viewings));
    for other in [Key::from_seed(PRACTICE), secret_key(2)] {
        let other = World::new(&other, real.world.spec(), 2);
        let worth = real.release.users.iter().map(|id| {
            let mut worth = Vec::new();
            other.enjoyment(*id, &mut worth);
            worth
        });
        let elsewhere = Elsewhere {
            worth: worth.collect(),
        };
        let score = score(&real, &elsewhere);
        assert!((score - random).abs() < 0.03, "{score}, at random {random}");
        let names = |world: &World| -> BTreeSet<String> {
            world
                .movie_indices()
                .map(|index| world.movie(index).id.clone())
                .collect()
        };
        let shared = names(&real.world).intersection(&names(&other)).count();
        assert!(shared < MOVIES as usize / 10, "{shared} movies of both");
    }
}

/// Every form in which a key could be written down by accident, in pieces that are long enough to be no chance.
fn traces(key: &Key) -> Vec<Vec<u8>> {
    let hex = key.to_hex();
    let bytes: Vec<u8> = (0..32)
        .map(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap())
        .collect();
    let mut traces: Vec<Vec<u8>> = Vec::new();
    for piece in 0..4 {
        let part = &hex[16 * piece..16 * (piece + 1)];
        traces.push(part.as_bytes().to_vec());
        traces.push(part.to_uppercase().into_bytes());
        let raw = &bytes[8 * piece..8 * (piece + 1)];
        traces.push(raw.to_vec());
        traces.push(raw.iter().rev().copied().collect());
        // As `{:?}` prints bytes.
        let listed: Vec<String> = raw.iter().map(u8::to_string).collect();
        traces.push(listed.join(", ").into_bytes());
    }
    for alphabet in ["+/", "-_"] {
        for skipped in 0..3 {
            // Whole groups of three bytes from each alignment: what base64 makes of them does not depend on the rest.
            let whole = (bytes.len() - skipped) / 3 * 3;
            traces.push(base64(&bytes[skipped..skipped + whole], alphabet));
        }
    }
    traces
}

fn base64(bytes: &[u8], last: &str) -> Vec<u8> {
    let alphabet = format!("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789{last}");
    let digit = |value: u32| alphabet.as_bytes()[(value & 63) as usize];
    bytes
        .chunks_exact(3)
        .flat_map(|group| {
            let value = group.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
            [18, 12, 6, 0].map(|shift| digit(value >> shift))
        })
        .collect()
}

/// What the grader alone knows of some users, as numbers would be printed.
fn truths(world: &World) -> Vec<Vec<u8>> {
    let mut worth = Vec::new();
    let mut found = Vec::new();
    for id in world.user_ids().step_by(97).take(40) {
        world.enjoyment(id, &mut worth);
        worth.sort_by(|a, b| b.total_cmp(a));
        found.extend(worth[..10].iter().map(|worth| format!("{worth:.7}").into_bytes()));
        let activity = world.activity(id).unwrap();
        found.push(format!("{activity:.7}").into_bytes());
    }
    found
}

fn holds(text: &[u8], piece: &[u8]) -> bool {
    text.windows(piece.len()).any(|window| window == piece)
}

/// The bytes of a file, and what it unfolds to.
fn contents(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let mut unfolded = Vec::new();
    let is_folded = flate2::read::MultiGzDecoder::new(&bytes[..])
        .read_to_end(&mut unfolded)
        .is_ok();
    if is_folded {
        vec![bytes, unfolded]
    } else {
        vec![bytes]
    }
}

#[test]
fn nothing_that_leaves_the_company_holds_the_key_or_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let course = dir.path().join("course");
    let out = dir.path().join("out");
    fs::create_dir_all(&out).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/course");
    for entry in walkdir::WalkDir::new(&fixture) {
        let entry = entry.unwrap();
        let to = course.join(entry.path().strip_prefix(&fixture).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(to).unwrap();
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
    let key = secret_key(9);
    fs::write(course.join("world.key"), key.to_hex()).unwrap();
    let spec = WorldSpec {
        users: 4_000,
        movies: 500,
        profile: Profile::Classic,
    };
    let secrets: Vec<Vec<u8>> = traces(&key)
        .into_iter()
        .chain(truths(&World::new(&key, spec, 2)))
        .collect();
    assert!(
        holds(key.to_hex().as_bytes(), &secrets[0]),
        "the search finds a key that is there"
    );

    let run = |words: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_reelworld"))
            .arg("--course")
            .arg(&course)
            .args(words)
            .current_dir(&out)
            .output()
            .unwrap()
    };
    let told: Vec<(String, std::process::Output)> = [
        &["starter", "new", "m1", "--team", "falcons"][..],
        &["world", "export", "--out", "exercise"],
        &["simulate", "--hours", "0.2", "--out", "log.csv"],
        &["rubric", "handout", "m1"],
        &["rubric", "lint"],
        &["doctor"],
    ]
    .into_iter()
    .map(|words| (words.join(" "), run(words)))
    .collect();
    for (words, output) in &told {
        assert!(output.status.success(), "{words}: {output:?}");
    }
    // Errors about the key speak of it without a digit.
    fs::write(course.join("world.key"), &key.to_hex()[..63]).unwrap();
    let broken = run(&["starter", "new", "m1", "--team", "hawks"]);
    assert_eq!(broken.status.code(), Some(2), "{broken:?}");

    let mut searched = 0;
    for (words, output) in told.iter().chain([&("broken key".to_owned(), broken)]) {
        for text in [&output.stdout, &output.stderr] {
            for secret in &secrets {
                assert!(!holds(text, secret), "`{words}` prints a secret");
            }
        }
    }
    for entry in walkdir::WalkDir::new(&out) {
        let entry = entry.unwrap();
        if !entry.file_type().is_file() {
            continue;
        }
        for bytes in contents(entry.path()) {
            searched += bytes.len();
            let found = find_any(&bytes, &secrets);
            assert!(found.is_none(), "{} holds {found:?}", entry.path().display());
        }
    }
    assert!(searched > 1_000_000, "only {searched} bytes were searched");
}

/// Searches for all at once, by their first four bytes.
fn find_any<'a>(text: &[u8], secrets: &'a [Vec<u8>]) -> Option<&'a [u8]> {
    let mut by_start: HashMap<&[u8], Vec<&'a [u8]>> = HashMap::new();
    for secret in secrets {
        by_start.entry(&secret[..4]).or_default().push(secret);
    }
    text.windows(4).enumerate().find_map(|(place, start)| {
        let candidates = by_start.get(start)?;
        candidates
            .iter()
            .find(|secret| text[place..].starts_with(secret))
            .copied()
    })
}

#[test]
fn each_new_course_has_a_key_of_its_own_that_only_its_owner_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let keys: BTreeSet<String> = ["one", "two"]
        .map(|name| {
            let made = Command::new(env!("CARGO_BIN_EXE_reelworld"))
                .args(["new", name])
                .current_dir(dir.path())
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
            let path = dir.path().join(name).join("world.key");
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{mode:o}");
            let key = fs::read_to_string(&path).unwrap();
            assert!(Key::parse(key.trim()).is_ok());
            let told = [made.stdout, made.stderr].concat();
            assert!(!holds(&told, key.trim().as_bytes()));
            key
        })
        .into();
    assert_eq!(keys.len(), 2);
}

/// A submission that looks for bytes in all that it can see, and says where they are. It is given them masked, so that it
/// does not find its own list.
const SEARCHER: &str = r#"
import os
wanted = [bytes(number ^ 90 for number in bytes.fromhex(line)) for line in open("wanted.txt").read().split()]
searched = 0
def look(path):
    global searched
    try:
        with open(path, "rb") as file:
            data = file.read(16 << 20)
    except OSError:
        return
    searched += 1
    for number, secret in enumerate(wanted):
        if secret in data:
            print("FOUND", number, path)
for top in ("/box", "/data", "/etc", "/tmp", "/dev/shm", "/run", "/home", "/root", "/var", "/opt", "/mnt", "/srv", "/work"):
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if name != ".pyenv"]
        for name in files:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                look(path)
for process in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline", "maps", "mountinfo", "status"):
        look(f"/proc/{process}/{name}")
print("searched", searched)
"#;

#[test]
fn grading_shows_no_secret_to_what_it_runs_nor_to_whom_it_reports() {
    let dir = tempfile::tempdir().unwrap();
    let course = dir.path().join("course");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(course.join("assignments/m1")).unwrap();
    fs::create_dir_all(course.join("rubrics")).unwrap();
    for file in ["course.toml", "assignments/m1/assignment.toml"] {
        fs::copy(fixture.join("fixtures/course").join(file), course.join(file)).unwrap();
    }
    let hidden = "m1.bonus.fast";
    let rubric = fs::read_to_string(fixture.join("rubrics/m1.toml")).unwrap();
    let line = format!("id = \"{hidden}\"\n");
    assert!(rubric.contains(&line));
    let rubric = rubric.replace(&line, &format!("{line}visibility = \"staff\"\n"));
    fs::write(course.join("rubrics/m1.toml"), rubric).unwrap();
    let key = secret_key(11);
    fs::write(course.join("world.key"), key.to_hex()).unwrap();
    let traces = traces(&key);

    let submission = dir.path().join("seekers");
    fs::create_dir(&submission).unwrap();
    // One more that is there, or a search that finds nothing would show nothing.
    let planted = b"planted, to be found".to_vec();
    fs::write(submission.join("planted.txt"), &planted).unwrap();
    let masked = |trace: &Vec<u8>| {
        let digits = trace.iter().map(|byte| format!("{:02x}", byte ^ 0x5a));
        digits.collect::<Vec<String>>().concat()
    };
    let masked: Vec<String> = traces.iter().chain([&planted]).map(masked).collect();
    fs::write(submission.join("wanted.txt"), masked.join("\n")).unwrap();
    fs::write(submission.join("search.py"), SEARCHER).unwrap();
    let spec = "[service]\nbuild = ['python3', 'search.py']\nstart = ['false']\n";
    fs::write(submission.join("reelworld.toml"), spec).unwrap();

    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command
        .arg("--course")
        .arg(&course)
        .args(["grade", "m1", "--out"])
        .arg(dir.path().join("run"))
        .arg(&submission)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut grading = command.spawn().unwrap();
    let mut looked = 0;
    let status = loop {
        // The grader and all that comes from it, as anybody with this user's rights sees them.
        for pid in tree(grading.id()) {
            for file in ["cmdline", "environ"] {
                let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                looked += 1;
                assert!(
                    find_any(&bytes, &traces).is_none(),
                    "the {file} of a process holds a secret"
                );
            }
        }
        if let Some(status) = grading.try_wait().unwrap() {
            break status;
        }
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "a missing part is skipped on a user's machine alone"
    )]
    if status.code() == Some(4) && std::env::var("CI").is_err() {
        eprintln!("SKIPPED, no sandbox here");
        return;
    }
    assert_eq!(
        status.code(),
        Some(1),
        "the service ends at once, and nothing else is wrong"
    );
    assert!(looked > 10, "{looked} processes were looked at");

    let own = dir.path().join("run/seekers");
    let evidence = fs::read_to_string(own.join("evidence/items.jsonl")).unwrap();
    let searched = evidence.split("searched ").nth(1).expect("the search has ended");
    let searched: u32 = searched.split('"').next().unwrap().parse().unwrap();
    assert!(searched > 20, "only {searched} files were searched");
    assert_eq!(evidence.matches("FOUND").count(), 1, "{evidence}");
    assert!(
        evidence.contains(&format!("FOUND {} /box/repository/planted.txt", traces.len())),
        "{evidence}"
    );
    for entry in walkdir::WalkDir::new(dir.path().join("run")) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            for bytes in contents(entry.path()) {
                assert!(find_any(&bytes, &traces).is_none(), "{}", entry.path().display());
            }
        }
    }
    for form in ["terminal", "json", "html", "junit"] {
        let report = |audience: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
            command.arg("--course").arg(&course).arg("report").arg(&own);
            let output = command
                .args(["--format", form, "--audience", audience])
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            output.stdout
        };
        let title = if form == "terminal" { "99 % within" } else { hidden };
        assert!(holds(&report("staff"), title.as_bytes()), "{form}");
        assert!(
            !holds(&report("student"), title.as_bytes()),
            "{form} shows what is hidden"
        );
    }
}

/// A process and all below it.
fn tree(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut at = 0;
    while at < all.len() {
        let path = format!("/proc/{0}/task/{0}/children", all[at]);
        let text = fs::read_to_string(path).unwrap_or_default();
        all.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        at += 1;
    }
    all
}
