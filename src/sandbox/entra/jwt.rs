//! Access tokens: made, signed, checked.
//!
//! The signature is ES256: a key for it can be made in a moment, and every library that checks
//! signatures by the published keys knows it. (Microsoft's are RS256; clients must treat tokens
//! as opaque, <https://learn.microsoft.com/en-us/entra/identity-platform/access-tokens>.)

use std::io;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
        UnparsedPublicKey,
    },
};
use serde_json::{Value, json};

use crate::sandbox::random;

/// The key that signs tokens.
pub(in crate::sandbox) struct Signer {
    pair: EcdsaKeyPair,
    key_id: String,
}

/// What came out of a token that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Rejected {
    /// Not three base64url parts with JSON in them.
    Malformed,
    /// Signed by someone else.
    Signature,
}

impl Signer {
    /// Makes a key: the signer, and the PKCS #8 document to keep.
    pub(in crate::sandbox) fn generate() -> io::Result<(Self, Vec<u8>)> {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|_| io::Error::other("no signing key could be made"))?;
        let bytes = document.as_ref().to_vec();
        Ok((Self::from_pkcs8(&bytes)?, bytes))
    }

    /// Takes a key that was kept.
    pub(in crate::sandbox) fn from_pkcs8(document: &[u8]) -> io::Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            document,
            &SystemRandom::new(),
        )
        .map_err(|e| io::Error::other(format!("the kept signing key is none: {e}")))?;
        let public = pair.public_key().as_ref();
        let key_id = random::secret_hash(&URL_SAFE_NO_PAD.encode(public))[7..34].to_owned();
        Ok(Self { pair, key_id })
    }

    /// `header.payload.signature`.
    pub(in crate::sandbox) fn sign(&self, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": "ES256", "x5t": self.key_id, "kid": self.key_id});
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self
            .pair
            .sign(&SystemRandom::new(), token.as_bytes())
            .expect("signing fails only without randomness");
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature.as_ref()));
        token
    }

    /// The claims of a token of ours; the caller still looks at times and audience.
    pub(in crate::sandbox) fn verify(&self, token: &str) -> Result<Value, Rejected> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejected::Malformed)?;
        let claims = claims(token).ok_or(Rejected::Malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Rejected::Malformed)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| Rejected::Signature)?;
        Ok(claims)
    }

    /// The published key set (RFC 7517).
    pub(in crate::sandbox) fn key_set(&self) -> Value {
        // An uncompressed point: 0x04, x, y.
        let point = self.pair.public_key().as_ref();
        json!({"keys": [{
            "kty": "EC",
            "use": "sig",
            "alg": "ES256",
            "crv": "P-256",
            "kid": self.key_id,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        }]})
    }
}

/// The claims of any JWT-shaped text, unchecked.
pub(in crate::sandbox) fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let header = decode(parts.next()?)?;
    let payload = decode(parts.next()?)?;
    parts.next().filter(|s| !s.is_empty())?;
    if parts.next().is_some() || !header.is_object() || !payload.is_object() {
        return None;
    }
    Some(payload)
}

/// The header of any JWT-shaped text, unchecked.
pub(in crate::sandbox) fn header(token: &str) -> Option<Value> {
    decode(token.split('.').next()?)
}

fn decode(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_unchanged_tokens_are_good() {
        let (signer, document) = Signer::generate().unwrap();
        let token = signer.sign(&json!({"tid": "t"}));
        let kept = Signer::from_pkcs8(&document).unwrap();
        assert_eq!(kept.verify(&token).unwrap()["tid"], "t");
        assert_eq!(kept.key_set(), signer.key_set());

        let (stranger, _) = Signer::generate().unwrap();
        assert_eq!(stranger.verify(&token), Err(Rejected::Signature));

        let mut parts: Vec<&str> = token.split('.').collect();
        let forged = URL_SAFE_NO_PAD.encode(r#"{"tid":"other"}"#);
        parts[1] = &forged;
        assert_eq!(signer.verify(&parts.join(".")), Err(Rejected::Signature));
        for bad in ["", "a.b.c", "..", "x", "e30.e30."] {
            assert_eq!(signer.verify(bad), Err(Rejected::Malformed), "{bad}");
        }
    }
}
