//! The `[[team]]` tables of a course: who takes part, and where each team's service listens.

use std::net::Ipv6Addr;

use crate::coursefile::Section;
use crate::seed::Key;

/// The most teams of a course: each has a stream of its own.
const MOST_TEAMS: usize = 500;
/// The most members of a team.
const MOST_MEMBERS: usize = 50;
/// The least that a token of a team's own must hold, so that nobody guesses it.
const LEAST_TOKEN: usize = 16;
/// The longest name or token.
const LONGEST: usize = 64;
/// Where the path of a withdrawal names the movie.
const MOVIE: &str = "{movie}";
/// The port of the contract, where an address names none.
const PORT: u16 = 8082;

/// A team of the course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// The name: letters, digits, dots, hyphens and underscores.
    pub name: String,
    /// The number, from 1: the team's topic is `movielog<number>`.
    pub number: u32,
    /// Where its service listens, as `host:port`; none as long as it is not deployed.
    pub address: Option<String>,
    /// The page of its service that names the model in use, as `/version`; none where nobody asks.
    pub model_path: Option<String>,
    /// The path by which its service wants to be told of withdrawals, with `{movie}` in it; none where nobody tells it.
    pub takedown: Option<String>,
    /// Who is in it.
    pub members: Vec<String>,
    /// The word that opens the team's own page, where the course file gives one.
    token: Option<String>,
}

impl Team {
    /// Returns the name of the team's topic.
    pub fn topic(&self) -> String {
        format!("movielog{}", self.number)
    }

    /// Returns the path by which its service is told that a movie is withdrawn; none where it does not want to be told.
    pub fn takedown_of(&self, movie: &str) -> Option<String> {
        // Ids hold nothing that a path could not.
        self.takedown.as_ref().map(|path| path.replace(MOVIE, movie))
    }

    /// Returns the word that opens the team's own page: that of the course file, or one that follows from the world's key.
    pub fn token(&self, key: &Key) -> String {
        self.token.clone().unwrap_or_else(|| {
            let mut draws = key.branch("team token").at(u64::from(self.number));
            format!("{:016x}{:016x}", draws.bits(), draws.bits())
        })
    }
}

