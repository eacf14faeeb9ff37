//! `wasocket check`: what passes, what fails, and how the report shows it.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use support::{build_guest, root, wasocket};
use wasocket_host::default_app::DEFAULT_APP;

fn check(component: &Path, options: &[&str]) -> Output {
    let component = component.to_str().expect("a path in UTF-8");
    let output = wasocket(&["check", component]).args(options).output();
    output.expect("the program runs")
}

/// Checks a component: the report, and the exit code.
fn cases(component: &Path, path: &str) -> (Value, Option<i32>) {
    let output = check(component, &["--path", path, "--json", "--quiet"]);
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{path}: {error}, {output:?}"));
    (report, output.status.code())
}

fn default_app() -> PathBuf {
    let folder = root().join("target/guests");
    std::fs::create_dir_all(&folder).expect("a folder");
    // Each test removes its own.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let file = folder.join(format!("default-{}-{number}.wasm", std::process::id()));
    std::fs::write(&file, DEFAULT_APP).expect("a file");
    file
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("text")
}

#[test]
fn the_default_app_passes_everything() {
    let file = default_app();
    let output = check(&file, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = text(&output.stdout);
    assert!(
        report.ends_with("/echo: 500 passed, 0 failed, 10 skipped\n"),
        "{report}"
    );
    // A function cannot be suspended, and an echo has no topics; everything else is checked.
    for skipped in [
        "skipped 3 of contract: its connections cannot be suspended\n",
        "skipped 7 of contract: its connections do not subscribe to a topic when they are opened\n",
    ] {
        assert!(report.contains(skipped), "{report}");
    }
    assert_eq!(text(&output.stderr), "", "no progress without a terminal");

    let (report, code) = cases(&file, "/echo?a=b");
    assert_eq!(
        (report["failed"].as_u64(), code),
        (Some(0), Some(0)),
        "{report}"
    );

    // A path without an echo can be checked for less.
    let (report, code) = cases(&file, "/");
    assert_eq!(
        (report["failed"].as_u64(), code),
        (Some(0), Some(0)),
        "{report}"
    );
    assert!(report["skipped"].as_u64() > Some(50));
    let reasons: Vec<_> = report["cases"].as_array().expect("cases").iter().collect();
    let has = |text: &str| {
        let mut reasons = reasons.iter().filter_map(|case| case["reason"].as_str());
        reasons.any(|reason| reason.contains(text))
    };
    assert!(has("not an echo: text 'Received:  Hello'"), "{report}");
    assert!(has("declines permessage-deflate"), "{report}");
    assert!(has("answers plain requests, with status 200"), "{report}");
    std::fs::remove_file(file).expect("a file");
}

#[test]
fn checks_of_features_not_negotiated_are_skipped() {
    let (report, code) = cases(&build_guest("hello", ""), "/");
    assert_eq!(
        (report["failed"].as_u64(), code),
        (Some(0), Some(0)),
        "{report}"
    );
    assert_eq!(report["skipped"].as_u64(), Some(61), "{report}");
}

#[test]
fn event_form_connections_survive_suspension() {
    for package in ["portable-echo", "portable-json"] {
        let (report, _) = cases(&build_guest(package, ""), "/");
        let about = |case: &&Value| {
            let name = case["name"].as_str().unwrap_or_default();
            name.contains("suspended") || name.contains("resumed")
        };
        let all = report["cases"].as_array().expect("cases").iter();
        let results: Vec<_> = all.filter(about).map(|case| &case["result"]).collect();
        assert_eq!(results, ["passed"; 5], "{report}");
    }
}

/// Each path of the guest breaks one rule, which the case named here finds.
#[test]
fn breaches_of_the_contract_are_found() {
    let guest = build_guest("breaches", "");
    for (path, group, name) in [
        (
            "/trap-in-handle",
            "contract",
            "an opening handshake is answered",
        ),
        (
            "/final-bytes",
            "contract",
            "the final bytes are a Close frame with code 1011",
        ),
        ("/response", "contract", "answers to requests can be sent"),
        ("/handshake", "handshakes", "key missing"),
        (
            "/handshake",
            "contract",
            "a request with a body is not taken over",
        ),
        ("/accept", "handshakes", "the RFC's example"),
        (
            "/residual",
            "contract",
            "bytes after the request head belong to the connection",
        ),
        ("/split", "frames", "single-frame masked text"),
        ("/masked", "contract", "unnecessary wakes do no harm"),
        ("/after-close", "contract", "nothing follows a Close frame"),
        (
            "/stays",
            "contract",
            "going away sends a Close frame with code 1001",
        ),
        (
            "/wake",
            "contract",
            "a second wake at the same instant sends nothing twice",
        ),
        (
            "/unsent",
            "contract",
            "a silent peer is not given up while output is unsent",
        ),
        (
            "/shutdown",
            "contract",
            "a restart sends a Close frame with code 1012",
        ),
        (
            "/trap-when-lost",
            "contract",
            "a socket may be lost at any moment",
        ),
        (
            "/report",
            "contract",
            "a report says who ended the connection, and how",
        ),
        (
            "/limits",
            "contract",
            "a limited connection accepts no more than its limits",
        ),
        (
            "/suspends/fresh",
            "contract",
            "a connection may be suspended wherever the vectors let it rest",
        ),
        (
            "/suspends/forgetful",
            "contract",
            "a peer can be kept alive while its connection is suspended",
        ),
        (
            "/suspends/uncounted",
            "contract",
            "a connection may be suspended wherever the vectors let it rest",
        ),
        (
            "/trap-at-the-end",
            "contract",
            "a peer may finish sending at any moment",
        ),
        (
            "/topics-form",
            "contract",
            "every subscriber is sent whole frames, in the order of the publications",
        ),
        (
            "/topics-cut",
            "contract",
            "every subscriber is sent whole frames, in the order of the publications",
        ),
        (
            "/topics-order",
            "contract",
            "every subscriber is sent whole frames, in the order of the publications",
        ),
        (
            "/topics-several",
            "contract",
            "a delivery to several is what deliveries to each would be",
        ),
        (
            "/topics-ends",
            "contract",
            "a publication may arrive in the middle of a message",
        ),
        (
            "/topics-trap",
            "contract",
            "events of topics leave the connection open",
        ),
        (
            "/topics-slow",
            "contract",
            "a connection that is too slow is closed with 1013",
        ),
    ] {
        let (report, code) = cases(&guest, path);
        assert_eq!(code, Some(1), "{path}");
        let failed: Vec<_> = report["cases"]
            .as_array()
            .expect("cases")
            .iter()
            .filter(|case| case["result"] == "failed")
            .map(|case| (case["group"].as_str(), case["name"].as_str()))
            .collect();
        assert_eq!(report["failed"].as_u64(), Some(failed.len() as u64));
        let found = failed.contains(&(Some(group), Some(name)));
        assert!(found, "{path}: {failed:?}");
    }
    for path in ["/good", "/topics", "/suspends"] {
        let (report, code) = cases(&guest, path);
        assert_eq!(
            (report["failed"].as_u64(), code),
            (Some(0), Some(0)),
            "{report}"
        );
    }
}

#[test]
fn the_chat_passes_the_checks_of_topics() {
    let (report, code) = cases(&build_guest("portable-chat", ""), "/rooms/blue?ann");
    assert_eq!(
        (report["failed"].as_u64(), code),
        (Some(0), Some(0)),
        "{report}"
    );
    assert!(!report.to_string().contains("do not subscribe"), "{report}");
}

#[test]
fn the_report_shows_input_and_expected_output() {
    let guest = build_guest("breaches", "");
    let output = check(&guest, &["--path", "/shutdown", "--quiet"]);
    let report = text(&output.stdout);
    let expected = "\
FAILED contract: a restart sends a Close frame with code 1012
  sent      GET /shutdown, open with no bytes, shutdown (service-restart)
  expected  close 1012
  received  close 1001
  see       websocket-handler.wit, shutdown-reason
";
    assert!(report.starts_with(expected), "{report}");
    let output = check(&guest, &["--path", "/split", "--quiet"]);
    let report = text(&output.stdout);
    assert!(
        report.contains("\n  sent      81 80 00000000 (split at "),
        "{report}"
    );
    let see = "RFC 6455 5.2: https://www.rfc-editor.org/rfc/rfc6455#section-5.2\n";
    assert!(report.contains(see), "{report}");
    let output = check(&guest, &["--path", "/suspends/fresh", "--quiet"]);
    let report = text(&output.stdout);
    let expected = "\
  sent      81 85 37fa213d 7f9f4d5158 in pieces, and a ping; suspended at byte [0, 11]
  expected  text 'Hello', pong 'ping'; a `next` of Next::Open; a report of 1 messages received and 1 sent, ended by the peer with 1006
  received  text 'Hello', pong 'ping'; a `next` of Next::Open; a report of 0 messages received and 0 sent, ended by the peer with 1006
";
    assert!(report.contains(expected), "{report}");
    let output = check(&guest, &["--path", "/trap-when-lost", "--quiet"]);
    let report = text(&output.stdout);
    assert!(
        report.contains("  received  the guest trapped: "),
        "{report}"
    );
    assert!(report.contains("lost"), "{report}");
}

#[test]
fn unusable_subjects_are_reported() {
    let file = default_app();
    for (path, why) in [
        (
            "/none",
            "/none is not a WebSocket: it answers a valid opening handshake with status 404",
        ),
        (
            "/hijack",
            "/hijack is not a WebSocket: the socket is taken over raw",
        ),
    ] {
        let output = check(&file, &["--path", path]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(why), "{output:?}");
        assert_eq!(output.stdout, b"");
    }
    std::fs::remove_file(file).expect("a file");
    for (file, why) in [
        ("no-such-file.wasm", "there is no such file"),
        ("Cargo.toml", "it is not WebAssembly"),
    ] {
        let output = check(&root().join(file), &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(why), "{output:?}");
    }
    for usage in [&["check"][..], &["check", "a.wasm", "--path", "echo"]] {
        let output = wasocket(usage).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}
