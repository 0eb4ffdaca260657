//! Wazuh's module for Microsoft Graph
//! (<https://documentation.wazuh.com/current/user-manual/reference/ossec-conf/ms-graph-module.html>):
//! one block, an `<api_auth>` a tenant.

use zeroize::Zeroizing;

use super::{Handover, Ready};
use crate::{
    cloud::{Cloud, CloudName},
    connector::Connector,
};

/// The module's word for a cloud, where it can read with this connector there. A custom cloud stands
/// in for the global one.
pub(super) fn api_type(connector: Connector, cloud: &Cloud) -> Result<&'static str, String> {
    match connector {
        Connector::GraphSecurity => {}
        Connector::MsspSiem => {
            return Err("Wazuh's module ms-graph has no field for a refresh token, and mssp-siem \
                        reads with one; graph-security reads the same incidents"
                .to_owned());
        }
        Connector::DefenderXdr => {
            return Err(
                "Wazuh's module ms-graph reads Microsoft Graph, and a defender-xdr app may \
                        only read the Defender XDR API; graph-security reads the same incidents"
                    .to_owned(),
            );
        }
    }
    match cloud.name.unwrap_or(CloudName::Global) {
        CloudName::Global | CloudName::Gcc => Ok("global"),
        CloudName::GccHigh => Ok("gcc-high"),
        CloudName::Dod => Ok("dod"),
        cloud @ CloudName::China => {
            Err(format!("Wazuh's module ms-graph knows no cloud like {cloud}"))
        }
    }
}

pub(super) fn write(handover: &Handover<'_>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for line in handover.heading() {
        // A fleet's name has single hyphens only, and so ends no comment.
        text.push_str(&format!("<!-- {line} -->\n"));
    }
    text.push_str(
        "<ossec_config>\n\
         \x20 <ms-graph>\n\
         \x20   <enabled>yes</enabled>\n\
         \x20   <only_future_events>yes</only_future_events>\n\
         \x20   <curl_max_size>10M</curl_max_size>\n\
         \x20   <run_on_start>yes</run_on_start>\n\
         \x20   <interval>5m</interval>\n\
         \x20   <version>v1.0</version>\n",
    );
    for tenant in &handover.tenants {
        let Ready { key, tenant: directory, connector, client, secret, .. } = tenant;
        let api_type = api_type(*connector, handover.cloud)
            .expect("tenants that the module cannot read were left out");
        // Only the key: a customer's name could end the comment, and the module refuses an element
        // that it does not know.
        text.push_str(&format!("    <!-- {key} -->\n    <api_auth>\n"));
        text.push_str(&format!("      <client_id>{client}</client_id>\n"));
        text.push_str(&format!("      <tenant_id>{directory}</tenant_id>\n      <secret_value>"));
        escape(&mut text, secret.exposed());
        text.push_str("</secret_value>\n");
        text.push_str(&format!("      <api_type>{api_type}</api_type>\n    </api_auth>\n"));
    }
    text.push_str(
        "    <resource>\n\
         \x20     <name>security</name>\n\
         \x20     <relationship>incidents</relationship>\n\
         \x20     <relationship>alerts_v2</relationship>\n\
         \x20   </resource>\n\
         \x20 </ms-graph>\n\
         </ossec_config>\n",
    );
    text
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&apos;"),
            _ => text.push(c),
        }
    }
}
