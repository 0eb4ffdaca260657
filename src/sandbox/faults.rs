//! Misbehaviour on demand: a queue of faults per named operation, checked when given, consumed
//! when used, audited at the end.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{clock, operation::Operation};

/// What happens instead of, before or after the real answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Do {
    /// Another answer; the request has no effect.
    Status {
        /// The HTTP status.
        status: u16,
        /// Headers, names in lower case.
        headers: Vec<(String, String)>,
        /// A JSON document, or a text as it is; nothing means the service's usual error document.
        body: Option<Value>,
    },
    /// No effect, and no answer until the client gives up.
    NoAnswer,
    /// The effect, and no answer until the client gives up.
    NoAnswerAfter,
    /// The connection is cut before the effect.
    CutBefore,
    /// The connection is cut after the effect.
    CutAfter,
    /// The effect and the real answer, late.
    Slow(Duration),
    /// The effect, and an answer whose body is no JSON.
    Garbage,
    /// No effect, and an error of this status whose message repeats the request, its credentials
    /// included: some services do, and a client must not print it.
    Echo(u16),
}

impl Do {
    /// The word for the request log.
    pub(super) fn word(&self) -> String {
        match self {
            Self::Status { status, .. } => format!("status {status}"),
            Self::NoAnswer => "no-answer".to_owned(),
            Self::NoAnswerAfter => "no-answer-after".to_owned(),
            Self::CutBefore => "cut-before".to_owned(),
            Self::CutAfter => "cut-after".to_owned(),
            Self::Slow(_) => "slow".to_owned(),
            Self::Garbage => "garbage".to_owned(),
            Self::Echo(status) => format!("echo {status}"),
        }
    }
}

/// What a fault may look at in a request.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The path, decoded.
    pub(super) path: String,
    /// The body as text.
    pub(super) body: String,
    /// The directory that it is about, by id.
    pub(super) tenant: Option<String>,
    /// All names of the application that it is about: ids, unique name, display name.
    pub(super) app: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Match {
    path: Option<String>,
    body: Option<String>,
    tenant: Option<String>,
    app: Option<String>,
}

impl Match {
    fn meets(&self, facts: &Facts) -> bool {
        let within = |part: &Option<String>, whole: &str| {
            part.as_deref().is_none_or(|part| whole.contains(part))
        };
        within(&self.path, &facts.path)
            && within(&self.body, &facts.body)
            && self
                .tenant
                .as_deref()
                .is_none_or(|t| facts.tenant.as_deref().is_some_and(|f| f.eq_ignore_ascii_case(t)))
            && self
                .app
                .as_deref()
                .is_none_or(|a| facts.app.iter().any(|f| f.eq_ignore_ascii_case(a)))
    }
}

#[derive(Debug)]
struct Fault {
    given: Value,
    /// Nothing means every operation of Entra ID, Graph, Defender and Resource Manager.
    operation: Option<Operation>,
    matching: Match,
    nth: u64,
    times: u64,
    seen: u64,
    used: u64,
    act: Do,
}

