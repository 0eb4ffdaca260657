//! `tenantry doctor`

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::{
    Common,
    context::{Context, stdout_width, vault_trouble},
    output,
};
use crate::{
    entra::{self, Operator},
    failure::{Cause, Failure},
    graph::Reader,
    ids::TenantId,
    report::{
        doctor::{self as words, Check, Health},
        error::Trouble,
        json::FORMAT_VERSION,
        paper::Paper,
    },
    vault::{KeyState, Place, Vault},
    verdict::Verdict,
};

/// How far clocks may be apart before it is said.
const SKEW_SECONDS: i64 = 60;

/// Show what works and what is missing: identity, rights, policies, clocks, vault
///
/// Says which way of signing in was taken and why the others were not, tries each reading that a
/// plan may need, and looks at the vault. It changes nothing.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {}

pub(super) async fn run(args: DoctorArgs, common: Common) -> Result<Verdict, Trouble> {
    let DoctorArgs {} = args;
    let context = Context::open(common).await?;
    let mut checks = Vec::new();
    let verdict = directory(&context, &mut checks).await;
    vault(&context, &mut checks).await;
    if context.common.json {
        let document = json!({
            "formatVersion": FORMAT_VERSION,
            "fleet": context.manifest.fleet,
            "sandbox": context.is_sandbox(),
            "checks": checks,
        });
        output::print_json(&document);
    } else {
        let mut paper = Paper::new(stdout_width());
        words::write(&mut paper, &checks);
        output::print(&paper.into_text());
    }
    let missing = checks.iter().any(|check| check.health == Health::Missing);
    context.close().await;
    Ok(if verdict == Verdict::Done && missing { Verdict::Failed } else { verdict })
}

fn works(about: &str, found: impl Into<String>) -> Check {
    Check { about: about.to_owned(), health: Health::Works, found: found.into(), remedy: None }
}

fn failed(about: &str, failure: &Failure, remedy: &str) -> Check {
    let health = match failure.cause {
        Cause::SignIn | Cause::Privilege | Cause::Refused | Cause::NotFound => Health::Missing,
        Cause::Throttled
        | Cause::Service
        | Cause::Unreachable
        | Cause::NoAnswer
        | Cause::Garbled
        | Cause::Guard
        | Cause::Interrupted => Health::Unknown,
    };
    let remedy = failure.hint.clone().unwrap_or_else(|| remedy.to_owned());
    Check { about: about.to_owned(), health, found: failure.line(), remedy: Some(remedy) }
}

/// Everything about the provider's directory and who we are there.
async fn directory(context: &Context, checks: &mut Vec<Check>) -> Verdict {
    let home = match context.home().await {
        Ok(home) => {
            checks.push(works(
                "provider's directory",
                format!("{} is {home}", context.manifest.home.tenant),
            ));
            home
        }
        Err(failure) => {
            checks.push(failed(
                "provider's directory",
                &failure,
                "correct home.tenant in the manifest",
            ));
            return Verdict::Failed;
        }
    };
    let operator = match context.operator().await {
        Ok(operator) => operator,
        Err(trouble) => {
            checks.push(Check {
                about: "way to sign in".to_owned(),
                health: Health::Missing,
                found: trouble.why.join("; "),
                remedy: trouble.next.clone(),
            });
            return trouble.verdict;
        }
    };
    checks.push(works("way to sign in", operator.way().to_string()));
    for attempt in operator.attempts() {
        checks.push(Check {
            about: attempt.way.to_string(),
            health: Health::Noted,
            found: format!("not taken: {}", attempt.why_not),
            remedy: None,
        });
    }
    match operator.identity(home).await {
        Ok(identity) => {
            checks.push(works("operator", identity.to_string()));
            let rights: Vec<_> = identity.roles.iter().chain(&identity.scopes).cloned().collect();
            let rights =
                if rights.is_empty() { "none in the token".to_owned() } else { rights.join(", ") };
            checks.push(Check {
                about: "rights in the token".to_owned(),
                health: Health::Noted,
                found: rights,
                remedy: None,
            });
            writing(&identity, checks);
            let own = identity.client_id.filter(|_| identity.kind == entra::IdentityKind::App);
            checks.extend(super::customers::checks(context, &operator, own).await);
        }
        Err(failure) => {
            checks.push(failed("operator", &failure, "sign in again"));
            return Verdict::MayNot;
        }
    }
    readings(context, &operator, home, checks).await;
    Verdict::Done
}

