//! Which addresses are on the Internet at large.
//!
//! Taken from IANA's registries of special-purpose addresses, for
//! [IPv4](https://www.iana.org/assignments/iana-ipv4-special-registry) and
//! [IPv6](https://www.iana.org/assignments/iana-ipv6-special-registry): whatever is not "globally
//! reachable" there is not global here, and multicast is not either. A network is refused whole
//! where only a few addresses in it are reachable (`192.0.0.0/24`, `2001::/23`): no API is there.

/// Networks that an IPv4 address is not global in: the address, and how many bits of it count.
const NOT_GLOBAL: [(u32, u32); 15] = [
    (0x0000_0000, 8),  // this network
    (0x0a00_0000, 8),  // private
    (0x6440_0000, 10), // shared by a carrier's customers
    (0x7f00_0000, 8),  // loopback
    (0xa9fe_0000, 16), // link-local, and with it what clouds tell their machines
    (0xac10_0000, 12), // private
    (0xc000_0000, 24), // protocol assignments
    (0xc000_0200, 24), // documentation
    (0xc058_6300, 24), // 6to4 relays
    (0xc0a8_0000, 16), // private
    (0xc612_0000, 15), // benchmarks
    (0xc633_6400, 24), // documentation
    (0xcb00_7100, 24), // documentation
    (0xe000_0000, 4),  // multicast
    (0xf000_0000, 4),  // reserved, and broadcast
];

/// Networks inside `2000::/3`, where all that is global lies, that are not: the address's
/// first 64 bits, and how many of them count.
const NOT_GLOBAL_V6: [(u64, u32); 4] = [
    (0x2001_0000_0000_0000, 23), // protocol assignments, Teredo among them
    (0x2001_0db8_0000_0000, 32), // documentation
    (0x2002_0000_0000_0000, 16), // 6to4, which carries an IPv4 address
    (0x3fff_0000_0000_0000, 20), // documentation
];

/// Whether an IPv4 address is one of the Internet at large.
pub fn is_global_v4(address: [u8; 4]) -> bool {
    let address = u32::from_be_bytes(address);
    let within = |(network, bits): &(u32, u32)| (address ^ network).leading_zeros() >= *bits;
    !NOT_GLOBAL.iter().any(within)
}

/// Whether an IPv6 address is one of the Internet at large. One that carries an IPv4 address is
/// none, whatever that is: who means the other takes it out first.
pub fn is_global_v6(address: [u8; 16]) -> bool {
    let whole = u128::from_be_bytes(address);
    let high = u64::try_from(whole >> 64_u32).unwrap_or_default();
    let within = |(network, bits): &(u64, u32)| (high ^ network).leading_zeros() >= *bits;
    within(&(0x2000_0000_0000_0000, 3)) && !NOT_GLOBAL_V6.iter().any(within)
}
