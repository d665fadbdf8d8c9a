//! How a command ends: one enum, the codes that a shell sees, and the words for them.

use std::process::ExitCode;

/// The end of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// All passed.
    Passed,
    /// Graded, and something failed.
    Failed,
    /// The arguments or the course files are at fault.
    Usage,
    /// Nothing failed, but at least one criterion has no verdict.
    NoVerdict,
    /// This machine cannot do it.
    Machine,
    /// Our bug.
    Bug,
    /// Interrupted; every child has ended.
    Interrupted,
}

impl Exit {
    /// Every end there is, in the order of its codes.
    #[cfg(test)]
    pub(super) const ALL: [Self; 7] = [
        Self::Passed,
        Self::Failed,
        Self::Usage,
        Self::NoVerdict,
        Self::Machine,
        Self::Bug,
        Self::Interrupted,
    ];

    /// Returns the code.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoVerdict => 3,
            Self::Machine => 4,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }

    /// Returns the words of the docs.
    #[cfg(test)]
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Passed => "all passed",
            Self::Failed => "graded, something failed",
            Self::Usage => "arguments or course files at fault",
            Self::NoVerdict => "nothing failed, but at least one criterion has no verdict",
            Self::Machine => "this machine cannot do it",
            Self::Bug => "our bug",
            Self::Interrupted => "interrupted, every child has ended",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_hold_the_same_table() {
        let docs = include_str!("../../docs/reference/exit-codes.md");
        let rows: Vec<String> = Exit::ALL
            .iter()
            .map(|exit| format!("| {} | {} |", exit.code(), exit.words()))
            .collect();
        let table: Vec<&str> = docs
            .lines()
            .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
            .collect();
        assert_eq!(table, rows);
    }
}
