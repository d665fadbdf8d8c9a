//! The command line: words in, work done by the layers below, an exit code out.

mod alike;
mod args;
mod board;
#[cfg(feature = "kafka")]
mod by_queue;
mod check;
mod class_run;
mod course;
mod demo;
mod doctor;
mod drill;
mod exit;
mod feedback;
mod grade;
mod incidents;
mod live;
mod log;
#[cfg(feature = "kafka")]
mod queue;
mod requests;
mod run;
mod serve;
mod simulate;
mod starter;
mod ui;
#[cfg(feature = "kafka")]
mod worker;
mod world;
mod world_attacks;
mod world_truth;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::{Cli, Command, WorldCommand};
use self::exit::Exit;
use self::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::CourseFiles;

/// Runs the command line of this process and returns its exit code.
pub fn run() -> ExitCode {
    if let Some(exit) = hidden() {
        return exit;
    }
    let cli = Cli::parse();
    let ui = Ui::new(cli.global.color);
    match dispatch(cli, &ui) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            ui.failure(&failure);
            failure.exit.into()
        }
    }
}

/// Is one of the programs that are this one in nothing but their file, if its first word says so: they have their own signals and
/// their own protocol, and each begins with every sandbox, so that the whole command line is not made for them first.
fn hidden() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    match words.next()?.to_str()? {
        "__leash" => Some(crate::sandbox::run_leash(&words.collect::<Vec<_>>())),
        "__sandbox" => Some(crate::sandbox::run_keeper()),
        "__container" => Some(crate::sandbox::run_container()),
        "__inside" => Some(crate::sandbox::run_inside()),
        _ => None,
    }
}

fn dispatch(cli: Cli, ui: &Ui) -> Result<Exit, Failure> {
    let clock = Clock::start();
    let stop =
        Stop::on_signals().map_err(|error| Failure::machine(format!("cannot watch for signals: {error}")))?;
    let files = CourseFiles::open(cli.global.course.as_deref());
    match cli.command {
        Command::Demo(args) => demo::demo(&args, &files, ui, &stop, clock),
        Command::New(args) => course::new(&args, ui),
        Command::Starter(command) => starter::starter(&command, &files, ui, &stop, clock),
        Command::Check(args) => check::check(&args, &files, ui, &stop, clock),
        Command::Drill(args) => drill::drill(&args, &files, ui, &stop, clock),
        Command::Grade(args) if args.windows.live || args.windows.from_log.is_some() => {
            live::grade(&args, &files, ui, &stop, clock)
        }
        Command::Grade(args) => grade::grade(&args, &files, ui, &stop, clock),
        #[cfg(feature = "kafka")]
        Command::Worker(args) => worker::worker(&args, &files, ui, &stop, clock),
        #[cfg(not(feature = "kafka"))]
        Command::Worker(_) => Err(grade::without_kafka()),
        Command::Report(args) => grade::report(&args, &files, ui),
        Command::Alike(args) => alike::alike(&args, &files, ui),
        Command::Rubric(command) => course::rubric(&command, &files, ui),
        Command::World(WorldCommand::Inspect(args)) => world::inspect(&args, ui, &stop),
        Command::World(WorldCommand::Import(args)) => world::bring_in(&args, ui),
        Command::World(WorldCommand::Truth(args)) => world_truth::truth(&args, &files, ui, &stop),
        Command::World(WorldCommand::Export(args)) => world_truth::export(&args, &files, ui),
        Command::Doctor(args) => course::doctor(&args, &files, ui, clock),
        Command::Serve(args) => serve::run(&args, &files, ui, &stop, clock),
        Command::Incidents(args) => incidents::run(&args, &files, ui, &stop, clock),
        Command::Simulate(args) => simulate::run(&args, &files, ui, &stop, clock),
        Command::Broker(args) => log::broker(&args, ui, &stop, clock),
        Command::Log(command) => log::log(&command, &files, ui, &stop, clock),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "reelworld", &mut text);
            print(ui, &text)
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut text)
                .map_err(|error| Failure::machine(format!("cannot make the man page: {error}")))?;
            print(ui, &text)
        }
    }
}

fn print(ui: &Ui, text: &[u8]) -> Result<Exit, Failure> {
    ui.data(&String::from_utf8_lossy(text))
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))?;
    Ok(Exit::Passed)
}
