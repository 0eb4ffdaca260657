//! What can be changed in a directory, one call at a time.

use std::collections::BTreeSet;

use azure_core::http::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use graph_rs_sdk::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    request::{Graph, at, keyed, read},
    wire::{
        APP, AddPassword, App, AppBody, FederatedBody, FederatedCredential, KeyBody, Keys,
        Password, PasswordBody, Reference, RemovePassword, required,
    },
};
use crate::{
    cloud::Cloud,
    entra::Operator,
    failure::{Cause, Failure},
    http::{Access, Lag, Network, Tries},
    ids::{
        Application, CredentialName, FederatedCredential as Trusting, KeyId, ObjectId, TenantId,
        UniqueName,
    },
    inventory::{FoundApp, FoundFederated},
    plan::Permit,
    registration::{Audience, Federated, Links, Permission, RedirectUri, Registration},
    secret::Secret,
};
use graph_rs_sdk::ODataQuery;

/// How an upsert ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upserted {
    /// The app is new, as the directory now holds it.
    Created(Box<FoundApp>),
    /// There was one already, and it now has the properties that were sent: read it and plan
    /// again, never take it as created.
    Existed,
    /// As [`Upserted::Existed`], but the request was sent more than once, because an answer got
    /// lost on the way: the one that was there may be our own, made by an earlier try.
    ExistedAfterRepeat,
}

/// A client secret at the one moment at which its value can be seen.
#[derive(Debug, Clone)]
pub struct IssuedSecret {
    /// `keyId`
    pub key_id: KeyId,
    /// `startDateTime`
    pub start: Option<Timestamp>,
    /// `endDateTime`
    pub end: Timestamp,
    /// `secretText`
    pub value: Secret<String>,
}

/// How the removal of a credential ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It was there and is gone.
    Now,
    /// The directory did not know it, also when asked again for some seconds.
    WasGone,
}

/// Whether this run made the object itself: then "does not exist" is waited out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectAge {
    /// Created or restored by this run.
    JustMade,
    /// Found by reading.
    Settled,
}

impl ObjectAge {
    fn context(self) -> Context<'static> {
        match self {
            Self::JustMade => Context::new().with_value(Lag::NewObject),
            Self::Settled => Context::new(),
        }
    }
}

/// Properties to change; absent ones are left as they are. Collections are replaced whole, so
/// what others added must be in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// `displayName`
    pub display_name: Option<String>,
    /// `signInAudience`
    pub audience: Option<Audience>,
    /// `web.redirectUris`
    pub redirect_uris: Option<BTreeSet<RedirectUri>>,
    /// `requiredResourceAccess`
    pub permissions: Option<BTreeSet<Permission>>,
    /// `info`
    pub links: Option<Links>,
    /// `tags`
    pub tags: Option<BTreeSet<String>>,
    /// `uniqueName`, of an app that has none.
    pub unique_name: Option<UniqueName>,
}

impl From<&Patch> for AppBody {
    fn from(patch: &Patch) -> Self {
        let Patch { display_name, audience, redirect_uris, permissions, links, tags, unique_name } =
            patch;
        Self {
            display_name: display_name.clone(),
            sign_in_audience: *audience,
            web: redirect_uris.as_ref().map(Into::into),
            required_resource_access: permissions.as_ref().map(required),
            info: links.as_ref().map(Into::into),
            tags: tags.clone(),
            unique_name: unique_name.clone(),
        }
    }
}

/// Changes one directory, as an approved plan says.
#[derive(Debug)]
pub struct Writer {
    pub(super) graph: Graph,
    directory: TenantId,
    _permit: Permit,
}

impl Writer {
    /// A writer for one directory; nothing is sent yet.
    ///
    /// # Errors
    /// [`Cause::SignIn`] where the operator's credential cannot be made.
    pub fn new(
        network: &Network,
        cloud: &Cloud,
        directory: TenantId,
        operator: &Operator,
        permit: Permit,
    ) -> Result<Self, Failure> {
        let graph = Graph::new(network, cloud, directory, operator, Access::ReadWrite)?;
        Ok(Self { graph, directory, _permit: permit })
    }

    /// Which directory it changes.
    pub fn directory(&self) -> TenantId {
        self.directory
    }

