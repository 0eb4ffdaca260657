//! What a sign-in leaves: the code redeemed, its user checked, the refresh token into the vault.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Ask, Reader, answer::cleaned};
use crate::{
    entra::{self, Asker, Code, DirectoryRole, UserToken},
    failure::{Cause, Failure},
    secret::Secret,
    vault::{AuditEntry, NewRefreshToken, VaultWriter},
};

/// Whether a user with more power than reading takes may sign in (`--allow-privileged`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileged {
    /// Their token is refused: whoever stole it could do whatever they may.
    Refused,
    /// Their token is kept.
    Allowed,
}

/// Redeems the code, and keeps the refresh token where it is the right user's; gives back who it
/// is. Of any other nothing is kept.
pub(super) async fn finish(
    ask: &Ask,
    reader: &Reader,
    asker: &Asker<'_>,
    code: &Code<'_>,
    vault: &VaultWriter,
    who: &str,
    privileged: Privileged,
) -> Result<UserToken, Failure> {
    let token = entra::redeem(asker, code, &reader.scopes)
        .await
        .map_err(|failure| elsewhere(ask, reader, failure))?;
    let Checked { user, refresh, allowed_roles } = checked(ask, reader, &token, privileged)?;
    let not_kept = |error: &dyn std::fmt::Display| {
        Failure::new(
            Cause::Guard,
            format!("{user} signed in, and the vault could not keep it: {error}"),
        )
        .hint("mend the vault, then sign in again")
    };
    // The audit first: what it does not tell of must not be there.
    let entry = AuditEntry::new(token.given, who, "consent")
        .step("keep-refresh-token")
        .app(&ask.app)
        .tenant(&ask.tenant)
        .id("clientId", ask.client)
        .id("directory", ask.directory)
        .id("user", &user);
    vault.audit(entry).await.map_err(|error| not_kept(&error))?;
    let new = NewRefreshToken {
        tenant: ask.tenant.clone(),
        directory: ask.directory,
        user: user.clone(),
        object: token.user.object,
        allowed_roles,
        value: refresh,
        at: token.given,
    };
    vault.keep_refresh_token(&ask.app, new).await.map_err(|error| not_kept(&error))?;
    Ok(token)
}

/// A sign-in that may be kept.
struct Checked {
    user: String,
    refresh: Secret<String>,
    /// The roles that it is kept in spite of.
    allowed_roles: BTreeSet<Uuid>,
}

/// Whether it is the right directory, the right user, with no more power than reading takes, and a
/// refresh token came.
fn checked(
    ask: &Ask,
    reader: &Reader,
    token: &UserToken,
    privileged: Privileged,
) -> Result<Checked, Failure> {
    let UserToken { token: access, refresh, user, given: _ } = token;
    if access.directory != ask.directory {
        return Err(wrong_directory(ask, &access.directory.to_string()));
    }
    let name = user.name().map(cleaned).unwrap_or_else(|| "a user without a name".to_owned());
    if !user.is(&reader.user) {
        return Err(Failure::new(
            Cause::Guard,
            format!("{name} signed in where {} was asked; nothing was kept", reader.user),
        )
        .hint(format!(
            "sign out at Microsoft or use a private window, then sign in as {}; or name the other \
             user in signInAs",
            reader.user
        )));
    }
    let roles = user.excess();
    if privileged == Privileged::Refused && !roles.is_empty() {
        return Err(Failure::new(
            Cause::Guard,
            format!(
                "{name} holds more power there than reading takes ({}); nothing was kept",
                roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            ),
        )
        .hint(
            "let a user sign in who has only Security Reader; --allow-privileged keeps the token \
             all the same, and whoever gets hold of it can do whatever that user may and the app \
             asks for",
        ));
    }
    let refresh = refresh.clone().ok_or_else(|| {
        Failure::new(Cause::Refused, "Microsoft gave no refresh token; nothing was kept")
            .hint("the app needs the delegated permission offline_access, and consent to it")
    })?;
    let allowed_roles = roles.into_iter().map(DirectoryRole::id).collect();
    Ok(Checked { user: name, refresh, allowed_roles })
}

/// A code that was given in another directory is refused by the one that was asked, which does not
/// say which other it was
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>).
fn elsewhere(ask: &Ask, reader: &Reader, failure: Failure) -> Failure {
    match failure.code.as_deref() {
        Some("AADSTS700005") => {
            let message = format!(
                "somebody signed in to another directory than {} ({}, directory {}), where {} was \
                 asked; nothing was stored ({})",
                ask.name, ask.tenant, ask.directory, reader.user, failure.message
            );
            Failure { cause: Cause::Guard, message, ..failure }
                .hint(clean_up(ask, "the directory that was signed in to"))
        }
        Some(entra::OTHER_DIRECTORY) => failure.hint(clean_up(ask, "that other directory")),
        Some(_) | None => failure,
    }
}

/// What to do about an answer of another directory.
fn clean_up(ask: &Ask, directory: &str) -> String {
    format!(
        "an administrator of {directory} deletes what was left there: the enterprise application \
         \"{}\" with application id {}; then open this tenant's own link as it is, signed in to {}",
        ask.app_name, ask.client, ask.name
    )
}

/// Somebody answered in another directory than the one that was asked.
pub(super) fn wrong_directory(ask: &Ask, found: &str) -> Failure {
    Failure::new(
        Cause::Guard,
        format!(
            "directory {found} answered for {} ({}, directory {}); nothing was stored",
            ask.name, ask.tenant, ask.directory
        ),
    )
    .hint(clean_up(ask, &format!("directory {found}")))
}
