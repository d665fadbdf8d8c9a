//! `serve`: the company, open all semester.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::Serve;
use super::exit::Exit;
use super::log::kafka_config;
use super::simulate::available;
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::{Course, CourseFiles};
use crate::server::{Carried, ServeError, ServeSpec, Server, calendar};
use crate::stream::{BrokerOptions, Place, StreamError, TopicName};
use crate::world::World;

/// The fastest pace at which a semester can be rehearsed: sixteen weeks in half an hour.
const FASTEST: f64 = 6_000.0;

pub(super) fn run(
    args: &Serve,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    let course = files.course()?;
    if args.tokens {
        let lines: Vec<String> = course
            .teams
            .iter()
            .map(|team| {
                format!(
                    "{}\t/team/{}?token={}\n",
                    team.name,
                    team.name,
                    team.token(&course.key)
                )
            })
            .collect();
        ui.data(&lines.concat())
            .map_err(|error| Failure::machine(error.to_string()))?;
        return Ok(Exit::Passed);
    }
    if !(0.1..=FASTEST).contains(&args.speed) {
        return Err(Failure::usage(format!(
            "--speed {} must lie within 0.1 to {FASTEST}",
            args.speed
        )));
    }
    let at = args
        .at
        .as_deref()
        .map(|text| course.calendar.read(text))
        .transpose()
        .map_err(|why| Failure::usage(why).hint("as in --at 2026-09-28T08:00, in the course's time zone"))?;
    let spec = ServeSpec {
        state: args.state.clone(),
        store: args
            .store
            .clone()
            .unwrap_or_else(|| args.state.join("store.sqlite").display().to_string()),
        pages: address(&args.pages)?,
        api: address(&args.api)?,
        at,
        speed: args.speed,
        stop_after: args.stop_after.map(Duration::from_secs_f64),
        carried: carried(args, &course)?,
        broker: args.broker.map(|listen| BrokerOptions {
            listen,
            advertised: args.advertise.clone(),
        }),
    };
    let log = |event: &str, particulars: Value| {
        let mut line = json!({"at": clock.stamp(), "event": event});
        if let (Some(line), Value::Object(particulars)) = (line.as_object_mut(), particulars) {
            line.extend(particulars);
        }
        ui.progress(format_args!("{line}"));
    };
    if course.practice {
        log(
            "practice world",
            json!({"why": "there is no world.key: everybody can know this company's truth, and every team's token"}),
        );
    }
    let world = World::new(&course.key, course.world, available()).with_habits(course.habits.clone());
    let planned = calendar(files, &course)?;
    let server = Server::open(course, world, planned, spec, clock).map_err(|error| failure(&error))?;
    server.run(stop.flag(), &log).map_err(|error| failure(&error))?;
    Ok(Exit::Passed)
}

/// Returns where each team's stream is carried on to.
fn carried(args: &Serve, course: &Course) -> Result<Vec<Carried>, Failure> {
    let Some(servers) = &args.kafka else {
        return Ok(Vec::new());
    };
    let client = kafka_config(args.kafka_config.as_deref())?;
    let told = |error: StreamError| {
        Failure::usage(error.to_string())
            .hint("`cargo install reelworld --features kafka` builds it with Kafka; --broker needs none")
    };
    let deployed = course.teams.iter().filter(|team| team.address.is_some());
    deployed
        .map(|team| {
            let topic = TopicName::new(&team.topic()).map_err(told)?;
            let place = Place::parse(&format!("kafka://{servers}/{topic}")).map_err(told)?;
            let to = place
                .with_client(&client)
                .with_parts(args.kafka_partitions, args.kafka_replication);
            Ok(Carried { topic, to })
        })
        .collect()
}

fn address(text: &str) -> Result<SocketAddr, Failure> {
    text.parse().map_err(|_| {
        Failure::usage(format!("`{text}` is no address to listen at"))
            .hint("an IP address and a port, as in `127.0.0.1:8090`; port 0 takes any that is free")
    })
}

fn failure(error: &ServeError) -> Failure {
    let failure = match error {
        ServeError::NoTeam
        | ServeError::Moved(_)
        | ServeError::NoStream { .. }
        | ServeError::Rewritten(_)
        | ServeError::OtherWorld { .. } => Failure::usage(error.to_string()),
        ServeError::Store(_) | ServeError::Stream(_) | ServeError::Note(_) | ServeError::System(..) => {
            Failure::machine(error.to_string())
        }
    };
    match error {
        ServeError::NoTeam => {
            failure.hint("add one to course.toml: `name = \"falcons\"`, `address = \"host:8082\"`")
        }
        ServeError::System(..) => {
            failure.hint("is another server open here? --pages and --api take other addresses")
        }
        ServeError::Moved(_) => failure.hint(
            "a team without `number` has that of its place: write the number that each team had, as in `number = 2`",
        ),
        ServeError::NoStream { .. } => failure.hint(
            "is --state the folder of this store? bring the streams back from the backup, or from Kafka with `reelworld log replay`; who begins anew takes a new store as well",
        ),
        ServeError::OtherWorld { .. } => failure.hint(
            "is world.key in the course's folder, and the one of this term? a new term takes another --state",
        ),
        ServeError::Rewritten(_) => failure.hint(
            "put these back as they were: what is new begins later and stands behind the others, and what is on may end at a moment that is to come",
        ),
        ServeError::Store(_) | ServeError::Stream(_) | ServeError::Note(_) => failure,
    }
}
