//! Taking things out of a key vault for good, and naming what is left elsewhere.
//!
//! What is deleted from a key vault can be recovered for days, and is until somebody purges it
//! (<https://learn.microsoft.com/en-us/azure/key-vault/general/soft-delete-overview>). Purging is a
//! right of its own, and no one's where the vault is protected against it: then it is said until
//! when the deleted things stay. Nothing of worth is lost: their credentials are gone by then.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    KeyVault,
    hand::{Held, Values},
    tags::{self, Name},
    wire::{Binned, Purged},
};
use crate::{
    ids::{AppKey, TenantKey},
    secret::Secret,
    vault::{
        bin::Deleted,
        error::{Damage, VaultError},
        leftover::{Erased, Leftover},
    },
};

impl KeyVault {
    /// What is left with customers.
    pub(in crate::vault) async fn leftovers(&self) -> Result<Vec<Leftover>, VaultError> {
        let (mut all, mut damages) = (Vec::new(), Vec::new());
        for item in self.wire.list().await? {
            if self.names.read(&item.name) != Some(Name::Leftover) {
                continue;
            }
            match tags::read::<Leftover>(self.id, &item.tags) {
                Ok((leftover, _)) => all.push(leftover),
                Err(why) => damages.push(Damage { place: self.wire.place(&item.name), why }),
            }
        }
        if damages.is_empty() {
            Ok(Leftover::sorted(all))
        } else {
            Err(VaultError::Damaged(damages))
        }
    }

    /// The deleted secrets of these apps, as far as they are of this vault.
    pub(in crate::vault) async fn deleted(
        &self,
        apps: &BTreeSet<AppKey>,
    ) -> Result<BTreeMap<AppKey, Deleted>, VaultError> {
        let all = self.wire.list_deleted().await?.unwrap_or_default();
        let of_app = |one: Binned| match self.names.read(&one.name) {
            Some(Name::App(app)) if apps.contains(&app) && tags::is_of(self.id, &one.tags) => {
                let vault = self.wire.vault_name();
                Some((app, Deleted { vault, secret: one.name, until: one.until }))
            }
            Some(
                Name::Head
                | Name::App(_)
                | Name::Tenant(_)
                | Name::Lease
                | Name::Audit
                | Name::Leftover,
            )
            | None => None,
        };
        Ok(all.into_iter().filter_map(of_app).collect())
    }

    /// Whether deleted secrets of an app, or of one tenant of it, can still be recovered.
    pub(in crate::vault) async fn buried(
        &self,
        app: &AppKey,
        tenant: Option<&TenantKey>,
    ) -> Result<bool, VaultError> {
        let deleted = self.wire.list_deleted().await?;
        Ok(deleted.is_some_and(|all| all.iter().any(|one| self.is_of(&one.name, app, tenant))))
    }

    /// Whether a name is that of the app's secret or of one of its tenants', or of this tenant's.
    fn is_of(&self, name: &str, app: &AppKey, tenant: Option<&TenantKey>) -> bool {
        match (tenant, self.names.read(name)) {
            (Some(tenant), _) => name == self.names.tenant(app, tenant),
            (None, Some(Name::App(found) | Name::Tenant(found))) => found == *app,
            (None, Some(Name::Head | Name::Lease | Name::Audit | Name::Leftover) | None) => false,
        }
    }
}

impl Held {
    /// Deletes an app's secrets, its tenants' before its own: what is left of a cut in between is
    /// found by the app's.
    pub(in crate::vault) async fn erase(&self, app: &AppKey) -> Result<Erased, VaultError> {
        self.must_stand()?;
        let vault = &self.vault;
        let _turn = vault.turn(app).await;
        let mut names: Vec<String> = vault.wire.list().await?.into_iter().map(|i| i.name).collect();
        names.retain(|name| vault.is_of(name, app, None));
        let own = vault.names.app(app);
        names.sort_by_key(|name| *name == own);
        for name in &names {
            vault.wire.delete(name).await?;
        }
        vault.known().remove(app);
        self.bury(app, None, names).await
    }

    /// Takes one tenant, and its refresh token, out of an app's record.
    pub(in crate::vault) async fn forget_tenant(
        &self,
        app: &AppKey,
        tenant: &TenantKey,
    ) -> Result<Erased, VaultError> {
        let vault = &self.vault;
        let _turn = vault.turn(app).await;
        let mut names = Vec::new();
        if let Some(old) = vault.app(app).await? {
            let mut record = old.record.clone();
            let mut held = record.held();
            if let Some(gone) = record.forget_token(tenant) {
                held.remove(&gone);
            }
            if record.tenants.remove(tenant).is_some() {
                names.push(vault.names.tenant(app, tenant));
            }
            self.save(Some(old), &record, &held, Values::Kept).await?;
        }
        self.bury(app, Some(tenant), names).await
    }

    /// Purges what was deleted, now or by a run that was cut, where that is allowed; and looks
    /// whether the vault shows any of it.
    async fn bury(
        &self,
        app: &AppKey,
        tenant: Option<&TenantKey>,
        mut deleted: Vec<String>,
    ) -> Result<Erased, VaultError> {
        let vault = &self.vault;
        let mut erased = Erased::Gone;
        match vault.wire.list_deleted().await? {
            Some(listed) => {
                let names = listed.into_iter().map(|one| one.name);
                deleted.extend(names.filter(|name| vault.is_of(name, app, tenant)));
            }
            // Whoever may not look cannot say that nothing is there.
            None => erased = Erased::Recoverable { until: None },
        }
        deleted.sort();
        deleted.dedup();
        for name in &deleted {
            if let Purged::Not { until } = vault.wire.purge(name).await? {
                erased = later(erased, until);
            }
        }
        match vault.wire.list().await?.into_iter().find(|i| vault.is_of(&i.name, app, tenant)) {
            None => Ok(erased),
            Some(item) => Err(VaultError::ReadBack { place: vault.wire.place(&item.name) }),
        }
    }

    /// Names it, in the place of what was said of the same before.
    pub(in crate::vault) async fn name_leftover(
        &self,
        leftover: &Leftover,
    ) -> Result<(), VaultError> {
        self.must_stand()?;
        let vault = &self.vault;
        if vault.leftovers().await?.contains(leftover) {
            return Ok(());
        }
        let name = vault.names.leftover(leftover);
        let tags = tags::write(vault.id, leftover, None).map_err(|length| VaultError::TooLong {
            what: leftover.tenant.to_string(),
            length,
            most: tags::MOST,
            place: vault.wire.place(&name),
        })?;
        let words = "An enterprise application that was left with a customer; see the tags.";
        vault.wire.set(&name, &Secret::new(words.to_owned()), &tags, None).await.map(drop)
    }

    /// Forgets it.
    pub(in crate::vault) async fn forget_leftover(
        &self,
        leftover: &Leftover,
    ) -> Result<(), VaultError> {
        self.must_stand()?;
        let name = self.vault.names.leftover(leftover);
        self.vault.wire.delete(&name).await?;
        self.vault.wire.purge(&name).await.map(drop)
    }
}

/// What is true of both.
fn later(erased: Erased, until: Option<Timestamp>) -> Erased {
    match erased {
        Erased::Gone => Erased::Recoverable { until },
        // The later one, and nobody knows when as soon as one of them is not known.
        Erased::Recoverable { until: other } => {
            Erased::Recoverable { until: other.zip(until).map(|(one, other)| one.max(other)) }
        }
    }
}