/// The faults that were given.
#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    /// Adds faults, all or none.
    ///
    /// # Errors
    /// In words, with the place: an unknown operation, member or shape.
    pub(super) fn add(&mut self, given: &Value) -> Result<usize, String> {
        let list = given
            .as_array()
            .ok_or("faults must be a list of objects")?
            .iter()
            .enumerate()
            .map(|(i, f)| Fault::read(f).map_err(|e| format!("[{i}]: {e}")))
            .collect::<Result<Vec<_>, _>>()?;
        let count = list.len();
        self.list.extend(list);
        Ok(count)
    }

    /// Whether any fault looks at applications' names: they are costly to gather.
    pub(super) fn is_empty(&self) -> bool {
        self.list.iter().all(|f| f.used >= f.times)
    }

    /// Counts a request, and says what is to be done with it.
    pub(super) fn take(&mut self, operation: Operation, facts: &Facts) -> Option<Do> {
        let mut act = None;
        for fault in &mut self.list {
            let named = match fault.operation {
                Some(one) => one == operation,
                None => operation.is_scriptable() && !operation.is_a_persons(),
            };
            if !named || !fault.matching.meets(facts) {
                continue;
            }
            fault.seen += 1;
            if act.is_none() && fault.seen >= fault.nth && fault.used < fault.times {
                fault.used += 1;
                act = Some(fault.act.clone());
            }
        }
        act
    }

    /// What was given, and how often each was used.
    pub(super) fn audit(&self) -> Value {
        let rows = |unused: bool| -> Vec<Value> {
            self.list
                .iter()
                .filter(|f| !unused || f.used < f.times)
                .map(|f| json!({"fault": f.given, "seen": f.seen, "used": f.used, "left": f.times - f.used}))
                .collect()
        };
        json!({"given": rows(false), "unused": rows(true)})
    }

    /// Those that never fired as often as they should.
    pub(super) fn unused(&self) -> Vec<Value> {
        self.list.iter().filter(|f| f.used < f.times).map(|f| f.given.clone()).collect()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.list.clear();
    }
}

fn closed(object: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match object.keys().find(|k| !known.contains(&k.as_str())) {
        Some(key) => Err(format!("unknown member `{key}`; known are {}", known.join(", "))),
        None => Ok(()),
    }
}

impl Fault {
    fn read(given: &Value) -> Result<Self, String> {
        let object = given.as_object().ok_or("a fault must be an object")?;
        closed(object, &["operation", "nth", "match", "times", "do"])?;
        let name = object
            .get("operation")
            .and_then(Value::as_str)
            .ok_or("operation must be a name or *")?;
        let operation = match name {
            "*" => None,
            name => Some(Operation::named(name).ok_or_else(|| {
                format!("no operation is named `{name}`; GET /_sandbox/operations lists them")
            })?),
        };
        let positive = |name: &str| match object.get(name) {
            None => Ok(1),
            Some(value) => value
                .as_u64()
                .filter(|n| *n > 0)
                .ok_or_else(|| format!("{name} must be a number from 1")),
        };
        let matching = match object.get("match") {
            None => Match::default(),
            Some(Value::Object(m)) => {
                closed(m, &["path", "body", "tenant", "app"])?;
                let text = |name: &str| match m.get(name) {
                    None => Ok(None),
                    Some(Value::String(s)) => Ok(Some(s.clone())),
                    Some(_) => Err(format!("match.{name} must be a text")),
                };
                Match {
                    path: text("path")?,
                    body: text("body")?,
                    tenant: text("tenant")?,
                    app: text("app")?,
                }
            }
            Some(_) => return Err("match must be an object".to_owned()),
        };
        Ok(Self {
            given: given.clone(),
            operation,
            matching,
            nth: positive("nth")?,
            times: positive("times")?,
            seen: 0,
            used: 0,
            act: read_do(object.get("do").ok_or("do is missing")?)?,
        })
    }
}

fn read_do(value: &Value) -> Result<Do, String> {
    match value {
        Value::String(word) => match word.as_str() {
            "no-answer" => Ok(Do::NoAnswer),
            "no-answer-after" => Ok(Do::NoAnswerAfter),
            "cut-before" => Ok(Do::CutBefore),
            "cut-after" => Ok(Do::CutAfter),
            "garbage" => Ok(Do::Garbage),
            other => Err(format!(
                "do: unknown word `{other}`; known are no-answer, no-answer-after, cut-before, cut-after, garbage"
            )),
        },
        Value::Object(object) if object.contains_key("slow") => {
            closed(object, &["slow"])?;
            let text = object["slow"].as_str().ok_or("do.slow must be a text such as 5s")?;
            clock::wait(text).map(Do::Slow)
        }
        Value::Object(object) if object.contains_key("echo") => {
            closed(object, &["echo"])?;
            status_in(object, "echo").map(Do::Echo)
        }
        Value::Object(object) => {
            closed(object, &["status", "headers", "body"])?;
            let status = status_in(object, "status")?;
            let mut headers = Vec::new();
            match object.get("headers") {
                None => {}
                Some(Value::Object(map)) => {
                    for (name, value) in map {
                        let value = match value {
                            Value::String(s) => s.clone(),
                            Value::Number(n) => n.to_string(),
                            _ => return Err(format!("do.headers.{name} must be a text")),
                        };
                        let good = hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
                            && hyper::header::HeaderValue::from_str(&value).is_ok();
                        if !good {
                            return Err(format!("do.headers.{name} is no header"));
                        }
                        headers.push((name.to_ascii_lowercase(), value));
                    }
                }
                Some(_) => return Err("do.headers must be an object".to_owned()),
            }
            Ok(Do::Status { status, headers, body: object.get("body").cloned() })
        }
        _ => Err("do must be a word or an object".to_owned()),
    }
}

