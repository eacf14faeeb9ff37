//! The tokens that GRIP signs with: a subset of JSON Web Tokens (RFC 7519), signed (RFC 7515) with
//! HS256 or ES256 (RFC 7518 §3.2, §3.4).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;
use serde_json::{Value, json};

use super::key::{Key, hmac};

/// The longest token that is accepted, in bytes. A proxy's have about 130.
const MAX_TOKEN: usize = 4096;

/// Checks that a token is signed with this key, is valid at this time (seconds since 1970, without leap
/// seconds), and is by this issuer, if one is given.
///
/// # Errors
///
/// The first thing that is wrong. The claims are not read before the signature is verified.
pub fn verify(token: &[u8], key: &Key, issuer: Option<&str>, now: u64) -> Result<(), TokenError> {
    let claims = signed_claims(token, key)?;
    // RFC 7519 §4.1.4: "MUST be before the expiration date/time". Required here, since GRIP always has it.
    let expires = claims["exp"].as_f64().ok_or(TokenError::Expired)?;
    if seconds(now) >= expires {
        return Err(TokenError::Expired);
    }
    // RFC 7519 §4.1.5.
    let begins = match &claims["nbf"] {
        Value::Null => 0.0,
        begins => begins.as_f64().ok_or(TokenError::NotYet)?,
    };
    if seconds(now) < begins {
        return Err(TokenError::NotYet);
    }
    match issuer {
        Some(issuer) if claims["iss"] != issuer => Err(TokenError::Issuer),
        _ => Ok(()),
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "exact for 285 million years; NumericDate may have a fraction"
)]
fn seconds(now: u64) -> f64 {
    now as f64
}

fn signed_claims(token: &[u8], key: &Key) -> Result<Value, TokenError> {
    if token.len() > MAX_TOKEN {
        return Err(TokenError::Malformed);
    }
    // RFC 7515 §7.1: header "." payload "." signature.
    let mut parts = token.rsplitn(2, |byte| *byte == b'.');
    let (Some(signature), Some(signed)) = (parts.next(), parts.next()) else {
        return Err(TokenError::Malformed);
    };
    let mut parts = signed.split(|byte| *byte == b'.');
    let (Some(header), Some(claims), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(TokenError::Malformed);
    };
    let header = object(header)?;
    // RFC 8725 §3.1: the key determines the algorithm, whatever the token says.
    if header["alg"] != key.algorithm() {
        return Err(TokenError::Algorithm);
    }
    // RFC 7515 §4.1.11: extensions that must be understood, and none is.
    if !header["crit"].is_null() {
        return Err(TokenError::Malformed);
    }
    if !key.verifies(signed, &decode(signature)?) {
        return Err(TokenError::Signature);
    }
    object(claims)
}

fn decode(part: &[u8]) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed)
}

fn object(part: &[u8]) -> Result<Value, TokenError> {
    let value: Value = serde_json::from_slice(&decode(part)?).map_err(|_| TokenError::Malformed)?;
    if !value.is_object() {
        return Err(TokenError::Malformed);
    }
    Ok(value)
}

/// Makes a token of an issuer, signed with HS256 and valid for an hour.
pub(super) fn sign(secret: &[u8], issuer: &str, now: u64) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(format!("{value}"));
    let header = encode(json!({ "alg": "HS256", "typ": "JWT" }));
    let claims = encode(json!({ "iss": issuer, "exp": now.saturating_add(3600) }));
    let signed = format!("{header}.{claims}");
    let signature = hmac(secret, signed.as_bytes())
        .map(|mac| URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
        .unwrap_or_default();
    format!("{signed}.{signature}")
}

/// Why a token is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// There is none, or more than one.
    Missing,
    /// It is not a signed JSON Web Token, or it has extensions.
    Malformed,
    /// It is signed with another algorithm than the key's.
    Algorithm,
    /// Its signature is not by this key.
    Signature,
    /// It has expired, or does not say when it does.
    Expired,
    /// It is not valid yet.
    NotYet,
    /// It is by another issuer.
    Issuer,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => {
                "Grip-Sig is missing or repeated: do requests come through the proxy, signed?"
            }
            Self::Malformed => "Grip-Sig is not a JSON Web Token",
            Self::Algorithm => {
                "Grip-Sig is signed with another algorithm than the configured key's"
            }
            Self::Signature => "Grip-Sig is not signed with the configured key",
            Self::Expired => "Grip-Sig has expired, or never does: do the clocks agree?",
            Self::NotYet => "Grip-Sig is not valid yet: do the clocks agree?",
            Self::Issuer => "Grip-Sig is not by the configured issuer",
        })
    }
}