/// Tells whether a text can be a team's name: it becomes part of paths and addresses.
fn is_name(text: &str) -> bool {
    text.len() <= LONGEST
        && text.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Tells whether a text can be the path of a page.
fn is_path(text: &str) -> bool {
    text.len() <= LONGEST && text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Reads the teams of a course, in the order of their numbers.
pub(super) fn read(root: &Section<'_>) -> Vec<Team> {
    let sections = root.tables("team");
    if sections.len() > MOST_TEAMS {
        root.fault_at("team", format!("more than {MOST_TEAMS} teams"), None);
    }
    let mut teams: Vec<Team> = Vec::new();
    for (place, section) in sections.into_iter().enumerate() {
        let name = section.required_text("name");
        if !name.is_empty() && !is_name(&name) {
            section.fault_at(
                "name",
                "a team's name is made of letters, digits, dots, hyphens and underscores",
                Some(format!("at most {LONGEST} of them, a letter or digit first")),
            );
        }
        let number = section
            .integer_in("number", 1..=9_999)
            .map_or(place as u32 + 1, |number| number as u32);
        for other in &teams {
            if other.name == name {
                section.fault_at("name", format!("two teams are called `{name}`"), None);
            }
            if other.number == number {
                section.fault_at(
                    "number",
                    format!("`{}` has the number {number} too", other.name),
                    Some("a team without a number has that of its place among the teams".to_owned()),
                );
            }
        }
        let address = section.text("address").and_then(|text| {
            let address = with_port(&text);
            if address.is_none() {
                section.fault_at(
                    "address",
                    "this is no address of a service",
                    Some(format!("`host:port`, as in `team1.example.edu:{PORT}`")),
                );
            }
            address
        });
        let model_path = section.text("model_path");
        if model_path.as_ref().is_some_and(|path| !is_path(path)) {
            let hint = Some("as in `/version`".to_owned());
            section.fault_at("model_path", "this is no path of a service", hint);
        }
        let takedown = section.text("takedown");
        if takedown
            .as_ref()
            .is_some_and(|path| !is_path(path) || !path.contains(MOVIE))
        {
            let hint = Some("as in `/takedown/{movie}`".to_owned());
            section.fault_at(
                "takedown",
                "this is no path of a service that names the movie",
                hint,
            );
        }
        let token = section.text("token");
        if let Some(token) = &token {
            let is_plain = token.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !is_plain || !(LEAST_TOKEN..=LONGEST).contains(&token.len()) {
                section.fault_at(
                    "token",
                    format!("a token is {LEAST_TOKEN} to {LONGEST} letters and digits"),
                    Some("without one, a token follows from the world's key".to_owned()),
                );
            }
        }
        let members = section.texts("members");
        if members.len() > MOST_MEMBERS {
            section.fault_at("members", format!("more than {MOST_MEMBERS} members"), None);
        }
        section.finish();
        teams.push(Team {
            name,
            number,
            address,
            model_path,
            takedown,
            members,
            token,
        });
    }
    teams.sort_by_key(|team| team.number);
    teams
}

/// Returns an address with its port, the contract's where it names none; none for what is no address.
fn with_port(text: &str) -> Option<String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        (format!("[{host}]"), port)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let (host, port) = text.split_at(end);
        let is_host = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
        (is_host.then(|| host.to_owned())?, port)
    };
    let port: u16 = match port {
        "" => PORT,
        port => port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?,
    };
    Some(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coursefile::{Document, Faults};

    fn teams(text: &str) -> Result<Vec<Team>, Faults> {
        let document = Document::parse("course.toml", text)?;
        let root = document.root();
        let teams = read(&root);
        root.finish();
        document.finish()?;
        Ok(teams)
    }

    #[test]
    fn a_team_has_a_name_a_number_an_address_and_members() {
        let read = teams(
            "[[team]]\nname = 'falcons'\nnumber = 7\nmodel_path = '/version'\ntakedown = '/gone/{movie}'\naddress = 'team7.example.edu'\nmembers = ['ada', 'bo']\n[[team]]\nname = 'owls'\naddress = '[::1]:9000'\n",
        )
        .unwrap();
        assert_eq!((read[0].name.as_str(), read[0].number), ("owls", 2));
        assert_eq!(read[0].address.as_deref(), Some("[::1]:9000"));
        assert_eq!(read[1].address.as_deref(), Some("team7.example.edu:8082"));
        assert_eq!(read[1].topic(), "movielog7");
        assert_eq!(read[1].members, ["ada", "bo"]);
        assert_eq!(
            read[1].takedown_of("jaws+1975").as_deref(),
            Some("/gone/jaws+1975")
        );
        assert_eq!(read[0].takedown_of("jaws+1975"), None);
    }

    #[test]
    fn a_token_follows_from_the_key_unless_the_course_gives_one() {
        let read = teams("[[team]]\nname = 'a'\n[[team]]\nname = 'b'\ntoken = '0123456789abcdef'\n").unwrap();
        let tokens: Vec<String> = (1..3).map(|seed| read[0].token(&Key::from_seed(seed))).collect();
        assert_ne!(tokens[0], tokens[1]);
        assert_eq!(tokens[0].len(), 32);
        assert_eq!(read[1].token(&Key::from_seed(1)), "0123456789abcdef");
    }

    #[test]
    fn every_fault_of_a_team_is_told_with_its_place() {
        let faults = teams(
            "[[team]]\nname = '../x'\nadress = 'a'\n[[team]]\nname = 'b'\nnumber = 1\naddress = 'http://b:1'\ntoken = 'short'\ntakedown = '/gone'\n[[team]]\nname = 'b'\n",
        )
        .unwrap_err()
        .to_string();
        for told in [
            "course.toml:2:8: a team's name",
            "course.toml:3:1: unknown key `adress`\n  hint: did you mean `address`?",
            "course.toml:6:10: `../x` has the number 1 too",
            "course.toml:7:11: this is no address",
            "course.toml:8:9: a token is",
            "course.toml:9:12: this is no path of a service that names the movie",
            "course.toml:11:8: two teams are called `b`",
        ] {
            assert!(faults.contains(told), "`{told}` is not in\n{faults}");
        }
    }
}
