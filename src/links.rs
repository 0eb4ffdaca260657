//! The links that people open: consent and the Defender portal.

use url::Url;

use crate::{
    cloud::Cloud,
    ids::{ClientId, TenantId},
    registration::RedirectUri,
};

/// Where a customer's administrator consents, pinned to that customer's directory and never
/// `common` (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-admin-consent>; the
/// first version of the endpoint grants what is registered on the app).
pub fn admin_consent(
    cloud: &Cloud,
    tenant: TenantId,
    client: ClientId,
    landing: Option<&RedirectUri>,
) -> Url {
    let mut link = joined(&cloud.pages, &[&tenant.to_string(), "adminconsent"]);
    link.query_pairs_mut().append_pair("client_id", &client.to_string());
    if let Some(landing) = landing {
        link.query_pairs_mut().append_pair("redirect_uri", landing.as_str());
    }
    link
}

/// The Defender portal, opened in the customer's directory; nothing where the cloud has none.
pub fn defender_portal(cloud: &Cloud, tenant: TenantId) -> Option<Url> {
    let mut link = cloud.portal.clone()?;
    link.query_pairs_mut().append_pair("tid", &tenant.to_string());
    Some(link)
}

/// A base with path segments behind it; the base's own path is kept.
fn joined(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::CloudName;

    #[test]
    fn links_are_pinned_to_the_customer() {
        let cloud = Cloud::built_in(CloudName::Global);
        let tenant = "6f1c0f5e-0000-4000-8000-000000000001".parse().unwrap();
        let client = "0b6d0000-0000-4000-8000-000000000002".parse().unwrap();
        let landing = RedirectUri::new("https://acme.example/thanks?x=1");
        assert_eq!(
            admin_consent(&cloud, tenant, client, Some(&landing)).as_str(),
            "https://login.microsoftonline.com/6f1c0f5e-0000-4000-8000-000000000001/adminconsent\
             ?client_id=0b6d0000-0000-4000-8000-000000000002\
             &redirect_uri=https%3A%2F%2Facme.example%2Fthanks%3Fx%3D1"
        );
        assert_eq!(
            defender_portal(&cloud, tenant).unwrap().as_str(),
            "https://security.microsoft.com/?tid=6f1c0f5e-0000-4000-8000-000000000001"
        );
    }
}
