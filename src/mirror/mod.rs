//! The mirror of packages that builds may reach: pip's and npm's, as the course declares them, and nothing else.
//!
//! A build's network leads nowhere; the grader holds a listener inside of it and answers there what it fetches outside, below the
//! declared addresses alone. What was fetched is kept in a folder, so that a class downloads once and a later run needs no network.

mod address;
mod fetch;
mod hatch;
mod page;
mod route;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use address::Address;
use fetch::Fetcher;
use route::{Kind, Route, Routes};
use store::{Kept, Store};

pub use hatch::{Asked, Fetched, Hatch, HatchBounds};
pub use route::Front;

use crate::coursefile::Section;

/// PyPI's own index, and where its packages are.
const PYPI: (&str, &str) = ("https://pypi.org/simple", "https://files.pythonhosted.org");
/// The most addresses of `files`.
const MOST_FILES: usize = 16;
/// The longest that one answer of the mirror may take, its body included.
const ANSWER: Duration = Duration::from_secs(120);
/// How long `doctor` waits for an answer.
const LOOK: Duration = Duration::from_secs(20);
/// The largest page of an index: the largest of npm have some 10 MB.
const PAGE_BYTES: u64 = 32 << 20;
/// How long programs inside wait for an answer: longer than the grader waits for the mirror.
const PATIENCE_S: u64 = ANSWER.as_secs() + 30;

/// What `[mirror]` of `course.toml` declares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declared {
    pip: Option<Address>,
    npm: Option<Address>,
    files: Vec<Address>,
}

impl Declared {
    /// Reads `[mirror]`, each fault with its place; where there is none, nothing is declared.
    pub fn read(root: &Section<'_>) -> Self {
        let Some(section) = root.table("mirror") else {
            return Self::default();
        };
        let one = |key: &str| {
            let text = section.text(key)?;
            match Address::parse(&text) {
                Ok(address) => Some(address),
                Err(why) => {
                    let hint = format!(
                        "such as `{key} = \"{}\"`",
                        if key == "npm" {
                            "https://registry.npmjs.org"
                        } else {
                            PYPI.0
                        }
                    );
                    section.fault_at(key, format!("`{text}` {why}"), Some(hint));
                    None
                }
            }
        };
        let (pip, npm) = (one("pip"), one("npm"));
        let texts = section.texts("files");
        if texts.len() > MOST_FILES {
            section.fault_at(
                "files",
                format!("`files` has more than {MOST_FILES} addresses"),
                None,
            );
        }
        let mut files: Vec<Address> = Vec::new();
        for text in texts {
            match Address::parse(&text) {
                Ok(address) => files.push(address),
                Err(why) => section.fault_at("files", format!("`{text}` {why}"), None),
            }
        }
        if !section.has("pip") && !section.has("npm") {
            let hint = Some("`pip`, `npm` or both".to_owned());
            section.fault_at("files", "`mirror` names no index", hint);
        }
        // PyPI's own packages are elsewhere than its index, as everybody knows.
        if let (Some(pip), Ok(index), Ok(packages)) = (&pip, Address::parse(PYPI.0), Address::parse(PYPI.1))
            && pip.shares_origin(&index)
            && !files.contains(&packages)
        {
            files.push(packages);
        }
        section.finish();
        Self { pip, npm, files }
    }

    /// Whether nothing is declared: then no build has a network.
    pub fn is_empty(&self) -> bool {
        self.pip.is_none() && self.npm.is_none()
    }

    /// Says what is declared: `pip from https://pypi.org/simple`.
    pub fn describe(&self) -> String {
        let named = Front::ALL.iter().filter_map(|front| {
            let index = self.index(*front)?;
            Some(format!("{} from {index}", front.name()))
        });
        named.collect::<Vec<_>>().join(", ")
    }

    /// Returns every declared address, the indexes first.
    pub fn addresses(&self) -> Vec<String> {
        let indexes = [&self.pip, &self.npm].into_iter().flatten();
        indexes.chain(&self.files).map(Address::to_string).collect()
    }

    /// Asks each index for one page; returns its name, and why it does not answer if it does not.
    pub fn look(&self) -> Vec<(String, Result<(), String>)> {
        let fetcher = Fetcher::new();
        let mut seen = Vec::new();
        for front in Front::ALL {
            let Some(index) = self.index(front) else { continue };
            let address = index.below(match front {
                Front::Pip => "pip/",
                Front::Npm => "npm",
            });
            let file = tempfile::tempfile().map_err(|error| error.to_string());
            let answered = file.and_then(|mut file| {
                let page = (front, Kind::Page);
                match fetcher.fetch(&address, page, (PAGE_BYTES, LOOK), &mut file, self) {
                    // One that has no such package has answered, too.
                    Ok(_) => Ok(()),
                    Err(Trouble::Refused(why) | Trouble::Ours(why)) => Err(why),
                }
            });
            seen.push((format!("{} from {index}", front.name()), answered));
        }
        seen
    }

