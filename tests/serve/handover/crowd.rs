//! A crowd under traffic, made with independent clients, while processes come and go, some of them while the component is
//! being replaced.

use std::fs;

use support::build_guest;
use support::crowd::{Crowds, STAYING};
use support::operator::{admin, metric};

use crate::{Service, private_folder};

const HANDOVERS: usize = 5;

#[test]
fn a_crowd_notices_nothing() {
    let component = fs::read(build_guest("numbered", "")).expect("a component");
    let folder = private_folder("crowd-app");
    let file = folder.join("app.wasm");
    fs::write(&file, &component).expect("written");
    // Those that happen to say and hear nothing for a second sleep.
    let options = [
        "--admin",
        "127.0.0.1:0",
        "--workers",
        "2",
        "--hibernate-after",
        "1",
    ];
    let service = Service::serving("crowd", &file, &options);
    let admin = admin(&service.server);
    let crowds = Crowds::start(&format!("ws://{}", service.server.address));
    for number in 0..HANDOVERS {
        let current = service.current();
        if number % 2 == 1 {
            // Another version, with a custom section of its own: the old process begins to move to it, the new one has it.
            let section = [
                0,
                5,
                3,
                b'n',
                b'o',
                b'.',
                u8::try_from(number).expect("few"),
            ];
            fs::write(&file, [&component[..], &section].concat()).expect("written");
            crate::signal(current, "HUP");
        }
        service.hand_over();
        let arrived = metric(&admin, "wasocket_handover_arrived_total");
        assert!(arrived >= STAYING, "{arrived}");
        for never in ["swap_kept_total{reason=\"failed\"}", "swap_closed_total"] {
            assert_eq!(metric(&admin, &format!("wasocket_{never}")), 0, "{never}");
        }
        let longest = "wasocket_handover_longest_pause_seconds";
        let page = support::operator::get(&admin, "/metrics").1;
        let line = page.lines().find(|line| line.starts_with(longest));
        println!("{}", line.unwrap_or_default());
    }
    crowds.end();
}
