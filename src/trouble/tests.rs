//! What holds of every trouble: exact counts, twins, and answer keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::coursefile::Document;
use crate::seed::{Branch, Key};
use crate::sim::{Viewing, term_start, viewings};
use crate::world::{Gender, Profile, UserId, World, WorldSpec};

const DAYS: u32 = 20;

struct Company {
    world: World,
    branch: Branch,
    users: Vec<UserId>,
    histories: BTreeMap<UserId, Vec<Viewing>>,
    viewings: Vec<Viewing>,
}

/// A small log is played once for all tests.
static COMPANY: LazyLock<Company> = LazyLock::new(|| {
    let key = Key::from_seed(5);
    let spec = WorldSpec {
        users: 900,
        movies: 300,
        profile: Profile::Classic,
    };
    let world = World::new(&key, spec, 1);
    let active = |id: &UserId| world.activity(*id).is_some_and(|found| found >= 15.0);
    let users: Vec<UserId> = world.user_ids().filter(active).take(300).collect();
    let lives = key.branch("lives");
    let histories: BTreeMap<UserId, Vec<Viewing>> = users
        .iter()
        .map(|user| (*user, viewings(&world, &lives, *user, term_start(), DAYS)))
        .collect();
    let mut all: Vec<Viewing> = histories.values().flatten().copied().collect();
    all.sort_by_key(|viewing| (viewing.at, viewing.user));
    Company {
        world,
        branch: key.branch("trouble"),
        users,
        histories,
        viewings: all,
    }
});

fn read(text: &str) -> Result<Plan, String> {
    let document = Document::parse("course.toml", text).map_err(|faults| faults.to_string())?;
    let root = document.root();
    let plan = Plan::read(&root, DAYS, 300);
    root.finish();
    document.finish().map_err(|faults| faults.to_string())?;
    Ok(plan)
}

fn logged(plan: &Plan) -> (Vec<Logged>, Vec<Truth>) {
    let company = &*COMPANY;
    let facts = Facts::count(300, company.viewings.iter().copied());
    let history = |user| company.histories.get(&user).cloned().unwrap_or_default();
    let scene = Scene {
        world: &company.world,
        branch: &company.branch,
        users: &company.users,
        everybody: false,
        start: term_start(),
        days: DAYS,
        end: None,
        history: &history,
    };
    let staged = Staged::new(plan, scene, &facts);
    let mut around = staged.around(company.viewings.iter().copied());
    let logged: Vec<Logged> = around.by_ref().collect();
    let truths = staged.truths(&around.into_tallies());
    (logged, truths)
}

fn plain() -> Vec<Logged> {
    COMPANY.viewings.iter().copied().map(Logged::from).collect()
}

fn text_of(logged: &[Logged]) -> Vec<u8> {
    let world = &COMPANY.world;
    let mut lines: Vec<(SimTime, u32, Vec<u8>)> = Vec::new();
    for Logged { viewing, .. } in logged {
        let movie = &world.movie(viewing.movie).id;
        let last = i64::from(viewing.minutes) - 1;
        let (time, user) = (viewing.at.plus_seconds(last * 60), viewing.user.0);
        let mut push = |time: SimTime, what: String| {
            let line = format!("{},{user},GET {what}\n", truth::time_text(time));
            lines.push((time, user, line.into_bytes()));
        };
        push(time, format!("/data/m/{movie}/{last}.mpg"));
        if let Some(stars) = viewing.stars {
            push(time.plus_seconds(30), format!("/rate/{movie}={stars}"));
        }
    }
    lines.sort();
    lines.into_iter().flat_map(|(_, _, line)| line).collect()
}

fn faulty(plan: &Plan, text: &[u8]) -> (Vec<u8>, Vec<Truth>) {
    let company = &*COMPANY;
    let mut faults = LineFaults::new(plan, &company.world, &company.branch, term_start(), DAYS);
    let mut out = Vec::new();
    faults.push_text(text, &mut out);
    faults.finish(&mut out);
    (out, faults.truths())
}

fn lines(text: &[u8]) -> Vec<&str> {
    std::str::from_utf8(text).unwrap().lines().collect()
}

