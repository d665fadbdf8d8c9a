//! Building a team's container image with whichever tool this machine has, and what came of it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::judge::{LINES, not_measured, tail};
use super::measure::Tools;
use super::told::{fact, lacking, put};
use crate::evidence::{ImageFacts, StageEnd, sha256_hex};
use crate::sandbox::{
    BuildEnd, CommandLine, Containers, Limits, Sandbox, ServiceSpec, Unbuilt, Workplace, build,
};
use crate::scorecard::Findings;

/// The tools that build images, the usual one first.
const TOOLS: [&str; 2] = ["docker", "podman"];
/// What a build says that could not fetch what it is made of: that is no fault of the team.
const UNREACHED: [&str; 9] = [
    "dial tcp",
    "no such host",
    "i/o timeout",
    "TLS handshake",
    "failed to resolve source metadata",
    "Temporary failure in name resolution",
    "connection refused",
    "network is unreachable",
    "toomanyrequests",
];

/// Builds the container file of a repository; `path` is where this machine's own programs are. None when the run is stopped.
pub(super) fn image(
    file: Option<&str>,
    place: &Workplace,
    path: &str,
    limits: Limits,
    tools: Tools<'_>,
) -> io::Result<Option<ImageFacts>> {
    let Some(file) = file else {
        return Ok(Some(ImageFacts::default()));
    };
    if let Some(sandbox) = &place.sandbox {
        return within_walls(file, (place, sandbox), path, limits, tools);
    }
    // One's own code: the tool is this machine's, and holds what it builds by itself; what the team wrote runs in its containers alone.
    let own = Workplace {
        sandbox: None,
        env: BTreeMap::from([("PATH".to_owned(), path.to_owned())]),
        ..place.clone()
    };
    let run = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        build(&words, &own, limits, tools.leash, tools.clock, tools.stop)
    };
    let mut faults = Vec::new();
    for tool in TOOLS {
        let line = CommandLine::Shell(format!("command -v {tool} >/dev/null && {tool} version"));
        let words = line.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (ended, said) = run(&words)?;
        if tools.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if !matches!(ended, BuildEnd::Built(_)) {
            let why = said.last().map_or("not installed", String::as_str);
            faults.push(format!("{tool}: {why}"));
            continue;
        }
        let tag = format!(
            "reelworld-check-{}",
            &sha256_hex(place.dir.as_os_str().as_encoded_bytes())[..12]
        );
        let words = [tool, "build", "--tag", &tag, "--file", file, "."];
        let (ended, log_tail) = run(&words)?;
        let Some((ok, what)) = ended.told("the image's build", limits.build) else {
            return Ok(None);
        };
        if ok {
            // An image that cannot be removed is in nobody's way but this machine's.
            drop(run(&[tool, "image", "rm", "--force", &tag])?);
        }
        let unreached = log_tail
            .iter()
            .find(|line| !ok && UNREACHED.iter().any(|said| line.contains(said)));
        return Ok(Some(ImageFacts {
            fault: unreached.map(|line| format!("{tool} could not fetch what the image is made of: {line}")),
            stage: Some(StageEnd {
                ok,
                command: format!("{tool} build --file {file} ."),
                what,
                log_tail,
                ..StageEnd::default()
            }),
        }));
    }
    Ok(Some(ImageFacts {
        fault: Some(format!("no tool here builds images: {}", faults.join("; "))),
        stage: None,
    }))
}

/// Builds it as the image of a service is built: with the bounds of a sandbox, no network, and images of this machine alone.
fn within_walls(
    file: &str,
    (place, sandbox): (&Workplace, &Sandbox),
    path: &str,
    limits: Limits,
    tools: Tools<'_>,
) -> io::Result<Option<ImageFacts>> {
    let containers = match Containers::find(&tools.leash.program, path) {
        Ok(containers) => containers,
        Err(why) => {
            return Ok(Some(ImageFacts {
                fault: Some(format!("no tool here builds images within bounds: {why}")),
                stage: None,
            }));
        }
    };
    let walls = containers.sandbox(&place.dir, None, *sandbox.bounds(), Vec::new(), tools.clock);
    let own = Workplace {
        sandbox: Some(Arc::clone(&walls)),
        env: BTreeMap::new(),
        ..place.clone()
    };
    let words = ServiceSpec::in_container(file)
        .build
        .map(|build| build.words())
        .unwrap_or_default();
    let (ended, log_tail) = build(&words, &own, limits, tools.leash, tools.clock, tools.stop)?;
    let unbuilt = walls.unbuilt(&ended, &log_tail);
    walls.close();
    let Some((ok, what)) = ended.told("the image's build", limits.build) else {
        return Ok(None);
    };
    let unreached = log_tail
        .iter()
        .find(|line| UNREACHED.iter().any(|said| line.contains(said)));
    let fault = match (unbuilt, unreached) {
        _ if ok => None,
        (Some(Unbuilt::Tool(said)), _) => Some(format!("podman itself failed: {said}")),
        (Some(Unbuilt::NotHere { said, there }), _) => Some(format!(
            "nothing is fetched here, and what the image stands on is not there: {said} (there are: {})",
            there.join(", ")
        )),
        (None, Some(line)) => Some(format!("no network is there while an image is built: {line}")),
        (None, None) => None,
    };
    Ok(Some(ImageFacts {
        fault,
        stage: Some(StageEnd {
            ok,
            command: format!("podman build --file {file} ."),
            what,
            log_tail,
            ..StageEnd::default()
        }),
    }))
}

/// Adds whether the image can be built.
pub(super) fn builds(facts: &ImageFacts, findings: &mut Findings) {
    let id = "container.builds";
    match (&facts.fault, &facts.stage) {
        (Some(fault), _) => {
            findings.insert(id.to_owned(), not_measured(fault));
        }
        (None, None) => put(
            findings,
            id,
            lacking(0.0, "there is no Dockerfile or Containerfile in the commit"),
        ),
        (None, Some(stage)) => {
            let mut found = fact(stage.ok, format!("`{}`: {}", stage.command, stage.what));
            if !stage.ok {
                found.evidence = tail(stage).take(LINES * 2).collect();
            }
            put(findings, id, found);
        }
    }
}
