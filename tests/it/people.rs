//! The people around a fleet: administrators who consent, analysts who sign in, as the sandbox's
//! world plays them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use serde_json::Value;
use tenantry::sandbox::Opened;

use crate::support::{Run, Stage, list};

impl Stage {
    /// What `status --json` says.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        let run = self.run(&["status", "--json"]);
        run.expect(0);
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// One tenant of it.
    #[track_caller]
    pub(crate) fn tenant(&self, key: &str) -> Value {
        tenant(&self.status(), key).clone()
    }

    /// Hands every administrator who is waited for his link, as a mail would.
    pub(crate) fn send_links(&self) {
        for tenant in list(&self.status(), "tenants") {
            let consent = &tenant["facets"]["consent"];
            if consent["waitingFor"] == "customer-admin" {
                let link = consent["nextStep"]["link"].as_str().unwrap();
                self.sandbox.open(link);
            }
        }
    }

    /// The analyst of a tenant signs in, and the address that the browser ended on is pasted.
    pub(crate) fn sign_in(&self, key: &str) -> Run {
        let command = self.command(&["consent", key, "--paste"]);
        paste(command, &AtomicU32::new(0), |link| match self.sandbox.open(link) {
            Opened::Landed(address) => address,
            Opened::Shown(page) => panic!("{key}'s analyst met a page: {page}"),
            Opened::Nobody => panic!("nobody signs in for {key}"),
        })
    }
}

/// Runs a command that prints a link and reads an address; `browse` is the person between. The
/// process is named while it runs.
pub(crate) fn paste(
    mut command: Command,
    process: &AtomicU32,
    browse: impl FnOnce(&str) -> String,
) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    process.store(child.id(), Ordering::Release);
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let stdout = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let mut stderr = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap() == 0 {
            break;
        }
        stderr.push_str(&line);
        if let Some(link) = line.split_whitespace().find(|word| word.contains("/authorize?")) {
            // Whoever was killed meanwhile reads nothing any more.
            let _ = writeln!(stdin, "{}", browse(link));
            break;
        }
    }
    drop(stdin);
    lines.read_to_string(&mut stderr).unwrap();
    let status = child.wait().unwrap();
    Run { code: status.code(), stdout: stdout.join().unwrap(), stderr }
}

/// One tenant of a status document.
#[track_caller]
pub(crate) fn tenant<'s>(status: &'s Value, key: &str) -> &'s Value {
    list(status, "tenants").iter().find(|tenant| tenant["key"] == key).unwrap()
}

/// The state of every facet of a tenant, in the document's own order.
pub(crate) fn states(tenant: &Value) -> Vec<(String, String)> {
    let facets = tenant["facets"].as_object().unwrap();
    facets
        .iter()
        .map(|(name, facet)| (name.clone(), facet["state"].as_str().unwrap().to_owned()))
        .collect()
}
