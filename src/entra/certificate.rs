//! Certificates that an app signs its assertions with: made here, their keys kept in the vault and
//! nowhere else (<https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials>).
//!
//! The key is RSA and the signature PS256: what that page says an assertion should have; keys on
//! elliptic curves it does not name.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, KeyUsagePurpose};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
    signature::{RSA_PSS_SHA256, RsaKeyPair},
};
use rsa::{
    pkcs8::EncodePrivateKey,
    rand_core::{TryCryptoRng, TryRng},
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::json;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    failure::{Cause, Failure},
    ids::ClientId,
    secret::Secret,
};

/// The length of a key, in bits.
const BITS: usize = 2048;
/// How long an assertion is good: it is used at once.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(5);

/// A certificate and its key that were just made.
#[derive(Debug)]
pub struct NewCertificate {
    /// Both, as PEM: what the vault keeps.
    pub kept: Secret<String>,
    /// The certificate alone (DER): what the directory is told.
    pub public: Vec<u8>,
}

/// Makes a key, and a certificate that is signed with it and good between these moments. Takes a
/// while: for a thread that may wait.
///
/// # Errors
/// This machine gives no randomness.
pub fn make_certificate(
    name: &str,
    start: Timestamp,
    end: Timestamp,
) -> Result<NewCertificate, Failure> {
    let not_made = |why: &dyn fmt::Display| {
        Failure::new(Cause::Guard, format!("a certificate could not be made: {why}"))
    };
    let key = rsa::PrivateKey::new(&mut Randomness(SystemRandom::new()), BITS)
        .map_err(|error| not_made(&error))?;
    let der = key.to_pkcs8_der().map_err(|error| not_made(&error))?;
    let der = PrivatePkcs8KeyDer::from(der.as_bytes());
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256)
        .map_err(|error| not_made(&error))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let moment = |at: Timestamp| {
        epoch + Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default())
    };
    (params.not_before, params.not_after) = (moment(start), moment(end));
    let certificate = params.self_signed(&key).map_err(|error| not_made(&error))?;
    let key = Zeroizing::new(key.serialize_pem());
    Ok(NewCertificate {
        kept: Secret::new(format!("{}{}", certificate.pem(), *key)),
        public: certificate.der().to_vec(),
    })
}

/// The system's randomness, as the maker of keys asks for it.
struct Randomness(SystemRandom);

impl TryRng for Randomness {
    type Error = ring::error::Unspecified;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(bytes)
    }
}

impl TryCryptoRng for Randomness {}

/// A key that signs assertions, and the thumbprint of its certificate.
pub struct SigningKey {
    key: RsaKeyPair,
    thumbprint: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads what the vault kept of a certificate.
    ///
    /// # Errors
    /// It is none; of its content nothing is said.
    pub fn read(kept: &Secret<String>) -> Result<Self, String> {
        let none = || "what the vault holds is no certificate with its key".to_owned();
        let pem = kept.expose().as_bytes();
        let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| none())?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| none())?;
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(|_| none())?;
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate));
        Ok(Self { key, thumbprint })
    }

    /// An assertion of an app for a token endpoint, good from now on for some minutes.
    pub(super) fn assertion(
        &self,
        client: ClientId,
        endpoint: &Url,
        now: Timestamp,
    ) -> Secret<String> {
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = json!({
            "aud": endpoint.as_str(),
            "iss": client,
            "sub": client,
            "jti": Uuid::new_v4(),
            "nbf": now.as_second(),
            "iat": now.as_second(),
            "exp": now.as_second() + GOOD_FOR.as_secs(),
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut token = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .expect("a key of 2048 bits or more signs a short text, given randomness");
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Secret::new(token)
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{KeyPair as _, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    #[test]
    fn an_assertion_is_signed_by_the_key_whose_certificate_it_names() {
        let (start, end) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(86_400).unwrap());
        let made = make_certificate("tenantry test", start, end).unwrap();
        let key = SigningKey::read(&made.kept).unwrap();
        let client = ClientId::from_uuid(Uuid::from_u128(1));
        let endpoint = Url::parse("https://login.example/t/oauth2/v2.0/token").unwrap();
        let token = key.assertion(client, &endpoint, Timestamp::from_second(1_000).unwrap());
        let (signed, signature) = token.expose().rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.key.public_key());
        public.verify(signed.as_bytes(), &signature).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let read = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(read(header)["x5t#S256"], URL_SAFE_NO_PAD.encode(digest(&SHA256, &made.public)));
        assert_eq!(read(claims)["aud"], endpoint.as_str());
        let (begins, ends) = (read(claims)["nbf"].as_i64(), read(claims)["exp"].as_i64());
        assert_eq!(begins.zip(ends), Some((1_000, 1_300)));

        // The certificate says what it was asked to say, and nothing of the key is in it or shown.
        let (_, read) = x509_parser::parse_x509_certificate(&made.public).unwrap();
        assert_eq!(read.validity().not_after.timestamp(), 86_400);
        assert_eq!(read.subject().to_string(), "CN=tenantry test");
        assert!(!format!("{made:?}{key:?}").contains("PRIVATE"));
        for broken in ["", "-----BEGIN CERTIFICATE-----\n", &made.kept.expose()[100..]] {
            assert!(SigningKey::read(&Secret::new(broken.to_owned())).is_err());
        }
    }
}
