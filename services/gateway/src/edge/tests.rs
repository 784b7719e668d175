//! What tokens do at the edge.

use super::*;
use http::Request;

fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request =
        Request::builder().method(method).uri("/like").header("host", "atelier.example:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

#[test]
fn cookies_are_found_among_others() {
    let request = request(
        "GET",
        &[
            ("cookie", "a=b; accessToken=\"tok.en\";fresh=1"),
            ("cookie", "refreshToken=; accessToken=second"),
        ],
    );
    let head = Head::of(&request);
    let cookies = Cookies::of(&head, &request.headers);
    assert_eq!(cookies.access, Some("tok.en"));
    assert!(cookies.fresh && !cookies.refresh);
}

#[test]
fn bearer_in_any_case_and_nothing_else() {
    let token = |value: &str| {
        bearer(&request("GET", &[("authorization", value)]).headers).map(str::to_owned)
    };
    assert_eq!(token("bEARER abc").as_deref(), Some("abc"));
    for other in ["Basic abc", "Bearer", "Bearer ", "abc"] {
        assert_eq!(token(other), None, "{other}");
    }
}

fn origin(method: &str, socket: bool, headers: &[(&str, &str)]) -> bool {
    let request = request(method, headers);
    let head = Head::of(&request);
    let cookies = Cookies::of(&head, &request.headers);
    check_origin(&head, &request, &cookies, socket, |o| o == "https://friend.example").is_ok()
}

#[test]
fn foreign_pages_cannot_act_with_cookies() {
    let cookie = ("cookie", "accessToken=t");
    let evil = ("origin", "https://evil.example");
    assert!(!origin("POST", false, &[cookie, evil]));
    assert!(!origin("POST", false, &[("cookie", "refreshToken=t"), evil]));
    assert!(!origin("DELETE", false, &[cookie, ("origin", "null")]));
    assert!(!origin("POST", false, &[cookie, ("sec-fetch-site", "cross-site")]));
    assert!(!origin("GET", true, &[cookie, evil]));
    assert!(!origin("POST", false, &[cookie, ("origin", "http://atelier.example:9")]));

    assert!(origin("GET", false, &[cookie, evil]), "reads change nothing");
    assert!(origin("POST", false, &[evil]), "nobody is spoken for");
    assert!(origin("POST", false, &[cookie]), "no browser");
    assert!(origin("POST", false, &[cookie, ("origin", "http://Atelier.example:8080")]));
    assert!(origin("GET", true, &[cookie, ("origin", "https://friend.example")]));
    assert!(
        origin("POST", false, &[cookie, evil, ("authorization", "Bearer t")]),
        "pages cannot add it"
    );
}

#[test]
fn only_trusted_proxies_are_believed() {
    let proxy: IpAddr = [10, 0, 0, 1].into();
    let trusted = |a: IpAddr| a == proxy || a == IpAddr::from([10, 0, 0, 2]);
    let told = |list: &str, peer: IpAddr| {
        client_address(peer, &request("GET", &[("x-forwarded-for", list)]).headers, trusted)
    };
    assert_eq!(told("1.2.3.4", [9, 9, 9, 9].into()), IpAddr::from([9, 9, 9, 9]));
    assert_eq!(told("6.6.6.6, 1.2.3.4, 10.0.0.2", proxy), IpAddr::from([1, 2, 3, 4]));
    assert_eq!(told("nonsense", proxy), proxy);
}
