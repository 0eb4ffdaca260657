//! What an app is to be: the same rules for a tenant's own app and a shared one.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;
use uuid::Uuid;

use crate::{
    connector::{
        Connector, GRAPH, KNOWN_PERMISSIONS, api_name, known_permission, steers_the_sign_in,
    },
    ids::AppKey,
    lifetime::Lifetime,
    manifest::{
        App, Credential, Layout, NamedPermission, SecretRule,
        mistakes::Wrong,
        placeholder::{Unfilled, Values},
        read::{At, Cx, Field, List, pick},
        redirect,
        sections::{Info, PermissionFields, SecretFields, SharedFields},
        words::{CredentialKind, Free, nearest},
    },
    registration::{Audience, Links, PermissionKind, RedirectUri},
};

use super::{Base, federated};

/// The article's name for an app.
const DISPLAY_NAME: &str = "{name} SIEM MSSP Connector";
/// The most characters of a link on the consent page.
const LONGEST_LINK: usize = 2048;
/// The most owners of an app
/// (<https://learn.microsoft.com/en-us/entra/identity/users/directory-service-limits-restrictions>).
const MOST_OWNERS: usize = 100;
/// The most permissions of an app, and the most APIs they may belong to
/// (<https://learn.microsoft.com/en-us/graph/api/resources/application>).
const MOST_PERMISSIONS: (usize, usize) = (400, 50);

/// The most characters of an app's display name
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/supported-accounts-validation>).
const fn longest_name(audience: Audience) -> usize {
    match audience {
        Audience::MyOrg | Audience::MultipleOrgs => 120,
        Audience::MultipleOrgsAndPersonal | Audience::Personal => 90,
    }
}

/// Whom a text is filled in for.
#[derive(Clone, Copy)]
pub(super) struct Owner<'o> {
    /// The tenant or shared app.
    pub(super) at: At,
    /// `tenant` or `shared app`.
    pub(super) noun: &'static str,
    /// What its placeholders stand for.
    pub(super) values: Values<'o>,
}

impl Owner<'_> {
    /// Fills a text in; what is missing is reported where it can be mended.
    pub(super) fn fill(&self, cx: &mut Cx<'_>, at: At, text: &str) -> Option<String> {
        match self.values.fill(text) {
            Ok(text) => Some(text),
            Err(Unfilled::Text(wrong)) => {
                cx.wrong(at, wrong);
                None
            }
            Err(Unfilled::Missing(name)) => {
                let what = if cx.is_within(at, self.at) {
                    format!("needs {{{name}}}, and this {} has none", self.noun)
                } else {
                    let path = cx.tree(at).path(at.node);
                    format!("`{path}` needs {{{name}}}, and this {} has none", self.noun)
                };
                let at = self.here(cx, at);
                cx.wrong(
                    at,
                    Wrong::new(what).help(format!("give it `{name}`, or a text without it")),
                );
                None
            }
        }
    }

    /// Where to report something that is wrong with an inherited value for this owner only.
    pub(super) fn here(&self, cx: &Cx<'_>, at: At) -> At {
        if cx.is_within(at, self.at) { at } else { self.at }
    }
}

/// The fields an app is made of, the tenant's or shared app's own before those of `defaults`.
pub(super) struct Fields<'f> {
    pub(super) display_name: &'f Field<Free>,
    pub(super) redirect_uris: &'f Field<List<Free>>,
    pub(super) permissions: &'f Field<List<PermissionFields>>,
    pub(super) info: (&'f Field<Info>, &'f Field<Info>),
    pub(super) credential: &'f Field<CredentialKind>,
    pub(super) federated: &'f Field<List<crate::manifest::sections::FederatedFields>>,
    pub(super) secret: (&'f Field<SecretFields>, &'f Field<SecretFields>),
    pub(super) owners: &'f Field<List<Uuid>>,
}

