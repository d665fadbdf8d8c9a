//! Which commands of a script end it, or are its own end, when they fail: whose failure is noticed.

use std::collections::BTreeMap;

use super::script::{Command, Item, Pipe, parse};

/// How deep functions may call each other.
const MOST_CALLS: usize = 5;
/// The most calls of functions that are followed in all.
const ALL_CALLS: usize = 200;
/// So many commands after one are asked whether they look at its status.
const MOST_ASKED: usize = 100;

/// What a shell does when a command fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shell {
    /// Whether a command that fails ends the script (`-e`).
    pub(super) stops: bool,
    /// Whether a pipe fails with any of its commands (`-o pipefail`).
    pub(super) pipefail: bool,
}

impl Shell {
    /// One that goes on after a failure: its last command alone is seen.
    pub(super) const GOES_ON: Self = Self {
        stops: false,
        pipefail: false,
    };
    /// One that stops at a failure, and looks at the last command of a pipe alone.
    pub(super) const STOPS: Self = Self {
        stops: true,
        pipefail: false,
    };
    /// One that stops at any failure.
    pub(super) const STRICT: Self = Self {
        stops: true,
        pipefail: true,
    };

    /// Returns what options set: `-e`, `+e`, `-eo pipefail`.
    pub(super) fn with<'a>(mut self, options: impl IntoIterator<Item = &'a str>) -> Self {
        let mut named: Option<bool> = None;
        for word in options {
            if let Some(on) = named.take() {
                match word {
                    "pipefail" => self.pipefail = on,
                    "errexit" => self.stops = on,
                    _ => {}
                }
                continue;
            }
            let Some(letters) = word.strip_prefix(['-', '+']) else {
                continue;
            };
            if letters.starts_with('-') {
                continue;
            }
            let on = word.starts_with('-');
            if letters.contains('e') {
                self.stops = on;
            }
            if letters.contains('o') {
                named = Some(on);
            }
        }
        self
    }
}

/// Returns the simple commands of a script whose failure is seen by whoever has started it.
pub(super) fn noticed(script: &str, shell: Shell) -> Vec<Vec<String>> {
    let items = parse(script);
    let mut walk = Walk {
        shell,
        functions: BTreeMap::new(),
        found: Vec::new(),
        calls: 0,
        left: ALL_CALLS,
    };
    let seen = Seen {
        status: true,
        stop: true,
        leave: true,
    };
    walk.list(&items, seen);
    walk.found
}

/// What is seen of a list of commands.
#[derive(Clone, Copy)]
struct Seen {
    /// Its status, which is that of the last.
    status: bool,
    /// That a command which fails ends the shell.
    stop: bool,
    /// That the shell is left by `exit 1`.
    leave: bool,
}

/// How certainly a command fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fails {
    No,
    Status,
    Leaves,
}

struct Walk<'a> {
    shell: Shell,
    functions: BTreeMap<&'a str, &'a Command>,
    found: Vec<Vec<String>>,
    calls: usize,
    left: usize,
}

impl<'a> Walk<'a> {
    fn list(&mut self, items: &'a [Item], seen: Seen) {
        for (place, item) in items.iter().enumerate() {
            let after = &items[place + 1..];
            let ends = self.shell.stops && seen.stop;
            let status = !item.aside && (ends || seen.status && after.is_empty());
            let is_asked = !item.aside && asked(after, ends, seen);
            let status = status || is_asked;
            // Who asks for `PIPESTATUS` looks at each command of the pipe.
            let before = self.shell.pipefail;
            self.shell.pipefail |= is_asked && asks_pipes(after);
            // The status of a list that fails before its end is the list's, and ends nothing.
            let flows = !item.aside && seen.status && after.is_empty();
            let during = self.shell.pipefail;
            self.item(item, status, flows, seen);
            if self.shell.pipefail == during {
                self.shell.pipefail = before;
            }
            if let (Command::Simple(words), true) = (&item.first.commands[0], item.rest.is_empty())
                && words.first().is_some_and(|word| word == "exit")
                && item.first.commands.len() == 1
            {
                return;
            }
        }
    }

    fn item(&mut self, item: &'a Item, status: bool, flows: bool, seen: Seen) {
        let mut pipes = vec![&item.first];
        pipes.extend(item.rest.iter().map(|(_, pipe)| pipe));
        for (place, pipe) in pipes.iter().enumerate() {
            let last = place + 1 == pipes.len();
            if last {
                self.pipe(pipe, Seen { status, ..seen });
                continue;
            }
            let or = item.rest[place..].iter().position(|(or, _)| *or);
            let seen_then = match or {
                None => flows || (status && asked_only(self.shell, status, flows)),
                Some(or) => {
                    let then = &item.rest[place + or];
                    let is_last = place + or + 1 == item.rest.len();
                    match fails(&then.1) {
                        Fails::Leaves => seen.leave,
                        Fails::Status => is_last && status,
                        Fails::No => false,
                    }
                }
            };
            self.pipe(
                pipe,
                Seen {
                    status: seen_then,
                    stop: false,
                    leave: seen.leave,
                },
            );
        }
    }

    fn pipe(&mut self, pipe: &'a Pipe, seen: Seen) {
        let blind = Seen {
            status: false,
            stop: false,
            leave: false,
        };
        let last = pipe.commands.len() - 1;
        for (place, command) in pipe.commands.iter().enumerate() {
            let is_seen = !pipe.negated && (place == last || self.shell.pipefail);
            let each = if last == 0 {
                seen
            } else {
                Seen {
                    stop: seen.status,
                    leave: seen.status,
                    ..seen
                }
            };
            self.command(command, if is_seen { each } else { blind });
        }
    }

