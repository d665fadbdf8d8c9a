//! What builds ask for, and the address where it is (pure): below what a course declares, or nowhere.

use super::address::{Address, is_plain};

/// What the endings of files are that have packages in them, or what is known about one.
const FILES: [&str; 9] = [
    ".whl",
    ".metadata",
    ".tar.gz",
    ".tgz",
    ".zip",
    ".tar.bz2",
    ".tar.xz",
    ".egg",
    ".asc",
];

/// Who asks: each has a port of its own inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Front {
    /// pip, and whoever reads an index as it does.
    Pip,
    /// npm.
    Npm,
}

impl Front {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Pip, Self::Npm];

    /// Returns its name, as `course.toml` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pip => "pip",
            Self::Npm => "npm",
        }
    }

    /// Returns its port inside: one that servers of packages usually have, and services do not.
    pub fn port(self) -> u16 {
        match self {
            Self::Pip => 3141,
            Self::Npm => 4873,
        }
    }

    /// Returns its address inside, without a last slash.
    pub(super) fn inside(self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }
}

/// Whether something changes: a page of an index does, a package never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Page,
    File,
}

/// What is asked for: where it is, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) address: String,
    pub(super) kind: Kind,
}

/// The addresses that one front reaches: its index, and where packages are beside it.
#[derive(Debug, Clone)]
pub(super) struct Routes {
    front: Front,
    index: Address,
    files: Vec<Address>,
}

impl Routes {
    pub(super) fn of_addresses(front: Front, index: Address, files: Vec<Address>) -> Self {
        Self { front, index, files }
    }

    #[cfg(test)]
    pub(super) fn new(front: Front, index: &str, files: &[&str]) -> Self {
        let address = |text: &str| Address::parse(text).unwrap();
        Self::of_addresses(
            front,
            address(index),
            files.iter().map(|text| address(text)).collect(),
        )
    }

    /// Returns where a path of the inside leads.
    ///
    /// # Errors
    /// Why nowhere.
    pub(super) fn of(&self, path: &str) -> Result<Route, &'static str> {
        let rest = path.strip_prefix('/').unwrap_or_default();
        if rest.is_empty() {
            return Err("the list of all packages is not handed out");
        }
        if !is_plain(path) {
            return Err("this is no path of a package");
        }
        let address = match rest.strip_prefix('-') {
            None => self.index.below(rest),
            Some(rest) => {
                let (number, rest) = rest.split_once('/').unwrap_or_default();
                let place = number
                    .parse()
                    .ok()
                    .and_then(|number: usize| self.files.get(number));
                place.ok_or("this is no path of a package")?.below(rest)
            }
        };
        let kind = self.kind(path);
        Ok(Route { address, kind })
    }

    /// Returns the path inside that leads to an address; none if it lies below nothing that is declared.
    pub(super) fn path_to(&self, address: &str) -> Option<String> {
        if let Some(rest) = self.index.rest_of(address).filter(|rest| !rest.starts_with('-')) {
            return (!rest.is_empty()).then(|| format!("/{rest}"));
        }
        let mut places = self.files.iter().enumerate();
        places.find_map(|(number, place)| Some(format!("/-{number}/{}", place.rest_of(address)?)))
    }

    fn kind(&self, path: &str) -> Kind {
        let is_file = match self.front {
            // What lies beside the index is no page of it.
            Front::Pip => path.starts_with("/-") || FILES.iter().any(|ending| path.ends_with(ending)),
            Front::Npm => path.starts_with("/-") || path.contains("/-/"),
        };
        if is_file { Kind::File } else { Kind::Page }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_below_what_is_declared_or_nowhere() {
        let routes = Routes::new(
            Front::Pip,
            "https://pypi.org/simple",
            &["https://files.pythonhosted.org"],
        );
        let of = |path| routes.of(path).map(|route| (route.address, route.kind));
        assert_eq!(
            of("/flask/"),
            Ok(("https://pypi.org/simple/flask/".to_owned(), Kind::Page))
        );
        assert_eq!(
            of("/-0/packages/a/f-1.whl"),
            Ok((
                "https://files.pythonhosted.org/packages/a/f-1.whl".to_owned(),
                Kind::File
            ))
        );
        for nowhere in [
            "",
            "/",
            "/../admin",
            "/%2e%2e/admin",
            "/..%2fadmin",
            "/-1/x.whl",
            "/-/x.whl",
            "/-0",
            "/-0/../x",
            "/a\\..\\b",
            "http://169.254.169.254/latest",
        ] {
            assert!(of(nowhere).is_err(), "{nowhere}: {:?}", of(nowhere));
        }
        let npm = Routes::new(Front::Npm, "https://registry.npmjs.org", &[]);
        assert_eq!(npm.of("/@scope%2fname").unwrap().kind, Kind::Page);
        assert_eq!(npm.of("/p/-/p-1.0.0.tgz").unwrap().kind, Kind::File);
    }
}
