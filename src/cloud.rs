//! The endpoints of a cloud: Microsoft's, or a custom one given by the operator.
//!
//! Endpoints never come from a manifest: a pull request could send the operator's credential
//! anywhere. Hosts: <https://learn.microsoft.com/en-us/entra/identity-platform/authentication-national-cloud>,
//! <https://learn.microsoft.com/en-us/graph/deployments>,
//! <https://learn.microsoft.com/en-us/defender-xdr/usgov>.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Url;

/// A cloud by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CloudName {
    /// Microsoft's commercial cloud.
    Global,
    /// US government community cloud; signs in at the global login.
    Gcc,
    /// US government L4.
    GccHigh,
    /// US government L5.
    Dod,
    /// Operated by 21Vianet; Defender is not offered there.
    China,
}

impl CloudName {
    /// All of them, for messages and completions.
    pub const ALL: [Self; 5] = [Self::Global, Self::Gcc, Self::GccHigh, Self::Dod, Self::China];

    /// The word in a manifest and after `--cloud`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Gcc => "gcc",
            Self::GccHigh => "gcc-high",
            Self::Dod => "dod",
            Self::China => "china",
        }
    }

    /// Whether Defender has an API in this cloud.
    pub const fn has_defender(self) -> bool {
        !matches!(self, Self::China)
    }
}

impl fmt::Display for CloudName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CloudName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|c| c.as_str() == text)
            .ok_or_else(|| format!("no cloud is named `{text}`"))
    }
}

/// Where a cloud's services are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    /// Its name, or nothing for a custom one.
    pub name: Option<CloudName>,
    /// Entra ID: discovery, authorize, token, admin consent.
    pub login: Url,
    /// Microsoft Graph, without its version.
    pub graph: Url,
    /// The Defender XDR API; absent where it is not offered.
    pub defender: Option<Url>,
    /// The Defender portal that people open; absent where it is not offered.
    pub portal: Option<Url>,
    /// The base of Key Vault hosts (`https://vault.azure.net`): the resource a token is asked for. In
    /// a custom cloud the address that stands for a key vault, or, where it is a path that ends in a
    /// slash, for all of them by their names.
    pub vault: Url,
    /// The base of the links that people open (sign-in, consent).
    pub pages: Url,
    /// Whether it is tenantry's own sandbox, which every screen and report must say.
    pub sandbox: bool,
}

/// A file for `--cloud FILE`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CloudFile {
    login: Url,
    graph: Url,
    defender: Url,
    portal: Url,
    vault: Url,
    pages: Option<Url>,
    #[serde(default)]
    sandbox: bool,
}

fn fixed(text: &str) -> Url {
    Url::parse(text).expect("a constant of this file")
}

impl Cloud {
    /// A built-in cloud.
    pub fn built_in(name: CloudName) -> Self {
        let (login, graph, defender, portal, vault) = match name {
            CloudName::Global => (
                "https://login.microsoftonline.com",
                "https://graph.microsoft.com",
                Some("https://api.security.microsoft.com"),
                Some("https://security.microsoft.com"),
                "https://vault.azure.net",
            ),
            CloudName::Gcc => (
                "https://login.microsoftonline.com",
                "https://graph.microsoft.com",
                Some("https://api-gcc.security.microsoft.us"),
                Some("https://security.microsoft.com"),
                "https://vault.azure.net",
            ),
            CloudName::GccHigh => (
                "https://login.microsoftonline.us",
                "https://graph.microsoft.us",
                Some("https://api-gov.security.microsoft.us"),
                Some("https://security.microsoft.us"),
                "https://vault.usgovcloudapi.net",
            ),
            CloudName::Dod => (
                "https://login.microsoftonline.us",
                "https://dod-graph.microsoft.us",
                Some("https://api-gov.security.microsoft.us"),
                Some("https://security.apps.mil"),
                "https://vault.usgovcloudapi.net",
            ),
            CloudName::China => (
                "https://login.partner.microsoftonline.cn",
                "https://microsoftgraph.chinacloudapi.cn",
                None,
                None,
                "https://vault.azure.cn",
            ),
        };
        Self {
            name: Some(name),
            login: fixed(login),
            graph: fixed(graph),
            defender: defender.map(fixed),
            portal: portal.map(fixed),
            vault: fixed(vault),
            pages: fixed(login),
            sandbox: false,
        }
    }

    /// Reads a custom cloud from the text of a `--cloud` file. Every service must be https.
    ///
    /// # Errors
    /// Says which member is wrong, in one line.
    pub fn from_file_text(text: &str) -> Result<Self, String> {
        let CloudFile { login, graph, defender, portal, vault, pages, sandbox } =
            serde_yaml::from_str(text).map_err(|e| e.to_string())?;
        for (member, url) in
            [("login", &login), ("graph", &graph), ("defender", &defender), ("vault", &vault)]
        {
            if url.scheme() != "https" {
                return Err(format!("`{member}` must be https, not {}", url.scheme()));
            }
        }
        let pages = pages.unwrap_or_else(|| login.clone());
        Ok(Self {
            name: None,
            login,
            graph,
            defender: Some(defender),
            portal: Some(portal),
            vault,
            pages,
            sandbox,
        })
    }

    /// The scope that asks for a token for Microsoft Graph.
    ///
    /// In a national cloud it carries that cloud's host. A custom cloud on loopback stands in for
    /// the global one, so its tokens are asked for by the global name.
    pub fn graph_scope(&self) -> String {
        if is_loopback(&self.graph) {
            "https://graph.microsoft.com/.default".to_owned()
        } else {
            format!("{}/.default", self.graph.origin().ascii_serialization())
        }
    }

    /// Where the key vault is that a manifest names `https://NAME.vault.azure.net`.
    pub fn key_vault(&self, named: &Url) -> Url {
        let mut url = match self.name {
            Some(_) => return named.clone(),
            None => self.vault.clone(),
        };
        let name = named.host_str().and_then(|host| host.split('.').next()).unwrap_or_default();
        if url.path() != "/" && url.path().ends_with('/') {
            url.set_path(&format!("{}{name}", url.path()));
        }
        url
    }

    /// The scope that asks for a token for Key Vault. A custom cloud on loopback stands in for the
    /// global one, so its tokens are asked for by the global name.
    pub fn key_vault_scope(&self) -> String {
        if self.name.is_none() && is_loopback(&self.vault) {
            "https://vault.azure.net/.default".to_owned()
        } else {
            format!("{}/.default", self.vault.origin().ascii_serialization())
        }
    }

    /// The scope that asks for a token for the Defender API. The audience stays the global name,
    /// whatever the regional host
    /// (<https://learn.microsoft.com/en-us/defender-endpoint/api/exposed-apis-create-app-nativeapp>),
    /// except in the government clouds, whose hosts are resources of their own.
    pub fn defender_scope(&self) -> Option<String> {
        let defender = self.defender.as_ref()?;
        Some(match self.name {
            Some(CloudName::Gcc | CloudName::GccHigh | CloudName::Dod) => {
                format!("{}/.default", defender.origin().ascii_serialization())
            }
            Some(CloudName::Global | CloudName::China) | None => {
                "https://api.security.microsoft.com/.default".to_owned()
            }
        })
    }
}

/// Whether a URL can only mean this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
