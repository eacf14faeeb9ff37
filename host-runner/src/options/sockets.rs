//! The options of `serve` that are about sockets.

use std::net::SocketAddr;

use clap::Args;

use crate::hosts::AllowedHost;

/// Where connections come from, and for whom.
#[derive(Clone, Debug, Args)]
pub struct Sockets {
    /// Where to listen; port 0 is any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1234", value_parser = address)]
    pub listen: String,
    /// A host to serve, as requests name it; `*.NAME` and `*` stand for more. May be repeated [default: any;
    /// on loopback addresses alone, loopback names]
    #[arg(long, value_name = "NAME[:PORT]")]
    pub allow_host: Vec<AllowedHost>,
}

/// An IP address or a host name, and a port. Names are looked up when the socket is made.
fn address(value: &str) -> Result<String, String> {
    let is_named = |(host, port): (&str, &str)| {
        !host.is_empty() && !host.contains([':', '[', ']']) && port.parse::<u16>().is_ok()
    };
    if value.parse::<SocketAddr>().is_ok() || value.rsplit_once(':').is_some_and(is_named) {
        return Ok(value.to_owned());
    }
    Err("expected ADDRESS:PORT, such as 127.0.0.1:1234, [::1]:1234 or localhost:1234".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["127.0.0.1:0", "[::1]:1234", "[::]:80", "localhost:65535"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "1234",
            ":1234",
            "localhost",
            "::1",
            "a:b",
            "a:65536",
            "[::1]",
            "::1:x",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
