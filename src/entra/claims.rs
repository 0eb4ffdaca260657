//! What an access token says about itself, read without being verified: only to show it, and to
//! notice a token of the wrong directory. Its judge is the service it is sent to.
//!
//! Claims: <https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference>.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    failure::{Cause, Failure},
    ids::{ClientId, ResourceId, TenantId},
    text::one_line,
};

/// The code of a failure in which a directory gave a token of another: the claim that says so.
pub const OTHER_DIRECTORY: &str = "tid";

/// The claims that concern us; all of them optional, for tokens are officially opaque.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) tid: Option<Uuid>,
    pub(crate) oid: Option<Uuid>,
    /// The API, by its id or one of its names.
    aud: Option<String>,
    /// The app, in a token of version 1.
    appid: Option<Uuid>,
    /// The app, in a token of version 2.
    azp: Option<Uuid>,
    pub(crate) app_displayname: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) upn: Option<String>,
    pub(crate) preferred_username: Option<String>,
    /// The name, in a token of version 1.
    pub(crate) unique_name: Option<String>,
    pub(crate) email: Option<String>,
    /// Directory roles of the person.
    pub(crate) wids: BTreeSet<Uuid>,
    pub(crate) idtyp: Option<String>,
    pub(crate) roles: BTreeSet<String>,
    scp: Option<String>,
    /// Claims that are there, and not of the kind they should be.
    odd: BTreeSet<&'static str>,
}

/// Whose token was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) directory: TenantId,
    pub(super) client: ClientId,
    /// The API; nothing where it is not known which.
    pub(super) api: Option<Api<'a>>,
    pub(super) bearer: Bearer,
}

/// An API that a token is for.
#[derive(Debug, Clone, Copy)]
pub struct Api<'a> {
    /// Its id.
    pub id: ResourceId,
    /// The scope that asks for it: a name of it, and `/.default`.
    pub scope: &'a str,
}

/// For whom a token speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearer {
    /// The app itself.
    App,
    /// The app, for a person.
    Person,
}

impl Bearer {
    /// The claims that must be understood: what they say is relied on.
    const fn relies_on(self) -> &'static [&'static str] {
        match self {
            Self::App => &["tid", "aud", "appid", "azp", "idtyp", "roles"],
            Self::Person => &[
                "tid",
                "aud",
                "appid",
                "azp",
                "oid",
                "scp",
                "wids",
                "upn",
                "unique_name",
                "preferred_username",
            ],
        }
    }
}

/// One claim: absent and `null` are the same; one of another kind is noted, and says nothing.
fn take<T: DeserializeOwned + Default>(
    all: &mut Map<String, Value>,
    odd: &mut BTreeSet<&'static str>,
    name: &'static str,
) -> T {
    match all.remove(name) {
        None | Some(Value::Null) => T::default(),
        Some(value) => serde_json::from_value(value).unwrap_or_else(|_| {
            odd.insert(name);
            T::default()
        }),
    }
}

/// The longest name or permission that is believed.
const LONGEST: usize = 300;

/// A claim in words: some of them the customer chooses.
fn words(
    all: &mut Map<String, Value>,
    odd: &mut BTreeSet<&'static str>,
    name: &'static str,
) -> Option<String> {
    take::<Option<String>>(all, odd, name).map(|text| one_line(&text, LONGEST))
}