fn status_in(object: &Map<String, Value>, name: &str) -> Result<u16, String> {
    object
        .get(name)
        .and_then(Value::as_u64)
        .and_then(|s| u16::try_from(s).ok())
        .filter(|s| (200..=599).contains(s))
        .ok_or_else(|| format!("do.{name} must be a status from 200 to 599"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_request_is_hit_as_often_as_asked() {
        let mut faults = Faults::default();
        faults
            .add(&json!([{"operation": "application.addPassword", "nth": 2, "times": 2, "do": "cut-after"}]))
            .unwrap();
        let facts = Facts::default();
        assert_eq!(faults.take(Operation::CreateApplication, &facts), None);
        let taken: Vec<bool> =
            (0..5).map(|_| faults.take(Operation::AddPassword, &facts).is_some()).collect();
        assert_eq!(taken, [false, true, true, false, false]);
        assert!(faults.unused().is_empty());
    }

    #[test]
    fn a_star_counts_everything_but_control() {
        let mut faults = Faults::default();
        faults.add(&json!([{"operation": "*", "nth": 2, "do": "cut-before"}])).unwrap();
        let facts = Facts::default();
        assert_eq!(faults.take(Operation::Control, &facts), None);
        assert_eq!(faults.take(Operation::Token, &facts), None);
        assert_eq!(faults.unused().len(), 1);
        assert_eq!(faults.take(Operation::ListApplications, &facts), Some(Do::CutBefore));
    }

    #[test]
    fn a_match_narrows() {
        let mut faults = Faults::default();
        faults
            .add(&json!([{"operation": "*", "match": {"app": "X", "body": "hello"}, "do": "garbage"}]))
            .unwrap();
        let mut facts = Facts { app: vec!["x".to_owned()], ..Facts::default() };
        assert_eq!(faults.take(Operation::AddPassword, &facts), None);
        facts.body = "well hello".to_owned();
        assert_eq!(faults.take(Operation::AddPassword, &facts), Some(Do::Garbage));
    }

    #[test]
    fn what_is_not_understood_is_refused_whole() {
        let mut faults = Faults::default();
        let good = json!({"operation": "*", "do": "garbage"});
        for bad in [
            json!({}),
            json!([{"operation": "application.fly", "do": "garbage"}]),
            json!([{"operation": "sandbox.control", "do": "garbage"}]),
            json!([good, {"operation": "*"}]),
            json!([{"operation": "*", "do": "explode"}]),
            json!([{"operation": "*", "do": {"status": 99}}]),
            json!([{"operation": "*", "do": {"echo": 99}}]),
            json!([{"operation": "*", "do": {"slow": "5 hours"}}]),
            json!([{"operation": "*", "do": {"status": 503, "headers": {"a b": "c"}}}]),
            json!([{"operation": "*", "nth": 0, "do": "garbage"}]),
            json!([{"operation": "*", "match": {"colour": "x"}, "do": "garbage"}]),
            json!([{"operation": "*", "when": 1, "do": "garbage"}]),
        ] {
            assert!(faults.add(&bad).is_err(), "{bad}");
        }
        assert!(faults.unused().is_empty());
    }
}
