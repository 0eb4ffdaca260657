//! Applications that sign their assertions with the key of a certificate.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest},
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair},
};
use rsa::pkcs8::EncodePrivateKey;
use serde_json::{Value, json};

use super::support::{Fixture, Reply};

const GRAPH: &str = "https://graph.microsoft.com/.default";

/// A certificate and its key.
struct Pair {
    key: RsaKeyPair,
    der: Vec<u8>,
}

/// Only in tests: 2048 bits, and always other ones.
fn pair(from: i32, to: i32) -> Pair {
    let key = rsa::PrivateKey::new(&mut Random, 2048).unwrap().to_pkcs8_der().unwrap();
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(key.as_bytes());
    let signer =
        rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    let der = params.self_signed(&signer).unwrap().der().to_vec();
    Pair { key: RsaKeyPair::from_pkcs8(key.as_bytes()).unwrap(), der }
}

struct Random;

impl rsa::rand_core::TryRng for Random {
    type Error = ring::error::Unspecified;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        ring::rand::SecureRandom::fill(&SystemRandom::new(), bytes)
    }
}

impl rsa::rand_core::TryCryptoRng for Random {}

impl Pair {
    fn credential(&self) -> Value {
        json!({"type": "AsymmetricX509Cert", "usage": "Verify", "key": STANDARD.encode(&self.der)})
    }

    fn token(&self, header: &Value, claims: &Value, how: &'static dyn RsaEncoding) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(how, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn sha256(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.der))
    }

    fn sha1(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der))
    }
}

/// The operator's own application, which has a service principal at home.
async fn operators(f: &Fixture) -> String {
    let found = f.get(&format!("/applications(appId='{}')", f.operator.client_id)).await;
    found.body["id"].as_str().unwrap().to_owned()
}

async fn sign_in(f: &Fixture, assertion: &str) -> (u16, i64) {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", f.operator.client_id.as_str()),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
        ("scope", GRAPH),
    ];
    let reply = f.token_request(&f.operator.tenant_id, &form).await;
    (reply.status, reply.body["error_codes"][0].as_i64().unwrap_or(0))
}

fn claims(f: &Fixture) -> Value {
    let now = jiff::Timestamp::now().as_second();
    let endpoint = format!("{}/{}/oauth2/v2.0/token", f.sandbox.base_url(), f.operator.tenant_id);
    json!({"aud": endpoint, "iss": f.operator.client_id, "sub": f.operator.client_id,
           "jti": "1", "nbf": now, "iat": now, "exp": now + 300})
}

#[tokio::test]
async fn an_assertion_is_checked_with_the_certificate_that_it_names() {
    let mut f = Fixture::new().await;
    f.grant_operator(&["Application.ReadWrite.All"]).await;
    let (mine, other) = (pair(2020, 2090), pair(2020, 2090));
    let app = format!("/applications/{}", operators(&f).await);
    let put = async |keys: Value| f.patch(&app, &json!({ "keyCredentials": keys })).await;
    assert_eq!(put(json!([mine.credential()])).await.status, 204);
    let ps256 = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": mine.sha256()});
    let rs256 = json!({"alg": "RS256", "typ": "JWT", "x5t": mine.sha1()});
    let good = claims(&f);
    assert_eq!(sign_in(&f, &mine.token(&ps256, &good, &RSA_PSS_SHA256)).await, (200, 0));
    assert_eq!(sign_in(&f, &mine.token(&rs256, &good, &RSA_PKCS1_SHA256)).await, (200, 0));
    // Another's key under this name, another's name, no name, another algorithm than it says.
    let unnamed = json!({"alg": "PS256", "typ": "JWT"});
    let others = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": other.sha256()});
    for refused in [
        other.token(&ps256, &good, &RSA_PSS_SHA256),
        other.token(&others, &good, &RSA_PSS_SHA256),
        mine.token(&unnamed, &good, &RSA_PSS_SHA256),
        mine.token(&rs256, &good, &RSA_PSS_SHA256),
        mine.token(&json!({"alg": "none", "x5t#S256": mine.sha256()}), &good, &RSA_PSS_SHA256),
    ] {
        assert_eq!(sign_in(&f, &refused).await, (401, 700_027));
    }
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        mine.token(&ps256, &claims, &RSA_PSS_SHA256)
    };
    let now = jiff::Timestamp::now().as_second();
    let fraction = json!(now as f64 + 300.25);
    assert_eq!(sign_in(&f, &with("exp", fraction)).await, (200, 0));
    for (name, value, code) in [
        ("aud", json!("https://evil.example/oauth2/v2.0/token"), 700_023),
        ("aud", json!(format!("{}/other/oauth2/v2.0/token", f.sandbox.base_url())), 700_023),
        ("sub", json!("6f1c0f5e-0000-4000-8000-000000000001"), 700_021),
        ("exp", json!(now - 10), 700_024),
        ("nbf", json!(now + 3_600), 700_024),
    ] {
        assert_eq!(sign_in(&f, &with(name, value)).await, (401, code), "{name}");
    }

    // Its end is the application's word, and the certificate's own.
    let mut short = mine.credential();
    short["endDateTime"] = json!("2021-01-01T00:00:00Z");
    assert_eq!(put(json!([short])).await.status, 204);
    assert_eq!(sign_in(&f, &with("jti", json!("2"))).await, (401, 700_027));
    assert_eq!(put(json!([])).await.status, 204);
    assert_eq!(sign_in(&f, &with("jti", json!("3"))).await, (401, 700_027));
}