    /// The server's clock, to about a second; nothing before its first answer to any reader or
    /// writer of this directory. Ends of credentials are counted from it.
    pub fn server_time(&self) -> Option<Timestamp> {
        self.graph.server_time()
    }

    /// Creates an app under its unique name, or overwrites the one that has it
    /// (<https://learn.microsoft.com/en-us/graph/api/application-upsert>). Safe to repeat, and
    /// repeated where an answer is lost.
    ///
    /// # Errors
    /// As every call; with advice where a deleted app holds the name.
    pub async fn upsert(
        &self,
        name: &UniqueName,
        wanted: &Registration,
    ) -> Result<Upserted, Failure> {
        let path = keyed("applications", "uniqueName", name.as_str());
        let patch = self.graph.spell().application("x").update_application(&AppBody::from(wanted));
        let patch = at(patch, &path).header(
            HeaderName::from_static("prefer"),
            HeaderValue::from_static("create-if-missing"),
        );
        let tries = Tries::default();
        // "Does not exist" is no answer to create-if-missing: the app is there, made a moment ago by
        // a run that was cut, and cannot be found yet.
        let context = Context::new().with_value(tries.clone()).with_value(Lag::NewObject);
        let answer = self.graph.send(patch.build(), &context).await.map_err(name_is_taken)?;
        match u16::from(answer.status()) {
            201 => Ok(Upserted::Created(Box::new(read::<App>(&answer)?.found()))),
            _ if tries.count() > 1 => Ok(Upserted::ExistedAfterRepeat),
            _ => Ok(Upserted::Existed),
        }
    }

    /// Changes properties of an app
    /// (<https://learn.microsoft.com/en-us/graph/api/application-update>). Safe to repeat.
    ///
    /// # Errors
    /// As every call.
    pub async fn patch(
        &self,
        id: ObjectId<Application>,
        patch: &Patch,
        age: ObjectAge,
    ) -> Result<(), Failure> {
        let body = AppBody::from(patch);
        let patch = self.graph.spell().application(id.to_string()).update_application(&body);
        self.graph.send(patch.build(), &age.context()).await.map(drop).map_err(name_is_taken)
    }

    /// Takes a deleted app out of the bin, with its ids and its secrets, and reads it
    /// (<https://learn.microsoft.com/en-us/graph/api/directory-deleteditems-restore>).
    ///
    /// # Errors
    /// As every call.
    pub async fn restore(&self, id: ObjectId<Application>) -> Result<FoundApp, Failure> {
        let restore = self.graph.spell().directory().deleted_item(id.to_string()).restore();
        self.graph.send(restore.build(), &Context::new()).await?;
        // The answer holds little more than the id.
        self.app(id, ObjectAge::JustMade).await
    }

    /// Reads an app that this run created, restored or changed.
    ///
    /// # Errors
    /// As every call.
    pub async fn app(
        &self,
        id: ObjectId<Application>,
        age: ObjectAge,
    ) -> Result<FoundApp, Failure> {
        let get = self.graph.spell().application(id.to_string()).get_application().select(&APP);
        self.graph.one::<App>(get.build(), &age.context()).await.map(App::found)
    }

    /// Makes a client secret that ends at `end`
    /// (<https://learn.microsoft.com/en-us/graph/api/application-addpassword>). Not safe to
    /// repeat: where no answer came, there may be a secret whose value nobody knows.
    ///
    /// # Errors
    /// As every call; a policy's refusal is [`Cause::Refused`] with its code.
    pub async fn add_secret(
        &self,
        id: ObjectId<Application>,
        name: &CredentialName,
        end: Timestamp,
        age: ObjectAge,
    ) -> Result<IssuedSecret, Failure> {
        let whole_seconds = Timestamp::from_second(end.as_second()).unwrap_or(end);
        let body = AddPassword {
            password_credential: PasswordBody {
                display_name: name.to_string(),
                end_date_time: whole_seconds.to_string(),
            },
        };
        let post = self.graph.spell().application(id.to_string()).add_password(&body);
        let issued: Password = self.graph.one(post.build(), &age.context()).await?;
        let Password { key_id, start_date_time, end_date_time, secret_text, .. } = issued;
        let (Some(key_id), Some(value)) = (key_id, secret_text.filter(|v| !v.expose().is_empty()))
        else {
            return Err(Failure::new(
                Cause::Garbled,
                "Graph made a client secret and did not say its value",
            ));
        };
        Ok(IssuedSecret {
            key_id: KeyId::from_uuid(key_id),
            start: start_date_time,
            end: end_date_time.unwrap_or(whole_seconds),
            value,
        })
    }

