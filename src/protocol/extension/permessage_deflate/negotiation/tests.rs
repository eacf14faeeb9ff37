//! Offers, responses, and what comes of them.
use super::*;
use crate::protocol::extension::parse;

const LEAVE_ALL: DeflateOptions = DeflateOptions {
    level: 1,
    threshold: 0,
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: WindowBits::MAX,
    client_max_window_bits: WindowBits::MAX,
};

fn bits(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap()
}

fn answer(offers: &str, options: &DeflateOptions) -> Option<(Agreed, String)> {
    let offers = parse([offers.as_bytes()]).unwrap_or_else(|_| panic!("{offers}"));
    accept_offers(&offers, options)
}

/// Offers and the response; the name of the extension is `pd`.
fn assert_answers(options: &DeflateOptions, table: &[(&str, Option<&str>)]) {
    for (offers, response) in table {
        let expected = response.map(|own| own.replace("pd", NAME));
        let actual = answer(&offers.replace("pd", NAME), options).map(|(_, value)| value);
        assert_eq!(actual, expected, "{offers}");
    }
}

#[test]
fn offers_are_answered_as_they_ask() {
    assert_answers(
        &LEAVE_ALL,
        &[
            ("pd", Some("pd")),
            (
                "pd; server_no_context_takeover",
                Some("pd; server_no_context_takeover"),
            ),
            (
                "pd; client_no_context_takeover",
                Some("pd; client_no_context_takeover"),
            ),
            ("pd; client_max_window_bits", Some("pd")),
            ("pd; client_max_window_bits=15", Some("pd")),
            (
                "pd; client_max_window_bits=8",
                Some("pd; client_max_window_bits=8"),
            ),
            (
                "pd; client_max_window_bits=\"10\"",
                Some("pd; client_max_window_bits=10"),
            ),
            (
                "pd; client_max_window_bits=\"\\1\\0\"",
                Some("pd; client_max_window_bits=10"),
            ),
            (
                "pd; server_max_window_bits=8",
                Some("pd; server_max_window_bits=8"),
            ),
            (
                "pd; server_max_window_bits=9",
                Some("pd; server_max_window_bits=9"),
            ),
            (
                "pd;server_max_window_bits = 10",
                Some("pd; server_max_window_bits=10"),
            ),
            (
                "pd; server_max_window_bits=\"12\"",
                Some("pd; server_max_window_bits=12"),
            ),
            (
                "pd; server_max_window_bits=15",
                Some("pd; server_max_window_bits=15"),
            ),
            (
                "pd; client_max_window_bits; server_max_window_bits=11; \
                 client_no_context_takeover; server_no_context_takeover",
                Some(
                    "pd; server_no_context_takeover; client_no_context_takeover; \
                     server_max_window_bits=11",
                ),
            ),
            // Chromium and Firefox; Safari.
            ("pd; client_max_window_bits", Some("pd")),
            ("pd", Some("pd")),
        ],
    );
}

