//! Is what a client sends what the type says?

use serde_json::{Map, Value};

use super::{Bind, Complex, Entity, Kind, Nulls, Property, Refusal, Service, Writing, application};

/// What a body is sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// `POST` to a collection.
    Create,
    /// `PATCH` with `Prefer: create-if-missing` of something that is missing: a creation
    /// without secrets (<https://learn.microsoft.com/en-us/graph/api/application-upsert>).
    Upsert,
    /// `PATCH` of something that exists.
    Update,
}

/// At most so many targets may be named while creating; from the Terraform provider, which
/// splits its owners at this number.
const MAX_BINDS: usize = 20;

impl Entity {
    /// Checks a body before it becomes a resource or changes one: unknown and read-only
    /// members, types, words, lengths, and for applications the rules across properties
    /// as far as the body shows them. After an update has been merged, let
    /// [`super::check_application`] look at the whole.
    ///
    /// # Errors
    /// The refusal that Graph would send for the first thing that is wrong.
    pub fn check_write(&self, body: &Map<String, Value>, write: Write) -> Result<(), Refusal> {
        for (name, value) in body {
            self.check_member(name, value, write)?;
        }
        let creates = match write {
            Write::Create | Write::Upsert => true,
            Write::Update => false,
        };
        if creates {
            for property in self.properties {
                if property.nulls == Nulls::Required && !body.contains_key(property.name) {
                    return Err(value_required(property.name, self.resource));
                }
            }
        }
        application::check_secrets(body, write, self.resource)?;
        if std::ptr::eq(self, &super::APPLICATION) {
            application::check_application(body)?;
        }
        Ok(())
    }

    /// Checks a resource as the world holds it: every property there and of its type, and nothing
    /// else.
    ///
    /// # Errors
    /// In words, the first thing that is wrong.
    pub fn check_whole(&self, item: &Map<String, Value>) -> Result<(), String> {
        for property in self.properties {
            let value =
                item.get(property.name).ok_or_else(|| format!("`{}` is missing", property.name))?;
            check_value(property, value, self.resource, property.name).map_err(|refusal| {
                let why =
                    refusal.details.first().map_or(&refusal.message, |detail| &detail.message);
                format!("`{}`: {why}", property.name)
            })?;
        }
        let known = |name: &str| self.properties.iter().any(|property| property.name == name);
        match item.keys().find(|name| !known(name)) {
            Some(name) => Err(format!("there is no `{name}`")),
            None => Ok(()),
        }
    }

    fn check_member(&self, name: &str, value: &Value, write: Write) -> Result<(), Refusal> {
        if let Some((annotated, annotation)) = name.split_once('@') {
            return self.check_annotation(annotated, annotation, value, write);
        }
        let Some(property) = self.properties.iter().find(|property| property.name == name) else {
            return Err(self.unknown_member(name));
        };
        let writable = match (property.writing, write) {
            (Writing::Always, _) | (Writing::OnCreate, Write::Create | Write::Upsert) => true,
            (Writing::OnCreate, Write::Update) | (Writing::Never, _) => false,
        };
        if !writable {
            return Err(read_only(name));
        }
        check_value(property, value, self.resource, name)
    }

    fn unknown_member(&self, name: &str) -> Refusal {
        if self.navigation(name).is_some() {
            return Refusal::invalid_value(
                name,
                self.resource,
                format!("'{name}' is a relationship: it has requests of its own."),
            );
        }
        match self.service {
            // Open types: the gateway lets any name pass, the directory then misses it.
            Service::Directory => undeclared(name),
            Service::Settings | Service::Security | Service::Partner => {
                not_on_type(name, &self.type_name())
            }
        }
    }

    fn check_annotation(
        &self,
        annotated: &str,
        annotation: &str,
        value: &Value,
        write: Write,
    ) -> Result<(), Refusal> {
        match (annotated, annotation) {
            ("", "odata.type") => check_odata_type(value, &self.type_name()),
            ("", _) if annotation.starts_with("odata.") => Ok(()),
            (_, "odata.bind") => {
                let bindable = self
                    .navigations
                    .iter()
                    .find(|link| link.name == annotated)
                    .map(|link| link.bind);
                match (bindable, write) {
                    (Some(Bind::OnCreate), Write::Create | Write::Upsert) => {
                        self.check_bind(annotated, value)
                    }
                    (Some(Bind::OnCreate), Write::Update) | (Some(Bind::Never), _) => {
                        Err(read_only(annotated))
                    }
                    (None, _) => Err(undeclared(annotated)),
                }
            }
            _ if annotation.starts_with("odata.")
                && (self.properties.iter().any(|property| property.name == annotated)
                    || self.navigations.iter().any(|link| link.name == annotated)) =>
            {
                Ok(())
            }
            _ => Err(undeclared(&format!("{annotated}@{annotation}"))),
        }
    }

