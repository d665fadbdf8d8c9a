//! The viewers of one team, second by second, as the open company plays them: a copy of the shared population that only
//! what this team's service answers sets apart from the others.
//!
//! Who sits down when is the same for all teams ([`arrivals`]); what each then watches depends on the lists that the team's
//! service gave. A crowd is a function of its state and of what it hears: played again from a checkpoint with the same
//! answers in the same seconds, it tells the same lines.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::life::{Chain, busyness, poisson};
use super::reaction::pulls;
use super::viewer::{MnlViewer, Occasion, ViewerModel, Viewing};
use crate::event::{Event, Record, SimTime};
use crate::seed::{Branch, Draws};
use crate::world::{GENRES, MovieIndex, Profile, UserId, World};

/// The share of sessions, in percent, that begin with a request for recommendations.
const ASKS: u32 = 75;
/// Viewings an hour for each viewing in thirty days.
const HOURS_A_MONTH: f64 = 720.0;
/// How many movies a viewer remembers to have seen: what was seen before may be watched again.
const MEMORY: usize = 48;
/// How far taste goes in the end, in logits for each unit by which a list's share of a genre is above the usual one.
const FAR: f32 = 3.0;
/// Seconds after the last minute in which a rating is given.
const RATES_AFTER_S: i64 = 30;

/// Where and when a crowd is played.
#[derive(Debug)]
pub struct Scene<'s> {
    /// The world, with its habits.
    pub world: &'s World,
    /// How viewers decide.
    pub model: &'s MnlViewer,
    /// The branch that names the luck of sessions, the same for all teams.
    pub branch: &'s Branch,
    /// The first moment of the term.
    pub start: SimTime,
    /// How many seconds after sitting down a viewer chooses, with or without an answer.
    pub patience_s: i64,
}

/// Somebody sits down to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// The second, since 1970.
    pub second: i64,
    /// Who.
    pub user: UserId,
}

/// Returns the factor on everybody's sessions with which so many requests a second are made on average.
pub fn factor(world: &World, requests_per_s: f64) -> f64 {
    let monthly: f64 = world.user_ids().filter_map(|id| world.activity(id)).sum();
    let usual = monthly / (HOURS_A_MONTH * 3600.0) * f64::from(ASKS) / 100.0;
    requests_per_s / usual
}

/// Returns who sits down in the hour that begins at a moment, in order of time; the same for any division of the work.
pub fn arrivals(world: &World, branch: &Branch, hour: SimTime, factor: f64) -> Vec<Arrival> {
    let rate = libm::pow(busyness(hour), world.habits().rhythm) / HOURS_A_MONTH * factor;
    let number = hour.seconds().div_euclid(3600).rem_euclid(1 << 24) as u64;
    let branch = branch.branch("arrivals");
    let mut all = Vec::new();
    for user in world.user_ids() {
        let mut draws = branch.at(u64::from(user.0) << 24 | number);
        let activity = world.activity(user).unwrap_or(0.0);
        for _ in 0..poisson(activity * rate, draws.unit()) {
            let second = hour.seconds() + draws.below(3600) as i64;
            all.push(Arrival { second, user });
        }
    }
    all.sort_unstable();
    all
}

/// What a crowd tells of a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A line for the stream.
    Line(UserId, Event),
    /// A line that was held back until now.
    Late(Record),
    /// A viewer asks for recommendations.
    Ask(UserId),
    /// A viewer looked at the list of the service, and took something or not.
    Looked {
        /// Whether they took a movie.
        took: bool,
    },
}

/// One viewer as this team's service has made them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// The movies seen last, in order.
    seen: Vec<u32>,
    /// The list that they look at until they get another.
    list: Vec<u32>,
    /// What the weights of genres have gained, in logits; empty for nothing.
    leaning: Vec<f32>,
    /// Whether they left for good.
    gone: bool,
    /// The second until which they watch.
    busy_until: i64,
}

