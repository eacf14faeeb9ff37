//! The outermost sections of a WebAssembly binary.

/// Whether a component exports this name, according to its outermost sections (component model, `Binary.md`). Quick,
/// unlike parsing all of a large component.
pub(super) fn exports(component: &[u8], name: &str) -> bool {
    const EXPORTS: u8 = 11;
    let mut rest = component.get(8..).unwrap_or_default();
    while let Some((id, contents, after)) = section(rest) {
        if id == EXPORTS
            && contents
                .windows(name.len())
                .any(|part| part == name.as_bytes())
        {
            return true;
        }
        rest = after;
    }
    false
}

/// The first custom section whose name begins with `prefix`, whole (core specification, section 5.5.3).
pub fn custom<'a>(module: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    const CUSTOM: u8 = 0;
    let mut rest = module.get(8..)?;
    loop {
        let (id, contents, after) = section(rest)?;
        if id == CUSTOM && is_named(contents, prefix) {
            return rest.get(..rest.len() - after.len());
        }
        rest = after;
    }
}

fn is_named(contents: &[u8], prefix: &str) -> bool {
    leb128(contents)
        .and_then(|(len, rest)| rest.get(..len))
        .is_some_and(|name| name.starts_with(prefix.as_bytes()))
}

/// Splits off the first section: its number, its contents, the rest.
fn section(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&id, rest) = bytes.split_first()?;
    let (size, rest) = leb128(rest)?;
    let (contents, after) = rest.split_at_checked(size)?;
    Some((id, contents, after))
}

/// A number of up to 32 bits in LEB128: 7 bits per byte, the least significant first.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let len = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at_checked(len)?;
    let number = number
        .iter()
        .rev()
        .fold(0, |high, byte| high << 7 | u64::from(byte & 0x7f));
    Some((usize::try_from(number).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_sections() {
        assert_eq!(leb128(&[0xe5, 0x8e, 0x26, 7]), Some((624_485, &[7][..])));
        assert_eq!(leb128(&[0x80]), None);
        assert_eq!(leb128(&[0x80; 9]), None);
    }
}
