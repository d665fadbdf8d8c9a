//! The command line: what may be said, and what each word means.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::course::Framework;
use crate::stream::At;
use crate::yardstick::{LogFormat, Size};

/// The pretend movie-streaming company, and the grader of the services built for it
#[derive(Debug, Parser)]
#[command(
    name = "reelworld",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = "Start here:
  reelworld demo                      see the whole loop on this machine, nothing to set up
  reelworld check                     in a team's repository: where does the team stand
  reelworld grade m1 submissions/*    in a course folder: grades with their evidence

Exit codes: 0 all passed, 1 something failed, 2 arguments or course files at fault,
3 nothing failed but something could not be told, 4 this machine cannot do it,
70 our bug, 130 interrupted")]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Course folder whose files override the built-in course; the current folder if it holds a course.toml
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) course: Option<PathBuf>,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(super) color: Colour,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    /// On a terminal alone
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Plays the whole loop on this machine: world, starter, services, viewers, grades, pages
    Demo(Demo),
    /// Copies the built-in course to a folder, with a world key of its own, to edit
    New(New),
    /// Makes teams' repositories for a milestone, and keeps them up to date
    #[command(subcommand)]
    Starter(StarterCommand),
    /// Tells a team where its service stands; not a grade
    Check(Check),
    /// Runs a milestone's incidents at once against one's own service, and tells how it responds to each
    Drill(Drill),
    /// Grades submissions, a folder each
    Grade(Grade),
    /// Measures submissions for a grading run on another machine, which put them on a queue
    Worker(Worker),
    /// Shows a finished or interrupted run again, from its evidence
    Report(Report),
    /// Tells whose lists of a graded class are more alike than good models are; for a person to look at
    Alike(Alike),
    /// Looks after rubrics
    #[command(subcommand)]
    Rubric(RubricCommand),
    /// Plays the company without its doors: events to a file, to the terminal or to nowhere
    Simulate(Simulate),
    /// Opens the company all semester: every team's viewers and stream, the API, live pages, a record for grades
    Serve(Serve),
    /// Tells how every team has responded to the incidents that the open company has run; for staff
    Incidents(IncidentsArgs),
    /// Reads topics of the company's log, and carries them elsewhere
    #[command(subcommand)]
    Log(LogCommand),
    /// Serves the topics of an archive to every client of Kafka, on this machine, without a Kafka
    Broker(BrokerArgs),
    /// Looks at worlds and logs: how lifelike they are, what is wrong with them, foreign ones as the company's own files
    #[command(subcommand)]
    World(WorldCommand),
    /// Tells what this machine can do, and what to install for the rest
    Doctor(Doctor),
    /// Prints completions for a shell
    #[command(
        after_help = "Example:\n  reelworld completions bash > ~/.local/share/bash-completion/completions/reelworld"
    )]
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Prints the man page
    #[command(after_help = "Example:\n  reelworld man | man -l -")]
    Man,
}

/// Plays the whole loop.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld demo
  reelworld demo --out /tmp/tour --seed 3
  reelworld demo --no-python        use the services that are built into this program")]
pub(super) struct Demo {
    /// Folder to leave everything in; must be new or an earlier demo's
    #[arg(long, default_value = "reelworld-demo", value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Seed of the practice world and of the traffic
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub(super) seed: u64,
    /// Use the services built into this program even where there is a Python
    #[arg(long)]
    pub(super) no_python: bool,
    /// Print the class as JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// Copies the built-in course.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  reelworld new my-course && cd my-course && reelworld rubric lint")]
pub(super) struct New {
    /// Folder to make
    #[arg(value_name = "DIR")]
    pub(super) dir: PathBuf,
}

/// Opens the company.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld serve --state /var/lib/reelworld --pages 0.0.0.0:8090 --api 0.0.0.0:8080
  reelworld serve --state /var/lib/reelworld --store postgres://reelworld@localhost/reelworld
  reelworld serve --state rehearsal --at 2026-09-28T08:00 --speed 600   ten minutes a second
  reelworld serve --state rehearsal --broker 127.0.0.1:9092              streams for clients of Kafka, without Kafka
  reelworld serve --state /var/lib/reelworld --kafka kafka1:9092,kafka2:9092 --kafka-config client.properties
  reelworld serve --tokens                                  the address of each team's own page

The teams are those of course.toml that have an address. Stop it with Ctrl-C or SIGTERM; however it ends, the next
start goes on where the streams end. The log of the server itself is JSON, a line an event, on standard error.")]
pub(super) struct Serve {
    /// Folder of the streams and, unless --store says otherwise, of the store
    #[arg(long, default_value = "reelworld-state", value_name = "DIR")]
    pub(super) state: PathBuf,
    /// Store: postgres://user@host/database, or a file of SQLite; store.sqlite in the state's folder if not given
    #[arg(long, value_name = "STORE")]
    pub(super) store: Option<String>,
    /// Address of the live pages, of /health and of /metrics
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    pub(super) pages: String,
    /// Address of the company's API
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(super) api: String,
    /// Moment of the calendar at which it begins, to rehearse; now if not given
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<String>,
    /// Company seconds a second, to rehearse; as many viewers fewer come, so that the load stays the same
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    pub(super) speed: f64,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) stop_after: Option<f64>,
    /// Serve the streams at this address to clients of Kafka, by a broker of our own for one machine
    #[arg(long, value_name = "ADDRESS")]
    pub(super) broker: Option<SocketAddr>,
    /// Host that the broker tells its clients to come to; the one that is listened at if not given
    #[arg(long, requires = "broker", value_name = "HOST")]
    pub(super) advertise: Option<String>,
    /// Carry the streams on to Apache Kafka: host:port, several with commas
    #[arg(long, value_name = "SERVERS")]
    pub(super) kafka: Option<String>,
    /// File of settings for the client of Kafka, KEY=VALUE a line: security.protocol, sasl.username, ssl.ca.location
    #[arg(long, requires = "kafka", value_name = "FILE")]
    pub(super) kafka_config: Option<PathBuf>,
    /// Partitions of a topic of Kafka that is made
    #[arg(long, requires = "kafka", default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) kafka_partitions: u32,
    /// Copies of each
    #[arg(long, requires = "kafka", default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=9))]
    pub(super) kafka_replication: u32,
    /// Print the address of each team's own page, with its token, and end
    #[arg(long)]
    pub(super) tokens: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum StarterCommand {
    /// Writes a repository that works and leaves everything to improve
    New(StarterNew),
    /// Merges a newer starter into teams' repositories, each on a branch of its own
    Update(StarterUpdate),
}

/// Writes starter repositories.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld starter new m1 --team falcons
  reelworld starter new m1 --team falcons --framework flask --dir repos/falcons
  reelworld starter new m1 --all                        one for each [[team]] of course.toml, in repos/
  reelworld starter new m1 --all --remote git@git.example.edu:mlip/{team}.git          prints how to push
  reelworld starter new m1 --all --remote git@git.example.edu:mlip/{team}.git --push   and this pushes

A team's word for the company's pages goes to .env, which git does not take up and nobody else can read.")]
pub(super) struct StarterNew {
    /// Milestone to start
    #[arg(value_name = "MILESTONE")]
    pub(super) milestone: String,
    /// Name of the team: letters, digits, dots, hyphens and underscores
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(super) team: Option<String>,
    /// Make the repository of every team of course.toml; those that are there already are left alone
    #[arg(long)]
    pub(super) all: bool,
    /// Folder to make, or with --all the folder to make them in; the team's name or repos if not given
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// What the service is written with
    #[arg(long, value_enum, default_value_t = FrameworkWord::Plain, value_name = "WORD")]
    pub(super) framework: FrameworkWord,
    /// Where repositories are kept, with {team} for the team's name
    #[arg(long, value_name = "URL")]
    pub(super) remote: Option<String>,
    /// Push there instead of printing how
    #[arg(long, requires = "remote")]
    pub(super) push: bool,
}

/// What the service of a starter is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FrameworkWord {
    /// Python's standard library alone
    Plain,
    /// Python with Flask
    Flask,
    /// Python with FastAPI
    Fastapi,
    /// Node.js' standard library alone
    Node,
}

impl From<FrameworkWord> for Framework {
    fn from(word: FrameworkWord) -> Self {
        match word {
            FrameworkWord::Plain => Self::Plain,
            FrameworkWord::Flask => Self::Flask,
            FrameworkWord::Fastapi => Self::Fastapi,
            FrameworkWord::Node => Self::Node,
        }
    }
}

/// Merges newer starters.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld starter update repos/*                    what the course's folder has newer, in every repository
  reelworld starter update repos/* --milestone m2     and what the next milestone adds
  reelworld starter update repos/falcons --json

Each repository gets a branch starter/MILESTONE-VERSION on what is checked out, which itself stays as it is. What
only the team has changed is never touched; what both have changed is between markers. Nothing of a repository is run.
Exit code 1: a repository was refused, or has conflicts that somebody must solve.")]
pub(super) struct StarterUpdate {
    /// Teams' repositories
    #[arg(required = true, value_name = "REPOSITORY")]
    pub(super) repositories: Vec<PathBuf>,
    /// Milestone to bring them to; the one that each is at if not given
    #[arg(long, value_name = "MILESTONE")]
    pub(super) milestone: Option<String>,
    /// Where repositories are kept, with {team} for the team's name
    #[arg(long, value_name = "URL")]
    pub(super) remote: Option<String>,
    /// Push the branches there instead of printing how
    #[arg(long, requires = "remote")]
    pub(super) push: bool,
    /// Print what has become of each file as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Checks one's own service.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld check                                   builds and starts the service of this folder
  reelworld check --service http://localhost:8082   asks one that is running already
  reelworld check --replay slowest                  sends the slowest requests of the last check again")]
pub(super) struct Check {
    /// Milestone to check
    #[arg(default_value = "m1", value_name = "MILESTONE")]
    pub(super) milestone: String,
    /// Address of a service that is running already, instead of starting the one of this folder
    #[arg(long, value_name = "URL")]
    pub(super) service: Option<String>,
    /// Team's repository
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(super) dir: PathBuf,
    /// Folder of the company's released data; data/ in the repository if not given
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Seed of the traffic
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub(super) seed: u64,
    /// Folder for evidence and report; .reelworld/check-SEED in the repository if not given
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Send requests of the last check again and tell what comes back
    #[arg(long, value_enum, value_name = "WHICH")]
    pub(super) replay: Option<Replay>,
    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Runs incidents against one's own service.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld drill m2                        all incidents of milestone 2, one after the other
  reelworld drill m2 --only api-outage      one of them, by its name in incidents.toml
  reelworld drill m4 --service http://localhost:8082 --json

For each incident: requests during it and after it, and those that went well; what was lost; when the
service was well again; and when its own alert rose, if reelworld.toml names one.")]
pub(super) struct Drill {
    /// Milestone whose incidents are run
    #[arg(default_value = "m2", value_name = "MILESTONE")]
    pub(super) milestone: String,
    /// Run this incident alone
    #[arg(long, value_name = "NAME")]
    pub(super) only: Option<String>,
    /// Address of a service that is running already, instead of starting the one of this folder
    #[arg(long, value_name = "URL")]
    pub(super) service: Option<String>,
    /// Team's repository
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(super) dir: PathBuf,
    /// Folder of the company's released data; data/ in the repository if not given
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Seed of the traffic
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub(super) seed: u64,
    /// Folder for the evidence; .reelworld/drill-SEED in the repository if not given
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Print how it responded as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Tells how teams responded to the calendar's incidents.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld incidents --state /var/lib/reelworld
  reelworld incidents --state /var/lib/reelworld --only m4/withdrawn --team falcons --json
  reelworld incidents --state /var/lib/reelworld --from-log /var/lib/reelworld/streams   what the store has forgotten

For each incident that was run: what is true of it; for each team the requests during it and in the hour after
it, and those that went well; what was lost; when the service was well again; when it named a new model; and
of a movie that was withdrawn or pushed, the lists that had it. It names movies and accounts: it is for staff.")]
pub(super) struct IncidentsArgs {
    /// Folder that `serve` writes to
    #[arg(long, default_value = "reelworld-state", value_name = "DIR")]
    pub(super) state: PathBuf,
    /// Store of `serve`, where it is not in that folder
    #[arg(long, value_name = "STORE")]
    pub(super) store: Option<String>,
    /// Read requests from the streams: a folder of topics, or kafka://host:port
    #[arg(long, value_name = "STREAMS")]
    pub(super) from_log: Option<String>,
    /// File of settings for the client of Kafka, KEY=VALUE a line: security.protocol, sasl.username, ssl.ca.location
    #[arg(long, requires = "from_log", value_name = "FILE")]
    pub(super) kafka_config: Option<PathBuf>,
    /// Tell of this incident alone, by its milestone and name
    #[arg(long, value_name = "MILESTONE/NAME")]
    pub(super) only: Option<String>,
    /// Tell of this team alone
    #[arg(long, value_name = "NAME")]
    pub(super) team: Option<String>,
    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Compares the lists of a class.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld alike runs/m1                        lists that the services of a graded class gave
  reelworld alike runs/m1 --json
  reelworld alike --code submissions/*           code, beyond what the built-in starters have
  reelworld alike --code submissions/* --base starter
  reelworld alike --store company.db             services of the open company that go down together

Lists for the same users are compared, two submissions at a time, beyond what popular movies explain and
beyond what independent models have in common; code beyond the starter and beyond what many teams have.
It is no verdict: who is flagged may have an answer.")]
pub(super) struct Alike {
    /// Folder of a graded class
    #[arg(value_name = "RUN", required_unless_present_any = ["code", "store"], conflicts_with_all = ["code", "store"])]
    pub(super) run: Option<PathBuf>,
    /// Compare the downtime of the open company's teams: its store, a file of SQLite or postgres://user@host/database
    #[arg(long, value_name = "STORE", conflicts_with = "code")]
    pub(super) store: Option<String>,
    /// Compare the code of these submissions, a folder each
    #[arg(long, num_args = 2.., value_name = "DIR")]
    pub(super) code: Vec<PathBuf>,
    /// Folder of the starter, whose code is nobody's; the built-in starters if not given
    #[arg(long, requires = "code", value_name = "DIR")]
    pub(super) base: Option<PathBuf>,
    /// Print every pair as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Which requests of the last check to send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Replay {
    /// The twenty that took longest
    Slowest,
    /// The first twenty that were not answered well
    Failed,
}

/// Grades submissions.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld grade m1 submissions/ --out runs/m1 --jobs 4
  reelworld grade m1 submissions/ --out runs/m1 --resume
  reelworld grade m1 submissions/ --out runs/m1 --retry no_verdict
  reelworld grade m1 submissions/ --out runs/m1 --only falcons
  reelworld grade m1 submissions/ --out /shared/m1 --queue kafka://kafka.example:9092/grading
  reelworld grade m1 hawks.zip owls=https://host/owls.git@0123456789abcdef0123456789abcdef01234567 --out runs/m1

A submission is a folder, an archive (.zip, .tar, .tar.gz, .tgz) or a commit of a repository
(URL@COMMIT); NAME= before it gives it another name. A folder of submissions, as Canvas and
Gradescope export it, stands for all of them.

A submission is code that somebody else wrote, and building it is running it: each runs in a
sandbox of its own, with its own files, processes and network, and bounds on all that it uses
([limits] of the assignment). Where this machine gives none, nothing is run, and `reelworld
doctor` tells what is missing. --trust runs submissions as you; their cards say so.

--live and --from-log grade what is deployed: the windows around a submission, for every [[team]] with
an address, from the record of `serve`. Nothing is run and nobody is asked.

  reelworld grade m1 --live --state /var/lib/reelworld --out runs/m1-live
  reelworld grade m3 --from-log /var/lib/reelworld/streams --state /var/lib/reelworld --out runs/m3-log")]
pub(super) struct Grade {
    /// Milestone to grade
    #[arg(value_name = "MILESTONE")]
    pub(super) milestone: String,
    /// Submissions: folders, archives, URL@COMMIT, or a folder of many
    #[arg(required_unless_present_any = ["live", "from_log"], value_name = "SUBMISSION")]
    pub(super) submissions: Vec<String>,
    #[command(flatten)]
    pub(super) windows: Windows,
    /// Folder for evidence and reports
    #[arg(long, value_name = "RUN")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    pub(super) supplies: Supplies,
    /// Run the submissions' code as the current user, without a sandbox; their cards say "not isolated"
    #[arg(long)]
    pub(super) trust: bool,
    /// Seed of the traffic
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) seed: u64,
    /// Continue an interrupted run: what is finished stays, the rest is measured
    #[arg(long)]
    pub(super) resume: bool,
    /// Submissions to build and check side by side; what is timed is alone in any case [default: the processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) jobs: Option<u8>,
    /// Measure this submission alone, and keep the others as they are; may be given again
    #[arg(long, value_name = "TEAM")]
    pub(super) only: Vec<String>,
    /// Measure again what has this verdict, and what is not finished
    #[arg(long, value_enum, value_name = "VERDICT")]
    pub(super) retry: Option<Retry>,
    /// Minutes that one submission may take; waiting for others does not count
    #[arg(long, default_value_t = 60.0, value_name = "MINUTES", value_parser = minutes)]
    pub(super) deadline: f64,
    /// Topic that workers take submissions from, instead of measuring here; RUN must be a folder that they see as well
    #[arg(long, group = "kafka", conflicts_with_all = ["jobs", "trust", "wheels", "fetched", "live"], value_name = "kafka://HOST:PORT/TOPIC")]
    pub(super) queue: Option<String>,
    /// Print the class as JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// Where the packages of builds come from.
#[derive(Debug, Args)]
pub(super) struct Supplies {
    /// Folder of Python packages (wheels) that builds may install with pip, without any network
    #[arg(long, value_name = "DIR", conflicts_with = "trust")]
    pub(super) wheels: Option<PathBuf>,
    /// Folder that keeps what builds fetch from the mirror of course.toml; a later run with it needs no network [default:
    /// RUN/packages/mirror]
    #[arg(long, value_name = "DIR", conflicts_with = "trust")]
    pub(super) fetched: Option<PathBuf>,
}

/// Measures submissions for others.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld worker --queue kafka://kafka.example:9092/grading --out /shared/m1
  reelworld worker --queue kafka://kafka.example:9092/grading --out /shared/m1 --wheels wheels

Takes one submission at a time from the queue that `reelworld grade --queue` has filled, measures it
as grade would, and leaves the result in the run's folder. It goes on until it is stopped; what it
was at then is done by another. Start one on each machine, with the same course folder.")]
pub(super) struct Worker {
    /// Topic that holds the submissions
    #[arg(long, value_name = "kafka://HOST:PORT/TOPIC")]
    pub(super) queue: String,
    /// File of settings for the client of Kafka, KEY=VALUE a line: security.protocol, sasl.username, ssl.ca.location
    #[arg(long, value_name = "FILE")]
    pub(super) kafka_config: Option<PathBuf>,
    /// Folder of the run, the same that grade has
    #[arg(long, value_name = "RUN")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    pub(super) supplies: Supplies,
    /// Run the submissions' code as the current user, without a sandbox; their cards say "not isolated"
    #[arg(long)]
    pub(super) trust: bool,
}

/// From where windows around a submission are graded.
#[derive(Debug, Args)]
pub(super) struct Windows {
    /// Grade the windows around the submission from the open company's store
    #[arg(long, conflicts_with_all = ["submissions", "trust", "wheels", "fetched", "resume", "retry", "from_log"])]
    pub(super) live: bool,
    /// Grade them from the streams: a folder of topics, or kafka://host:port
    #[arg(long, group = "kafka", value_name = "STREAMS", conflicts_with_all = ["submissions", "trust", "wheels", "fetched", "resume", "retry"])]
    pub(super) from_log: Option<String>,
    /// File of settings for the client of Kafka, KEY=VALUE a line: security.protocol, sasl.username, ssl.ca.location
    #[arg(long, requires = "kafka", value_name = "FILE")]
    pub(super) kafka_config: Option<PathBuf>,
    /// Folder that `serve` writes to, for --live and --from-log
    #[arg(long, default_value = "reelworld-state", value_name = "DIR")]
    pub(super) state: PathBuf,
    /// Store of `serve`, where it is not in that folder
    #[arg(long, value_name = "STORE")]
    pub(super) store: Option<String>,
    /// Moment of the submission; that of the milestone in the calendar if not given
    #[arg(long, value_name = "TIME")]
    pub(super) submitted: Option<String>,
}

/// What is measured again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Retry {
    /// Submissions with a criterion that could not be decided
    #[value(name = "no_verdict")]
    NoVerdict,
}

/// The most minutes of one submission: a day.
const MOST_MINUTES: f64 = 24.0 * 60.0;

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if minutes > 0.0 && minutes <= MOST_MINUTES {
        Ok(minutes)
    } else {
        Err(format!("`{text}` is not within 0 to {MOST_MINUTES} minutes"))
    }
}

/// Shows a run again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld report runs/m1                                the class table
  reelworld report runs/m1/falcons --format html > falcons.html
  reelworld report runs/m1/falcons --audience student --format json")]
pub(super) struct Report {
    /// Run folder, or the folder of one submission in it
    #[arg(value_name = "RUN")]
    pub(super) run: PathBuf,
    /// Form of the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Terminal, value_name = "FORM")]
    pub(super) format: ReportFormat,
    /// Who will read it; students never see hidden criteria and notes to graders
    #[arg(long, value_enum, default_value_t = ReportAudience::Staff, value_name = "WHO")]
    pub(super) audience: ReportAudience,
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    /// Text for a terminal
    Terminal,
    /// JSON, versioned, with a schema
    Json,
    /// One self-contained page
    Html,
    /// JUnit XML
    Junit,
    /// A class as a table for spreadsheets
    Csv,
}

/// Reader of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportAudience {
    /// The team
    Student,
    /// Instructors and assistants
    Staff,
}

#[derive(Debug, Subcommand)]
pub(super) enum RubricCommand {
    /// Tells all faults of rubrics, with file, line and column
    #[command(after_help = "Examples:\n  reelworld rubric lint\n  reelworld rubric lint rubrics/m1.toml")]
    Lint {
        /// Rubric files; all of the course if none is given
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Prints the checklist that students get
    #[command(after_help = "Example:\n  reelworld rubric handout m1 > CHECKLIST.md")]
    Handout {
        /// Milestone
        #[arg(value_name = "MILESTONE")]
        milestone: String,
    },
}

/// Plays the company.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld simulate --users 20000 --movies 2000 --hours 2 --seed 7 --out movielog.csv
  reelworld simulate --users 1000000 --movies 27000 --hours 1 --seed 7 --out null --json
  reelworld simulate --hours 1 --out - | head
  reelworld simulate --hours 48 --out movielog.csv --truth answer-key.json
  reelworld simulate --hours 48 --to archive/movielog7

The troubles of course.toml are in the stream, whose first day is their day 0; those that begin after its end are not.")]
pub(super) struct Simulate {
    /// Number of users
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(super) users: u32,
    /// Number of movies
    #[arg(long, default_value_t = 2_000, value_name = "M", value_parser = clap::value_parser!(u32).range(20..=100_000))]
    pub(super) movies: u32,
    /// Hours of company time
    #[arg(long, default_value_t = 1.0, value_name = "H", value_parser = hours)]
    pub(super) hours: f64,
    /// Seed; the same seed gives the same bytes
    #[arg(long, default_value_t = 7, value_name = "S")]
    pub(super) seed: u64,
    /// File to write, - for standard output, null for nowhere
    #[arg(long, default_value = "-", value_name = "FILE")]
    pub(super) out: PathBuf,
    /// Topic to publish to instead: its folder in an archive, or kafka://HOST:PORT/TOPIC; begun again, it goes on where it was
    #[arg(long, conflicts_with = "out", value_name = "TOPIC")]
    pub(super) to: Option<String>,
    /// Threads to use; the bytes are the same for any number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) threads: Option<u16>,
    /// Leave out the troubles
    #[arg(long, conflicts_with = "truth")]
    pub(super) clean: bool,
    /// File to write the answer key of the troubles to
    #[arg(long, value_name = "FILE")]
    pub(super) truth: Option<PathBuf>,
    /// Print counts and times as JSON (on standard error when the events go to standard output)
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Prints the lines of a topic
    Cat(LogCat),
    /// Prints the lines of a topic that match a regular expression
    Grep(LogGrep),
    /// Publishes the events of a topic again, elsewhere
    Replay(LogReplay),
    /// Prints the commands that make the teams' topics in Kafka and let each team read its own, or runs them
    Access(LogAccess),
}

/// Makes the teams' topics and gives access to them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld log access --server kafka.example:9092 --config admin.properties
  reelworld log access --server localhost:9092 --bin /opt/kafka/bin --apply

For each [[team]] of course.toml: the topic movielog<NUMBER>, a user team<NUMBER> with a password that follows from the
world's key, and leave to read that topic and to use the groups team<NUMBER> and team<NUMBER>-<ANYTHING>. Given again, the
same.
The output holds the passwords.")]
pub(super) struct LogAccess {
    /// Server of Kafka
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) server: String,
    /// File of settings with which you sign in, if the cluster wants one
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<String>,
    /// Folder of Kafka's scripts; where the shell finds them if not given
    #[arg(long, value_name = "DIR")]
    pub(super) bin: Option<String>,
    /// Partitions of a topic
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) partitions: u32,
    /// Copies of each partition
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(super) replication: u32,
    /// Run the commands instead of printing them
    #[arg(long)]
    pub(super) apply: bool,
}

/// Prints a topic.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld log cat archive/movielog7
  reelworld log cat archive/movielog7 --from 2026-02-08T02:29:00Z --limit 1000
  reelworld log cat archive/movielog7 --from end --follow --json")]
pub(super) struct LogCat {
    #[command(flatten)]
    pub(super) what: LogWhat,
}

/// Prints what matches.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld log grep 'status [^2]' archive/movielog7
  reelworld log grep ',650856,' archive/movielog7 --from 1000000")]
pub(super) struct LogGrep {
    /// Regular expression
    #[arg(value_name = "PATTERN")]
    pub(super) pattern: String,
    #[command(flatten)]
    pub(super) what: LogWhat,
}

/// Which events.
#[derive(Debug, Args)]
pub(super) struct LogWhat {
    /// Topic to read: its folder in an archive, or kafka://HOST:PORT/TOPIC
    #[arg(value_name = "TOPIC")]
    pub(super) place: String,
    /// File of settings for the client of Kafka, KEY=VALUE a line: security.protocol, sasl.username, ssl.ca.location
    #[arg(long, value_name = "FILE")]
    pub(super) kafka_config: Option<PathBuf>,
    /// Event to begin with: start, end, its number, or the moment it was published as 2026-02-08T02:29:00Z
    #[arg(long, default_value = "start", value_name = "PLACE", value_parser = super::log::at)]
    pub(super) from: At,
    /// Most lines to print
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Wait for more at the end
    #[arg(long)]
    pub(super) follow: bool,
    /// Print each event as JSON, with its number and stamp
    #[arg(long)]
    pub(super) json: bool,
}

/// Publishes again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld log replay archive/movielog7 --to copy/movielog7
  reelworld log replay archive/movielog7 --to class/movielog7 --speed 60

Begun again, a replay goes on behind the last event that it has published. With --speed, events go out at the times
at which they were published, so many times as fast, and carry the stamps of now.")]
pub(super) struct LogReplay {
    /// Topic to read: its folder in an archive, or kafka://HOST:PORT/TOPIC
    #[arg(value_name = "TOPIC")]
    pub(super) place: String,
    /// Topic to publish to: its folder in an archive, or kafka://HOST:PORT/TOPIC
    #[arg(long, value_name = "TOPIC")]
    pub(super) to: String,
    /// File of settings for the client of Kafka, KEY=VALUE a line: security.protocol, sasl.username, ssl.ca.location
    #[arg(long, value_name = "FILE")]
    pub(super) kafka_config: Option<PathBuf>,
    /// Times as fast as it was; as fast as it can be if not given
    #[arg(long, value_name = "N", value_parser = speed)]
    pub(super) speed: Option<f64>,
    /// Wait for more at the end
    #[arg(long)]
    pub(super) follow: bool,
    /// Print the counts as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Serves an archive.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld broker archive
  reelworld broker archive --listen 0.0.0.0:9092 --advertise laptop.local

For practice on one machine: consumers and their groups alone, one partition a topic, no producing, no transactions,
no passwords. It listens on this machine only, unless told otherwise. A course's teams read from Apache Kafka.")]
pub(super) struct BrokerArgs {
    /// Archive to serve
    #[arg(value_name = "DIR")]
    pub(super) archive: PathBuf,
    /// Address to listen at; port 0 takes one that is free
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "ADDRESS")]
    pub(super) listen: SocketAddr,
    /// Host that clients are told to come to; the one that is listened at if not given
    #[arg(long, value_name = "HOST")]
    pub(super) advertise: Option<String>,
    /// Print address and topics as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The most times that a replay can be as fast.
const MOST_SPEED: f64 = 1e6;
/// The longest time that is waited for, in seconds: ten years.
const MOST_SECONDS: f64 = 3.2e8;

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..=MOST_SECONDS).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!("`{text}` must lie within 0 to {MOST_SECONDS}"))
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if speed > 0.0 && speed <= MOST_SPEED {
        Ok(speed)
    } else {
        Err(format!("`{text}` is not within 0 to {MOST_SPEED}"))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum WorldCommand {
    /// Measures a log, or the built-in world's, beside MovieLens 100K
    Inspect(WorldInspect),
    /// Reads a log and writes it as the company's files: users.jsonl, movies.jsonl, log.csv.gz
    Import(WorldImport),
    /// Prints what is wrong with the course's log, and what lists do to viewers: the answer key
    Truth(WorldTruth),
    /// Writes the course's released data with its troubles, for an exercise
    Export(WorldExport),
}

/// Prints the answer key: what is wrong with the log, and what lists do to viewers.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld world truth
  reelworld world truth --only troubles
  reelworld world truth --only feedback --viewers 500    quicker, with wider intervals
  reelworld world truth --json > answer-key.json
  reelworld world truth --seed 3      the same troubles in the practice world of this seed")]
pub(super) struct WorldTruth {
    /// Seed of a practice world to take instead of the course's own
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Count the lines of a log that `world export --requests` writes
    #[arg(long)]
    pub(super) requests: bool,
    /// Print one part alone; the other is not computed
    #[arg(long, value_enum, value_name = "PART")]
    pub(super) only: Option<TruthPart>,
    /// Viewers of each twin company that feedback is measured on
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    pub(super) viewers: u32,
    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// A part of what is true of a course's world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TruthPart {
    /// What is wrong with the log
    Troubles,
    /// What services do to their viewers
    Feedback,
}

/// Writes an exercise.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld world export --out exercise
  reelworld world export --out twin --clean       the same without the troubles
  reelworld world export --out bots --requests    with requests for recommendations in the log")]
pub(super) struct WorldExport {
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Seed of a practice world to take instead of the course's own
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Write requests for recommendations into the log as well
    #[arg(long)]
    pub(super) requests: bool,
    /// Leave out the troubles
    #[arg(long)]
    pub(super) clean: bool,
}

/// Measures a log.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld world inspect --built-in                       the built-in world, played at MovieLens' size
  reelworld world inspect ml-100k/                         the real thing; you must have it yourself
  reelworld world inspect movielog.csv --sample 943x1682   a part of a larger log, of comparable size
  reelworld world inspect data/ --json

Exit codes: 0 lifelike (80 % of the figures within two tolerances, none beyond five), 1 not,
2 bad input, 3 nothing in the log can be compared. docs/reference/inspect.md says what each figure is.")]
pub(super) struct WorldInspect {
    /// Log to read: a file, or a folder of MovieLens or of the company's data
    #[arg(value_name = "PATH", required_unless_present = "built_in")]
    pub(super) path: Option<PathBuf>,
    /// Play the built-in world instead, everybody rating everything they meet
    #[arg(long, conflicts_with_all = ["path", "format"])]
    pub(super) built_in: bool,
    /// Form of the log
    #[arg(long, value_enum, default_value_t = InspectFormat::Auto, value_name = "FORM")]
    pub(super) format: InspectFormat,
    /// Take a part of this many users, with 20 meetings at least, and movies
    #[arg(long, value_name = "USERSxMOVIES", value_parser = size)]
    pub(super) sample: Option<Size>,
    /// Seed of the sample, of permutations, and of the built-in world
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub(super) seed: u64,
    /// Number of users of the built-in world to measure
    #[arg(long, default_value_t = 943, requires = "built_in", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) users: u32,
    /// Number of movies of the built-in world
    #[arg(long, default_value_t = 1682, requires = "built_in", value_name = "M", value_parser = clap::value_parser!(u32).range(20..=100_000))]
    pub(super) movies: u32,
    /// Days to play the built-in world
    #[arg(long, default_value_t = 100, requires = "built_in", value_name = "D", value_parser = clap::value_parser!(u32).range(1..=3660))]
    pub(super) days: u32,
    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Reads a foreign log.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  reelworld world import ml-100k/ --out ml-100k-as-log
  reelworld world import ratings.csv --format ml20m --out big
  reelworld world import tmdb_5000_movies.csv --out catalogue

A licence goes with the data and not with its form: MovieLens may be used for research and teaching,
but what is written from it must not be passed on or published without GroupLens' permission, and
must not be committed to a repository. Ratings become rating lines; there are no minutes in MovieLens.")]
pub(super) struct WorldImport {
    /// Log to read: a file, or a folder of MovieLens or of the company's data
    #[arg(value_name = "PATH")]
    pub(super) path: PathBuf,
    /// Folder to make; it must not be there
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Form of the log
    #[arg(long, value_enum, default_value_t = InspectFormat::Auto, value_name = "FORM")]
    pub(super) format: InspectFormat,
    /// Print counts as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Form of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum InspectFormat {
    /// Found from names and content
    Auto,
    /// MovieLens 100K: u.data, with u.user and u.item beside it
    Ml100k,
    /// MovieLens 1M: ratings.dat, with users.dat and movies.dat beside it
    Ml1m,
    /// MovieLens 20M and 25M: ratings.csv, with movies.csv beside it
    Ml20m,
    /// The company's log, plain or packed
    Log,
    /// A folder with users.jsonl, movies.jsonl and log.csv.gz
    Release,
    /// TMDB's movies as a table with columns of JSON, with ratings.csv and links.csv beside it
    TmdbCsv,
    /// TMDB's or the company's record of a movie a line, with ratings.csv and links.csv beside it
    TmdbJsonl,
}

impl InspectFormat {
    /// Returns the form that is forced, if any.
    pub(super) fn format(self) -> Option<LogFormat> {
        match self {
            Self::Auto => None,
            Self::Ml100k => Some(LogFormat::MovieLens100k),
            Self::Ml1m => Some(LogFormat::MovieLens1m),
            Self::Ml20m => Some(LogFormat::MovieLens20m),
            Self::Log => Some(LogFormat::Log),
            Self::Release => Some(LogFormat::Release),
            Self::TmdbCsv => Some(LogFormat::TmdbTable),
            Self::TmdbJsonl => Some(LogFormat::TmdbRecords),
        }
    }
}

fn size(text: &str) -> Result<Size, String> {
    let wanted = || format!("`{text}` is not users and movies, as 943x1682");
    let (users, movies) = text.split_once(['x', ',']).ok_or_else(wanted)?;
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or_else(wanted);
    Ok(Size {
        users: number(users)?,
        movies: number(movies)?,
    })
}

/// Tells what this machine can do.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  reelworld doctor --json")]
pub(super) struct Doctor {
    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The most hours that one call may play: a year.
const MOST_HOURS: f64 = 24.0 * 366.0;

fn hours(text: &str) -> Result<f64, String> {
    let hours: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if hours > 0.0 && hours <= MOST_HOURS {
        Ok(hours)
    } else {
        Err(format!("`{text}` is not within 0 to {MOST_HOURS} hours"))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_option_has_help_in_sentence_case_without_a_full_stop() {
        fn walk(command: &clap::Command, faults: &mut Vec<String>) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let mut texts = vec![(command.get_name().to_owned(), about)];
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                texts.push((format!("{} {}", command.get_name(), argument.get_id()), help));
            }
            for (name, text) in texts {
                let sentence = text.chars().next().is_some_and(char::is_uppercase);
                if !sentence || text.ends_with('.') {
                    faults.push(format!("`{name}`: `{text}`"));
                }
            }
            let leaf = command.get_subcommands().next().is_none();
            if leaf
                && !command.is_hide_set()
                && command.get_after_help().is_none()
                && command.get_name() != "help"
            {
                faults.push(format!("`{}` has no example", command.get_name()));
            }
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                walk(sub, faults);
            }
        }
        let mut faults = Vec::new();
        let mut command = Cli::command();
        command.build();
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            walk(sub, &mut faults);
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