    fn index(&self, front: Front) -> Option<&Address> {
        match front {
            Front::Pip => self.pip.as_ref(),
            Front::Npm => self.npm.as_ref(),
        }
    }

    fn routes(&self, front: Front) -> Option<Routes> {
        let index = self.index(front)?.clone();
        Some(Routes::of_addresses(front, index, self.files.clone()))
    }

    /// Whether an address lies below one that is declared.
    fn reaches(&self, address: &str) -> bool {
        [&self.pip, &self.npm]
            .into_iter()
            .flatten()
            .chain(&self.files)
            .any(|place| place.rest_of(address).is_some())
    }
}

/// A course's mirror, as a run uses it.
#[derive(Debug)]
pub struct Mirror {
    declared: Declared,
    fetcher: Fetcher,
    store: Store,
    /// Addresses that somebody fetches, so that others wait for it.
    fetching: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
    /// Pages that were asked for in this run: they stay as they are for the whole class.
    fresh: Mutex<BTreeSet<String>>,
}

/// Why something was not had.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    /// It may not be had, by the bounds or by what is declared.
    Refused(String),
    /// The mirror, the network or this machine is at fault.
    Ours(String),
}

/// What was had.
#[derive(Debug)]
struct Had {
    status: u16,
    body: Body,
    /// Whether it was fetched now, and not kept from before.
    is_new: bool,
    left_out: BTreeSet<String>,
}

/// What is sent.
#[derive(Debug)]
enum Body {
    Text(String),
    /// A file from where it is now, and so many bytes of it.
    File(File, u64),
}

impl Had {
    fn bytes(&self) -> u64 {
        match &self.body {
            Body::Text(text) => text.len() as u64,
            Body::File(_, bytes) => *bytes,
        }
    }
}

impl Mirror {
    /// Opens a declared mirror; what is fetched is kept in a folder, made if need be.
    ///
    /// # Errors
    /// When the folder cannot be had.
    pub fn open(declared: Declared, folder: PathBuf) -> io::Result<Self> {
        Ok(Self {
            declared,
            fetcher: Fetcher::new(),
            store: Store::open(folder)?,
            fetching: Mutex::default(),
            fresh: Mutex::default(),
        })
    }

    /// Returns what is declared.
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// Returns who may ask.
    pub fn fronts(&self) -> Vec<Front> {
        let there = |front: &Front| self.declared.index(*front).is_some();
        Front::ALL.into_iter().filter(there).collect()
    }

    /// Returns the variables by which programs inside find it.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = Vec::new();
        for front in self.fronts() {
            let address = format!("{}/", front.inside());
            let of_front: &[(&'static str, String)] = match front {
                Front::Pip => &[
                    ("PIP_INDEX_URL", address.clone()),
                    ("PIP_DEFAULT_TIMEOUT", PATIENCE_S.to_string()),
                    // Whoever asks when nothing is built any more is told so soon.
                    ("PIP_RETRIES", "1".to_owned()),
                    ("UV_DEFAULT_INDEX", address),
                    ("UV_HTTP_TIMEOUT", PATIENCE_S.to_string()),
                ],
                Front::Npm => &[
                    ("npm_config_registry", address),
                    // Lock files name the registry that somebody had.
                    ("npm_config_replace_registry_host", "always".to_owned()),
                    ("npm_config_fetch_timeout", (PATIENCE_S * 1000).to_string()),
                    ("npm_config_fetch_retries", "0".to_owned()),
                    // These ask for more than packages.
                    ("npm_config_audit", "false".to_owned()),
                    ("npm_config_fund", "false".to_owned()),
                    ("npm_config_update_notifier", "false".to_owned()),
                ],
            };
            env.extend_from_slice(of_front);
        }
        env
    }

    /// Gets what a route leads to, of at most so many bytes and within a time.
    fn get(
        &self,
        (front, routes): (Front, &Routes),
        route: &Route,
        most: u64,
        within: Duration,
    ) -> Result<Had, Trouble> {
        let address = &route.address;
        let lock = Arc::clone(self.lock().entry(address.clone()).or_default());
        let fetching = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let had = self.get_alone((front, routes), route, most, within);
        drop(fetching);
        let mut all = self.lock();
        // The table's own, and ours.
        if Arc::strong_count(&lock) == 2 {
            all.remove(address);
        }
        had
    }

