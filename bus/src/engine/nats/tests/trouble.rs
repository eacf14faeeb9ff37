//! Servers that are gone, stopped, or lack something.

use tokio::time::timeout;

use super::client::{Client, KEEP, text, topic};
use super::server::{PATIENCE, Server};
use crate::engine::nats::{NatsConnector, Tuning};
use crate::engine::{Connector, EngineError, Request};
use crate::message::Start;
use crate::settings::{Credentials, Settings};

async fn refused(connector: NatsConnector) -> EngineError {
    match timeout(PATIENCE, connector.connect(1)).await.unwrap() {
        Ok(_) => panic!("the server takes us"),
        Err(error) => error,
    }
}

/// Waits for the end of a connection on which nothing else happens.
async fn end(client: &mut Client) -> EngineError {
    loop {
        if let Err(error) = client.next().await {
            return error;
        }
    }
}

#[tokio::test]
async fn a_server_that_is_killed_ends_the_connection_for_good() {
    let mut server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client.subscribe("room").await;
    server.kill();
    let error = end(&mut client).await;
    assert!(error.0.contains("lost"), "{}", error.0);
    server.restart();
    // The old connection does not come back behind the bus's back.
    client.begin(Request::Subscribe(topic("room")));
    assert_eq!(client.next().await.unwrap_err(), error);
    let mut client = Client::new(&server, 1).await;
    client.subscribe("room").await;
}

#[tokio::test]
async fn a_server_that_is_stopped_is_noticed() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client.subscribe("room").await;
    server.signal("-STOP");
    let error = end(&mut client).await;
    server.signal("-CONT");
    assert!(error.0.contains("lost"), "{}", error.0);
}

#[tokio::test]
async fn without_jetstream_topics_without_history_work() {
    let server = Server::with("");
    let mut client = Client::new(&server, 1).await;
    client.subscribe("room").await;
    client.publish("room", text("hello")).await;
    client.receive().await;
    let key = crate::engine::MemberKey {
        runner: 1,
        number: 1,
    };
    let requests = [
        Request::Keep(topic("room"), KEEP),
        Request::Enter(topic("room"), key, "".into()),
        Request::Members(topic("room"), 1),
    ];
    for request in requests {
        let error = client.ask(request).await.unwrap_err();
        assert!(error.0.contains("nats-server -js"), "{}", error.0);
    }
    assert!(client.history("room", Start::Now).await.position.is_none());
}

#[tokio::test]
async fn a_stream_that_is_deleted_ends_the_connection() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client.keep("room", KEEP).await;
    let other = async_nats::connect(format!("nats://127.0.0.1:{}", server.port))
        .await
        .unwrap();
    async_nats::jetstream::new(other)
        .delete_stream("wasocket_1_history")
        .await
        .unwrap();
    let sent = client.sent("room", text("lost?"));
    client.begin(Request::Publish(sent));
    end(&mut client).await;
    let mut client = Client::new(&server, 1).await;
    assert!(client.publish("room", text("kept again")).await.is_some());
}

fn with(server: &Server, credentials: Credentials) -> NatsConnector {
    let mut connector = server.connector();
    connector.settings.credentials = credentials;
    connector
}

fn ann(password: &str) -> Credentials {
    Credentials::Password {
        name: "ann".to_owned(),
        password: password.to_owned(),
    }
}

#[tokio::test]
async fn credentials_are_shown_and_needed() {
    let server = Server::with("authorization: { user: ann, password: \"s:e/c\" }\n");
    let error = refused(server.connector()).await;
    assert!(error.0.contains("password"), "{}", error.0);
    refused(with(&server, ann("guess"))).await;
    let right = with(&server, ann("s:e/c"));
    Client::with(right, 1).await.subscribe("room").await;
    let server = Server::with("authorization: { token: \"t0ken\" }\n");
    refused(server.connector()).await;
    let right = with(&server, Credentials::Token("t0ken".to_owned()));
    Client::with(right, 1).await.subscribe("room").await;
}

#[tokio::test]
async fn the_seed_of_an_nkey_is_a_credential() {
    // A pair that was made for this test.
    let seed = "SUALI53K7KFYYO4FB7L5K7PMXZR3JOYO3DMRDWNZO4LAEDUZ57KNCZSMO4";
    let public = "UDW4TAROH3VG3OFIMQN352ULINXWZ6QDY5YZ3A2JZUGYNTFL4IBPUOEG";
    let server = Server::with(&format!(
        "authorization: {{ users: [ {{ nkey: {public} }} ] }}\n"
    ));
    refused(server.connector()).await;
    let file = server.folder().join("user.nk");
    std::fs::write(&file, format!("{seed}\n")).unwrap();
    let right = with(&server, Credentials::File(file));
    Client::with(right, 1).await.subscribe("room").await;
    let missing = Credentials::File(server.folder().join("missing.creds"));
    let error = refused(with(&server, missing)).await;
    assert!(error.0.contains("missing.creds"), "{}", error.0);
    let wrong = server.folder().join("nats.conf");
    let error = refused(with(&server, Credentials::File(wrong))).await;
    assert!(error.0.contains("nats.conf"), "{}", error.0);
}

#[tokio::test]
async fn nothing_there_is_an_error_that_names_the_address() {
    let mut server = Server::start();
    server.kill();
    let error = refused(server.connector()).await;
    assert!(error.0.contains(&server.port.to_string()), "{}", error.0);
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("nats://127.0.0.1:{port}");
    let connector = NatsConnector {
        settings: Settings::from_url(&url).unwrap(),
        tuning: Tuning::default(),
    };
    refused(connector).await;
}

#[tokio::test]
async fn permissions_that_are_missing_are_named() {
    let server = Server::with(
        "authorization: { users: [ { user: ann, password: x, permissions: { subscribe: [\"_INBOX.>\"] } } ] }\n",
    );
    let connector = with(&server, ann("x"));
    let error = refused(connector).await;
    assert!(error.0.contains("wasocket.1.inbox"), "{}", error.0);
}

#[tokio::test]
async fn a_stream_of_somebody_else_is_left_alone() {
    let server = Server::start();
    let other = async_nats::connect(format!("nats://127.0.0.1:{}", server.port))
        .await
        .unwrap();
    let theirs = async_nats::jetstream::stream::Config {
        name: "wasocket_1_history".to_owned(),
        subjects: vec!["orders.*".to_owned()],
        ..Default::default()
    };
    async_nats::jetstream::new(other)
        .create_stream(theirs)
        .await
        .unwrap();
    let error = refused(server.connector()).await;
    assert!(error.0.contains("prefix"), "{}", error.0);
}

#[tokio::test]
async fn prefixes_are_separate_services() {
    let server = Server::start();
    let mut one = Client::new(&server, 1).await;
    let mut other = server.connector();
    other.settings.prefix = "other".to_owned();
    let mut two = Client::with(other, 2).await;
    one.subscribe("room").await;
    two.publish("room", text("elsewhere")).await;
    one.publish("room", text("here")).await;
    assert_eq!(one.receive().await.1.message, text("here"));
}