/// What an app is besides its fields.
pub(super) struct Frame {
    pub(super) key: AppKey,
    pub(super) layout: Layout,
    pub(super) connector: Option<Connector>,
    pub(super) audience: Option<Audience>,
}

/// Makes an app of its fields; each part is checked although another is wrong.
pub(super) fn make(
    cx: &mut Cx<'_>,
    owner: Owner<'_>,
    frame: Frame,
    fields: &Fields<'_>,
) -> Option<App> {
    let Frame { key, layout, connector, audience } = frame;
    let limits = audience.unwrap_or(Audience::MultipleOrgs);
    let display_name = display_name(cx, owner, fields.display_name, limits);
    let redirect_uris = redirect_uris(cx, owner, fields.redirect_uris, limits);
    let permissions = permissions(cx, fields.permissions, connector);
    let links = links(cx, owner, fields.info);
    let credential = credential(cx, owner, fields);
    let secret = secret(cx, owner, fields.secret);
    let owners = owners(cx, fields.owners);
    Some(App {
        key,
        layout,
        connector: connector?,
        display_name: display_name?,
        audience: audience?,
        redirect_uris: redirect_uris?,
        permissions: permissions?,
        links: links?,
        owners: owners?,
        credential: credential?,
        secret: secret?,
        tenants: Vec::new(),
        place: cx.tree(owner.at).place(owner.at.node),
    })
}

/// A shared app, still without its tenants.
pub(super) fn shared(
    cx: &mut Cx<'_>,
    base: &Base,
    key: AppKey,
    at: At,
    own: &SharedFields,
) -> Option<App> {
    let defaults = base.defaults();
    let connector = own.connector.or(&defaults.connector);
    super::check_connector(cx, base, at, connector);
    let name = own.name.settle(Free(key.to_string()))?.0;
    let key_text = key.to_string();
    let known = [("key", Some(key_text.as_str())), ("name", Some(name.as_str()))];
    let owner = Owner { at, noun: "shared app", values: Values { known: &known } };
    let mut display_name = own.display_name.or(&defaults.display_name).clone();
    let of_one = |text: &Free| text.0.contains("{domain}") || text.0.contains("{id}");
    if !own.display_name.is_given() && display_name.value.as_ref().is_some_and(of_one) {
        let wrong =
            Wrong::new("the `displayName` of `defaults` does not fit an app of many tenants")
                .help("give this app a `displayName` of its own, with {key} and {name} at most");
        cx.wrong(at, wrong);
        display_name.value = None;
    }
    let frame = Frame {
        key,
        layout: Layout::Shared,
        connector: connector.value,
        audience: Some(Audience::MultipleOrgs),
    };
    let fields = Fields {
        display_name: &display_name,
        redirect_uris: &own.redirect_uris,
        permissions: own.permissions.or(&defaults.permissions),
        info: (&own.info, &defaults.info),
        credential: own.credential.or(&defaults.credential),
        federated: own.federated.or(&defaults.federated),
        secret: (&own.secret, &defaults.secret),
        owners: own.owners.or(&defaults.owners),
    };
    make(cx, owner, frame, &fields)
}

fn display_name(
    cx: &mut Cx<'_>,
    owner: Owner<'_>,
    field: &Field<Free>,
    audience: Audience,
) -> Option<String> {
    let (at, text) = match field.get() {
        Some((at, text)) => (at, text.0.as_str()),
        None if field.is_given() => return None,
        None => (owner.at, DISPLAY_NAME),
    };
    let name = owner.fill(cx, at, text)?;
    let longest = longest_name(audience);
    let length = name.chars().count();
    if length > longest {
        let wrong = Wrong::new(format!(
            "the app's display name may have {longest} characters, this one has {length}"
        ))
        .label(crate::manifest::tree::shown(&name));
        cx.wrong(owner.here(cx, at), wrong);
        return None;
    }
    Some(name)
}

