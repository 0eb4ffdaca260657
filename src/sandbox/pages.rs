//! Pages for people, over plain http so that no browser warns.

use hyper::Method;

use super::http::{Request, Response};

/// The page that every address shows for now.
pub(super) fn answer(request: &Request) -> Response {
    if request.method != Method::GET && request.method != Method::HEAD {
        return Response::html(405, "<!doctype html><title>405</title><p>Not allowed.")
            .with("allow", "GET, HEAD");
    }
    Response::html(
        200,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>tenantry sandbox</title>\
         <h1>tenantry sandbox</h1><p>This is a sandbox: Microsoft Graph, Entra ID and Defender in a box. \
         Sign-in and consent pages are not here yet.</p></html>",
    )
}