    fn command(&mut self, command: &'a Command, seen: Seen) {
        match command {
            Command::Simple(words) => self.simple(words, seen),
            Command::Block(items) => self.list(items, seen),
            Command::Inner(items) => {
                let before = self.shell;
                let inner = Seen {
                    status: seen.status,
                    stop: seen.stop && seen.status,
                    leave: seen.status,
                };
                self.list(items, inner);
                self.shell = before;
            }
            Command::If(branches, other) => {
                for (place, (condition, then)) in branches.iter().enumerate() {
                    let negated = condition.last().is_some_and(|item| item.first.negated);
                    let answer = match (negated, branches.get(place + 1)) {
                        (true, _) => then,
                        (false, None) => other,
                        (false, Some(_)) => continue,
                    };
                    self.condition(condition, negated, fails_list(answer), seen);
                }
                for body in branches.iter().map(|(_, then)| then).chain([other]) {
                    self.list(body, seen);
                }
            }
            Command::Loop(body) => self.list(body, seen),
            Command::Case(bodies) => bodies.iter().for_each(|body| self.list(body, seen)),
            Command::Function(name, body) => drop(self.functions.insert(name, body)),
        }
    }

    /// What is asked counts if the answer to a failure is one.
    fn condition(&mut self, condition: &'a [Item], negated: bool, answer: Fails, seen: Seen) {
        let status = match answer {
            Fails::Leaves => seen.leave,
            Fails::Status => seen.status,
            Fails::No => false,
        };
        let [item] = condition else { return };
        let asked = Seen {
            status,
            stop: false,
            leave: seen.leave,
        };
        if !item.rest.is_empty() || item.first.commands.len() != 1 && !self.shell.pipefail {
            return;
        }
        for command in item
            .first
            .commands
            .iter()
            .filter(|_| negated == item.first.negated)
        {
            self.command(command, asked);
        }
    }

    fn simple(&mut self, words: &'a [String], seen: Seen) {
        let Some(first) = words.first() else { return };
        if first == "set" {
            self.shell = self.shell.with(words[1..].iter().map(String::as_str));
        }
        if let Some(body) = self.functions.get(first.as_str()).copied() {
            if self.calls < MOST_CALLS && self.left > 0 {
                self.left -= 1;
                self.calls += 1;
                self.command(body, seen);
                self.calls -= 1;
            }
        } else if seen.status {
            self.found.push(words.to_vec());
        }
    }
}

/// Whether a list whose failure ends nothing is seen all the same, as what follows asks for its status.
fn asked_only(shell: Shell, status: bool, flows: bool) -> bool {
    !shell.stops && status && !flows
}

/// Whether what follows a command asks how that ended: `test ${PIPESTATUS[0]} -eq 0`, or `code=$?` and then `exit $code`.
fn asked(after: &[Item], ends: bool, seen: Seen) -> bool {
    let simple = |item: &'_ Item| -> Option<Vec<String>> {
        match (&item.first.commands[..], item.rest.is_empty()) {
            ([Command::Simple(words)], true) => Some(words.clone()),
            _ => None,
        }
    };
    let Some(words) = after.first().and_then(simple) else {
        return false;
    };
    let tells = |word: &String| word.contains("$?") || word.contains("PIPESTATUS");
    let is_seen = |words: &[String], rest: &[Item]| match words.first().map(String::as_str) {
        Some("exit") => seen.leave,
        Some("test" | "[" | "[[") => ends || seen.status && rest.is_empty(),
        _ => false,
    };
    if words.iter().any(tells) && is_seen(&words, &after[1..]) {
        return true;
    }
    let assigned = words.first().filter(|word| tells(word));
    let Some((name, _)) = assigned.and_then(|word| word.split_once('=')) else {
        return false;
    };
    let uses = [format!("${name}"), format!("${{{name}}}")];
    (1..after.len().min(MOST_ASKED)).any(|place| {
        simple(&after[place]).is_some_and(|words| {
            words.iter().any(|word| uses.contains(word)) && is_seen(&words, &after[place + 1..])
        })
    })
}

fn asks_pipes(after: &[Item]) -> bool {
    after.first().is_some_and(|item| {
        let mut commands = item.first.commands.iter();
        commands.any(|command| {
            matches!(command, Command::Simple(words) if words.iter().any(|word| word.contains("PIPESTATUS")))
        })
    })
}

fn fails(pipe: &Pipe) -> Fails {
    match &pipe.commands[..] {
        [command] if !pipe.negated => fails_command(command, true),
        _ => Fails::No,
    }
}

/// Whether a command fails for certain, if it comes right after one that failed or not.
fn fails_command(command: &Command, first: bool) -> Fails {
    match command {
        Command::Simple(words) => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words[..] {
                ["exit" | "return", "0"] => Fails::No,
                // The status is that of what came before, which went well.
                ["exit" | "return"] | ["exit" | "return", "$?"] if !first => Fails::No,
                ["exit", ..] => Fails::Leaves,
                ["false"] | ["return", ..] => Fails::Status,
                _ => Fails::No,
            }
        }
        Command::Block(items) => fails_list(items),
        Command::Inner(items) => match fails_list(items) {
            Fails::No => Fails::No,
            Fails::Status | Fails::Leaves => Fails::Status,
        },
        Command::If(..) | Command::Loop(..) | Command::Case(_) | Command::Function(..) => Fails::No,
    }
}

fn fails_list(items: &[Item]) -> Fails {
    let mut last = Fails::No;
    for (place, item) in items.iter().enumerate() {
        last = match (
            &item.first.commands[..],
            item.rest.is_empty() && !item.first.negated,
        ) {
            ([command], true) => fails_command(command, place == 0),
            _ => Fails::No,
        };
        if last == Fails::Leaves {
            break;
        }
    }
    last
}
