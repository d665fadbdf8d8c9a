//! The open-loop schedule: who asks when, fixed by the seed before the first request.

use crate::exchange::{Phase, Planned, RequestKind};
use crate::seed::{Branch, Draws};

/// How much is asked, and how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Workload {
    /// The seconds of the unmeasured beginning, and its rate a second.
    pub warmup: (f64, f64),
    /// The seconds at the ordinary rate, and that rate.
    pub steady: (f64, f64),
    /// The seconds at the highest rate, and that rate.
    pub peak: (f64, f64),
    /// The share of odd requests after the warm-up.
    pub odd_share: f64,
    /// The share of requests by users without history.
    pub new_share: f64,
    /// How many known users are asked about twice each, for accuracy, fairness and personalisation.
    pub probes: u32,
}

impl Workload {
    /// Returns the moments at which a service is given a new model while it is asked, in seconds from the first request: a
    /// third and two thirds into the ordinary rate.
    pub fn update_moments(&self) -> [f64; 2] {
        let (warmup, steady) = (self.warmup.0, self.steady.0);
        [warmup + steady / 3.0, warmup + steady * 2.0 / 3.0]
    }
}

/// Who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Population {
    /// Users whose behaviour was released.
    pub known: Vec<u32>,
    /// Users of the company of whom nothing was released.
    pub new: Vec<u32>,
    /// The largest number that a user has.
    pub max_user: u32,
}

/// The swing of the rate around its mean: a day's shape, compressed into a phase.
const SWING: f64 = 0.3;
/// The largest number of requests in one schedule.
const MOST: usize = 1_000_000;

/// Returns the phases of a workload with their beginnings and ends in seconds.
pub fn phases(workload: &Workload) -> [(Phase, f64, f64); 3] {
    let steady = workload.warmup.0;
    let peak = steady + workload.steady.0;
    [
        (Phase::WarmUp, 0.0, steady),
        (Phase::Steady, steady, peak),
        (Phase::Peak, peak, peak + workload.peak.0),
    ]
}

/// Decides a whole run: Poisson arrivals with a daily shape by thinning (Lewis and Shedler 1979), and who asks for what.
///
/// The same workload, population and branch give the same schedule. Each probe user is asked about exactly twice, in the
/// steady phase; as far as the service can tell, probes are requests like any other.
pub fn schedule(workload: &Workload, population: &Population, branch: &Branch) -> Vec<Planned> {
    let mut times = branch.branch("times").at(0);
    let mut arrivals: Vec<(f64, Phase)> = Vec::new();
    for (phase, from, to) in phases(workload) {
        let rate = match phase {
            Phase::WarmUp => workload.warmup.1,
            Phase::Steady => workload.steady.1,
            Phase::Peak => workload.peak.1,
            Phase::Incident => continue,
        };
        arrive(&mut times, (from, to), rate, &mut |time| {
            arrivals.push((time, phase));
        });
    }
    arrivals.truncate(MOST);
    let mut who = branch.branch("who").at(0);
    let mut known = population.known.clone();
    branch.branch("probes").at(0).shuffle(&mut known);
    let steady: Vec<usize> = (0..arrivals.len())
        .filter(|place| arrivals[*place].1 == Phase::Steady)
        .collect();
    let probes = probe_places(
        &known,
        workload.probes,
        &steady,
        &mut branch.branch("places").at(0),
    );
    arrivals
        .iter()
        .enumerate()
        .map(|(place, (time, phase))| {
            let asked = probes.get(&place).copied();
            let (kind, path, user) = match asked {
                Some(user) => (RequestKind::Known, format!("/recommend/{user}"), Some(user)),
                None => ask(&mut who, *phase, workload, population),
            };
            let intended_ns = (time * 1e9).round() as u64;
            Planned {
                seq: place as u32,
                intended_ns,
                phase: *phase,
                kind,
                path,
                user,
            }
        })
        .collect()
}

/// Requests that an incident adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// When they begin, in seconds from the first request.
    pub from_s: f64,
    /// When they end.
    pub to_s: f64,
    /// How many a second.
    pub rate: f64,
    /// Who sends them.
    pub kind: RequestKind,
}

