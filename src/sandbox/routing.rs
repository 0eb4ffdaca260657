//! Which service a request is for: by the public host it names, or else by its path.

use super::{
    defender, entra,
    graph::route::{self, Route},
    http::Request,
    key_vault,
    operation::Operation,
};

/// Where a request goes.
pub(super) enum Target {
    /// The sandbox's own control.
    Control,
    /// Entra ID.
    Login(entra::Target),
    /// Microsoft Graph.
    Graph(Route),
    /// The Defender XDR API.
    Defender(defender::Target),
    /// Azure Key Vault.
    KeyVault(key_vault::Target),
    /// Azure Resource Manager.
    Arm,
    /// Pages for people.
    Page,
}

/// Which door a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// The https listener: APIs.
    Api,
    /// The plain http listener: people.
    Pages,
}

/// Finds the operation and its target.
pub(super) fn route(request: &Request, door: Door) -> (Operation, Target) {
    let path = request.path.as_str();
    match door {
        Door::Pages => {
            return match entra::route(path) {
                (operation, target @ entra::Target::Visit(..)) => {
                    (operation, Target::Login(target))
                }
                _ => (Operation::Page, Target::Page),
            };
        }
        Door::Api => {}
    }
    if path == "/_sandbox" || path.starts_with("/_sandbox/") {
        return (Operation::Control, Target::Control);
    }
    let host = request
        .host
        .rsplit_once(':')
        .map_or(request.host.as_str(), |(h, _)| h)
        .to_ascii_lowercase();
    if let Some((operation, target)) = key_vault::route(&request.method, &host, path) {
        return (operation, Target::KeyVault(target));
    }
    let graph = || {
        let (operation, route) = route::route(&request.method, path);
        (operation, Target::Graph(route))
    };
    let login = || {
        let (operation, target) = entra::route(path);
        (operation, Target::Login(target))
    };
    let defender = || {
        let (operation, target) = defender::route(path);
        (operation, Target::Defender(target))
    };
    if host.starts_with("login.") || host == "sts.windows.net" {
        return login();
    }
    if host.starts_with("graph.microsoft.")
        || host == "dod-graph.microsoft.us"
        || host == "microsoftgraph.chinacloudapi.cn"
    {
        return graph();
    }
    if host.starts_with("api") && host.contains(".security.microsoft.") {
        return defender();
    }
    if let Some(operation) = entra::arm::route(path) {
        return (operation, Target::Arm);
    }
    let first = path.trim_start_matches('/').split('/').next().unwrap_or("");
    match first {
        "v1.0" | "beta" => graph(),
        "api" => defender(),
        "" => (Operation::Page, Target::Page),
        _ => login(),
    }
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, Method, body::Bytes};

    use super::*;

    fn operation(host: &str, path: &str) -> Operation {
        let request = Request {
            method: Method::GET,
            path: path.to_owned(),
            query: None,
            host: host.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        route(&request, Door::Api).0
    }

    #[test]
    fn services_are_told_apart_by_path_and_by_host() {
        let own = "127.0.0.1:8443";
        assert_eq!(operation(own, "/v1.0/applications"), Operation::ListApplications);
        assert_eq!(operation(own, "/a.example/oauth2/v2.0/token"), Operation::Token);
        assert_eq!(operation(own, "/api/incidents"), Operation::ListDefenderIncidents);
        assert_eq!(operation(own, "/subscriptions"), Operation::ArmSubscriptions);
        assert_eq!(operation(own, "/secrets"), Operation::ListSecrets);
        assert_eq!(operation(own, "/keyvault/a/secrets/x/versions"), Operation::ListSecretVersions);
        assert_eq!(operation("a.vault.azure.net:8443", "/secrets/x"), Operation::GetSecret);
        assert_eq!(operation("a.vault.azure.net", "/v1.0/applications"), Operation::UnknownVault);
        assert_eq!(operation(own, "/_sandbox/world"), Operation::Control);
        assert_eq!(
            operation("graph.microsoft.com", "/beta/applications"),
            Operation::ListApplications
        );
        assert_eq!(
            operation("login.microsoftonline.com:8443", "/x/oauth2/token"),
            Operation::Token
        );
        assert_eq!(
            operation("api.security.microsoft.com", "/api/incidents"),
            Operation::ListDefenderIncidents
        );
    }
}
