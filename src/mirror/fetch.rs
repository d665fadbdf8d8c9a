//! One request to a mirror: by GET alone, within a time and a size, and led nowhere that is not declared.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::address::join;
use super::route::{Front, Kind};
use super::{Declared, Trouble, size};

/// How often a mirror may lead on.
const MOST_REDIRECTS: usize = 4;
/// How long a connection may take to come to be.
const CONNECT: Duration = Duration::from_secs(15);
/// The most bytes of an answer's head.
const HEAD_BYTES: usize = 32 << 10;
/// How much of a body is read at once.
const PIECE: usize = 64 << 10;
/// Where systems keep the certificates that they trust.
const TRUSTED: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A client of mirrors.
#[derive(Debug)]
pub(super) struct Fetcher {
    agent: OnceLock<Agent>,
}

impl Fetcher {
    pub(super) fn new() -> Self {
        Self {
            agent: OnceLock::new(),
        }
    }

    /// Fetches an address into a file; returns the status, 200 or one that says that there is no such thing.
    pub(super) fn fetch(
        &self,
        address: &str,
        (front, kind): (Front, Kind),
        (most, within): (u64, Duration),
        to: &mut File,
        declared: &Declared,
    ) -> Result<u16, Trouble> {
        let accept = match (kind, front) {
            (Kind::File, _) => "*/*",
            (Kind::Page, Front::Pip) => "application/vnd.pypi.simple.v1+html, text/html;q=0.9",
            (Kind::Page, Front::Npm) => "application/vnd.npm.install-v1+json, application/json;q=0.9",
        };
        let agent = self.agent.get_or_init(agent);
        let mut address = address.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            let answer = agent
                .get(&address)
                .header("accept", accept)
                .header("accept-encoding", "identity")
                .config()
                .timeout_global(Some(within))
                .build()
                .call()
                .map_err(|error| silent(&address, &error.to_string()))?;
            let status = answer.status().as_u16();
            match status {
                200 => {
                    let encoding = answer.headers().get("content-encoding");
                    if kind == Kind::Page && encoding.is_some_and(|encoding| encoding != "identity") {
                        return Err(silent(
                            &address,
                            "it answers in a packed form that nobody has asked for",
                        ));
                    }
                    return body(&mut answer.into_body().into_reader(), most, to, &address).map(|()| 200);
                }
                // What the mirror does not want to give this grader is nobody's fault who builds.
                401 | 407 | 408 | 425 | 429 => return Err(silent(&address, &format!("status {status}"))),
                400..=499 => return Ok(status),
                301 | 302 | 303 | 307 | 308 => {
                    let location = answer.headers().get("location");
                    let location = location
                        .and_then(|location| location.to_str().ok())
                        .unwrap_or_default();
                    let target = join(&address, location).unwrap_or_default();
                    if !declared.reaches(&target) {
                        return Err(Trouble::Refused(format!(
                            "the mirror leads on to `{}`, which is not declared",
                            shown(&target)
                        )));
                    }
                    address = target;
                }
                status => return Err(silent(&address, &format!("status {status}"))),
            }
        }
        Err(silent(&address, "it leads on and on"))
    }
}

fn body(from: &mut impl Read, most: u64, to: &mut File, address: &str) -> Result<(), Trouble> {
    let ours = |error: io::Error| Trouble::Ours(format!("this machine refused: {error}"));
    to.rewind().map_err(ours)?;
    let mut piece = vec![0; PIECE];
    let mut sum = 0;
    loop {
        let read = from
            .read(&mut piece)
            .map_err(|error| silent(address, &error.to_string()))?;
        if read == 0 {
            return Ok(());
        }
        sum += read as u64;
        if sum > most {
            return Err(Trouble::Refused(format!(
                "it is larger than the {} that it may have",
                size(most)
            )));
        }
        to.write_all(&piece[..read]).map_err(ours)?;
    }
}

fn silent(address: &str, why: &str) -> Trouble {
    let why: String = why.chars().take(200).collect();
    Trouble::Ours(format!("the mirror does not answer `{}`: {why}", shown(address)))
}

/// An address as it is shown: no longer than a line, and without signs that a terminal obeys.
fn shown(address: &str) -> String {
    address.chars().take(200).flat_map(char::escape_debug).collect()
}

fn agent() -> Agent {
    let roots = match certificates() {
        Some(roots) => RootCerts::Specific(Arc::new(roots)),
        None => RootCerts::WebPki,
    };
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT))
        .max_response_header_size(HEAD_BYTES)
        .user_agent(concat!("reelworld/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .build()
        .into()
}

/// Returns the certificates that this system trusts; none where no file of them is known, and then those of Mozilla count.
fn certificates() -> Option<Vec<Certificate<'static>>> {
    TRUSTED.iter().find_map(|path| {
        let text = std::fs::read(path).ok()?;
        let found: Vec<Certificate<'static>> = parse_pem(&text)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        (!found.is_empty()).then_some(found)
    })
}