#[test]
fn a_plan_reads_from_a_course_file() {
    let plan = read(
        "[[trouble]]\nkind = 'group_bias'\nname = 'women'\ngender = 'F'\nlost = 0.4\nonset_day = 5\nend_day = 9\n\
         [[trouble]]\nkind = 'rating_attack'\nmodel = 'copied'\ngoal = 'demote'\n\
         [[trouble]]\nkind = 'missing'\nfrom_hour = 22\nto_hour = 3\n",
    )
    .unwrap();
    let names: Vec<&str> = plan
        .troubles
        .iter()
        .map(|trouble| trouble.name.as_str())
        .collect();
    assert_eq!(names, ["women", "rating_attack-2", "missing-3"]);
    assert_eq!(
        plan.troubles[0].kind,
        Kind::GroupBias(GroupBias {
            group: Group::Gender(Gender::Female),
            lost: 0.4,
            noise: 0.0,
            deflated: 0.0
        })
    );
    assert!(read("").unwrap().is_empty());
}

#[test]
fn faults_of_troubles_are_told_at_once_with_their_places() {
    let faults = read(
        "[[trouble]]\nkind = 'group_bios'\n[[trouble]]\nkind = 'bots'\nsize = 3\nspede = 2\n\
         [[trouble]]\nkind = 'group_bias'\nonset_day = 9\nend_day = 4\ngender = 'F'\nage_band = '25-34'\n\
         [[trouble]]\nkind = 'late_events'\nonset_day = 99\n",
    )
    .unwrap_err();
    for wanted in [
        "course.toml:2:8: `kind` cannot be `group_bios`\n  hint: did you mean `group_bias`?",
        "course.toml:5:8: `size` is 3, it must lie within 0.0001 to 1",
        "course.toml:6:1: unknown key `spede`\n  hint: did you mean `speed`?",
        "course.toml:8:8: a size is missing: `lost`, `noise` or `deflated`",
        "course.toml:10:11: the trouble ends before it begins",
        "course.toml:12:12: a group is named by one attribute only",
        "course.toml:15:13: `onset_day` is 99, it must lie within 0 to 20",
    ] {
        assert!(faults.contains(wanted), "`{wanted}` is not in\n{faults}");
    }
    assert_eq!(faults.matches("course.toml:").count(), 7, "{faults}");
}

#[test]
fn a_plan_without_troubles_leaves_the_log_as_it_is() {
    let (log, truths) = logged(&Plan::default());
    assert!(log == plain() && truths.is_empty());
    let text = text_of(&log);
    assert!(faulty(&Plan::default(), &text).0 == text);
}

#[test]
fn a_bias_touches_its_group_within_its_window_and_nothing_else() {
    let plan = read(
        "[[trouble]]\nkind = 'group_bias'\ngender = 'F'\nlost = 0.4\ndeflated = 0.5\nonset_day = 5\nend_day = 15\n",
    )
    .unwrap();
    let (log, truths) = logged(&plan);
    let company = &*COMPANY;
    let concerned = |logged: &&Logged| {
        let day = (logged.viewing.at.seconds() - term_start().seconds()) / DAY_S;
        (5..15).contains(&day) && Group::Gender(Gender::Female).holds(&company.world, logged.viewing.user)
    };
    let before = plain();
    let untouched = |log: &[Logged]| {
        log.iter()
            .filter(|one| !concerned(one))
            .copied()
            .collect::<Vec<_>>()
    };
    assert!(untouched(&log) == untouched(&before));
    let (of, left) = (
        before.iter().filter(concerned).count(),
        log.iter().filter(concerned).count(),
    );
    let lost = 1.0 - left as f64 / of as f64;
    assert!((lost - 0.4).abs() < 0.06, "{lost} of {of}");
    assert_eq!(truths[0].of, of as u64);
    let stars = &truths[0].effects[1];
    assert!((stars.without - stars.with - 0.5).abs() < 0.12, "{stars:?}");
    assert!(truths[0].power.least_events.unwrap() > 100);
}

#[test]
fn a_stronger_bias_loses_what_a_weaker_one_loses_and_more() {
    let kept = |lost: f64| -> BTreeSet<(i64, u32)> {
        let plan = read(&format!(
            "[[trouble]]\nkind = 'group_bias'\nname = 'x'\ngender = 'M'\nlost = {lost}\n"
        ));
        let (log, _) = logged(&plan.unwrap());
        log.iter()
            .map(|logged| (logged.viewing.at.0, logged.viewing.user.0))
            .collect()
    };
    let (weak, strong) = (kept(0.2), kept(0.6));
    assert!(strong.is_subset(&weak) && strong.len() < weak.len());
}

