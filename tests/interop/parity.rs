//! One table of behaviours for the apps in every language (`languages/`, `examples/portable-*`), which the
//! running binary composes with the protocol, and for the same apps in Rust, built together with it.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use support::app_behaviours::{
    BINARY, Behaviour, CHAT, ECHO, EXCEPTION, HOST, TRAP, build, component, run,
};
use support::{Server, root};

/// Checks the apps in one language, what happens if the app crashes, and that the log shows these parts of it.
fn check(language: &str, crashes: &[Behaviour], crash: &[&str]) {
    build();
    let echo = serve(language, "echo");
    run(language, ECHO, &echo, &[]);
    let chat = serve(language, "chat");
    run(language, CHAT, &chat, &[]);
    run(language, HOST, &chat, &[]);
    run(language, crashes, &chat, &[]);
    chat.wait_for_log("app error: \"the answer has ");
    for part in crash {
        chat.wait_for_log(part);
    }
}

fn serve(language: &str, app: &str) -> Server {
    Server::serving(&component(language, app), &[])
}

#[test]
fn rust_fused_behaves_alike() {
    check("fused", TRAP, &["portable_chat::Chat"]);
}

#[test]
fn rust_composed_behaves_alike() {
    check("rust", TRAP, &["portable_chat::Chat", "ImportedApp"]);
}

#[test]
fn composed_by_hand_behaves_alike() {
    build();
    run("composed", ECHO, &serve("composed", "echo"), &[]);
}

#[test]
fn c_behaves_alike() {
    check("c", TRAP, &["languages/c/chat.c", "ImportedApp"]);
}

#[test]
fn go_behaves_alike() {
    check(
        "go",
        EXCEPTION,
        &[r#"app error: "panic: the chat crashed\n"#, "chat/main.go:"],
    );
}

/// It would trap if the arguments of a call were in the garbage collector's memory.
#[test]
fn go_collects_its_garbage_between_large_messages() {
    build();
    let server = serve("go", "echo");
    let mut client = server.websocket("/");
    for byte in 0..100 {
        let message = vec![byte; 1 << 20];
        client.send_frame(BINARY, &message);
        client.assert_frame(BINARY, &message);
    }
}

#[test]
fn javascript_behaves_alike() {
    check(
        "javascript",
        EXCEPTION,
        &[r#"app error: "Error: the chat crashed\nhear@chat.js:"#],
    );
}

#[test]
fn python_behaves_alike() {
    check(
        "python",
        EXCEPTION,
        &[r#"app error: "RuntimeError: the chat crashed\n"#, "chat.py"],
    );
}

/// `types` has types only, no functions.
#[test]
fn the_protocol_imports_nothing_but_the_app() {
    build();
    let engine = wasocket_host::engine::engine().expect("an engine");
    let file = root().join("target/languages/protocol.wasm");
    let component = wasmtime::component::Component::from_file(&engine, file).expect("a component");
    let component = component.component_type();
    let imports: Vec<&str> = component.imports(&engine).map(|(name, _)| name).collect();
    let exports: Vec<&str> = component.exports(&engine).map(|(name, _)| name).collect();
    let app = "wasocket:websocket/app@0.1.0";
    assert_eq!(imports, ["wasocket:websocket/types@0.1.0", app]);
    assert_eq!(exports, [wasocket_host::bindings::HANDLER]);
}
