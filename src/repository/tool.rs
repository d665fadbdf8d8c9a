//! The tool that a submission is about, as its `tool.toml` claims it, and when two claims are of the same one.

use serde::{Deserialize, Serialize};

use super::links::repository_of;
use crate::coursefile::{Document, Faults};

/// The name of the file in a repository.
pub(super) const TOOL: &str = "tool.toml";
/// The most bytes of it.
pub(super) const TOOL_BYTES: u64 = 4 << 10;
/// The schema name of the file.
const SCHEMA: &str = "reelworld/tool/v1";
/// The most characters of a name and of an address.
const MOST_NAME: usize = 60;
const MOST_ADDRESS: usize = 200;

/// A tool that somebody has chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolClaim {
    /// Its name, as written.
    pub name: String,
    /// Where its source is: host and path in lower case, without scheme, user, port, `www.` and `.git`.
    pub address: String,
}

impl ToolClaim {
    /// Whether two claims are of the same tool: by name (letters and digits alone, in lower case), or by address.
    pub fn is_same_as(&self, other: &Self) -> bool {
        plain(&self.name) == plain(&other.name) || self.address == other.address
    }
}

/// Returns the letters and digits of a name: `Great Expectations`, `great-expectations` and `great_expectations` are one.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Reads a [`TOOL`] file.
///
/// # Errors
/// All faults of the file, with their places.
pub(super) fn parse_tool(text: &str) -> Result<ToolClaim, Faults> {
    let document = Document::parse(TOOL, text)?;
    let root = document.root();
    root.require("schema");
    root.choice("schema", &[(SCHEMA, ())]);
    let name = root.required_text("name");
    if root.is_text("name")
        && (plain(&name).is_empty() || name.chars().count() > MOST_NAME || name.chars().any(char::is_control))
    {
        let message = format!(
            "`name` must have a letter or a digit, {MOST_NAME} characters at most, and none that cannot be seen"
        );
        root.fault_at("name", message, None);
    }
    let written = root.required_text("address");
    let address = (written.chars().count() <= MOST_ADDRESS && !written.contains(char::is_whitespace))
        .then(|| written.split(['?', '#']).next().unwrap_or_default())
        .filter(|written| written.starts_with("https://") || written.starts_with("http://"))
        .and_then(repository_of)
        .map(|address| address.strip_prefix("www.").map(str::to_owned).unwrap_or(address));
    if root.is_text("address") && address.is_none() {
        let hint = "for example \"https://github.com/feast-dev/feast\"".to_owned();
        root.fault_at(
            "address",
            "`address` must be where the tool's source is",
            Some(hint),
        );
    }
    root.finish();
    document.finish()?;
    Ok(ToolClaim {
        name,
        address: address.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(name: &str, address: &str) -> ToolClaim {
        let text = format!("schema = \"{SCHEMA}\"\nname = \"{name}\"\naddress = \"{address}\"\n");
        parse_tool(&text).unwrap()
    }

    #[test]
    fn a_tool_is_the_same_by_its_name_however_written_or_by_its_address() {
        let one = claim(
            "Great Expectations",
            "https://github.com/great-expectations/great_expectations",
        );
        for other in [
            claim("great_expectations", "https://gitlab.com/a/mirror"),
            claim(
                "gx",
                "https://www.github.com/great-expectations/great_expectations/",
            ),
            claim(
                "GX",
                "http://user@GitHub.com:443/great-expectations/great_expectations.git?tab=readme#top",
            ),
        ] {
            assert!(one.is_same_as(&other) && other.is_same_as(&one), "{other:?}");
        }
        let other = claim("Evidently", "https://github.com/evidentlyai/evidently");
        assert!(!one.is_same_as(&other) && !other.is_same_as(&one));
    }

    #[test]
    fn a_file_that_claims_no_tool_is_told_with_all_its_faults() {
        let text = "schema = \"reelworld/tool/v1\"\nname = \"--\"\naddress = \"github\"\ntol = 1\n";
        let faults = parse_tool(text).unwrap_err().to_string();
        for fault in [
            "tool.toml:2:8: `name` must have a letter or a digit",
            "tool.toml:3:11: `address` must be where the tool's source is",
            "tool.toml:4:1: unknown key `tol`",
        ] {
            assert!(faults.contains(fault), "{faults}");
        }
        assert!(parse_tool("").unwrap_err().to_string().contains("`name`"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_claim_or_faults(text in "\\PC{0,300}", name in "\\PC{0,80}", address in "\\PC{0,80}") {
            drop(parse_tool(&text));
            let text = format!("schema = \"{SCHEMA}\"\nname = {name:?}\naddress = {address:?}\n");
            if let Ok(claim) = parse_tool(&text) {
                prop_assert!(claim.is_same_as(&claim) && !claim.address.is_empty());
            }
        }
    }
}