/// What comes later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Todo {
    /// A viewer chooses.
    Choose {
        /// Who.
        user: u32,
    },
    /// A minute of a movie begins.
    Minute {
        /// Who.
        user: u32,
        /// What.
        movie: u32,
        /// Which minute, from 0.
        minute: u16,
        /// How many will be watched.
        minutes: u16,
        /// The stars afterwards.
        stars: Option<u8>,
    },
    /// A rating is given.
    Rate {
        /// Who.
        user: u32,
        /// What.
        movie: u32,
        /// The stars.
        stars: u8,
    },
    /// A line is told that was held back.
    Late {
        /// Of whom.
        user: u32,
        /// When it happened, in microseconds.
        at_us: i64,
        /// What.
        event: Event,
    },
}

/// The viewers of one team: those who are awake, that is in memory. A viewer who was ever awake and sleeps has to be woken, with
/// what a checkpoint has of them, before they sit down or hear of a list; who chooses does not sleep.
#[derive(Debug, Clone, Default)]
pub struct Crowd {
    people: BTreeMap<u32, Person>,
    /// Those who have sat down and not chosen yet.
    choosing: BTreeSet<u32>,
    /// By second and order of being noted down.
    agenda: BTreeMap<(i64, u64), Todo>,
    noted: u64,
    changed: BTreeSet<u32>,
}

impl Crowd {
    /// Goes on from a checkpoint: its agenda, and the count of what was ever noted in it. Everybody sleeps.
    pub fn resume(agenda: impl IntoIterator<Item = ((i64, u64), Todo)>, noted: u64) -> Self {
        let agenda: BTreeMap<(i64, u64), Todo> = agenda.into_iter().collect();
        let chooses = |todo: &Todo| match todo {
            Todo::Choose { user } => Some(*user),
            _ => None,
        };
        Self {
            people: BTreeMap::new(),
            choosing: agenda.values().filter_map(chooses).collect(),
            agenda,
            noted,
            changed: BTreeSet::new(),
        }
    }

    /// Returns who has sat down and not chosen yet.
    pub fn choosing(&self) -> impl Iterator<Item = u32> {
        self.choosing.iter().copied()
    }

    /// Tells whether somebody is awake.
    pub fn is_awake(&self, user: u32) -> bool {
        self.people.contains_key(&user)
    }

    /// Returns how many are awake.
    pub fn awake(&self) -> usize {
        self.people.len()
    }

    /// Wakes somebody with what a checkpoint has of them; who is awake stays as they are.
    pub fn wake(&mut self, user: u32, person: Person) {
        self.people.entry(user).or_insert(person);
    }

    /// Lets all sleep who are in a checkpoint as they are, but for those who choose and those who are to be kept awake.
    pub fn rest(&mut self, is_kept: impl Fn(u32) -> bool) {
        let (changed, choosing) = (&self.changed, &self.choosing);
        self.people
            .retain(|user, _| changed.contains(user) || choosing.contains(user) || is_kept(*user));
    }

    /// Returns the agenda and the count of what was ever noted in it, for a checkpoint.
    pub fn agenda(&self) -> (&BTreeMap<(i64, u64), Todo>, u64) {
        (&self.agenda, self.noted)
    }

