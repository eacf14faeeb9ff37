//! Messages from one connection to others.

use std::cell::RefCell;
use std::rc::Rc;

use wasocket::events::{Accept, Context, EventHandler, events};
use wasocket::{Error, Message, Request, Response, Sender, Upgrade, WebSocket};
use wasocket_test::{Kit, websocket};

#[test]
fn an_event_form_app_publishes_and_keeps_state() {
    struct Room;
    impl EventHandler for Room {
        type State = String;

        fn request(&self, _: &Request, cx: &mut Context<'_, String>) -> Response {
            cx.publish("room", "news");
            Response::text(202, "told\n")
        }

        fn open(&self, _: &Request, cx: &mut Context<'_, String>) -> Result<Accept, Response> {
            cx.subscribe("room");
            Ok(Accept::default())
        }

        fn message(&self, message: Message, cx: &mut Context<'_, String>) {
            cx.state += &String::from_utf8_lossy(message.as_bytes());
            cx.publish("room", cx.state.clone());
        }
    }
    let kit = Kit::native(events(Room));
    let (ann, bob) = (kit.connect(websocket("/")), kit.connect(websocket("/")));
    ann.send("a");
    ann.send("b");
    bob.send("c");
    for text in ["a", "ab", "c"] {
        ann.assert_text(text);
        bob.assert_text(text);
    }
    kit.get("/").assert_status(202);
    ann.assert_text("news");
}

/// Members of a room are sent what one says.
fn room() -> impl Fn(&Request) -> wasocket::Answer {
    let members = Rc::new(RefCell::new(Vec::<Sender>::new()));
    move |request| {
        let members = Rc::clone(&members);
        Upgrade::new().converse(request, |ws: WebSocket| async move {
            members.borrow_mut().push(ws.sender());
            while let Some(text) = ws.receive::<String>().await? {
                for member in members.borrow().iter() {
                    let _ = member.try_send(text.as_str());
                }
            }
            Ok::<(), Error>(())
        })
    }
}

#[test]
fn connections_wake_each_other() {
    let kit = Kit::native(room());
    let members = [(); 3].map(|()| kit.connect(websocket("/")));
    members[2].block();
    members[1].send("hello");
    members[0].assert_text("hello");
    members[1].assert_text("hello");
    members[2].unblock();
    members[2].assert_text("hello");
}
