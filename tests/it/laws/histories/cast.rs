//! Who is in a history: the fleet's apps and tenants as the manifest and the world name them, and
//! what runs of ours are called.

use super::{App, Reader, Tenant, Work};
use crate::{
    laws::MANIFEST,
    stage::{CONTOSO, HOME, NORTHWIND, WOODGROVE, in_key_vault},
    support::VaultKind,
};

const TAILSPIN: &str = "6f1c0f5e-0000-4000-8000-000000000003";
const LUCERNE: &str = "6f1c0f5e-0000-4000-8000-000000000012";

impl App {
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Contoso => "contoso",
            Self::Tailspin => "tailspin",
            Self::SiemEu => "siem-eu",
            Self::Northwind => "northwind",
        }
    }

    /// The directory that it lives in.
    pub(super) const fn directory(self) -> &'static str {
        match self {
            Self::Contoso | Self::Tailspin | Self::SiemEu => HOME,
            Self::Northwind => NORTHWIND,
        }
    }
}

impl Tenant {
    pub(super) const fn app(self) -> App {
        match self {
            Self::Contoso => App::Contoso,
            Self::Tailspin => App::Tailspin,
            Self::Woodgrove | Self::Lucerne => App::SiemEu,
            Self::Northwind => App::Northwind,
        }
    }

    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Contoso => "contoso",
            Self::Tailspin => "tailspin",
            Self::Woodgrove => "woodgrove",
            Self::Lucerne => "lucerne",
            Self::Northwind => "northwind",
        }
    }

    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Contoso => CONTOSO,
            Self::Tailspin => TAILSPIN,
            Self::Woodgrove => WOODGROVE,
            Self::Lucerne => LUCERNE,
            Self::Northwind => NORTHWIND,
        }
    }

    /// What the manifest says of it.
    const fn entry(self, reader: Reader) -> &'static str {
        match self {
            Self::Contoso => match reader {
                Reader::App => "{name: Contoso, domain: contoso.example}",
                Reader::Analyst => {
                    "{name: Contoso, domain: contoso.example, connector: mssp-siem, \
                     signInAs: soc-reader@acme-soc.example}"
                }
            },
            Self::Tailspin => "{name: Tailspin Toys, domain: tailspin.example}",
            Self::Woodgrove => "{name: Woodgrove Bank, domain: woodgrove.example, app: siem-eu}",
            Self::Lucerne => "{name: Lucerne Publishing, domain: lucerne.example, app: siem-eu}",
            Self::Northwind => {
                "{name: Northwind Traders, domain: northwind.example, layout: in-tenant}"
            }
        }
    }
}

impl Work {
    pub(super) fn arguments(self) -> Vec<&'static str> {
        match self {
            Self::Apply => vec!["apply", "--yes"],
            Self::Rotate(tenant) => vec!["rotate", tenant.key(), "--yes"],
            Self::Revoke(tenant) => {
                vec!["rotate", tenant.key(), "--now", "--revoke-old", "--yes"]
            }
        }
    }
}

/// The manifest with these tenants in it.
pub(super) fn manifest(vault: VaultKind, reader: Reader, tenants: &[Tenant]) -> String {
    let (head, _) = MANIFEST.split_once("tenants:\n").unwrap();
    let mut text = match vault {
        VaultKind::Folder => head.to_owned(),
        VaultKind::KeyVault => in_key_vault(head),
    };
    text.push_str("tenants:\n");
    for tenant in tenants {
        text.push_str(&format!("  {}: {}\n", tenant.key(), tenant.entry(reader)));
    }
    text
}