fn redirect_uris(
    cx: &mut Cx<'_>,
    owner: Owner<'_>,
    field: &Field<List<Free>>,
    audience: Audience,
) -> Option<BTreeSet<RedirectUri>> {
    let Some((_, List { items, wrong })) = field.get() else {
        return (!field.is_given()).then(BTreeSet::new);
    };
    let mut uris = BTreeMap::new();
    let mut sound = *wrong == 0;
    for item in items {
        match redirect_uri(cx, owner, item.at, &item.value.0, audience) {
            None => sound = false,
            Some(uri) => {
                if let Some(first) = uris.insert(uri, item.at) {
                    let first = cx.tree(first).path(first.node);
                    let wrong = Wrong::new(format!("the same redirect URI as {first}"))
                        .label("Entra answers to both alike");
                    cx.wrong(item.at, wrong);
                    sound = false;
                }
            }
        }
    }
    sound.then(|| uris.into_keys().collect())
}

/// One redirect URI, wherever it is written.
pub(super) fn redirect_uri(
    cx: &mut Cx<'_>,
    owner: Owner<'_>,
    at: At,
    text: &str,
    audience: Audience,
) -> Option<RedirectUri> {
    let text = owner.fill(cx, at, text)?;
    match redirect::take(&text, audience) {
        Ok(uri) => Some(uri),
        Err(wrong) => {
            cx.wrong(at, wrong);
            None
        }
    }
}

/// What holds for all redirect URIs of an app together, those for consent among them.
pub(super) fn check_redirect_uris(cx: &mut Cx<'_>, at: At, app: &App) {
    let most = redirect::most(app.audience);
    if app.redirect_uris.len() > most {
        let many = app.redirect_uris.len();
        cx.wrong(
            at,
            Wrong::new(format!("an app may have {most} redirect URIs, this one would have {many}")),
        );
    }
    if let Some((one, other)) = redirect::same_but_for_the_port(&app.redirect_uris) {
        let mut wrong = Wrong::new(format!("{one} and {other} differ only by their port"))
            .label("Entra ignores the port of localhost");
        if one.as_str() == redirect::LOOPBACK_PAGE || other.as_str() == redirect::LOOPBACK_PAGE {
            wrong = wrong.help(format!(
                "tenantry registers {} itself for consent in a browser and for sign-in",
                redirect::LOOPBACK_PAGE
            ));
        }
        cx.wrong(at, wrong);
    }
    if app.redirect_uris.is_empty() {
        cx.notice(
            at,
            format!("the app {} has no redirect URI: a consent link has nowhere to end", app.key),
        );
    }
}

