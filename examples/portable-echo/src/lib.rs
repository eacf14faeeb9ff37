//! An echo in the event form: every message comes back unchanged. The same app as
//! `languages/{c,javascript,python}/echo.*` and `languages/go/echo`.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use wasocket::events::{Accept, Context, EventHandler};
use wasocket::{Message, Request, Response};

wasocket::export_events!(Echo);

struct Echo;

impl EventHandler for Echo {
    type State = ();

    fn open(&self, _: &Request, _: &mut Context<'_, ()>) -> Result<Accept, Response> {
        Ok(Accept {
            subprotocol: Some("echo".into()),
            ..Accept::default()
        })
    }

    fn message(&self, message: Message, cx: &mut Context<'_, ()>) {
        cx.send(message);
    }
}
