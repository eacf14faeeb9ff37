//! A component that takes time to decide: forever at `/never`, otherwise for 100 calls.
#![cfg_attr(target_family = "wasm", no_std)]

use core::future::{pending, poll_fn};
use core::task::Poll;

use wasocket::{Answer, Connection, Message, Request, Upgrade, UsageError, decide};

wasocket::export!(decide(answer));

async fn answer(request: Request) -> Answer {
    match request.path() {
        "/never" => pending().await,
        _ => wait_for_calls(100).await,
    }
    Upgrade::new().accept(&request, echo)
}

/// Stays pending until it has been called again this many times.
async fn wait_for_calls(mut calls: u32) {
    poll_fn(|context| match calls {
        0 => Poll::Ready(()),
        _ => {
            calls -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

fn echo(connection: &mut Connection, message: Message) -> Result<(), UsageError> {
    connection.send(message)
}