    /// Gets it while nobody else gets the same.
    fn get_alone(
        &self,
        (front, routes): (Front, &Routes),
        route: &Route,
        most: u64,
        within: Duration,
    ) -> Result<Had, Trouble> {
        let ours = |error: io::Error| Trouble::Ours(format!("this machine refused: {error}"));
        let address = &route.address;
        let kept = self.store.get(address).map_err(ours)?;
        let settled = match route.kind {
            Kind::File => kept.as_ref().is_some_and(|kept| kept.status == 200),
            Kind::Page => self.fresh().contains(address),
        };
        if let Some(kept) = kept.filter(|_| settled) {
            return had((front, routes), route, kept, false, most);
        }
        let most_fetched = match route.kind {
            Kind::Page => PAGE_BYTES,
            Kind::File => most,
        };
        let mut staged = self.store.stage(address).map_err(ours)?;
        let fetched = self.fetcher.fetch(
            address,
            (front, route.kind),
            (most_fetched, within.min(ANSWER)),
            staged.body(),
            &self.declared,
        );
        match fetched {
            Ok(status) => {
                let kept = self.store.keep(staged, status).map_err(ours)?;
                self.fresh().insert(address.clone());
                had((front, routes), route, kept, true, most)
            }
            // A mirror that is out of reach: what was there before is what there is.
            Err(Trouble::Ours(why)) => match self.store.get(address).map_err(ours)? {
                Some(kept) => had((front, routes), route, kept, false, most),
                None => Err(Trouble::Ours(why)),
            },
            Err(refused) => Err(refused),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Mutex<()>>>> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes what is sent of what is kept: of a page its links, led through the grader.
fn had(
    (front, routes): (Front, &Routes),
    route: &Route,
    mut kept: Kept,
    is_new: bool,
    most: u64,
) -> Result<Had, Trouble> {
    let ours = |error: io::Error| Trouble::Ours(format!("this machine refused: {error}"));
    let status = kept.status;
    if kept.bytes > most {
        return Err(Trouble::Refused(too_much(most)));
    }
    if status != 200 || route.kind == Kind::File {
        kept.file.seek(SeekFrom::Start(kept.begins)).map_err(ours)?;
        let body = if status == 200 {
            Body::File(kept.file, kept.bytes)
        } else {
            Body::Text(format!("the mirror says {status}\n"))
        };
        return Ok(Had {
            status,
            body,
            is_new,
            left_out: BTreeSet::new(),
        });
    }
    let mut bytes = Vec::new();
    kept.file.seek(SeekFrom::Start(kept.begins)).map_err(ours)?;
    kept.file.take(PAGE_BYTES).read_to_end(&mut bytes).map_err(ours)?;
    let page = match front {
        Front::Pip => page::of_pip(routes, &route.address, &String::from_utf8_lossy(&bytes)),
        Front::Npm => page::of_npm(routes, &route.address, &bytes, &front.inside())
            .map_err(|error| Trouble::Ours(format!("the mirror's page is none of npm's: {error}")))?,
    };
    Ok(Had {
        status,
        body: Body::Text(page.text),
        is_new,
        left_out: page.left_out,
    })
}

fn too_much(most: u64) -> String {
    format!(
        "it is larger than the {} that are left to this build (`mirror_mib`)",
        size(most)
    )
}

/// Says a number of bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coursefile::{Document, Faults};

    fn read(text: &str) -> Result<Declared, Faults> {
        let document = Document::parse("course.toml", text)?;
        let root = document.root();
        let declared = Declared::read(&root);
        root.finish();
        document.finish()?;
        Ok(declared)
    }

    #[test]
    fn a_mirror_is_declared_by_addresses_and_pypis_packages_are_known() {
        assert!(read("").unwrap().is_empty());
        let declared =
            read("[mirror]\npip = 'https://pypi.org/simple/'\nnpm = 'http://npm.example.org:4873'\n")
                .unwrap();
        assert_eq!(
            declared.addresses(),
            [
                "https://pypi.org/simple",
                "http://npm.example.org:4873",
                "https://files.pythonhosted.org"
            ]
        );
        assert_eq!(
            declared.describe(),
            "pip from https://pypi.org/simple, npm from http://npm.example.org:4873"
        );
        for (address, reached) in [
            ("https://pypi.org/simple/flask/", true),
            ("https://files.pythonhosted.org/packages/a.whl", true),
            ("https://pypi.org/account/", false),
            ("http://169.254.169.254/latest/meta-data", false),
            ("http://127.0.0.1/", false),
        ] {
            assert_eq!(declared.reaches(address), reached, "{address}");
        }
        let own =
            read("[mirror]\npip = 'https://pip.example.org'\nfiles = ['https://files.example.org/a']\n")
                .unwrap();
        assert_eq!(
            own.addresses(),
            ["https://pip.example.org", "https://files.example.org/a"]
        );
    }

    #[test]
    fn faults_of_a_declaration_are_told_with_their_places() {
        let text = "[mirror]\npip = 'pypi.org'\nnpm = 7\nfiles = ['https://a.org', 'https://ada:secret@b.org']\nconda = 'x'\n";
        let faults = read(text).unwrap_err().to_string();
        for part in [
            "course.toml:2:7: `pypi.org` is no address of a mirror",
            "hint: such as `pip = \"https://pypi.org/simple\"`",
            "course.toml:3:7: `npm` must be a text in quotes",
            "course.toml:4:9: `https://ada:secret@b.org` is no address",
            "course.toml:5:1: unknown key `conda`",
        ] {
            assert!(faults.contains(part), "{faults}");
        }
        let faults = read("[mirror]\nfiles = ['https://a.org']\n")
            .unwrap_err()
            .to_string();
        assert!(faults.contains("`mirror` names no index"), "{faults}");
    }
}
