//! Variables for a shell, by the names that Microsoft's own libraries read
//! (<https://learn.microsoft.com/en-us/dotnet/api/azure.identity.environmentcredential>).

use zeroize::Zeroizing;

use super::{Handover, Ready, comment};

/// Where everybody signs in who does not say otherwise.
const LOGIN: &str = "login.microsoftonline.com";

pub(super) fn write(handover: &Handover<'_>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for line in handover.heading() {
        text.push_str(&format!("# {line}\n"));
    }
    for tenant in &handover.tenants {
        let Ready {
            key, name, tenant: directory, connector, client, secret, refresh_token, ..
        } = tenant;
        // Plain names can stand for one tenant only.
        let prefix = match handover.asked {
            1 => String::new(),
            _ => prefix(key.as_str()),
        };
        let about = match handover.scope(*connector) {
            Some(scope) => format!("{connector}: scope {scope}"),
            None => connector.to_string(),
        };
        let mut lines = vec![format!("{key}: {}", comment(name)), about];
        if refresh_token.is_some() {
            lines.push("Read as its analyst, by grant_type=refresh_token.".to_owned());
        }
        for (at, line) in lines.iter().enumerate() {
            let gap = if at == 0 { "\n" } else { "" };
            text.push_str(&format!("{gap}# {line}\n"));
        }
        let mut export = |name: &str, value: &str| {
            text.push_str(&format!("export {prefix}{name}="));
            quote(&mut text, value);
            text.push('\n');
        };
        if handover.cloud.login.host_str() != Some(LOGIN) {
            export("AZURE_AUTHORITY_HOST", handover.cloud.login.as_str());
        }
        export("AZURE_TENANT_ID", &directory.to_string());
        export("AZURE_CLIENT_ID", &client.to_string());
        export("AZURE_CLIENT_SECRET", secret.exposed());
        if let Some(token) = refresh_token {
            export("AZURE_REFRESH_TOKEN", token.exposed());
        }
    }
    text
}

/// What stands before the names of one of several tenants. Keys hold no underscore, so no two become
/// one; a name of the shell begins with no digit.
fn prefix(key: &str) -> String {
    let mut prefix = key.replace('-', "_").to_ascii_uppercase();
    if prefix.starts_with(|c: char| c.is_ascii_digit()) {
        prefix.insert(0, '_');
    }
    prefix.push('_');
    prefix
}

/// A word that the shell takes as it is, whatever is in it.
fn quote(text: &mut String, value: &str) {
    text.push('\'');
    for c in value.chars() {
        match c {
            '\'' => text.push_str(r"'\''"),
            _ => text.push(c),
        }
    }
    text.push('\'');
}