    /// Makes somebody an owner of an app; whoever is one already stays it
    /// (<https://learn.microsoft.com/en-us/graph/api/application-post-owners>). Safe to repeat.
    ///
    /// # Errors
    /// As every call; with advice where the right to it is missing.
    pub async fn add_owner(
        &self,
        id: ObjectId<Application>,
        owner: Uuid,
        age: ObjectAge,
    ) -> Result<(), Failure> {
        let body = Reference { id: self.graph.address(&format!("directoryObjects/{owner}")) };
        let post = self.graph.spell().application("x").add_password(&body);
        let post = at(post, &format!("applications/{id}/owners/$ref"));
        match self.graph.send(post.build(), &age.context()).await {
            Err(failure) if failure.message.contains("object references already exist") => Ok(()),
            Err(failure) if failure.cause == Cause::Privilege => Err(failure.hint(
                "To add an owner takes Application.ReadWrite.All and Directory.Read.All; \
                 Application.ReadWrite.OwnedBy is not enough. `tenantry doctor` shows all rights.",
            )),
            Err(failure) if failure.cause == Cause::NotFound => Err(failure.hint(format!(
                "{owner} is the object id of nobody in this directory: take the object id of a user \
                 or of a service principal, not a client id.",
            ))),
            other => other.map(drop),
        }
    }

    /// Removes a client secret
    /// (<https://learn.microsoft.com/en-us/graph/api/application-removepassword>). One that the
    /// directory does not know is asked for again for some seconds, for it may be too young.
    ///
    /// # Errors
    /// As every call, but for a secret that does not exist.
    pub async fn remove_secret(
        &self,
        id: ObjectId<Application>,
        key_id: KeyId,
    ) -> Result<Removed, Failure> {
        let body = RemovePassword { key_id };
        let post = self.graph.spell().application(id.to_string()).remove_password(&body);
        let context = Context::new().with_value(Lag::YoungCredential);
        match self.graph.send(post.build(), &context).await {
            Ok(_) => Ok(Removed::Now),
            Err(failure) if Lag::YoungCredential.explains(&failure) => Ok(Removed::WasGone),
            Err(failure) => Err(failure),
        }
    }
}

/// A certificate that shall be an app's.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// `keyId`: its maker chooses it.
    pub key_id: KeyId,
    /// `displayName`
    pub name: &'a CredentialName,
    /// `startDateTime`, in whole seconds.
    pub start: Timestamp,
    /// `endDateTime`, in whole seconds.
    pub end: Timestamp,
    /// The certificate (DER), without its key.
    pub public: &'a [u8],
}

impl Writer {
    /// Adds a certificate beside those that an app has
    /// (<https://learn.microsoft.com/en-us/graph/applications-how-to-add-certificate>). Safe to
    /// repeat: the same certificate under the same id is no second one.
    ///
    /// Graph has no call that adds one without showing an older one, so the list is read and sent
    /// whole; what somebody adds in between is lost, and no call prevents that.
    ///
    /// # Errors
    /// As every call; a policy's refusal is [`Cause::Refused`] with its code.
    pub async fn add_certificate(
        &self,
        id: ObjectId<Application>,
        new: &NewKey<'_>,
        age: ObjectAge,
    ) -> Result<(), Failure> {
        let mut keys = self.keys(id, age).await?;
        let NewKey { key_id, name, start, end, public } = new;
        let body = KeyBody {
            key_id: *key_id,
            display_name: name.to_string(),
            start_date_time: start.to_string(),
            end_date_time: end.to_string(),
            r#type: "AsymmetricX509Cert",
            usage: "Verify",
            key: STANDARD.encode(public),
        };
        keys.key_credentials.push(serde_json::to_value(body).map_err(|error| {
            Failure::new(Cause::Guard, format!("a certificate could not be written: {error}"))
        })?);
        self.put_keys(id, &keys, age).await
    }

