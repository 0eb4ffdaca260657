//! Azure Key Vault, its secrets (<https://learn.microsoft.com/en-us/rest/api/keyvault/secrets/>).

mod secrets;
pub(super) mod values;

use serde_json::json;

use super::{
    engine::{Context, State},
    graph::caller::{self, Caller},
    http::{Request, Response, form_pairs, percent_decode},
    operation::Operation,
    random,
    world::{first_party, vaults::KeyVault},
};

/// The versions of the API that are known
/// (<https://learn.microsoft.com/en-us/rest/api/keyvault/#rest-api-versions>).
const API_VERSIONS: &[&str] =
    &["2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01"];

/// What is asked of a key vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Its name; nothing for the world's first one.
    vault: Option<String>,
    /// What stands before its own paths.
    prefix: String,
    /// The rest of the path, in its parts.
    parts: Vec<String>,
}

impl Target {
    /// The name of the secret that it is about.
    pub(super) fn secret(&self) -> Option<&str> {
        self.parts.get(1).map(String::as_str)
    }
}

/// The hosts of key vaults in the clouds.
const HOSTS: &[&str] = &[".vault.azure.net", ".vault.usgovcloudapi.net", ".vault.azure.cn"];

/// Finds the operation, where the request is for a key vault.
pub(super) fn route(method: &hyper::Method, host: &str, path: &str) -> Option<(Operation, Target)> {
    let mut parts: Vec<String> = path
        .trim_matches('/')
        .split('/')
        .map(|part| percent_decode(part).unwrap_or_else(|| part.to_owned()))
        .collect();
    let by_host = HOSTS.iter().find_map(|suffix| host.strip_suffix(suffix));
    let (vault, prefix) = match (by_host, parts.first().map(String::as_str)) {
        (Some(name), _) => (Some(name.to_owned()), String::new()),
        (None, Some("keyvault")) if parts.len() > 1 => {
            let name = parts[1].to_ascii_lowercase();
            let prefix = format!("/keyvault/{}", parts[1]);
            parts.drain(..2);
            (Some(name), prefix)
        }
        (None, Some("secrets" | "deletedsecrets")) => (None, String::new()),
        (None, _) => return None,
    };
    let operation = operation(method.as_str(), &parts);
    Some((operation, Target { vault, prefix, parts }))
}

fn operation(method: &str, parts: &[String]) -> Operation {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (method, parts.as_slice()) {
        ("GET", ["secrets"]) => Operation::ListSecrets,
        ("POST", ["secrets", "restore"]) => Operation::RestoreSecret,
        ("PUT", ["secrets", _]) => Operation::SetSecret,
        ("DELETE", ["secrets", _]) => Operation::DeleteSecret,
        ("GET", ["secrets", _, "versions"]) => Operation::ListSecretVersions,
        ("POST", ["secrets", _, "backup"]) => Operation::BackupSecret,
        ("GET", ["secrets", _] | ["secrets", _, _]) => Operation::GetSecret,
        ("PATCH", ["secrets", _] | ["secrets", _, _]) => Operation::UpdateSecret,
        ("GET", ["deletedsecrets"]) => Operation::ListDeletedSecrets,
        ("GET", ["deletedsecrets", _]) => Operation::GetDeletedSecret,
        ("DELETE", ["deletedsecrets", _]) => Operation::PurgeSecret,
        ("POST", ["deletedsecrets", _, "recover"]) => Operation::RecoverSecret,
        _ => Operation::UnknownVault,
    }
}

/// A refusal in Key Vault's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    status: u16,
    code: &'static str,
    message: String,
    inner: Option<&'static str>,
}

impl Refused {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), inner: None }
    }

    /// The same with the code within.
    pub(super) fn because(mut self, inner: &'static str) -> Self {
        self.inner = Some(inner);
        self
    }

    /// 400: a parameter that does not do.
    fn parameter(message: impl Into<String>) -> Self {
        Self::new(400, "BadParameter", message)
    }

    pub(super) fn response(&self) -> Response {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(inner) = self.inner {
            error["innererror"] = json!({"code": inner});
        }
        Response::json(self.status, &json!({"error": error}))
    }
}