impl Claims {
    /// Reads a token; one that is not a JWT says nothing.
    pub(crate) fn read(token: &str) -> Self {
        let mut parts = token.split('.');
        let (Some(_), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Self::default();
        };
        let payload = URL_SAFE_NO_PAD
            .decode(payload.trim_end_matches('='))
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok());
        let Some(Value::Object(mut all)) = payload else { return Self::default() };
        let (all, mut odd) = (&mut all, BTreeSet::new());
        let claims = Self {
            tid: take(all, &mut odd, "tid"),
            oid: take(all, &mut odd, "oid"),
            aud: take(all, &mut odd, "aud"),
            appid: take(all, &mut odd, "appid"),
            azp: take(all, &mut odd, "azp"),
            app_displayname: words(all, &mut odd, "app_displayname"),
            name: words(all, &mut odd, "name"),
            upn: words(all, &mut odd, "upn"),
            preferred_username: words(all, &mut odd, "preferred_username"),
            unique_name: words(all, &mut odd, "unique_name"),
            email: words(all, &mut odd, "email"),
            wids: take(all, &mut odd, "wids"),
            idtyp: take(all, &mut odd, "idtyp"),
            roles: take::<BTreeSet<String>>(all, &mut odd, "roles")
                .iter()
                .map(|role| one_line(role, LONGEST))
                .collect(),
            scp: take(all, &mut odd, "scp"),
            odd: BTreeSet::new(),
        };
        Self { odd, ..claims }
    }

    /// Whether this is the token that was asked for; any other proves nothing, and is not used.
    ///
    /// # Errors
    /// [`Cause::Garbled`]: it does not say whose it is, or it is another's (with the code
    /// [`OTHER_DIRECTORY`] where it is of another directory).
    pub(super) fn check(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let Wanted { directory, client, api, bearer } = *wanted;
        let garbled = |why: String| Failure::new(Cause::Garbled, format!("{why}; it was not used"));
        let odd = bearer.relies_on().iter().find(|name| self.odd.contains(**name));
        let found = self.tid.map(TenantId::from_uuid);
        if found != Some(directory) {
            let mut other = garbled(match found {
                Some(found) => format!(
                    "a token for directory {directory} was asked for, one for {found} came back"
                ),
                None => format!(
                    "a token for directory {directory} was asked for, and what came back does not \
                     say whose it is"
                ),
            });
            other.code = Some(OTHER_DIRECTORY.to_owned());
            return Err(other);
        }
        if let Some(name) = odd {
            return Err(garbled(format!("the token's claim `{name}` is not of its kind")));
        }
        if let Some(other) = self.app().map(ClientId::from_uuid).filter(|app| *app != client) {
            return Err(garbled(format!(
                "a token for app {client} was asked for, one for {other} came back"
            )));
        }
        if let Some((api, aud)) = api.zip(self.aud.as_deref())
            && !api.is_called(aud)
        {
            return Err(garbled(format!(
                "a token for the API {} was asked for, one for another came back",
                api.name()
            )));
        }
        // Where it is there at all: an app has to ask for it
        // (<https://learn.microsoft.com/en-us/entra/identity-platform/optional-claims-reference>).
        if bearer == Bearer::App && self.idtyp.as_deref() == Some("user") {
            return Err(garbled(
                "a token for the app was asked for, one for a user came back".into(),
            ));
        }
        Ok(())
    }

    /// The client id of the app the token was given to.
    pub(crate) fn app(&self) -> Option<Uuid> {
        self.appid.or(self.azp)
    }

    /// The delegated scopes.
    pub(crate) fn scopes(&self) -> BTreeSet<String> {
        self.scp
            .iter()
            .flat_map(|scopes| scopes.split_whitespace())
            .map(|scope| one_line(scope, LONGEST))
            .collect()
    }
}

