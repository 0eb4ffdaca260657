//! From sections to a [`Manifest`]: defaults applied, placeholders filled, every rule held.

mod app;
mod customers;
mod federated;
pub(super) mod header;
mod tenant;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use crate::{
    cloud::CloudName,
    connector::Connector,
    ids::{AppKey, TenantKey},
    manifest::{
        App, DirectoryName, Manifest, Tenant,
        guard::Reach,
        mistakes::{Log, Mistakes, Wrong},
        read::{At, Cx, Field},
        sections::{SharedFields, TenantFields},
        tree::{Kind, NodeId, Tree, Trust, shown},
    },
};

use customers::Customers;
use header::Header;

/// Resolves files that the guard has read.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn resolve(
    trees: &[Tree],
    reaches: &[Reach],
    mut log: Log,
) -> Result<Manifest, Mistakes> {
    let files: Vec<PathBuf> = trees.iter().map(|tree| tree.file.clone()).collect();
    let whole = reaches.iter().all(|reach| *reach == Reach::Whole);
    let mut cx = Cx { trees, log: &mut log };
    let tops: Vec<Top> = (0..trees.len())
        .filter(|file| reaches[*file] == Reach::Whole)
        .map(|f| Top::of(&mut cx, f))
        .collect();
    let parts = Parts::read(&mut cx, &tops, whole);
    match (log.finish(files), parts) {
        (Err(mistakes), _) => Err(mistakes),
        (Ok(notices), Parts { header, apps, tenants }) => header
            .finish()
            .map(|(fleet, home, vault, operator, folder)| Manifest {
                fleet,
                home,
                vault,
                operator,
                apps,
                tenants,
                folder,
                notices,
            })
            // Whatever leaves a part out says why; should one ever not, it is still refused.
            .ok_or_else(Mistakes::unexplained),
    }
}

/// The top-level fields of one file.
struct Top {
    file: usize,
    fields: HashMap<&'static str, (NodeId, NodeId)>,
}

/// Fields that only the file with the header has.
const HEADER: [&str; 6] = ["fleet", "home", "vault", "defaults", "operator", "sharedApps"];

impl Top {
    fn of(cx: &mut Cx<'_>, file: usize) -> Self {
        let tree = &cx.trees[file];
        let mut fields = HashMap::new();
        let Some(root) = tree.root() else { return Self { file, fields } };
        for (key, value) in tree.entries(root) {
            if tree.trust(key) == Trust::Reported {
                continue;
            }
            if cx.log.is_full() {
                break;
            }
            let name = tree.text(key);
            match header::TOP.fields.iter().find(|field| field.name == name) {
                Some(field) => {
                    fields.insert(field.name, (key, value));
                }
                None => cx.unknown(At { file, node: key }, &header::TOP),
            }
        }
        Self { file, fields }
    }

    fn at(&self, name: &str) -> Option<At> {
        self.fields.get(name).map(|(_, value)| At { file: self.file, node: *value })
    }

    /// The first header field in the file's order.
    fn header_key(&self) -> Option<At> {
        let keys = HEADER.iter().filter_map(|name| self.fields.get(name));
        keys.map(|(key, _)| *key).min().map(|node| At { file: self.file, node })
    }
}

/// An app that several tenants may use, while its tenants are being read.
struct Shared {
    at: At,
    connector: Option<Connector>,
    app: Option<App>,
}

/// What all files say together.
struct Parts {
    header: Header,
    apps: BTreeMap<AppKey, App>,
    tenants: BTreeMap<TenantKey, Tenant>,
}

/// What every tenant is read against.
struct Base {
    /// The provider's directory, where it is known.
    home: Option<DirectoryName>,
    cloud: Option<CloudName>,
    defaults: Field<TenantFields>,
    nothing: TenantFields,
}

impl Base {
    fn defaults(&self) -> &TenantFields {
        self.defaults.value.as_ref().unwrap_or(&self.nothing)
    }
}

