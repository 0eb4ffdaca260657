//! What an access token says about itself, read without being verified: only to show it, and to
//! notice a token of the wrong directory. Its judge is the service it is sent to.
//!
//! Claims: <https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference>.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use uuid::Uuid;

/// The claims that concern us; all of them optional, for tokens are officially opaque.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Claims {
    pub(crate) tid: Option<Uuid>,
    pub(crate) oid: Option<Uuid>,
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
        URL_SAFE_NO_PAD
            .decode(payload.trim_end_matches('='))
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default()
    }

    /// The client id of the app the token was given to.
    pub(crate) fn app(&self) -> Option<Uuid> {
        self.appid.or(self.azp)
    }

    /// The delegated scopes.
    pub(crate) fn scopes(&self) -> BTreeSet<String> {
        self.scp.iter().flat_map(|s| s.split_whitespace()).map(str::to_owned).collect()
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
}
