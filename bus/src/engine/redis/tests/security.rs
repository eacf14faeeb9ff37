//! TLS, passwords, databases, and servers that are refused.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use super::runner::text;
use super::server::free_port;
use super::{Runner, Server, topic};
use crate::engine::redis::{Redis, Settings};

async fn refusal(settings: &Settings) -> String {
    let refused = Redis::connect(settings, 1).await.err();
    refused.expect("connected").0
}

async fn is_usable(settings: &Settings) {
    // Another runner each time: one that publishes its first publication again is not heard.
    static RUNNERS: AtomicU64 = AtomicU64::new(1000);
    let number = RUNNERS.fetch_add(1, Ordering::Relaxed);
    let mut runner = Runner::connect(settings, number).await;
    let topic = topic("room");
    runner.subscribe(&topic).await;
    runner.publish(&topic, text("hello")).await;
    assert_eq!(runner.next_publication().await.1.message, text("hello"));
}

#[tokio::test]
async fn tls_verifies_the_certificate() {
    let port = free_port();
    let file = |name| support::tls_file(name).display().to_string();
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    let server = Server::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ]);
    let trusting = Settings {
        url: format!("rediss://localhost:{port}"),
        ca_file: Some(support::tls_file("certificate.pem")),
        ..server.settings()
    };
    is_usable(&trusting).await;

    let without = Settings {
        ca_file: None,
        ..trusting.clone()
    };
    assert!(refusal(&without).await.contains("certificate"));
    let elsewhere = Settings {
        url: format!("rediss://localhost.localdomain:{port}"),
        ..trusting.clone()
    };
    assert!(!refusal(&elsewhere).await.is_empty());
    let plain = Settings {
        url: format!("redis://localhost:{port}"),
        ..trusting.clone()
    };
    assert!(!refusal(&plain).await.is_empty());
    let no_certificates = Settings {
        ca_file: Some(support::tls_file("key.pem")),
        ..trusting
    };
    assert!(refusal(&no_certificates).await.contains("there are none"));
}

#[tokio::test]
async fn users_and_passwords() {
    let server = Server::start_with(&["--requirepass", "se:cret/ü"]);
    let encoded = "se%3Acret%2F%C3%BC";
    let port = server.port;
    let with = |url: String| Settings {
        url,
        ..server.settings()
    };
    assert!(
        refusal(&server.settings())
            .await
            .contains("check user and password")
    );
    let wrong = with(format!("redis://:wrong@127.0.0.1:{port}"));
    let told = refusal(&wrong).await;
    assert!(told.contains("check user and password"), "{told}");
    assert!(
        !format!("{told} {wrong:?}").contains(":wrong@"),
        "the password is told"
    );
    is_usable(&with(format!("redis://:{encoded}@127.0.0.1:{port}"))).await;
    is_usable(&with(format!(
        "redis://default:{encoded}@127.0.0.1:{port}/3"
    )))
    .await;

    let folder = support::temporary_folder("redis-password");
    let file = folder.join("password");
    fs::write(&file, "se:cret/ü\n").expect("written");
    let from_file = Settings {
        password_file: Some(file),
        ..server.settings()
    };
    is_usable(&from_file).await;
    fs::remove_dir_all(&folder).expect("removed");
    assert!(refusal(&from_file).await.contains("cannot read"));
}

/// The commands that docs/design/engines.md lists are enough.
#[tokio::test]
async fn a_user_with_few_rights() {
    let server = Server::start();
    let rules = support::root().join("docs/design/engines.md");
    let text = fs::read_to_string(rules).expect("the page");
    let rule = text
        .lines()
        .find(|line| line.starts_with("user wasocket on"));
    let rule = rule.expect("a rule").replace(">PASSWORD", ">secret");
    let words: Vec<_> = rule.split(' ').skip(1).collect();
    assert_eq!(
        server.cli(&[&["acl", "setuser"], &words[..]].concat()),
        "OK"
    );
    let settings = Settings {
        url: format!("redis://wasocket:secret@127.0.0.1:{}", server.port),
        ..server.settings()
    };
    is_usable(&settings).await;
    let mut runner = Runner::connect(&settings, 1).await;
    let topic = topic("room");
    runner.keep(&topic, 10, 60).await;
    runner
        .publish(&topic, super::runner::text("hello"))
        .await
        .expect("kept");
    runner.enter(&topic, 1, "Ada").await;
    assert_eq!(runner.members(&topic, 10).await.count, 1);
    let elsewhere = Settings {
        prefix: String::from("other"),
        ..settings
    };
    assert!(refusal(&elsewhere).await.contains("engines.md"));
}

#[tokio::test]
async fn databases_and_prefixes_keep_apart_what_is_kept() {
    let server = Server::start();
    let other_prefix = Settings {
        prefix: String::from("other"),
        ..server.settings()
    };
    let topic = topic("room");
    let mut first = Runner::connect(&server.settings(), 1).await;
    let mut second = Runner::connect(&other_prefix, 2).await;
    for runner in [&mut first, &mut second] {
        runner.subscribe(&topic).await;
        runner.enter(&topic, 1, "here").await;
        runner.next().await;
    }
    first.publish(&topic, text("hello")).await;
    second.assert_nothing_came().await;
    assert_eq!(second.members(&topic, 10).await.count, 1);
}

#[tokio::test]
async fn through_a_unix_socket() {
    let folder = support::temporary_folder("redis-socket");
    let path = folder.join("socket");
    let name = path.display().to_string();
    let server = Server::start_with(&["--unixsocket", &name]);
    let settings = Settings {
        url: format!("redis+unix://{name}"),
        ..server.settings()
    };
    is_usable(&settings).await;
    fs::remove_dir_all(folder).expect("removed");
}

#[tokio::test]
async fn a_node_of_a_cluster_is_refused() {
    let server = Server::start_with(&["--cluster-enabled", "yes"]);
    assert!(refusal(&server.settings()).await.contains("cluster"));
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let server = Server::start();
    for url in ["", "http://127.0.0.1", "redis://", "127.0.0.1:6379"] {
        let settings = Settings {
            url: String::from(url),
            ..server.settings()
        };
        assert!(
            refusal(&settings).await.contains("expected redis://"),
            "{url}"
        );
    }
    for prefix in ["", "a:b", "{a}", "a b", &"x".repeat(65)] {
        let settings = Settings {
            prefix: String::from(prefix),
            ..server.settings()
        };
        assert!(refusal(&settings).await.contains("prefix"), "{prefix}");
    }
}
