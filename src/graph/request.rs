//! How a request for Graph is spelled (by `graph-rs-sdk`) and sent (by our pipeline).
//!
//! `graph-rs-sdk` is not the transport: it carries an older client of its own, panics on hosts it
//! does not know, repeats `POST`, and follows a next link to any host with the token. So its
//! request is built and moved onto our pipeline.

use azure_core::http::{Context, Method, RawResponse, Request};
use graph_rs_sdk::{GraphClient, GraphResult};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use url::Url;

use crate::{
    cloud::Cloud,
    entra::Operator,
    failure::{Cause, Failure},
    http::{Access, Bearer, Calls, Network, Service},
    ids::TenantId,
};

/// A list longer than this many pages of up to 999 is a loop, not a list.
const MOST_PAGES: usize = 400;

/// A request that `graph-rs-sdk` is about to build: what its `build()` gives. Its type of request
/// has no name outside that crate.
pub(super) trait Spelled:
    Future<Output = GraphResult<reqwest012::RequestBuilder>> + Send
{
}
impl<F: Future<Output = GraphResult<reqwest012::RequestBuilder>> + Send> Spelled for F {}

/// One directory's Graph.
#[derive(Debug)]
pub(super) struct Graph {
    spell: GraphClient,
    calls: Calls,
    /// Where this cloud's Graph is, above its versions.
    base: Url,
}

impl Graph {
    pub(super) fn new(
        network: &Network,
        cloud: &Cloud,
        directory: TenantId,
        operator: &Operator,
        access: Access,
    ) -> Result<Self, Failure> {
        let bearer =
            Bearer { credential: operator.credential(directory)?, scope: cloud.graph_scope() };
        Ok(Self {
            // It is never given a token and never sends.
            spell: GraphClient::new(""),
            calls: network.calls(Service::Graph, Some(directory), access, Some(bearer)),
            base: cloud.graph.clone(),
        })
    }

    /// Begins a request.
    pub(super) fn spell(&self) -> &GraphClient {
        &self.spell
    }

    pub(super) fn requests(&self) -> u32 {
        self.calls.requests()
    }

    pub(super) fn server_time(&self) -> Option<Timestamp> {
        self.calls.server_time()
    }

    /// Sends what was spelled.
    pub(super) async fn send(
        &self,
        spelled: impl Spelled,
        context: &Context<'_>,
    ) -> Result<RawResponse, Failure> {
        let request = self.moved(spelled).await?;
        self.calls.send(context, request).await
    }

    /// Sends what was spelled and reads one thing.
    pub(super) async fn one<T: DeserializeOwned>(
        &self,
        spelled: impl Spelled,
        context: &Context<'_>,
    ) -> Result<T, Failure> {
        read(&self.send(spelled, context).await?)
    }

    /// Sends what was spelled and reads a list to its end.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        spelled: impl Spelled,
    ) -> Result<Vec<T>, Failure> {
        let context = Context::new();
        let mut request = self.moved(spelled).await?;
        let mut whole = Vec::new();
        for _ in 0..MOST_PAGES {
            let asked = request.url().clone();
            let page: super::wire::Page<T> = read(&self.calls.send(&context, request).await?)?;
            whole.extend(page.value.unwrap_or_default());
            let Some(next) = page.next_link else { return Ok(whole) };
            request = Request::new(self.next(&asked, &next)?, Method::Get);
            request.insert_header("accept", "application/json");
        }
        Err(Failure::new(
            Cause::Garbled,
            format!("Graph's list does not end after {MOST_PAGES} pages"),
        ))
    }

    /// Follows a link that stood inside an answer, where it ends as it should; gives what it
    /// leads to, and the next link.
    pub(super) async fn follow<T: DeserializeOwned>(
        &self,
        link: &str,
        end: &str,
    ) -> Result<(Vec<T>, Option<String>), Failure> {
        let url = self.on_our_origin(link)?;
        let within = Version::ALL.map(|version| self.path(version, "/"));
        let ours = within.iter().any(|path| url.path().starts_with(path));
        if !url.path().ends_with(end) || !ours {
            return Err(Failure::new(Cause::Guard, "a link in Graph's answer leads elsewhere"));
        }
        let request = Request::new(url, Method::Get);
        let page: super::wire::Page<T> = read(&self.calls.send(&Context::new(), request).await?)?;
        Ok((page.value.unwrap_or_default(), page.next_link))
    }

    /// A next link, where it stays on our origin and path: it is followed with our token.
    fn next(&self, asked: &Url, next: &str) -> Result<Url, Failure> {
        let url = self.on_our_origin(next)?;
        if url.path() != asked.path() || url == *asked {
            return Err(Failure::new(
                Cause::Guard,
                "Graph's link to the next page leads elsewhere",
            ));
        }
        Ok(url)
    }

    fn on_our_origin(&self, link: &str) -> Result<Url, Failure> {
        let url = Url::parse(link)
            .map_err(|_| Failure::new(Cause::Garbled, "a link in Graph's answer is not a URL"))?;
        if url.origin() != self.base.origin() {
            return Err(Failure::new(
                Cause::Guard,
                format!(
                    "a link in Graph's answer leads to {}, which was not followed",
                    url.origin().ascii_serialization()
                ),
            ));
        }
        Ok(url)
    }

    /// The address by which an object is named in a body; `path` begins below `v1.0`.
    pub(super) fn address(&self, path: &str) -> String {
        let mut url = self.base.clone();
        url.set_path(&self.path(Version::V1, &format!("/{path}")));
        url.to_string()
    }

    /// A path of a version, on this cloud's host.
    fn path(&self, version: Version, path: &str) -> String {
        format!("{}{}{path}", self.base.path().trim_end_matches('/'), version.segment())
    }

    /// The request as our pipeline sends it: to this cloud's host, without the empty token that
    /// `graph-rs-sdk` puts in.
    async fn moved(&self, spelled: impl Spelled) -> Result<Request, Failure> {
        let unspelled = |why: String| {
            Failure::new(Cause::Guard, format!("the request could not be built: {why}"))
        };
        let built = spelled
            .await
            .map_err(|e| unspelled(e.to_string()))?
            .build()
            .map_err(|e| unspelled(e.to_string()))?;
        let mut url = self.base.clone();
        let path = built.url().path();
        let (version, path) = Version::ALL
            .into_iter()
            .find_map(|version| Some((version, path.strip_prefix(version.segment())?)))
            .unwrap_or((Version::V1, path));
        url.set_path(&self.path(version, path));
        url.set_query(built.url().query());
        let method = match built.method().as_str() {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            other => return Err(unspelled(format!("{other} is not used on Graph"))),
        };
        let mut request = Request::new(url, method);
        for (name, value) in built.headers() {
            if name == "authorization" {
                continue;
            }
            let value = value.to_str().map_err(|e| unspelled(e.to_string()))?;
            request.insert_header(name.as_str().to_owned(), value.to_owned());
        }
        if let Some(body) = built.body().and_then(|body| body.as_bytes()) {
            request.set_body(body.to_vec());
        }
        Ok(request)
    }
}