impl Api<'_> {
    fn name(&self) -> &str {
        self.scope.strip_suffix("/.default").unwrap_or(self.scope)
    }

    /// Whether an audience is this API: by the name it was asked for, or by its id
    /// (<https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference>).
    fn is_called(&self, audience: &str) -> bool {
        let bare = |name: &str| name.trim_end_matches('/').to_lowercase();
        let audience = bare(audience);
        audience == bare(self.name()) || audience == self.id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_both_versions_are_read_and_opaque_ones_say_nothing() {
        let token = |json: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(json));
        let app = "0b6d0000-0000-4000-8000-000000000002";
        let v1 = Claims::read(&token(&format!(r#"{{"appid":"{app}","roles":["A","B"],"x":1}}"#)));
        assert_eq!(v1.app(), Some(app.parse().unwrap()));
        assert_eq!(v1.roles.len(), 2);
        let v2 = Claims::read(&token(&format!(r#"{{"azp":"{app}","scp":"a b"}}"#)));
        assert_eq!(v2.app(), v1.app());
        assert_eq!(v2.scopes().len(), 2);
        for opaque in ["", "a.b", "a.b.c", "a.b.c.d.e"] {
            assert_eq!(Claims::read(opaque), Claims::default());
        }
    }

    #[test]
    fn one_odd_claim_leaves_the_others_readable() {
        let directory = Uuid::from_u128(1);
        let token = |json: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(json));
        let wanted = |bearer| Wanted {
            directory: TenantId::from_uuid(directory),
            client: ClientId::from_uuid(Uuid::from_u128(2)),
            api: None,
            bearer,
        };
        let odd = Claims::read(&token(&format!(
            r#"{{"tid":"{directory}","roles":["A"],"wids":"x","oid":null}}"#
        )));
        assert_eq!((odd.roles.len(), odd.wids.len()), (1, 0));
        assert_eq!(odd.check(&wanted(Bearer::App)), Ok(()));
        let refused = odd.check(&wanted(Bearer::Person)).unwrap_err();
        assert_eq!((refused.cause, refused.code), (Cause::Garbled, None));
        assert!(refused.message.contains("`wids`"), "{}", refused.message);
        let hostile = Claims::read(&token(
            r#"{"upn":"a\u202e\u001b[2J@b","roles":["X\u200b.Y"],"scp":"U\u0007.R V"}"#,
        ));
        assert_eq!(hostile.upn.as_deref(), Some("a [2J@b"));
        assert!(hostile.roles.contains("X.Y"));
        assert!(hostile.scopes().iter().all(|scope| !scope.chars().any(crate::text::steers)));
        let null = Claims::read(&token(&format!(r#"{{"tid":"{directory}","wids":null}}"#)));
        assert_eq!(null.check(&wanted(Bearer::Person)), Ok(()));
    }

    #[test]
    fn only_the_token_that_was_asked_for_is_taken() {
        let (directory, client, other) =
            (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let id = ResourceId::from_uuid(Uuid::from_u128(4));
        let check = |claims: Value, bearer| {
            let mut all = serde_json::json!({ "tid": directory, "appid": client });
            all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
            let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(all.to_string()));
            Claims::read(&token).check(&Wanted {
                directory: TenantId::from_uuid(directory),
                client: ClientId::from_uuid(client),
                api: Some(Api { id, scope: "https://graph.microsoft.com/.default" }),
                bearer,
            })
        };
        for good in [
            serde_json::json!({}),
            serde_json::json!({"aud": "https://graph.microsoft.com"}),
            serde_json::json!({"aud": "https://Graph.Microsoft.com/"}),
            serde_json::json!({"aud": id}),
            serde_json::json!({"idtyp": "app"}),
        ] {
            assert_eq!(check(good.clone(), Bearer::App), Ok(()), "{good}");
        }
        for bad in [
            serde_json::json!({"tid": other}),
            serde_json::json!({"tid": null}),
            serde_json::json!({"appid": other}),
            serde_json::json!({"aud": "https://graph.microsoft.com.evil.example"}),
            serde_json::json!({"aud": other}),
            serde_json::json!({"aud": ["https://graph.microsoft.com"]}),
            serde_json::json!({"roles": "SecurityIncident.Read.All"}),
            serde_json::json!({"idtyp": "user"}),
        ] {
            let refused = check(bad.clone(), Bearer::App).unwrap_err();
            assert_eq!(refused.cause, Cause::Garbled, "{bad}");
            let of_other = bad.get("tid").is_some();
            assert_eq!(refused.code.as_deref() == Some(OTHER_DIRECTORY), of_other, "{bad}");
        }
        assert_eq!(check(serde_json::json!({"idtyp": "user"}), Bearer::Person), Ok(()));
    }
}
