//! Targets on the command line.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use wasocket_host::guest::compose;

/// Where an app will run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target(pub compose::Target);

impl ValueEnum for Target {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Target; 5] = [
            Target(compose::Target::Handler),
            Target(compose::Target::Server),
            Target(compose::Target::Grip),
            Target(compose::Target::Node),
            Target(compose::Target::Workers),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()).help(match self.0 {
            compose::Target::Handler => "A component for `wasocket serve`",
            compose::Target::Server => {
                "A complete server, for any WASI 0.2 runtime with sockets: `wasmtime run`, `jco run`"
            }
            compose::Target::Grip => {
                "A component for wasi:http servers, behind a proxy that speaks GRIP: Pushpin, Fastly Fanout"
            }
            compose::Target::Node => {
                "A folder for Node: behind your own HTTP server, or as a server"
            }
            compose::Target::Workers => {
                "A folder for Cloudflare Workers: an app as a Durable Object"
            }
        }))
    }
}