#[test]
fn offers_that_must_be_declined() {
    assert_answers(
        &LEAVE_ALL,
        &[
            ("other", None),
            ("x-webkit-deflate-frame", None),
            ("Permessage-Deflate", None),
            ("permessage-bzip2", None),
            // A parameter that is not defined.
            ("pd; other", None),
            ("pd; other=1", None),
            ("pd; Server_no_context_takeover", None),
            ("pd; mux; client_max_window_bits", None),
            ("pd; __proto__=1", None),
            ("pd; constructor", None),
            // An invalid value.
            ("pd; server_no_context_takeover=1", None),
            ("pd; server_no_context_takeover=true", None),
            ("pd; client_no_context_takeover=\"x\"", None),
            ("pd; server_max_window_bits", None),
            ("pd; server_max_window_bits=7", None),
            ("pd; server_max_window_bits=16", None),
            ("pd; server_max_window_bits=0", None),
            ("pd; server_max_window_bits=08", None),
            ("pd; server_max_window_bits=010", None),
            ("pd; server_max_window_bits=+9", None),
            ("pd; server_max_window_bits=-9", None),
            ("pd; server_max_window_bits=9.0", None),
            ("pd; server_max_window_bits=0x9", None),
            ("pd; server_max_window_bits=9a", None),
            ("pd; server_max_window_bits=99999999999999999999", None),
            ("pd; client_max_window_bits=7", None),
            ("pd; client_max_window_bits=16", None),
            ("pd; client_max_window_bits=\"08\"", None),
            // A repeated parameter, with the same value or another.
            (
                "pd; server_no_context_takeover; server_no_context_takeover",
                None,
            ),
            (
                "pd; client_no_context_takeover; client_no_context_takeover",
                None,
            ),
            (
                "pd; server_max_window_bits=9; server_max_window_bits=9",
                None,
            ),
            (
                "pd; server_max_window_bits=9; server_max_window_bits=10",
                None,
            ),
            ("pd; client_max_window_bits; client_max_window_bits", None),
            (
                "pd; client_max_window_bits; client_max_window_bits=10",
                None,
            ),
            (
                "pd; client_max_window_bits=10; client_max_window_bits",
                None,
            ),
        ],
    );
}

#[test]
fn the_first_acceptable_offer_is_taken() {
    assert_answers(
        &LEAVE_ALL,
        &[
            // RFC 7692 §5.2.
            (
                "pd; client_max_window_bits; server_max_window_bits=10, pd; client_max_window_bits",
                Some("pd; server_max_window_bits=10"),
            ),
            ("pd; server_max_window_bits=7, pd", Some("pd")),
            (
                "pd; other, pd; client_max_window_bits=9",
                Some("pd; client_max_window_bits=9"),
            ),
            ("other; a=1, pd", Some("pd")),
            (
                "pd; server_no_context_takeover, pd",
                Some("pd; server_no_context_takeover"),
            ),
            ("pd; server_max_window_bits, pd; x, other", None),
        ],
    );
}

#[test]
fn the_servers_options_are_added() {
    assert_answers(
        &DeflateOptions::default(),
        &[
            (
                "pd",
                Some("pd; server_no_context_takeover; client_no_context_takeover"),
            ),
            (
                "pd; client_max_window_bits; server_max_window_bits=9",
                Some(
                    "pd; server_no_context_takeover; client_no_context_takeover; \
                     server_max_window_bits=9",
                ),
            ),
        ],
    );
    let small = DeflateOptions {
        server_max_window_bits: bits(10),
        client_max_window_bits: bits(11),
        ..LEAVE_ALL
    };
    assert_answers(
        &small,
        &[
            // A client that cannot be limited.
            ("pd", None),
            (
                "pd, pd; client_max_window_bits",
                Some("pd; client_max_window_bits=11"),
            ),
            (
                "pd; client_max_window_bits=12",
                Some("pd; client_max_window_bits=11"),
            ),
            (
                "pd; client_max_window_bits=9",
                Some("pd; client_max_window_bits=9"),
            ),
            (
                "pd; client_max_window_bits; server_max_window_bits=15",
                Some("pd; server_max_window_bits=10; client_max_window_bits=11"),
            ),
            (
                "pd; client_max_window_bits; server_max_window_bits=8",
                Some("pd; server_max_window_bits=8; client_max_window_bits=11"),
            ),
        ],
    );
    let (agreed, _) = answer("permessage-deflate; client_max_window_bits", &small).unwrap();
    assert_eq!(agreed.server_max_window_bits, bits(10));
    assert_eq!(agreed.client_max_window_bits, bits(11));
}

#[test]
fn offers_of_the_client() {
    assert_eq!(
        offer(&LEAVE_ALL),
        "permessage-deflate; client_max_window_bits"
    );
    let all = DeflateOptions {
        server_max_window_bits: bits(9),
        client_max_window_bits: bits(8),
        ..DeflateOptions::default()
    };
    assert_eq!(
        offer(&all),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         server_max_window_bits=9; client_max_window_bits=8"
    );
}

