//! What the calls say about themselves while they run: events, not words for a screen.

use std::{fmt, time::Duration};

use azure_core::http::Method;

use crate::ids::TenantId;

/// Which of Microsoft's services a call goes to; each is throttled and counted for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Microsoft Graph.
    Graph,
    /// Whoever issues tokens: Entra ID, a managed identity's endpoint, a pipeline's OIDC issuer.
    Token,
    /// Entra ID's public descriptions of directories; nobody has to sign in for them.
    Discovery,
    /// The Defender XDR API.
    Defender,
    /// Azure Key Vault.
    KeyVault,
}

impl Service {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Graph => "Graph",
            Self::Token => "the token endpoint",
            Self::Discovery => "Entra ID's discovery",
            Self::Defender => "the Defender API",
            Self::KeyVault => "Key Vault",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that whoever watches a run may want to know. Never holds a body, a header or a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A directory told one call to wait, so every call to that service in it waits.
    Throttled {
        /// Who said so.
        service: Service,
        /// In which directory, where the call was about one.
        directory: Option<TenantId>,
        /// For how long from now.
        wait: Duration,
    },
    /// A call is about to be repeated.
    Retrying {
        /// Which service.
        service: Service,
        /// In which directory, where the call was about one.
        directory: Option<TenantId>,
        /// `GET`, `PATCH`, …
        method: Method,
        /// The path that was asked for.
        path: String,
        /// Why the try before failed, in one line.
        why: String,
        /// Which try comes now; the first repeat is 2.
        attempt: u32,
        /// How long it waits before.
        wait: Duration,
    },
    /// One request and its answer, for `-v`.
    Traffic {
        /// Which service.
        service: Service,
        /// `GET`, `PATCH`, …
        method: Method,
        /// The host that was asked.
        host: String,
        /// The path that was asked for.
        path: String,
        /// The status of the answer; absent where there was none.
        status: Option<u16>,
        /// The service's id of the request.
        request_id: Option<String>,
        /// From the first byte sent to the last byte read.
        took: Duration,
    },
}
