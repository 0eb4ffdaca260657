//! What a SIEM is given: the files that its own administrator would otherwise fill by hand.
//!
//! Names come from a manifest that a customer may have a hand in, so each format escapes what it
//! writes, also in its comments. Texts that hold a value are wiped when they go.

mod elastic;
mod env;
mod list;
mod splunk;
mod wazuh;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::paper::Paper;
use crate::{
    cloud::Cloud,
    connector::{Connector, Probe},
    ids::{AppKey, ClientId, FleetName, KeyId, Nonce, TenantId, TenantKey},
    secret::Secret,
    text::one_line,
};

/// A file that can be written for a SIEM, or for a program that reads like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Siem {
    /// The Splunk Add-on for Microsoft Security.
    Splunk,
    /// Elastic's integration `m365_defender`, through Fleet.
    Elastic,
    /// Wazuh's module for Microsoft Graph.
    Wazuh,
    /// Variables for a shell.
    Env,
    /// One document for programs.
    Json,
}

/// Whether the values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// They are: the file is as secret as they are.
    Written,
    /// Only where they lie.
    Referred,
}

/// All that is written.
#[derive(Debug)]
pub struct Handover<'a> {
    /// The fleet.
    pub fleet: &'a FleetName,
    /// Where its services are.
    pub cloud: &'a Cloud,
    /// Whether all this is played in the sandbox.
    pub sandbox: bool,
    /// How many tenants were asked for: what is written for one does not change its names when
    /// another one is not ready.
    pub asked: usize,
    /// Those that can be read, in the order of their keys.
    pub tenants: Vec<Ready>,
    /// Those that were left out, and why.
    pub left_out: Vec<(TenantKey, String)>,
    /// Whether values are written.
    pub values: Values,
}

/// A tenant of which everything is known.
#[derive(Debug)]
pub struct Ready {
    /// Its key.
    pub key: TenantKey,
    /// What people call it.
    pub name: String,
    /// Its directory.
    pub tenant: TenantId,
    /// What its incidents are read with.
    pub connector: Connector,
    /// The app it uses.
    pub app: AppKey,
    /// The directory that the app lives in.
    pub home: TenantId,
    /// The app's client id.
    pub client: ClientId,
    /// Whether other tenants may use the app.
    pub shared: bool,
    /// The app's client secret.
    pub secret: Held,
    /// What its analyst's sign-in left (delegated connectors only).
    pub refresh_token: Option<Held>,
}

/// A value of the vault.
#[derive(Debug)]
pub struct Held {
    /// Its name in the vault.
    pub nonce: Nonce,
    /// Its id at the app.
    pub key_id: Option<KeyId>,
    /// When it ends.
    pub ends: Option<Timestamp>,
    /// The value, where values are written.
    pub value: Option<Secret<String>>,
}

impl Held {
    /// The value. One that is missing where values are written is our own mistake, and no file of
    /// a SIEM may come out of it half filled.
    fn exposed(&self) -> &str {
        self.value.as_ref().expect("a format that writes values was given them").expose()
    }
}

/// A file: its name within a folder, and its text.
#[derive(Debug)]
pub struct Document {
    /// Its name, where several go into one folder.
    pub name: String,
    /// Its text.
    pub text: Zeroizing<String>,
}