impl core::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use p256::ecdsa::signature::Signer;
    use p256::ecdsa::{Signature, SigningKey};

    use super::*;
    use crate::grip::KeyError;

    const NOW: u64 = 1_800_000_000;

    fn secret() -> Key {
        Key::parse("a secret of the proxy's").expect("a key")
    }

    fn signing() -> SigningKey {
        SigningKey::from_slice(&[7; 32]).expect("a key")
    }

    fn public() -> Key {
        Key::Es256(*signing().verifying_key())
    }

    fn hs256(secret: &[u8], header: &str, claims: &str) -> String {
        let signed = signed(header, claims);
        let mac = hmac(secret, signed.as_bytes()).expect("a key");
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        format!("{signed}.{signature}")
    }

    fn es256(header: &str, claims: &str) -> String {
        let signed = signed(header, claims);
        let signature: Signature = signing().sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn signed(header: &str, claims: &str) -> String {
        let encode = |part| URL_SAFE_NO_PAD.encode(part);
        format!("{}.{}", encode(header), encode(claims))
    }

    const HS: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
    const ES: &str = r#"{"alg":"ES256"}"#;
    const CLAIMS: &str = r#"{"iss":"pushpin","exp":1800000001}"#;

    /// RFC 7515 appendices A.1 and A.3: not made by this code.
    #[test]
    fn the_examples_of_the_rfc() {
        let hs = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = Key::parse("base64:AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow==").expect("a key");
        assert_eq!(
            verify(hs.as_bytes(), &key, Some("joe"), 1_300_819_379),
            Ok(())
        );
        let es = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let key = Key::parse(r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#).expect("a key");
        assert_eq!(
            verify(es.as_bytes(), &key, Some("joe"), 1_300_819_379),
            Ok(())
        );
        assert_eq!(
            verify(es.as_bytes(), &key, None, 1_300_819_380),
            Err(TokenError::Expired)
        );
    }

    #[test]
    fn accepts_tokens_signed_with_the_key() {
        let token = hs256(b"a secret of the proxy's", HS, CLAIMS);
        assert_eq!(
            verify(token.as_bytes(), &secret(), Some("pushpin"), NOW),
            Ok(())
        );
        let token = es256(ES, CLAIMS);
        assert_eq!(
            verify(token.as_bytes(), &public(), Some("pushpin"), NOW),
            Ok(())
        );
        let token = sign(b"a secret of the proxy's", "pushpin", NOW);
        assert_eq!(
            verify(token.as_bytes(), &secret(), Some("pushpin"), NOW),
            Ok(())
        );
    }

    #[test]
    fn refuses_all_other_tokens() {
        let s = b"a secret of the proxy's";
        // The public key as a secret, which fools code that lets the token choose the algorithm (RFC 8725
        // §2.1).
        let Key::Es256(key) = public() else {
            panic!("a public key");
        };
        let point = key.to_sec1_point(false);
        for (token, key, error) in [
            (hs256(b"other", HS, CLAIMS), secret(), TokenError::Signature),
            (
                hs256(point.as_bytes(), HS, CLAIMS),
                public(),
                TokenError::Algorithm,
            ),
            (hs256(s, ES, CLAIMS), public(), TokenError::Signature),
            (es256(ES, CLAIMS), secret(), TokenError::Algorithm),
            (es256(HS, CLAIMS), secret(), TokenError::Signature),
            (
                hs256(s, r#"{"alg":"none"}"#, CLAIMS),
                secret(),
                TokenError::Algorithm,
            ),
            (
                hs256(s, r#"{"alg":"hs256"}"#, CLAIMS),
                secret(),
                TokenError::Algorithm,
            ),
            (hs256(s, "{}", CLAIMS), secret(), TokenError::Algorithm),
            (
                hs256(s, r#"["HS256"]"#, CLAIMS),
                secret(),
                TokenError::Malformed,
            ),
            (
                hs256(s, r#"{"alg":"HS256","crit":["b64"]}"#, CLAIMS),
                secret(),
                TokenError::Malformed,
            ),
            (
                format!("{}.", signed(r#"{"alg":"none"}"#, CLAIMS)),
                secret(),
                TokenError::Algorithm,
            ),
            (
                format!("{}.", signed(HS, CLAIMS)),
                secret(),
                TokenError::Signature,
            ),
            (
                hs256(s, HS, r#"{"exp":1800000000}"#),
                secret(),
                TokenError::Expired,
            ),
            (hs256(s, HS, r#"{"exp":-1}"#), secret(), TokenError::Expired),
            (
                hs256(s, HS, r#"{"exp":"1900000000"}"#),
                secret(),
                TokenError::Expired,
            ),
            (hs256(s, HS, "{}"), secret(), TokenError::Expired),
            (hs256(s, HS, "[1]"), secret(), TokenError::Malformed),
            (
                hs256(s, HS, r#"{"exp":1900000000,"nbf":1800000001}"#),
                secret(),
                TokenError::NotYet,
            ),
            (
                hs256(s, HS, r#"{"exp":1900000000,"nbf":"0"}"#),
                secret(),
                TokenError::NotYet,
            ),
            (
                hs256(s, HS, r#"{"exp":1900000000,"iss":"other"}"#),
                secret(),
                TokenError::Issuer,
            ),
            (
                hs256(s, HS, r#"{"exp":1900000000}"#),
                secret(),
                TokenError::Issuer,
            ),
            (String::new(), secret(), TokenError::Malformed),
            ("..".into(), secret(), TokenError::Malformed),
            ("a.b".into(), secret(), TokenError::Malformed),
            (
                format!("x.{}", hs256(s, HS, CLAIMS)),
                secret(),
                TokenError::Malformed,
            ),
            (
                format!("{}=", hs256(s, HS, CLAIMS)),
                secret(),
                TokenError::Malformed,
            ),
            ("x".repeat(5000), secret(), TokenError::Malformed),
        ] {
            let result = verify(token.as_bytes(), &key, Some("pushpin"), NOW);
            assert_eq!(result, Err(error), "{token}");
        }
    }

    #[test]
    fn no_byte_of_a_token_may_differ() {
        for (token, key) in [
            (hs256(b"a secret of the proxy's", HS, CLAIMS), secret()),
            (es256(ES, CLAIMS), public()),
        ] {
            for place in 0..token.len() {
                let mut changed = token.clone().into_bytes();
                changed[place] ^= 1;
                assert!(verify(&changed, &key, None, NOW).is_err(), "{place}");
            }
        }
    }

    const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\
        f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn keys() {
        let jwk = r#" {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
        let encoded = format!("base64:{}", STANDARD.encode(PEM));
        for text in [PEM, jwk, &encoded] {
            assert!(matches!(Key::parse(text), Ok(Key::Es256(_))), "{text}");
        }
        for (text, secret) in [("x", &b"x"[..]), (" x", b" x"), ("base64:/w==", b"\xff")] {
            assert!(matches!(Key::parse(text), Ok(Key::Hs256(own)) if own == secret));
        }
        let private = PEM.replace("PUBLIC", "EC PRIVATE");
        let cut = PEM.replace("AE", "");
        let off_the_curve = jwk.replace("f83O", "f83P");
        let rsa = jwk.replace("EC", "RSA");
        for (text, error) in [
            ("", KeyError::Empty),
            (" \n", KeyError::Empty),
            ("base64:", KeyError::Empty),
            ("base64:!", KeyError::Base64),
            (&private, KeyError::Pem),
            (&cut, KeyError::Pem),
            ("-----BEGIN", KeyError::Pem),
            (&off_the_curve, KeyError::Jwk),
            (&rsa, KeyError::Jwk),
            ("{", KeyError::Jwk),
        ] {
            assert_eq!(Key::parse(text).err(), Some(error), "{text}");
        }
    }
}