/// Decides the requests of the phase of incidents, which follows the others: the ordinary ones between two moments, with no odd
/// ones among them, and on top what incidents add. `first` is the place in the schedule of the first.
pub fn incident_schedule(
    (from_s, to_s): (f64, f64),
    bursts: &[Burst],
    workload: &Workload,
    population: &Population,
    branch: &Branch,
    first: u32,
) -> Vec<Planned> {
    let plain = Workload {
        odd_share: 0.0,
        ..*workload
    };
    let mut times = branch.branch("incidents").at(0);
    let mut who = branch.branch("incidents who").at(0);
    let mut all: Vec<(f64, RequestKind, String, Option<u32>)> = Vec::new();
    let mut moments = Vec::new();
    arrive(&mut times, (from_s, to_s), workload.steady.1, &mut |time| {
        moments.push(time);
    });
    for time in moments.drain(..) {
        let (kind, path, user) = ask(&mut who, Phase::Incident, &plain, population);
        all.push((time, kind, path, user));
    }
    for burst in bursts {
        arrive(&mut times, (burst.from_s, burst.to_s), burst.rate, &mut |time| {
            moments.push(time);
        });
        for time in moments.drain(..) {
            let (kind, path, user) = if burst.kind == RequestKind::Odd {
                let path = format!("/recommend/{}", odd_id(&mut who, population.max_user));
                (RequestKind::Odd, path, None)
            } else {
                ask(&mut who, Phase::Incident, &plain, population)
            };
            all.push((time, kind, path, user));
        }
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.truncate(MOST);
    all.into_iter()
        .zip(first..)
        .map(|((time, kind, path, user), seq)| Planned {
            seq,
            intended_ns: (time * 1e9).round() as u64,
            phase: Phase::Incident,
            kind,
            path,
            user,
        })
        .collect()
}

fn arrive(draws: &mut Draws, (from, to): (f64, f64), rate: f64, push: &mut dyn FnMut(f64)) {
    if rate <= 0.0 || to <= from {
        return;
    }
    let most = rate * (1.0 + SWING);
    let mut time = from;
    loop {
        time += draws.exponential() / most;
        if time >= to {
            return;
        }
        let turn = std::f64::consts::TAU * (time - from) / (to - from);
        let now = rate * (1.0 - SWING * libm::cos(turn));
        if draws.chance(now / most) {
            push(time);
        }
    }
}

/// Gives each probe user two places of the steady phase, one in each half, so that the two are apart.
fn probe_places(
    known: &[u32],
    probes: u32,
    steady: &[usize],
    draws: &mut Draws,
) -> std::collections::BTreeMap<usize, u32> {
    let (first, second) = steady.split_at(steady.len() / 2);
    let count = (probes as usize)
        .min(known.len())
        .min(first.len())
        .min(second.len());
    let mut places = std::collections::BTreeMap::new();
    for half in [first, second] {
        let mut half = half.to_vec();
        draws.shuffle(&mut half);
        for (user, place) in known[..count].iter().zip(half) {
            places.insert(place, *user);
        }
    }
    places
}

fn ask(
    draws: &mut Draws,
    phase: Phase,
    workload: &Workload,
    population: &Population,
) -> (RequestKind, String, Option<u32>) {
    let coin = draws.unit();
    let pick = |users: &[u32], draws: &mut Draws| users[draws.below(users.len() as u64) as usize];
    if phase != Phase::WarmUp && coin < workload.odd_share {
        return (
            RequestKind::Odd,
            format!("/recommend/{}", odd_id(draws, population.max_user)),
            None,
        );
    }
    let new = coin < workload.odd_share + workload.new_share && !population.new.is_empty();
    if new || population.known.is_empty() {
        let user = if population.new.is_empty() {
            1
        } else {
            pick(&population.new, draws)
        };
        return (RequestKind::New, format!("/recommend/{user}"), Some(user));
    }
    let user = pick(&population.known, draws);
    (RequestKind::Known, format!("/recommend/{user}"), Some(user))
}

/// Draws an id that no client should send, already encoded for a path.
pub fn odd_id(draws: &mut Draws, max_user: u32) -> String {
    match draws.below(12) {
        0 => "0".to_owned(),
        1 => "-1".to_owned(),
        2 => format!("{}", u64::from(max_user) + 1 + draws.below(1_000)),
        3 => format!("1{}", "0".repeat(30)),
        4 => "abc".to_owned(),
        5 => "1.5".to_owned(),
        6 => "None".to_owned(),
        7 => "%20".to_owned(),
        8 => "%27%20OR%201%3D1".to_owned(),
        9 => "%F0%9F%8E%AC".to_owned(),
        10 => "a".repeat(300),
        _ => "undefined".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::seed::Key;

    fn workload() -> Workload {
        Workload {
            warmup: (2.0, 10.0),
            steady: (30.0, 40.0),
            peak: (8.0, 120.0),
            odd_share: 0.03,
            new_share: 0.1,
            probes: 300,
        }
    }

    fn population() -> Population {
        Population {
            known: (1..=500).collect(),
            new: (501..=600).collect(),
            max_user: 600,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_another() {
        let plan = |seed| {
            schedule(
                &workload(),
                &population(),
                &Key::from_seed(seed).branch("traffic"),
            )
        };
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn rates_shares_and_probes_are_as_ordered() {
        let plan = schedule(&workload(), &population(), &Key::from_seed(1).branch("traffic"));
        assert!(
            plan.windows(2)
                .all(|pair| pair[0].intended_ns <= pair[1].intended_ns)
        );
        let count =
            |test: &dyn Fn(&Planned) -> bool| plan.iter().filter(|planned| test(planned)).count() as f64;
        assert!((count(&|planned| planned.phase == Phase::Steady) - 1200.0).abs() < 120.0);
        assert!((count(&|planned| planned.phase == Phase::Peak) - 960.0).abs() < 100.0);
        assert!((count(&|planned| planned.kind == RequestKind::Odd) / plan.len() as f64 - 0.03).abs() < 0.02);
        let mut asked: BTreeMap<u32, usize> = BTreeMap::new();
        for user in plan
            .iter()
            .filter(|planned| planned.phase == Phase::Steady)
            .filter_map(|planned| planned.user)
        {
            *asked.entry(user).or_default() += 1;
        }
        assert!(asked.values().filter(|times| **times >= 2).count() >= 300);
    }

    #[test]
    fn incidents_add_to_the_ordinary_rate_and_to_nothing_else() {
        let burst = Burst {
            from_s: 45.0,
            to_s: 50.0,
            rate: 100.0,
            kind: RequestKind::Odd,
        };
        let branch = Key::from_seed(1).branch("traffic");
        let plan = incident_schedule((41.0, 61.0), &[burst], &workload(), &population(), &branch, 700);
        assert!(plan.iter().zip(700..).all(|(planned, seq)| planned.seq == seq));
        assert!(
            plan.windows(2)
                .all(|pair| pair[0].intended_ns <= pair[1].intended_ns)
        );
        let odd: Vec<f64> = plan
            .iter()
            .filter(|planned| planned.kind == RequestKind::Odd)
            .map(|planned| planned.intended_ns as f64 / 1e9)
            .collect();
        assert!((odd.len() as f64 - 500.0).abs() < 80.0);
        assert!(odd.iter().all(|at| (45.0..50.0).contains(at)));
        assert!(((plan.len() - odd.len()) as f64 - 800.0).abs() < 100.0);
        assert!(plan.iter().all(|planned| planned.phase == Phase::Incident));
    }

    #[test]
    fn counts_in_windows_are_poisson() {
        let flat = Workload {
            steady: (400.0, 50.0),
            warmup: (0.0, 0.0),
            peak: (0.0, 0.0),
            ..workload()
        };
        let plan = schedule(&flat, &population(), &Key::from_seed(5).branch("traffic"));
        // In short windows the daily shape hardly matters: variance over mean is 1.
        let mut counts = vec![0.0_f64; 4_000];
        for planned in &plan {
            counts[(planned.intended_ns / 100_000_000) as usize] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / counts.len() as f64;
        assert!(
            (variance / mean - 1.0 - 0.225).abs() < 0.15,
            "{}",
            variance / mean
        );
    }
}
