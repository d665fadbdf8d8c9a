//! The company, open all semester: every team's viewers and stream, the API, the pages, and a record that grades are made from.
//!
//! One thread plays all teams ([`Server::run`]); others send requests, write the store and answer at the doors. A team is
//! never waited for, and nothing that is foreign is believed.

mod answer;
mod board;
mod history;
mod keeper;
mod page;
mod planned;
mod quirk;
mod reading;
mod relay;
mod responses;
mod shelf;
mod team;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::company::{Company, Limit, Withdrawn};
use crate::course::{Calendar, Course, Team};
use crate::door::{Door, Room};
use crate::event::{SimTime, push_time};
use crate::exchange::Catalogue;
use crate::seed::Draws;
use crate::sim::{self, MnlViewer, Scene, day_of_term};
use crate::store::{Movies, Played, Save, Spell, Store, StoreError};
use crate::stream::{
    Archive, ArchivePublisher, Broker, BrokerOptions, Publisher, StreamError, TopicName, WriteOptions,
};
use crate::traffic::{Asker, Question, What, odd_id};
use crate::trouble::Onslaught;
use crate::world::{MovieIndex, Profile, World};
pub use planned::{Deed, Planned, calendar};
pub use reading::Reading;
pub use relay::Carried;
pub use responses::{TeamResponse, Watched};

use board::{Board, TeamView};
use keeper::{Keeper, Order};
use page::Pages;
use quirk::Pen;
use relay::Relay;
use shelf::{Books, Shelf};
use team::{Answer, Halt, Resumed, Setup, Stage, TeamLife};
use time::{Hours, Pace};

/// How long a viewer waits for recommendations, in seconds, beyond the deadline of the contract.
const PATIENCE_S: f64 = 1.2;
/// How often the teams are played.
const TICK: Duration = Duration::from_millis(50);
/// How often what is new is saved.
const SAVE_NS: u64 = 5_000_000_000;
/// How often the figures of the pages are renewed.
const SHOW_NS: u64 = 500_000_000;
/// How often a publisher that cannot go on is opened again.
const REOPEN_NS: u64 = 2_000_000_000;
/// How often old requests are forgotten.
const FORGET_NS: u64 = 3_600_000_000_000;
/// What is not asked within this time of being due is not asked any more: it is ours.
const FRESH_S: f64 = 2.0;
/// A stop that is longer than this, in seconds, is passed over in silence instead of being made up for.
const MOST_BEHIND_S: f64 = 3_600.0;
/// What is passed over is saved each time so many seconds of it are played.
const PASS_S: f64 = 900.0;
/// A stop that is longer than this, in seconds, is noted as one of the company's own.
const OUTAGE_S: f64 = 10.0;
/// The wall clock has been set when it is away from where it would be by this many seconds.
const STEP_S: f64 = 2.0;

/// Where and how the company is open.
#[derive(Debug, Clone)]
pub struct ServeSpec {
    /// The folder of streams and, if not elsewhere, of the store.
    pub state: PathBuf,
    /// The store: a file of SQLite's, or `postgres://…`.
    pub store: String,
    /// Where the pages are.
    pub pages: SocketAddr,
    /// Where the company's API is.
    pub api: SocketAddr,
    /// The log's time at which it begins; that of the calendar now if not said.
    pub at: Option<SimTime>,
    /// Company seconds a second.
    pub speed: f64,
    /// Stops by itself after this time.
    pub stop_after: Option<Duration>,
    /// Where the streams are carried on to.
    pub carried: Vec<Carried>,
    /// The embedded broker that serves the streams on this machine, if one is wanted.
    pub broker: Option<BrokerOptions>,
}