#[test]
fn accounts_that_are_added_have_records_and_no_past_and_everybody_else_stays_as_they_are() {
    let plan = read(
        "[[trouble]]\nkind = 'rating_attack'\nmodel = 'average'\ngoal = 'promote'\nsize = 0.05\nonset_day = 3\nend_day = 12\n\
         [[trouble]]\nkind = 'bots'\nsize = 0.02\nvolume = 8\nspeed = 3\n",
    )
    .unwrap();
    let (log, truths) = logged(&plan);
    let company = &*COMPANY;
    let accounts: BTreeSet<u32> = truths.iter().flat_map(|truth| &truth.users).copied().collect();
    assert_eq!(accounts.len(), 15 + 6);
    for account in &accounts {
        assert!(company.world.user(UserId(*account)).is_some());
        assert!(company.users.binary_search(&UserId(*account)).is_err());
    }
    let real: Vec<Logged> = log
        .iter()
        .filter(|logged| !accounts.contains(&logged.viewing.user.0))
        .copied()
        .collect();
    assert!(real == plain());
    assert_eq!(
        log.len() - real.len(),
        truths.iter().map(|truth| truth.altered as usize).sum::<usize>()
    );
    assert!(log.is_sorted_by_key(|logged| (logged.viewing.at, logged.viewing.user)));
}

#[test]
fn the_targets_mean_moves_as_the_formula_says() {
    for model in ["random", "average", "bandwagon", "love_hate", "copied"] {
        let plan = read(&format!(
            "[[trouble]]\nkind = 'rating_attack'\nmodel = '{model}'\ngoal = 'promote'\nsize = 0.1\nrho = 5\n"
        ))
        .unwrap();
        let (log, truths) = logged(&plan);
        let target = COMPANY.world.movie_index(&truths[0].movies[0]).unwrap();
        let stars: Vec<f64> = log
            .iter()
            .filter(|logged| logged.viewing.movie == target)
            .filter_map(|logged| logged.viewing.stars.map(f64::from))
            .collect();
        let mean = stars.iter().sum::<f64>() / stars.len() as f64;
        let effect = &truths[0].effects[0];
        assert!(
            (mean - effect.predicted.unwrap()).abs() < 1e-9,
            "{model} {mean} {effect:?}"
        );
        assert!(effect.with - effect.without > 0.5, "{model} {effect:?}");
        assert!(
            (2.5..12.0).contains(&truths[0].strength["rho"]),
            "{:?}",
            truths[0].strength
        );
    }
}

#[test]
fn minors_watch_what_they_should_not_and_the_answer_key_lists_every_case() {
    let plan = read("[[trouble]]\nkind = 'unsuitable'\nshare = 0.8\ntitles = 1\n").unwrap();
    let (log, truths) = logged(&plan);
    let world = &COMPANY.world;
    let mut pairs: Vec<(u32, String)> = log
        .iter()
        .filter(|logged| world.movie(logged.viewing.movie).adult)
        .filter(|logged| world.user(logged.viewing.user).unwrap().age < 18)
        .map(|logged| {
            (
                logged.viewing.user.0,
                world.movie(logged.viewing.movie).id.clone(),
            )
        })
        .collect();
    pairs.sort();
    assert!(truths[0].altered > 5);
    assert_eq!(pairs, truths[0].pairs);
}

#[test]
fn every_altered_line_is_in_the_answer_key_and_no_other() {
    let text = text_of(&plain());
    for kind in [
        "schema_change'\nform = 'user_first",
        "schema_change'\nform = 'semicolons",
        "schema_change'\nform = 'no_verb",
        "out_of_range'\nshare = 0.01\nname = 'x",
        "unit_change",
        "random_character'\nshare = 0.01\nname = 'x",
        "clock_skew'\nshare = 0.1\nname = 'x",
    ] {
        let plan = read(&format!(
            "[[trouble]]\nkind = '{kind}'\nonset_day = 8\nend_day = 12\n"
        ))
        .unwrap();
        let (out, truths) = faulty(&plan, &text);
        let differ: Vec<u64> = lines(&text)
            .iter()
            .zip(lines(&out))
            .zip(1..)
            .filter(|((was, is), _)| *was != is)
            .map(|(_, number)| number)
            .collect();
        assert!(differ.len() > 5, "{kind}");
        assert_eq!(truths[0].lines, differ, "{kind}");
        assert_eq!(truths[0].altered, differ.len() as u64, "{kind}");
    }
}

