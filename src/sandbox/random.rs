//! Fresh ids and secrets, and ids that are derived from names.

use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

/// A fresh GUID.
pub(super) fn guid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A GUID that is always the same for the same words: worlds are reproducible.
pub(super) fn derived_guid(words: &[&str]) -> String {
    let digest = Sha256::digest(words.join("\u{1f}").as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    // The version and variant bits of a random GUID: strict readers look at them.
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    uuid::Uuid::from_bytes(bytes).to_string()
}

/// Random bytes from the system.
///
/// # Panics
/// When the system has no randomness: nothing sensible can go on then.
pub(super) fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0_u8; N];
    SystemRandom::new().fill(&mut out).expect("the system gives random bytes");
    out
}

/// A client secret as Microsoft makes them: 40 characters, `8Q~` after the first three.
pub(super) fn client_secret() -> String {
    // 64 characters, so that a byte's six bits choose one without a bias. No `-` or `.` at the
    // start: a secret must survive being a command's argument by mistake.
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_~";
    let raw: Vec<char> =
        bytes::<37>().iter().map(|b| char::from(ALPHABET[usize::from(b & 0x3f)])).collect();
    let mut text: String = raw[..3].iter().collect();
    text.push_str("8Q~");
    text.extend(&raw[3..]);
    text
}

/// What the world keeps of a secret: `sha256:` and the digest in hex. Secrets of the sandbox are
/// random and long, so no salt is needed; and a test can compare a vault with a world.
pub fn secret_hash(secret: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in digest {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_are_stable_and_distinct() {
        assert_eq!(derived_guid(&["a", "b"]), derived_guid(&["a", "b"]));
        assert_ne!(derived_guid(&["a", "b"]), derived_guid(&["ab"]));
    }

    #[test]
    fn secrets_have_microsofts_shape() {
        let secret = client_secret();
        assert_eq!(secret.len(), 40);
        assert_eq!(&secret[3..6], "8Q~");
        assert_ne!(secret, client_secret());
    }
}