/// Why the company cannot open.
#[derive(Debug)]
pub enum ServeError {
    /// The store.
    Store(StoreError),
    /// The stream of a team.
    Stream(StreamError),
    /// A door or a thread.
    System(String, io::Error),
    /// The course has no team with an address.
    NoTeam,
    /// Teams that had another number: their name, that number, and what theirs would be now.
    Moved(Vec<(String, u32, u32)>),
    /// Oddities of lines that the streams have told already are not what they were, in sentences.
    Rewritten(Vec<String>),
    /// What the store has noted cannot be read.
    Note(String),
    /// The store knows lines of a team's stream, and there is no stream.
    NoStream {
        /// The team.
        team: String,
        /// The number of lines that the store knows.
        stored: u64,
        /// Where the streams are looked for.
        place: PathBuf,
    },
    /// The viewers that were saved are those of another world: going on would spoil the streams.
    OtherWorld {
        /// The team whose viewers they are.
        team: String,
        /// The fingerprint of the key of theirs.
        before: String,
        /// The fingerprint of the key of this course.
        now: String,
    },
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "the store: {error}"),
            Self::Stream(error) => write!(f, "{error}"),
            Self::System(what, error) => write!(f, "{what}: {error}"),
            Self::NoTeam => f.write_str("the course has no `[[team]]` with an `address`"),
            Self::Moved(teams) => {
                let told: Vec<String> = teams
                    .iter()
                    .map(|(team, before, now)| format!("{team} had the number {before} and would have {now}"))
                    .collect();
                write!(
                    f,
                    "teams would get each other's streams, pages and grades: {}",
                    told.join("; ")
                )
            }
            Self::Rewritten(what) => write!(
                f,
                "the calendar tells another past than the streams: {}",
                what.join("; ")
            ),
            Self::Note(why) => write!(f, "the store: what it has noted cannot be read: {why}"),
            Self::NoStream { team, stored, place } => write!(
                f,
                "the store knows {stored} lines of {team}'s stream, and `{}` has none",
                place.display()
            ),
            Self::OtherWorld { team, before, now } => write!(
                f,
                "the saved viewers of {team} are those of another world: its key is {before}, this course's is {now}"
            ),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<StoreError> for ServeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<StreamError> for ServeError {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// A line of the server's own log: what happened, and its particulars.
pub type Log<'l> = &'l dyn Fn(&str, Value);

/// The catalogue of a world, for whoever needs no more of it.
#[derive(Debug, Clone)]
pub struct Titles(pub Arc<World>);

impl Catalogue for Titles {
    fn holds(&self, id: &str) -> bool {
        self.0.movie_index(id).is_some()
    }
}

impl Movies for Titles {
    fn place(&self, id: &str) -> Option<u32> {
        self.0.movie_index(id).map(|index| index.0)
    }

    fn id(&self, place: u32) -> Option<&str> {
        let is_there = place < self.0.spec().movies;
        is_there.then(|| self.0.movie(MovieIndex(place)).id.as_str())
    }
}

/// Returns the milliseconds within which a service is to answer in a profile.
pub fn deadline_ms(profile: Profile) -> u64 {
    profile.deadline_ms()
}

/// The open company.
pub struct Server {
    course: Course,
    world: Arc<World>,
    spec: ServeSpec,
    planned: Vec<Planned>,
    clock: Clock,
    asker: Asker,
    company: Arc<Company>,
    board: Arc<Mutex<Board>>,
    keeper: Keeper,
    /// None until the company is played.
    shelf: Option<Shelf>,
    /// How many people of the store could not be read.
    unreadable: Arc<AtomicU64>,
    archive: Archive,
    /// None while an incident has the streams gone, and where none is wanted.
    broker: Option<Broker>,
    /// Where the broker is, if one is wanted.
    stream: Option<SocketAddr>,
    relay: Option<Relay>,
    teams: Vec<Team>,
    pages_door: Door,
    /// None while an incident has the API gone.
    api_door: Option<Door>,
    api: SocketAddr,
    /// The movies that incidents withdraw, by the incident's place, and what the API says of it now.
    withdrawals: BTreeMap<usize, String>,
    announced: Vec<Withdrawn>,
    /// The notes of the store that say which team has heard of which withdrawal.
    heard: BTreeSet<String>,
    /// The attacks on ratings, in the order of the calendar.
    onslaughts: Vec<Onslaught>,
    /// What decides which odd requests come when.
    oddities: Draws,
    checkpoints: Vec<Option<crate::store::Checkpoint>>,
    counted: Vec<u64>,
    /// What the keeper had no room for; nothing new is taken before it is on its way.
    held: Option<Order>,
    outages: u64,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({}, {})", self.pages(), self.api())
    }
}

