//! Trace context of a span (W3C Trace Context).

use crate::contract::bindings::Field;

/// The longest `tracestate` to pass on, in bytes (§3.3.1.5).
const MAX_STATE: usize = 512;

/// The ids of a span, its trace and its parent span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    /// The `tracestate` to pass on.
    pub(super) state: Option<String>,
}

/// The `traceparent` of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parent {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

impl Context {
    /// A new span in the trace of a request with these fields, or in a new trace. `None` if the client does not record
    /// its trace: a trace is recorded completely or not at all.
    pub(super) fn of(fields: &[Field]) -> Option<Self> {
        let parent = parent(fields);
        if parent.is_some_and(|parent| !parent.sampled) {
            return None;
        }
        let state = single(fields, "tracestate").and_then(|state| std::str::from_utf8(state).ok());
        let is_state = |state: &&str| {
            parent.is_some() && state.len() <= MAX_STATE && !state.contains(char::is_control)
        };
        Some(Self {
            trace: parent.map_or_else(random, |parent| Some(parent.trace))?,
            span: random()?,
            parent: parent.map(|parent| parent.span),
            state: state.filter(is_state).map(str::to_owned),
        })
    }
}

/// `None` if the system provides no random numbers; then there are no traces.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A malformed parent starts a new trace (§3.2.2.3, §4.3).
fn parent(fields: &[Field]) -> Option<Parent> {
    let value = std::str::from_utf8(single(fields, "traceparent")?).ok()?;
    let mut parts = value.split('-');
    let version: [u8; 1] = hex(parts.next()?)?;
    let trace = hex(parts.next()?)?;
    let span = hex(parts.next()?)?;
    let [flags]: [u8; 1] = hex(parts.next()?)?;
    // §3.2.2: version 255 is invalid, version 0 has four parts, later ones may have more. All-zero ids are invalid.
    let is_version = version == [0] && parts.next().is_none() || (1..0xff).contains(&version[0]);
    let is_valid = is_version && trace != [0; 16] && span != [0; 8];
    is_valid.then_some(Parent {
        trace,
        span,
        sampled: flags & 1 == 1,
    })
}

/// The value of a field that occurs exactly once.
fn single<'a>(fields: &'a [Field], name: &str) -> Option<&'a [u8]> {
    let mut values = fields
        .iter()
        .filter(|(field, _)| field.eq_ignore_ascii_case(name));
    let (_, value) = values.next()?;
    values.next().is_none().then_some(value)
}

/// Lower-case hex digits, exactly as many as needed.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn of(values: &[&str]) -> Option<Context> {
        let fields = values
            .iter()
            .map(|value| ("Traceparent".to_owned(), value.as_bytes().to_vec()));
        Context::of(&fields.collect::<Vec<_>>())
    }

    #[test]
    fn continues_the_clients_trace() {
        let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
        for parent in [&*parent, &format!("cc{}-later", &parent[2..])] {
            let context = of(&[parent]);
            let context = context.as_ref();
            assert_eq!(context.map(|it| it.trace[0]), Some(0x0a), "{parent}");
            let expected = Some([0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
            assert_eq!(context.and_then(|it| it.parent), expected);
        }
        assert_ne!(
            of(&[&parent]).map(|it| it.span),
            of(&[&parent]).map(|it| it.span)
        );
    }

    #[test]
    fn an_unrecorded_trace_stays_unrecorded() {
        assert_eq!(of(&[&format!("00-{TRACE}-b7ad6b7169203331-00")]), None);
    }

    #[test]
    fn malformed_parents_start_a_new_trace() {
        let good = format!("00-{TRACE}-b7ad6b7169203331-00");
        for bad in [
            "",
            "00",
            &good.to_uppercase(),
            &good.replace("00-0a", "ff-0a"),
            &format!("{good}-more"),
            &good.replace(TRACE, &"0".repeat(32)),
            &good.replace("b7ad6b7169203331", &"0".repeat(16)),
            &good[..good.len() - 1],
            "00-ä-b7ad6b7169203331-00",
        ] {
            let context = of(&[bad]);
            assert!(context.is_some_and(|it| it.parent.is_none()), "{bad}");
        }
        assert!(of(&[&good, &good]).is_some_and(|it| it.parent.is_none()));
        assert!(of(&[]).is_some_and(|it| it.trace != [0; 16] && it.state.is_none()));
    }

    #[test]
    fn state_is_passed_on_only_with_the_trace() {
        let state = ("tracestate".to_owned(), b"a=1,b=2".to_vec());
        let parent = format!("00-{TRACE}-b7ad6b7169203331-01").into_bytes();
        let parent = ("traceparent".to_owned(), parent);
        let context = Context::of(&[parent, state.clone()]);
        assert_eq!(context.and_then(|it| it.state), Some("a=1,b=2".to_owned()));
        assert!(Context::of(&[state]).is_some_and(|it| it.state.is_none()));
    }
}
