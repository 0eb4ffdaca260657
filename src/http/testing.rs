//! A tiny server over real TLS, written by hand, so that a test can misbehave to the byte.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::{Network, NetworkOptions, Notice, Trust, install_tls, retry::Pacing};
use crate::cloud::Cloud;

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) method: String,
    /// Path and query as they were sent.
    pub(crate) target: String,
    /// The whole head, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// What the server does.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Closes the connection without a word.
    Cut,
    /// Promises more body than it sends.
    Short,
    /// Says nothing for a long time.
    Hang,
}

impl Reply {
    pub(crate) fn json(status: u16, body: serde_json::Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self::Answer(status, headers, body.to_string())
    }

    pub(crate) fn with(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Answer(status, mut headers, body) => {
                headers.push((name, value.to_owned()));
                Self::Answer(status, headers, body)
            }
            other => other,
        }
    }
}

/// A running server; it stops when the test's runtime does.
pub(crate) struct Server {
    pub(crate) base: Url,
    ca_pem: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Server {
    /// Starts one; `behave` gets each request and how many came before it.
    pub(crate) async fn start(
        behave: impl Fn(&Heard, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        install_tls();
        let (acceptor, ca_pem) = certificate();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("https://{}", tcp.local_addr().unwrap())).unwrap();
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let (log, behave) = (Arc::clone(&heard), Arc::new(behave));
        tokio::spawn(async move {
            while let Ok((stream, _)) = tcp.accept().await {
                let (acceptor, log, behave) = (acceptor.clone(), log.clone(), behave.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Some(request) = hear(&mut stream).await else { return };
                    let before = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.len() - 1
                    };
                    let _ = say(&mut stream, behave(&request, before)).await;
                });
            }
        });
        Self { base, ca_pem, heard }
    }

    /// All requests so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// A network that trusts this server, repeats quickly, and keeps its notices.
    pub(crate) fn network(&self, call_limit: Duration) -> (Network, Arc<Mutex<Vec<Notice>>>) {
        let notices = Arc::<Mutex<Vec<Notice>>>::default();
        let keep = Arc::clone(&notices);
        let options = NetworkOptions {
            trust: Trust::Sandbox { ca_pem: self.ca_pem.clone() },
            call_limit,
            verbosity: 1,
            notices: Arc::new(move |notice| keep.lock().unwrap().push(notice)),
        };
        let pacing = Pacing {
            first: Duration::from_millis(2),
            longest: Duration::from_millis(20),
            throttled: Duration::from_millis(2),
            ..Pacing::default()
        };
        (Network::with_pacing(options, pacing).unwrap(), notices)
    }

    /// A cloud whose every service is this server.
    pub(crate) fn cloud(&self) -> Cloud {
        Cloud {
            name: None,
            login: self.base.clone(),
            graph: self.base.clone(),
            defender: Some(self.base.clone()),
            portal: None,
            vault: self.base.clone(),
            pages: self.base.clone(),
            sandbox: true,
        }
    }
}

fn certificate() -> (TlsAcceptor, String) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca_pem)
}

async fn hear(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Heard> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut first = head.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let head = head.to_lowercase();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().unwrap());
    while read.len() < end + length {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&read[end..]).into_owned();
    Some(Heard { method, target, head, body })
}

async fn say(stream: &mut (impl AsyncWriteExt + Unpin), reply: Reply) -> std::io::Result<()> {
    let (status, headers, body, length) = match reply {
        Reply::Cut => return Ok(()),
        Reply::Hang => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return Ok(());
        }
        Reply::Short => (200, Vec::new(), "{\"value\":".to_owned(), 1000),
        Reply::Answer(status, headers, body) => {
            let length = body.len();
            (status, headers, body, length)
        }
    };
    let mut text = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    if status != 204 {
        text.push_str(&format!("content-length: {length}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(&body);
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
