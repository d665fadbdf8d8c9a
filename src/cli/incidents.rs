//! `incidents`: how every team responded to what the open company has run of the calendar, from its store or its streams.

use std::sync::Arc;

use serde_json::{Value, json};

use super::args::IncidentsArgs;
use super::exit::Exit;
use super::log::kafka_config;
use super::requests::{Source, failed, open};
use super::simulate::available;
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::{Course, CourseFiles, Team};
use crate::event::{Record, SimTime};
use crate::incident::{Response, Takedown};
use crate::server::{Reading, TeamResponse, Titles, Watched, calendar, deadline_ms, shown};
use crate::store::{Played, Spell, Store};
use crate::window::{Asked, Came};
use crate::world::World;

/// Where an incident stands, by the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Over,
    /// What it says may still change: it goes on, or the hour after it is not over.
    GoesOn,
}

/// One incident and how the teams responded.
struct Row<'p> {
    played: &'p Played,
    truth: Value,
    state: State,
    ours_s: f64,
    /// By team; why nothing can be told, where that is so.
    teams: Vec<(&'p str, Result<TeamResponse, String>)>,
}

/// Tells how every team responded.
pub(super) fn run(
    args: &IncidentsArgs,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    let course = files.course()?;
    let mut store = open(&args.state, args.store.as_ref())?;
    let played = store.incidents().map_err(|error| failed(&error))?;
    let wanted: Vec<&Played> = played
        .iter()
        .filter(|played| args.only.as_ref().is_none_or(|only| *only == played.name))
        .collect();
    if let Some(only) = args.only.as_ref().filter(|_| wanted.is_empty()) {
        let names: Vec<&str> = played.iter().map(|played| played.name.as_str()).collect();
        return Err(Failure::usage(format!(
            "no incident that was run is called `{}`",
            only.escape_debug()
        ))
        .hint(format!("there are {}", names.join(", "))));
    }
    let teams = teams(args, &course)?;
    let planned = calendar(files, &course)?;
    let world =
        Arc::new(World::new(&course.key, course.world, available()).with_habits(course.habits.clone()));
    let source = Source {
        world: &world,
        reading: Reading::new(&course, &planned, &world),
        forgotten: store.forgotten_before().map_err(|error| failed(&error))?,
        from_log: args.from_log.as_deref(),
        client: kafka_config(args.kafka_config.as_deref())?,
        stop,
        clock,
    };
    let last = store.last_minute().map_err(|error| failed(&error))?;
    let now = SimTime::from_seconds(last.map_or(0, |minute| (minute + 1) * 60));
    let outages = store.outages().map_err(|error| failed(&error))?;
    let mut rows = Vec::new();
    for played in wanted {
        ui.progress(format_args!("{}", played.name));
        let watched = Watched::new(played);
        let ends = watched.span().until;
        let mut row = Row {
            played,
            truth: watched.truth().clone(),
            state: if now < ends { State::GoesOn } else { State::Over },
            ours_s: outages.iter().map(|outage| common_s(outage, &played.spell)).sum(),
            teams: Vec::new(),
        };
        for team in &teams {
            row.teams
                .push((team.name.as_str(), told(played, team, &source, &mut store)?));
        }
        rows.push(row);
    }
    let text = if args.json { as_json(&rows) } else { table(&rows) };
    ui.data(&text)
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))?;
    Ok(Exit::Passed)
}

/// Returns the teams that are asked for, of those that the company plays.
fn teams<'c>(args: &IncidentsArgs, course: &'c Course) -> Result<Vec<&'c Team>, Failure> {
    let deployed = course.teams.iter().filter(|team| team.address.is_some());
    let found: Vec<&Team> = deployed
        .filter(|team| args.team.as_ref().is_none_or(|only| *only == team.name))
        .collect();
    match &args.team {
        Some(only) if found.is_empty() => Err(Failure::usage(format!(
            "no team with an address is called `{}`",
            only.escape_debug()
        ))),
        _ => Ok(found),
    }
}

/// Returns how one team responded, or why that cannot be told.
fn told(
    played: &Played,
    team: &Team,
    source: &Source<'_>,
    store: &mut Store,
) -> Result<Result<TeamResponse, String>, Failure> {
    let mut watched = Watched::new(played);
    let span = watched.span();
    if let Some(forgotten) = source.has_forgotten(span) {
        let before = shown(forgotten);
        return Ok(Err(format!(
            "the store has forgotten single requests before {before}; --from-log STATE/streams reads them"
        )));
    }
    if source.from_log.is_some() || watched.movie().is_some() {
        let titles = Titles(Arc::clone(source.world));
        let deadline_ms = deadline_ms(source.world.spec().profile);
        source.each(store, team, span, &mut |record: &Record| {
            let Some(asked) = Asked::from_record(record, &titles, deadline_ms) else {
                return;
            };
            match asked.came {
                Came::Success(list) => watched.request(asked.at, Some(&list)),
                Came::Failure(_) => watched.request(asked.at, None),
                Came::Ours => {}
            }
        })?;
    } else {
        let minutes = store.minutes(team.number, (span.from, span.until));
        for [number, asked, well, ..] in minutes.map_err(|error| failed(&error))? {
            watched.minute(number, asked as u64, well as u64);
        }
    }
    for (at, model) in store.sightings(team.number).map_err(|error| failed(&error))? {
        watched.model(at, &model);
    }
    Ok(Ok(watched.told()))
}

