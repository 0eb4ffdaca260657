//! Who made an app, and who stands behind it.
//!
//! <https://learn.microsoft.com/en-us/graph/api/resources/application>,
//! <https://learn.microsoft.com/en-us/graph/api/resources/verifiedpublisher>.

use serde::Deserialize;

use crate::ids::ClientId;

/// An app and the publisher that customers see when they consent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// What the app is called.
    pub app: String,
    /// The verified publisher's name; nothing where there is none.
    pub verified: Option<String>,
}

/// An app, of which only its maker is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Made {
    created_by_app_id: Option<String>,
}

impl Made {
    pub(super) fn is_by(&self, client: ClientId) -> bool {
        self.created_by_app_id.as_deref().is_some_and(|id| id.parse() == Ok(client))
    }
}

/// An app, of which only the publisher is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Published {
    display_name: Option<String>,
    verified_publisher: Option<Verified>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    display_name: Option<String>,
    verified_publisher_id: Option<String>,
}

impl Published {
    pub(super) fn found(self) -> Publisher {
        let Self { display_name, verified_publisher } = self;
        // Without an id the others are leftovers of a publisher that was taken away.
        let verified = verified_publisher.and_then(|publisher| {
            let Verified { display_name, verified_publisher_id } = publisher;
            let id = verified_publisher_id.filter(|id| !id.is_empty())?;
            Some(display_name.unwrap_or(id))
        });
        Publisher { app: display_name.unwrap_or_default(), verified }
    }
}
