//! Targets, as the command line names them.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use wasocket_host::guest::compose;

/// Where an app is to run.
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
                "A whole server, for any runtime of WASI 0.2 with sockets: `wasmtime run`, `jco run`"
            }
            compose::Target::Grip => {
                "A component for servers of wasi:http, behind a proxy that speaks GRIP: Pushpin, Fastly Fanout"
            }
            compose::Target::Node => {
                "A folder for Node: behind an HTTP server of your own, or as one"
            }
            compose::Target::Workers => {
                "A folder for Cloudflare Workers: an app as a Durable Object"
            }
        }))
    }
}
