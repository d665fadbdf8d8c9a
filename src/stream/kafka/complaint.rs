//! What the client of Kafka says of its connections, kept so that an error can say why nobody answered.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use super::fault;
use crate::stream::StreamError;

/// The last that a client has complained of. Of a call that was not answered Kafka's client tells no more than that; why
/// (a password, a certificate, nobody at that port) stands in its log alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Complaint(Arc<Mutex<Option<String>>>);

impl Complaint {
    /// Returns the fault of a call with what the client has complained of.
    pub(super) fn explain(&self, error: KafkaError) -> StreamError {
        match (
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            error,
        ) {
            // The settings are wrong: no connection was tried.
            (_, error @ KafkaError::ClientConfig(..)) | (None, error) => fault(error),
            (Some(why), error) => StreamError::Unavailable(format!("{error}: {why}")),
        }
    }
}

impl ClientContext for Complaint {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        if (level as i32) <= RDKafkaLogLevel::Error as i32 {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(said(message).to_owned());
        }
    }

    // What it says here of all servers it has said of each before.
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Complaint {}

/// Returns a line of the client's log without the name of its thread.
fn said(line: &str) -> &str {
    let rest = line
        .strip_prefix("[thrd:")
        .and_then(|rest| rest.split_once("]: "));
    rest.map_or(line, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    #[test]
    fn the_last_complaint_explains_why_nobody_answered() {
        let silent = KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure);
        let complaint = Complaint::default();
        let plain = complaint.explain(silent.clone()).to_string();
        complaint.log(
            RDKafkaLogLevel::Error,
            "FAIL",
            "[thrd:a:1/bootstrap]: a:1/bootstrap: refused",
        );
        complaint.log(
            RDKafkaLogLevel::Error,
            "FAIL",
            "[thrd:a:1/bootstrap]: a:1/bootstrap: no such user",
        );
        complaint.log(RDKafkaLogLevel::Info, "FAIL", "it tries again");
        assert_eq!(
            complaint.explain(silent).to_string(),
            format!("{plain}: a:1/bootstrap: no such user")
        );
        assert_eq!(said("[thrd:main] and no more"), "[thrd:main] and no more");
    }
}
