use super::HandshakeError;
use crate::head::{Fields, is_token};

const NAME: &str = "Sec-WebSocket-Protocol";

/// The first of the server's subprotocols that the client offers (RFC 6455 §4.2.2, item 4). `None` if there
/// is no match, which is no reason to refuse.
pub(super) fn select<'a>(
    fields: &Fields,
    supported: &[&'a str],
) -> Result<Option<&'a str>, HandshakeError> {
    check_offer(fields)?;
    let is_offered = |name: &&&str| fields.list(NAME).any(|offer| offer == name.as_bytes());
    Ok(supported.iter().find(is_offered).copied())
}

/// RFC 6455 §11.3.4: `1#token`; §4.1: "The elements that comprise this value MUST be non-empty strings
/// [...] and MUST all be unique strings."
fn check_offer(fields: &Fields) -> Result<(), HandshakeError> {
    if !fields.contains(NAME) {
        return Ok(());
    }
    let mut offers = 0;
    for (i, offer) in fields.list(NAME).enumerate() {
        // Uniqueness is checked against all before, so the number bounds the work.
        let repeated = fields.list(NAME).take(i).any(|before| before == offer);
        if i >= MAX_OFFERS || repeated || !is_token(offer) {
            return Err(HandshakeError::SubprotocolsInvalid);
        }
        offers = i + 1;
    }
    if offers == 0 {
        return Err(HandshakeError::SubprotocolsInvalid);
    }
    Ok(())
}

/// The most subprotocols a client may offer. Real clients offer a handful.
const MAX_OFFERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(lines: &[&str]) -> Result<Option<&'static str>, HandshakeError> {
        let mut fields = Fields::new();
        for line in lines {
            fields.append(NAME, *line);
        }
        select(&fields, &["chat", "superchat"])
    }

    #[test]
    fn the_servers_order_decides() {
        for (lines, selected) in [
            (&[][..], None),
            (&["chat"], Some("chat")),
            (&["superchat, chat"], Some("chat")),
            (&["superchat", ", chat,"], Some("chat")),
            (&["other, superchat"], Some("superchat")),
            (&["Chat"], None),
            (&["other"], None),
        ] {
            assert_eq!(offer(lines), Ok(selected), "{lines:?}");
        }
    }

    #[test]
    fn an_offer_that_breaks_the_grammar_is_refused() {
        for lines in [
            &[""][..],
            &[" , ,"],
            &["chat superchat"],
            &["ch@t"],
            &["chat, chat"],
            &["chat", "chat"],
            &["caf\u{e9}"],
        ] {
            assert_eq!(
                offer(lines),
                Err(HandshakeError::SubprotocolsInvalid),
                "{lines:?}"
            );
        }
    }
}
