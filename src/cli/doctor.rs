//! What `doctor` tells of the sandbox: each promise tried, and what to do where one is not kept.

use super::run::{isolation, leash, path};
use super::ui::Failure;
use crate::clock::Clock;
use crate::course::CourseFiles;
use crate::sandbox::{Containers, Fence, promises};

/// A row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) ok: bool,
    pub(super) found: String,
    pub(super) hint: String,
}

/// Tries the sandbox.
pub(super) fn sandbox(clock: Clock) -> Vec<Row> {
    let row = |name, ok, found: String, hint: String| Row {
        name,
        ok,
        found,
        hint,
    };
    let isolation = match isolation(clock) {
        Ok(isolation) => isolation,
        Err(failure) => {
            let hint = failure.hint.unwrap_or_default();
            return vec![row(
                "sandbox",
                false,
                String::new(),
                format!("{}; {hint}", failure.message),
            )];
        }
    };
    let facts = isolation.facts();
    let mut rows = vec![row(
        "sandbox",
        true,
        format!("{}, {}", facts.how, facts.details.join(", ")),
        String::new(),
    )];
    let tried = leash().map(|leash| promises(&isolation, &leash, clock));
    match tried {
        Ok(Ok(promises)) => rows.extend(promises.into_iter().map(|promise| {
            let hint = format!("{}. {}", promise.seen, advice(promise.name));
            row(promise.name, promise.kept, promise.seen, hint)
        })),
        Ok(Err(error)) => rows.push(row("it begins", false, String::new(), error.to_string())),
        Err(failure) => rows.push(row("it begins", false, String::new(), failure.message)),
    }
    // Nothing that is promised rests on it.
    rows.push(row("Landlock", true, landlock(isolation.fence()), String::new()));
    rows.push(containers());
    rows
}

/// Says what the kernel's second wall is worth here.
fn landlock(fence: Fence) -> String {
    match (fence.version, fence.stands) {
        (Some(version), true) if version >= 6 => {
            format!(
                "version {version}: a second wall in each sandbox, for files, signals and abstract sockets"
            )
        }
        (Some(version), true) => format!("version {version}: a second wall in each sandbox, for files"),
        (Some(version), false) => {
            format!("version {version}: sandboxes do without it, as it would refuse to move files")
        }
        (None, _) => "not in this kernel, or not switched on: sandboxes do without it".to_owned(),
    }
}

/// Looks for what runs submissions with a container file. Without it those have no verdict, and all others are well.
fn containers() -> Row {
    let found = leash().and_then(|leash| Containers::find(&leash.program, &path()).map_err(Failure::machine));
    let (ok, found, hint) = match found {
        Ok(containers) => (true, containers.facts().how.clone(), String::new()),
        Err(failure) => (
            false,
            String::new(),
            format!(
                "{}. Submissions that run in containers have no verdict here; all others need none",
                failure.message
            ),
        ),
    };
    Row {
        name: "containers",
        ok,
        found,
        hint,
    }
}

/// Asks the mirror of packages that the course declares, if it declares one.
pub(super) fn mirror(files: &CourseFiles) -> Row {
    let (ok, found, hint) = match files.course() {
        Err(faults) => (false, String::new(), faults.to_string()),
        Ok(course) if course.mirror.is_empty() => (
            true,
            "none is declared in course.toml: builds reach no index".to_owned(),
            String::new(),
        ),
        Ok(course) => {
            let looked = course.mirror.look();
            let faults: Vec<&str> = looked
                .iter()
                .filter_map(|(_, answered)| answered.as_ref().err().map(String::as_str))
                .collect();
            let hint = format!(
                "{}. Builds that need it have no verdict, unless `grade --fetched` has what an earlier run fetched",
                faults.join("; ")
            );
            (
                faults.is_empty(),
                format!("{}, answers", course.mirror.describe()),
                hint,
            )
        }
    };
    Row {
        name: "mirror of packages",
        ok,
        found,
        hint,
    }
}

/// What helps where a promise is not kept, if we know it.
fn advice(promise: &str) -> &'static str {
    match promise {
        "memory is bounded in total" => {
            "Control groups are not to be had here: as root they are; as a user of a system with systemd, start it with \
             `systemd-run --user --scope -p Delegate=yes reelworld grade ...`"
        }
        _ => "Do not grade code of others on this machine before this is mended",
    }
}
