//! The company beside a service that is graded: its stream, and its API on the machine's loopback or inside its sandbox, and what incidents make of that.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::feed::Feed;
use super::incidents::Surroundings;
use super::measure::Ground;
use crate::clock::Clock;
use crate::company::{Change, Company, Limit, Withdrawn};
use crate::door::{Ask, Door, MOST_WAIT, Reply, Room};
use crate::incident::{Form, Incidents, Kind, Outage, Part};
use crate::sandbox::{Outlet, Workplace, reopen, shut};
use crate::seed::Key;

/// The variable that tells a service where the API is.
pub(super) const API: &str = "REELWORLD_API";
/// A run presses a day into a minute, and so is what a client may ask in it.
const LIMIT: Limit = Limit {
    per_minute: 600_000,
    burst: 10_000,
};
/// The most bytes of a file of records: a class's data is a hundredth of it.
const MOST_BYTES: u64 = 256 << 20;

/// The port of the API inside a sandbox: none that services listen on.
const PORT_INSIDE: u16 = 18_080;

/// The company's API and stream, for as long as this lives.
pub(super) struct Beside {
    desk: Arc<Desk>,
    doors: Arc<Mutex<Doors>>,
    feed: Option<Feed>,
    world_is_known: bool,
    clock: Clock,
}

/// Where the API is asked.
struct Doors {
    gone: bool,
    all: Vec<(Spot, Option<Door>)>,
    /// Why one inside a sandbox could not be opened.
    fault: Option<String>,
}

/// A place for a door.
enum Spot {
    /// An address of this machine.
    Here(SocketAddr),
    /// A listener of a sandbox's inside.
    Inside(TcpListener),
}

impl Spot {
    fn open(&self, room: Arc<dyn Room>, clock: Clock) -> io::Result<Door> {
        match self {
            Self::Here(address) => Door::open(*address, room, clock),
            Self::Inside(listener) => {
                // One that was shut takes connections again; for one that never was it changes nothing.
                reopen(listener)?;
                Door::on(listener.try_clone()?, room, clock)
            }
        }
    }
}

impl Doors {
    fn close(&mut self) -> io::Result<()> {
        self.gone = true;
        for (spot, door) in &mut self.all {
            // Those who wait for an answer need not be waited for before others are refused.
            if let Spot::Inside(listener) = spot {
                shut(listener)?;
            }
            drop(door.take());
        }
        Ok(())
    }

    fn open(&mut self, room: &Arc<Desk>, clock: Clock) -> io::Result<()> {
        self.gone = false;
        for (spot, door) in self.all.iter_mut().filter(|(_, door)| door.is_none()) {
            *door = Some(spot.open(Arc::clone(room) as Arc<dyn Room>, clock)?);
        }
        Ok(())
    }
}

impl Beside {
    /// Opens the API: of the whole company where the truth is known, of what was released otherwise.
    /// The stream is there if an incident is about it.
    pub(super) fn open(
        ground: &Ground,
        data: Option<&Path>,
        incidents: &Incidents,
        seed: u64,
        clock: Clock,
    ) -> io::Result<Self> {
        let records: Box<dyn Room> = match (ground, data) {
            (Ground::Truth { world, .. }, _) => {
                let branch = Key::from_seed(seed).branch("company");
                Box::new(Company::new(Arc::clone(world), LIMIT, &branch))
            }
            (Ground::Released(_), Some(data)) => Box::new(Released::read(data)?),
            (Ground::Released(_) | Ground::Nothing, _) => {
                return Err(io::Error::other("there is no released data"));
            }
        };
        let desk = Arc::new(Desk {
            records,
            state: Mutex::default(),
        });
        let doors = Doors {
            gone: false,
            all: Vec::new(),
            fault: None,
        };
        let feed = match data {
            Some(data) if incidents.need(Part::Stream) => Some(Feed::open(ground, data, seed, clock)?),
            _ => None,
        };
        Ok(Self {
            desk,
            doors: Arc::new(Mutex::new(doors)),
            feed,
            world_is_known: matches!(ground, Ground::Truth { .. }),
            clock,
        })
    }

