//! The pages of Entra ID: sign in, consent, refusals, and the form that carries an answer.

use super::look::{escape, page};
use crate::sandbox::{
    entra::grants::{Kind, Permission},
    http::Response,
};

/// One account to choose.
pub(in crate::sandbox) struct Choice {
    /// The name with which it signs in.
    pub(in crate::sandbox) name: String,
    /// Whose it is.
    pub(in crate::sandbox) who: String,
}

/// Where people sign in.
pub(in crate::sandbox) fn sign_in(
    app: &str,
    link: &str,
    visit: &str,
    choices: &[Choice],
    hint: &str,
) -> Response {
    let mut rows = String::new();
    let listed = choices.iter().any(|c| c.name.eq_ignore_ascii_case(hint));
    for Choice { name, who } in choices {
        let checked = if name.eq_ignore_ascii_case(hint) { " checked" } else { "" };
        rows.push_str(&format!(
            "<label><input type=\"radio\" name=\"account\" value=\"{0}\"{checked}> {1} ({0})</label>",
            escape(name),
            escape(who)
        ));
    }
    let typed = if listed { String::new() } else { escape(hint) };
    page(
        200,
        "Sign in",
        &format!(
            "<p>to continue to {}</p><form method=\"post\" action=\"{}\">\
             <input type=\"hidden\" name=\"visit\" value=\"{}\">\
             <fieldset><legend>Account</legend>{rows}\
             <label>Another account <input name=\"login\" value=\"{typed}\" autocomplete=\"off\"></label></fieldset>\
             <button id=\"sign-in\" name=\"action\" value=\"sign-in\">Sign in</button>\
             <button id=\"cancel\" name=\"action\" value=\"cancel\">Cancel</button></form>",
            escape(app),
            escape(link),
            escape(visit),
        ),
    )
}

/// What a consent page asks.
pub(in crate::sandbox) struct Asked<'a> {
    /// The app's name.
    pub(in crate::sandbox) app: &'a str,
    /// Who vouches for it, where somebody does.
    pub(in crate::sandbox) publisher: Option<&'a str>,
    /// Who is asked.
    pub(in crate::sandbox) account: &'a str,
    /// The name of the directory that it holds for.
    pub(in crate::sandbox) directory: &'a str,
    /// What is asked for.
    pub(in crate::sandbox) permissions: &'a [Permission],
    /// For whom.
    pub(in crate::sandbox) reach: Reach,
}

/// For whom a consent may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Reach {
    /// For the whole directory: an administrator's link.
    Everyone,
    /// For oneself, or for everyone where the box is ticked.
    Choice,
    /// For oneself.
    Oneself,
}

/// Where people consent.
pub(in crate::sandbox) fn consent(asked: &Asked<'_>, link: &str, visit: &str) -> Response {
    let Asked { app, publisher, account, directory, permissions, reach } = asked;
    let mut list = String::new();
    for permission in *permissions {
        let whose = match permission.kind {
            Kind::Application => "as the app itself, without a signed-in user",
            Kind::AdminScope | Kind::UserScope => "on behalf of a signed-in user",
        };
        list.push_str(&format!(
            "<li>{} <code>{}</code> of {}, {whose}</li>",
            escape(in_words(&permission.value)),
            escape(&permission.value),
            escape(&permission.api)
        ));
    }
    let (title, more) = match reach {
        Reach::Everyone => (
            "Permissions requested: review for your organization",
            "<p>If you accept, this app gets access to the specified resources for all users in your organization. No one else will be prompted to review these permissions.</p>",
        ),
        Reach::Choice => (
            "Permissions requested",
            "<label><input type=\"checkbox\" name=\"organization\" value=\"yes\"> Consent on behalf of your organization</label>",
        ),
        Reach::Oneself => ("Permissions requested", ""),
    };
    page(
        200,
        title,
        &format!(
            "<p>{} in {}</p><p><strong>{}</strong><br>{}</p><p>This app would like to:</p><ul>{list}</ul>\
             <form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"visit\" value=\"{}\">{more}\
             <button id=\"cancel\" name=\"action\" value=\"cancel\">Cancel</button>\
             <button id=\"accept\" name=\"action\" value=\"accept\">Accept</button></form>",
            escape(account),
            escape(directory),
            escape(app),
            publisher.map_or_else(|| "unverified".to_owned(), escape),
            escape(link),
            escape(visit),
        ),
    )
}

/// A user who may not consent meets this.
pub(in crate::sandbox) fn need_approval(app: &str, link: &str, visit: &str) -> Response {
    page(
        200,
        "Need admin approval",
        &format!(
            "<p id=\"refused\">AADSTS90094: {} needs permission to access resources in your organization that \
             only an admin can grant. Please ask an admin to grant permission to this app before you can use \
             it.</p><form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"visit\" value=\"{}\">\
             <button id=\"cancel\" name=\"action\" value=\"cancel\">Return to the application without granting \
             consent</button></form>",
            escape(app),
            escape(link),
            escape(visit)
        ),
    )
}

/// A refusal that stays on the page.
pub(in crate::sandbox) fn trouble(text: &str) -> Response {
    page(
        400,
        "Sorry, but we\u{2019}re having trouble signing you in.",
        &format!("<p id=\"refused\">{}</p>", escape(text)),
    )
}

/// `response_mode=form_post`: a form that carries the answer to the app.
pub(in crate::sandbox) fn post_back(to: &str, pairs: &[(String, String)]) -> Response {
    let fields: String = pairs
        .iter()
        .map(|(n, v)| {
            format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(n), escape(v))
        })
        .collect();
    page(
        200,
        "Working...",
        &format!(
            "<form method=\"post\" action=\"{}\">{fields}<button id=\"continue\">Continue</button></form>",
            escape(to)
        ),
    )
}

/// A permission's display name, as Microsoft's consent page words it.
fn in_words(value: &str) -> &str {
    match value {
        "SecurityIncident.Read.All" => "Read all security incidents",
        "SecurityIncident.ReadWrite.All" => "Read and write to all security incidents",
        "SecurityAlert.Read.All" => "Read all security alerts",
        "Incident.Read.All" => "Read all incidents",
        "Incident.Read" => "Read incidents",
        "User.Read" => "Sign in and read user profile",
        "openid" => "Sign users in",
        "profile" => "View users' basic profile",
        "email" => "View users' email address",
        "offline_access" => "Maintain access to data you have given it access to",
        _ => "Use",
    }
}