impl Server {
    /// Opens the company: the store, the doors, the threads. Nothing is played yet.
    ///
    /// # Errors
    /// When the store or a door cannot be had, or there is no team to play for.
    pub fn open(
        course: Course,
        world: World,
        mut planned: Vec<Planned>,
        spec: ServeSpec,
        clock: Clock,
    ) -> Result<Self, ServeError> {
        let teams: Vec<Team> = course
            .teams
            .iter()
            .filter(|team| team.address.is_some())
            .cloned()
            .collect();
        if teams.is_empty() {
            return Err(ServeError::NoTeam);
        }
        let world = Arc::new(planned::with_drifts(world, &planned));
        let onslaughts = planned::onslaughts(&mut planned, &course, &world);
        let system = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| ServeError::System(what, error)
        };
        std::fs::create_dir_all(&spec.state)
            .map_err(system(&format!("cannot make `{}`", spec.state.display())))?;
        let mut store = Store::open(&spec.store)?;
        let names: Vec<(u32, String)> = course
            .teams
            .iter()
            .map(|team| (team.number, team.name.clone()))
            .collect();
        let moved = moved(&store.teams()?, &names);
        if !moved.is_empty() {
            return Err(ServeError::Moved(moved));
        }
        store.set_teams(&names)?;
        let mut checkpoints = Vec::new();
        let mut counted = Vec::new();
        for team in &teams {
            checkpoints.push(store.checkpoint(team.number)?);
            counted.push(store.counted(team.number)?);
        }
        let oddities = history::oddities(&course.calendar.quirks, &planned);
        if let Some(noted) = store.note(history::NOTE)? {
            let last = checkpoints.iter().flatten().map(|checkpoint| checkpoint.second);
            let asked = store.last_minute()?.map(|minute| minute * 60);
            let reached = last
                .chain(asked)
                .max()
                .map_or(SimTime(i64::MIN), SimTime::from_seconds);
            let before: Vec<history::Oddity> =
                serde_json::from_str(&noted).map_err(|error| ServeError::Note(error.to_string()))?;
            let rewritten = history::rewritten(&before, &oddities, reached);
            if !rewritten.is_empty() {
                return Err(ServeError::Rewritten(rewritten));
            }
        }
        store.set_note(
            history::NOTE,
            &serde_json::to_string(&oddities).unwrap_or_default(),
        )?;
        let outages = store.outages()?.len() as u64;
        let withdrawals = withdrawals(&planned, &store.incidents()?, &world);
        let mut heard = BTreeSet::new();
        for (place, movie) in &withdrawals {
            for team in &teams {
                let note = team
                    .takedown_of(movie)
                    .map(|path| heard_of(&planned[*place], team, &path));
                if let Some(note) = note
                    && store.note(&note)?.is_some()
                {
                    heard.insert(note);
                }
            }
        }
        let live = course.calendar.live;
        let limit = Limit {
            per_minute: live.api_per_minute,
            burst: live.api_burst,
        };
        let company = Arc::new(Company::new(
            Arc::clone(&world),
            limit,
            &course.key.branch("live"),
        ));
        let board = Arc::new(Mutex::new(Board::default()));
        let deadline = deadline_ms(world.spec().profile);
        let hosts: Vec<String> = teams.iter().filter_map(|team| team.address.clone()).collect();
        let catalogue = Arc::new(Titles(Arc::clone(&world)));
        let asker = Asker::start(&hosts, Duration::from_millis(deadline), catalogue, clock)
            .map_err(system("no thread to be had"))?;
        let room = Arc::new(Pages::new(Arc::clone(&board), Arc::clone(&company)));
        let pages_door = Door::open(spec.pages, room, clock)
            .map_err(system(&format!("cannot open the pages at {}", spec.pages)))?;
        let room: Arc<dyn Room> = Arc::clone(&company) as Arc<dyn Room>;
        let api_door = Door::open(spec.api, room, clock)
            .map_err(system(&format!("cannot open the API at {}", spec.api)))?;
        let movies = Arc::new(Titles(Arc::clone(&world)));
        let keeper = Keeper::start(spec.store.clone(), store, movies, deadline, clock)
            .map_err(system("no thread to be had"))?;
        // They are in no stream: nobody has to make them again.
        let oddities = course
            .key
            .branch("live")
            .branch("odd requests")
            .at(clock.now_utc().timestamp_millis() as u64);
        let archive = Archive::new(spec.state.join("streams"));
        let broker = spec
            .broker
            .as_ref()
            .map(|options| Broker::start(archive.clone(), options, clock))
            .transpose()?;
        Ok(Self {
            archive,
            stream: broker.as_ref().map(Broker::address),
            broker,
            relay: None,
            course,
            world,
            spec,
            planned,
            clock,
            asker,
            company,
            board,
            keeper,
            shelf: None,
            unreadable: Arc::new(AtomicU64::new(0)),
            teams,
            pages_door,
            api: api_door.address(),
            api_door: Some(api_door),
            withdrawals,
            announced: Vec::new(),
            heard,
            onslaughts,
            oddities,
            checkpoints,
            counted,
            held: None,
            outages,
        })
    }

    /// Returns where the pages are.
    pub fn pages(&self) -> SocketAddr {
        self.pages_door.address()
    }

    /// Returns where the API is.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Returns where the embedded broker listens, if there is one.
    pub fn broker(&self) -> Option<SocketAddr> {
        self.stream
    }

    fn calendar(&self) -> &Calendar {
        &self.course.calendar
    }

    fn publisher(&self, team: &Team) -> Result<ArchivePublisher, StreamError> {
        let topic = TopicName::new(&team.topic())?;
        self.archive
            .publisher(&topic, WriteOptions::default(), self.clock)
    }

    /// Opens a team's stream to be written, not before what the store has counted of it, and says what of it is lost.
    fn open_stream(&self, team: &Team, stored: u64, log: Log<'_>) -> Result<Box<dyn Publisher>, ServeError> {
        let mut publisher = self.publisher(team)?;
        for lost in publisher.lost() {
            log(
                "lines lost",
                json!({"team": team.name, "from": lost.start, "until": lost.end, "why": "bytes of the newest segment are damaged"}),
            );
        }
        let next = publisher.next_seq();
        if next == 0 && stored > 0 {
            return Err(ServeError::NoStream {
                team: team.name.clone(),
                stored,
                place: self.archive.dir().to_owned(),
            });
        }
        if next < stored {
            log(
                "lines lost",
                json!({"team": team.name, "from": next, "until": stored, "why": "the store knows them, and the stream ends before them: a disk has lost them, or an older copy was restored. Their numbers are not used again"}),
            );
            publisher.skip_to(stored)?;
        }
        Ok(Box::new(publisher))
    }

    /// Plays the company until it is told to stop.
    ///
    /// # Errors
    /// When a team's stream cannot be opened at the beginning; whatever fails afterwards is shown, and tried again.
    pub fn run(mut self, stop: &AtomicBool, log: Log<'_>) -> Result<(), ServeError> {
        let world = Arc::clone(&self.world);
        let model = MnlViewer::new(&world);
        let branch = self.course.key.branch("live");
        let quirks = self.calendar().quirks.clone();
        let spoil = planned::spoil(&self.planned, &branch, &world);
        let pen = Pen::new(&quirks, &spoil, &branch, &world);
        let onslaughts = std::mem::take(&mut self.onslaughts);
        let deadline_ms = deadline_ms(world.spec().profile);
        let speed = self.spec.speed;
        let setup = Setup {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            world: world.fingerprint().to_owned(),
            factor: sim::factor(&world, self.calendar().live.requests_per_s / speed),
            patience_s: ((deadline_ms as f64 / 1e3 + PATIENCE_S) * speed).ceil() as i64,
        };
        let start = self.calendar().start;
        let stage = |setup: &Setup| Stage {
            scene: Scene {
                world: &world,
                model: &model,
                branch: &branch,
                start,
                patience_s: setup.patience_s,
            },
            pen: &pen,
            onslaughts: &onslaughts,
            factor: setup.factor,
            deadline_ms,
            world: &world,
            speed,
        };
        let mut hours = Hours::default();
        let mut attacks = onslaughts.iter();
        for planned in &self.planned {
            let (from, until) = (planned.from, planned.until);
            match planned.deed {
                Deed::Spike(factor) => hours.spikes.push((from, until, factor)),
                Deed::Attack(_) => {
                    let accounts = attacks.next().map(|attack| attack.accounts.as_slice());
                    let taken = accounts.unwrap_or_default().iter().map(|account| account.0);
                    hours.taken.push((from, until, taken.collect()));
                }
                _ => {}
            }
        }
        let wanted = self
            .spec
            .at
            .unwrap_or_else(|| self.calendar().of_utc(self.clock.now_utc()));
        let (term_begins, term_ends) = (self.calendar().start, self.calendar().end);
        if wanted < term_begins || wanted >= term_ends {
            log(
                "outside the term",
                json!({"time": shown(wanted), "begins": shown(term_begins), "ends": shown(term_ends),
                    "why": "`start` and `end` of [calendar] say so: teams are asked all the same"}),
            );
        }
        let is_rehearsal = self.spec.speed != 1.0 || self.spec.at.is_some();
        let left: Vec<Option<i64>> = self
            .checkpoints
            .iter()
            .map(|checkpoint| Some(checkpoint.as_ref()?.second))
            .collect();
        let was_open = left.iter().any(Option::is_some);
        self.close_early(wanted, is_rehearsal);
        let mut books = Books::new(self.spec.store.clone(), Arc::clone(&self.unreadable));
        let mut lives = Vec::new();
        for place in 0..self.teams.len() {
            let life = self.life(
                place,
                wanted,
                (&setup, &stage),
                (&mut hours, &mut books),
                stop,
                log,
            )?;
            match life {
                Some(life) => lives.push(life),
                // The next start makes what is not saved again from the streams.
                None => return Ok(()),
            }
        }
        // A team that is new, or begins anew, was not there when the others stopped.
        let reached = reached(&lives, &left).map_or(wanted, SimTime::from_seconds);
        for life in lives.iter_mut().filter(|life| life.is_anew()) {
            life.begin_at(wanted.max(reached).seconds());
        }
        // A rehearsal goes on where it stopped.
        let origin = if is_rehearsal && was_open { reached } else { wanted };
        let pace = Pace {
            origin,
            speed,
            reached,
        };
        let ahead_s = pace.ahead_s(0);
        if ahead_s > STEP_S {
            log(
                "clock is behind",
                json!({"time": shown(wanted), "reached": shown(reached), "waits_s": ahead_s / speed,
                    "why": "this machine's clock was ahead before, or the calendar was changed: company time never goes back"}),
            );
        }
        if was_open {
            while !self.note_outage((reached, origin), "the server was down", log) {
                self.clock.sleep(TICK);
            }
        }
        let usual = stage(&setup);
        let oldest = origin.seconds() - (MOST_BEHIND_S * speed) as i64;
        let shared = (&usual, &setup, &mut hours, &mut books);
        self.pass_over(&mut lives, oldest, shared, stop, log)?;
        let shelf = Shelf::start(books, self.clock);
        self.shelf =
            Some(shelf.map_err(|error| ServeError::System("no thread to be had".to_owned(), error))?);
        let mut carried = Vec::new();
        for Carried { topic, to } in &self.spec.carried {
            let life = self
                .teams
                .iter()
                .zip(&lives)
                .find(|(team, _)| team.topic() == topic.as_str());
            if let Some((_, life)) = life {
                carried.push((
                    Carried {
                        topic: topic.clone(),
                        to: to.clone(),
                    },
                    life.kept(),
                ));
            }
        }
        // Now every topic is there.
        self.relay = Some(
            // Held until the first look at the calendar.
            Relay::start(&self.archive, &carried, true, self.clock)
                .map_err(|error| ServeError::System("no thread to be had".to_owned(), error))?,
        );
        log(
            "open",
            json!({"kafka": self.broker().map(|address| address.to_string()), "carried": self.spec.carried.len(), "pages": self.pages().to_string(), "api": self.api().to_string(), "teams": lives.len(),
                "time": shown(origin), "speed": speed, "users": world.spec().users}),
        );
        self.play(&mut lives, &usual, &setup, &mut hours, pace, stop, log);
        log(
            "closed",
            json!({"time": shown(SimTime::from_seconds(lives.iter().map(TeamLife::next_second).max().unwrap_or(0)))}),
        );
        Ok(())
    }

    /// Keeps the streams back before the teams are played again, where the company stops and goes on in an incident that has them gone.
    fn close_early(&mut self, wanted: SimTime, is_rehearsal: bool) {
        let left = self
            .checkpoints
            .iter()
            .flatten()
            .map(|checkpoint| checkpoint.second)
            .max();
        let left = left.map(SimTime::from_seconds);
        let about = left
            .filter(|left| is_rehearsal || wanted < *left)
            .unwrap_or(wanted);
        let gone = |planned: &Planned| {
            planned.deed == Deed::NoStream && planned.from <= about && about < planned.until
        };
        if self.planned.iter().any(gone) {
            self.close_broker();
        }
    }

    /// Hands on what is to be saved before the company opens; false when it is to stop and the store has not taken it.
    fn save_past(&self, save: Save, stop: &AtomicBool) -> bool {
        let mut order = Order::Save(Box::new(save));
        while let Err(refused) = self.keeper.order(order) {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            order = refused;
            self.clock.sleep(TICK);
        }
        true
    }

    /// Opens one team's stream and brings its viewers to where it ends; none when the server is to stop before that.
    fn life<'s>(
        &mut self,
        place: usize,
        wanted: SimTime,
        (setup, stage): (&Setup, &dyn Fn(&Setup) -> Stage<'s>),
        (hours, books): (&mut Hours, &mut Books),
        stop: &AtomicBool,
        log: Log<'_>,
    ) -> Result<Option<TeamLife>, ServeError> {
        let team = self.teams[place].clone();
        let saved = self.checkpoints[place].as_ref().map_or(0, |saved| saved.seq);
        let stored = self.counted[place].max(saved);
        let publisher = self.open_stream(&team, stored, log)?;
        let server = team.address.clone().unwrap_or_default();
        let mut life = TeamLife::new(team.number, &team.name, &server, wanted.seconds(), publisher);
        life.view.token = team.token(&self.course.key);
        let topic = TopicName::new(&team.topic())?;
        let counted = self.counted[place];
        let Some(checkpoint) = self.checkpoints[place].take() else {
            let mut reader = self.archive.reader(&topic, self.clock)?;
            let mut save = |save| self.save_past(save, stop);
            let done = life.count_past(counted, (&mut reader, books), &stage(setup), &mut save);
            return counted_past(done, life);
        };
        let before: Setup = serde_json::from_str(&checkpoint.setup).unwrap_or_else(|_| setup.clone());
        if before.world != setup.world {
            return Err(ServeError::OtherWorld {
                team: team.name,
                before: before.world,
                now: setup.world.clone(),
            });
        }
        let mut reader = self.archive.reader(&topic, self.clock)?;
        let resumed = life.resume(
            &checkpoint,
            counted,
            (&mut reader, &mut *books),
            &stage(&before),
            hours,
        );
        match resumed {
            Ok(Resumed::Whole { compared }) => {
                log(
                    "resumed",
                    json!({"team": team.name, "compared": compared, "from": shown(SimTime::from_seconds(checkpoint.second))}),
                );
            }
            Ok(Resumed::Apart { seq }) => log(
                "resumed apart",
                json!({"team": team.name, "seq": seq, "why": "the stream has a line that these viewers would not have told: another version, world or course file"}),
            ),
            Ok(Resumed::Behind { events }) => log(
                "resumed apart",
                json!({"team": team.name, "seq": events.start, "why": "lines of the stream are lost, and with them what these viewers have heard"}),
            ),
            Err(Halt::Store(error)) => return Err(error.into()),
            Err(Halt::Stopped) => return Ok(None),
            Err(Halt::Stream(error)) => {
                log("begun anew", json!({"team": team.name, "why": error.to_string()}));
                let publisher = {
                    // The first one holds the stream's lock.
                    drop(life);
                    self.open_stream(&team, stored, log)?
                };
                life = TeamLife::new(team.number, &team.name, &server, wanted.seconds(), publisher);
                life.view.token = team.token(&self.course.key);
                let mut save = |save| self.save_past(save, stop);
                let done = life.count_past(counted, (&mut reader, books), &stage(setup), &mut save);
                return counted_past(done, life);
            }
        }
        Ok(Some(life))
    }

    /// Plays all teams to a second without telling what happens until then. It is saved on the way: who has changed and is in no
    /// checkpoint stays in memory.
    fn pass_over(
        &mut self,
        lives: &mut [TeamLife],
        until: i64,
        (stage, setup, hours, books): (&Stage<'_>, &Setup, &mut Hours, &mut Books),
        stop: &AtomicBool,
        log: Log<'_>,
    ) -> Result<(), ServeError> {
        let step = (PASS_S * stage.speed) as i64;
        loop {
            let slowest = lives.iter().map(TeamLife::next_second).min().unwrap_or(until);
            if slowest >= until || stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            log(
                "passed over",
                json!({"from": shown(SimTime::from_seconds(slowest)), "until": shown(SimTime::from_seconds(until))}),
            );
            for life in lives.iter_mut() {
                life.pass_to(until.min(slowest + step), books, stage, hours)?;
                life.settle(self.clock.now_utc().timestamp_millis());
            }
            self.save(lives, setup, true, true, log);
            while self.is_waiting_for_store(lives) && !stop.load(Ordering::Relaxed) {
                self.clock.sleep(TICK);
            }
        }
    }

    /// Lets the teams hear which checkpoints are written, and tells whether one is not.
    fn is_waiting_for_store(&self, lives: &mut [TeamLife]) -> bool {
        for life in lives.iter_mut() {
            if let Some(second) = self.keeper.told.checkpoint(life.number) {
                life.written(second);
            }
        }
        lives.iter().any(TeamLife::waits_for_store)
    }

    /// Notes a time in which the company asked nobody for reasons of its own, unless it is short; false if that must be tried again.
    fn note_outage(&mut self, (alive, origin): (SimTime, SimTime), what: &str, log: Log<'_>) -> bool {
        let down_s = (origin.0 - alive.0) as f64 / 1e6;
        if down_s < OUTAGE_S * self.spec.speed {
            return true;
        }
        let spell = Spell {
            from: alive,
            until: origin,
            what: what.to_owned(),
        };
        if self.keeper.order(Order::Outage(spell)).is_err() {
            return false;
        }
        self.outages += 1;
        log(
            "outage",
            json!({"from": shown(alive), "until": shown(origin), "seconds": down_s, "why": what}),
        );
        true
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one loop, each used by name"
    )]
    fn play(
        &mut self,
        lives: &mut [TeamLife],
        stage: &Stage<'_>,
        setup: &Setup,
        hours: &mut Hours,
        pace: Pace,
        stop: &AtomicBool,
        log: Log<'_>,
    ) {
        let begin_ns = self.clock.elapsed_ns();
        let begin = pace.at(0);
        let wall_begin = self.clock.now_utc();
        let live = self.calendar().live;
        let mut due = Due::default();
        let mut running: Vec<usize> = Vec::new();
        let mut faults: Vec<(u32, Option<String>)> = Vec::new();
        // The seconds whose requests came too late to be sent, as long as there are more.
        let mut held_up: Option<(i64, i64)> = None;
        let end_ns = self.spec.stop_after.map(|time| begin_ns + time.as_nanos() as u64);
        loop {
            let now_ns = self.clock.elapsed_ns();
            let now = pace.at(now_ns - begin_ns);
            self.follow(&mut running, now, log);
            let door_faults = [self.hold_door(&running), self.hold_stream(&running)];
            let asks_again = due.is(now_ns, Every::Withdraw);
            self.hold_withdrawn(&running, now, asks_again, log);
            self.ask_oddly(&running);
            for came in self.asker.came() {
                let Some(life) = lives.get_mut(came.question.team) else {
                    continue;
                };
                match came.question.what {
                    What::Recommend(user) => life.answer(Answer {
                        user,
                        outcome: came.outcome,
                        millis: came.millis,
                    }),
                    What::Odd(_) => {}
                    What::Tell(path) => {
                        let team = &life.view.name;
                        let heard = came.page.is_some();
                        log("team told", json!({"team": team, "path": path, "heard": heard}));
                        if heard {
                            self.note_heard(&running, came.question.team, &path, now);
                        }
                    }
                    What::Page(_) => {
                        if let Some(model) = came.page.as_deref().and_then(board::model_of) {
                            life.saw_model(now, model);
                        }
                    }
                }
            }
            self.is_waiting_for_store(lives);
            for (place, people) in self.shelf.iter().flat_map(Shelf::found) {
                lives[place].found(people);
            }
            let stamp_ms = self.clock.now_utc().timestamp_millis();
            let held_before = held_up;
            for (place, life) in lives.iter_mut().enumerate() {
                let asks = life.advance(now.seconds(), stage, hours, stamp_ms);
                if let (Some(users), Some(shelf)) = (life.wants(stage, hours), &self.shelf) {
                    shelf.want(place, life.number, users);
                }
                for (second, user) in asks {
                    let late_s = (now.seconds() - second) as f64 / pace.speed;
                    if late_s > FRESH_S {
                        life.view.ours += 1;
                        // What is made up for after a stop is noted as that.
                        if second >= begin.seconds() {
                            let (from, until) = held_up.unwrap_or((second, second + 1));
                            held_up = Some((from.min(second), until.max(second + 1)));
                        }
                        continue;
                    }
                    self.asker.ask(Question {
                        team: place,
                        what: What::Recommend(user.0),
                    });
                }
            }
            if let Some((from, until)) = held_up
                && held_up == held_before
            {
                let spell = (SimTime::from_seconds(from), SimTime::from_seconds(until));
                if self.note_outage(spell, "the company was held up", log) {
                    held_up = None;
                }
            }
            tell_faults(lives, &mut faults, log);
            let ends = stop.load(Ordering::Relaxed) || end_ns.is_some_and(|end| now_ns >= end);
            if due.is(now_ns, Every::Show) || ends {
                let wall_s = (self.clock.now_utc() - wall_begin).num_milliseconds() as f64 / 1e3;
                let step_s = wall_s - (now_ns - begin_ns) as f64 / 1e9;
                let ahead_s = pace.ahead_s(now_ns - begin_ns);
                self.show(lives, now, [step_s, ahead_s], &running, door_faults);
            }
            if due.is(now_ns, Every::Model(live.model_s)) {
                self.look_at_models();
            }
            if due.is(now_ns, Every::Reopen) {
                for (place, life) in lives.iter_mut().enumerate() {
                    if life.give_up()
                        && let Ok(publisher) = self.publisher(&self.teams[place])
                    {
                        life.reopen(Box::new(publisher));
                    }
                }
            }
            if due.is(now_ns, Every::Forget) {
                let oldest = now.plus_seconds(-i64::from(live.keep_days) * 86_400);
                // When too much waits, it is forgotten the next time.
                drop(self.keeper.order(Order::Forget(oldest)));
            }
            let with_checkpoint = due.is(now_ns, Every::Checkpoint(live.checkpoint_s)) || ends;
            if with_checkpoint || due.is(now_ns, Every::Save) {
                self.save(lives, setup, with_checkpoint, ends, log);
            }
            if ends {
                return;
            }
            let spent = Duration::from_nanos(self.clock.elapsed_ns() - now_ns);
            self.clock.sleep(TICK.saturating_sub(spent));
        }
    }

    /// Switches on and off what the calendar has.
    fn follow(&mut self, running: &mut Vec<usize>, now: SimTime, log: Log<'_>) {
        self.company.set_day(day_of_term(now) + self.term_shift());
        let present: Vec<usize> = (0..self.planned.len())
            .filter(|place| self.planned[*place].from <= now && now < self.planned[*place].until)
            .collect();
        if present == *running {
            return;
        }
        for place in 0..self.planned.len() {
            let planned = &self.planned[place];
            match (running.contains(&place), present.contains(&place)) {
                (false, true) => {
                    log(
                        "incident begins",
                        json!({"name": planned.name, "what": planned.what, "time": shown(now)}),
                    );
                    let movie = self.withdrawals.get(&place);
                    // One whose movie is to be chosen yet is noted with it.
                    if movie.is_some() || !matches!(planned.deed, Deed::Takedown(_)) {
                        drop(self.keeper.order(Order::Incident(planned.played(movie))));
                    }
                }
                (true, false) => log("incident ends", json!({"name": planned.name, "time": shown(now)})),
                _ => {}
            }
        }
        let faults = present
            .iter()
            .filter_map(|place| self.planned[*place].api_fault().cloned())
            .collect();
        self.company.set_faults(faults);
        *running = present;
    }

    /// Closes the API while an incident has it gone, and opens it again; what fails is tried again at the next tick.
    fn hold_door(&mut self, running: &[usize]) -> Option<String> {
        let gone = running
            .iter()
            .any(|place| self.planned[*place].deed == Deed::NoApi);
        if gone {
            if let Some(door) = self.api_door.take() {
                // Those who still wait for an answer hold up nobody but themselves. Without a thread, a moment of ours is lost.
                let closing = std::thread::Builder::new().name("closing".to_owned());
                drop(closing.spawn(move || drop(door)));
            }
        } else if self.api_door.is_none() {
            let room: Arc<dyn Room> = Arc::clone(&self.company) as Arc<dyn Room>;
            match Door::open(self.api, room, self.clock) {
                Ok(door) => self.api_door = Some(door),
                Err(error) => {
                    return Some(format!("the API cannot be opened again at {}: {error}", self.api));
                }
            }
        }
        None
    }

    /// Keeps the streams from everybody while an incident has them gone, and gives them back: the archive goes on meanwhile.
    fn hold_stream(&mut self, running: &[usize]) -> Option<String> {
        let gone = running
            .iter()
            .any(|place| self.planned[*place].deed == Deed::NoStream);
        if let Some(relay) = &self.relay {
            relay.hold(gone);
        }
        if gone {
            self.close_broker();
            return None;
        }
        let (Some(address), None, Some(options)) = (self.stream, &self.broker, &self.spec.broker) else {
            return None;
        };
        let options = BrokerOptions {
            listen: address,
            ..options.clone()
        };
        match Broker::start(self.archive.clone(), &options, self.clock) {
            Ok(broker) => {
                self.broker = Some(broker);
                None
            }
            Err(error) => Some(format!(
                "the streams cannot be served again at {address}: {error}"
            )),
        }
    }

    fn close_broker(&mut self) {
        if let Some(broker) = self.broker.take() {
            // Clients that wait for lines hold up nobody but themselves.
            let closing = std::thread::Builder::new().name("closing".to_owned());
            drop(closing.spawn(move || drop(broker)));
        }
    }

    /// Says which movies are withdrawn, by the API and to every team that wants to be told; which movie it is that all services
    /// have recommended most, the keeper finds out.
    fn hold_withdrawn(&mut self, running: &[usize], now: SimTime, asks_again: bool, log: Log<'_>) {
        let mut present = Vec::new();
        for place in running {
            let planned = &self.planned[*place];
            if !matches!(planned.deed, Deed::Takedown(_)) {
                continue;
            }
            if let Some(chosen) = self.keeper.told.withdrawn(&planned.name)
                && !self.withdrawals.contains_key(place)
            {
                self.withdrawals.insert(*place, chosen);
            }
            match self.withdrawals.get(place) {
                Some(movie) => present.push(Withdrawn {
                    movie: movie.clone(),
                    since: utc(self.calendar().to_utc(planned.from)),
                }),
                None if asks_again => {
                    drop(self.keeper.order(Order::Withdraw(planned.played(None), now)));
                }
                None => {}
            }
        }
        if present == self.announced {
            return;
        }
        for one in present.iter().filter(|one| !self.announced.contains(one)) {
            log("withdrawn", json!({"movie": one.movie, "since": one.since}));
        }
        for place in running {
            let (planned, Some(movie)) = (&self.planned[*place], self.withdrawals.get(place)) else {
                continue;
            };
            if self.announced.iter().any(|one| one.movie == *movie) {
                continue;
            }
            for (place, team) in self.teams.iter().enumerate() {
                // Who has heard of it before a restart is not called again.
                if let Some(path) = team.takedown_of(movie)
                    && !self.heard.contains(&heard_of(planned, team, &path))
                {
                    let what = What::Tell(path);
                    self.asker.ask(Question { team: place, what });
                }
            }
        }
        self.company.set_withdrawn(present.clone());
        self.announced = present;
    }

    /// Notes that a team has heard of what is withdrawn.
    fn note_heard(&mut self, running: &[usize], team: usize, path: &str, now: SimTime) {
        let team = &self.teams[team];
        for place in running {
            let movie = self.withdrawals.get(place);
            if movie.and_then(|movie| team.takedown_of(movie)).as_deref() == Some(path) {
                let note = heard_of(&self.planned[*place], team, path);
                // What cannot be noted now is told again after a restart.
                drop(self.keeper.order(Order::Note(note.clone(), shown(now))));
                self.heard.insert(note);
            }
        }
    }

    /// Sends what no client should, as often as the incidents that run say; what comes of it counts for nobody.
    fn ask_oddly(&mut self, running: &[usize]) {
        let mut rate = 0.0;
        for place in running {
            if let Deed::Odd(more) = self.planned[*place].deed {
                rate += more;
            }
        }
        let wanted = rate * TICK.as_secs_f64();
        let users = self.world.spec().users;
        for team in 0..self.teams.len() {
            for _ in 0..(wanted + self.oddities.unit()) as u64 {
                let id = odd_id(&mut self.oddities, users);
                self.asker.ask(Question {
                    team,
                    what: What::Odd(format!("/recommend/{id}")),
                });
            }
        }
    }

    /// The days between the course's first day and that of the built-in term, from which days are counted elsewhere.
    fn term_shift(&self) -> f64 {
        -day_of_term(self.calendar().start)
    }

    fn look_at_models(&self) {
        for (place, team) in self.teams.iter().enumerate() {
            if let Some(path) = &team.model_path {
                self.asker.ask(Question {
                    team: place,
                    what: What::Page(path.clone()),
                });
            }
        }
    }

    fn save(
        &mut self,
        lives: &mut [TeamLife],
        setup: &Setup,
        with_checkpoint: bool,
        is_last: bool,
        log: Log<'_>,
    ) {
        for life in lives {
            if let Some(order) = self.held.take() {
                self.held = self.keeper.order(order).err();
            }
            // While the store takes nothing, what is new stays where it is.
            if !is_last && (self.held.is_some() || self.keeper.told.fault().is_some()) {
                return;
            }
            match life.take_save(setup, with_checkpoint) {
                Ok(save) if is_last => self.keeper.order_last(Order::Save(Box::new(save))),
                Ok(save) => self.held = self.keeper.order(Order::Save(Box::new(save))).err(),
                Err(error) => log(
                    "not saved",
                    json!({"team": life.number, "why": error.to_string()}),
                ),
            }
        }
    }

    fn show(
        &self,
        lives: &[TeamLife],
        now: SimTime,
        [step_s, ahead_s]: [f64; 2],
        running: &[usize],
        doors: [Option<String>; 2],
    ) {
        let mut faults: Vec<String> = doors.into_iter().flatten().collect();
        if let Some(fault) = self.keeper.told.fault() {
            faults.push(format!("store: {fault}"));
        }
        if let Some(fault) = self.shelf.as_ref().and_then(Shelf::fault) {
            faults.push(format!("viewers cannot be read from the store: {fault}"));
        }
        let unreadable = self.unreadable.load(Ordering::Relaxed);
        if unreadable > 0 {
            faults.push(format!(
                "what the store has of {unreadable} viewers cannot be read: they begin anew"
            ));
        }
        if step_s.abs() > STEP_S {
            faults.push(format!(
                "the clock of this machine was set by {step_s:+.1} s; the company goes on evenly"
            ));
        }
        if ahead_s > STEP_S {
            faults.push(format!(
                "the clock of this machine is {ahead_s:.0} s behind what was played before: the company waits for it"
            ));
        }
        let slowest = lives
            .iter()
            .map(TeamLife::next_second)
            .min()
            .unwrap_or(now.seconds());
        let lateness_s = ((now.seconds() - slowest) as f64 / self.spec.speed).max(0.0);
        let told = &self.keeper.told;
        let teams: Vec<TeamView> = lives.iter().map(|life| life.view.clone()).collect();
        let relays = self.relay.as_ref().map(Relay::views).unwrap_or_default();
        let board = Board {
            relays,
            course: self.course.name.clone(),
            now: shown(now),
            now_second: now.seconds(),
            speed: self.spec.speed,
            seen_ns: self.clock.elapsed_ns(),
            teams,
            running: running
                .iter()
                .map(|place| &self.planned[*place])
                .filter(|planned| planned.is_announced())
                .map(|planned| planned.what.clone())
                .collect(),
            faults,
            store_saves: told.saves.load(Ordering::Relaxed),
            store_failures: told.failures.load(Ordering::Relaxed),
            clock_step_s: step_s,
            lateness_s,
            outages: self.outages,
        };
        *self.board.lock().unwrap_or_else(PoisonError::into_inner) = board;
    }
}

