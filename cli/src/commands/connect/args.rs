//! Arguments of `wasocket connect`.

use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use wasocket_host::bindings::Field;
use wasocket_host::guest::Limits;
use wasocket_host::net::dial::url::{Place, Url};

use crate::parse::seconds;

pub(crate) const CONNECT_HELP: &str = "\
Each line of stdin is sent as a text message; each message received is printed to stdout as a line,
while it arrives. At the end of stdin, the connection is closed once the server has answered a ping and
then been silent for 200 ms, or after 5 seconds. Ctrl-C closes it at once, a second Ctrl-C exits.
Everything else goes to stderr.

Examples:
  wasocket connect ws://127.0.0.1:1234/echo
  echo hello | wasocket connect ws://127.0.0.1:1234/echo
  echo question | wasocket connect wss://slow.example/ --one-message --wait 30
  wasocket connect wss://feed.example/ --listen >feed.txt
  wasocket connect wss://feed.example/ --connect-to 127.0.0.1:8443
  wasocket connect ws://127.0.0.1:1234/ --ping </dev/null     the round-trip time

Environment, read the way curl does (a user and a password are sent: http://USER:PASSWORD@HOST:PORT):
  http_proxy, https_proxy   an HTTP proxy for ws:// and for wss://; ws_proxy and wss_proxy override
                            them, all_proxy is the fallback
  no_proxy                  servers to reach without a proxy: hosts, domains, networks, * for all
  SSL_CERT_FILE             the certificates to trust, instead of the system's

Exit codes:
  0    closed normally (code 1000, 1001 or none)
  1    could not connect, the server refused the handshake, or stdin could not be sent
  2    wrong usage
  3    closed abnormally, or by the server with another code, which is on stderr
  4    closed normally, but nothing arrived after the last message sent (except with --wait 0)
  130  interrupted by Ctrl-C (143: by SIGTERM)";

/// The options of `wasocket connect`.
#[derive(Clone, Debug, Args)]
pub struct Connect {
    /// The URL: `ws://HOST/PATH`, or `wss://HOST/PATH` for TLS
    pub url: Url,
    /// Send stdin as binary messages, as it arrives, and print messages unchanged, without line breaks
    #[arg(long)]
    pub binary: bool,
    /// A subprotocol to offer, in order of preference; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub subprotocol: Vec<String>,
    /// An extra header field of the request, or another Host than the URL's; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = field)]
    pub header: Vec<Field>,
    /// The Origin to claim, as a browser's page would, such as `https://example.com`
    #[arg(long)]
    pub origin: Option<String>,
    /// Connect to this host and port instead of the URL's, which still names the server for Host and for TLS
    #[arg(long, value_name = "HOST:PORT")]
    pub connect_to: Option<Place>,
    /// Offer compression (permessage-deflate)
    #[arg(long)]
    pub compress: bool,
    /// Ping the server when connected, and every SECONDS if given; the round-trip time goes to stderr
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, value_parser = seconds())]
    pub ping: Option<Option<u64>>,
    /// Ping the server after this long a silence, and give up after as long again; 0: never
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = up_to_a_day())]
    pub keepalive: u64,
    /// Close after the first message received; the end of stdin then does not close
    #[arg(long)]
    pub one_message: bool,
    /// How long to stay and print messages after the end of stdin; 0 if no answer is expected
    #[arg(long, value_name = "SECONDS", value_parser = up_to_a_day())]
    pub wait: Option<u64>,
    /// Do not read stdin: print messages until the server closes, or Ctrl-C
    #[arg(long, conflicts_with = "wait")]
    pub listen: bool,
    /// The longest message to receive, in MiB. Default: any, since messages are printed as they arrive
    #[arg(long, value_name = "MIB", value_parser = RangedU64ValueParser::<u64>::new().range(1..=1 << 40))]
    pub max_message: Option<u64>,
    /// Time limit to reach the server; it has 10 more seconds for its response
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = seconds())]
    pub timeout: u64,
    // A `String`, since a parser's error would show it, and with it a password.
    /// An HTTP proxy to connect through, instead of the environment's: `http://HOST:PORT`
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Use no proxy, whatever the environment says
    #[arg(long, conflicts_with = "proxy")]
    pub no_proxy: bool,
    /// DANGEROUS: accept any certificate. Anyone on the path can read and change everything
    #[arg(long)]
    pub insecure: bool,
}

impl Connect {
    /// The component's limits. It holds a message to send several times. What has been read at once may be
    /// compressed, a thousandfold at most.
    pub fn limits() -> Limits {
        Limits {
            memory: 1 << 30,
            call_time: Duration::from_secs(10),
            ..Limits::default()
        }
    }
}

fn up_to_a_day() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(0..=86_400)
}

/// Parses a field line. The component decides whether it can be sent.
fn field(line: &str) -> Result<Field, String> {
    let (name, value) = line
        .split_once(':')
        .ok_or("expected 'Name: value', with a colon")?;
    Ok((name.to_owned(), value.trim().as_bytes().to_vec()))
}