    fn check_bind(&self, link: &str, value: &Value) -> Result<(), Refusal> {
        let targets = value.as_array().ok_or_else(|| unexpected_node("StartArray"))?;
        if targets.len() > MAX_BINDS {
            return Err(Refusal::invalid_value(
                link,
                self.resource,
                format!("At most {MAX_BINDS} references can be added in one request."),
            ));
        }
        for target in targets {
            let address = target.as_str().ok_or_else(|| unexpected_node("PrimitiveValue"))?;
            if !(address.starts_with("https://") || address.starts_with("http://")) {
                return Err(Refusal::invalid_value(
                    link,
                    self.resource,
                    format!("'{address}' is not the address of an object."),
                ));
            }
        }
        Ok(())
    }
}

impl Complex {
    /// Checks an object that is sent on its own, such as the `passwordCredential` of
    /// `addPassword`. `resource` is the name of what it belongs to, for the error texts.
    ///
    /// # Errors
    /// The refusal that Graph would send for the first thing that is wrong.
    pub fn check(&self, members: &Map<String, Value>, resource: &str) -> Result<(), Refusal> {
        check_complex(self, members, resource, None)
    }
}

fn check_value(
    property: &Property,
    value: &Value,
    resource: &str,
    top: &str,
) -> Result<(), Refusal> {
    if value.is_null() {
        return match property.nulls {
            Nulls::Allowed => Ok(()),
            Nulls::Refused => Err(null_refused(property.name, &property.kind)),
            Nulls::Required => Err(value_required(property.name, resource)),
        };
    }
    if property.nulls == Nulls::Required && value.as_str() == Some("") {
        return Err(Refusal::invalid_value(top, resource, "The value must not be empty."));
    }
    check_kind(&property.kind, value, property.name, resource, top)
}

fn check_kind(
    kind: &Kind,
    value: &Value,
    name: &str,
    resource: &str,
    top: &str,
) -> Result<(), Refusal> {
    match kind {
        Kind::Text(limit) => {
            let text = primitive(value, kind)?.as_str().ok_or_else(|| wrong_type(value, kind))?;
            match limit {
                Some(limit) if length(text) > *limit => Err(Refusal::invalid_value(
                    top,
                    resource,
                    format!("'{name}' is longer than {limit} characters."),
                )),
                Some(_) | None => Ok(()),
            }
        }
        Kind::Word(words) => {
            let text = primitive(value, kind)?.as_str().ok_or_else(|| wrong_type(value, kind))?;
            if words.contains(&text) {
                Ok(())
            } else {
                Err(Refusal::invalid_value(
                    top,
                    resource,
                    format!("'{text}' is none of: {}.", words.join(", ")),
                ))
            }
        }
        Kind::Enum(words) => {
            let text = primitive(value, kind)?.as_str().ok_or_else(|| wrong_type(value, kind))?;
            if words.contains(&text) {
                Ok(())
            } else {
                Err(Refusal::malformed(format!("Requested value '{text}' was not found.")))
            }
        }
        Kind::Guid => literal(value, kind, is_guid),
        Kind::DateTime => literal(value, kind, is_date_time),
        Kind::Duration => literal(value, kind, is_duration),
        Kind::Binary => literal(value, kind, is_base64),
        Kind::Bool => match primitive(value, kind)? {
            Value::Bool(_) => Ok(()),
            _ => Err(wrong_type(value, kind)),
        },
        Kind::Int => match primitive(value, kind)?.as_i64() {
            Some(number) if i32::try_from(number).is_ok() => Ok(()),
            _ => Err(wrong_type(value, kind)),
        },
        Kind::Complex(complex) => match value {
            Value::Object(members) => check_complex(complex, members, resource, Some(top)),
            _ => Err(unexpected_node("StartObject")),
        },
        Kind::Open => match value {
            Value::Object(_) => Ok(()),
            _ => Err(unexpected_node("StartObject")),
        },
        Kind::List(element) => {
            let items = value.as_array().ok_or_else(|| unexpected_node("StartArray"))?;
            for item in items {
                if item.is_null() {
                    return Err(null_refused(name, kind));
                }
                check_kind(element, item, name, resource, top)?;
            }
            Ok(())
        }
    }
}

