//! What people are sent: ready texts for the customer's administrator, the analyst and whoever may
//! manage the Defender portal. Plain text, the same on a screen, in a report and on a page.

use super::{paper::clean, status::since_words};
use crate::{
    connector::RESOURCES,
    ids::FleetName,
    manifest::NamedPermission,
    plan::manual,
    registration::PermissionKind,
    status::{
        Death, EvidenceKind, Facet, FacetName, Left, NextStep, State, Status, TenantStatus,
        WaitingFor,
    },
};

/// Where in the Defender portal.
pub const PORTAL_PATH: &str = "Settings › Endpoints › APIs › SIEM › MSSP";

/// What is honest to say of that place.
pub const PORTAL_NOTE: &str = "Microsoft says since 2026-09 that this step belongs to the deprecated \
    SIEM API; current integrations use Entra consent instead.";

/// A text for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Whom it is for.
    pub to: String,
    /// What it is about, in one line.
    pub subject: String,
    /// Its paragraphs, each a line without a break; no markup, no control characters.
    pub paragraphs: Vec<String>,
}

impl Letter {
    fn new(to: &str, subject: String, paragraphs: Vec<String>) -> Self {
        Self {
            to: clean(to),
            subject: clean(&subject),
            paragraphs: paragraphs.iter().map(|text| clean(text)).collect(),
        }
    }

    /// All of it, ready to be pasted into a mail.
    pub fn text(&self) -> String {
        let mut text = format!("Subject: {}", self.subject);
        let mut in_list = false;
        for paragraph in &self.paragraphs {
            let item = paragraph.starts_with([' ', '-', '1', '2', '3', '4']);
            // Items of one list stand close together.
            text.push_str(if item && in_list { "\n" } else { "\n\n" });
            text.push_str(paragraph);
            in_list = item;
        }
        text.push('\n');
        text
    }
}

