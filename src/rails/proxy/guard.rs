//! Which addresses may be connected to.
//!
//! A name is looked up at the moment of connecting and what comes back is cut to what may be
//! reached, so a name that changes its mind between a check and a call gains nothing. A host that
//! is an address itself is asked for nowhere, so it is checked here before a call.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

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
                IpAddr::V4(address) => is_global_v4(address),
                IpAddr::V6(address) => is_global_v6(address),
            },
        }
    }
}

/// Everything that is not set aside for something other than the Internet at large.
fn is_global_v4(address: Ipv4Addr) -> bool {
    const SET_ASIDE: [([u8; 4], u32); 15] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        ([224, 0, 0, 0], 4),
        ([240, 0, 0, 0], 4),
    ];
    let within = |(network, bits): &([u8; 4], u32)| {
        (address.to_bits() ^ u32::from_be_bytes(*network)).leading_zeros() >= *bits
    };
    !SET_ASIDE.iter().any(within)
}

/// Of what is given out as global unicast, all but what leads to IPv4 in disguise (Teredo, 6to4),
/// or to examples. What stands for IPv4 behind NAT64 is outside of it anyway.
fn is_global_v6(address: Ipv6Addr) -> bool {
    const GIVEN_OUT: ([u16; 2], u32) = ([0x2000, 0], 3);
    const SET_ASIDE: [([u16; 2], u32); 4] =
        [([0x2001, 0], 23), ([0x2001, 0xdb8], 32), ([0x2002, 0], 16), ([0x3fff, 0], 20)];
    let [high, low, ..] = address.segments();
    let first = |[high, low]: [u16; 2]| (u32::from(high) << 16) | u32::from(low);
    let within = |(network, bits): ([u16; 2], u32)| {
        (first([high, low]) ^ first(network)).leading_zeros() >= bits
    };
    within(GIVEN_OUT) && !SET_ASIDE.into_iter().any(within)
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