impl Parts {
    fn read(cx: &mut Cx<'_>, tops: &[Top], whole: bool) -> Self {
        for top in tops {
            header::version(cx, top);
        }
        let mut headers = tops.iter().filter(|top| top.header_key().is_some());
        let top = headers.next();
        for other in headers {
            let (Some(key), Some(first)) = (other.header_key(), top) else { continue };
            let file = shown(&cx.trees[first.file].file.to_string_lossy());
            cx.wrong(
                key,
                Wrong::new(format!("fleet, home, vault and defaults stand in `{file}` already"))
                    .label("one file has them, the others `version` and `tenants`"),
            );
        }
        if top.is_none() && whole {
            header::missing(cx, tops);
        }
        let header = top.map(|top| Header::read(cx, top)).unwrap_or_default();
        let at = top.and_then(|top| top.at("defaults"));
        let defaults = at.map(|at| cx.section::<TenantFields>(at)).unwrap_or_default();
        let base = Base {
            home: header.home.as_ref().map(|home| home.tenant.clone()),
            cloud: header.home.as_ref().map(|home| home.cloud),
            defaults,
            nothing: TenantFields::default(),
        };

        let shared = read_shared(cx, &base, top.and_then(|top| top.at("sharedApps")));
        let mut made = Made { shared, ..Made::default() };
        for at in tops.iter().filter_map(|top| top.at("tenants")) {
            let entries = keyed(cx, at, "tenants");
            // Every tenant repeats the list: a small file must not become a large manifest.
            if let Some((at, list)) =
                base.defaults.value.as_ref().and_then(|fields| fields.redirect_uris.get())
                && list.items.len().saturating_mul(entries.len()) > MOST_INHERITED_URIS
            {
                let wrong = Wrong::new(format!(
                    "{} redirect URIs for each of {} tenants are more than {MOST_INHERITED_URIS}",
                    list.items.len(),
                    entries.len()
                ));
                cx.wrong(at, wrong.label("every tenant has all of them"));
                continue;
            }
            let mut left = entries.as_slice();
            while !left.is_empty() && !cx.log.is_full() {
                let sections = cx.sections::<TenantFields>(left);
                let (now, later) = left.split_at(sections.len());
                left = later;
                for ((key, at), fields) in now.iter().zip(sections) {
                    let Some(key) = made.tenant_key(cx, *key) else { continue };
                    // Without a header there is nothing to hold it against; its fields were read.
                    let held = whole && top.is_some() && !base.is_wrong();
                    if let Some(fields) = fields.value.filter(|_| held) {
                        made.add(cx, &base, key, *at, &fields);
                    }
                }
            }
        }
        let (apps, tenants) = made.finish(cx);
        if whole && cx.log.is_clean() {
            notices(cx, tops, &apps, &tenants);
        }
        Self { header, apps, tenants }
    }
}

impl Base {
    /// Whether defaults are written and could not be read at all.
    fn is_wrong(&self) -> bool {
        self.defaults.is_given() && self.defaults.value.is_none()
    }
}

/// The entries of a map under keys of the user's own.
fn keyed(cx: &mut Cx<'_>, at: At, field: &str) -> Vec<(At, At)> {
    let tree = cx.tree(at);
    match tree.kind(at.node) {
        Kind::Map => tree
            .entries(at.node)
            .filter(|(key, _)| tree.trust(*key) == Trust::Sound)
            .map(|(k, v)| (At { file: at.file, node: k }, At { file: at.file, node: v }))
            .collect(),
        Kind::Plain if tree.is_null(at.node) => Vec::new(),
        Kind::Alias => Vec::new(),
        Kind::Plain | Kind::Quoted | Kind::List => {
            let wrong = Wrong::new("expected a map of keys").help(format!(
                "each one stands under a key of its own: {field}: {{contoso: {{…}}}}"
            ));
            cx.wrong(at, wrong);
            Vec::new()
        }
    }
}

/// What a key must be, in words.
const KEY: &str = "at most 64 of a-z, 0-9 and single hyphens between them";

fn bad_key(text: &str) -> Wrong {
    Wrong::new(format!("the key `{}` cannot be used", shown(text))).label(KEY)
}

/// How many redirect URIs tenants may have from the defaults, all together; four for each of
/// 100,000.
const MOST_INHERITED_URIS: usize = 400_000;

/// What was made of the tenants so far.
#[derive(Default)]
struct Made {
    shared: BTreeMap<AppKey, Shared>,
    customers: Customers,
    places: HashMap<TenantKey, At>,
    // Lists first: maps made of them at once are full to the brim, grown ones are half empty,
    // which counts with 100,000 tenants.
    apps: Vec<(AppKey, App)>,
    tenants: Vec<(TenantKey, Tenant)>,
}

impl Made {
    /// A tenant's key, if it is one and free.
    fn tenant_key(&mut self, cx: &mut Cx<'_>, at: At) -> Option<TenantKey> {
        let text = cx.tree(at).text(at.node);
        let Ok(key) = text.parse::<TenantKey>() else {
            cx.wrong_as_said(at, bad_key(text));
            return None;
        };
        if let Some(app) = self.shared.get(&AppKey::from(&key)) {
            let place = cx.tree(app.at).place(app.at.node);
            let wrong = Wrong::new(format!("a shared app has the key `{key}` already"))
                .label(format!("the app stands in line {}", place.line))
                .help("apps and tenants share one set of keys: a tenant's own app has its key");
            cx.wrong(at, wrong);
            return None;
        }
        if let Some(first) = self.places.insert(key.clone(), at) {
            let place = cx.tree(first).place(first.node);
            let file = shown(&place.file.to_string_lossy());
            let wrong = Wrong::new("this tenant is in another file already")
                .label(format!("first in {file}, line {}", place.line));
            cx.wrong(at, wrong);
            return None;
        }
        Some(key)
    }

