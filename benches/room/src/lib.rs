//! A room: whatever a member sends goes to all members. On the path `/idle` a connection is no member.
#![cfg_attr(target_family = "wasm", no_std)]

use wasocket::events::{Accept, Context, EventHandler, Settings};
use wasocket::{Message, Request, Response};

wasocket::export_events!(Room);

struct Room;

impl EventHandler for Room {
    type State = ();

    fn open(&self, request: &Request, cx: &mut Context<'_, ()>) -> Result<Accept, Response> {
        if request.path() != "/idle" {
            cx.subscribe("room");
        }
        let settings = Settings {
            compress: true,
            ..Settings::default()
        };
        Ok(Accept {
            settings,
            ..Accept::default()
        })
    }

    fn message(&self, message: Message, cx: &mut Context<'_, ()>) {
        cx.publish("room", message);
    }
}