    /// Returns the people who changed since this was last called, for a checkpoint.
    pub fn take_changed(&mut self) -> Vec<(u32, Person)> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .filter_map(|user| Some((user, self.people.get(&user)?.clone())))
            .collect()
    }

    /// Returns how many sit before a movie, about to choose one or to rate it.
    pub fn watching(&self) -> usize {
        self.agenda.len()
    }

    fn person(&mut self, user: u32) -> &mut Person {
        self.changed.insert(user);
        self.people.entry(user).or_default()
    }

    fn note(&mut self, second: i64, todo: Todo) {
        self.agenda.insert((second, self.noted), todo);
        self.noted += 1;
    }

    /// Puts a list before a viewer who is awake or was never seen, best first.
    pub fn hear(&mut self, user: UserId, list: &[MovieIndex]) {
        self.person(user.0).list = list.iter().map(|movie| movie.0).collect();
    }

    /// Plays one second: those who sit down in it, and all that is due. Seconds are to be played in order, none left out.
    pub fn second(&mut self, scene: &Scene<'_>, second: i64, arrivals: &[Arrival], told: &mut Vec<Told>) {
        for arrival in arrivals {
            self.arrive(scene, second, arrival.user, told);
        }
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= second) {
            match entry.remove() {
                Todo::Choose { user } => self.choose(scene, second, UserId(user), told),
                Todo::Minute {
                    user,
                    movie,
                    minute,
                    minutes,
                    stars,
                } => {
                    told.push(watch(scene.world, user, movie, minute));
                    self.go_on(second, (user, movie), (minute, minutes), stars);
                }
                Todo::Rate { user, movie, stars } => {
                    let id = scene.world.movie(MovieIndex(movie)).id.clone();
                    let stars = u32::from(stars);
                    told.push(Told::Line(UserId(user), Event::Rate { movie: id, stars }));
                }
                Todo::Late { user, at_us, event } => told.push(Told::Late(Record {
                    time: SimTime(at_us),
                    user,
                    event,
                })),
            }
        }
    }

    /// Holds a line back until a second that is still to be played.
    pub fn hold(&mut self, until: i64, record: Record) {
        let late = Todo::Late {
            user: record.user,
            at_us: record.time.0,
            event: record.event,
        };
        self.note(until, late);
    }

    /// Lets an account begin to watch in a second that is played, whatever anybody was shown.
    pub fn begin(&mut self, world: &World, second: i64, viewing: &Viewing, told: &mut Vec<Told>) {
        let (user, movie) = (viewing.user.0, viewing.movie.0);
        told.push(watch(world, user, movie, 0));
        self.go_on(second, (user, movie), (0, viewing.minutes), viewing.stars);
    }

    fn arrive(&mut self, scene: &Scene<'_>, second: i64, user: UserId, told: &mut Vec<Told>) {
        let joined = scene.world.joined(user);
        if joined.is_some_and(|day| day > scene.day(second)) {
            return;
        }
        let known = self.people.get(&user.0);
        if known.is_some_and(|person| person.gone || person.busy_until >= second) {
            return;
        }
        let makes_account =
            joined.is_some() && known.is_none() && scene.world.spec().profile == Profile::Current;
        if makes_account {
            told.push(Told::Line(user, Event::CreateAccount));
        }
        let mut draws = scene.luck(user, second);
        if draws.chance(f64::from(ASKS) / 100.0) {
            told.push(Told::Ask(user));
        }
        let chooses = second + scene.patience_s;
        self.person(user.0).busy_until = chooses;
        self.choosing.insert(user.0);
        self.note(chooses, Todo::Choose { user: user.0 });
    }

    fn choose(&mut self, scene: &Scene<'_>, second: i64, user: UserId, told: &mut Vec<Told>) {
        self.choosing.remove(&user.0);
        let world = scene.world;
        let (Some(mut taste), Some(level)) = (world.taste(user), world.acceptance_level(user)) else {
            return;
        };
        let moment = world.habits().moment(scene.day(second));
        let feedback = world.habits().feedback;
        let person = self.person(user.0);
        if let Ok(leaning) = <&[f32; GENRES]>::try_from(person.leaning.as_slice()) {
            taste.lean(leaning);
        }
        let list: Vec<MovieIndex> = person.list.iter().copied().map(MovieIndex).collect();
        let mut draws = scene.luck(user, second);
        let mut taken = None;
        if !list.is_empty() && draws.chance(feedback.follow_share()) {
            let pulls = pulls(world, (&taste, level, &moment), &list, |movie| {
                person.seen.contains(&movie.0)
            });
            let leaves = draws.chance(feedback.leave_chance());
            taken = scene.model.take(world, &pulls, &mut draws).map(|rank| list[rank]);
            told.push(Told::Looked {
                took: taken.is_some(),
            });
            lean(world, &mut person.leaning, &list, feedback.pull_of_lists() as f32);
            if taken.is_none() && leaves {
                person.gone = true;
                return;
            }
        }
        let mut draws = scene.branch.branch("watching").at(place(user, second));
        let on = Occasion::new(world, user, &taste, &moment, SimTime::from_seconds(second));
        let chain = Chain::new(&person.seen);
        let movie = taken.unwrap_or_else(|| scene.model.choose(on, chain.seen(), &mut draws));
        let minutes = scene.model.watch(on, movie, &mut draws);
        let stars = scene.model.rate(on, (movie, minutes), &mut draws);
        person.seen.retain(|seen| *seen != movie.0);
        person.seen.push(movie.0);
        if person.seen.len() > MEMORY {
            person.seen.remove(0);
        }
        person.busy_until = second + i64::from(minutes) * 60;
        told.push(watch(world, user.0, movie.0, 0));
        self.go_on(second, (user.0, movie.0), (0, minutes), stars);
    }

    /// Notes what follows a minute.
    fn go_on(&mut self, second: i64, who: (u32, u32), minute: (u16, u16), stars: Option<u8>) {
        let ((user, movie), (minute, minutes)) = (who, minute);
        if minute + 1 < minutes {
            let next = Todo::Minute {
                user,
                movie,
                minute: minute + 1,
                minutes,
                stars,
            };
            self.note(second + 60, next);
        } else if let Some(stars) = stars {
            self.note(second + RATES_AFTER_S, Todo::Rate { user, movie, stars });
        }
    }
}

