//! Domains and user names, as Entra takes them.

use serde_json::{Value, json};

use super::{mistakes::Wrong, read::Leaf, tree::shown};

/// What the JSON Schema says of a domain; the parser says more.
pub(super) const PATTERN: &str =
    r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]$";

/// A domain name in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Domain(pub(super) String);

impl Leaf for Domain {
    fn schema() -> Value {
        json!({ "type": "string", "pattern": PATTERN, "maxLength": 253 })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        let wrong =
            |why: &str| Wrong::new(format!("`{}` is not a domain", shown(&text))).label(why);
        if text.contains("://") || text.contains('/') {
            return Err(wrong("only the name: no `https://`, no path"));
        }
        if text.contains('@') {
            return Err(wrong("only what stands after the `@`"));
        }
        if !text.is_ascii() {
            return Err(wrong("write the ASCII form, it begins with `xn--`"));
        }
        if text.len() > 253 {
            return Err(wrong("a domain has at most 253 characters"));
        }
        let labels: Vec<_> = text.split('.').collect();
        let Some(top) = labels.last().filter(|_| labels.len() > 1) else {
            return Err(wrong("expected something like contoso.com"));
        };
        if !labels.iter().all(|label| is_label(label)) {
            return Err(wrong("letters, digits and hyphens between dots, as in contoso.com"));
        }
        if !top.starts_with(|c: char| c.is_ascii_alphabetic()) || top.len() < 2 {
            return Err(wrong("it ends like a number; expected something like contoso.com"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Whether a text could only be meant as a domain.
pub(super) fn looks_like_one(text: &str) -> bool {
    text.contains('.') && Domain::take(text.to_owned()).is_ok()
}

/// Takes a user principal name: `name@domain`, at most 113 characters, the part before the `@` at
/// most 64 (<https://learn.microsoft.com/en-us/entra/identity/hybrid/connect/plan-connect-userprincipalname>).
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn user_name(text: &str) -> Result<String, Wrong> {
    let wrong = |why: &str| {
        Wrong::new(format!("`{}` is not a user principal name", shown(text))).label(why)
    };
    let Some((name, domain)) = text.rsplit_once('@') else {
        return Err(wrong("expected someone@contoso.com"));
    };
    let sound = |c: char| c.is_ascii_alphanumeric() || "'.-_!#^~".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(sound) {
        return Err(wrong(
            "the part before the `@`: 1 to 64 of letters, digits and ' . - _ ! # ^ ~",
        ));
    }
    if name.ends_with('.') || name.starts_with('.') {
        return Err(wrong("the part before the `@` cannot begin or end with a dot"));
    }
    if text.len() > 113 || Domain::take(domain.to_owned()).is_err() {
        return Err(wrong("the part after the `@` must be a domain"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_names_with_at_least_one_dot() {
        for good in
            ["contoso.com", "A.B-c.example", "xn--bcher-kva.example", "contoso.onmicrosoft.com"]
        {
            assert_eq!(Domain::take(good.to_owned()).unwrap().0, good.to_ascii_lowercase());
        }
        for bad in [
            "contoso",
            "1.10",
            "10.0.0.1",
            ".com",
            "a..b",
            "-a.com",
            "a-.com",
            "a b.com",
            "https://a.com",
            "a.com/",
            "me@a.com",
            "bücher.example",
            "a.com.",
            "a_b.com",
        ] {
            assert!(Domain::take(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(Domain::take(format!("{}.com", "a.".repeat(130))).is_err());
    }

    #[test]
    fn user_names_have_a_name_and_a_domain() {
        for good in
            ["a@b.example", "o'neil.x-1@acme-soc.example", "g_x.com#EXT#@acme.onmicrosoft.com"]
        {
            assert!(user_name(good).is_ok(), "{good}");
        }
        for bad in
            ["", "a", "@b.example", "a@", "a@b", "a b@c.example", ".a@b.example", "a@@b.example"]
        {
            assert!(user_name(bad).is_err(), "{bad}");
        }
    }
}
