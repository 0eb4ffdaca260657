//! One tenant: its own fields over `defaults`, its app, and the rules that tie the two together.

use std::collections::BTreeMap;

use crate::{
    cloud::CloudName,
    connector::Connector,
    ids::{AppKey, TenantId, TenantKey},
    manifest::{
        App, ConsentRule, ConsentStrategy, DirectoryName, Layout, Tenant,
        domain::{self, Domain},
        mistakes::Wrong,
        placeholder::Values,
        read::{At, Cx, Field, Leaf, Words, pick},
        redirect,
        sections::TenantFields,
        tree::shown,
        words::{AppRef, Free, LabelValue, nearest},
    },
    registration::{Audience, RedirectUri},
};

use super::{
    Base, Shared,
    app::{self, Fields, Frame, Owner},
    check_connector,
    customers::{Customer, Customers},
};

/// The most characters of a tenant's name; Entra's own limit for an organization's.
const LONGEST_NAME: usize = 256;

/// Resolves a tenant, and its own app unless it uses a shared one.
pub(super) fn resolve(
    cx: &mut Cx<'_>,
    base: &Base,
    shared: &mut BTreeMap<AppKey, Shared>,
    customers: &mut Customers,
    key: TenantKey,
    at: At,
    own: &TenantFields,
) -> Option<(Tenant, Option<App>)> {
    let defaults = base.defaults();
    let who = Who::read(cx, at, &key, own, defaults);
    let id_text = who.id.as_ref().map(|(_, id)| id.to_string());
    let known = [
        ("key", Some(key.as_str())),
        ("name", Some(who.name.as_deref().unwrap_or(key.as_str()))),
        ("domain", who.domain.as_ref().map(|(_, domain)| domain.as_str())),
        ("id", id_text.as_deref()),
    ];
    let owner = Owner { at, noun: "tenant", values: Values { known: &known } };
    let labels = labels(cx, &own.labels, &defaults.labels);
    let is_home = base.home.as_ref().map(|home| who.is(home));

    let place = Where::of(cx, own, defaults, shared);
    let connector = match &place {
        Where::Shared(app) => shared.get(app).and_then(|app| app.connector),
        Where::Own(_) => {
            let field = own.connector.or(&defaults.connector);
            check_connector(cx, base, at, field);
            field.value
        }
        Where::Unknown => own.connector.or(&defaults.connector).value,
    };
    if let Some(connector) = connector {
        let id = who.id;
        let domain = who.domain.as_ref().map(|(at, domain)| (*at, domain.as_str()));
        customers.add(cx, Customer { at, connector, id, domain });
    }
    let audience = match &place {
        Where::Shared(_) => Some(Audience::MultipleOrgs),
        Where::Own(layout) => {
            audience(cx, base, *layout, own.audience.or(&defaults.audience), is_home)
        }
        Where::Unknown => None,
    };
    let sign_in_as = sign_in_as(cx, owner, base, connector, &own.sign_in_as, &defaults.sign_in_as);
    let layout = match &place {
        Where::Own(layout) => Some(*layout),
        Where::Shared(_) => Some(Layout::Shared),
        Where::Unknown => None,
    };
    let consent = consent(cx, owner, own, defaults, layout, audience);
    let portal = own.portal_authorization.or(&defaults.portal_authorization);
    let portal = match (portal.is_given(), connector) {
        (true, _) => portal.value,
        (false, Some(connector)) => Some(connector.needs().portal),
        (false, None) => None,
    };

    let mut for_consent = Vec::new();
    if let Some(consent) = &consent {
        for_consent.extend(consent.redirect_uri.clone());
        let delegated = connector.is_some_and(|connector| connector.needs().delegated);
        if delegated || consent.strategy == ConsentStrategy::Browser {
            for_consent.push(RedirectUri::new(redirect::LOOPBACK_PAGE));
        }
    }
    let (app, layout, made) = match place {
        Where::Unknown => return None,
        Where::Shared(app) => {
            if let Some(shared) = shared.get_mut(&app).and_then(|shared| shared.app.as_mut()) {
                shared.redirect_uris.extend(for_consent);
                shared.tenants.push(key.clone());
            }
            (app, Layout::Shared, None)
        }
        Where::Own(layout) => {
            let app = AppKey::from(&key);
            let frame = Frame { key: app.clone(), layout, connector, audience };
            let mut made = app::make(cx, owner, frame, &fields(own, defaults))?;
            made.redirect_uris.extend(for_consent);
            // Exactly one: a grown list would have room for four.
            made.tenants = vec![key.clone()];
            app::check_redirect_uris(cx, at, &made);
            (app, layout, Some(made))
        }
    };
    let Who { id, name, domain } = who;
    let tenant = Tenant {
        key,
        id: id.map(|(_, id)| id),
        name: name?,
        domain: domain.map(|(_, domain)| domain),
        labels: labels?,
        connector: connector?,
        app,
        layout,
        portal: portal?,
        sign_in_as: sign_in_as?,
        consent: consent?,
        place: cx.tree(at).place(at.node),
    };
    Some((tenant, made))
}