/// What a fault says of a status.
pub(super) fn scripted(status: u16) -> Refused {
    match status {
        401 => {
            Refused::new(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
        }
        403 => Refused::new(
            403,
            "Forbidden",
            "Client address is not authorized and caller is not a trusted service.",
        )
        .because("ForbiddenByFirewall"),
        404 => Refused::new(404, "SecretNotFound", "A secret was not found in this key vault."),
        429 => Refused::new(
            429,
            "Throttled",
            "Request was not processed because too many requests were received.",
        ),
        _ => Refused::new(status, "InternalServerError", "The sandbox was told to fail."),
    }
}

/// What a handler works with.
struct Call<'a> {
    state: &'a mut State,
    request: &'a Request,
    /// The vault's name.
    vault: String,
    /// Its address, without a slash at the end.
    base: String,
    /// The path's parts.
    parts: &'a [String],
    now: i64,
}

impl Call<'_> {
    fn vault(&self) -> Result<&KeyVault, Refused> {
        self.state
            .world
            .key_vaults()
            .get(&self.vault)
            .ok_or_else(|| Refused::new(404, "VaultNotFound", "There is no such key vault."))
    }

    fn query(&self, name: &str) -> Option<String> {
        form_pairs(self.request.query.as_deref().unwrap_or_default().as_bytes())
            .into_iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Answers at that address.
pub(super) fn answer(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    operation: Operation,
    target: &Target,
) -> Response {
    let (region, result) = serve(state, context, request, operation, target);
    let mut response = match result {
        Ok(response) => response,
        Err(Denied::Refused(refused)) => refused.response(),
        Err(Denied::Challenged(refused, challenge)) => {
            refused.response().with("www-authenticate", challenge)
        }
        Err(Denied::Throttled(seconds)) => Refused::new(
            429,
            "Throttled",
            "Request was not processed because too many requests were received. Reason: \
             VaultRequestTypeLimitReached",
        )
        .response()
        .with("retry-after", seconds.to_string()),
    };
    if let Some(id) = request.header("x-ms-client-request-id") {
        response = response.with("x-ms-client-request-id", id);
    }
    response
        .with("x-ms-request-id", random::guid())
        .with("x-ms-keyvault-region", region)
        .with("x-ms-keyvault-service-version", "1.9.2284.1")
        .with("cache-control", "no-cache")
        .with("pragma", "no-cache")
}

/// Why nothing is done.
enum Denied {
    Refused(Refused),
    /// Who asks has to say who it is.
    Challenged(Refused, String),
    /// For so many seconds.
    Throttled(u64),
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

fn serve(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    operation: Operation,
    target: &Target,
) -> (String, Result<Response, Denied>) {
    let found = match &target.vault {
        Some(name) => state.world.key_vaults().get(name),
        None => state.world.key_vaults().values().next(),
    };
    let Some(vault) = found.cloned() else {
        let gone = Refused::new(404, "VaultNotFound", "There is no such key vault.");
        return (String::new(), Err(gone.into()));
    };
    let region = vault.location.clone();
    state.world.purge_old_secrets(&vault.name);
    let result = admitted(state, context, request, operation, &vault).and_then(|()| {
        let now = state.world.now().as_second();
        let mut call = Call {
            base: format!("{}{}", request.origin(), target.prefix),
            vault: vault.name.clone(),
            parts: &target.parts,
            state,
            request,
            now,
        };
        Ok(secrets::handle(&mut call, operation)?)
    });
    (region, result)
}

/// Whether the request is well-formed, its caller known, and allowed to do that.
fn admitted(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    operation: Operation,
    vault: &KeyVault,
) -> Result<(), Denied> {
    let caller = authenticated(state, context, request, vault)?;
    if let Some(throttle) = &mut state.throttle {
        throttle.admit_to_vault(&vault.name).map_err(Denied::Throttled)?;
    }
    let version = form_pairs(request.query.as_deref().unwrap_or_default().as_bytes())
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("api-version"))
        .map(|(_, version)| version);
    match version.as_deref() {
        None | Some("") => return Err(Refused::parameter("api-version must be specified").into()),
        Some(known) if API_VERSIONS.contains(&known) => {}
        Some(other) => {
            return Err(Refused::parameter(format!(
                "The specified version ({other}) is not recognized. Consider using the latest \
                 supported version (7.6)."
            ))
            .into());
        }
    }
    let Some(action) = action(operation) else {
        return Err(Refused::new(
            404,
            "Not Found",
            "The requested resource does not support this method or does not exist.",
        )
        .into());
    };
    if vault.allows(&caller.object_id, action) {
        return Ok(());
    }
    Err(Refused::new(
        403,
        "Forbidden",
        format!(
            "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny \
             assignments or role definitions were changed recently, please observe propagation \
             time.\r\nCaller: appid={};oid={};iss=https://sts.windows.net/{}/\r\nAction: \
             'Microsoft.KeyVault/vaults/secrets/{action}'\r\nResource: \
             '/subscriptions/{}/resourcegroups/sandbox/providers/microsoft.keyvault/vaults/{}'\r\n\
             Assignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null \r\nVault: \
             {};location={}\r\n",
            caller.app_id,
            caller.object_id,
            caller.tenant,
            random::derived_guid(&["subscription", &vault.directory]),
            vault.name,
            vault.name,
            vault.location,
        ),
    )
    .because("ForbiddenByRbac")
    .into())
}

fn authenticated(
    state: &State,
    context: &Context<'_>,
    request: &Request,
    vault: &KeyVault,
) -> Result<Caller, Denied> {
    let challenged = |message: String| {
        let challenge = format!(
            "Bearer authorization=\"{}/{}\", resource=\"https://vault.azure.net\"",
            context.base, vault.directory
        );
        Denied::Challenged(Refused::new(401, "Unauthorized", message), challenge)
    };
    let caller = caller::authenticate(&state.world, context, request, first_party::KEY_VAULT)
        .map_err(|refusal| {
            let words = refusal.message.as_str();
            challenged(if words.contains("is empty") {
                "AKV10000: Request is missing a Bearer or PoP token.".to_owned()
            } else if words.contains("audience") {
                "AKV10022: Invalid audience. Expected https://vault.azure.net, found another."
                    .to_owned()
            } else if words.contains("expired") {
                "[TokenExpired] Error validating token: 'IDX10223'.".to_owned()
            } else {
                "[BearerReadAccessTokenFailed] Error validating token: 'S2S12005'.".to_owned()
            })
        })?;
    if caller.tenant == vault.directory {
        return Ok(caller);
    }
    Err(challenged(format!(
        "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{}/, found \
         https://sts.windows.net/{}/.",
        vault.directory, caller.tenant
    )))
}

/// The action of Azure RBAC behind an operation, after `Microsoft.KeyVault/vaults/secrets/`.
fn action(operation: Operation) -> Option<&'static str> {
    Some(match operation {
        Operation::SetSecret => "setSecret",
        Operation::GetSecret => "getSecret",
        Operation::UpdateSecret => "update",
        Operation::DeleteSecret => "delete",
        Operation::ListSecrets
        | Operation::ListSecretVersions
        | Operation::ListDeletedSecrets
        | Operation::GetDeletedSecret => "readMetadata",
        Operation::RecoverSecret => "recover",
        Operation::PurgeSecret => "purge",
        Operation::BackupSecret => "backup",
        Operation::RestoreSecret => "restore",
        _ => return None,
    })
}