    /// Adds a tenant and its own app, if it has one.
    fn add(&mut self, cx: &mut Cx<'_>, base: &Base, key: TenantKey, at: At, fields: &TenantFields) {
        let Self { shared, customers, .. } = self;
        let made = tenant::resolve(cx, base, shared, customers, key.clone(), at, fields);
        if let Some((tenant, app)) = made {
            self.apps.extend(app.map(|app| (app.key.clone(), app)));
            self.tenants.push((key, tenant));
        }
    }

    /// All apps and tenants, once what needs all tenants of a shared app is checked.
    fn finish(self, cx: &mut Cx<'_>) -> (BTreeMap<AppKey, App>, BTreeMap<TenantKey, Tenant>) {
        let Self { shared, customers, places, mut apps, mut tenants } = self;
        drop((customers, places));
        for (key, Shared { at, connector: _, app }) in shared {
            let Some(app) = app else { continue };
            app::check_redirect_uris(cx, at, &app);
            if app.tenants.is_empty() && cx.log.is_clean() {
                let what =
                    format!("no tenant uses the shared app {key}: give a tenant `app: {key}`");
                cx.notice(at, what);
            }
            apps.push((key, app));
        }
        // Sorted in place: the map's own sort would take half as much memory again.
        apps.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let apps = apps.into_iter().collect();
        tenants.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        (apps, tenants.into_iter().collect())
    }
}

/// Checks that there is a connector and that it exists in the cloud.
fn check_connector(cx: &mut Cx<'_>, base: &Base, owner: At, field: &Field<Connector>) {
    match field.get() {
        None if field.is_given() => {}
        None => {
            let all: Vec<_> = Connector::ALL.iter().map(Connector::to_string).collect();
            let wrong = Wrong::new("`connector` is missing, here and under `defaults`")
                .label(format!("one of: {}", all.join(", ")));
            cx.wrong(owner, wrong);
        }
        Some((at, connector)) => {
            if base.cloud.is_some_and(|cloud| !cloud.has_defender()) {
                let wrong = Wrong::new(format!(
                    "Microsoft Defender is not offered in the China cloud, so {connector} has nothing to read"
                ))
                .help("leave these customers out, or correct `home.cloud`");
                cx.wrong(at, wrong);
            }
        }
    }
}

/// Reads the shared apps; their tenants come later.
fn read_shared(cx: &mut Cx<'_>, base: &Base, at: Option<At>) -> BTreeMap<AppKey, Shared> {
    let mut shared = BTreeMap::new();
    let Some(at) = at else { return shared };
    for (key_at, at) in keyed(cx, at, "sharedApps") {
        if cx.log.is_full() {
            break;
        }
        let text = cx.tree(key_at).text(key_at.node);
        let Ok(key) = text.parse::<AppKey>() else {
            cx.wrong_as_said(key_at, bad_key(text));
            continue;
        };
        let fields = cx.section::<SharedFields>(at);
        let connector = fields
            .value
            .as_ref()
            .and_then(|fields| fields.connector.or(&base.defaults().connector).value);
        let app = fields.value.and_then(|fields| app::shared(cx, base, key.clone(), at, &fields));
        shared.insert(key, Shared { at, connector, app });
    }
    shared
}

/// What is allowed and still worth saying of the whole.
fn notices(
    cx: &mut Cx<'_>,
    tops: &[Top],
    apps: &BTreeMap<AppKey, App>,
    tenants: &BTreeMap<TenantKey, Tenant>,
) {
    let Some(first) = tops
        .first()
        .and_then(|top| cx.trees[top.file].root().map(|node| At { file: top.file, node }))
    else {
        return;
    };
    if tenants.is_empty() {
        let at = tops.iter().find_map(|top| top.at("tenants")).unwrap_or(first);
        cx.notice(at, "the manifest names no tenant, there is nothing to do yet");
    }
    let mut names: BTreeMap<&str, Vec<&AppKey>> = BTreeMap::new();
    for app in apps.values() {
        names.entry(&app.display_name).or_default().push(&app.key);
    }
    for (name, keys) in names.iter().filter(|(_, keys)| keys.len() > 1) {
        let place = apps[keys[0]].place.clone();
        let what = format!(
            "{} apps have the same display name `{}` ({}, {}{}): nobody can tell them apart in the portal",
            keys.len(),
            shown(name),
            keys[0],
            keys[1],
            if keys.len() > 2 { ", …" } else { "" }
        );
        cx.log.notice_at(place, what);
    }
}
