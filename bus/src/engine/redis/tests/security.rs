//! TLS, passwords, databases, and servers that are refused.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use super::runner::text;
use super::server::free_port;
use super::{Runner, Server, topic};
use crate::engine::Connector;
use crate::engine::redis::RedisConnector;
use crate::settings::Credentials;

async fn refusal(connector: &RedisConnector) -> String {
    let refused = connector.connect(1).await.err();
    refused.expect("connected").0
}

async fn is_usable(connector: &RedisConnector) {
    // Another runner each time: one that publishes its first publication again is not heard.
    static RUNNERS: AtomicU64 = AtomicU64::new(1000);
    let number = RUNNERS.fetch_add(1, Ordering::Relaxed);
    let mut runner = Runner::connect(connector, number).await;
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
    let to = |scheme: &str, host: &str, authorities: &str| {
        let mut connector = server.connector_to(&format!("{scheme}://{host}:{port}"));
        connector.settings.authorities = Some(support::tls_file(authorities));
        connector
    };
    is_usable(&to("rediss", "localhost", "certificate.pem")).await;

    let mut without = to("rediss", "localhost", "certificate.pem");
    without.settings.authorities = None;
    assert!(refusal(&without).await.contains("certificate"));
    let elsewhere = to("rediss", "127.0.0.2", "certificate.pem");
    assert!(!refusal(&elsewhere).await.is_empty());
    let plain = to("redis", "localhost", "certificate.pem");
    assert!(!refusal(&plain).await.is_empty());
    let no_certificates = to("rediss", "localhost", "key.pem");
    assert!(refusal(&no_certificates).await.contains("there are none"));
}

#[tokio::test]
async fn users_and_passwords() {
    let server = Server::start_with(&["--requirepass", "se:cret/ü"]);
    let encoded = "se%3Acret%2F%C3%BC";
    let port = server.port;
    let with = |user: &str| server.connector_to(&format!("redis://{user}@127.0.0.1:{port}"));
    let told = refusal(&server.connector()).await;
    assert!(told.contains("check user and password"), "{told}");
    let wrong = with(":wrong");
    let told = refusal(&wrong).await;
    assert!(told.contains("check user and password"), "{told}");
    assert!(!format!("{told} {wrong:?}").contains("wrong"), "{told}");
    is_usable(&with(&format!(":{encoded}"))).await;
    let mut named = with(&format!("default:{encoded}"));
    named.settings.database = 3;
    is_usable(&named).await;
    assert!(
        server
            .cli(&[
                "-n",
                "3",
                "-a",
                "se:cret/ü",
                "--no-auth-warning",
                "keys",
                "*"
            ])
            .contains("room")
    );

    let folder = support::temporary_folder("redis-password");
    let file = folder.join("password");
    fs::write(&file, "se:cret/ü\n").expect("written");
    let mut from_file = server.connector();
    from_file.settings.credentials = Credentials::File(file);
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
    let url = format!("redis://wasocket:secret@127.0.0.1:{}", server.port);
    let mut connector = server.connector_to(&url);
    is_usable(&connector).await;
    let mut runner = Runner::connect(&connector, 1).await;
    let topic = topic("room");
    runner.keep(&topic, 10, 60).await;
    runner
        .publish(&topic, super::runner::text("hello"))
        .await
        .expect("kept");
    runner.enter(&topic, 1, "Ada").await;
    assert_eq!(runner.members(&topic, 10).await.count, 1);
    connector.settings.prefix = String::from("other");
    assert!(refusal(&connector).await.contains("engines.md"));
}

#[tokio::test]
async fn databases_and_prefixes_keep_apart_what_is_kept() {
    let server = Server::start();
    let mut other_prefix = server.connector();
    other_prefix.settings.prefix = String::from("other");
    let topic = topic("room");
    let mut first = Runner::connect(&server.connector(), 1).await;
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
async fn a_node_of_a_cluster_is_refused() {
    let server = Server::start_with(&["--cluster-enabled", "yes"]);
    assert!(refusal(&server.connector()).await.contains("cluster"));
}