impl Scene<'_> {
    fn day(&self, second: i64) -> f64 {
        (second - self.start.seconds()) as f64 / 86_400.0
    }

    fn luck(&self, user: UserId, second: i64) -> Draws {
        self.branch.branch("sessions").at(place(user, second))
    }
}

/// A place of a branch for each user and minute: the same luck for all teams, whatever list is shown.
fn place(user: UserId, second: i64) -> u64 {
    u64::from(user.0) << 28 | second.div_euclid(60).rem_euclid(1 << 28) as u64
}

fn watch(world: &World, user: u32, movie: u32, minute: u16) -> Told {
    let event = Event::Watch {
        movie: world.movie(MovieIndex(movie)).id.clone(),
        minute: u32::from(minute),
    };
    Told::Line(UserId(user), event)
}

/// Moves taste towards the genres of a list, the first places counting most.
fn lean(world: &World, leaning: &mut Vec<f32>, list: &[MovieIndex], step: f32) {
    if step == 0.0 {
        return;
    }
    leaning.resize(GENRES, 0.0);
    let weights: Vec<f32> = (0..list.len())
        .map(|rank| libm::pow(rank as f64 + 1.0, -world.habits().position) as f32)
        .collect();
    let total: f32 = weights.iter().sum();
    let mut shown = [-1.0 / GENRES as f32; GENRES];
    for (movie, weight) in list.iter().zip(&weights) {
        let genres = world.movie(*movie).genres;
        for genre in genres.iter() {
            shown[genre.index()] += weight / total / genres.len() as f32;
        }
    }
    for (leaning, shown) in leaning.iter_mut().zip(shown) {
        *leaning += step * (FAR * shown - *leaning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;
    use crate::world::{Feedback, Habits, Strength, WorldSpec};

    fn world() -> World {
        let spec = WorldSpec {
            users: 400,
            movies: 120,
            profile: Profile::Classic,
        };
        let habits = Habits {
            feedback: Feedback::all(Strength::Strong),
            ..Habits::default()
        };
        World::new(&Key::from_seed(4), spec, 1).with_habits(habits)
    }

    /// Plays some hours; `answer` is the list that everybody gets, if any.
    fn play(
        world: &World,
        crowd: &mut Crowd,
        seconds: std::ops::Range<i64>,
        answer: &[u32],
    ) -> Vec<(i64, Told)> {
        let (model, branch) = (MnlViewer::new(world), Key::from_seed(4).branch("live"));
        let start = super::super::term_start();
        let scene = Scene {
            world,
            model: &model,
            branch: &branch,
            start,
            patience_s: 2,
        };
        let list: Vec<MovieIndex> = answer.iter().copied().map(MovieIndex).collect();
        let mut all = Vec::new();
        let mut told = Vec::new();
        let mut hour = (i64::MIN, Vec::new());
        for second in seconds {
            let at = start.seconds() + second;
            let begin = at.div_euclid(3600) * 3600;
            if hour.0 != begin {
                hour = (
                    begin,
                    arrivals(world, &branch, SimTime::from_seconds(begin), 30.0),
                );
            }
            let from = hour.1.partition_point(|arrival| arrival.second < at);
            let until = hour.1.partition_point(|arrival| arrival.second <= at);
            crowd.second(&scene, at, &hour.1[from..until], &mut told);
            for item in &told {
                if let (Told::Ask(user), false) = (item, list.is_empty()) {
                    crowd.hear(*user, &list);
                }
            }
            all.extend(told.drain(..).map(|told| (at, told)));
        }
        all
    }

    #[test]
    fn a_crowd_that_is_resumed_tells_what_it_would_have_told() {
        let world = world();
        let mut whole = Crowd::default();
        let list: Vec<u32> = (0..20).collect();
        let before = play(&world, &mut whole, 0..5_000, &list);
        let (agenda, noted) = whole.agenda();
        let mut again = Crowd::resume(agenda.clone(), noted);
        for (user, person) in whole.clone().take_changed() {
            again.wake(user, person);
        }
        let after = play(&world, &mut whole, 5_000..9_000, &list);
        assert_eq!(play(&world, &mut again, 5_000..9_000, &list), after);
        assert!(
            before.len() > 500 && after.len() > 500,
            "{} {}",
            before.len(),
            after.len()
        );
    }

    #[test]
    fn who_sleeps_and_is_woken_in_time_does_what_they_would_have_done() {
        let world = world();
        let list: Vec<u32> = (0..20).collect();
        let mut whole = Crowd::default();
        let expected = play(&world, &mut whole, 0..9_000, &list);
        let (mut crowd, mut kept, mut told, mut most) = (Crowd::default(), BTreeMap::new(), Vec::new(), 0);
        for begin in (0..9_000).step_by(30) {
            // Everybody may come in the next thirty seconds.
            for (user, person) in &kept {
                crowd.wake(*user, Clone::clone(person));
            }
            told.extend(play(&world, &mut crowd, begin..begin + 30, &list));
            most = most.max(crowd.take_changed().into_iter().fold(0, |count, (user, person)| {
                kept.insert(user, person);
                count + 1
            }));
            crowd.rest(|_| false);
            assert!(crowd.choosing().all(|user| crowd.is_awake(user)));
            assert_eq!(crowd.awake(), crowd.choosing().count());
        }
        assert_eq!(told, expected);
        assert!(kept.len() > 2 * most, "{} {most}", kept.len());
    }

    #[test]
    fn minutes_follow_one_another_sixty_seconds_apart() {
        let told = play(&world(), &mut Crowd::default(), 0..7_000, &[]);
        let mut last: BTreeMap<(u32, String), (i64, u32)> = BTreeMap::new();
        for (at, told) in told {
            if let Told::Line(user, Event::Watch { movie, minute }) = told {
                let before = last.insert((user.0, movie), (at, minute));
                if minute > 0 {
                    assert_eq!(before, Some((at - 60, minute - 1)));
                }
            }
        }
        assert!(last.len() > 100);
    }

    #[test]
    fn what_a_service_shows_is_watched_and_another_team_is_not_touched() {
        let world = world();
        let shown: Vec<u32> = (40..60).collect();
        let of_list = |told: &[(i64, Told)]| {
            let ids: BTreeSet<&str> = shown
                .iter()
                .map(|movie| world.movie(MovieIndex(*movie)).id.as_str())
                .collect();
            told.iter()
                .filter(|(_, told)| {
                    matches!(told, Told::Line(_, Event::Watch { movie, minute: 0 }) if ids.contains(movie.as_str()))
                })
                .count()
        };
        let with = play(&world, &mut Crowd::default(), 0..10_000, &shown);
        let without = play(&world, &mut Crowd::default(), 0..10_000, &[]);
        assert!(
            of_list(&with) > 2 * of_list(&without),
            "{} {}",
            of_list(&with),
            of_list(&without)
        );
        assert_eq!(without, play(&world, &mut Crowd::default(), 0..10_000, &[]));
    }

    #[test]
    fn the_factor_gives_the_requests_that_are_asked_for() {
        let world = world();
        let wanted = factor(&world, 0.5);
        let branch = Key::from_seed(4).branch("live");
        let start = super::super::term_start();
        let sessions: usize = (0..168)
            .map(|hour| arrivals(&world, &branch, start.plus_seconds(hour * 3600), wanted).len())
            .sum();
        let requests = sessions as f64 * 0.75 / (168.0 * 3600.0);
        assert!((0.42..0.56).contains(&requests), "{requests}");
    }
}
