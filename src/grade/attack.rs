//! An attack on ratings that reaches a team's data: where the pushed movie stands in its lists before it learns from that, and after.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::judge::{LINES, measured, not_measured, tail};
use super::measure::Tools;
use super::observe;
use crate::evidence::{AttackFacts, StageEnd};
use crate::exchange::{Catalogue, Outcome};
use crate::release::Release;
use crate::sandbox::{Limits, NEWER_DATA, ServiceSpec, Workplace, build};
use crate::scorecard::{Finding, Findings};
use crate::seed::Key;
use crate::traffic::{Target, ask_once};
use crate::trouble::{Attack, Kind, Trouble};
use crate::world::World;

/// The users whose lists are looked at, before and after: a share is known to a few hundredths then.
const LOOKED_AT: usize = 200;
/// The time that one of them may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// The folder, in the service's home, in which the attacked data lies.
const FOLDER: &str = "attacked-data";
/// The attack's name: its draws hang on it.
const NAME: &str = "attack on the grade";

/// The world, what was released of it, and the seed of the run.
pub(super) type Known<'a> = (&'a World, &'a Release, u64);

/// Lets an attack reach the data, runs the update command on it, and asks the same users before and after.
pub(super) fn attack(
    attack: Attack,
    (world, release, seed): Known<'_>,
    (spec, place): (&ServiceSpec, &Workplace),
    target: &Target,
    limits: Limits,
    (catalogue, tools): (&dyn Catalogue, Tools<'_>),
) -> io::Result<Option<AttackFacts>> {
    let Some(command) = &spec.update else {
        return Ok(Some(AttackFacts {
            update: StageEnd {
                what: "reelworld.toml names no `update` under [service]".to_owned(),
                ..StageEnd::default()
            },
            ..AttackFacts::default()
        }));
    };
    (tools.progress)("an attack on ratings reaches its data");
    let trouble = Trouble {
        name: NAME.to_owned(),
        onset_day: 0,
        end_day: None,
        kind: Kind::RatingAttack(attack),
    };
    let attacked = release
        .clone()
        .with_another(world, &Key::from_seed(seed), trouble);
    let Some(truth) = attacked.truths().iter().find(|truth| truth.name == NAME) else {
        return Err(io::Error::other("the attack has left no entry in the answer key"));
    };
    let (movie, accounts) = (truth.movies.first().cloned(), truth.users.len() as u32);
    let Some(movie) = movie else {
        return Err(io::Error::other("the attack has no target"));
    };
    let data = place.home.join(FOLDER);
    attacked.write(world, &data)?;
    let users = users(release);
    let before = lists(target, &users, catalogue, tools)?;
    let model_before = observe::model(target, &spec.observe)?;
    let mut place = place.clone();
    let seen = match place.sandbox {
        Some(_) => NEWER_DATA.to_owned(),
        None => data.display().to_string(),
    };
    let environment = [
        ("PORT", target.address.port().to_string()),
        ("REELWORLD_DATA", seen),
    ];
    place
        .env
        .extend(environment.map(|(name, value)| (name.to_owned(), value)));
    let (ended, log_tail) = build(
        &command.words(),
        &place,
        limits,
        tools.leash,
        tools.clock,
        tools.stop,
    )?;
    let Some((ok, what)) = ended.told("the update", limits.build) else {
        return Ok(None);
    };
    let after = lists(target, &users, catalogue, tools)?;
    let had = |lists: &[Option<Vec<String>>]| count(lists, |list| list.contains(&movie));
    let given = |lists: &[Option<Vec<String>>]| count(lists, |_| true);
    Ok(Some(AttackFacts {
        fault: None,
        movie: movie.clone(),
        accounts,
        update: StageEnd {
            ok,
            command: command.display(),
            what,
            log_tail,
            ..StageEnd::default()
        },
        model_before,
        model_after: observe::model(target, &spec.observe)?,
        before: (given(&before), had(&before)),
        after: (given(&after), had(&after)),
        rank_before: rank(&before, &movie),
        rank_after: rank(&after, &movie),
    }))
}

/// Users with a history, spread over all of them.
fn users(release: &Release) -> Vec<u32> {
    let step = (release.users.len() / LOOKED_AT).max(1);
    let users = release.users.iter().step_by(step).map(|user| user.0);
    users.take(LOOKED_AT).collect()
}

fn lists(
    target: &Target,
    users: &[u32],
    catalogue: &dyn Catalogue,
    tools: Tools<'_>,
) -> io::Result<Vec<Option<Vec<String>>>> {
    let mut lists = Vec::new();
    for user in users {
        if tools.stop.load(std::sync::atomic::Ordering::Relaxed) {
            break;
        }
        lists.push(
            match ask_once(target, &format!("/recommend/{user}"), PATIENCE, catalogue)? {
                Outcome::Answered { ids } => Some(ids),
                _ => None,
            },
        );
    }
    Ok(lists)
}

fn count(lists: &[Option<Vec<String>>], test: impl Fn(&Vec<String>) -> bool) -> u32 {
    lists.iter().flatten().filter(|list| test(list)).count() as u32
}

/// The mean place of the movie in the lists that have it.
fn rank(lists: &[Option<Vec<String>>], movie: &str) -> Option<f64> {
    let places: Vec<f64> = lists
        .iter()
        .flatten()
        .filter_map(|list| list.iter().position(|id| id == movie))
        .map(|place| place as f64 + 1.0)
        .collect();
    (!places.is_empty()).then(|| places.iter().sum::<f64>() / places.len() as f64)
}

/// Adds how far the pushed movie has come.
pub(super) fn resilience(facts: &AttackFacts, findings: &mut Findings) {
    let id = "attack.reach_rise".to_owned();
    // Who cannot learn from new data cannot show that it learns carefully.
    let lacking = |why: &str| {
        let mut found = measured(1.0, None, 1, why.to_owned());
        found.evidence = tail(&facts.update).take(LINES * 2).collect();
        Finding::Measured(found)
    };
    if let Some(fault) = &facts.fault {
        findings.insert(id, not_measured(fault));
        return;
    }
    if !facts.update.ok {
        findings.insert(id, lacking(&facts.update.what));
        return;
    }
    let learnt = facts.model_after.is_some() && facts.model_before != facts.model_after;
    if !learnt {
        let why = "the service names no other model after it was given new data";
        findings.insert(id, lacking(why));
        return;
    }
    let share = |(given, had): (u32, u32)| (given > 0).then(|| f64::from(had) / f64::from(given));
    let (Some(before), Some(after)) = (share(facts.before), share(facts.after)) else {
        findings.insert(
            id,
            not_measured("no list came before the update, or none after it"),
        );
        return;
    };
    let place =
        |rank: Option<f64>| rank.map_or_else(|| "no list".to_owned(), |rank| format!("place {rank:.1}"));
    let why = format!(
        "{} accounts push a movie: in {} of {} lists before the update, in {} of {} after it",
        facts.accounts, facts.before.1, facts.before.0, facts.after.1, facts.after.0
    );
    let mut found = measured(after - before, None, facts.after.0 as usize, why);
    found.evidence = vec![format!(
        "on the average in {} before, in {} after",
        place(facts.rank_before),
        place(facts.rank_after)
    )];
    findings.insert(id, Finding::Measured(found));
}

/// Makes the folder in which the attacked data will be, as a sandbox must know of it before it begins; returns it.
pub(super) fn prepare(home: &Path) -> io::Result<PathBuf> {
    let folder = home.join(FOLDER);
    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// Removes the attacked data: it holds the answer to a question that others are still asked.
pub(super) fn forget(home: &Path) {
    drop(fs::remove_dir_all(home.join(FOLDER)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> AttackFacts {
        AttackFacts {
            fault: None,
            movie: "pushed+2001".to_owned(),
            accounts: 20,
            update: StageEnd {
                ok: true,
                ..StageEnd::default()
            },
            model_before: Some("1".to_owned()),
            model_after: Some("2".to_owned()),
            before: (200, 2),
            after: (200, 102),
            rank_before: Some(20.0),
            rank_after: Some(1.5),
        }
    }

    fn finding(facts: &AttackFacts) -> Finding {
        let mut findings = Findings::new();
        resilience(facts, &mut findings);
        findings.remove("attack.reach_rise").unwrap()
    }

    fn value(facts: &AttackFacts) -> f64 {
        match finding(facts) {
            Finding::Measured(found) => found.value,
            Finding::NotMeasured { why, .. } => panic!("{why}"),
        }
    }

    #[test]
    fn a_movie_that_was_pushed_into_lists_is_a_rise() {
        assert_eq!(value(&facts()), 0.5);
        let steady = AttackFacts {
            after: (200, 2),
            ..facts()
        };
        assert_eq!(value(&steady), 0.0);
    }

    #[test]
    fn who_does_not_learn_cannot_show_that_it_learns_carefully() {
        let same = AttackFacts {
            model_after: Some("1".to_owned()),
            ..facts()
        };
        let failed = AttackFacts {
            update: StageEnd::default(),
            ..facts()
        };
        assert_eq!((value(&same), value(&failed)), (1.0, 1.0));
        let silent = AttackFacts {
            after: (0, 0),
            ..facts()
        };
        assert!(matches!(finding(&silent), Finding::NotMeasured { .. }));
    }
}
