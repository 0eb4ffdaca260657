//! The way of a request: found, misbehaved as asked, answered under the lock, kept, logged.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    control, defender,
    engine::{Context, State},
    entra::{self, jwt::Signer},
    faults::{Do, Facts},
    graph::{self, batch, caller, path::Key},
    http::{Request, Response, form_pairs, percent_decode},
    key_vault,
    operation::{Operation, Service},
    pages, random,
    routing::{Door, Target, route},
    schema::Refusal,
    world::first_party,
};

/// What all connections share.
pub(super) struct Shared {
    state: Mutex<State>,
    signer: Signer,
    base: String,
    latency: Duration,
    /// What is to be done when the world was replaced.
    pub(super) after_put: Settle,
}

/// What follows a replaced world: see where it is made.
pub(super) type Settle = Box<dyn Fn(&mut State) -> std::io::Result<()> + Send + Sync>;

/// How a request ends.
pub(super) enum Ending {
    /// With an answer.
    Answer(Response),
    /// The connection is cut without one.
    Cut,
    /// It never does.
    Never,
}

impl Shared {
    /// What all connections share, from its parts.
    pub(super) fn new(
        state: State,
        signer: Signer,
        base: String,
        latency: Duration,
        after_put: Settle,
    ) -> Self {
        Self { state: Mutex::new(state), signer, base, latency, after_put }
    }

    /// The state, locked. A handler that panicked must not take the others with it: what it
    /// changed was not answered, and stays.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `https://127.0.0.1:PORT`
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Takes a request to its end.
    pub(super) async fn process(&self, request: &Request, door: Door) -> Ending {
        let (operation, target) = route(request, door);
        if let Target::Control = target {
            return Ending::Answer(control::answer(self, request));
        }
        self.step(request, operation, &target, self.latency).await
    }

    /// Takes a person's request to its end at once: nobody waits for a browser in a test.
    pub(super) fn visit(&self, request: &Request, door: Door) -> Ending {
        let (operation, target) = route(request, door);
        let (number, act) = {
            let mut state = self.lock();
            let now = state.world.now();
            let number = state.log.begin(now, request, operation);
            let facts = facts(&state, request, &target);
            let act = state.faults.take(operation, &facts);
            (number, act)
        };
        let ending = match &act {
            Some(Do::CutBefore) => Ending::Cut,
            Some(Do::NoAnswer) => Ending::Never,
            Some(Do::Status { status, headers, body }) => {
                Ending::Answer(self.scripted(request, operation, *status, headers, body.as_ref()))
            }
            Some(Do::Echo(status)) => Ending::Answer(self.echo(request, operation, *status)),
            Some(Do::Slow(_)) | None => Ending::Answer(self.answer(request, operation, &target)),
            Some(Do::CutAfter | Do::NoAnswerAfter | Do::Garbage) => {
                self.answer(request, operation, &target);
                Ending::Cut
            }
        };
        let status = match &ending {
            Ending::Answer(response) => Some(response.status),
            Ending::Cut | Ending::Never => None,
        };
        self.lock().log.end(number, status, act.map(|a| a.word()));
        ending
    }