    /// Returns the same workplace with the API within reach, and with a folder whose files may come while the service runs.
    pub(super) fn put_beside(&self, place: &Workplace, newer_data: Option<&Path>) -> io::Result<Workplace> {
        let mut place = place.clone();
        let mut outlets = vec![self.outlet()];
        if let Some(feed) = &self.feed {
            let (outlet, env) = feed.reach(place.sandbox.is_some())?;
            outlets.extend(outlet);
            place.env.extend(env);
        }
        let address = if let Some(sandbox) = &place.sandbox {
            place.sandbox = Some(sandbox.with_company(outlets, newer_data));
            SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_INSIDE))
        } else {
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let door = Door::open(any, Arc::clone(&self.desk) as Arc<dyn Room>, self.clock)?;
            let address = door.address();
            lock(&self.doors).all.push((Spot::Here(address), Some(door)));
            address
        };
        place.env.insert(API.to_owned(), format!("http://{address}"));
        Ok(place)
    }

    /// Returns the port of a sandbox that the API answers on.
    fn outlet(&self) -> Outlet {
        let (doors, desk, clock) = (Arc::clone(&self.doors), Arc::clone(&self.desk), self.clock);
        Outlet {
            port: PORT_INSIDE,
            serve: Arc::new(move |listener| {
                let mut doors = lock(&doors);
                let gone = doors.gone;
                doors.all.push((Spot::Inside(listener), None));
                let done = if gone {
                    doors.close()
                } else {
                    doors.open(&desk, clock)
                };
                doors.fault = doors.fault.take().or(done.err().map(|error| error.to_string()));
            }),
        }
    }
}

fn lock(doors: &Mutex<Doors>) -> MutexGuard<'_, Doors> {
    doors.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Surroundings for Beside {
    fn begin(&self, kind: &Kind) -> Result<(), String> {
        let feed = || {
            let none = "no stream runs beside this service";
            self.feed.as_ref().ok_or_else(|| none.to_owned())
        };
        match kind {
            Kind::DependencyLoss(Part::Stream) => return feed()?.close(),
            Kind::MalformedStream(fault) => return feed()?.spoil(*fault, self.world_is_known),
            _ => {}
        }
        let mut doors = lock(&self.doors);
        if let Some(fault) = &doors.fault {
            return Err(format!("the API could not be opened: {fault}"));
        }
        match kind {
            Kind::DependencyLoss(Part::Api) => {
                doors
                    .close()
                    .map_err(|error| format!("the API could not be closed: {error}"))?;
            }
            _ => self.desk.state().fault = Some(*kind),
        }
        Ok(())
    }

    fn end(&self) -> Result<(), String> {
        self.desk.state().fault = None;
        self.feed.as_ref().map_or(Ok(()), Feed::mend)?;
        lock(&self.doors)
            .open(&self.desk, self.clock)
            .map_err(|error| format!("the API could not be opened again: {error}"))
    }

    fn was_read(&self, part: Part) -> bool {
        match part {
            Part::Api => self.desk.state().asked,
            Part::Stream => self.feed.as_ref().is_some_and(Feed::was_read),
        }
    }

    fn withdraw(&self, movie: &str) {
        self.desk.state().withdrawn.push(Withdrawn {
            movie: movie.to_owned(),
            since: self.clock.stamp(),
        });
    }
}

/// What is wrong at the moment, and what is withdrawn.
#[derive(Debug, Default)]
struct State {
    /// Whether anybody has asked for anything.
    asked: bool,
    fault: Option<Kind>,
    withdrawn: Vec<Withdrawn>,
}

