//! The command line: words in, work done by the layers below, an exit code out.

mod args;
mod exit;
mod simulate;
mod ui;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::{Cli, Command};
use self::exit::Exit;
use self::ui::{Failure, Stop, Ui};
use crate::clock::Clock;

/// Runs the command line of this process and returns its exit code.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    // The leash is another program in all but its file: it has its own signals and its own protocol.
    if let Command::Leash { words } = &cli.command {
        return crate::sandbox::run_leash(words);
    }
    let ui = Ui::new(cli.global.color);
    match dispatch(cli, &ui) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            ui.failure(&failure);
            failure.exit.into()
        }
    }
}

fn dispatch(cli: Cli, ui: &Ui) -> Result<Exit, Failure> {
    let clock = Clock::start();
    let stop =
        Stop::on_signals().map_err(|error| Failure::machine(format!("cannot watch for signals: {error}")))?;
    match cli.command {
        Command::Simulate(args) => simulate::run(&args, ui, &stop, clock),
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
        _ => todo!(),
    }
}

fn print(ui: &Ui, text: &[u8]) -> Result<Exit, Failure> {
    ui.data(&String::from_utf8_lossy(text))
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))?;
    Ok(Exit::Passed)
}
