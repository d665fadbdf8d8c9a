//! Where a team's repository came from: `.starter.toml`, which names the starter, its version, and every file as it was given out.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha1::{Digest, Sha1};

use super::{Framework, Seat};
use crate::course::number;
use crate::coursefile::{Document, Faults};

/// The file of the record, at the repository's top.
pub const RECORD: &str = ".starter.toml";
/// The schema name of a record.
const SCHEMA: &str = "reelworld/starter/v1";

/// What a repository was begun with, or brought up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The milestone.
    pub milestone: String,
    /// What its service is written with.
    pub framework: Framework,
    /// The starter's version.
    pub version: String,
    /// The fingerprint of the world that its data come from.
    pub world: String,
    /// Whose it is.
    pub seat: Seat,
    /// Every file: path, and the name that git gives to its content.
    pub files: BTreeMap<String, String>,
}

impl Record {
    /// Prints the file.
    pub fn print(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut text = String::from(
            "# Where this repository came from. `reelworld starter update` merges what is newer from here on: leave this file as it is.\n",
        );
        let Seat {
            name,
            number,
            port,
            address,
        } = &self.seat;
        // Writing to a text cannot fail.
        let _whole = write!(
            text,
            "schema = \"{SCHEMA}\"\nmilestone = {}\nframework = \"{}\"\nversion = {}\nworld = {}\n\n[team]\nname = {}\n",
            quoted(&self.milestone),
            self.framework.word(),
            quoted(&self.version),
            quoted(&self.world),
            quoted(name),
        );
        if let Some(number) = number {
            text.push_str(&format!("number = {number}\n"));
        }
        text.push_str(&format!("port = {port}\n"));
        if let Some(address) = address {
            text.push_str(&format!("address = {}\n", quoted(address)));
        }
        text.push_str(
            "\n# Each file as it was given out, by the name that git gives to its content.\n[files]\n",
        );
        for (path, id) in &self.files {
            text.push_str(&format!("{} = \"{id}\"\n", quoted(path)));
        }
        text
    }

    /// Reads the file, which is the team's by now: what leads out of the repository, or is no name of git's, is a fault.
    ///
    /// # Errors
    /// All its faults.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let document = Document::parse(RECORD, text)?;
        let root = document.root();
        root.require("schema");
        if root.text("schema").is_some_and(|schema| schema != SCHEMA) {
            root.fault_at(
                "schema",
                "this is no record of a version that we read",
                Some(format!("`{SCHEMA}`")),
            );
        }
        let milestone = root.required_text("milestone");
        if number(&milestone).is_none() {
            root.fault_at("milestone", format!("`{milestone}` is no milestone"), None);
        }
        root.require("framework");
        let framework = root.choice("framework", Framework::WORDS);
        let version = root.required_text("version");
        let world = root.required_text("world");
        let mut seat = Seat {
            name: String::new(),
            number: None,
            port: 0,
            address: None,
        };
        root.require("team");
        if let Some(team) = root.table("team") {
            seat.name = team.required_text("name");
            if !seat.name.is_empty() && !Seat::fits(&seat.name) {
                team.fault_at("name", "this cannot be a team's name", None);
            }
            seat.number = team
                .integer_in("number", 1..=i64::from(u32::MAX))
                .and_then(|number| u32::try_from(number).ok());
            team.require("port");
            seat.port = team
                .integer_in("port", 1..=65_535)
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or_default();
            seat.address = team.text("address");
            team.finish();
        }
        root.require("files");
        let files = root.text_map("files");
        for (path, id) in &files {
            if !is_inside(path) {
                root.fault_at(
                    "files",
                    format!("`{path}` is no path inside the repository"),
                    None,
                );
            }
            if !([40, 64].contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit())) {
                root.fault_at(
                    "files",
                    format!("what stands for `{path}` is no name of git's"),
                    None,
                );
            }
        }
        root.finish();
        document.finish()?;
        Ok(Self {
            milestone,
            framework: framework.unwrap_or_default(),
            version,
            world,
            seat,
            files,
        })
    }
}

/// Whether a path stays inside a repository and out of git's own folder.
pub(super) fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', '\0', '\n'])
        && path
            .split('/')
            .all(|part| !["", ".", ".."].contains(&part) && !part.eq_ignore_ascii_case(".git"))
}

/// Returns the name that git gives to a content.
pub(super) fn blob_id(content: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    let mut name = String::with_capacity(40);
    for byte in hash.finalize() {
        name.push_str(&format!("{byte:02x}"));
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        Record {
            milestone: "m2".to_owned(),
            framework: Framework::Flask,
            version: "0a1b2c3d4e".to_owned(),
            world: "c0ffee12".to_owned(),
            seat: Seat {
                name: "falcons".to_owned(),
                number: Some(3),
                port: 8082,
                address: Some("team3.example.edu:8082".to_owned()),
            },
            files: [("a \"b\"/c.py".to_owned(), blob_id(b"x"))].into(),
        }
    }

    #[test]
    fn the_name_of_a_content_is_gits() {
        assert_eq!(blob_id(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(blob_id(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let mut one = record();
        assert_eq!(Record::parse(&one.print()).unwrap(), one);
        one.seat.number = None;
        one.seat.address = None;
        assert_eq!(Record::parse(&one.print()).unwrap(), one);
    }

    #[test]
    fn a_record_that_leads_out_of_the_repository_is_a_fault() {
        let good = record().print();
        for (from, to) in [
            ("c.py", "../../c.py"),
            ("a \"b\"/c.py", "/etc/passwd"),
            ("a \"b\"/c.py", ".GIT/config"),
            ("falcons", "../falcons"),
            ("\"m2\"", "\"final\""),
            ("flask", "flusk"),
            ("port = 8082", "port = 0"),
            ("starter/v1", "starter/v9"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            assert!(Record::parse(&bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_fail(text in "\\PC{0,200}") {
            let _any = Record::parse(&text);
        }
    }
}