    async fn step(
        &self,
        request: &Request,
        operation: Operation,
        target: &Target,
        latency: Duration,
    ) -> Ending {
        let (number, act, claim) = {
            let mut state = self.lock();
            let now = state.world.now();
            let number = state.log.begin(now, request, operation);
            let act = if state.faults.is_empty() || !operation.is_scriptable() {
                None
            } else {
                let facts = facts(&state, request, target);
                state.faults.take(operation, &facts)
            };
            let claim = claim(&mut state, request, operation, target);
            (number, act, claim)
        };
        // Given back however this ends: a client that hangs up drops it half-way.
        let _held = match &claim {
            Claim::Held(app) => Some(Held { shared: self, app: app.clone() }),
            Claim::Refused | Claim::None => None,
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let ending = self.act(request, operation, target, act.as_ref(), &claim).await;
        let mut state = self.lock();
        let status = match &ending {
            Ending::Answer(response) => Some(response.status),
            Ending::Cut | Ending::Never => None,
        };
        state.log.end(number, status, act.map(|a| a.word()));
        if let (Some(traffic), Ending::Answer(response)) = (&mut state.traffic, &ending) {
            traffic.push(exchange(request, operation, response));
        }
        ending
    }

    async fn act(
        &self,
        request: &Request,
        operation: Operation,
        target: &Target,
        act: Option<&Do>,
        claim: &Claim,
    ) -> Ending {
        match act {
            Some(Do::CutBefore) => return Ending::Cut,
            Some(Do::NoAnswer) => return Ending::Never,
            Some(Do::Status { status, headers, body }) => {
                return Ending::Answer(self.scripted(
                    request,
                    operation,
                    *status,
                    headers,
                    body.as_ref(),
                ));
            }
            Some(Do::Echo(status)) => {
                return Ending::Answer(self.echo(request, operation, *status));
            }
            Some(Do::Slow(wait)) => tokio::time::sleep(*wait).await,
            Some(Do::NoAnswerAfter | Do::CutAfter | Do::Garbage) | None => {}
        }
        let response = match (claim, target) {
            (Claim::Refused, _) => self.refuse(
                request,
                &Refusal::new(
                    409,
                    "Directory_ConcurrencyViolation",
                    "Error due to concurrent requests being made to the tenant. Please wait briefly and retry.",
                ),
            ),
            (Claim::Held(_) | Claim::None, Target::Graph(route))
                if operation == Operation::Batch && route.refusal.is_none() =>
            {
                match Box::pin(self.batch(request)).await {
                    Ok(response) => response,
                    Err(ending) => return ending,
                }
            }
            (Claim::Held(_) | Claim::None, _) => self.answer(request, operation, target),
        };
        match act {
            Some(Do::CutAfter) => Ending::Cut,
            Some(Do::NoAnswerAfter) => Ending::Never,
            Some(Do::Garbage) => {
                let mut garbage = response;
                garbage.body = b"<html>\xff\xfe{\"value\": [".to_vec();
                Ending::Answer(garbage)
            }
            Some(Do::CutBefore | Do::NoAnswer | Do::Status { .. } | Do::Echo(_) | Do::Slow(_))
            | None => Ending::Answer(response),
        }
    }

    /// The real answer; what it changed is in the journal when this returns.
    fn answer(&self, request: &Request, operation: Operation, target: &Target) -> Response {
        let mut state = self.lock();
        let context = Context { signer: &self.signer, base: &self.base };
        let response = match target {
            Target::Login(target) => entra::answer(&mut state, &context, request, target),
            Target::Graph(route) => graph::answer(&mut state, &context, request, operation, route),
            Target::Defender(target) => defender::answer(&mut state, &context, request, target),
            Target::KeyVault(target) => {
                key_vault::answer(&mut state, &context, request, operation, target)
            }
            Target::Arm => entra::arm::answer(&state, &context, request, operation),
            Target::Page | Target::Control => pages::answer(&mut state, request),
        };
        match state.keep() {
            Ok(()) => response,
            Err(error) => Response::json(
                500,
                &json!({"error": {"code": "Service_InternalServerError",
                        "message": format!("The sandbox cannot write its journal: {error}")}}),
            ),
        }
    }

    fn refuse(&self, request: &Request, refusal: &Refusal) -> Response {
        let now = self.lock().world.now();
        let id = random::guid();
        let date = now.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        graph::finish(graph::refused(refusal, request, &id, &date), request, &id)
    }

    /// The answer of a fault: as given, and where nothing is given as the service words it.
    fn scripted(
        &self,
        request: &Request,
        operation: Operation,
        status: u16,
        headers: &[(String, String)],
        body: Option<&Value>,
    ) -> Response {
        let mut response = match body {
            Some(Value::String(text)) => {
                let mut response = Response::empty(status).with("content-type", "text/plain");
                response.body = text.clone().into_bytes();
                response
            }
            Some(value) => Response::json(status, value),
            None if matches!(status, 200..=399) => Response::empty(status),
            None => match operation.service() {
                Service::Login => entra::errors::Aadsts::new(
                    status,
                    "temporarily_unavailable",
                    90_033,
                    "A transient error has occurred. Please try again.",
                )
                .response(self.lock().world.now(), request.header("client-request-id")),
                Service::Defender => defender::refused(
                    status,
                    "InternalServerError",
                    "The sandbox was told to fail.",
                ),
                Service::Vault => key_vault::scripted(status).response(),
                Service::Graph | Service::Arm | Service::Pages | Service::Control => {
                    self.refuse(request, &usual(status))
                }
            },
        };
        if operation.service() == Service::Graph && body.is_some() {
            response = graph::finish(response, request, &random::guid());
        }
        for (name, value) in headers {
            response = response.with(name.clone(), value.clone());
        }
        response
    }

    /// An error that repeats what was sent, credentials and all.
    fn echo(&self, request: &Request, operation: Operation, status: u16) -> Response {
        let sent = request.header("authorization").unwrap_or("no credentials");
        let body = String::from_utf8_lossy(&request.body);
        let words = format!("The request with {sent} was refused: {body}");
        match operation.service() {
            Service::Login => {
                entra::errors::Aadsts::new(status, "invalid_client", 7_000_215, words)
                    .response(self.lock().world.now(), request.header("client-request-id"))
            }
            Service::Defender => defender::refused(status, "BadRequest", &words),
            Service::Vault => key_vault::Refused::new(status, "BadParameter", words).response(),
            Service::Graph | Service::Arm | Service::Pages | Service::Control => {
                self.refuse(request, &Refusal::new(status, "Request_BadRequest", words))
            }
        }
    }

    async fn batch(&self, outer: &Request) -> Result<Response, Ending> {
        let opened = {
            let state = self.lock();
            let context = Context { signer: &self.signer, base: &self.base };
            caller::authenticate(&state.world, &context, outer, first_party::GRAPH)
                .and_then(|_| batch::open(outer))
        };
        let items = match opened {
            Ok(items) => items,
            Err(refusal) => return Ok(self.refuse(outer, &refusal)),
        };
        let mut good: Vec<String> = Vec::new();
        let mut answers = Vec::new();
        for item in items {
            if !item.depends_on.iter().all(|d| good.contains(d)) {
                answers.push(batch::failed_dependency(&item.id));
                continue;
            }
            let (operation, target) = route(&item.request, Door::Api);
            match self.step(&item.request, operation, &target, Duration::ZERO).await {
                Ending::Answer(response) => {
                    if response.status < 400 {
                        good.push(item.id.clone());
                    }
                    answers.push(batch::answer(&item.id, &response));
                }
                other => return Err(other),
            }
        }
        let id = random::guid();
        let response = Response::json(200, &json!({"responses": answers}));
        Ok(graph::finish(response, outer, &id))
    }
}

/// A lock of an application's credentials while they are written.
enum Claim {
    /// Not such a request.
    None,
    /// Held by this request.
    Held((String, String)),
    /// Held by another.
    Refused,
}

/// Gives a claim back when it goes.
struct Held<'a> {
    shared: &'a Shared,
    app: (String, String),
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shared.lock().busy.remove(&self.app);
    }
}

