//! Which addresses may be connected to, and what may be asked of a site.

use std::net::{IpAddr, SocketAddr};

use pettycash::{
    policy::endpoint::{Origin, OriginError},
    rails::proxy::{Reach, Site},
};

use super::{CANARY, guard, site_of};

/// Addresses that are not of the Internet at large, in every way that they come in.
const ELSEWHERE: &[&str] = &[
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.8",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "233.252.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "::10.0.0.1",
    "::8.8.8.8",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:8.8.8.8",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:0:a00:1::",
    "2001:10::1",
    "2001:20::1",
    "2001:1::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:30::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2002:a00:1::1",
    "2002:7f00:1::",
    "3fff::1",
    "3fff:fff:ffff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
];

const GLOBAL: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "192.175.48.1",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2000::1",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2003::1",
    "2606:4700:4700::1111",
    "2620:4f:8000::1",
    "2a00::1",
    "3ffe:ffff::1",
    "3fff:1000::1",
];

#[test]
fn only_addresses_of_the_internet_at_large_are_reached() {
    for text in ELSEWHERE {
        assert!(!Reach::Global.covers(text.parse().unwrap()), "{text}");
    }
    for text in GLOBAL {
        assert!(Reach::Global.covers(text.parse().unwrap()), "{text}");
        assert!(!Reach::Loopback.covers(text.parse().unwrap()), "{text}");
    }
    for text in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        assert!(Reach::Loopback.covers(text.parse().unwrap()), "{text}");
    }
    for text in ["0.0.0.0", "10.0.0.1", "::", "::ffff:10.0.0.1", "128.0.0.1"] {
        assert!(!Reach::Loopback.covers(text.parse().unwrap()), "{text}");
    }
}

#[test]
fn a_base_url_has_the_addresses_that_may_be_connected_to_and_no_others() {
    let read = |text: &&str| {
        let address: IpAddr = text.parse().unwrap();
        (address, format!("https://{}", SocketAddr::new(address, 443)).parse::<Origin>())
    };
    for (address, origin) in ELSEWHERE.iter().map(read) {
        let here = origin.is_ok_and(|origin| Site::of(&origin).reach() == Reach::Loopback);
        let this_machine = ["127.0.0.1", "127.255.255.255", "::1"];
        assert_eq!(here, this_machine.contains(&&*address.to_string()), "{address}");
    }
    // An IPv4 address is written as one.
    let plain = GLOBAL.iter().map(read).filter(|(address, _)| address.to_canonical() == *address);
    for (address, origin) in plain {
        assert_eq!(Site::of(&origin.unwrap()).reach(), Reach::Global, "{address}");
    }
}

#[test]
fn an_address_that_leads_elsewhere_is_no_base_url_however_it_is_written() {
    let written = [
        ("169.254.169.254", OriginError::NotGlobal),
        ("2852039166", OriginError::OddAddress),
        ("0xa9fea9fe", OriginError::OddAddress),
        ("0251.0376.0251.0376", OriginError::OddAddress),
        ("169.16689662", OriginError::OddAddress),
        ("0xa.1", OriginError::OddAddress),
        ("012.1", OriginError::OddAddress),
        ("10.1", OriginError::OddAddress),
        ("[::ffff:a9fe:a9fe]", OriginError::NotGlobal),
        ("[::ffff:10.0.0.1]", OriginError::OddAddress),
        ("[fd00::1]", OriginError::NotGlobal),
        ("[fe80::1]", OriginError::NotGlobal),
        ("[64:ff9b::a9fe:a9fe]", OriginError::NotGlobal),
        ("[2002:a9fe:a9fe::]", OriginError::NotGlobal),
        ("0.0.0.0", OriginError::NotGlobal),
        ("0", OriginError::OddAddress),
        ("[::]", OriginError::NotGlobal),
        ("１６９.254.169.254", OriginError::OddAddress),
        ("169。254。169。254", OriginError::OddAddress),
        ("%31%36%39.254.169.254", OriginError::BadPath),
        ("169.254.169.254.", OriginError::OddAddress),
    ];
    for (host, error) in written {
        let text = format!("https://{host}/v1");
        assert_eq!(text.parse::<Origin>(), Err(error), "{text}");
    }
}

