//! What the streams of a connection may cost together.

use http::Request;
use support::operator::{admin, metric};
use support::{Server, build_guest};
use tokio::task::JoinSet;

use super::client::{Connection, run};
use super::{faults, serve};

const MIB: usize = 1 << 20;

/// Each stream would otherwise be a connection that `--max-connections` does not know.
#[test]
fn requests_that_wait_count_as_connections() {
    let options = [
        "--http2",
        "--admin",
        "127.0.0.1:0",
        "--max-connections",
        "3",
    ];
    let one_each = ["--connections-per-instance", "1"];
    let pending = build_guest("pending", "");
    let server = Server::serving(&pending, &[&options[..], &one_each].concat());
    let admin = admin(&server);
    run(async {
        let mut connections = [
            Connection::to(server.address).await,
            Connection::to(server.address).await,
        ];
        let mut answers = JoinSet::new();
        for connection in &mut connections {
            for _ in 0..20 {
                let request = Request::get("http://a.test/never").body(());
                let (answer, _) = connection.send(request.expect("valid"), true).await;
                answers.spawn(answer);
            }
        }
        // One waits on each connection, and one more has the last place.
        while answers.len() > 3 {
            let answer = answers.join_next().await.expect("one of them");
            let answer = answer.expect("no panic").expect("an answer");
            assert_eq!(answer.status(), 503);
        }
        let instances = metric(&admin, "wasocket_instances");
        assert!(instances <= 3, "{instances}");
    });
}

/// A window that never opens costs the client nothing.
#[test]
fn bodies_that_are_not_read_count_towards_the_unsent_output() {
    let server = faults(&["--max-unsent", "20", "--call-timeout", "10000"]);
    let before = server.memory();
    run(async {
        let mut kept = Vec::new();
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let mut connection = Connection::to(server.address).await;
            for _ in 0..20 {
                let request = Request::get("http://a.test/big").body(());
                let (response, _) = connection.send(request.expect("valid"), true).await;
                let response = response.await.expect("an answer");
                statuses.push(response.status().as_u16());
                kept.push(response);
            }
        }
        assert!(
            statuses.contains(&200) && statuses.contains(&503),
            "{statuses:?}"
        );
        let grown = server.memory().saturating_sub(before);
        assert!(grown < 150 * MIB, "{grown}");
        drop(kept);
        server.wait_for_log("--max-unsent");
    });
}

/// The layer below answers them itself.
#[test]
fn heads_that_are_too_large_count_towards_the_request_rate() {
    let server = serve(&["--max-requests-per-address", "5", "--max-head", "1"]);
    run(async {
        let connection = Connection::to(server.address).await;
        let value = "x".repeat(2048);
        let request = || Request::get("http://a.test/").header("x", &value).body(());
        let mut answered = 0;
        loop {
            let ready = connection.requests.clone().ready().await;
            let Ok(mut requests) = ready else { break };
            let sent = requests.send_request(request().expect("valid"), true);
            let Ok((response, _)) = sent else { break };
            match response.await {
                Ok(head) => assert_eq!(head.status(), 431),
                Err(_) => break,
            }
            answered += 1;
            assert!(answered < 10_000, "none is refused");
        }
    });
    server.wait_for_log("excessive load");
    let log = server.log();
    let lines = log.matches("the request head is too large: more than 1024 bytes");
    assert!((1..=20).contains(&lines.count()), "{log}");
}
