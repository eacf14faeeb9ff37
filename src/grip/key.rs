use alloc::string::String;
use alloc::vec::Vec;
use core::{fmt, str};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::Value;
use sha2::Sha256;

/// A key to verify tokens with. Its kind determines the algorithm of a token: what the token itself claims is
/// only compared (RFC 8725 §3.1).
#[derive(Clone)]
pub enum Key {
    /// A secret shared with the proxy.
    Hs256(Vec<u8>),
    /// The proxy's public key.
    Es256(VerifyingKey),
}

impl fmt::Debug for Key {
    /// Does not show the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm())
    }
}

impl Key {
    /// Reads a key in one of its configured forms:
    ///
    /// - a public key of the curve P-256, in PEM (`-----BEGIN PUBLIC KEY-----`) or as a JWK (RFC 7517, which
    ///   begins with `{`);
    /// - any other text is a secret;
    /// - after `base64:`, any of these in base64 (a secret may be any bytes then).
    ///
    /// # Errors
    ///
    /// If it is empty, or malformed for the form that it appears to have. A public key is never taken for a
    /// secret: everyone knows it, and could sign with it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = match text.strip_prefix("base64:") {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| KeyError::Base64)?,
            None => text.as_bytes().into(),
        };
        match str::from_utf8(&bytes).map(str::trim) {
            Ok(pem) if pem.starts_with("-----BEGIN") => from_pem(pem),
            Ok(jwk) if jwk.starts_with('{') => from_jwk(jwk),
            Ok("") => Err(KeyError::Empty),
            _ => Ok(Self::Hs256(bytes)),
        }
    }

    pub(super) const fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::Es256(_) => "ES256",
        }
    }

    /// Verifies a signature in constant time.
    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hs256(secret) => {
                hmac(secret, signed).is_some_and(|mac| mac.verify_slice(signature).is_ok())
            }
            Self::Es256(key) => Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(signed, &signature).is_ok()),
        }
    }
}

/// Never `None`: HMAC takes keys of any length.
pub(super) fn hmac(secret: &[u8], signed: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(signed);
    Some(mac)
}

/// RFC 7468 §13; inside is RFC 5480 §2, whose bytes before the point are always the same for this curve.
fn from_pem(pem: &str) -> Result<Key, KeyError> {
    const PREFIX: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
        \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    let inside = pem
        .strip_prefix("-----BEGIN PUBLIC KEY-----")
        .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"))
        .ok_or(KeyError::Pem)?;
    let inside: String = inside.split_ascii_whitespace().collect();
    let der = STANDARD.decode(inside).map_err(|_| KeyError::Pem)?;
    let point = der.strip_prefix(PREFIX).ok_or(KeyError::Pem)?;
    from_point(point).ok_or(KeyError::Pem)
}

/// RFC 7518 §6.2.1.
fn from_jwk(jwk: &str) -> Result<Key, KeyError> {
    let jwk: Value = serde_json::from_str(jwk).map_err(|_| KeyError::Jwk)?;
    let coordinate = |name| {
        let bytes = URL_SAFE_NO_PAD.decode(jwk[name].as_str()?).ok()?;
        (bytes.len() == 32).then_some(bytes)
    };
    let is_p256 = jwk["kty"] == "EC" && jwk["crv"] == "P-256";
    let (Some(x), Some(y), true) = (coordinate("x"), coordinate("y"), is_p256) else {
        return Err(KeyError::Jwk);
    };
    // SEC 1 §2.3.3, uncompressed.
    from_point(&[&[4], &x[..], &y[..]].concat()).ok_or(KeyError::Jwk)
}

fn from_point(point: &[u8]) -> Option<Key> {
    VerifyingKey::from_sec1_bytes(point).map(Key::Es256).ok()
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The key is empty.
    Empty,
    /// The text after `base64:` is not base64.
    Base64,
    /// PEM, but not a public key of the curve P-256.
    Pem,
    /// JSON, but not a JWK of the curve P-256.
    Jwk,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::Base64 => "the text after base64: is not base64",
            Self::Pem => "it is PEM, but not a PUBLIC KEY of the curve P-256",
            Self::Jwk => "it is JSON, but not a JWK of the curve P-256",
        })
    }
}

impl core::error::Error for KeyError {}