/// A version of Graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// `v1.0`, the stable one.
    V1,
    /// `beta`: only where something is told nowhere else.
    Beta,
}

impl Version {
    const ALL: [Self; 2] = [Self::V1, Self::Beta];

    const fn segment(self) -> &'static str {
        match self {
            Self::V1 => "/v1.0",
            Self::Beta => "/beta",
        }
    }

    /// Points a request at this version.
    pub(super) fn of<R: AsMut<Url>>(self, mut request: R) -> R {
        let url = request.as_mut();
        let path = url.path();
        let path = path.strip_prefix(Self::V1.segment()).unwrap_or(path);
        let path = format!("{}{path}", self.segment());
        url.set_path(&path);
        request
    }
}

/// Points a request at a path that `graph-rs-sdk` has no word for. `path` begins below `v1.0` and
/// is encoded already.
pub(super) fn at<R: AsMut<Url>>(mut request: R, path: &str) -> R {
    request.as_mut().set_path(&format!("/v1.0/{path}"));
    request
}

/// A key in a path, `applications(uniqueName='…')`: quotes doubled as OData asks, and everything
/// that is not a plain character encoded, so that no name can leave its place.
pub(super) fn keyed(set: &str, key: &str, value: &str) -> String {
    let mut path = format!("{set}({key}='");
    for byte in value.replace('\'', "''").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => path.push(char::from(byte)),
            // A dot is kept unless it could be a step up.
            b'.' if value.bytes().any(|b| b != b'.') => path.push('.'),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path.push_str("')");
    path
}

/// An id that Graph gave as text, where it is a plain one and cannot leave its place in a path.
pub(super) fn plain(id: &str) -> Result<&str, Failure> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !id.is_empty() && id.bytes().all(fits) {
        Ok(id)
    } else {
        Err(Failure::new(Cause::Garbled, "an id in Graph's answer is none"))
    }
}

/// A string inside a filter.
pub(super) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// Reads an answer. What is wrong with it is said by place only: it may hold a secret.
pub(super) fn read<T: DeserializeOwned>(answer: &RawResponse) -> Result<T, Failure> {
    serde_json::from_slice(answer.body().as_ref()).map_err(|error| {
        let mut failure = Failure::new(
            Cause::Garbled,
            format!(
                "Graph's answer is not what it should be (line {}, column {})",
                error.line(),
                error.column()
            ),
        );
        failure.status = Some(u16::from(answer.status()));
        failure
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_place_in_a_path() {
        assert_eq!(
            keyed("applications", "uniqueName", "tenantry-f--a"),
            "applications(uniqueName='tenantry-f--a')"
        );
        for hostile in ["')/../x", "a/b", "a?b=c", "a#b", "..", "a%2fb", "ä b", "o'b"] {
            let path = keyed("applications", "uniqueName", hostile);
            let inside = path
                .strip_prefix("applications(uniqueName='")
                .and_then(|p| p.strip_suffix("')"))
                .unwrap();
            assert!(
                inside.bytes().all(|b| b.is_ascii_alphanumeric() || b"%-_.".contains(&b)),
                "{path}"
            );
            assert_ne!(inside, "..");
        }
        assert_eq!(quoted("O'Brien"), "'O''Brien'");
        assert!(plain("l5eW7x0ga0-WDOntXzHateQDNpSH5_lPk9HjD3Sarjk").is_ok());
        for hostile in ["", "..", "a/b", "a?b", "ä"] {
            assert!(plain(hostile).is_err(), "{hostile}");
        }
    }
}
