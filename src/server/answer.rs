//! How the outcome of a request stands in the stream: the server, the status, the result (pure).

use crate::event::Event;
use crate::exchange::Outcome;

/// The letters of a result that is no list.
const MOST_RESULT: usize = 300;

/// Returns the line's event; none for what is our own fault and counts for nobody.
pub(super) fn event(server: &str, outcome: &Outcome, millis: u32, deadline_ms: u64) -> Option<Event> {
    let failed = |kind: &str, told: &str| (0, format!("java.{kind}: {told}"));
    let (status, result) = match outcome {
        Outcome::Answered { ids } => (200, ids.join(", ")),
        // A body that is cut where it says too much could end in what is a list.
        Outcome::Malformed { body, .. } if body.is_empty() => (200, String::new()),
        Outcome::Malformed { body, .. } => (200, body.clone()),
        Outcome::Status { code, body } => (*code, body.clone()),
        Outcome::TimedOut => failed(
            "util.concurrent.TimeoutException",
            &format!("Request timeout to {server} after {deadline_ms} ms"),
        ),
        Outcome::Refused { error } => failed("net.ConnectException", error),
        Outcome::Unreadable { error } => failed("io.IOException", error),
        Outcome::Ours { .. } => return None,
    };
    Some(Event::Recommend {
        server: server.to_owned(),
        status,
        result: one_line(&result),
        millis,
    })
}

fn one_line(text: &str) -> String {
    if text.len() <= 2_000 && !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .take(MOST_RESULT)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Record, SimTime};
    use crate::exchange::Malformed;
    use crate::world::Profile;

    #[test]
    fn every_outcome_but_our_own_fault_is_a_line_that_reads_back() {
        let cases = [
            (
                Outcome::Answered {
                    ids: vec!["a+2000".to_owned(), "b+".to_owned()],
                },
                200,
                "a+2000, b+",
            ),
            (
                Outcome::TimedOut,
                0,
                "java.util.concurrent.TimeoutException: Request timeout to t:1 after 800 ms",
            ),
            (
                Outcome::Refused {
                    error: "a: b, c".to_owned(),
                },
                0,
                "java.net.ConnectException: a: b, c",
            ),
            (
                Outcome::Status {
                    code: 500,
                    body: "<html>\nx".to_owned(),
                },
                500,
                "<html> x",
            ),
            (
                Outcome::Malformed {
                    reason: Malformed::Empty,
                    body: String::new(),
                },
                200,
                "",
            ),
        ];
        for (outcome, wanted_status, wanted) in cases {
            let event = event("t:1", &outcome, 12, 800).unwrap();
            let record = Record {
                time: SimTime::from_date(2026, 9, 1),
                user: 4,
                event,
            };
            let mut line = Vec::new();
            record.print(Profile::Classic, &mut line);
            let read = Record::parse(std::str::from_utf8(&line).unwrap()).unwrap();
            assert_eq!(read, record);
            let Event::Recommend { status, result, .. } = read.event else {
                panic!("{read:?}");
            };
            assert_eq!((status, result.as_str()), (wanted_status, wanted));
        }
        let ours = Outcome::Ours {
            reason: "no port".to_owned(),
        };
        assert_eq!(event("t:1", &ours, 1, 800), None);
    }
}
