//! The measures that a run can produce: their names, units, and one sentence each.

use crate::scorecard::{MeasureInfo, Method};

/// Every measure, in the order in which reports list them. `docs/reference/metrics.md` holds the definitions.
pub const MEASURES: &[MeasureInfo] = &[
    fact(
        "service.starts",
        "the service builds, starts and answers its real route before the limit",
    ),
    census(
        "answers.count",
        "count",
        "successful answers: in time, status 200, a valid list",
    ),
    sampled(
        "answers.valid_share",
        "share",
        "of the answers that came back to known users, those that are valid lists",
    ),
    sampled(
        "answers.in_time_share",
        "share",
        "of all requests at the ordinary rate, those answered successfully in time",
    ),
    sampled(
        "answers.peak_in_time_share",
        "share",
        "of all requests at the highest rate, those answered successfully in time",
    ),
    census(
        "availability.share",
        "share",
        "of the seconds of the run in which somebody asked, those with a successful answer",
    ),
    census(
        "throughput.rps",
        "rps",
        "successful answers a second, over the measured phases",
    ),
    sampled(
        "latency.p50_ms",
        "ms",
        "the median latency at the ordinary rate, from the intended time",
    ),
    sampled(
        "latency.p95_ms",
        "ms",
        "the 95th percentile of latency at the ordinary rate, from the intended time",
    ),
    sampled(
        "latency.p99_ms",
        "ms",
        "the 99th percentile of latency at the ordinary rate, from the intended time",
    ),
    census(
        "odd.handled_share",
        "share",
        "of the odd requests, those that got an HTTP answer below 500",
    ),
    sampled(
        "new_users.valid_share",
        "share",
        "of the answers that came back to users without history, those that are valid lists",
    ),
    truth(
        "new_users.score",
        "score",
        "expected enjoyment of the lists of users without history: 0 is a list at random, 1 the most popular list",
    ),
    census(
        "personalised.share",
        "share",
        "of all requests, those answered with a list that is made for the user",
    ),
    truth(
        "accuracy.score",
        "score",
        "expected enjoyment of the lists: 0 is the most popular list, 1 the oracle's",
    ),
    sampled(
        "accuracy.ndcg_at_20",
        "score",
        "NDCG@20 on what the users watched afterwards",
    ),
    sampled(
        "accuracy.hit_rate_at_20",
        "share",
        "of the users, those who watched one of the 20 afterwards",
    ),
    sampled(
        "accuracy.recall_at_20",
        "share",
        "of what a user watched afterwards, the part that was among the 20",
    ),
    sampled(
        "accuracy.ndcg_lift",
        "score",
        "NDCG@20 on held-out behaviour minus that of the most popular list, user by user",
    ),
    truth(
        "fairness.gap",
        "score",
        "the largest gap of regret to the oracle between a group of users and the rest",
    ),
    truth(
        "fairness.adjusted_gap",
        "score",
        "the largest gap of regret to the oracle between a group of users and others with as long a history",
    ),
    sampled(
        "fairness.ndcg_gap",
        "score",
        "the largest gap of NDCG@20 on held-out behaviour between a group of users and the rest",
    ),
    census(
        "coverage.share",
        "share",
        "of the catalogue, the part that was recommended to anybody",
    ),
    census(
        "novelty.bits",
        "bits",
        "how rarely watched the recommended movies are: mean -log2 of their share of viewers",
    ),
    census(
        "diversity.ild",
        "score",
        "how different the movies of one list are: mean Jaccard distance of their genres",
    ),
    census(
        "exposure.gini",
        "score",
        "how unequally exposure falls on the catalogue: 0 is equal, 1 is one movie alone",
    ),
    census(
        "exposure.top_share",
        "share",
        "the share of all exposure that the twenty most exposed movies get",
    ),
    census(
        "cost.per_play",
        "usd",
        "what a play from the lists costs the company, by the exposure of their movies; not in the classic contract",
    ),
    truth_census(
        "minors.unsuitable_share",
        "share",
        "of the users under 18 who were asked about, those who got a movie for adults only",
    ),
    census(
        "telemetry.requests_error",
        "share",
        "how far the service's own count of requests is from what was sent, as a share of it",
    ),
    fact(
        "telemetry.latency_agrees",
        "the median latency lies in the bucket in which the service's own histogram has it",
    ),
    census(
        "provenance.named_share",
        "share",
        "of sampled lists, those whose model, code and data the service names, and which are in the repository",
    ),
    census(
        "experiment.sticky_share",
        "share",
        "of users asked for their arm twice, those who got the same announced arm both times",
    ),
    sampled(
        "experiment.split_gap",
        "share",
        "how far the arm's share that is farthest off is from what was announced",
    ),
    fact(
        "experiment.conclusion_right",
        "the reported difference, p-value and verdict follow from the reported numbers",
    ),
    census(
        "update.count",
        "count",
        "updates during the run after which the service names another model",
    ),
    census(
        "update.failed_share",
        "share",
        "of the requests due while models changed, those that failed",
    ),
    census(
        "incidents.answered_share",
        "share",
        "of the requests during an incident, those that went well, in the incident where they are fewest",
    ),
    census(
        "incidents.after_share",
        "share",
        "of the requests after an incident, those that went well, in the incident where they are fewest",
    ),
    census(
        "incidents.noticed_share",
        "share",
        "of the incidents, those that raised the service's own alert",
    ),
    truth_census(
        "attack.reach_rise",
        "share",
        "how much larger the share of lists with a pushed movie is once the service has learnt from attacked data",
    ),
    census(
        "takedown.obeyed_share",
        "share",
        "of the lists after the grace, those without the movie that was withdrawn",
    ),
    fact(
        "repository.tests_pass",
        "the repository's own tests run, are at least one, and pass",
    ),
    census(
        "repository.credentials",
        "count",
        "credentials that any version of any file in the repository's history holds",
    ),
    census(
        "repository.described_share",
        "share",
        "of the commits beyond the first and without merges, those whose subject says what was done",
    ),
    census(
        "repository.large_share",
        "share",
        "of the commits beyond the first and without merges, those that change more lines than one can read at once",
    ),
    census(
        "repository.coverage_share",
        "share",
        "of the lines of the commit's code that is no test, those that ran in the tests, by the report that these wrote",
    ),
    census(
        "evaluation.leak_share",
        "share",
        "of the events that the offline evaluation tests on, those that its model could have learnt from or after",
    ),
    census(
        "readme.commands_share",
        "share",
        "of the blocks of commands that the README marks to be run, those that run well one after the other",
    ),
    fact(
        "report.there",
        "the report is in the submitted commit, and is one: a hundred words at least",
    ),
    census("report.words", "count", "words of the report, without code"),
    census(
        "report.linked_files",
        "count",
        "files of the repository, at a commit, that the report links to",
    ),
    census(
        "report.links_share",
        "share",
        "of the report's links and images that lead into the repository, those that lead to what is there",
    ),
    census("report.images", "count", "images that the report shows"),
    census(
        "report.described_share",
        "share",
        "of the images of README and reports, those with a text that says what they show",
    ),
    fact(
        "ci.tests_on_push",
        "a configuration of continuous integration runs tests at each push, and their failure is seen",
    ),
    fact(
        "container.sound",
        "the container file has fixed bases, a user who is not root, the contract's port, and says what is started",
    ),
    fact(
        "container.builds",
        "the container file builds, with the tool that the grading machine has",
    ),
    fact(
        "tool.claimed",
        "`tool.toml` in the commit says which tool the submission is about, and where its source is",
    ),
    class_census(
        "tool.others",
        "count",
        "other submissions of the class that claim the same tool",
    ),
    truth_census(
        "claims.found_share",
        "share",
        "of the troubles that the log can show, those that the team has found",
    ),
    truth_census(
        "claims.false_count",
        "count",
        "claims of troubles that are not there",
    ),
];

