//! One call in the hands of a handler: the world as its caller may see and change it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{caller::Caller, path::Key, route::Route};
use crate::sandbox::{
    clock::graph_time,
    engine::State,
    http::{Request, Response},
    odata::{Query, Shape},
    schema::{Entity, Refusal},
    world::{apps::App, directory::Directory},
};

/// Full power over applications.
pub(super) const WRITE_ALL: &str = "Application.ReadWrite.All";
/// Power over the applications that the caller owns.
pub(super) const WRITE_OWNED: &str = "Application.ReadWrite.OwnedBy";

/// One authenticated request to Graph.
pub(super) struct Call<'a> {
    pub(super) state: &'a mut State,
    pub(super) request: &'a Request,
    pub(super) route: &'a Route,
    pub(super) caller: Caller,
}

impl Call<'_> {
    /// The sandbox's now.
    pub(super) fn now(&self) -> Timestamp {
        self.state.world.now()
    }

    /// The same, as Graph writes it.
    pub(super) fn now_text(&self) -> String {
        graph_time(self.now())
    }

    /// The caller's directory, by id.
    pub(super) fn tenant(&self) -> String {
        self.caller.tenant.clone()
    }

    /// The caller's directory.
    ///
    /// # Errors
    /// When the world was replaced and no longer has it.
    pub(super) fn directory(&self) -> Result<&Directory, Refusal> {
        self.state
            .world
            .directory(&self.caller.tenant)
            .ok_or_else(|| Refusal::new(401, "InvalidAuthenticationToken", "The tenant is gone."))
    }

    /// Demands one of these permissions.
    ///
    /// # Errors
    /// 403 `Authorization_RequestDenied`.
    pub(super) fn require(&self, any: &[&str]) -> Result<(), Refusal> {
        if self.caller.has(any) { Ok(()) } else { Err(denied()) }
    }

    /// Demands that the caller may change this application.
    ///
    /// # Errors
    /// 403 `Authorization_RequestDenied`.
    pub(super) fn require_app(&self, app: &App) -> Result<(), Refusal> {
        let owned = app.owners.contains(&self.caller.object_id);
        if self.caller.has(&[WRITE_ALL]) || (self.caller.has(&[WRITE_OWNED]) && owned) {
            Ok(())
        } else {
            Err(denied())
        }
    }

    /// The n-th key of the path.
    pub(super) fn key(&self, n: usize) -> Result<&Key, Refusal> {
        self.route.keys.get(n).ok_or_else(|| Refusal::malformed("The request URI names no object."))
    }

    /// The live application that the path names; a fresh one is not there yet while it lags.
    pub(super) fn app(&self) -> Result<&App, Refusal> {
        let key = self.key(0)?;
        let apps = &self.directory()?.apps;
        let found = match key {
            Key::Id(id) => {
                require_guid(id)?;
                apps.get(&id.to_ascii_lowercase())
            }
            Key::Alternate(name, value) if name == "appId" => {
                if uuid::Uuid::parse_str(value).is_err() {
                    return Err(Refusal::bad_request(
                        "Invalid value specified for property 'appId' of resource 'Application'.",
                    ));
                }
                apps.by_app_id(&value.to_ascii_lowercase())
            }
            Key::Alternate(name, value) if name == "uniqueName" => apps.by_unique_name(value),
            Key::Alternate(name, value) if name == "id" => apps.get(&value.to_ascii_lowercase()),
            Key::Alternate(_, _) => {
                return Err(Refusal::malformed(
                    "The alternate key is not declared on the entity 'application'.",
                ));
            }
        };
        found.filter(|app| !self.lags(app)).ok_or_else(|| not_found(key.text()))
    }

    /// Whether an application is so fresh that reads do not see it.
    pub(super) fn lags(&self, app: &App) -> bool {
        app.born.is_some_and(|born| born.elapsed() < self.state.lag)
    }

    /// Whether a service principal is so fresh that what refers to it does not find it.
    pub(super) fn principal_lags(&self, id: &str) -> bool {
        let born = self.directory().ok().and_then(|d| d.principals.born.get(id).copied());
        born.is_some_and(|born| born.elapsed() < self.state.lag)
    }

    /// Reads the query options for resources of a kind.
    pub(super) fn query(&self, entity: &'static Entity) -> Result<Query, Refusal> {
        self.query_as(entity, self.route.shape)
    }

    /// The same, for another shape than the address says.
    pub(super) fn query_as(&self, entity: &'static Entity, shape: Shape) -> Result<Query, Refusal> {
        let eventual = self
            .request
            .header("consistencylevel")
            .is_some_and(|v| v.eq_ignore_ascii_case("eventual"));
        Query::parse(self.request.query.as_deref(), eventual, entity, shape)
    }

    /// The body, which must be a JSON object.
    ///
    /// # Errors
    /// As Graph's gateway words them.
    pub(super) fn body(&self) -> Result<Map<String, Value>, Refusal> {
        body(self.request)
    }

    fn context_base(&self) -> String {
        format!("{}/{}/$metadata#", self.request.origin(), self.route.version.word())
    }

    /// A list of resources, or their number where the address ends in `/$count`.
    pub(super) fn many<'v>(
        &self,
        query: &Query,
        context: &str,
        items: impl Iterator<Item = &'v Value>,
    ) -> Response {
        if self.route.shape == Shape::Count {
            return Response {
                status: 200,
                headers: vec![("content-type".into(), "text/plain".to_owned())],
                body: query.count(items).to_string().into_bytes(),
            };
        }
        let page = query.page(items);
        let mut body = Map::new();
        body.insert(
            "@odata.context".to_owned(),
            format!("{}{context}{}", self.context_base(), query.context_suffix()).into(),
        );
        if let Some(count) = page.count {
            body.insert("@odata.count".to_owned(), count.into());
        }
        if let Some(next) = page.next {
            let link = format!("{}{}?{next}", self.request.origin(), self.request.path);
            body.insert("@odata.nextLink".to_owned(), link.into());
        }
        body.insert("value".to_owned(), Value::Array(page.items));
        odata(200, &Value::Object(body))
    }

    /// One resource, narrowed by the query.
    pub(super) fn one(&self, query: &Query, context: &str, item: &Value) -> Response {
        let suffix = query.context_suffix();
        self.whole(200, &format!("{context}{suffix}/$entity"), query.project(item))
    }

    /// One resource with its context written out.
    pub(super) fn whole(&self, status: u16, context: &str, item: Value) -> Response {
        let mut body = Map::new();
        body.insert(
            "@odata.context".to_owned(),
            format!("{}{context}", self.context_base()).into(),
        );
        if let Value::Object(members) = item {
            body.extend(members);
        }
        odata(status, &Value::Object(body))
    }

    /// A secret value goes out: remembered in memory, for the tests that look for leaks.
    pub(super) fn issue(&mut self, secret: &str) {
        self.state.issued.push(secret.to_owned());
    }
}