/// The fields of a tenant's own app.
fn fields<'f>(own: &'f TenantFields, defaults: &'f TenantFields) -> Fields<'f> {
    Fields {
        display_name: own.display_name.or(&defaults.display_name),
        redirect_uris: own.redirect_uris.or(&defaults.redirect_uris),
        permissions: own.permissions.or(&defaults.permissions),
        info: (&own.info, &defaults.info),
        credential: own.credential.or(&defaults.credential),
        federated: own.federated.or(&defaults.federated),
        secret: (&own.secret, &defaults.secret),
        owners: own.owners.or(&defaults.owners),
    }
}

/// Who a customer is.
struct Who {
    id: Option<(At, TenantId)>,
    /// Nothing only where it was wrong.
    name: Option<String>,
    domain: Option<(At, String)>,
}

impl Who {
    fn read(
        cx: &mut Cx<'_>,
        at: At,
        key: &TenantKey,
        own: &TenantFields,
        defaults: &TenantFields,
    ) -> Self {
        let id = own.id.or(&defaults.id);
        let domain = own.domain.or(&defaults.domain);
        if !id.is_given() && !domain.is_given() {
            let wrong = Wrong::new("neither `id` nor `domain` says which directory this is")
                .label("one of the two is needed")
                .help("`domain: contoso.com` is enough, it resolves to the id");
            cx.wrong(at, wrong);
        }
        let only_key = [("key", Some(key.as_str()))];
        let domain = domain.get().and_then(|(at, text)| {
            let filled = Owner { at, noun: "tenant", values: Values { known: &only_key } }
                .fill(cx, at, &text.0)?;
            match Domain::take(filled) {
                Ok(domain) => Some((at, domain.0)),
                Err(wrong) => {
                    cx.wrong(at, wrong);
                    None
                }
            }
        });
        let id = id.get().map(|(at, id)| (at, *id));
        let name = match (own.name.get(), defaults.name.get()) {
            // A tenant's own name is what it says, braces and all.
            (Some((at, name)), _) => check_name(cx, at, name.0.clone()),
            (None, _) if own.name.is_given() => None,
            (None, Some((name_at, name))) => {
                let id_text = id.map(|(_, id)| id.to_string());
                let known = [
                    ("key", Some(key.as_str())),
                    ("domain", domain.as_ref().map(|(_, domain)| domain.as_str())),
                    ("id", id_text.as_deref()),
                ];
                Owner { at, noun: "tenant", values: Values { known: &known } }
                    .fill(cx, name_at, &name.0)
                    .and_then(|name| check_name(cx, at, name))
            }
            (None, None) if defaults.name.is_given() => None,
            (None, None) => Some(key.to_string()),
        };
        Self { id, name, domain }
    }

    /// Whether this is a directory, as far as a manifest can tell.
    fn is(&self, directory: &DirectoryName) -> bool {
        match directory {
            DirectoryName::Id(home) => self.id.is_some_and(|(_, id)| id == *home),
            DirectoryName::Domain(home) => {
                self.domain.as_ref().is_some_and(|(_, domain)| domain == home)
            }
        }
    }
}

fn check_name(cx: &mut Cx<'_>, at: At, name: String) -> Option<String> {
    let length = name.chars().count();
    if length > LONGEST_NAME {
        cx.wrong(
            at,
            Wrong::new(format!("a name may have {LONGEST_NAME} characters, this one has {length}")),
        );
        return None;
    }
    Some(name)
}

/// Where a tenant's app lives.
enum Where {
    /// It is the tenant's own.
    Own(Layout),
    /// It is this shared app.
    Shared(AppKey),
    /// It cannot be told, and that was reported.
    Unknown,
}

