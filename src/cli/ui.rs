//! What a person sees and how a run is stopped: data on standard output, progress on standard error, Ctrl-C as a flag.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::{AutoStream, ColorChoice};

use super::args::Colour;
use super::exit::Exit;
use crate::coursefile::Faults;
use crate::evidence::BundleError;

/// Why a command could not do its work: always ours or the machine's or the course's, never a team's.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Failure {
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn machine(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Machine,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn bug(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Bug,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::usage(faults.to_string())
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Io { .. } => Self::machine(error.to_string())
                .hint("look at the folder's permissions and at the free space of the disk; then run again with --resume"),
            BundleError::Malformed { .. } => Self::usage(error.to_string()),
        }
    }
}

/// The two streams of a command.
#[derive(Debug)]
pub(super) struct Ui {
    choice: ColorChoice,
}

impl Ui {
    pub(super) fn new(colour: Colour) -> Self {
        let choice = match colour {
            Colour::Auto => ColorChoice::Auto,
            Colour::Always => ColorChoice::Always,
            Colour::Never => ColorChoice::Never,
        };
        Self { choice }
    }

    /// Writes data to standard output; a reader that went away is no error.
    pub(super) fn data(&self, text: &str) -> io::Result<()> {
        let mut stream = AutoStream::new(io::stdout().lock(), self.choice);
        match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes a line of progress to standard error.
    pub(super) fn progress(&self, line: fmt::Arguments<'_>) {
        let mut stream = AutoStream::new(io::stderr().lock(), self.choice);
        // Progress that cannot be shown is no reason to stop measuring.
        let _unseen = writeln!(stream, "{line}");
    }

    /// Tells why a command could not do its work.
    pub(super) fn failure(&self, failure: &Failure) {
        self.progress(format_args!("error: {}", failure.message));
        if let Some(hint) = &failure.hint {
            self.progress(format_args!("hint: {hint}"));
        }
    }

    /// Tells whether standard output may carry colours.
    pub(super) fn colours(&self) -> bool {
        match self.choice {
            ColorChoice::Always | ColorChoice::AlwaysAnsi => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                io::stdout().is_terminal() && AutoStream::choice(&io::stdout()) != ColorChoice::Never
            }
        }
    }
}

/// A flag that Ctrl-C and SIGTERM set: the work ends at its next step, with its children ended and its evidence kept.
///
/// A second Ctrl-C ends the program at once; the leash of every child notices and ends the child.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn on_signals() -> io::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            let code = i32::from(Exit::Interrupted.code());
            signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&flag))?;
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Self(flag))
    }

    pub(super) fn flag(&self) -> &AtomicBool {
        &self.0
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
