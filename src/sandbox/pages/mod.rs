//! Pages for people: the index, the Defender portal, and (in `login`) those of Entra ID.

pub(super) mod login;
pub(super) mod look;

use hyper::Method;

use super::{
    engine::State,
    http::{Request, Response, form_pairs},
    world::{directory::Portal, people},
};
use look::{escape, page};

/// How many directories the index lists.
const LISTED: usize = 200;

/// Answers at `/`: the portal where `tid` names a directory, the index otherwise.
pub(super) fn answer(state: &mut State, request: &Request) -> Response {
    let tid = form_pairs(request.query.as_deref().unwrap_or_default().as_bytes())
        .into_iter()
        .find(|(name, _)| name == "tid")
        .map(|(_, value)| value);
    match (&request.method, request.path.as_str(), tid) {
        (&Method::GET | &Method::HEAD, "/", None) => index(state),
        (&Method::GET | &Method::HEAD, "/", Some(tid)) => portal(state, &tid, ""),
        (&Method::POST, "/", Some(tid)) if request.same_origin() => authorize(state, request, &tid),
        (&Method::GET | &Method::HEAD, _, _) => {
            page(404, "Not found", "<p>There is no such page.</p>")
        }
        (&Method::POST, "/", Some(_)) => {
            page(403, "Not from here", "<p>The form is another page's.</p>")
        }
        _ => page(405, "Not allowed", "<p>This page is only read.</p>").with("allow", "GET, HEAD"),
    }
}

fn index(state: &State) -> Response {
    let mut rows = String::new();
    for directory in state.world.directories().take(LISTED) {
        let users: String = people::accounts(directory)
            .iter()
            .chain(directory.meta.users.iter().filter(|u| u.guest_of.is_some()))
            .map(|u| {
                let guest = if u.guest_of.is_some() { "guest, " } else { "" };
                format!(
                    "<li>{} ({guest}{})</li>",
                    escape(people::signs_in_with(u)),
                    escape(&u.roles.join(", "))
                )
            })
            .collect();
        rows.push_str(&format!(
            "<li><a href=\"/?tid={0}\">{1}</a> <code>{0}</code><ul>{users}</ul></li>",
            escape(&directory.meta.id),
            escape(&directory.meta.name)
        ));
    }
    page(
        200,
        "tenantry sandbox",
        &format!(
            "<p>Microsoft Graph, Entra ID and Defender in a box. Each directory leads to its Defender portal.</p><ul>{rows}</ul>"
        ),
    )
}

/// Settings › Endpoints › APIs › SIEM › MSSP, as it was
/// (<https://learn.microsoft.com/en-us/defender-xdr/fetch-incidents>).
fn portal(state: &State, tid: &str, said: &str) -> Response {
    let found = state.world.resolve(tid).and_then(|id| state.world.directory(&id));
    let Some(directory) = found else {
        return page(404, "Microsoft Defender", "<p id=\"refused\">There is no such tenant.</p>");
    };
    let done = match directory.meta.people.portal {
        Portal::Done => "<p id=\"done\">An application is authorized.</p>",
        Portal::NotDone => "<p>No application is authorized.</p>",
    };
    page(
        200,
        "Microsoft Defender",
        &format!(
            "<p>{}</p><p>Settings › Endpoints › APIs › SIEM › MSSP</p>{said}{done}\
             <form method=\"post\" action=\"/?tid={}\">\
             <label>Application ID <input name=\"application\" size=\"40\"></label>\
             <label>Tenant ID <input name=\"tenant\" size=\"40\"></label>\
             <button id=\"authorize\">Authorize application</button></form>",
            escape(&directory.meta.name),
            escape(&directory.meta.id)
        ),
    )
}

fn authorize(state: &mut State, request: &Request, tid: &str) -> Response {
    let pairs = form_pairs(&request.body);
    let guid = |name: &str| {
        pairs
            .iter()
            .find(|(n, _)| n == name)
            .is_some_and(|(_, v)| uuid::Uuid::parse_str(v.trim()).is_ok())
    };
    if !guid("application") || !guid("tenant") {
        return portal(state, tid, "<p id=\"refused\">Both must be ids.</p>");
    }
    if let Some(tenant) = state.world.resolve(tid) {
        state.world.change_meta(&tenant, |m| m.people.portal = Portal::Done);
    }
    portal(state, tid, "")
}
