//! The sandbox's own certificate authority and the certificate that it serves with.

use std::{fs, io, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::files;

/// What the certificate is good for: loopback, and the public hosts whose names a client may
/// point at loopback by its own resolver.
const NAMES: &[&str] = &[
    "localhost",
    "127.0.0.1",
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.windows.net",
    "login.microsoft.com",
    "sts.windows.net",
    "graph.microsoft.com",
    "graph.microsoft.us",
    "dod-graph.microsoft.us",
    "microsoftgraph.chinacloudapi.cn",
    "api.security.microsoft.com",
    "*.vault.azure.net",
    "*.vault.usgovcloudapi.net",
    "*.vault.azure.cn",
    "api-gcc.security.microsoft.us",
    "api-gov.security.microsoft.us",
    "security.microsoft.com",
    "management.azure.com",
    "management.core.windows.net",
    "vault.azure.net",
];

/// What a listener needs and what clients must trust.
pub(super) struct Identity {
    /// For the listener: http/2 and http/1.1.
    pub(super) server: Arc<rustls::ServerConfig>,
    /// The authority's certificate, PEM.
    pub(super) ca_pem: String,
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, "tenantry sandbox (throw-away)");
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2044, 1, 1);
    Ok(params)
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

/// Takes the authority that the folder keeps, or makes one and keeps it; then makes a fresh
/// server certificate.
///
/// # Errors
/// When the folder cannot be read or written, or holds a key that is none.
pub(super) fn identity(dir: Option<&Path>) -> io::Result<Identity> {
    let (key, ca_pem) = authority(dir)?;
    // The issuer is rebuilt from the same name and key: its signatures are good under the kept
    // certificate, which so stays the same over restarts.
    let issuer = Issuer::new(authority_params().map_err(other)?, key);
    let server_key = KeyPair::generate().map_err(other)?;
    let names: Vec<String> = NAMES.iter().map(|n| (*n).to_owned()).collect();
    let mut leaf = CertificateParams::new(names).map_err(other)?;
    leaf.distinguished_name.remove(DnType::CommonName);
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    leaf.not_before = date_time_ymd(2024, 1, 1);
    leaf.not_after = date_time_ymd(2044, 1, 1);
    let certificate = leaf.signed_by(&server_key, &issuer).map_err(other)?;
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let private = PrivateKeyDer::Pkcs8(server_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(other)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(other)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Identity { server: Arc::new(server), ca_pem })
}

fn authority(dir: Option<&Path>) -> io::Result<(KeyPair, String)> {
    let paths = dir.map(|d| (d.join("ca.key"), d.join("ca.pem")));
    if let Some((key_path, pem_path)) = &paths
        && key_path.exists()
        && pem_path.exists()
    {
        let key = KeyPair::from_pem(&fs::read_to_string(key_path)?).map_err(other)?;
        return Ok((key, fs::read_to_string(pem_path)?));
    }
    let key = KeyPair::generate().map_err(other)?;
    let certificate = authority_params().and_then(|p| p.self_signed(&key)).map_err(other)?;
    let pem = certificate.pem();
    if let Some((key_path, pem_path)) = &paths {
        files::write_private(key_path, key.serialize_pem().as_bytes())?;
        files::write_public(pem_path, pem.as_bytes())?;
    }
    Ok((key, pem))
}
