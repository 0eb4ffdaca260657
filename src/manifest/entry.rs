//! A tenant's entry as `init` writes it, whatever stands in its fields.

use std::collections::{BTreeMap, BTreeSet};

/// The line that a tenant's entry begins with.
pub(super) fn head_of(key: &str) -> String {
    format!("  {}:\n", quoted(key))
}

/// The fields of a tenant, a line each; one without a domain has no redirect URI either, for that of
/// the defaults is made of the domain.
pub(super) fn fields_of(fields: &BTreeMap<&'static str, String>) -> String {
    let mut text = String::new();
    for field in ["name", "domain", "id", "connector", "signInAs", "app"] {
        if let Some(value) = fields.get(field) {
            text.push_str(&format!("    {field}: {}\n", quoted(value)));
        }
    }
    if !fields.contains_key("domain") {
        text.push_str("    redirectUris: []    # no domain to name them by\n");
    }
    text
}

/// A key of the first of these texts that has something for one, unlike those that are taken.
pub(super) fn key_of<'t>(
    texts: impl IntoIterator<Item = Option<&'t str>>,
    taken: &mut BTreeSet<String>,
) -> String {
    let key = texts.into_iter().flatten().map(slug).find(|key| !key.is_empty());
    let key = key.unwrap_or_else(|| "tenant".to_owned());
    let numbered = (2..).map(|number| format!("{key}-{number}"));
    let free = std::iter::once(key.clone()).chain(numbered).find(|key| !taken.contains(key));
    let free = free.unwrap_or(key);
    taken.insert(free.clone());
    free
}

/// What a key may hold of a text.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.chars().take(60).collect::<String>().trim_matches('-').to_owned()
}

/// A text as YAML takes it for a text, whatever stands in it: JSON is YAML too. What can only be a
/// plain word is left bare.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let word = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(plain);
    let special = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if word && !special.contains(&text) {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}