/// Returns how many seconds two spells have in common.
fn common_s(a: &Spell, b: &Spell) -> f64 {
    (a.until.min(b.until).0 - a.from.max(b.from).0).max(0) as f64 / 1e6
}

fn table(rows: &[Row<'_>]) -> String {
    if rows.is_empty() {
        return "no incident was run\n".to_owned();
    }
    let mut text = String::new();
    for row in rows {
        let spell = &row.played.spell;
        let state = match row.state {
            State::Over => "",
            State::GoesOn => "   not over: what follows may change",
        };
        text.push_str(&format!(
            "{}   {} to {}   {}{state}\n",
            row.played.name,
            shown(spell.from),
            shown(spell.until),
            spell.what
        ));
        if row.ours_s > 0.0 {
            text.push_str(&format!(
                "  the company itself was down for {:.0} s of it\n",
                row.ours_s
            ));
        }
        if let Some(movie) = row.truth["movie"].as_str() {
            text.push_str(&format!("  the movie is `{movie}`\n"));
        }
        if let Some(accounts) = row.truth["accounts"].as_array() {
            text.push_str(&format!("  {} accounts, which --json lists\n", accounts.len()));
        }
        for (team, told) in &row.teams {
            let told = match told {
                Ok(told) => in_words(told),
                Err(why) => why.clone(),
            };
            text.push_str(&format!("  {team}: {told}\n"));
        }
    }
    text
}

/// Says in a line how a team responded.
fn in_words(told: &TeamResponse) -> String {
    let Response {
        during, after, lost, ..
    } = told.response;
    if during.0 + after.0 == 0 {
        return "nothing was asked of it".to_owned();
    }
    let recovered = match told.response.recovered_s {
        Some(0.0) => "never unwell".to_owned(),
        Some(seconds) => format!("well again after {seconds:.0} s"),
        None => "not well again".to_owned(),
    };
    let mut text = format!(
        "{} of {} during, {} of {} after, {lost} lost, {recovered}",
        during.1, during.0, after.1, after.0
    );
    if let Some(Takedown {
        before,
        after,
        last_s,
    }) = told.movie
    {
        text.push_str(&format!(
            "; the movie in {} of {} lists before, in {} of {} from the beginning or the end of the grace on",
            before.1, before.0, after.1, after.0
        ));
        if let Some(last_s) = last_s {
            text.push_str(&format!(", last after {last_s:.0} s"));
        }
    }
    if let Some(seconds) = told.new_model_s {
        text.push_str(&format!("; a new model after {seconds:.0} s"));
    }
    text
}

fn as_json(rows: &[Row<'_>]) -> String {
    let incidents: Vec<Value> = rows
        .iter()
        .map(|row| {
            let teams: Vec<Value> = row.teams.iter().map(|(team, told)| one(team, told)).collect();
            let spell = &row.played.spell;
            json!({
                "name": row.played.name, "what": spell.what, "truth": row.truth,
                "from": shown(spell.from), "until": shown(spell.until), "is_over": row.state == State::Over,
                "company_down_s": row.ours_s, "teams": teams,
            })
        })
        .collect();
    format!(
        "{:#}\n",
        json!({ "schema": "reelworld/incidents-played/v1", "incidents": incidents })
    )
}

fn one(team: &str, told: &Result<TeamResponse, String>) -> Value {
    let told = match told {
        Ok(told) => told,
        Err(why) => return json!({ "team": team, "why_not": why }),
    };
    let part = |(asked, well): (u64, u64)| json!({ "asked": asked, "well": well });
    let lists = |(all, had): (u64, u64)| json!({ "lists": all, "with_the_movie": had });
    let response = &told.response;
    json!({
        "team": team,
        "during": part(response.during), "after": part(response.after), "lost": response.lost,
        "recovered_s": response.recovered_s, "new_model_s": told.new_model_s,
        "movie": told.movie.map(|movie| json!({
            "before": lists(movie.before), "after": lists(movie.after), "last_s": movie.last_s,
        })),
    })
}
