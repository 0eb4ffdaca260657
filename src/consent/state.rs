//! The `state` of one question: what ties an answer to the tenant, the person and the run that
//! asked (<https://datatracker.ietf.org/doc/html/rfc6749#section-10.12>).

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};

use crate::{
    failure::{Cause, Failure},
    secret::Secret,
};

/// 256 random bits, in letters that need no escape in an address.
#[derive(Clone)]
pub(super) struct Token(Secret<String>);

impl Token {
    /// A new one.
    pub(super) fn fresh() -> Result<Self, Failure> {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Failure::new(Cause::Guard, "this system gives no random numbers"))?;
        Ok(Self(Secret::new(URL_SAFE_NO_PAD.encode(bytes))))
    }

    pub(super) fn secret(&self) -> &Secret<String> {
        &self.0
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Whether it is this one, in a time that tells nothing of where they differ: both are hashed
    /// under this token as the key, and the hashes compared by ring.
    pub(super) fn is(&self, given: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.expose().as_bytes());
        let ours = hmac::sign(&key, self.expose().as_bytes());
        hmac::verify(&key, given.as_bytes(), ours.as_ref()).is_ok()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_new_long_equal_only_to_itself_and_not_printed() {
        let (one, two) = (Token::fresh().unwrap(), Token::fresh().unwrap());
        assert_eq!(one.expose().len(), 43);
        assert!(one.is(one.expose()) && !one.is(two.expose()));
        for other in ["", &one.expose()[..42], &format!("{}A", one.expose())] {
            assert!(!one.is(other), "{other}");
        }
        assert_eq!(format!("{one:?}"), "Token(…)");
    }
}
