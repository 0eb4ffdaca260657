//! The world's people: who opens a link, and what they do on the pages that they meet.

use hyper::{HeaderMap, Method, body::Bytes};

use super::{
    http::{Request, Response},
    pipeline::{Ending, Shared},
    routing::Door,
    world::{
        World,
        directory::{Administrator, Analyst, Directory},
        people,
    },
};

/// What came of handing a link to the person it is for.
#[derive(Clone, PartialEq, Eq)]
pub enum Opened {
    /// The address the browser ended on; it holds a code or a state.
    Landed(String),
    /// An error page of Microsoft's, its text: no redirect.
    Shown(String),
    /// That person never opens it.
    Nobody,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Landed(_) => f.write_str("Landed"),
            Self::Shown(text) => f.debug_tuple("Shown").field(text).finish(),
            Self::Nobody => f.write_str("Nobody"),
        }
    }
}

/// What a person does on a page that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Will {
    Accept,
    Decline,
}

struct Person {
    name: String,
    will: Will,
}

/// Pages that one link leads through at most.
const MOST_PAGES: usize = 6;

/// Opens a link as the person it is for.
pub(super) fn open(shared: &Shared, link: &str) -> Opened {
    let Ok(url) = url::Url::parse(link) else {
        return Opened::Shown("This is no address.".to_owned());
    };
    let person = match person(&shared.lock().world, &url) {
        Some(person) => person,
        None => return Opened::Nobody,
    };
    let mut request = Request {
        method: Method::GET,
        path: url.path().to_owned(),
        query: url.query().map(str::to_owned),
        host: match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        },
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    for _ in 0..MOST_PAGES {
        let response = match shared.visit(&request, Door::Pages) {
            Ending::Answer(response) => response,
            Ending::Cut | Ending::Never => {
                return Opened::Shown("The browser could not reach the page.".to_owned());
            }
        };
        if let Some((_, to)) = response.headers.iter().find(|(name, _)| name == "location") {
            return Opened::Landed(to.clone());
        }
        let Some(body) = answer(&response, &person) else {
            return Opened::Shown(text(&response));
        };
        request.method = Method::POST;
        request.body = Bytes::from(body);
    }
    Opened::Shown("The pages lead nowhere.".to_owned())
}

/// Whose turn a link is; nothing where that person does not open it.
fn person(world: &World, url: &url::Url) -> Option<Person> {
    let tenant = url.path_segments().and_then(|mut s| s.next()).unwrap_or_default();
    let directory = world.resolve(tenant).and_then(|id| world.directory(&id));
    if url.path().ends_with("/adminconsent") {
        // A link that names no directory is opened by whoever has it: the provider's own.
        let directory = directory.or_else(|| world.directories().find(|d| d.meta.home))?;
        let will = match directory.meta.people.administrator {
            Administrator::Accepts => Will::Accept,
            Administrator::Declines => Will::Decline,
            Administrator::Absent => return None,
        };
        return Some(Person { name: people::administrator(directory).user_principal_name, will });
    }
    let (analyst, other) = directory.map_or((Analyst::SignsIn, None), |d| {
        (d.meta.people.analyst, d.meta.people.signs_in_as.clone())
    });
    match analyst {
        Analyst::Absent => None,
        Analyst::SignsIn => {
            let hint =
                url.query_pairs().find(|(n, _)| n == "login_hint").map(|(_, v)| v.into_owned());
            let guest = |d: &Directory| {
                d.meta
                    .users
                    .iter()
                    .find(|u| u.guest_of.is_some())
                    .or_else(|| d.meta.users.first())
                    .map(|u| people::signs_in_with(u).to_owned())
            };
            let name = other.or(hint).or_else(|| directory.and_then(guest))?;
            Some(Person { name, will: Will::Accept })
        }
    }
}

/// The form that a person sends from a page; nothing where the page asks nothing of them.
fn answer(response: &Response, person: &Person) -> Option<String> {
    let page = String::from_utf8_lossy(&response.body);
    let has = |id: &str| page.contains(&format!("<button id=\"{id}\""));
    let visit = page.split_once("name=\"visit\" value=\"")?.1.split('"').next()?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("visit", visit);
    if has("sign-in") {
        form.append_pair("account", &person.name).append_pair("action", "sign-in");
    } else if has("accept") {
        let action = match person.will {
            Will::Accept => "accept",
            Will::Decline => "cancel",
        };
        form.append_pair("action", action);
    } else {
        return None;
    }
    Some(form.finish())
}

/// What a refusing page says, without markup.
fn text(response: &Response) -> String {
    let page = String::from_utf8_lossy(&response.body);
    let words = page
        .split_once("id=\"refused\">")
        .and_then(|(_, rest)| rest.split_once("</p>"))
        .map_or_else(|| format!("HTTP {}", response.status), |(words, _)| words.to_owned());
    words
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// `POST /_sandbox/people {"open": LINK}`: the link of that body.
pub(super) fn asked(value: &serde_json::Value) -> Result<&str, String> {
    match (value.get("open").and_then(serde_json::Value::as_str), value.as_object()) {
        (Some(link), Some(object)) if object.len() == 1 => Ok(link),
        _ => Err("the body must be {\"open\": \"https://…\"}".to_owned()),
    }
}
