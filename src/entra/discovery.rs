//! Which directory a domain belongs to, and in which cloud; nobody has to sign in for that.
//!
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-protocols-oidc>; the id of the
//! directory stands in `issuer`.

use azure_core::http::{Context, Method, Request};
use serde::Deserialize;
use url::Url;

use crate::{
    cloud::{Cloud, CloudName},
    failure::{Cause, Failure},
    http::{Access, Network, Service},
    ids::TenantId,
};

/// What Entra ID tells everyone about a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// Its id.
    pub tenant: TenantId,
    /// `cloud_instance_name`: `microsoftonline.com`, `microsoftonline.us`, …
    pub instance: Option<String>,
    /// `tenant_region_scope`: `WW`, `EU`, `NA`, …
    pub region: Option<String>,
    /// `tenant_region_sub_scope`: tells government directories apart (`GCC`, `DOD`, …).
    pub sub_region: Option<String>,
}

impl Discovered {
    /// The cloud this directory is in, as far as discovery tells.
    pub fn cloud(&self) -> Option<CloudName> {
        match (self.instance.as_deref()?, self.sub_region.as_deref()) {
            ("microsoftonline.com", Some("GCC")) => Some(CloudName::Gcc),
            ("microsoftonline.com", _) => Some(CloudName::Global),
            ("microsoftonline.us", Some("DOD")) => Some(CloudName::Dod),
            ("microsoftonline.us", _) => Some(CloudName::GccHigh),
            ("partner.microsoftonline.cn" | "chinacloudapi.cn", _) => Some(CloudName::China),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    token_endpoint: Option<String>,
    cloud_instance_name: Option<String>,
    tenant_region_scope: Option<String>,
    tenant_region_sub_scope: Option<String>,
}

/// Asks Entra ID about a directory by one of its domains (or by its id, to see its cloud).
///
/// # Errors
/// [`Cause::NotFound`] (AADSTS90002) where no directory has that domain in this cloud;
/// [`Cause::Refused`] where it is in another cloud or the text is not a domain; [`Cause::Garbled`]
/// where the answer names no directory, or two.
pub async fn discover(
    network: &Network,
    cloud: &Cloud,
    domain: &str,
) -> Result<Discovered, Failure> {
    if !is_domain(domain) {
        return Err(Failure::new(Cause::Refused, format!("`{domain}` is not a domain")));
    }
    let mut url = cloud.login.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend([domain, "v2.0", ".well-known", "openid-configuration"]);
    }
    let calls = network.calls(Service::Discovery, None, Access::ReadOnly, None);
    let answer = calls.send(&Context::new(), Request::new(url, Method::Get)).await?;
    let garbled = |why: &str| {
        Failure::new(Cause::Garbled, format!("Entra ID's description of {domain} {why}"))
    };
    let Configuration {
        issuer,
        token_endpoint,
        cloud_instance_name,
        tenant_region_scope,
        tenant_region_sub_scope,
    } = serde_json::from_slice(answer.body().as_ref())
        .map_err(|_| garbled("is not what it should be"))?;
    let tenant = directory_in(&issuer).ok_or_else(|| garbled("names no directory"))?;
    if let Some(other) =
        token_endpoint.as_deref().and_then(directory_in).filter(|other| *other != tenant)
    {
        return Err(garbled(&format!("names two directories, {tenant} and {other}")));
    }
    let found = Discovered {
        tenant,
        instance: cloud_instance_name,
        region: tenant_region_scope,
        sub_region: tenant_region_sub_scope,
    };
    if let (Some(wanted), Some(real)) = (cloud.name, found.cloud())
        && login_of(wanted) != login_of(real)
    {
        return Err(Failure::new(
            Cause::Refused,
            format!("{domain} is a directory of the cloud `{real}`, not of `{wanted}`"),
        )
        .hint(format!("Set `home.cloud: {real}`; clouds share neither apps nor tokens.")));
    }
    Ok(found)
}

/// Clouds that share a login share directories' names: only another login is a contradiction.
fn login_of(cloud: CloudName) -> Url {
    Cloud::built_in(cloud).login
}

/// The id in a URL such as `https://login.microsoftonline.com/<id>/v2.0`.
fn directory_in(url: &str) -> Option<TenantId> {
    Url::parse(url).ok()?.path_segments()?.next()?.parse().ok()
}

/// Whether a text can stand in a path as a domain or an id, and nothing else.
fn is_domain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_domains_enter_a_path() {
        for good in ["contoso.example", "a-b.onmicrosoft.com", "x"] {
            assert!(is_domain(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a..b", "a?b", "a%2e", "ä.example", "a b"] {
            assert!(!is_domain(bad), "{bad}");
        }
    }

    #[test]
    fn government_directories_are_told_apart() {
        let found = |instance: &str, sub: Option<&str>| {
            Discovered {
                tenant: "6f1c0f5e-0000-4000-8000-000000000001".parse().unwrap(),
                instance: Some(instance.to_owned()),
                region: None,
                sub_region: sub.map(str::to_owned),
            }
            .cloud()
        };
        assert_eq!(found("microsoftonline.com", None), Some(CloudName::Global));
        assert_eq!(found("microsoftonline.com", Some("GCC")), Some(CloudName::Gcc));
        assert_eq!(found("microsoftonline.us", Some("DOD")), Some(CloudName::Dod));
        assert_eq!(found("microsoftonline.us", None), Some(CloudName::GccHigh));
        assert_eq!(found("elsewhere.example", None), None);
    }
}