fn claim(state: &mut State, request: &Request, operation: Operation, target: &Target) -> Claim {
    let (Operation::AddPassword | Operation::RemovePassword, Target::Graph(route)) =
        (operation, target)
    else {
        return Claim::None;
    };
    let Some(tenant) = tenant_of_token(request) else {
        return Claim::None;
    };
    let Some(id) = addressed(state, &tenant, route.keys.first()).map(|app| app.id().to_owned())
    else {
        return Claim::None;
    };
    let app = (tenant, id);
    if state.busy.insert(app.clone()) { Claim::Held(app) } else { Claim::Refused }
}

fn addressed<'s>(
    state: &'s State,
    tenant: &str,
    key: Option<&Key>,
) -> Option<&'s super::world::apps::App> {
    let directory = state.world.directory(tenant)?;
    match key? {
        Key::Id(id) => directory.apps.get(&id.to_ascii_lowercase()),
        Key::Alternate(name, value) if name == "appId" => {
            directory.apps.by_app_id(&value.to_ascii_lowercase())
        }
        Key::Alternate(_, value) => directory.apps.by_unique_name(value),
    }
}

/// The directory that a bearer token claims; nobody has checked it yet.
fn tenant_of_token(request: &Request) -> Option<String> {
    let token = request.header("authorization")?.split_once(' ')?.1;
    entra::jwt::claims(token)?["tid"].as_str().map(str::to_owned)
}

