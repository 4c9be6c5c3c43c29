//! Which addresses may be connected to.
//!
//! A name is looked up at the moment of connecting and what comes back is cut to what may be
//! reached, so a name that changes its mind between a check and a call gains nothing. A host that
//! is an address itself is asked for nowhere, so it is checked here before a call.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::policy::endpoint::{is_global_v4, is_global_v6};

/// Of the addresses of a name, so many are tried.
const MAX_ADDRESSES: usize = 16;

/// Where a site may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// On the Internet at large, and nowhere else.
    Global,
    /// On this machine, and nowhere else.
    Loopback,
}

impl Reach {
    /// What a name in a URL may lead to: only `localhost` is this machine.
    pub fn of_name(name: &str) -> Self {
        if name.eq_ignore_ascii_case("localhost") { Self::Loopback } else { Self::Global }
    }

    /// Whether that address may be connected to. An IPv4 address written as an IPv6 one is what it
    /// is in IPv4.
    pub fn covers(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Self::Loopback => address.is_loopback(),
            Self::Global => match address {
                IpAddr::V4(address) => is_global_v4(address.octets()),
                IpAddr::V6(address) => is_global_v6(address.octets()),
            },
        }
    }
}

/// Asks for the addresses of a name.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Is told of every address that is let through to a connect, before it.
pub type Watch = Arc<dyn Fn(IpAddr) + Send + Sync>;

/// Stands between a call and the addresses of its host.
#[derive(Clone)]
pub struct Guard {
    lookup: Lookup,
    watch: Watch,
}

/// Why there is nothing to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nowhere {
    /// No address is known.
    #[error("the name has no address")]
    Unresolved,
    /// None of the addresses may be connected to.
    #[error("no address of it may be connected to")]
    Refused,
}

impl Default for Guard {
    /// Asks this machine's resolver, and tells nobody.
    fn default() -> Self {
        let lookup: Lookup = Arc::new(|name| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((name, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        });
        Self::new(lookup, Arc::new(|_| ()))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl Guard {
    /// A guard that looks names up in that way, and tells `watch` what it lets through.
    pub fn new(lookup: Lookup, watch: Watch) -> Self {
        Self { lookup, watch }
    }

    /// Lets an address through that a URL has for its host, or does not.
    pub(super) fn admit(&self, reach: Reach, address: IpAddr) -> Result<(), Nowhere> {
        if !reach.covers(address) {
            return Err(Nowhere::Refused);
        }
        (self.watch)(address);
        Ok(())
    }

    /// The addresses of a name that may be connected to.
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Nowhere> {
        let found = (self.lookup)(name.to_owned()).await.map_err(|_| Nowhere::Unresolved)?;
        if found.is_empty() {
            return Err(Nowhere::Unresolved);
        }
        let reach = Reach::of_name(name);
        let admitted = found.into_iter().filter(|address| self.admit(reach, *address).is_ok());
        let admitted: Vec<IpAddr> = admitted.take(MAX_ADDRESSES).collect();
        if admitted.is_empty() { Err(Nowhere::Refused) } else { Ok(admitted) }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = guard.addresses(name.as_str()).await?;
            let addresses: Addrs =
                Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