fn odata(status: u16, body: &Value) -> Response {
    Response::json(status, body)
        .with(
            "content-type",
            "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8",
        )
        .with("odata-version", "4.0")
        .with("cache-control", "no-cache")
}

/// The body of a request, which must be a JSON object.
pub(super) fn body(request: &Request) -> Result<Map<String, Value>, Refusal> {
    if request.body.is_empty() {
        return Err(Refusal::malformed("Empty Payload. JSON content expected."));
    }
    match request.media_type().as_deref() {
        Some("application/json") => {}
        Some(other) => {
            return Err(Refusal::new(
                415,
                "RequestBodyRead",
                format!(
                    "A supported MIME type could not be found that matches the content type of the request. \
                     None of the supported type(s) matches the content type '{other}'."
                ),
            ));
        }
        None => {
            return Err(Refusal::malformed(
                "Write requests (excluding DELETE) must contain the Content-Type header declaration.",
            ));
        }
    }
    match serde_json::from_slice::<NoTwins>(&request.body) {
        Ok(NoTwins(Value::Object(members))) => Ok(members),
        Ok(_) | Err(_) => Err(Refusal::malformed(
            "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.",
        )),
    }
}

/// JSON in which no object names a member twice: OData refuses such a body, serde_json would
/// keep the last.
pub(super) struct NoTwins(pub(super) Value);

impl<'de> serde::Deserialize<'de> for NoTwins {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(NoTwins)
    }
}

struct Reader;

impl<'de> serde::de::Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(json!(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(NoTwins(item)) = seq.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let NoTwins(value) = map.next_value()?;
            if members.insert(name, value).is_some() {
                return Err(serde::de::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

/// 403: the token does not carry what is needed.
pub(super) fn denied() -> Refusal {
    Refusal::new(
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )
}

/// 404: no such object, or not yet.
pub(super) fn not_found(id: &str) -> Refusal {
    Refusal::new(
        404,
        "Request_ResourceNotFound",
        format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        ),
    )
}

/// An object id must be a GUID.
pub(super) fn require_guid(id: &str) -> Result<(), Refusal> {
    if uuid::Uuid::parse_str(id).is_ok() {
        Ok(())
    } else {
        Err(Refusal::bad_request(format!("Invalid object identifier '{id}'.")))
    }
}

/// The object id at the end of an `@odata.id` address, on Graph's own host or the sandbox's.
pub(super) fn reference(address: &str, collections: &[&str]) -> Option<String> {
    let url = url::Url::parse(address).ok()?;
    let segments: Vec<&str> = url.path_segments()?.collect();
    let (id, before) = segments.split_last()?;
    let collection = before.last()?;
    let known = collections.iter().any(|c| c.eq_ignore_ascii_case(collection));
    (known && uuid::Uuid::parse_str(id).is_ok()).then(|| id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_stands_twice_is_no_json_for_graph() {
        assert!(serde_json::from_str::<NoTwins>(r#"{"a":1,"b":{"c":[1,{"d":null}]}}"#).is_ok());
        assert!(serde_json::from_str::<NoTwins>(r#"{"a":1,"b":{"c":1,"c":2}}"#).is_err());
        let deep = "[".repeat(100_000);
        assert!(serde_json::from_str::<NoTwins>(&deep).is_err());
    }

    #[test]
    fn references_are_addresses_of_known_collections() {
        let id = "6F1C0F5E-0000-4000-8000-000000000001";
        let found = reference(
            &format!("https://graph.microsoft.com/v1.0/directoryObjects/{id}"),
            &["directoryObjects"],
        );
        assert_eq!(found, Some(id.to_ascii_lowercase()));
        assert_eq!(reference(&format!("https://x/v1.0/groups/{id}"), &["directoryObjects"]), None);
        assert_eq!(reference("nonsense", &["directoryObjects"]), None);
    }
}