impl Where {
    fn of(
        cx: &mut Cx<'_>,
        own: &TenantFields,
        defaults: &TenantFields,
        shared: &BTreeMap<AppKey, Shared>,
    ) -> Self {
        // A tenant's own layout goes before the app of `defaults`.
        let app = match own.layout.value {
            Some(Layout::PerTenant | Layout::InTenant) => &own.app,
            Some(Layout::Shared) | None => own.app.or(&defaults.app),
        };
        let layout = own.layout.or(&defaults.layout);
        let Some((app_at, AppRef(name))) = app.get() else {
            if app.is_given() {
                return Self::Unknown;
            }
            return match layout.settle(Layout::PerTenant) {
                Some(layout @ (Layout::PerTenant | Layout::InTenant)) => Self::Own(layout),
                Some(Layout::Shared) => {
                    if let Some(at) = layout.at {
                        cx.wrong(at, no_app_named(shared));
                    }
                    Self::Unknown
                }
                None => Self::Unknown,
            };
        };
        beside_app(cx, own, name);
        match name.parse::<AppKey>().ok().filter(|key| shared.contains_key(key)) {
            Some(key) => Self::Shared(key),
            None => {
                cx.wrong(app_at, no_such_app(name, shared));
                Self::Unknown
            }
        }
    }
}

fn no_app_named(shared: &BTreeMap<AppKey, Shared>) -> Wrong {
    let wrong = Wrong::new("`layout: shared` does not say which app")
        .label("name it with `app`, which implies this layout");
    wrong.help(known_apps(shared))
}

fn no_such_app(name: &str, shared: &BTreeMap<AppKey, Shared>) -> Wrong {
    let wrong = Wrong::new(format!("no shared app has the key `{}`", shown(name)));
    match nearest(name, shared.keys().map(AppKey::as_str)) {
        Some(near) => wrong.label(format!("did you mean `{near}`?")),
        None => wrong.label("no such app").help(known_apps(shared)),
    }
}

fn known_apps(shared: &BTreeMap<AppKey, Shared>) -> String {
    if shared.is_empty() {
        return "declare one: sharedApps: {siem: {connector: graph-security}}".to_owned();
    }
    let keys: Vec<_> = shared.keys().take(20).map(AppKey::as_str).collect();
    format!("shared apps: {}", keys.join(", "))
}

/// Refuses what belongs to the app on a tenant that uses a shared one.
fn beside_app(cx: &mut Cx<'_>, own: &TenantFields, app: &str) {
    let app = shown(app);
    let fields = [
        ("connector", own.connector.at),
        ("displayName", own.display_name.at),
        ("redirectUris", own.redirect_uris.at),
        ("permissions", own.permissions.at),
        ("info", own.info.at),
        ("credential", own.credential.at),
        ("federated", own.federated.at),
        ("secret", own.secret.at),
        ("owners", own.owners.at),
    ];
    for (name, at) in fields {
        if let Some(at) = at {
            let wrong = Wrong::new(format!("`{name}` belongs to the shared app `{app}`, not to a tenant that uses it"))
                .label("set for all its tenants at once")
                .help(format!("move it to `sharedApps.{app}`, or leave `app` out and give the tenant an app of its own"));
            cx.wrong(at, wrong);
        }
    }
    if let Some((at, Audience::MyOrg | Audience::MultipleOrgsAndPersonal | Audience::Personal)) =
        own.audience.get()
    {
        let wrong =
            Wrong::new(format!("the shared app `{app}` has the audience AzureADMultipleOrgs"))
                .label("leave it out");
        cx.wrong(at, wrong);
    }
    if let Some((at, layout @ (Layout::PerTenant | Layout::InTenant))) = own.layout.get() {
        let word = if *layout == Layout::PerTenant { "per-tenant" } else { "in-tenant" };
        let wrong = Wrong::new(format!("`app` implies `layout: shared`, not {word}"))
            .label("leave out this, or `app`");
        cx.wrong(at, wrong);
    }
}

/// Who may sign in to a tenant's own app. `is_home` is unknown where the home is wrong.
fn audience(
    cx: &mut Cx<'_>,
    base: &Base,
    layout: Layout,
    field: &Field<Audience>,
    is_home: Option<bool>,
) -> Option<Audience> {
    let Some((at, audience)) = field.get() else {
        if field.is_given() {
            return None;
        }
        return Some(match (layout, is_home) {
            (Layout::InTenant, _) | (_, Some(true)) => Audience::MyOrg,
            (Layout::PerTenant | Layout::Shared, _) => Audience::MultipleOrgs,
        });
    };
    let audience = *audience;
    let in_tenant = layout == Layout::InTenant;
    let wrong = match audience {
        Audience::MyOrg if in_tenant || is_home == Some(true) => return Some(audience),
        Audience::MyOrg if is_home.is_none() => return None,
        Audience::MyOrg => Wrong::new(
            "an app in your own directory with audience AzureADMyOrg cannot work in a customer's tenant",
        )
        .label("sign-in there would end in AADSTS700016 or 650059")
        .help("leave `audience` out (AzureADMultipleOrgs), or `layout: in-tenant`; only if the tenant is your own directory AzureADMyOrg is right: name it as `home` does"),
        Audience::MultipleOrgs | Audience::MultipleOrgsAndPersonal | Audience::Personal
            if in_tenant =>
        {
            Wrong::new(format!("an app in the customer's own directory has audience AzureADMyOrg, not {audience}"))
                .label("leave `audience` out")
        }
        Audience::MultipleOrgs => return Some(audience),
        Audience::MultipleOrgsAndPersonal => match base.cloud {
            Some(CloudName::Global) => return Some(audience),
            None => return None,
            Some(cloud) => Wrong::new(format!("personal accounts do not exist in the cloud {cloud}"))
                .label("leave `audience` out (AzureADMultipleOrgs)"),
        },
        Audience::Personal => {
            Wrong::new("an app for personal accounts only cannot work in a customer's tenant")
                .label("sign-in there would end in AADSTS700016")
                .help("leave `audience` out (AzureADMultipleOrgs)")
        }
    };
    cx.wrong(at, wrong);
    None
}

