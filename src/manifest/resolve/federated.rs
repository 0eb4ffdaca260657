//! Issuers whose tokens stand in for a secret.

use url::Url;

use crate::manifest::{
    mistakes::Wrong,
    read::{At, Cx, Field, Item, List},
    sections::{AzurePipelines, FederatedFields, GitHub},
    words::Free,
};
use crate::registration::Federated;

use super::app::Owner;

/// The audience Entra recommends
/// (<https://learn.microsoft.com/en-us/graph/api/resources/federatedidentitycredentials-overview>).
const AUDIENCE: &str = "api://AzureADTokenExchange";
/// <https://docs.github.com/en/actions/concepts/security/openid-connect>
const GITHUB: &str = "https://token.actions.githubusercontent.com";
/// The most issuers of an app, and the most characters of each of their texts (same page).
const MOST: usize = 20;
const LONGEST: usize = 600;

/// Reads the issuers of an app.
pub(super) fn issuers(
    cx: &mut Cx<'_>,
    owner: Owner<'_>,
    at: At,
    list: &List<FederatedFields>,
) -> Option<Vec<Federated>> {
    let List { items, wrong } = list;
    if items.len() > MOST {
        cx.wrong(at, Wrong::new(format!("an app may have {MOST} federated credentials")));
        return None;
    }
    let mut issuers: Vec<Federated> = Vec::new();
    let mut sound = *wrong == 0;
    for item in items {
        let Some(issuer) = issuer(cx, owner, item) else {
            sound = false;
            continue;
        };
        if issuers.iter().any(|i| i.issuer == issuer.issuer && i.subject == issuer.subject) {
            cx.wrong(item.at, Wrong::new("the same issuer and subject stand here twice"));
            sound = false;
        }
        issuers.push(issuer);
    }
    sound.then_some(issuers)
}

fn issuer(cx: &mut Cx<'_>, owner: Owner<'_>, item: &Item<FederatedFields>) -> Option<Federated> {
    let FederatedFields { issuer, subject, audience, github_actions, azure_pipelines } =
        &item.value;
    let plain = issuer.is_given() || subject.is_given();
    let ways = [plain, github_actions.is_given(), azure_pipelines.is_given()];
    if ways.iter().filter(|way| **way).count() != 1 {
        let wrong = Wrong::new(
            "expected exactly one of: issuer and subject, githubActions, azurePipelines",
        );
        cx.wrong(item.at, wrong);
        return None;
    }
    let audience = match audience.is_given() {
        true => text(cx, owner, item.at, audience, "audience"),
        false => Some(AUDIENCE.to_owned()),
    };
    let (issuer, subject) = if let Some((at, github)) = github_actions.get() {
        (Some(GITHUB.to_owned()), github_subject(cx, owner, at, github))
    } else if let Some((at, pipelines)) = azure_pipelines.get() {
        pipelines_subject(cx, owner, at, pipelines)?
    } else if plain {
        let issuer_text = text(cx, owner, item.at, issuer, "issuer");
        let https = issuer_text
            .as_deref()
            .is_none_or(|text| Url::parse(text).is_ok_and(|url| url.scheme() == "https"));
        if let Some(at) = issuer.at.filter(|_| !https) {
            cx.wrong(at, Wrong::new("an issuer is an https address").label("https://…"));
        }
        (issuer_text.filter(|_| https), text(cx, owner, item.at, subject, "subject"))
    } else {
        return None;
    };
    Some(Federated { issuer: issuer?, subject: subject?, audience: audience? })
}

/// `repo:OWNER/NAME:environment:ENV`, `…:ref:refs/heads/BRANCH`, `…:ref:refs/tags/TAG`
/// (<https://docs.github.com/en/actions/reference/security/oidc>).
fn github_subject(cx: &mut Cx<'_>, owner: Owner<'_>, at: At, github: &GitHub) -> Option<String> {
    let GitHub { repository, environment, branch, tag } = github;
    let name = text(cx, owner, at, repository, "repository");
    let parts = name.as_deref().map(|name| name.split('/').map(str::is_empty).collect::<Vec<_>>());
    if parts.is_some_and(|parts| parts != [false, false]) {
        let wrong = Wrong::new("a repository is written `owner/name`");
        cx.wrong(repository.at.unwrap_or(at), wrong);
        return None;
    }
    let given =
        [(environment, "environment:"), (branch, "ref:refs/heads/"), (tag, "ref:refs/tags/")];
    let mut given = given.iter().filter(|(field, _)| field.is_given());
    let (Some((field, prefix)), None) = (given.next(), given.next()) else {
        let wrong = Wrong::new("expected exactly one of: environment, branch, tag")
            .label("without it any workflow of the repository could sign in");
        cx.wrong(at, wrong);
        return None;
    };
    let which = text(cx, owner, at, field, "environment, branch or tag");
    Some(format!("repo:{}:{prefix}{}", name?, which?))
}

/// Issuer `https://vstoken.dev.azure.com/ORGANIZATION-ID`, subject `sc://ORG/PROJECT/CONNECTION`
/// (<https://learn.microsoft.com/en-us/azure/devops/pipelines/release/configure-workload-identity>).
fn pipelines_subject(
    cx: &mut Cx<'_>,
    owner: Owner<'_>,
    at: At,
    pipelines: &AzurePipelines,
) -> Option<(Option<String>, Option<String>)> {
    let AzurePipelines { organization, organization_id, project, service_connection } = pipelines;
    if !organization_id.is_given() {
        cx.wrong(at, Wrong::new("`organizationId` is missing"));
    }
    let organization = text(cx, owner, at, organization, "organization");
    let project = text(cx, owner, at, project, "project");
    let connection = text(cx, owner, at, service_connection, "serviceConnection");
    let id = organization_id.value?;
    Some((
        Some(format!("https://vstoken.dev.azure.com/{id}")),
        Some(format!("sc://{}/{}/{}", organization?, project?, connection?)),
    ))
}

/// A text that must be there.
fn text(
    cx: &mut Cx<'_>,
    owner: Owner<'_>,
    section: At,
    field: &Field<Free>,
    name: &str,
) -> Option<String> {
    let Some((at, text)) = field.get() else {
        if !field.is_given() {
            cx.wrong(section, Wrong::new(format!("`{name}` is missing")));
        }
        return None;
    };
    let text = owner.fill(cx, at, &text.0)?;
    if text.len() > LONGEST {
        cx.wrong(at, Wrong::new(format!("may have {LONGEST} characters")));
        return None;
    }
    Some(text)
}
