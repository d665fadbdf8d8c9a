//! `world truth` and `world export`: what is wrong with the course's log, and the log itself.

use std::fs;

use super::args::{TruthPart, WorldExport, WorldTruth};
use super::exit::Exit;
use super::feedback;
use super::simulate::available;
use super::ui::{Failure, Stop, Ui};
use super::world_attacks::add_standings;
use crate::course::{Course, CourseFiles};
use crate::release::Release;
use crate::seed::Key;
use crate::trouble::{AnswerKey, Plan, Truth};
use crate::world::World;

/// The most names that an entry shows in a terminal; the JSON has all of them.
const SHOWN: usize = 8;

/// Prints the answer key.
pub(super) fn truth(args: &WorldTruth, files: &CourseFiles, ui: &Ui, stop: &Stop) -> Result<Exit, Failure> {
    let course = course(files, args.seed)?;
    if course.practice {
        ui.progress(format_args!(
            "note: this world's key is public, and so is this answer key"
        ));
    }
    let key = args
        .only
        .is_none_or(|part| part == TruthPart::Troubles)
        .then(|| answer_key(&course, args.requests, ui));
    let effects = if args.only == Some(TruthPart::Troubles) {
        None
    } else {
        Some(feedback::effects(&course, args, ui, stop)?)
    };
    let text = if args.json {
        let mut json = match &key {
            Some(key) => serde_json::to_value(key)
                .map_err(|error| Failure::machine(format!("cannot print the answer key: {error}")))?,
            None => serde_json::json!({}),
        };
        if let Some(effects) = &effects {
            json["feedback"] = effects.to_json();
        }
        format!("{json:#}\n")
    } else {
        let troubles = key.map_or_else(String::new, |key| troubles(&key));
        troubles + &effects.map_or_else(String::new, |effects| effects.to_text())
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(error.to_string()))?;
    Ok(Exit::Passed)
}

fn troubles(key: &AnswerKey) -> String {
    if key.troubles.is_empty() {
        return "nothing is wrong with this course's log: course.toml has no [[trouble]]\n".to_owned();
    }
    key.troubles.iter().map(entry).collect()
}

fn answer_key(course: &Course, requests: bool, ui: &Ui) -> AnswerKey {
    let (world, release) = play(course, requests, &course.troubles);
    let mut truths = release.truths().to_vec();
    add_standings(&world, course, &release, &mut truths, ui);
    AnswerKey::new(
        &world,
        course.practice,
        (
            release.start(),
            course.release.days,
            release.viewings.len() as u64,
        ),
        truths,
    )
}

/// Writes the released data.
pub(super) fn export(args: &WorldExport, files: &CourseFiles, ui: &Ui) -> Result<Exit, Failure> {
    if fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::usage(format!(
            "`{}` is not empty, and nothing in it is overwritten",
            args.out.display()
        )));
    }
    let course = course(files, args.seed)?;
    let none = Plan::default();
    let plan = if args.clean { &none } else { &course.troubles };
    let (world, release) = play(&course, args.requests, plan);
    release
        .write(&world, &args.out)
        .map_err(|error| Failure::machine(format!("cannot write `{}`: {error}", args.out.display())))?;
    let text = format!(
        "{}: the log of {} users over {} days, with {} troubles\n",
        args.out.display(),
        release.users.len(),
        course.release.days,
        plan.troubles.len()
    );
    ui.data(&text)
        .map_err(|error| Failure::machine(error.to_string()))?;
    Ok(Exit::Passed)
}

fn course(files: &CourseFiles, seed: Option<u64>) -> Result<Course, Failure> {
    let mut course = files.course()?;
    if let Some(seed) = seed {
        course.key = Key::from_seed(seed);
        course.practice = true;
    }
    Ok(course)
}

fn play(course: &Course, requests: bool, plan: &Plan) -> (World, Release) {
    let threads = available();
    let world = World::new(&course.key, course.world, threads).with_habits(course.habits.clone());
    let mut release = Release::make(&world, &course.key, course.release, threads);
    if requests {
        release = release.with_requests();
    }
    let release = release.with_troubles(&world, &course.key, plan);
    (world, release)
}

fn entry(truth: &Truth) -> String {
    let mut text = format!("{} ({})\n  {}\n", truth.name, truth.kind, truth.what);
    text += &format!(
        "  day {} to before day {} ({} to {})\n",
        truth.onset_day, truth.end_day, truth.from, truth.until
    );
    if let Some(group) = &truth.group {
        text += &format!("  concerns: {group}\n");
    }
    text += &format!("  altered: {} of {}\n", truth.altered, truth.of);
    let users: Vec<String> = truth.users.iter().map(ToString::to_string).collect();
    for (what, names) in [("users", &users), ("movies", &truth.movies)] {
        if !names.is_empty() {
            text += &format!("  {what}: {}\n", some(names));
        }
    }
    for effect in &truth.effects {
        let change = effect.change.map_or_else(String::new, |[low, high]| {
            format!(" (a change of {low:.3} to {high:.3})")
        });
        text += &format!(
            "  {}: {:.3} without, {:.3} with{change}\n",
            effect.measure, effect.without, effect.with
        );
    }
    let needed = truth
        .power
        .least_events
        .map_or_else(|| "no number".to_owned(), |least| least.to_string());
    text + &format!(
        "  to be seen nine times in ten: {needed} {}; the window has {}\n",
        truth.power.event, truth.power.events
    )
}

fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        format!("{shown} and {} more", names.len() - SHOWN)
    } else {
        shown
    }
}
