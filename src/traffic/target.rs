//! Where the requests go: an address in words, made into one to connect to.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A service to ask.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// What goes into the `Host` header.
    pub host: String,
    /// Where sockets come from, when the address is one of another network than ours: of a sandbox's.
    pub sockets: Option<Sockets>,
}

impl Target {
    /// Returns a service on this machine's own loopback.
    pub fn local(address: SocketAddr) -> Self {
        Self {
            address,
            host: format!("localhost:{}", address.port()),
            sockets: None,
        }
    }
}

/// Gives sockets that belong to another network and are connected to nothing yet; none while none is to be had.
#[derive(Clone)]
pub struct Sockets(pub Arc<dyn Fn() -> io::Result<Option<OwnedFd>> + Send + Sync>);

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sockets")
    }
}

/// Makes a target out of `http://host:port`; the contract's port is used where none is given.
///
/// # Errors
/// A sentence that says what is wrong and what would be right.
pub fn resolve(url: &str, default_port: u16) -> Result<Target, String> {
    if url.starts_with("https://") {
        return Err(format!(
            "`{url}` is https: the company speaks plain http, as in `http://localhost:{default_port}`"
        ));
    }
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let host = rest.trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
        return Err(format!(
            "`{url}` is not an address like `http://localhost:{default_port}`"
        ));
    }
    let with_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if with_port {
        host.to_owned()
    } else {
        format!("{host}:{default_port}")
    };
    let mut addresses: Vec<SocketAddr> = host
        .to_socket_addrs()
        .map_err(|error| format!("`{host}` cannot be found: {error}"))?
        .collect();
    // Services listen on the older family far more often; asking it first spares a refused connection.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let address = addresses
        .first()
        .copied()
        .ok_or_else(|| format!("`{host}` has no address"))?;
    Ok(Target {
        address,
        host,
        sockets: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_with_and_without_scheme_and_port() {
        for url in [
            "http://127.0.0.1:9000",
            "127.0.0.1:9000",
            "http://127.0.0.1:9000/",
        ] {
            assert_eq!(resolve(url, 8082).unwrap().address.to_string(), "127.0.0.1:9000");
        }
        assert_eq!(resolve("http://127.0.0.1", 8082).unwrap().host, "127.0.0.1:8082");
    }

    #[test]
    fn other_addresses_are_refused_with_a_reason() {
        for (url, part) in [
            ("https://a", "plain http"),
            ("http://", "not an address"),
            ("http://a/b/c", "not an address"),
        ] {
            let error = resolve(url, 8082).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
