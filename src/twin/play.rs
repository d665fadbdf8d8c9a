//! A term of one company under one service, which learns anew from its own log after every round.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::event::SimTime;
use crate::seed::{Branch, Key};
use crate::sim::{Lives, MnlViewer, Sway, Viewing, day_of_term, term_start};
use crate::world::{GENRES, MovieIndex, UserId, World};
use crate::yardstick::{Algorithm, Dataset, Ranker, log_dataset};

/// The movies in a list.
const LIST: usize = 20;
/// Seconds in a day.
const DAY_S: i64 = 86_400;

/// How large the companies are, and how long they are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwinSpec {
    /// The number of viewers: the first of the world.
    pub users: u32,
    /// The days before the term, in which nobody sees a list.
    pub history_days: u32,
    /// How often the service learns from the log so far, the first time from the history.
    pub rounds: u32,
    /// The days of a round.
    pub round_days: u32,
}

impl Default for TwinSpec {
    fn default() -> Self {
        Self {
            users: 2_000,
            history_days: 28,
            rounds: 8,
            round_days: 7,
        }
    }
}

/// Who recommends.
pub trait Service: Sync {
    /// Returns the name in tables.
    fn name(&self) -> &str;
    /// Returns how much each viewer should be recommended each movie, to be asked place by place: trained on the log so far.
    fn learn(&self, log: &Dataset, branch: &Branch) -> Box<dyn Ranker>;
}

impl Service for Algorithm {
    fn name(&self) -> &str {
        Algorithm::name(*self)
    }

    fn learn(&self, log: &Dataset, branch: &Branch) -> Box<dyn Ranker> {
        self.fit(log, branch)
    }
}

/// The services that stand in for teams: one without any skill, the popular list, two that are personal.
pub const STAND_INS: [Algorithm; 4] = [
    Algorithm::Random,
    Algorithm::Pop,
    Algorithm::ItemKnn,
    Algorithm::Ials,
];

/// What happened in one company.
#[derive(Debug, Clone)]
pub struct Life {
    /// The name of who recommended; none where nobody did.
    pub service: Option<String>,
    /// What was watched during the term, in the order of hours and then of users.
    pub viewings: Vec<Viewing>,
    /// When each viewer left, those who did.
    pub gone: Vec<Option<SimTime>>,
    /// What each viewer's weights of the genres have gained, in logits.
    pub leanings: Vec<[f32; GENRES]>,
}

/// Plays the company without a service and, beside it, one company for each service, several at a time.
///
/// `progress` is told of every round before it is played, by the service's name and the round's number from 1; when it returns
/// false all plays end and there is no result.
pub fn play_all(
    world: &World,
    key: &Key,
    spec: TwinSpec,
    services: &[&dyn Service],
    threads: usize,
    progress: &(dyn Fn(&str, u32) -> bool + Sync),
) -> Option<(Life, Vec<Life>)> {
    let next = AtomicUsize::new(0);
    let lives: Vec<OnceLock<Life>> = (0..=services.len()).map(|_| OnceLock::new()).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, lives.len()) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(life) = lives.get(place) else { return };
                    // The last service takes longest, as a rule: it goes first.
                    let service = services.len().checked_sub(place + 1).map(|place| services[place]);
                    let name = service.map_or("nobody", Service::name);
                    let Some(played) = play(world, key, spec, service, &mut |round| progress(name, round))
                    else {
                        return;
                    };
                    life.set(played).expect("each place is taken once");
                }
            });
        }
    });
    let mut played = lives
        .into_iter()
        .rev()
        .map(OnceLock::into_inner)
        .collect::<Option<Vec<Life>>>()?;
    let nobody = played.remove(0);
    Some((nobody, played))
}

/// Plays a company's history and term; the same key gives the same viewers with the same luck under any service.
///
/// `round` is told the number of each round, from 1, before it is played; when it returns false the play ends there.
pub fn play(
    world: &World,
    key: &Key,
    spec: TwinSpec,
    service: Option<&dyn Service>,
    round: &mut dyn FnMut(u32) -> bool,
) -> Option<Life> {
    let branch = key.branch("twin");
    let lives_branch = branch.branch("lives");
    let count = spec.users.min(world.spec().users);
    let users: Vec<UserId> = world.user_ids().take(count as usize).collect();
    let model = MnlViewer::new(world);
    let mut lives = Lives::new(UserId(1), count);
    let mut watched = Vec::new();
    let start = term_start();
    for hour in -i64::from(spec.history_days) * 24..0 {
        let hour = start.plus_seconds(hour * 3_600);
        lives.play_hour(world, &model, &lives_branch, hour, &mut watched);
    }
    let history = watched.len();
    let mut sway = Sway::new(
        world,
        &branch,
        (UserId(1), count),
        &watched,
        f64::from(spec.history_days),
    );
    let hours = i64::from(spec.round_days) * 24;
    for number in 0..spec.rounds {
        if !round(number + 1) {
            return None;
        }
        let first = i64::from(number) * hours;
        if let Some(service) = service {
            let now = start.plus_seconds(first * 3_600);
            let branch = branch.branch("service").branch(&number.to_string());
            recommend((world, &users, &watched), service, &branch, now, &mut sway);
        }
        let before = watched.len();
        for hour in first..first + hours {
            let hour = start.plus_seconds(hour * 3_600);
            lives.play_hour_under((world, &model, &lives_branch), hour, &mut sway, &mut watched);
        }
        sway.settle(&watched[before..], f64::from(spec.round_days));
    }
    Some(Life {
        service: service.map(|service| service.name().to_owned()),
        viewings: watched.split_off(history),
        gone: users.iter().map(|user| sway.gone(*user)).collect(),
        leanings: users.iter().map(|user| *sway.leaning(*user)).collect(),
    })
}

/// Trains a service on what was watched and puts its lists before everybody: the best twenty that they have not seen.
fn recommend(
    (world, users, watched): (&World, &[UserId], &[Viewing]),
    service: &dyn Service,
    branch: &Branch,
    now: SimTime,
    sway: &mut Sway,
) {
    let data = log_dataset(world, users, watched);
    let ranker = service.learn(&data, branch);
    let day = day_of_term(now);
    let to_be_had: Vec<bool> = world
        .movie_indices()
        .map(|movie| world.arrived(movie).is_none_or(|arrived| arrived <= day))
        .collect();
    let met = data.by_user();
    let mut scores = vec![0.0; data.movies.len()];
    for (place, user) in users.iter().enumerate() {
        ranker.scores(place, &mut scores);
        for meeting in &met[place] {
            scores[meeting.movie as usize] = f64::NEG_INFINITY;
        }
        let mut order: Vec<usize> = (0..scores.len())
            .filter(|movie| to_be_had[*movie] && scores[*movie] > f64::NEG_INFINITY)
            .collect();
        let by_score = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
        if order.len() > LIST {
            order.select_nth_unstable_by(LIST, by_score);
            order.truncate(LIST);
        }
        order.sort_unstable_by(by_score);
        let list = order.into_iter().map(|movie| MovieIndex(movie as u32)).collect();
        sway.show(world, *user, list);
    }
}

/// Returns the first day of the term that figures are taken from: its second half, when the loop has gone round.
pub(super) fn window_from(spec: TwinSpec) -> SimTime {
    let days = i64::from(spec.rounds * spec.round_days / 2);
    term_start().plus_seconds(days * DAY_S)
}