fn permissions(
    cx: &mut Cx<'_>,
    field: &Field<List<PermissionFields>>,
    connector: Option<Connector>,
) -> Option<BTreeSet<NamedPermission>> {
    if !field.is_given() {
        let needs = connector?.needs().permissions.iter();
        return Some(
            needs
                .map(|(resource, kind, name)| NamedPermission {
                    resource: *resource,
                    kind: *kind,
                    name: (*name).to_owned(),
                })
                .collect(),
        );
    }
    let (at, List { items, wrong }) = field.get()?;
    let mut all = BTreeSet::new();
    let mut sound = *wrong == 0;
    for item in items {
        let PermissionFields { resource, application, delegated } = &item.value;
        if !resource.is_given() {
            cx.wrong(item.at, Wrong::new("`resource` is missing").label("which API?"));
        }
        let kinds =
            [(application, PermissionKind::Application), (delegated, PermissionKind::Delegated)];
        // A slip in one of their names was reported already.
        let known = usize::from(resource.is_given());
        let entries = cx.tree(item.at).entries(item.at.node).count();
        if kinds.iter().all(|(names, _)| !names.is_given()) && entries == known {
            let wrong =
                Wrong::new("names no permission").label("`application` or `delegated` is missing");
            cx.wrong(item.at, wrong);
        }
        for (names, kind) in kinds {
            sound &= names.value.is_some() || !names.is_given();
            let (Some(resource), Some((_, List { items: names, wrong }))) =
                (&resource.value, names.get())
            else {
                continue;
            };
            sound &= *wrong == 0;
            for name in names {
                let permission =
                    NamedPermission { resource: resource.0, kind, name: name.value.0.clone() };
                doubt(cx, name.at, &permission);
                all.insert(permission);
            }
        }
        sound &= resource.value.is_some();
    }
    if !sound {
        return None;
    }
    if all.is_empty() {
        if items.is_empty() {
            cx.wrong(at, Wrong::new("an app without permissions can read nothing"));
        }
        return None;
    }
    let apis = all.iter().map(|p| p.resource).collect::<BTreeSet<_>>().len();
    if all.len() > MOST_PERMISSIONS.0 || apis > MOST_PERMISSIONS.1 {
        let (permissions, resources) = MOST_PERMISSIONS;
        let wrong =
            Wrong::new(format!("an app may have {permissions} permissions of {resources} APIs"));
        cx.wrong(at, wrong.label(format!("these are {} of {apis}", all.len())));
        return None;
    }
    if let Some(connector) = connector {
        let needs = connector.needs();
        let Some((resource, kind, own)) = needs.permissions.first() else { return Some(all) };
        let of_its_api: Vec<_> = all
            .iter()
            .filter(|p| p.resource == *resource && p.kind == *kind && !steers_the_sign_in(&p.name))
            .collect();
        let (api, how) = (api_name(*resource), kind.as_str());
        if of_its_api.is_empty() {
            let wrong = Wrong::new(format!(
                "{connector} reads {api} with {how} permissions, and none of these is one: it could \
                 read nothing"
            ))
            .help(format!("add the {how} permission `{own}` of {api}"));
            cx.wrong(at, wrong);
            return None;
        }
        // Whoever may write may read.
        let writing = own.replace(".Read.", ".ReadWrite.");
        if !of_its_api.iter().any(|p| p.name == *own || p.name == writing) {
            cx.notice(
                at,
                format!("{connector} reads with the {how} permission `{own}`, which is not here: incidents may not be readable"),
            );
        }
    }
    let offline = |p: &NamedPermission| p.resource == GRAPH && p.name == "offline_access";
    if connector.is_some_and(|c| c.needs().delegated) && !all.iter().any(offline) {
        cx.notice(at, "without the delegated permission `offline_access` the analyst's own consent is asked for at sign-in");
    }
    Some(all)
}

/// Says of a permission that this build does not know it; the directory is the judge.
fn doubt(cx: &mut Cx<'_>, at: At, permission: &NamedPermission) {
    let NamedPermission { resource, kind, name } = permission;
    let known: Vec<_> = KNOWN_PERMISSIONS
        .iter()
        .filter(|(api, ..)| api == resource)
        .map(|(_, name, ..)| *name)
        .collect();
    if known.is_empty() || known_permission(*resource, *kind, name).is_some() {
        return;
    }
    let near = if known.contains(&name.as_str()) {
        "; it knows one of the other kind (application, delegated)".to_owned()
    } else {
        nearest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
    };
    cx.notice(
        at,
        format!(
            "this build does not know the permission `{name}`, the directory will be asked{near}"
        ),
    );
}

fn links(cx: &mut Cx<'_>, owner: Owner<'_>, info: (&Field<Info>, &Field<Info>)) -> Option<Links> {
    let (own, base) = info;
    let mut one = |field: fn(&Info) -> &Field<Free>| -> Option<Option<String>> {
        let field = pick(own, base, field);
        let Some((at, text)) = field.get() else {
            return (!field.is_given()).then_some(None);
        };
        let text = owner.fill(cx, at, &text.0)?;
        let https = Url::parse(&text).is_ok_and(|url| url.scheme() == "https" && url.has_host());
        if !https || text.contains(char::is_whitespace) {
            cx.wrong(
                at,
                Wrong::new("a link of the consent page is an https address").label("https://…"),
            );
            return None;
        }
        if text.len() > LONGEST_LINK {
            cx.wrong(at, Wrong::new(format!("a link may have {LONGEST_LINK} characters")));
            return None;
        }
        Some(Some(text))
    };
    let (marketing, privacy) = (one(|info| &info.marketing), one(|info| &info.privacy));
    let (support, terms) = (one(|info| &info.support), one(|info| &info.terms));
    Some(Links { marketing: marketing?, privacy: privacy?, support: support?, terms: terms? })
}

