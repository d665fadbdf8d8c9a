//! Addresses that a course declares, and whether another lies below one of them (pure).

use std::fmt;

/// The longest path that is asked for.
const PATH_BYTES: usize = 2_000;

/// Where packages come from: a scheme, a host and a path, below which everything may be asked for and nothing above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// `https://files.example.org:8443`, in small letters and without the scheme's own port.
    origin: String,
    /// `/simple`, or empty: without the last slash.
    base: String,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, as a phrase.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (origin, path) =
            split(text).ok_or("is no address of a mirror: `https://` or `http://`, a host and a path")?;
        if path.contains(['?', '#']) {
            return Err("has a question mark or a hash sign in it");
        }
        let base = path.trim_end_matches('/');
        if !is_plain(base) {
            return Err("has a path that leads upwards, or signs in it that no path has");
        }
        Ok(Self {
            origin,
            base: base.to_owned(),
        })
    }

    /// Returns the address of what lies below this one.
    pub(super) fn below(&self, rest: &str) -> String {
        format!("{}{}/{rest}", self.origin, self.base)
    }

    /// Returns the path from this address to one below it; none if it lies elsewhere.
    pub(super) fn rest_of<'a>(&self, address: &'a str) -> Option<&'a str> {
        let (origin, path) = split(address)?;
        let rest = path.strip_prefix(&self.base)?.strip_prefix('/')?;
        (origin == self.origin && !rest.contains(['?', '#']) && is_plain(path)).then_some(rest)
    }

    /// Whether an address lies at the same scheme, host and port.
    pub(super) fn shares_origin(&self, other: &Self) -> bool {
        self.origin == other.origin
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.base)
    }
}

/// Splits an address into its origin, made uniform, and its path with all that follows.
fn split(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let own_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(own_port).unwrap_or(&host);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_name = |sign: u8| sign.is_ascii_alphanumeric() || b".-_".contains(&sign);
    let is_six = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .is_some_and(|name| name.parse::<std::net::Ipv6Addr>().is_ok());
    let named = !name.is_empty() && (is_six || name.bytes().all(is_name));
    let numbered = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    (named && numbered).then(|| (format!("{scheme}://{host}"), path))
}

/// Whether a path is one: visible signs, nothing that leads upwards, also not when it is undone once.
pub(super) fn is_plain(path: &str) -> bool {
    let Some(undone) = crate::door::decode(path) else {
        return false;
    };
    let upwards = |path: &str| path.split('/').any(|part| part == "." || part == "..");
    path.len() <= PATH_BYTES
        && path
            .bytes()
            .all(|sign| sign.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&sign))
        && !undone.contains(['\\', '\0', '\r', '\n'])
        && !upwards(path)
        && !upwards(&undone)
}

/// Returns where a link of a page leads, without what follows a hash sign; none if it is no link of the web.
pub(super) fn join(page: &str, link: &str) -> Option<String> {
    let link = link.split('#').next().unwrap_or_default();
    let (scheme, after) = page.split_once("://")?;
    let host = after.split('/').next().unwrap_or_default();
    if let Some(rest) = link.strip_prefix("//") {
        return Some(format!("{scheme}://{rest}"));
    }
    let head = link.split(['/', '?']).next().unwrap_or_default();
    if head.contains(':') {
        return link.contains("://").then(|| link.to_owned());
    }
    if link.starts_with('/') {
        return Some(format!("{scheme}://{host}{link}"));
    }
    let path = after.strip_prefix(host).unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut parts: Vec<&str> = path.split('/').skip(1).collect();
    // What a link leads on from is the page's folder.
    parts.pop();
    for part in link.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(format!("{scheme}://{host}/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_uniform_whatever_its_case_port_and_last_slash() {
        let one = Address::parse("HTTPS://PyPI.org:443/simple/").unwrap();
        assert_eq!(one.to_string(), "https://pypi.org/simple");
        assert_eq!(one, Address::parse("https://pypi.org/simple").unwrap());
        assert_eq!(one.below("flask/"), "https://pypi.org/simple/flask/");
        for wrong in [
            "",
            "pypi.org/simple",
            "ftp://pypi.org",
            "https://",
            "https:///simple",
            "https://ada:secret@pypi.org",
            "https://pypi.org/simple?x",
            "https://pypi.org/a/../b",
            "https://pypi.org/a/%2e%2E/b",
            "https://pypi.org:0/",
            "https://pypi.org:99999/",
            "https://py pi.org/",
            "https://pypi.org/a b",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Address::parse("http://[::1]:8080/x").is_ok());
    }

    #[test]
    fn only_what_lies_below_an_address_is_its_own() {
        let files = Address::parse("https://files.example.org/packages").unwrap();
        let rest = |address| files.rest_of(address);
        assert_eq!(
            rest("https://files.example.org/packages/a/b.whl"),
            Some("a/b.whl")
        );
        assert_eq!(
            rest("https://FILES.example.org:443/packages/b.whl"),
            Some("b.whl")
        );
        for elsewhere in [
            "https://files.example.org/packages-of-others/b.whl",
            "https://files.example.org/secret",
            "http://files.example.org/packages/b.whl",
            "https://files.example.org:8443/packages/b.whl",
            "https://files.example.org.evil.net/packages/b.whl",
            "https://files.example.org@evil.net/packages/b.whl",
            "https://files.example.org/packages/../secret",
            "https://files.example.org/packages/%2e%2e/secret",
            "https://files.example.org/packages/..%2fsecret",
            "https://files.example.org/packages/b.whl?token",
        ] {
            assert_eq!(rest(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn links_lead_where_a_browser_would_go() {
        let page = "https://a.org/simple/flask/";
        for (link, wanted) in [
            (
                "flask-1.whl#sha256=0",
                Some("https://a.org/simple/flask/flask-1.whl"),
            ),
            ("../../packages/f.whl", Some("https://a.org/packages/f.whl")),
            ("/packages/f.whl", Some("https://a.org/packages/f.whl")),
            ("//b.org/f.whl", Some("https://b.org/f.whl")),
            ("http://b.org/f.whl", Some("http://b.org/f.whl")),
            ("../../../../f.whl", Some("https://a.org/f.whl")),
            ("mailto:ada@a.org", None),
            ("javascript:alert(1)", None),
        ] {
            assert_eq!(join(page, link).as_deref(), wanted, "{link}");
        }
    }

    proptest! {
        #[test]
        fn what_lies_below_an_address_is_found_again(rest in "[a-z0-9.%/-]{0,30}") {
            let address = Address::parse("https://a.org/simple").unwrap();
            let below = address.below(&rest);
            match address.rest_of(&below) {
                Some(found) => prop_assert_eq!(found, rest),
                None => prop_assert!(!is_plain(&rest)),
            }
        }

        #[test]
        fn no_link_leads_out_of_a_declared_address_unseen(link in "\\PC{0,40}") {
            let address = Address::parse("https://a.org/simple").unwrap();
            if let Some(target) = join("https://a.org/simple/x/", &link)
                && let Some(rest) = address.rest_of(&target)
            {
                prop_assert!(is_plain(rest) && target.starts_with("https://"), "{}", target);
            }
        }
    }
}
