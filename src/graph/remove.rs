//! Removing an app, and asking whether it is gone.

use azure_core::http::Context;
use graph_rs_sdk::ODataQuery;
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    reader::{Reader, absent},
    request::{at, keyed},
    wire::time,
    writer::{Removed, Writer},
};
use crate::{
    failure::Failure,
    ids::{Application, ClientId, ObjectId, ServicePrincipal},
};

#[derive(Deserialize)]
struct Id {
    id: Uuid,
}

/// What the bin says of one thing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InBin {
    /// When it was deleted.
    pub deleted: Option<Timestamp>,
}

impl Writer {
    /// Deletes an app, and with it its service principal in this directory; it lies in the bin for 30
    /// days (<https://learn.microsoft.com/en-us/graph/api/application-delete>). Safe to repeat: what
    /// is not there was deleted already.
    ///
    /// # Errors
    /// As every call, but for 404.
    pub async fn delete(&self, id: ObjectId<Application>) -> Result<Removed, Failure> {
        let delete = self.graph.spell().application(id.to_string()).delete_application();
        match absent(self.graph.send(delete.build(), &Context::new()).await)? {
            Some(_) => Ok(Removed::Now),
            None => Ok(Removed::WasGone),
        }
    }

    /// Whether the directory still shows an app.
    ///
    /// # Errors
    /// As every call, but for 404.
    pub async fn shows(&self, id: ObjectId<Application>) -> Result<bool, Failure> {
        let get = self.graph.spell().application(id.to_string()).get_application().select(&["id"]);
        Ok(absent(self.graph.one::<Id>(get.build(), &Context::new()).await)?.is_some())
    }

    /// What the bin says of an app; nothing where it does not hold it
    /// (<https://learn.microsoft.com/en-us/graph/api/directory-deleteditems-get>).
    ///
    /// # Errors
    /// As every call, but for 404; [`crate::failure::Cause::Privilege`] for who may only touch their own apps.
    pub async fn in_bin(&self, id: ObjectId<Application>) -> Result<Option<InBin>, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            #[serde(default, deserialize_with = "time")]
            deleted_date_time: Option<Timestamp>,
        }
        let get = self.graph.spell().directory().deleted_item(id.to_string()).get_deleted_items();
        let found = absent(self.graph.one::<Wire>(get.build(), &Context::new()).await)?;
        Ok(found.map(|Wire { deleted_date_time }| InBin { deleted: deleted_date_time }))
    }
}

impl Reader {
    /// The service principal of an app in this directory, which the portal calls its enterprise
    /// application; nothing where there is none.
    ///
    /// # Errors
    /// As every call, but for 404; [`crate::failure::Cause::SignIn`] where the operator is a stranger there.
    pub async fn enterprise_application(
        &self,
        client: ClientId,
    ) -> Result<Option<ObjectId<ServicePrincipal>>, Failure> {
        let path = keyed("servicePrincipals", "appId", &client.to_string());
        let get = at(self.graph.spell().service_principals().list_service_principal(), &path)
            .select(&["id"]);
        let found = absent(self.graph.one::<Id>(get.build(), &Context::new()).await)?;
        Ok(found.map(|Id { id }| ObjectId::from_uuid(id)))
    }
}
