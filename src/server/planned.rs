//! What of the calendar's incidents the open company runs by itself, and what it does then (pure).

use crate::company::ApiFault;
use crate::event::SimTime;
use crate::incident::{Incidents, Kind, Part};

/// Something of the calendar that the server runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// What it is, in words.
    pub what: String,
    /// The first moment.
    pub from: SimTime,
    /// The first moment after it.
    pub until: SimTime,
    /// What it does.
    pub deed: Deed,
}

/// What something planned does.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// A fault of the API.
    Api(ApiFault),
    /// The API refuses connections.
    NoApi,
    /// So many times as many viewers.
    Spike(f64),
    /// So many requests a second, to each team, that nobody should send.
    Odd(f64),
}

/// Returns what the server runs of a milestone's incidents, and the names of those with a date that it cannot run: a drift is a
/// habit of the whole world, and what concerns lines or movies is played where a repository is graded.
pub fn planned(milestone: &str, incidents: &Incidents) -> (Vec<Planned>, Vec<String>) {
    let (mut run, mut left) = (Vec::new(), Vec::new());
    for incident in &incidents.0 {
        let Some(dates) = incident.calendar else { continue };
        let name = format!("{milestone}/{}", incident.name);
        let deed = match &incident.kind {
            Kind::DependencyLoss(Part::Api) => Some(Deed::NoApi),
            Kind::TrafficSpike { factor } => Some(Deed::Spike(*factor)),
            Kind::BadRequests { rate } => Some(Deed::Odd(*rate)),
            other => ApiFault::of(other).map(Deed::Api),
        };
        match deed {
            Some(deed) => run.push(Planned {
                name,
                what: incident.kind.describe(),
                from: dates.from,
                until: dates.until,
                deed,
            }),
            None => left.push(name),
        }
    }
    (run, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dated_incidents_are_run_and_those_that_cannot_be_are_named() {
        let dates = "from = '2026-09-10'\nuntil = '2026-09-11'\n";
        let kinds = [
            "kind = 'api_outage'\nhow = 'error'",
            "kind = 'api_schema_change'\nform = 'renamed'",
            "kind = 'dependency_loss'\npart = 'api'",
            "kind = 'dependency_loss'\npart = 'stream'",
            "kind = 'traffic_spike'\nfactor = 3",
            "kind = 'bad_requests'\nrate = 5",
            "kind = 'takedown'\ngrace_s = 9",
        ];
        let all: String = kinds
            .map(|kind| format!("[[incident]]\n{kind}\n{dates}"))
            .concat();
        let drill = "[[incident]]\nkind = 'bad_requests'\nfor_s = 3\n";
        let text = format!("schema = 'reelworld/incidents/v1'\n{all}{drill}");
        let incidents = Incidents::parse("incidents.toml", &text, 100).unwrap();
        let (run, left) = planned("m3", &incidents);
        assert_eq!(left, ["m3/dependency_loss-4", "m3/takedown-7"]);
        let deeds: Vec<&Deed> = run.iter().map(|planned| &planned.deed).collect();
        assert!(
            matches!(
                deeds[..],
                [
                    Deed::Api(_),
                    Deed::Api(_),
                    Deed::NoApi,
                    Deed::Spike(3.0),
                    Deed::Odd(5.0)
                ]
            ),
            "{deeds:?}"
        );
        assert!(run.iter().all(|planned| planned.from < planned.until));
    }
}