fn check(response: &str, options: &DeflateOptions) -> Result<Option<Agreed>, ResponseError> {
    let response = response.replace("pd", NAME);
    check_response(&parse([response.as_bytes()]).unwrap(), options)
}

#[test]
fn responses_that_fail_the_connection() {
    use ResponseError::{InvalidParameter, NotHonoured, NotOffered, Repeated};
    for (response, error) in [
        ("other", NotOffered),
        ("pd, other", NotOffered),
        ("Permessage-deflate", NotOffered),
        ("pd, pd", Repeated),
        ("pd; other", InvalidParameter),
        ("pd; client_max_window_bits", InvalidParameter),
        ("pd; client_max_window_bits=7", InvalidParameter),
        ("pd; client_max_window_bits=16", InvalidParameter),
        ("pd; client_max_window_bits=010", InvalidParameter),
        ("pd; server_max_window_bits", InvalidParameter),
        ("pd; server_max_window_bits=16", InvalidParameter),
        ("pd; server_no_context_takeover=1", InvalidParameter),
        ("pd; client_no_context_takeover=0", InvalidParameter),
        (
            "pd; server_no_context_takeover; server_no_context_takeover",
            InvalidParameter,
        ),
        (
            "pd; client_max_window_bits=9; client_max_window_bits=9",
            InvalidParameter,
        ),
    ] {
        assert_eq!(check(response, &LEAVE_ALL), Err(error), "{response}");
    }
    let strict = DeflateOptions {
        server_max_window_bits: bits(10),
        ..DeflateOptions::default()
    };
    for response in [
        "pd",
        "pd; server_no_context_takeover",
        "pd; server_max_window_bits=10",
        "pd; server_no_context_takeover; server_max_window_bits=11",
        "pd; client_no_context_takeover; server_max_window_bits=9",
    ] {
        assert_eq!(check(response, &strict), Err(NotHonoured), "{response}");
    }
}

#[test]
fn responses_that_are_legal() {
    assert_eq!(check_response(&[], &LEAVE_ALL), Ok(None));
    assert_eq!(check("pd", &LEAVE_ALL), Ok(Some(Agreed::default())));
    let all = "pd; server_no_context_takeover; client_no_context_takeover; \
               server_max_window_bits=8; client_max_window_bits=12";
    let agreed = Agreed {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: bits(8),
        client_max_window_bits: bits(12),
    };
    assert_eq!(check(all, &LEAVE_ALL), Ok(Some(agreed)));
    // What the client offered for its own side holds, whatever the response says about it.
    let small = DeflateOptions {
        client_max_window_bits: bits(9),
        ..DeflateOptions::default()
    };
    let agreed = Agreed {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        client_max_window_bits: bits(9),
        ..Agreed::default()
    };
    for response in [
        "pd; server_no_context_takeover",
        "pd; server_no_context_takeover; client_max_window_bits=15",
    ] {
        assert_eq!(check(response, &small), Ok(Some(agreed)), "{response}");
    }
}

/// Any two configurations agree, on the same parameters.
#[test]
fn both_sides_agree_on_the_same() {
    let sizes = [8, 9, 12, 15].map(bits);
    let mut all = Vec::new();
    for (server_bits, client_bits) in sizes
        .iter()
        .flat_map(|&own| sizes.map(|other| (own, other)))
    {
        for flags in 0..4 {
            all.push(DeflateOptions {
                server_no_context_takeover: flags & 1 != 0,
                client_no_context_takeover: flags & 2 != 0,
                server_max_window_bits: server_bits,
                client_max_window_bits: client_bits,
                ..DeflateOptions::default()
            });
        }
    }
    for client in &all {
        for server in &all {
            let (own, response) = answer(&offer(client), server).unwrap();
            let other = check(&response, client).unwrap().unwrap();
            // The server may use less than it says.
            let less = own.server_max_window_bits <= other.server_max_window_bits;
            let other = Agreed {
                server_max_window_bits: own.server_max_window_bits,
                ..other
            };
            assert!(less && own == other, "{client:?} {server:?}");
        }
    }
}