/// The records, seen through what is wrong.
struct Desk {
    records: Box<dyn Room>,
    state: Mutex<State>,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room for Desk {
    fn answer(&self, ask: &Ask, now_ns: u64) -> Reply {
        let mut state = self.state();
        state.asked = true;
        let mut late = Duration::ZERO;
        let form = match state.fault {
            Some(Kind::ApiOutage(Outage::Error)) => return message(503, "service unavailable"),
            Some(Kind::ApiOutage(Outage::Silent)) => {
                let mut reply = message(504, "no answer from the records");
                reply.wait = MOST_WAIT;
                return reply;
            }
            Some(Kind::ApiOutage(Outage::Slow { late_s })) => {
                late = Duration::from_secs_f64(late_s);
                None
            }
            Some(Kind::ApiSchemaChange(form)) => Some(form),
            _ => None,
        };
        let withdrawn = state.withdrawn.clone();
        drop(state);
        let mut reply = self.seen(ask, now_ns, form, &withdrawn);
        reply.wait = reply.wait.saturating_add(late).min(MOST_WAIT);
        reply
    }
}

impl Desk {
    /// Returns the answer in a form, with what is withdrawn marked.
    fn seen(&self, ask: &Ask, now_ns: u64, form: Option<Form>, withdrawn: &[Withdrawn]) -> Reply {
        if ask.path == "/takedowns" {
            return written(200, &Withdrawn::list(withdrawn));
        }
        let reply = self.records.answer(ask, now_ns);
        if reply.status != 200 || form.is_none() && withdrawn.is_empty() {
            return reply;
        }
        let Ok(mut value) = serde_json::from_slice::<Value>(&reply.body) else {
            return reply;
        };
        each(&mut value, &|record| {
            Withdrawn::mark(withdrawn, record);
            if let Some(form) = form {
                Change::from(form).apply(record);
            }
        });
        written(200, &value)
    }
}

/// Does something to a record, or to each of several.
fn each(value: &mut Value, change: &dyn Fn(&mut Value)) {
    match value {
        Value::Object(_) => change(value),
        Value::Array(all) => all.iter_mut().for_each(|value| each(value, change)),
        _ => {}
    }
}

fn message(status: u16, text: &str) -> Reply {
    written(status, &json!({ "message": text }))
}

fn written(status: u16, value: &Value) -> Reply {
    Reply::new(status, "application/json", value.to_string())
}

/// The records that were released: whoever is not among them is not known.
struct Released {
    users: HashMap<String, String>,
    movies: HashMap<String, String>,
}

impl Released {
    fn read(data: &Path) -> io::Result<Self> {
        Ok(Self {
            users: records(&data.join("users.jsonl"), "user_id")?,
            movies: records(&data.join("movies.jsonl"), "id")?,
        })
    }
}

fn records(path: &Path, key: &str) -> io::Result<HashMap<String, String>> {
    if fs::metadata(path)?.len() > MOST_BYTES {
        let most = MOST_BYTES >> 20;
        return Err(io::Error::other(format!(
            "`{}` is larger than {most} MiB",
            path.display()
        )));
    }
    let mut found = HashMap::new();
    for line in fs::read_to_string(path)?.lines() {
        let record: Value = serde_json::from_str(line)?;
        let id = match &record[key] {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        };
        found.insert(id, line.to_owned());
    }
    Ok(found)
}

impl Room for Released {
    fn answer(&self, ask: &Ask, _: u64) -> Reply {
        let (all, id, unknown) = if let Some(id) = ask.path.strip_prefix("/user/") {
            (&self.users, id, "user not found")
        } else if let Some(id) = ask.path.strip_prefix("/movie/") {
            (&self.movies, id, "movie not found")
        } else if ask.path == "/health" {
            return written(200, &json!({ "status": "ok" }));
        } else {
            return message(404, "not found");
        };
        let one = |id: &str| {
            all.get(id)
                .and_then(|text| serde_json::from_str::<Value>(text).ok())
        };
        if !id.contains(',') {
            return one(id).map_or_else(|| message(404, unknown), |record| written(200, &record));
        }
        let several: Vec<Value> = id.split(',').filter_map(|id| one(id.trim())).collect();
        if several.is_empty() {
            return message(404, unknown);
        }
        written(200, &Value::from(several))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::incident::Form;

    struct One;

    impl Room for One {
        fn answer(&self, ask: &Ask, _: u64) -> Reply {
            match ask.path.as_str() {
                "/user/7" => written(200, &json!({ "user_id": 7, "age": 30, "gender": "F" })),
                "/movie/a+2001" => written(
                    200,
                    &json!({ "id": "a+2001", "status": "Released", "homepage": null }),
                ),
                _ => message(404, "user not found"),
            }
        }
    }

    fn desk() -> Desk {
        Desk {
            records: Box::new(One),
            state: Mutex::default(),
        }
    }

    fn asked(desk: &Desk, path: &str) -> (u16, Value) {
        let ask = Ask {
            method: "GET".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            client: IpAddr::from([127, 0, 0, 1]),
        };
        let reply = desk.answer(&ask, 0);
        (reply.status, serde_json::from_slice(&reply.body).unwrap())
    }

    #[test]
    fn incidents_change_what_the_api_says_and_end() {
        let desk = desk();
        let user = json!({ "user_id": 7, "age": 30, "gender": "F" });
        for (kind, wanted) in [
            (
                Kind::ApiSchemaChange(Form::Renamed),
                (200, json!({ "userId": 7, "ageValue": 30, "genderValue": "F" })),
            ),
            (
                Kind::ApiSchemaChange(Form::Nested),
                (200, json!({ "data": user })),
            ),
            (
                Kind::ApiSchemaChange(Form::Texts),
                (200, json!({ "user_id": "7", "age": "30", "gender": "F" })),
            ),
            (
                Kind::ApiOutage(Outage::Error),
                (503, json!({ "message": "service unavailable" })),
            ),
        ] {
            desk.state().fault = Some(kind);
            assert_eq!(asked(&desk, "/user/7"), wanted);
        }
        desk.state().fault = None;
        assert_eq!(asked(&desk, "/user/7"), (200, user));
        assert_eq!(asked(&desk, "/user/8").0, 404);
    }

    #[test]
    fn a_withdrawn_movie_says_so_wherever_it_is_asked_for() {
        let desk = desk();
        assert_eq!(asked(&desk, "/takedowns"), (200, json!({ "takedowns": [] })));
        desk.state().withdrawn.push(Withdrawn {
            movie: "a+2001".to_owned(),
            since: "2026-03-01T00:00:00Z".to_owned(),
        });
        let listed = json!({ "takedowns": [{ "movie": "a+2001", "since": "2026-03-01T00:00:00Z" }] });
        assert_eq!(asked(&desk, "/takedowns"), (200, listed));
        assert_eq!(asked(&desk, "/movie/a+2001").1["status"], "Withdrawn");
    }

    #[test]
    fn released_records_are_answered_one_or_several_at_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("users.jsonl"),
            "{\"user_id\": 3, \"age\": 9}\n{\"user_id\": 4}\n",
        )
        .unwrap();
        fs::write(dir.path().join("movies.jsonl"), "{\"id\": \"a+2001\"}\n").unwrap();
        let desk = Desk {
            records: Box::new(Released::read(dir.path()).unwrap()),
            state: Mutex::default(),
        };
        assert_eq!(asked(&desk, "/user/3"), (200, json!({ "user_id": 3, "age": 9 })));
        assert_eq!(asked(&desk, "/user/3,4").1.as_array().unwrap().len(), 2);
        assert_eq!(asked(&desk, "/movie/a+2001").0, 200);
        assert_eq!(
            asked(&desk, "/movie/b"),
            (404, json!({ "message": "movie not found" }))
        );
    }
}