    /// Removes a certificate from those that an app has, in the same way.
    ///
    /// # Errors
    /// As every call.
    pub async fn remove_certificate(
        &self,
        id: ObjectId<Application>,
        key_id: KeyId,
    ) -> Result<Removed, Failure> {
        let mut keys = self.keys(id, ObjectAge::Settled).await?;
        let before = keys.key_credentials.len();
        let gone = key_id.to_string();
        keys.key_credentials.retain(|key| {
            !key["keyId"].as_str().is_some_and(|found| found.eq_ignore_ascii_case(&gone))
        });
        if keys.key_credentials.len() == before {
            return Ok(Removed::WasGone);
        }
        self.put_keys(id, &keys, ObjectAge::Settled).await.map(|()| Removed::Now)
    }

    /// The certificates of an app, whole: asked for one app and by name, Graph tells them, too
    /// (<https://learn.microsoft.com/en-us/graph/api/resources/keycredential>).
    async fn keys(&self, id: ObjectId<Application>, age: ObjectAge) -> Result<Keys, Failure> {
        let get = self.graph.spell().application(id.to_string()).get_application();
        self.graph.one(get.select(&["keyCredentials"]).build(), &age.context()).await
    }

    async fn put_keys(
        &self,
        id: ObjectId<Application>,
        keys: &Keys,
        age: ObjectAge,
    ) -> Result<(), Failure> {
        let patch = self.graph.spell().application(id.to_string()).update_application(keys);
        self.graph.send(patch.build(), &age.context()).await.map(drop)
    }

    /// Lets somebody's tokens stand in for a secret
    /// (<https://learn.microsoft.com/en-us/graph/api/application-post-federatedidentitycredentials>).
    ///
    /// # Errors
    /// As every call.
    pub async fn add_federated(
        &self,
        id: ObjectId<Application>,
        name: &str,
        trusts: &Federated,
        age: ObjectAge,
    ) -> Result<FoundFederated, Failure> {
        let body = FederatedBody::new(Some(name), trusts);
        let app = self.graph.spell().application(id.to_string());
        let post = app.create_federated_identity_credentials(&body);
        let made: FederatedCredential = self.graph.one(post.build(), &age.context()).await?;
        made.found().ok_or_else(|| {
            Failure::new(Cause::Garbled, "Graph made a federated credential and did not say its id")
        })
    }

    /// Lets other tokens stand in than until now
    /// (<https://learn.microsoft.com/en-us/graph/api/federatedidentitycredential-update>). Safe to
    /// repeat.
    ///
    /// # Errors
    /// As every call.
    pub async fn update_federated(
        &self,
        id: ObjectId<Application>,
        credential: ObjectId<Trusting>,
        trusts: &Federated,
    ) -> Result<(), Failure> {
        let body = FederatedBody::new(None, trusts);
        let app = self.graph.spell().application(id.to_string());
        let patch = app.update_federated_identity_credentials(credential.to_string(), &body);
        self.graph.send(patch.build(), &Context::new()).await.map(drop)
    }

    /// Takes a trust away
    /// (<https://learn.microsoft.com/en-us/graph/api/federatedidentitycredential-delete>).
    ///
    /// # Errors
    /// As every call, but for one that does not exist.
    pub async fn remove_federated(
        &self,
        id: ObjectId<Application>,
        credential: ObjectId<Trusting>,
    ) -> Result<Removed, Failure> {
        let app = self.graph.spell().application(id.to_string());
        let delete = app.delete_federated_identity_credentials(credential.to_string());
        match self.graph.send(delete.build(), &Context::new()).await {
            Ok(_) => Ok(Removed::Now),
            Err(failure) if failure.cause == Cause::NotFound => Ok(Removed::WasGone),
            Err(failure) => Err(failure),
        }
    }
}

/// A unique name is reserved for 30 days by an app in the bin, which no listing shows.
fn name_is_taken(failure: Failure) -> Failure {
    if failure.message.contains("same value for property uniqueName") {
        return failure.hint(
            "A deleted app holds this name for 30 days. Run again as an operator with \
             Application.Read.All, who sees the bin and restores it, or empty the bin.",
        );
    }
    failure
}