/// The analyst, where the connector needs one; the outer nothing where it is wrong.
fn sign_in_as(
    cx: &mut Cx<'_>,
    owner: Owner<'_>,
    base: &Base,
    connector: Option<Connector>,
    own: &Field<Free>,
    defaults: &Field<Free>,
) -> Option<Option<String>> {
    let field = own.or(defaults);
    let name = match field.get() {
        None if field.is_given() => return None,
        None => None,
        Some((at, text)) => {
            let filled = owner.fill(cx, at, &text.0)?;
            match domain::user_name(&filled) {
                Ok(name) => Some(name),
                Err(wrong) => {
                    cx.wrong(at, wrong);
                    return None;
                }
            }
        }
    };
    let connector = connector?;
    match (connector.needs().delegated, name) {
        (true, Some(name)) => Some(Some(name)),
        (true, None) => {
            let domain = match &base.home {
                Some(DirectoryName::Domain(domain)) => domain.as_str(),
                Some(DirectoryName::Id(_)) | None => "my-soc.com",
            };
            let wrong = Wrong::new(format!("the connector {connector} needs `signInAs`"))
                .label("whose sign-in reads the incidents?")
                .help(format!("signInAs: soc-reader@{domain}"));
            cx.wrong(owner.at, wrong);
            None
        }
        (false, name) => {
            // Not a mistake: it changes nothing that is asked of Microsoft, and it stays behind
            // whenever a tenant moves to a connector without a user.
            if let Some(at) = own.at.filter(|_| name.is_some()) {
                cx.notice(at, format!("the connector {connector} signs in without a user, `signInAs` does nothing here"));
            }
            Some(None)
        }
    }
}

fn consent(
    cx: &mut Cx<'_>,
    owner: Owner<'_>,
    own: &TenantFields,
    defaults: &TenantFields,
    layout: Option<Layout>,
    audience: Option<Audience>,
) -> Option<ConsentRule> {
    // Whoever may make an app in the customer's directory is there to grant, too.
    let usual = match layout {
        Some(Layout::InTenant) => ConsentStrategy::Grant,
        Some(Layout::PerTenant | Layout::Shared) | None => ConsentStrategy::default(),
    };
    let strategy = pick(&own.consent, &defaults.consent, |consent| &consent.strategy);
    let field = pick(&own.consent, &defaults.consent, |consent| &consent.redirect_uri);
    let redirect_uri = match field.get() {
        None if field.is_given() => None,
        None => Some(None),
        Some((at, text)) => {
            let limits = audience.unwrap_or(Audience::MultipleOrgs);
            app::redirect_uri(cx, owner, at, &text.0, limits).map(Some)
        }
    };
    Some(ConsentRule { strategy: strategy.settle(usual)?, redirect_uri: redirect_uri? })
}

fn labels(
    cx: &mut Cx<'_>,
    own: &Field<Words<LabelValue>>,
    defaults: &Field<Words<LabelValue>>,
) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    let mut sound = true;
    for field in [defaults, own] {
        let Some((_, Words { words, wrong })) = field.get() else {
            sound &= !field.is_given();
            continue;
        };
        sound &= *wrong == 0;
        for (key, item) in words {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
            if key.is_empty() || key.len() > 64 || !key.bytes().all(plain) {
                let wrong = Wrong::new("a label's key has 1 to 64 of letters, digits and . _ - /")
                    .label("it must fit into `--label key=value`");
                cx.wrong(item.at, wrong);
                sound = false;
            }
            labels.insert(key.clone(), item.value.0.clone());
        }
    }
    sound.then_some(labels)
}
