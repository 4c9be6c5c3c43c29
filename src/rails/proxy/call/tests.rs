//! What a request shows of the secret in it.

use super::*;

#[test]
fn a_header_with_the_secret_is_marked_so_that_nobody_prints_it() {
    let site = Site::of(&"https://api.example.com".parse().unwrap());
    let secret = Secret::new(b"sk-canary-1").unwrap();
    let name = HeaderName::from_static("authorization");
    let places = vec![Place::Header { name: name.clone(), before: "Bearer ".to_owned() }];
    let call = Call {
        site: &site,
        method: Method::GET,
        target: "/",
        headers: HeaderMap::new(),
        body: Bytes::new(),
        secret: Some(Carried { secret: &secret, places }),
        within: Duration::from_secs(1),
        max_body: 0,
        keep: &[],
    };
    let request = call.request().unwrap();
    let value = request.headers().get(&name).unwrap();
    assert_eq!(value, "Bearer sk-canary-1");
    assert!(value.is_sensitive());
    assert!(!format!("{request:?} {call:?}").contains("canary"));
}