/// Returns the movies that incidents withdraw, as far as that is decided: by their file, or by what was noted when they began.
fn withdrawals(planned: &[Planned], played: &[Played], world: &World) -> BTreeMap<usize, String> {
    let mut known = BTreeMap::new();
    for (place, planned) in planned.iter().enumerate() {
        let Deed::Takedown(named) = planned.deed else {
            continue;
        };
        let noted = played
            .iter()
            .find(|played| planned.is(played))
            .and_then(|played| {
                let truth: Value = serde_json::from_str(&played.truth).ok()?;
                truth["movie"].as_str().map(str::to_owned)
            });
        let named = named.map(|index| world.movie(index).id.clone());
        known.extend(named.or(noted).map(|movie| (place, movie)));
    }
    known
}

/// Names the note that a team has heard of a withdrawal.
fn heard_of(planned: &Planned, team: &Team, path: &str) -> String {
    format!(
        "{} of {} is heard by {}: {path}",
        planned.name,
        planned.from.seconds(),
        team.number
    )
}

/// Writes a moment as everybody reads it.
fn utc(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Returns the teams that the store knows by another number, with that number and their own.
fn moved(known: &[(u32, String)], teams: &[(u32, String)]) -> Vec<(String, u32, u32)> {
    let of = |(now, name): &(u32, String)| {
        let (before, _) = known.iter().find(|(_, known)| known == name)?;
        (before != now).then(|| (name.clone(), *before, *now))
    };
    teams.iter().filter_map(of).collect()
}

/// Returns how far the company was played before, in seconds; nothing where it was not. `left` has the second of each team's checkpoint:
/// its viewers were brought from there to where its stream ends, or begin anew somewhere else.
fn reached(lives: &[TeamLife], left: &[Option<i64>]) -> Option<i64> {
    let of = |(life, left): (&TeamLife, &Option<i64>)| {
        let left = (*left)?;
        Some(if life.is_anew() {
            left
        } else {
            life.next_second().max(left)
        })
    };
    lives.iter().zip(left).filter_map(of).max()
}

/// Returns a team whose stream is counted; none where the server is to stop before that.
fn counted_past(done: Result<(), Halt>, life: TeamLife) -> Result<Option<TeamLife>, ServeError> {
    match done {
        Ok(()) => Ok(Some(life)),
        Err(Halt::Stopped) => Ok(None),
        Err(Halt::Stream(error)) => Err(error.into()),
        Err(Halt::Store(error)) => Err(error.into()),
    }
}

/// Tells when the stream of a team begins and ends to take nothing.
fn tell_faults(lives: &[TeamLife], faults: &mut Vec<(u32, Option<String>)>, log: Log<'_>) {
    for life in lives {
        let before = faults.iter_mut().find(|(number, _)| *number == life.number);
        let Some((_, before)) = before else {
            faults.push((life.number, None));
            continue;
        };
        if before.is_some() != life.view.fault.is_some() {
            match &life.view.fault {
                Some(why) => log("stream refuses", json!({"team": life.view.name, "why": why})),
                None => log(
                    "stream goes on",
                    json!({"team": life.view.name, "pending": life.view.pending}),
                ),
            }
            before.clone_from(&life.view.fault);
        }
    }
}

/// What is done every so often.
#[derive(Debug, Clone, Copy)]
enum Every {
    Show,
    Save,
    Reopen,
    Forget,
    Withdraw,
    Model(u32),
    Checkpoint(u32),
}

/// When each of it was done last.
#[derive(Debug, Default)]
struct Due([Option<u64>; 7]);

impl Due {
    fn is(&mut self, now_ns: u64, what: Every) -> bool {
        let (place, every_ns) = match what {
            Every::Show => (0, SHOW_NS),
            Every::Save => (1, SAVE_NS),
            Every::Reopen => (2, REOPEN_NS),
            Every::Forget => (3, FORGET_NS),
            Every::Withdraw => (6, SAVE_NS),
            Every::Model(s) => (4, u64::from(s) * 1_000_000_000),
            Every::Checkpoint(s) => (5, u64::from(s) * 1_000_000_000),
        };
        let last = &mut self.0[place];
        let is_due = last.is_none_or(|last| now_ns - last >= every_ns);
        if is_due {
            *last = Some(now_ns);
        }
        is_due
    }
}

/// Writes a moment of the log's time for people.
pub fn shown(at: SimTime) -> String {
    let mut text = Vec::new();
    push_time(
        SimTime::from_seconds(at.seconds()),
        Profile::Classic,
        false,
        &mut text,
    );
    String::from_utf8_lossy(&text).into_owned()
}
