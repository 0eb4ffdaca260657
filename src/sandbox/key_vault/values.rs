//! The values that the key vaults hold. They must come back after a restart, so they are kept, in a
//! file of their own and sealed: nothing of a value stands in the world, its journal or the log.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::sandbox::{files, random};

/// All values by their hashes, and the key that seals them.
pub(in crate::sandbox) struct Values {
    by_hash: HashMap<String, String>,
    key: LessSafeKey,
    file: Option<File>,
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Values").field("held", &self.by_hash.len()).finish_non_exhaustive()
    }
}

impl Values {
    /// Those that a folder keeps; without one they live in memory.
    ///
    /// # Errors
    /// When a file cannot be read or written, or its key does not open it.
    pub(in crate::sandbox) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let Some(dir) = dir else {
            let key = key(&random::bytes::<32>())?;
            return Ok(Self { by_hash: HashMap::new(), key, file: None });
        };
        let key_path = dir.join("vault.key");
        let bytes = match fs::read(&key_path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let bytes = random::bytes::<32>().to_vec();
                files::write_private(&key_path, &bytes)?;
                bytes
            }
            Err(e) => return Err(e),
        };
        let path = dir.join("vault.values");
        let mut values =
            Self { by_hash: HashMap::new(), key: key(&bytes)?, file: Some(files::append(&path)?) };
        for line in fs::read_to_string(&path)?.lines() {
            // A torn last line was never answered.
            if let Some(value) = values.open_sealed(line) {
                values.by_hash.insert(random::secret_hash(&value), value);
            }
        }
        Ok(values)
    }

    /// Keeps a value; gives back its hash.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(in crate::sandbox) fn keep(&mut self, value: &str) -> io::Result<String> {
        let hash = random::secret_hash(value);
        if self.by_hash.contains_key(&hash) {
            return Ok(hash);
        }
        let mut line = self.seal(value);
        line.push('\n');
        if let Some(file) = &mut self.file {
            file.write_all(line.as_bytes())?;
        }
        self.by_hash.insert(hash.clone(), value.to_owned());
        Ok(hash)
    }

    /// The value of that hash.
    pub(in crate::sandbox) fn get(&self, hash: &str) -> Option<&str> {
        self.by_hash.get(hash).map(String::as_str)
    }

    /// Seals a text so that nobody outside reads or changes it.
    pub(in crate::sandbox) fn seal(&self, text: &str) -> String {
        let nonce = random::bytes::<NONCE_LEN>();
        let mut sealed = text.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut sealed,
            )
            .expect("a text of this length can be sealed");
        URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat())
    }

    /// The same, opened.
    pub(in crate::sandbox) fn open_sealed(&self, text: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.key.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

fn key(bytes: &[u8]) -> io::Result<LessSafeKey> {
    let broken = |_| io::Error::new(io::ErrorKind::InvalidData, "vault.key is no key");
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).map_err(broken)?))
}