impl Siem {
    /// The word after `--format`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Splunk => "splunk",
            Self::Elastic => "elastic",
            Self::Wazuh => "wazuh",
            Self::Env => "env",
            Self::Json => "json",
        }
    }

    /// Whether a file of it is of use without values.
    pub const fn needs_values(self) -> bool {
        match self {
            Self::Splunk | Self::Elastic | Self::Wazuh | Self::Env => true,
            Self::Json => false,
        }
    }

    /// Whether it is several files in a folder.
    pub const fn is_folder(self) -> bool {
        match self {
            Self::Splunk | Self::Elastic => true,
            Self::Wazuh | Self::Env | Self::Json => false,
        }
    }

    /// Whether it can read with this connector in this cloud.
    ///
    /// # Errors
    /// Says why not.
    pub fn takes(self, connector: Connector, cloud: &Cloud) -> Result<(), String> {
        match self {
            Self::Splunk => splunk::environment(connector, cloud).map(|_| ()),
            Self::Elastic => elastic::takes(connector),
            Self::Wazuh => wazuh::api_type(connector, cloud).map(|_| ()),
            Self::Env | Self::Json => Ok(()),
        }
    }

    /// What is written, a file each.
    pub fn write(self, handover: &Handover<'_>) -> Vec<Document> {
        match self {
            Self::Splunk => splunk::write(handover),
            Self::Elastic => elastic::write(handover),
            Self::Wazuh => vec![one("wazuh.conf", wazuh::write(handover))],
            Self::Env => vec![one("env", env::write(handover))],
            Self::Json => vec![one("tenants.json", list::write(handover))],
        }
    }

    /// The files as one text, for standard output.
    pub fn joined(self, documents: &[Document]) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for Document { name, text: part } in documents {
            // Elastic's are a line each; a heading would spoil them.
            if self == Self::Splunk {
                text.push_str(&format!("# ==== {name} ====\n"));
            }
            text.push_str(part);
        }
        text
    }

    /// What to do with what was written.
    pub const fn next(self, values: Values) -> &'static str {
        match self {
            Self::Splunk => {
                "run `sh create-accounts.sh` where Splunk's management port can be reached (it says how \
                 on top), then put inputs.conf into etc/apps/Splunk_TA_MS_Security/local and restart"
            }
            Self::Elastic => {
                "each file is the body of POST /api/fleet/package_policies: put the agent policy's id \
                 into policy_ids and the installed version of m365_defender into package.version \
                 first"
            }
            Self::Wazuh => {
                "append it to etc/ossec.conf of one manager or agent, not of several, and restart it"
            }
            Self::Env => "read it with `. FILE`",
            Self::Json => match values {
                Values::Written => "it holds values: whoever reads it can read the customers",
                Values::Referred => "it holds no value; --reveal writes them too",
            },
        }
    }
}

impl Handover<'_> {
    /// Where a connector reads incidents.
    fn incidents(&self, connector: Connector) -> Option<String> {
        Some(match connector.needs().probe {
            Probe::GraphIncidents => format!("{}/v1.0/security/incidents", bare(&self.cloud.graph)),
            Probe::DefenderIncidents => {
                format!("{}/api/incidents", bare(self.cloud.defender.as_ref()?))
            }
        })
    }

    /// The scope that it asks for.
    fn scope(&self, connector: Connector) -> Option<String> {
        match connector.needs().probe {
            Probe::GraphIncidents => Some(self.cloud.graph_scope()),
            Probe::DefenderIncidents => self.cloud.defender_scope(),
        }
    }

    /// What every file begins with, a line each.
    fn heading(&self) -> Vec<String> {
        let mut lines = vec![format!("Written by tenantry export for fleet {}.", self.fleet)];
        if self.sandbox {
            lines.push("sandbox: nothing here is real.".to_owned());
        }
        lines
    }
}

/// How a provider sees its customers' workspaces.
const LIGHTHOUSE: &str =
    "https://learn.microsoft.com/en-us/azure/sentinel/multiple-tenants-service-providers";

/// Why Microsoft Sentinel needs no file.
pub fn sentinel(width: usize) -> String {
    let mut paper = Paper::new(width);
    paper.say(
        0,
        None,
        "Microsoft Sentinel: there is nothing to fill. Its data connector for Microsoft Defender XDR \
         takes no client id and no secret: it is switched on in the customer's own workspace, by \
         someone of that directory, and reads that directory alone.",
    );
    paper.say(
        0,
        None,
        "To see many customers at once, have each delegate its workspace to you by Azure Lighthouse. \
         None of the apps and secrets here takes part in it.",
    );
    paper.say(2, None, LIGHTHOUSE);
    paper.into_text()
}

fn one(name: &str, text: Zeroizing<String>) -> Document {
    Document { name: name.to_owned(), text }
}

/// An address without the slash at its end.
fn bare(url: &url::Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// Text from outside in a comment that ends with its line. A backslash at the end of a line would
/// draw the next one into it where Splunk reads it.
fn comment(text: &str) -> String {
    one_line(text, 120).replace('\\', "/")
}