fn credential(cx: &mut Cx<'_>, owner: Owner<'_>, fields: &Fields<'_>) -> Option<Credential> {
    let issuers = match fields.federated.get() {
        None if fields.federated.is_given() => None,
        None => Some(Vec::new()),
        Some((at, list)) => federated::issuers(cx, owner, at, list),
    };
    let kind = fields.credential.settle(CredentialKind::Secret)?;
    match kind {
        CredentialKind::Secret | CredentialKind::Certificate => {
            if let Some(at) = fields.federated.at.filter(|at| cx.is_within(*at, owner.at)) {
                let wrong = Wrong::new("issuers are given, and the app does not sign in with them")
                    .help("add `credential: federated`, or leave `federated` out");
                cx.wrong(at, wrong);
                return None;
            }
            Some(match kind {
                CredentialKind::Certificate => Credential::Certificate,
                CredentialKind::Secret | CredentialKind::Federated => Credential::Secret,
            })
        }
        CredentialKind::Federated => {
            let issuers = issuers?;
            if issuers.is_empty() {
                let at = fields.credential.at.unwrap_or(owner.at);
                let wrong = Wrong::new("a federated credential needs its issuers")
                    .help("federated: [{githubActions: {repository: my-soc/onboarding, environment: production}}]");
                cx.wrong(owner.here(cx, at), wrong);
                return None;
            }
            Some(Credential::Federated(issuers))
        }
    }
}

fn secret(
    cx: &mut Cx<'_>,
    owner: Owner<'_>,
    secret: (&Field<SecretFields>, &Field<SecretFields>),
) -> Option<SecretRule> {
    let (own, base) = secret;
    let lifetime = pick(own, base, |secret| &secret.lifetime);
    let renew_before = pick(own, base, |secret| &secret.renew_before);
    let overlap = pick(own, base, |secret| &secret.overlap);
    let rule = SecretRule {
        lifetime: lifetime.settle(Lifetime::new(jiff::Span::new().years(1)))?,
        renew_before: renew_before.settle(Lifetime::new(jiff::Span::new().days(30)))?,
        overlap: overlap.settle(Lifetime::new(jiff::Span::new().days(7)))?,
    };
    // What is only presumed shrinks with the lifetime (a third of it at most); what is written
    // must make sense.
    let written = |field: &Field<Lifetime>| field.value.map_or(0, Lifetime::days);
    if written(&renew_before) + written(&overlap) >= rule.lifetime.days() {
        let given = [renew_before.at, overlap.at, lifetime.at];
        let nearest = given.iter().flatten().find(|at| cx.is_within(**at, owner.at));
        let at = nearest.or(given.iter().flatten().next()).copied().unwrap_or(owner.at);
        let SecretRule { lifetime, renew_before, overlap } = rule;
        let wrong = Wrong::new(format!(
            "a secret of {lifetime} cannot be renewed {renew_before} before its end and overlap {overlap}"
        ))
        .help("renewBefore and overlap together must be shorter than lifetime");
        cx.wrong(at, wrong);
        return None;
    }
    Some(rule)
}

fn owners(cx: &mut Cx<'_>, field: &Field<List<Uuid>>) -> Option<BTreeSet<Uuid>> {
    let Some((at, List { items, wrong })) = field.get() else {
        return (!field.is_given()).then(BTreeSet::new);
    };
    if items.len() > MOST_OWNERS {
        cx.wrong(at, Wrong::new(format!("an app may have {MOST_OWNERS} owners")));
        return None;
    }
    (*wrong == 0).then(|| items.iter().map(|item| item.value).collect())
}