#[test]
fn lines_that_are_lost_doubled_or_late_are_counted() {
    let text = text_of(&plain());
    let before = lines(&text);
    let sorted = |text: &[u8]| {
        let mut all: Vec<String> = lines(text).into_iter().map(str::to_owned).collect();
        all.sort();
        all
    };
    let plan = read("[[trouble]]\nkind = 'missing'\nshare = 0.5\nfrom_hour = 19\nto_hour = 23\n").unwrap();
    let (out, truths) = faulty(&plan, &text);
    assert_eq!(lines(&out).len() as u64 + truths[0].altered, before.len() as u64);
    let plan = read("[[trouble]]\nkind = 'duplicates'\nshare = 0.05\n").unwrap();
    let (out, truths) = faulty(&plan, &text);
    let after = lines(&out);
    for number in &truths[0].lines {
        let place = *number as usize - 1;
        assert_eq!(after[place], after[place - 1]);
    }
    assert_eq!(before.len() as u64 + truths[0].altered, after.len() as u64);
    let plan = read("[[trouble]]\nkind = 'late_events'\nshare = 0.05\nseconds = 7200\n").unwrap();
    let (out, truths) = faulty(&plan, &text);
    assert!(sorted(&out) == sorted(&text) && out != text);
    assert_eq!(truths[0].altered, truths[0].lines.len() as u64);
}

#[test]
fn an_answer_key_names_its_schema_and_reads_as_json() {
    let plan = read("[[trouble]]\nkind = 'bots'\n").unwrap();
    let (_, truths) = logged(&plan);
    let key = AnswerKey::new(&COMPANY.world, true, (term_start(), DAYS, 1), truths);
    let json = serde_json::to_value(&key).unwrap();
    assert_eq!(json["schema"], "reelworld/truth/v1");
    assert_eq!(json["troubles"][0]["kind"], "bots");
    assert_eq!(json["troubles"][0]["users"].as_array().unwrap().len(), 3);
}

#[test]
fn the_least_number_of_events_gives_the_power_that_it_promises() {
    let (without, with) = (0.18, 0.15);
    let least = Power::of_share("viewings", without, with, (1.0, 0.0), 0)
        .least_events
        .unwrap();
    let mut draws = COMPANY.branch.branch("power").at(0);
    let mut share = |p: f64| (0..least).filter(|_| draws.chance(p)).count() as f64 / least as f64;
    let tries = 400;
    let seen = (0..tries).filter(|_| {
        let (before, after) = (share(without), share(with));
        let pooled = f64::midpoint(before, after);
        (before - after).abs() / (2.0 * pooled * (1.0 - pooled) / least as f64).sqrt() > 1.96
    });
    let power = seen.count() as f64 / f64::from(tries);
    assert!((power - 0.9).abs() < 0.05, "{power} with {least} events a window");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_faults_do_not_depend_on_how_the_log_is_cut(cut in any::<prop::sample::Index>()) {
        let plan = read(
            "[[trouble]]\nkind = 'duplicates'\n[[trouble]]\nkind = 'late_events'\n[[trouble]]\nkind = 'random_character'\nshare = 0.02\n\
             [[trouble]]\nkind = 'missing'\ngender = 'F'\n[[trouble]]\nkind = 'clock_skew'\n",
        )
        .unwrap();
        let text = text_of(&plain()[..2000]);
        let all = lines(&text);
        let head: usize = all[..cut.index(all.len())].iter().map(|line| line.len() + 1).sum();
        let company = &*COMPANY;
        let mut faults = LineFaults::new(&plan, &company.world, &company.branch, term_start(), DAYS);
        let mut out = Vec::new();
        faults.push_text(&text[..head], &mut out);
        faults.push_text(&text[head..], &mut out);
        faults.finish(&mut out);
        prop_assert!(out == faulty(&plan, &text).0);
    }

    #[test]
    fn no_line_breaks_the_faults(foreign in "\\PC{0,60}") {
        let plan = read("[[trouble]]\nkind = 'random_character'\nshare = 1\n[[trouble]]\nkind = 'schema_change'\nform = 'no_verb'\n").unwrap();
        let (out, _) = faulty(&plan, format!("{foreign}\n").as_bytes());
        prop_assert!(out.len() >= foreign.len());
    }
}
