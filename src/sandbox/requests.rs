//! The log of requests: who asked what, and how it ended; never a secret value.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    path::Path,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    files,
    http::{Request, form_pairs},
    operation::Operation,
};

/// How many entries memory holds; the file holds all.
const MOST: usize = 500_000;

/// Query parameters whose values are secrets.
const SECRET_PARAMETERS: &[&str] = &[
    "client_secret",
    "client_assertion",
    "code",
    "code_verifier",
    "refresh_token",
    "password",
    "access_token",
    "id_token",
    "state",
    "session_state",
    "nonce",
    "code_challenge",
];

#[derive(Debug)]
struct Entry {
    number: u64,
    time: Timestamp,
    host: String,
    method: String,
    path: String,
    query: Option<String>,
    operation: Operation,
    status: Option<u16>,
    fault: Option<String>,
}

impl Entry {
    fn json(&self) -> Value {
        let mut value = json!({
            "time": self.time.to_string(),
            "host": self.host,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "status": self.status,
            "operation": self.operation.name(),
            "graphWrite": self.operation.is_graph_write(),
        });
        if let Some(fault) = &self.fault {
            value["fault"] = json!(fault);
        }
        value
    }
}

/// The log.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    entries: VecDeque<Entry>,
    next: u64,
    file: Option<File>,
}

impl RequestLog {
    /// A log that is also appended to `requests.jsonl` of a folder.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let file = match dir {
            Some(dir) => Some(files::append(&dir.join("requests.jsonl"))?),
            None => None,
        };
        Ok(Self { file, ..Self::default() })
    }

    /// A request has come; the number under which its end is told.
    pub(super) fn begin(
        &mut self,
        time: Timestamp,
        request: &Request,
        operation: Operation,
    ) -> u64 {
        self.next += 1;
        if self.entries.len() >= MOST {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            number: self.next,
            time,
            host: request.host.clone(),
            method: request.method.to_string(),
            path: request.path.clone(),
            query: request.query.as_deref().map(without_secrets),
            operation,
            status: None,
            fault: None,
        });
        self.next
    }

    /// A request has ended: with a status, or cut off without one; and by which fault.
    pub(super) fn end(&mut self, number: u64, status: Option<u16>, fault: Option<String>) {
        let found = self
            .entries
            .binary_search_by_key(&number, |e| e.number)
            .ok()
            .and_then(|i| self.entries.get_mut(i));
        let Some(entry) = found else {
            return;
        };
        entry.status = status;
        entry.fault = fault;
        if let Some(file) = &mut self.file {
            let mut line = entry.json().to_string();
            line.push('\n');
            // The log in memory is what tests read: a full disk must not stop the sandbox.
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// All entries, in the order in which they came.
    pub(super) fn json(&self) -> Vec<Value> {
        self.entries.iter().map(Entry::json).collect()
    }

    /// Forgets all entries; the file stays.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

fn without_secrets(query: &str) -> String {
    let secret = form_pairs(query.as_bytes())
        .iter()
        .any(|(name, _)| SECRET_PARAMETERS.contains(&name.as_str()));
    if !secret {
        return query.to_owned();
    }
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_pairs(query.as_bytes()) {
        let hidden = SECRET_PARAMETERS.contains(&name.as_str());
        out.append_pair(&name, if hidden { "-" } else { &value });
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_parameters_are_not_logged() {
        assert_eq!(without_secrets("$top=5&$filter=a%20eq%20'b'"), "$top=5&$filter=a%20eq%20'b'");
        assert_eq!(without_secrets("code=abc&state=s"), "code=-&state=-");
    }
}