#[test]
fn a_site_is_encrypted_or_of_this_machine() {
    let fine = [
        ("https://api.example.com", Reach::Global),
        ("https://api.example.com:8443/v2/", Reach::Global),
        ("https://8.8.8.8", Reach::Global),
        ("https://[2606:4700:4700::1111]", Reach::Global),
        ("https://app.localhost", Reach::Global),
        ("http://localhost:4000", Reach::Loopback),
        ("https://LOCALHOST", Reach::Loopback),
        ("http://127.0.0.1:4000/v1", Reach::Loopback),
        ("http://[::1]:4000", Reach::Loopback),
    ];
    for (text, reach) in fine {
        assert_eq!(site_of(text).reach(), reach, "{text}");
    }
    let refused = [
        ("http://api.example.com", OriginError::Plain),
        ("http://8.8.8.8", OriginError::Plain),
        ("http://localhost.example.com", OriginError::Plain),
        ("http://app.localhost", OriginError::Plain),
        ("ftp://localhost", OriginError::NotOne),
        ("file:///etc/passwd", OriginError::NotOne),
        ("https://me@api.example.com", OriginError::UserInfo),
        ("https://me:pw@api.example.com", OriginError::UserInfo),
        ("https://@api.example.com", OriginError::UserInfo),
        ("https://api.example.com/@evil.example", OriginError::UserInfo),
        ("https://api.example.com?x=1", OriginError::Query),
        ("https://api.example.com#x", OriginError::Query),
        ("https://api.example.com/a//b", OriginError::BadPath),
        ("https://api.example.com\\@evil.example", OriginError::BadPath),
        ("https://api.example.com /", OriginError::NotOne),
        ("api.example.com", OriginError::NotOne),
        ("https://", OriginError::NotOne),
        ("", OriginError::NotOne),
    ];
    for (text, error) in refused {
        assert_eq!(text.parse::<Origin>(), Err(error), "{text}");
    }
}

/// Paths and queries that arrive as they are.
const FINE: &[&str] =
    &["/", "/things", "/things/a%20b?q=1&r=%2F..", "/a;v=1/b", "/a?x=/../y", "/%41", "/@me"];

/// Those that somebody would take for something else.
const ODD: &[&str] = &[
    "",
    "things",
    "//evil.example/x",
    "/..",
    "/../admin",
    "/a/../../admin",
    "/a/%2e%2E/b",
    "/a/.%2e",
    "/.",
    "/a/./b",
    "/a/..;/b",
    "/a//b",
    "/a%2fb",
    "/a%2Fb",
    "/a%5cb",
    "/a\\b",
    "/\\evil.example",
    "/a%00",
    "/a#b",
    "/a?b#c",
    "/a b",
    "/a\"b",
    "/{id}",
    "/a<b>",
    "/a?b=\"",
    "/a?b='",
    "/a\r\nHost: evil.example",
    "/ä",
    "/a?ä",
    "/a\t",
    "@evil.example/",
    ":80@evil.example/",
    ".evil.example/",
];

#[test]
fn what_is_asked_stays_below_the_site_as_it_is_written() {
    for before in ["", "/v1"] {
        let site = site_of(&format!("https://api.example.com{before}/"));
        for below in FINE {
            let target = format!("{before}{below}");
            let url = site.url(&target).unwrap();
            assert_eq!(url.as_str(), format!("https://api.example.com{target}"));
        }
        for odd in ODD {
            for target in [(*odd).to_owned(), format!("{before}{odd}")] {
                assert!(site.url(&target).is_err(), "{target:?}");
            }
        }
    }
    // What is not of the base URL's path is another API, or nobody's.
    let site = site_of("https://api.example.com/v1");
    for target in ["/", "/things", "/v1", "/v1?q=1", "/v10/things", "/V1/things", "/v2/v1/things"] {
        assert!(site.url(target).is_err(), "{target:?}");
    }
}

#[test]
fn the_guard_shows_nothing() {
    let (guard, seen) = guard(&["127.0.0.1"]);
    assert_eq!(format!("{guard:?}"), "Guard");
    assert!(seen.lock().unwrap().is_empty() && !CANARY.is_empty());
}