/// The one right that cannot be tried without changing something.
fn writing(identity: &entra::Identity, checks: &mut Vec<Check>) {
    let enough = ["Application.ReadWrite.OwnedBy", "Application.ReadWrite.All"];
    let held: Vec<_> = identity
        .roles
        .iter()
        .chain(&identity.scopes)
        .filter(|right| enough.contains(&right.as_str()))
        .cloned()
        .collect();
    let about = "create and change apps";
    checks.push(if held.is_empty() {
        Check {
            about: about.to_owned(),
            health: Health::Missing,
            found: "the token carries no right to it".to_owned(),
            remedy: Some(
                "grant the operator Application.ReadWrite.OwnedBy on Microsoft Graph, with an \
                 administrator's consent"
                    .to_owned(),
            ),
        }
    } else {
        works(about, held.join(", "))
    });
}

/// Tries each reading that a plan may need.
async fn readings(context: &Context, operator: &Operator, home: TenantId, checks: &mut Vec<Check>) {
    let reader = match Reader::new(&context.network, &context.cloud, home, operator) {
        Ok(reader) => reader,
        Err(failure) => {
            checks.push(failed("Microsoft Graph", &failure, "sign in again"));
            return;
        }
    };
    let read_all = "grant the operator Application.Read.All on Microsoft Graph";
    checks.push(match reader.fleet_apps(&context.manifest.fleet).await {
        Ok(page) => works("apps of this fleet", page.items.len().to_string()),
        Err(failure) => failed("apps of this fleet", &failure, read_all),
    });
    if let Some(theirs) = reader.server_time() {
        let apart = Timestamp::now().duration_since(theirs).as_secs().abs();
        checks.push(if apart <= SKEW_SECONDS {
            works("clock", format!("{apart} s from Microsoft's"))
        } else {
            Check {
                about: "clock".to_owned(),
                health: Health::Noted,
                found: format!("{apart} s from Microsoft's; theirs is used"),
                remedy: None,
            }
        });
    }
    checks.push(match reader.bin().await {
        Ok(bin) => works("bin of deleted apps", format!("{} in it", bin.len())),
        Err(failure) => failed("bin of deleted apps", &failure, read_all),
    });
    checks.push(match reader.policies().await {
        Ok(policies) => {
            let default = policies.default.as_ref().map_or("none", |policy| &policy.name);
            works("policies", format!("default: {default}; {} custom", policies.custom.len()))
        }
        Err(failure) => failed(
            "policies",
            &failure,
            "grant the operator Policy.Read.ApplicationConfiguration on Microsoft Graph",
        ),
    });
}

async fn vault(context: &Context, checks: &mut Vec<Check>) {
    let vault: Vault = match context.vault().await {
        Ok(vault) => vault,
        Err(trouble) => {
            checks.push(Check {
                about: "vault".to_owned(),
                health: Health::Missing,
                found: trouble.why.join("; "),
                remedy: trouble.next,
            });
            return;
        }
    };
    let health = match vault.health().await {
        Ok(health) => health,
        Err(error) => {
            let trouble = vault_trouble("vault", &error);
            checks.push(Check {
                about: "vault".to_owned(),
                health: Health::Missing,
                found: trouble.why.join("; "),
                remedy: trouble.next,
            });
            return;
        }
    };
    checks.push(works(
        "vault",
        format!(
            "{} in {}: {} apps, {} values",
            health.id, health.place, health.records, health.values
        ),
    ));
    checks.push(match &health.writable {
        Ok(()) => works("vault can be written", "yes"),
        Err(error) => Check {
            about: "vault can be written".to_owned(),
            health: Health::Missing,
            found: error.to_string(),
            remedy: error.hint().map(str::to_owned),
        },
    });
    checks.push(match &health.key {
        KeyState::Ready(origin) => works("vault's key", origin.to_string()),
        KeyState::Protected(origin) => {
            works("vault's key", format!("{origin}, behind a passphrase"))
        }
        KeyState::Unreadable(why) => Check {
            about: "vault's key".to_owned(),
            health: Health::Missing,
            found: why.to_string(),
            remedy: Some(why.hint().to_owned()),
        },
    });
    checks.push(Check {
        about: "who can read the vault".to_owned(),
        health: Health::Noted,
        found: match health.place {
            Place::Disk(_) => health.recipients.join(", "),
            Place::KeyVault(_) => "whoever its access rules let".to_owned(),
        },
        remedy: None,
    });
    for damage in &health.damaged {
        checks.push(Check {
            about: damage.place.to_string(),
            health: Health::Missing,
            found: damage.why.clone(),
            remedy: Some(
                "restore the file from a backup, or move it away and apply --reissue".to_owned(),
            ),
        });
    }
    for path in &health.open_to_others {
        checks.push(Check {
            about: path.display().to_string(),
            health: Health::Missing,
            found: "others on this machine may read it".to_owned(),
            remedy: Some(format!("chmod go-rwx {}", path.display())),
        });
    }
}
