//! Where the links of a report lead: to a file of the commit, to one that is not there, or out of the repository.

use super::document::Link;

/// A place in the repository that a link names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inside {
    /// The version that it names; none is the commit in which the link stands.
    pub(super) version: Option<String>,
    /// The path from the top.
    pub(super) path: String,
    /// The last line that it names.
    pub(super) line: Option<u32>,
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leads {
    /// Out of the repository, or to a place in the same text.
    Elsewhere,
    /// To a file or folder of the repository.
    Inside(Inside),
    /// To a file of some repository of this owner and name, which may be ours.
    Hosted {
        /// Host, owner and name in lower case.
        repository: String,
        /// The place in it.
        inside: Inside,
    },
    /// Nowhere, and why.
    Nowhere(&'static str),
}

/// Tells where a link leads, from a text by some path.
pub(super) fn leads(link: &Link, text_path: &str) -> Leads {
    let target = link.target.trim();
    let (address, fragment) = target.split_once('#').unwrap_or((target, ""));
    let address = address.split('?').next().unwrap_or_default();
    let line = last_line(fragment);
    let lower = address.to_ascii_lowercase();
    if lower.starts_with("https://") || lower.starts_with("http://") {
        return hosted(address, line);
    }
    // Any other scheme: mail, data, an attachment of a notebook.
    let scheme = address.split(['/', '.']).next().unwrap_or_default();
    if scheme.contains(':') || address.starts_with("//") || address.is_empty() {
        return Leads::Elsewhere;
    }
    // One that begins with a slash begins at the top, as the sites that show Markdown have it.
    let folder = if address.starts_with('/') {
        ""
    } else {
        text_path.rsplit_once('/').map_or("", |(folder, _)| folder)
    };
    match joined(folder, &decoded(address)) {
        Some(path) => Leads::Inside(Inside {
            version: None,
            path,
            line,
        }),
        None => Leads::Nowhere("leads out of the repository"),
    }
}

/// Reads `https://host/owner/name/blob/version/path` as GitHub, GitLab (`/-/blob/`) and Bitbucket (`/src/`) write it.
fn hosted(address: &str, line: Option<u32>) -> Leads {
    let Some((_, rest)) = address.split_once("://") else {
        return Leads::Elsewhere;
    };
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    let kinds = ["blob", "tree", "raw", "blame", "src"];
    // Owners may be folders of folders on GitLab.
    let Some(place) = parts
        .iter()
        .position(|part| kinds.contains(part))
        .filter(|place| *place >= 3)
    else {
        return Leads::Elsewhere;
    };
    let owner = parts[..place].iter().filter(|part| **part != "-");
    let repository = owner.copied().collect::<Vec<&str>>().join("/").to_lowercase();
    let repository = repository.trim_end_matches(".git").to_owned();
    let Some(version) = parts.get(place + 1) else {
        return Leads::Elsewhere;
    };
    let path = parts[place + 2..].join("/");
    match joined("", &decoded(&path)) {
        Some(path) => Leads::Hosted {
            repository,
            inside: Inside {
                version: Some(decoded(version)),
                path,
                line,
            },
        },
        None => Leads::Nowhere("leads out of the repository"),
    }
}

/// Returns the host, owner and name of a remote's address, in lower case.
pub(super) fn repository_of(remote: &str) -> Option<String> {
    let rest = match remote.split_once("://") {
        Some((_, rest)) => rest.to_owned(),
        // `git@host:owner/name`
        None => remote.replacen(':', "/", 1),
    };
    let rest = rest.rsplit_once('@').map_or(rest.as_str(), |(_, rest)| rest);
    let rest = rest.trim_end_matches('/').trim_end_matches(".git");
    let mut parts = rest.split('/');
    // A port is no part of a name.
    let host = parts.next()?.split(':').next()?;
    let name: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    (name.len() >= 2 && host.contains('.')).then(|| format!("{host}/{}", name.join("/")).to_lowercase())
}

/// Joins a folder and a relative path; none if that leads out, or holds what no path of ours holds.
fn joined(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            _ if part.chars().any(char::is_control) => return None,
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Takes `%20` and the like for what they stand for.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while place < bytes.len() {
        let code = bytes
            .get(place + 1..place + 3)
            .filter(|_| bytes[place] == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(code.unwrap_or(bytes[place]));
        place += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads the last line that `L12`, `L12-L20` or `lines-12:20` names.
fn last_line(fragment: &str) -> Option<u32> {
    if let Some(lines) = fragment.strip_prefix("lines-") {
        return lines.rsplit(':').next()?.parse().ok();
    }
    let is_line = fragment
        .strip_prefix('L')?
        .starts_with(|sign: char| sign.is_ascii_digit());
    let last = fragment.rsplit('-').next()?.trim_start_matches('L');
    let end = last
        .find(|sign: char| !sign.is_ascii_digit())
        .unwrap_or(last.len());
    last[..end].parse().ok().filter(|_| is_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(target: &str) -> Leads {
        let link = Link {
            place: String::new(),
            target: target.to_owned(),
        };
        leads(&link, "reports/m1.md")
    }

    #[test]
    fn links_lead_to_places_of_the_repository() {
        for (target, path, line) in [
            ("../src/train.py", "src/train.py", None),
            ("figures/a%20b.png", "reports/figures/a b.png", None),
            ("/src/train.py#L10-L20", "src/train.py", Some(20)),
            ("./../src/", "src", None),
            ("../src/train.py#L10C3-L12C5", "src/train.py", Some(12)),
            ("../src/train.py#what-it-does", "src/train.py", None),
            ("..", "", None),
        ] {
            let inside = Inside {
                version: None,
                path: path.to_owned(),
                line,
            };
            assert_eq!(told(target), Leads::Inside(inside), "{target}");
        }
        for (target, repository, version, path, line) in [
            (
                "https://github.com/Team/Movies/blob/0123abc/src/a.py#L3",
                "github.com/team/movies",
                "0123abc",
                "src/a.py",
                Some(3),
            ),
            (
                "https://gitlab.example.edu/c/t/movies/-/blob/v1/a.py",
                "gitlab.example.edu/c/t/movies",
                "v1",
                "a.py",
                None,
            ),
            (
                "https://bitbucket.org/t/m/src/0123abc/a.py#lines-4:9",
                "bitbucket.org/t/m",
                "0123abc",
                "a.py",
                Some(9),
            ),
            (
                "https://github.com/t/m/tree/main/src?plain=1",
                "github.com/t/m",
                "main",
                "src",
                None,
            ),
        ] {
            let inside = Inside {
                version: Some(version.to_owned()),
                path: path.to_owned(),
                line,
            };
            let repository = repository.to_owned();
            assert_eq!(told(target), Leads::Hosted { repository, inside }, "{target}");
        }
    }

    #[test]
    fn other_links_lead_elsewhere_and_some_nowhere() {
        for target in [
            "#costs",
            "mailto:a@b.c",
            "https://scikit-learn.org/stable",
            "data:image/png;base64,xx",
            "attachment:a.png",
            "",
            "//x.org/a",
        ] {
            assert_eq!(told(target), Leads::Elsewhere, "{target}");
        }
        for target in ["../../secret", "../../../etc/passwd", "a%0Ab"] {
            assert!(matches!(told(target), Leads::Nowhere(_)), "{target}");
        }
    }

    #[test]
    fn remotes_are_the_same_however_they_are_written() {
        for remote in [
            "https://github.com/Team/Movies.git",
            "git@github.com:team/movies.git",
            "ssh://git@github.com:22/team/movies",
            "https://token@github.com/team/movies/",
        ] {
            assert_eq!(
                repository_of(remote).as_deref(),
                Some("github.com/team/movies"),
                "{remote}"
            );
        }
        for other in ["/srv/git/movies.git", "../movies", ""] {
            assert_eq!(repository_of(other), None, "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_link_leads_out_of_the_repository(target in "(\\.\\./|%2e|/|a|\\.|#L|:|%|https://x/y/z/blob/)*") {
            if let Leads::Inside(inside) | Leads::Hosted { inside, .. } = told(&target) {
                assert!(inside.path.split('/').all(|part| ![".", ".."].contains(&part)), "{target}: {inside:?}");
                assert!(!inside.path.starts_with('/') && !inside.path.chars().any(char::is_control));
            }
        }
    }
}
