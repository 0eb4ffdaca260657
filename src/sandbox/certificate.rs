//! X.509 certificates as a directory reads them: the key, the dates, the thumbprints.

use jiff::Timestamp;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a certificate says.
pub(in crate::sandbox) struct Certificate {
    /// The RSA key (PKCS #1), where it is one.
    pub(in crate::sandbox) rsa: Option<Vec<u8>>,
    pub(in crate::sandbox) not_before: Timestamp,
    pub(in crate::sandbox) not_after: Timestamp,
    pub(in crate::sandbox) sha1: Vec<u8>,
    pub(in crate::sandbox) sha256: Vec<u8>,
    /// The subject's name.
    pub(in crate::sandbox) subject: String,
    /// Whether it names nobody but itself as its issuer.
    pub(in crate::sandbox) self_issued: bool,
}

impl Certificate {
    /// Reads one; nothing where the bytes are none, or more than one.
    pub(in crate::sandbox) fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let key = certificate.public_key();
        // rsaEncryption (RFC 3279, 2.3.1).
        let is_rsa = key.algorithm.algorithm.to_id_string() == "1.2.840.113549.1.1.1";
        let moment = |seconds| Timestamp::from_second(seconds).ok();
        Some(Self {
            rsa: is_rsa.then(|| key.subject_public_key.data.to_vec()),
            not_before: moment(certificate.validity().not_before.timestamp())?,
            not_after: moment(certificate.validity().not_after.timestamp())?,
            sha1: digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref().to_vec(),
            sha256: digest(&SHA256, der).as_ref().to_vec(),
            subject: certificate.subject().to_string(),
            self_issued: certificate.subject() == certificate.issuer(),
        })
    }
}
