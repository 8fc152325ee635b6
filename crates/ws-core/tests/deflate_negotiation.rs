//! RFC 7692 §7.1: which offers are taken and how they are answered, which answers are taken.

use ws_core::extension::DeflateConfig;

type Params<'a> = &'a [(&'a str, Option<&'a str>)];

const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// As it would stand in the header.
fn written(params: &[(String, Option<String>)]) -> String {
    let one = |(name, value): &(String, Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    };
    params.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn answer(config: DeflateConfig, offer: Params<'_>) -> Option<String> {
    config.accept(offer).map(|(_, agreed)| written(&agreed))
}

/// Hostile input C1.
#[test]
fn legal_offer_is_answered_with_what_it_asks_for() {
    let cases: [(Params<'_>, &str); 9] = [
        (&[], ""),
        (&[(CLIENT_BITS, None)], ""),
        (&[(CLIENT_BITS, Some("8"))], "client_max_window_bits=8"),
        (&[(CLIENT_BITS, Some("15"))], "client_max_window_bits=15"),
        (&[(SERVER_BITS, Some("9"))], "server_max_window_bits=9"),
        (&[(SERVER_BITS, Some("15"))], "server_max_window_bits=15"),
        (&[(SERVER_NO_CONTEXT, None)], SERVER_NO_CONTEXT),
        (&[(CLIENT_NO_CONTEXT, None)], CLIENT_NO_CONTEXT),
        (
            &[
                (CLIENT_BITS, Some("12")),
                (SERVER_BITS, Some("10")),
                (CLIENT_NO_CONTEXT, None),
                (SERVER_NO_CONTEXT, None),
            ],
            "server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=10; client_max_window_bits=12",
        ),
    ];

    for (offer, want) in cases {
        let got = answer(DeflateConfig::default(), offer);

        assert_eq!(got.as_deref(), Some(want), "{offer:?}");
    }
}

#[test]
fn every_window_from_9_to_15_is_taken_for_either_direction() {
    for bits in 9..=15 {
        let value = bits.to_string();
        for name in [SERVER_BITS, CLIENT_BITS] {
            let got = answer(DeflateConfig::default(), &[(name, Some(&value))]);

            assert_eq!(got, Some(format!("{name}={bits}")));
        }
    }
}

/// Hostile input C5: zlib would use 512 bytes where 256 are agreed. What a client keeps to is its
/// own affair: we inflate with any window.
#[test]
fn server_window_of_8_bits_is_declined_and_not_faked() {
    let config = DeflateConfig::default();

    assert_eq!(answer(config, &[(SERVER_BITS, Some("8"))]), None);
    assert!(answer(config, &[(CLIENT_BITS, Some("8"))]).is_some());
}

/// Hostile input C2.
#[test]
fn offer_that_the_rfc_calls_invalid_is_declined() {
    let mut cases: Vec<(&str, Option<&str>)> = vec![
        (SERVER_BITS, None),
        (SERVER_NO_CONTEXT, Some("1")),
        (SERVER_NO_CONTEXT, Some("")),
        (CLIENT_NO_CONTEXT, Some("true")),
        ("unknown", None),
        ("", None),
        ("SERVER_MAX_WINDOW_BITS", Some("10")),
    ];
    let values = [
        "",
        "0",
        "7",
        "16",
        "010",
        "08",
        "1",
        "1e1",
        "-9",
        "+9",
        " 9",
        "9 ",
        "10.0",
        "150",
        "99999999999999999999",
        "\u{661}\u{660}",
        "a",
    ];
    for value in values {
        cases.push((SERVER_BITS, Some(value)));
        cases.push((CLIENT_BITS, Some(value)));
    }

    for param in cases {
        assert_eq!(
            answer(DeflateConfig::default(), &[param]),
            None,
            "{param:?}"
        );
        assert!(
            DeflateConfig::default().agree(&[param]).is_err(),
            "{param:?}"
        );
    }
}

#[test]
fn parameter_that_is_there_twice_is_invalid() {
    for param in [
        (SERVER_NO_CONTEXT, None),
        (CLIENT_NO_CONTEXT, None),
        (SERVER_BITS, Some("10")),
        (CLIENT_BITS, Some("10")),
    ] {
        let config = DeflateConfig::default();

        assert_eq!(answer(config, &[param, param]), None, "{param:?}");
        assert!(config.agree(&[param, param]).is_err(), "{param:?}");
    }
    let both = [(CLIENT_BITS, None), (CLIENT_BITS, Some("10"))];
    assert_eq!(answer(DeflateConfig::default(), &both), None);
}

#[test]
fn server_says_what_it_wants_where_the_client_can_be_told() {
    let config = DeflateConfig::default()
        .with_server_no_context_takeover()
        .with_client_no_context_takeover()
        .with_server_max_window_bits(11)
        .with_client_max_window_bits(10);
    let flags = "server_no_context_takeover; client_no_context_takeover";

    // §7.1.2.2: a client that did not say that it can is not told about its window.
    let bare = answer(config, &[]);
    let able = answer(config, &[(CLIENT_BITS, None)]);
    let less = answer(
        config,
        &[(CLIENT_BITS, Some("9")), (SERVER_BITS, Some("9"))],
    );

    let want = format!("{flags}; server_max_window_bits=11");
    assert_eq!(bare, Some(want.clone()));
    assert_eq!(able, Some(format!("{want}; client_max_window_bits=10")));
    let want = format!("{flags}; server_max_window_bits=9; client_max_window_bits=9");
    assert_eq!(less, Some(want));
}

#[test]
fn client_offers_what_it_wants() {
    let plain = DeflateConfig::default();
    let all = plain
        .with_server_no_context_takeover()
        .with_client_no_context_takeover()
        .with_server_max_window_bits(11)
        .with_client_max_window_bits(10);

    assert_eq!(written(&plain.offer()), CLIENT_BITS);
    assert_eq!(
        written(&all.offer()),
        "server_no_context_takeover; client_no_context_takeover; \
         server_max_window_bits=11; client_max_window_bits=10"
    );
}

#[test]
fn client_takes_every_answer_that_fits_its_offer() {
    let cases: [Params<'_>; 7] = [
        &[],
        &[(SERVER_NO_CONTEXT, None)],
        &[(CLIENT_NO_CONTEXT, None)],
        &[(SERVER_BITS, Some("8"))],
        &[(SERVER_BITS, Some("15"))],
        &[(CLIENT_BITS, Some("9"))],
        &[(CLIENT_BITS, Some("15")), (SERVER_NO_CONTEXT, None)],
    ];

    for answer in cases {
        assert!(DeflateConfig::default().agree(answer).is_ok(), "{answer:?}");
    }
}

#[test]
fn client_refuses_an_answer_that_does_not_fit_its_offer() {
    let wants = DeflateConfig::default();
    let wants_anew = wants.with_server_no_context_takeover();
    let wants_less = wants.with_server_max_window_bits(11);
    let cases: [(DeflateConfig, Params<'_>, &str); 6] = [
        (wants_anew, &[], "server_no_context_takeover was asked for"),
        (
            wants_less,
            &[],
            "server_max_window_bits is above what was asked for",
        ),
        (
            wants_less,
            &[(SERVER_BITS, Some("12"))],
            "server_max_window_bits is above what was asked for",
        ),
        (
            wants,
            &[(CLIENT_BITS, None)],
            "client_max_window_bits without a value",
        ),
        (
            wants,
            &[(CLIENT_BITS, Some("8"))],
            "client_max_window_bits of 8 is a window that this client does not have",
        ),
        (
            wants,
            &[("mystery", None)],
            "parameter that RFC 7692 does not define",
        ),
    ];

    for (config, answer, rule) in cases {
        assert_eq!(config.agree(answer).unwrap_err(), rule, "{answer:?}");
    }
}