fn check_complex(
    complex: &Complex,
    members: &Map<String, Value>,
    resource: &str,
    top: Option<&str>,
) -> Result<(), Refusal> {
    let type_name = format!("microsoft.graph.{}", complex.name);
    for (name, value) in members {
        if let Some((annotated, annotation)) = name.split_once('@') {
            match (annotated, annotation) {
                ("", "odata.type") => check_odata_type(value, &type_name)?,
                _ if annotation.starts_with("odata.")
                    && (annotated.is_empty()
                        || complex.properties.iter().any(|member| member.name == annotated)) => {}
                _ => return Err(not_on_type(name, &type_name)),
            }
            continue;
        }
        let Some(property) = complex.properties.iter().find(|member| member.name == *name) else {
            return Err(not_on_type(name, &type_name));
        };
        // What a client has read it sends back whole; a null in a read-only place is harmless.
        if property.writing == Writing::Never && !value.is_null() {
            return Err(read_only(name));
        }
        check_value(property, value, resource, top.unwrap_or(name))?;
    }
    for property in complex.properties {
        if property.nulls == Nulls::Required && !members.contains_key(property.name) {
            return Err(match top {
                Some(top) => Refusal::invalid_value(
                    top,
                    resource,
                    format!("A value is required for '{}'.", property.name),
                ),
                None => value_required(property.name, resource),
            });
        }
    }
    Ok(())
}

fn check_odata_type(value: &Value, wanted: &str) -> Result<(), Refusal> {
    match value.as_str().map(|text| text.trim_start_matches('#')) {
        Some(named) if named == wanted => Ok(()),
        Some(named) => Err(Refusal::malformed(format!(
            "A type named '{named}' could not be resolved by the model or is not '{wanted}'."
        ))),
        None => Err(Refusal::malformed("The value of '@odata.type' must be a string.")),
    }
}

fn primitive<'a>(value: &'a Value, kind: &Kind) -> Result<&'a Value, Refusal> {
    match value {
        Value::Array(_) => Err(found_node("StartArray", "PrimitiveValue")),
        Value::Object(_) => Err(found_node("StartObject", "PrimitiveValue")),
        Value::Null => Err(wrong_type(value, kind)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(value),
    }
}

fn literal(value: &Value, kind: &Kind, fits: fn(&str) -> bool) -> Result<(), Refusal> {
    let text = primitive(value, kind)?.as_str().ok_or_else(|| wrong_type(value, kind))?;
    if fits(text) {
        Ok(())
    } else {
        Err(Refusal::malformed(format!(
            "Cannot convert the literal '{text}' to the expected type '{}'.",
            kind.edm()
        )))
    }
}

/// Length as .NET counts it, in UTF-16 units.
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Is this a GUID in its hyphenated form?
pub(in crate::sandbox) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_date_time(text: &str) -> bool {
    // Graph refuses moments without a zone.
    text.contains(['T', 't']) && text.parse::<jiff::Timestamp>().is_ok()
}

fn is_duration(text: &str) -> bool {
    text.starts_with(['P', '-']) && text.contains('P') && text.parse::<jiff::Span>().is_ok()
}

fn is_base64(text: &str) -> bool {
    use base64::{Engine as _, engine::general_purpose as engines};
    engines::STANDARD.decode(text).is_ok() || engines::URL_SAFE_NO_PAD.decode(text).is_ok()
}

fn wrong_type(value: &Value, kind: &Kind) -> Refusal {
    match value {
        Value::String(text) => Refusal::malformed(format!(
            "Cannot convert the literal '{text}' to the expected type '{}'.",
            kind.edm()
        )),
        _ => Refusal::malformed(format!(
            "Cannot convert a primitive value to the expected type '{}'. See the inner exception for more details.",
            kind.edm()
        )),
    }
}

fn unexpected_node(wanted: &str) -> Refusal {
    found_node("PrimitiveValue", wanted)
}

fn found_node(found: &str, wanted: &str) -> Refusal {
    Refusal::malformed(format!(
        "An unexpected '{found}' node was found when reading from the JSON reader. A '{wanted}' node was expected."
    ))
}

fn null_refused(name: &str, kind: &Kind) -> Refusal {
    let kind = kind.edm();
    Refusal::malformed(format!(
        "A null value was found for the property named '{name}', which has the expected type '{kind}[Nullable=False]'. The expected type '{kind}[Nullable=False]' does not allow null values."
    ))
}

fn value_required(name: &str, resource: &str) -> Refusal {
    Refusal::bad_request(format!(
        "A value is required for property '{name}' of resource '{resource}'."
    ))
    .with_detail("MissingValue", "A value is required.", name)
}

fn read_only(name: &str) -> Refusal {
    Refusal::bad_request(format!("Property '{name}' is read-only and cannot be set."))
}

fn undeclared(name: &str) -> Refusal {
    Refusal::bad_request(format!(
        "Property '{name}' does not exist as a declared property or extension property."
    ))
}

fn not_on_type(name: &str, type_name: &str) -> Refusal {
    Refusal::malformed(format!(
        "The property '{name}' does not exist on type '{type_name}'. Make sure to only use property names that are defined by the type or mark the type as open type."
    ))
}
