//! Reading applications.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{
    call::{Call, WRITE_ALL, WRITE_OWNED},
    keys, owners, policies,
};
use crate::sandbox::{
    http::Response,
    odata::{EqualityHint, Query},
    schema::{APPLICATION, Refusal},
    world::{apps::App, directory::Directory},
};

/// Any of these reads applications. With `OwnedBy` all of a directory's can be listed too
/// (<https://learn.microsoft.com/en-us/graph/permissions-reference>, its remarks).
pub(super) const READ: &[&str] =
    &["Application.Read.All", WRITE_ALL, WRITE_OWNED, "Directory.Read.All"];

/// `GET /applications`
pub(super) fn list(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let query = call.query(&APPLICATION)?;
    let directory = call.directory()?;
    let candidates: Box<dyn Iterator<Item = &App>> = match query.filter_hint() {
        Some(EqualityHint::Tag(tag)) => {
            Box::new(directory.apps.tagged(&tag).collect::<Vec<_>>().into_iter())
        }
        Some(EqualityHint::AppId(id)) => {
            Box::new(directory.apps.by_app_id(&id.to_ascii_lowercase()).into_iter())
        }
        Some(EqualityHint::UniqueName(name)) => {
            Box::new(directory.apps.by_unique_name(&name).into_iter())
        }
        Some(EqualityHint::DisplayName(_)) | None => Box::new(directory.apps.iter()),
    };
    let shown: Vec<Cow<'_, Value>> = candidates
        .filter(|app| !call.lags(app))
        .map(|app| keys::shown(view(call, directory, &query, app), None))
        .collect();
    Ok(call.many(&query, "applications", shown.iter().map(AsRef::as_ref)))
}

/// `GET /applications/{id}`
pub(super) fn get(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let query = call.query(&APPLICATION)?;
    let app = call.app()?;
    let item = keys::shown(view(call, call.directory()?, &query, app), Some(&query));
    Ok(call.one(&query, "applications", &item))
}

/// An expanded link shows no more objects than this, and no link to the rest
/// (<https://learn.microsoft.com/en-us/graph/query-parameters#expand>).
const EXPANDED: usize = 20;

/// What a read shows of an application: without credentials that lag, with links that were asked
/// for.
fn view<'a>(call: &Call<'_>, directory: &Directory, query: &Query, app: &'a App) -> Cow<'a, Value> {
    let lag = call.state.lag;
    let hidden = |credential: &Value| {
        credential["keyId"]
            .as_str()
            .and_then(|key| app.fresh_keys.get(key))
            .is_some_and(|born| born.elapsed() < lag)
    };
    let mut item = Cow::Borrowed(&app.graph);
    if app.passwords().iter().any(hidden) {
        let seen: Vec<Value> = app.passwords().iter().filter(|c| !hidden(c)).cloned().collect();
        item.to_mut()["passwordCredentials"] = Value::Array(seen);
    }
    for expansion in query.expansions() {
        let targets = match expansion.navigation {
            "owners" => {
                let mut shown = owners::objects(directory, &app.owners);
                shown.truncate(EXPANDED);
                shown
            }
            "appManagementPolicies" => policies::of(call.route.version, directory, &app.policies),
            "federatedIdentityCredentials" => app.federated.clone(),
            // Links that the sandbox's world has nothing behind.
            _ => Vec::new(),
        };
        item.to_mut()[expansion.navigation] = json!(targets);
    }
    item
}