/// A text for each person whose turn it is.
pub fn letters(status: &Status, tenant: &TenantStatus) -> Vec<Letter> {
    let asks = tenant.waits(FacetName::Consent, WaitingFor::CustomerAdmin);
    let signs_in = tenant.waits(FacetName::Token, WaitingFor::Analyst);
    [
        asks.then(|| to_administrator(status, tenant)).flatten(),
        signs_in.then(|| to_analyst(status, tenant)).flatten(),
        tenant.needs_portal().then(|| to_portal(status, tenant)).flatten(),
        to_customer(status, tenant),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whom to answer: nobody here knows, so whoever sends it fills it in.
fn signed(fleet: &FleetName, deed: &str) -> String {
    format!(
        "Questions, or if you did not expect this: [name, telephone, e-mail], {fleet}. Please check \
         with us by a way that you know already before you {deed}."
    )
}

/// For the administrator of a customer that was offboarded: what of us is still in their directory,
/// and how to remove it.
pub fn to_remove(fleet: &FleetName, left: &Left) -> Letter {
    let Left { name, app_name, client_id, object_id, since, next_step, app_stays, .. } = left;
    let object = object_id.map(|id| format!("- object id, in your directory: {id}"));
    let what = if *app_stays {
        "What we held of your directory is deleted on our side. The application below is not: other \
         customers of ours use it, so it can still sign in to your directory, and read what you \
         granted to it, until you remove its enterprise application there. Only you can:"
    } else {
        "The application below, its secrets and what we held of your directory are deleted on our \
         side. In your directory its enterprise application is left, with what you granted to it. \
         It can sign in no more; only you can remove it:"
    };
    let mut paragraphs = vec![
        format!(
            "To the administrator of {name}: we stopped reading your security incidents on {}. {what}",
            since.strftime("%Y-%m-%d")
        ),
        format!("- application: {app_name}"),
        format!("- application id: {client_id}"),
    ];
    paragraphs.extend(object);
    paragraphs.extend([
        "1. Open Entra ID › Enterprise applications › All applications".to_owned(),
        "2. Look for the application id, and compare it".to_owned(),
        "3. Properties › Delete. What was granted goes with it".to_owned(),
        "Needed: Cloud Application Administrator. Then tell us who did it, when, and your ticket."
            .to_owned(),
        signed(fleet, "delete it"),
    ]);
    let subject = format!("Remove \"{app_name}\" from the directory of {name}");
    Letter::new(&next_step.who, subject, paragraphs)
}

/// For the customer's administrator: what is asked for and why, what the page will show, the link.
pub fn to_administrator(status: &Status, tenant: &TenantStatus) -> Option<Letter> {
    let facet = tenant.facet(FacetName::Consent);
    let next = facet.next_step.as_ref()?;
    let link = next.link.as_ref()?;
    let client = tenant.client_id?;
    let asked = &tenant.asked;
    let again = match facet.state {
        State::Failed => match facet.evidence.kind {
            EvidenceKind::Proved => {
                "It was granted before, and is not there any more. If that was meant, tell us, and we \
                 stop asking."
            }
            EvidenceKind::Observed | EvidenceKind::Attested => {
                "An administrator has declined this before. If something in it is wrong, tell us."
            }
        },
        State::Unknown => {
            "If an administrator has accepted it already, there is nothing to do: from here we cannot \
             see it."
        }
        State::Ok | State::Waiting | State::Expiring | State::NotNeeded => "",
    };
    let landing = match &asked.landing {
        Some(page) => format!("After accepting you land on a page of ours, {page}."),
        None => {
            "After accepting you may see an error page: the app has no page to send you to. Your \
                 answer counts all the same; you can close it."
                .to_owned()
        }
    };
    let mut paragraphs = vec![format!(
        "To the administrator of {}: so that we can watch over your security incidents, the \
             application below needs your consent in your directory. It asks for:",
        tenant.name
    )];
    paragraphs.extend(asked.permissions.iter().map(|one| format!("- {}", permission_words(one))));
    if !again.is_empty() {
        paragraphs.push(again.to_owned());
    }
    paragraphs.extend([
        format!("Application: {} (application id {client})", asked.app_name),
        format!("Link, for your directory only: {link}"),
        format!(
            "The page is Microsoft's. It shows the application's name, the permissions above, and, \
             where our publisher is not verified, the word \"unverified\". Compare the application \
             id. {landing}"
        ),
        "Needed: Privileged Role Administrator or Global Administrator where the application acts as \
         itself; Cloud Application Administrator is enough for the rest. You can take the consent \
         back at any time: Entra ID › Enterprise applications."
            .to_owned(),
        signed(&status.fleet, "accept"),
    ]);
    let subject = format!("Consent for \"{}\" in the directory of {}", asked.app_name, tenant.name);
    Some(Letter::new(&next.who, subject, paragraphs))
}

/// For the analyst: sign in once, by the command that checks who signs in.
pub fn to_analyst(status: &Status, tenant: &TenantStatus) -> Option<Letter> {
    let facet = tenant.facet(FacetName::Token);
    let next = facet.next_step.as_ref()?;
    let command = next.command.as_ref()?;
    let who = tenant.asked.sign_in_as.as_deref().unwrap_or("the analyst");
    // What Entra ID answered is the operator's to read, not the analyst's.
    let cause = Death::ALL.map(Death::cause).into_iter();
    let what = &facet.evidence.what;
    let why = cause.filter(|cause| what.starts_with(cause)).max_by_key(|cause| cause.len());
    let mut paragraphs = vec![
        format!(
            "For {}: please sign in once as {who}, so that its incidents can be read in your name \
             with no more than a reader's rights.",
            tenant.name
        ),
        format!("Run: {command}"),
        "It opens Microsoft's sign-in page in your browser. Sign in as that user and no other: a \
         token of somebody else, or of someone with more rights than a reader, is refused."
            .to_owned(),
    ];
    match why {
        Some(why) => paragraphs.push(format!("Why now: {why}.")),
        None if what.contains("AADSTS") => {}
        None => paragraphs.push(format!("Why now: {what}.")),
    }
    paragraphs.push(format!("Questions: [name, telephone, e-mail], {}.", status.fleet));
    let subject = format!("Sign in once for {}", tenant.name);
    Some(Letter::new(&next.who, subject, paragraphs))
}

/// For the customer's administrator, where all is granted and Microsoft refuses the call all the
/// same, or they have switched the app off: what only they can mend. A no that may be of our own
/// making is nobody's letter.
pub fn to_customer(status: &Status, tenant: &TenantStatus) -> Option<Letter> {
    let client = tenant.client_id?;
    let failed = [FacetName::Consent, FacetName::Access].into_iter().find_map(|name| {
        let facet = tenant.facet(name);
        let theirs = match facet.state {
            State::Failed => facet.waiting_for.is_none(),
            State::Ok | State::Waiting | State::Expiring | State::Unknown | State::NotNeeded => {
                false
            }
        };
        let theirs_alone = |next: &&NextStep| next.who == manual::administrator(&tenant.name);
        facet.next_step.as_ref().filter(|_| theirs).filter(theirs_alone)
    });
    let next = failed?;
    let paragraphs = vec![
        format!(
            "To the administrator of {}: so that we can watch over your security incidents, the \
             application below reads them. At the moment it cannot, and only you can change that:",
            tenant.name
        ),
        format!("Application: {} (application id {client})", tenant.asked.app_name),
        format!("What to do: {}.", next.what.trim_end_matches('.')),
        "Then tell us, and we try again.".to_owned(),
        signed(&status.fleet, "change anything"),
    ];
    let subject = format!("We cannot read the incidents of {}", tenant.name);
    Some(Letter::new(&next.who, subject, paragraphs))
}

/// For whoever may manage the Defender portal: where, what to paste, since when.
pub fn to_portal(status: &Status, tenant: &TenantStatus) -> Option<Letter> {
    let facet = tenant.facet(FacetName::Portal);
    let next = facet.next_step.as_ref()?;
    let link = next.link.as_ref()?;
    let client = tenant.client_id?;
    let mut paragraphs = vec![
        format!(
            "For {}: the application below is still to be authorized in the Defender portal. It \
             takes the permission \"Manage portal system settings\" there.",
            tenant.name
        ),
        format!("1. Open {link}"),
        format!("2. {PORTAL_PATH}"),
        format!("3. Paste the application id {client}"),
        format!("   and our tenant id       {}", status.home),
        "4. Authorize application".to_owned(),
        format!(
            "Then tell us who did it, when, and your ticket. If there is no such page, tell us that. \
             {PORTAL_NOTE}{}",
            readable(tenant)
        ),
    ];
    if let Some(since) = since_words(status, facet) {
        paragraphs.push(format!("Waiting since {since}."));
    }
    paragraphs.push(signed(&status.fleet, "accept"));
    let subject = format!("Authorize \"{}\" in the Defender portal", tenant.asked.app_name);
    Some(Letter::new(&next.who, subject, paragraphs))
}

/// That incidents can be read without the portal step, where that is proved.
pub(super) fn readable(tenant: &TenantStatus) -> String {
    let Facet { state, evidence, .. } = tenant.facet(FacetName::Access);
    match state {
        State::Ok => format!(
            " Incidents can already be read here (proved {} UTC).",
            evidence.at.strftime("%Y-%m-%d %H:%M")
        ),
        State::Waiting | State::Expiring | State::Failed | State::Unknown | State::NotNeeded => {
            String::new()
        }
    }
}

/// A permission in words: what it lets the app do, in whose name, and why.
pub fn permission_words(permission: &NamedPermission) -> String {
    let NamedPermission { resource, kind, name } = permission;
    let what = match name.as_str() {
        "SecurityIncident.Read.All" | "Incident.Read.All" | "Incident.Read" => {
            "read security incidents, to watch and sort them"
        }
        "SecurityIncident.ReadWrite.All" | "Incident.ReadWrite.All" | "Incident.ReadWrite" => {
            "read and change security incidents, to sort and close them"
        }
        "SecurityAlert.Read.All" | "Alert.Read.All" => {
            "read the security alerts that incidents are made of"
        }
        "SecurityAlert.ReadWrite.All" | "Alert.ReadWrite.All" => {
            "read and change security alerts, to sort and close them"
        }
        "SecurityEvents.Read.All" => "read security events",
        "ThreatHunting.Read.All"
        | "AdvancedHunting.Read.All"
        | "AdvancedHunting.Read"
        | "AdvancedQuery.Read.All" => "run hunting queries, to look into an incident",
        "CustomDetections.ReadWrite.All" => "read and change custom detection rules",
        "Machine.Read.All" => "read which devices there are, to look into an incident",
        "offline_access" => {
            "stay signed in as the analyst, so that nobody has to sign in each hour"
        }
        "User.Read" | "openid" | "profile" | "email" => "know which analyst has signed in",
        _ => "see Microsoft's description on the page",
    };
    let api = RESOURCES
        .iter()
        .find(|(_, id)| id == resource)
        .map_or_else(|| resource.to_string(), |(name, _)| (*name).to_owned());
    let whose = match kind {
        PermissionKind::Application => "as itself",
        PermissionKind::Delegated => "in the name of the analyst who signs in",
    };
    format!("{what} ({name} of {api}, {whose})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{GRAPH, KNOWN_PERMISSIONS};

    #[test]
    fn every_permission_that_has_a_name_here_has_words_too() {
        for (resource, name, role, _) in KNOWN_PERMISSIONS {
            let kind = match role {
                Some(_) => PermissionKind::Application,
                None => PermissionKind::Delegated,
            };
            let words = permission_words(&NamedPermission {
                resource: *resource,
                kind,
                name: (*name).to_owned(),
            });
            assert!(!words.starts_with("see Microsoft's") && words.contains(name), "{words}");
        }
        let unknown = NamedPermission {
            resource: GRAPH,
            kind: PermissionKind::Delegated,
            name: "X.Y".to_owned(),
        };
        assert!(permission_words(&unknown).contains("X.Y of Microsoft Graph, in the name of"));
    }

    #[test]
    fn a_text_is_plain_and_its_lists_stand_close() {
        let paragraphs = ["a\u{1b}[2J", "- b", "- c\nd", "e"].map(str::to_owned).to_vec();
        let letter = Letter::new("x", "s".to_owned(), paragraphs);
        assert_eq!(letter.text(), "Subject: s\n\na\u{fffd}[2J\n\n- b\n- c\u{fffd}d\n\ne\n");
    }
}