const fn fact(id: &'static str, about: &'static str) -> MeasureInfo {
    MeasureInfo {
        id,
        unit: "fact",
        method: Method::Fact,
        in_check: true,
        about,
    }
}

const fn census(id: &'static str, unit: &'static str, about: &'static str) -> MeasureInfo {
    MeasureInfo {
        id,
        unit,
        method: Method::Census,
        in_check: true,
        about,
    }
}

const fn sampled(id: &'static str, unit: &'static str, about: &'static str) -> MeasureInfo {
    MeasureInfo {
        id,
        unit,
        method: Method::Sampled,
        in_check: true,
        about,
    }
}

/// A measure that needs the truth, which a student's copy does not have.
const fn truth(id: &'static str, unit: &'static str, about: &'static str) -> MeasureInfo {
    MeasureInfo {
        id,
        unit,
        method: Method::Sampled,
        in_check: false,
        about,
    }
}

/// A count that needs the truth, which a student's copy does not have.
const fn truth_census(id: &'static str, unit: &'static str, about: &'static str) -> MeasureInfo {
    MeasureInfo {
        id,
        unit,
        method: Method::Census,
        in_check: false,
        about,
    }
}

/// A count that only a class has.
const fn class_census(id: &'static str, unit: &'static str, about: &'static str) -> MeasureInfo {
    truth_census(id, unit, about)
}

/// Returns what is known of a measure.
pub fn info(id: &str) -> Option<&'static MeasureInfo> {
    MEASURES.iter().find(|measure| measure.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_is_defined_in_the_docs() {
        let docs = include_str!("../../docs/reference/metrics.md");
        let missing: Vec<&str> = MEASURES
            .iter()
            .map(|measure| measure.id)
            .filter(|id| !docs.contains(&format!("`{id}`")))
            .collect();
        assert!(
            missing.is_empty(),
            "docs/reference/metrics.md does not define {missing:?}"
        );
    }

    #[test]
    fn no_measure_has_two_rows() {
        for (place, measure) in MEASURES.iter().enumerate() {
            assert!(
                MEASURES[place + 1..].iter().all(|other| other.id != measure.id),
                "`{}`",
                measure.id
            );
        }
    }
}