#[tokio::test]
async fn certificates_are_kept_by_their_ids_and_shown_to_whoever_asks_for_one_app() {
    let mut f = Fixture::new().await;
    f.grant_operator(&["Application.ReadWrite.All"]).await;
    let (one, two) = (pair(2020, 2090), pair(2020, 2090));
    let app = format!("/applications/{}", operators(&f).await);
    let put = async |keys: Value| f.patch(&app, &json!({ "keyCredentials": keys })).await;
    let whole = format!("{app}?$select=keyCredentials");
    assert_eq!(put(json!([one.credential()])).await.status, 204);
    let keys = f.get(&whole).await.body["keyCredentials"].clone();
    assert_eq!(keys[0]["key"], STANDARD.encode(&one.der));
    assert!(keys[0]["keyId"].is_string() && keys[0]["displayName"].is_string());
    assert_eq!(keys[0]["endDateTime"], "2090-01-01T00:00:00Z");
    let thumbprint = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &one.der));
    assert_eq!(keys[0]["customKeyIdentifier"], thumbprint);
    for listing in [app.as_str(), "/applications?$select=id,keyCredentials", "/applications"] {
        let reply: Reply = f.get(listing).await;
        assert!(!reply.body.to_string().contains(&STANDARD.encode(&one.der)), "{listing}");
    }
    // By its id alone it stays, and it cannot become another.
    let id = json!({"keyId": keys[0]["keyId"], "type": "AsymmetricX509Cert", "usage": "Verify"});
    assert_eq!(put(json!([id, two.credential()])).await.status, 204);
    let both = f.get(&whole).await.body["keyCredentials"].clone();
    assert_eq!((both[0].clone(), both.as_array().unwrap().len()), (keys[0].clone(), 2));
    let mut other = both[0].clone();
    other["key"] = json!(STANDARD.encode(&two.der));
    let refused = put(json!([other])).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().starts_with("Update to existing credential with KeyId"));
    for (change, code) in [
        (json!({"key": STANDARD.encode("no certificate")}), "Request_BadRequest"),
        (json!({"key": null}), "Request_BadRequest"),
        (json!({"usage": null}), "Request_BadRequest"),
        (json!({"endDateTime": "2091-01-01T00:00:00Z"}), "KeyCredentialsInvalidEndDate"),
        (json!({"startDateTime": "2019-01-01T00:00:00Z"}), "KeyCredentialsInvalidStartDate"),
    ] {
        let mut new = two.credential();
        for (name, value) in change.as_object().unwrap() {
            new[name] = value.clone();
        }
        let refused = put(json!([new])).await;
        assert_eq!((refused.status, refused.code()), (400, code), "{change}");
    }
}