/// What a fault may look at.
fn facts(state: &State, request: &Request, target: &Target) -> Facts {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let mut facts = Facts {
        path: percent_decode(&request.path).unwrap_or_else(|| request.path.clone()),
        tenant: tenant_of_token(request),
        app: Vec::new(),
        body,
    };
    match target {
        Target::Login(entra::Target::Token(tenant, _)) => {
            facts.tenant = state.world.resolve(tenant);
            facts.app.extend(
                form_pairs(&request.body)
                    .into_iter()
                    .filter(|(name, _)| name == "client_id")
                    .map(|(_, value)| value),
            );
        }
        Target::Login(entra::Target::Visit(tenant, ..)) => {
            facts.tenant = state.world.resolve(tenant);
        }
        Target::Graph(route) => {
            facts.app.extend(route.keys.iter().map(|k| k.text().to_owned()));
            let tenant = facts.tenant.clone().unwrap_or_default();
            if let Some(app) = addressed(state, &tenant, route.keys.first()) {
                let names = [app.id(), app.app_id(), app.name()];
                facts.app.extend(names.into_iter().map(str::to_owned));
                facts.app.extend(app.unique_name().map(str::to_owned));
            }
            if let Ok(body) = serde_json::from_slice::<Value>(&request.body) {
                for name in ["uniqueName", "displayName", "appId"] {
                    facts.app.extend(body[name].as_str().map(str::to_owned));
                }
            }
        }
        Target::KeyVault(target) => facts.app.extend(target.secret().map(str::to_owned)),
        Target::Login(_) | Target::Defender(_) | Target::Arm | Target::Page | Target::Control => {}
    }
    facts
}

/// Graph's usual code for a status.
fn usual(status: u16) -> Refusal {
    let (code, message) = match status {
        400 => ("Request_BadRequest", "Invalid request."),
        401 => ("InvalidAuthenticationToken", "Access token validation failure."),
        403 => {
            ("Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
        }
        404 => ("Request_ResourceNotFound", "Resource does not exist."),
        409 => (
            "Directory_ConcurrencyViolation",
            "Error due to concurrent requests being made to the tenant. Please wait briefly and retry.",
        ),
        429 => ("TooManyRequests", "Too many requests. Please wait and try again."),
        503 => ("serviceNotAvailable", "The service is temporarily unavailable."),
        504 => ("UnknownError", "The gateway has timed out."),
        _ => ("Service_InternalServerError", "Encountered an internal server error."),
    };
    Refusal::new(status, code, message)
}

/// A request and its answer, whole, for tests that hold them against a schema.
fn exchange(request: &Request, operation: Operation, response: &Response) -> Value {
    let body = |bytes: &[u8]| -> Value {
        if bytes.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(bytes)))
    };
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .filter(|(name, _)| *name != "authorization")
        .map(|(name, value)| (name.to_string(), json!(String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    let answered: serde_json::Map<String, Value> =
        response.headers.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
    json!({
        "operation": operation.name(),
        "request": {"method": request.method.as_str(), "path": request.path, "query": request.query,
                    "headers": headers, "body": body(&request.body)},
        "response": {"status": response.status, "headers": answered, "body": body(&response.body)},
    })
}
