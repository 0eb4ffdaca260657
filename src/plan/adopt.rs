//! Apps that are not ours and could be: twins of a name, and the one that an operator wants adopted.

use super::{
    AppPlan, Seen,
    diagnostic::{Code, Diagnostic},
    index::Ours,
    marks,
    offboard::named,
    step::{Edit, Named, Step},
};
use crate::{
    ids::{AppKey, ClientId, UniqueName},
    inventory::{FoundApp, Glimpse, Inventory, Sight},
    manifest::{App, Manifest},
};

/// How every unique name of tenantry begins, of whatever fleet.
const OUR_NAMES: &str = "tenantry-";

/// The app that an operator wants adopted as this one.
///
/// # Errors
/// Why it cannot be: a guard, for whatever was meant, it was not this.
pub(super) fn judge<'a>(
    wanted: &App,
    inventory: &'a Inventory,
    ours: &[Ours<'a>],
    seen: &Seen,
    client: ClientId,
) -> Result<&'a FoundApp, Diagnostic> {
    let no = |why: String| Diagnostic::new(Code::CannotAdopt, why);
    let key = &wanted.key;
    match ours {
        // Again, or after a run that was cut.
        [one] if one.app.client_id == client => return Ok(one.app),
        [] => {}
        [one, ..] => {
            return Err(no(format!("{key} has its app already: {}", one.app.client_id))
                .hint(format!("if {client} shall take its place: tenantry offboard {key} first")));
        }
    }
    let Some(app) = inventory.apps.iter().find(|app| app.client_id == client) else {
        let deleted = inventory.bin.seen().into_iter().flatten();
        let why = if deleted.into_iter().any(|binned| binned.app.client_id == client) {
            format!("the app {client} was deleted and lies in the bin; restore it first")
        } else {
            format!("no app of directory {} has the client id {client}", inventory.directory)
        };
        return Err(no(why).hint(
            "--app-id is the application (client) id, of an app in the directory where this one \
             must live",
        ));
    };
    let marks: Vec<&str> = app
        .registration
        .tags
        .iter()
        .map(String::as_str)
        .filter(|tag| marks::is_mark(tag))
        .collect();
    if !marks.is_empty() {
        return Err(no(format!("the app {client} is marked already: {}", marks.join(", ")))
            .hint("offboard it with --keep-app where it belongs, which takes the tags off"));
    }
    let other = seen
        .records
        .iter()
        .find(|(other, record)| *other != key && record.client_id == Some(client));
    if let Some((other, _)) = other {
        return Err(no(format!("the vault knows the app {client} as {other}"))
            .hint(format!("offboard {other} with --keep-app first")));
    }
    let foreign = app.unique_name.as_ref().filter(|name| name.as_str().starts_with(OUR_NAMES));
    if let Some(name) = foreign {
        return Err(no(format!(
            "the app {client} has the unique name {name}, which nobody can \
                               change: it is another fleet's or another key's"
        )));
    }
    Ok(app)
}

/// Adds the unique name to what is changed, where the app has none: given once, it stays
/// (<https://learn.microsoft.com/en-us/graph/templates/how-to-reference-existing-resources>).
pub(super) fn name(plan: &mut AppPlan, manifest: &Manifest, app: &FoundApp, inventory: &Inventory) {
    let wanted = UniqueName::of(&manifest.fleet, &plan.key);
    match &app.unique_name {
        Some(found) if *found == wanted => return,
        Some(found) => {
            plan.diagnostics.push(Diagnostic::new(
                Code::KeepsUniqueName,
                format!(
                    "its unique name is {found} and stays so: it is recognised by its tags and by \
                     the vault's record"
                ),
            ));
            return;
        }
        None => {}
    }
    let taken = match &inventory.bin {
        Sight::Seen(bin) => bin.iter().any(|one| one.app.unique_name.as_ref() == Some(&wanted)),
        Sight::NotLooked | Sight::Hidden(_) => false,
    };
    if taken {
        plan.diagnostics.push(
            Diagnostic::new(
                Code::NameInTheBin,
                format!(
                    "a deleted app holds the unique name {wanted}, so this one goes without: it is \
                     recognised by its tags and by the vault's record"
                ),
            )
            .hint("empty that one from the bin, and adopt again, to give this one the name"),
        );
        return;
    }
    let edit = Edit::UniqueName(Named { from: (), to: wanted });
    let patch = plan.steps.iter_mut().find_map(|step| {
        if let Step::PatchApplication { edits, .. } = step { Some(edits) } else { None }
    });
    match patch {
        Some(edits) => edits.push(edit),
        None => {
            let object_id = app.object_id;
            plan.steps.push(Step::PatchApplication { object_id, edits: vec![edit] });
        }
    }
}

/// An app that has our unique name and none of our tags, in a vault that does not know it. Creating
/// under that name would overwrite it.
pub(super) fn handed_over(key: &AppKey, client: ClientId) -> Diagnostic {
    Diagnostic::new(
        Code::HandedOver,
        format!(
            "the app {client} has our unique name and none of our tags, and this vault does not know \
             it: it was handed over, or somebody took them off"
        ),
    )
    .hint(format!("if it is still ours: tenantry adopt {key} --app-id {client}"))
}

/// The same, where it stands in the way of an app that is to be created.
pub(super) fn in_the_way(
    manifest: &Manifest,
    wanted: &App,
    inventory: &Inventory,
) -> Option<Diagnostic> {
    let name = UniqueName::of(&manifest.fleet, &wanted.key);
    named(inventory, &name).map(|glimpse| handed_over(&wanted.key, glimpse.client_id))
}

/// Says which other apps are called the same, with what tells them apart.
pub(super) fn twins(plan: &mut AppPlan, inventory: &Inventory, wanted: &App) {
    for twin in inventory.others.seen().into_iter().flatten() {
        if twin.display_name.as_deref() == Some(wanted.display_name.as_str())
            && !twin.tags.iter().any(|tag| marks::is_mark(tag))
        {
            plan.diagnostics.push(
                Diagnostic::new(
                    Code::Twin,
                    format!("an app of the same name without our mark exists: {}", told(twin)),
                )
                .hint(format!(
                    "it is not touched, and there will be two of that name. If it is this \
                     customer's: tenantry adopt {} --app-id {}",
                    wanted.key, twin.client_id
                )),
            );
        }
    }
}

/// What tells an app from others of its name.
fn told(twin: &Glimpse) -> String {
    let Glimpse {
        object_id: _,
        client_id,
        display_name: _,
        unique_name: _,
        tags: _,
        created,
        audience,
        redirect_uris,
        credentials,
    } = twin;
    let mut told = client_id.to_string();
    if let Some(created) = created {
        told.push_str(&format!(", created {}", created.strftime("%Y-%m-%d")));
    }
    if let Some(audience) = audience {
        told.push_str(&format!(", {audience}"));
    }
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    told.push_str(&format!(", {credentials} credential{}", plural(*credentials)));
    match redirect_uris.as_slice() {
        [] => told.push_str(", no redirect URI"),
        [only] => told.push_str(&format!(", redirect URI {only}")),
        [first, rest @ ..] => {
            told.push_str(&format!(", redirect URI {first} and {} more", rest.len()));
        }
    }
    told
}
