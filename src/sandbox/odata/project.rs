//! `$select` and `$expand`: what of a resource an answer shows.

use serde_json::{Map, Value};

use crate::sandbox::schema::{Entity, Kind, Property, Refusal, Service, Shown};

/// A link that the answer follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// The link, such as `owners`.
    pub navigation: &'static str,
    /// The properties of the targets that are wanted, as they were written; empty means
    /// the usual ones.
    pub select: Vec<String>,
}

/// What `$select` names.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    /// As written in `@odata.context`, canonical names.
    pub(super) names: Vec<String>,
    tree: Vec<Branch>,
}

#[derive(Debug, Clone)]
struct Branch {
    name: &'static str,
    /// Empty means all of it.
    members: Vec<Branch>,
}

impl Selection {
    /// Keeps of a resource what was named, and annotations. `id` is no exception: Graph
    /// leaves it out when it is not named
    /// (<https://learn.microsoft.com/en-us/graph/query-parameters>, the examples of `$select`).
    pub(super) fn apply(&self, item: &Map<String, Value>) -> Map<String, Value> {
        keep(&self.tree, item)
    }
}

fn keep(tree: &[Branch], item: &Map<String, Value>) -> Map<String, Value> {
    let mut kept: Map<String, Value> = item
        .iter()
        .filter(|(name, _)| name.starts_with("@odata."))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for branch in tree {
        match item.get(branch.name) {
            Some(Value::Object(members)) if !branch.members.is_empty() => {
                kept.insert(branch.name.to_owned(), Value::Object(keep(&branch.members, members)));
            }
            Some(value) => {
                kept.insert(branch.name.to_owned(), value.clone());
            }
            // Named and unset is null in the answer; a list is never null.
            None => {}
        }
    }
    kept
}

/// What an answer without `$select` shows.
pub(super) fn usual(entity: &Entity, item: &Map<String, Value>) -> Map<String, Value> {
    let kind = entity.kind_of(item);
    item.iter()
        .filter(|(name, _)| {
            name.starts_with("@odata.")
                || name.starts_with("extension_")
                || kind
                    .properties
                    .iter()
                    .any(|property| property.name == **name && property.shown == Shown::Always)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Reads `$select`; nothing means all.
pub(super) fn select(text: &str, entity: &'static Entity) -> Result<Option<Selection>, Refusal> {
    let mut selection = Selection { names: Vec::new(), tree: Vec::new() };
    let mut all = false;
    for path in text.split(',').map(str::trim) {
        if path == "*" {
            all = true;
            continue;
        }
        let mut names = Vec::new();
        let mut segments = path.split('/');
        let first = segments.next().unwrap_or_default();
        let mut property = find(entity, first)?;
        names.push(property.name);
        for segment in segments {
            property = member(property, segment)?;
            names.push(property.name);
        }
        let name = names.join("/");
        if !selection.names.contains(&name) {
            add(&mut selection.tree, &names);
            selection.names.push(name);
        }
    }
    Ok((!all).then_some(selection))
}

fn find(entity: &'static Entity, name: &str) -> Result<&'static Property, Refusal> {
    if let Some(property) = entity.property(name) {
        return Ok(property);
    }
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(failed(format!(
            "Term '{name}' is not valid in a $select or $expand expression."
        )));
    }
    Err(match (entity.navigation(name), entity.service) {
        (Some(_), Service::Directory) => Refusal::bad_request("Invalid $select properties."),
        _ => failed(format!(
            "Could not find a property named '{name}' on type '{}'.",
            entity.type_name()
        )),
    })
}

fn member(property: &Property, name: &str) -> Result<&'static Property, Refusal> {
    let Kind::Complex(complex) = property.kind else {
        return Err(failed(format!(
            "Found a path traversing multiple navigation properties or a member of '{}', which has none.",
            property.name
        )));
    };
    complex.property(name).ok_or_else(|| {
        failed(format!(
            "Could not find a property named '{name}' on type 'microsoft.graph.{}'.",
            complex.name
        ))
    })
}

fn add(tree: &mut Vec<Branch>, names: &[&'static str]) {
    let Some((first, rest)) = names.split_first() else { return };
    match tree.iter_mut().find(|branch| branch.name == *first) {
        // All of it is wanted already.
        Some(branch) if branch.members.is_empty() => {}
        Some(branch) if rest.is_empty() => branch.members.clear(),
        Some(branch) => add(&mut branch.members, rest),
        None => {
            let mut branch = Branch { name: first, members: Vec::new() };
            add(&mut branch.members, rest);
            tree.push(branch);
        }
    }
}

/// Reads `$expand`: links, each with an optional `($select=…)`.
pub(super) fn expand(text: &str, entity: &'static Entity) -> Result<Vec<Expansion>, Refusal> {
    let mut expansions: Vec<Expansion> = Vec::new();
    for item in split_outside_parentheses(text)? {
        let item = item.trim();
        let (name, options) = match item.split_once('(') {
            None => (item, None),
            Some((name, options)) => {
                let options = options.strip_suffix(')').ok_or_else(|| {
                    failed(format!("Found an unbalanced bracket expression in '{text}'."))
                })?;
                (name.trim(), Some(options))
            }
        };
        let Some(link) = entity.navigation(name) else {
            return Err(match entity.property(name) {
                Some(_) => failed(format!(
                    "Property '{name}' on type '{}' is not a navigation property or complex property. Only navigation properties can be expanded.",
                    entity.type_name()
                )),
                None => failed(format!(
                    "Could not find a property named '{name}' on type '{}'.",
                    entity.type_name()
                )),
            });
        };
        let mut select = Vec::new();
        for option in options.into_iter().flat_map(|options| options.split(';')) {
            let names = option.trim().strip_prefix("$select=").ok_or_else(|| {
                Refusal::unsupported_query(format!(
                    "The option '{option}' is not supported within $expand."
                ))
            })?;
            select.extend(names.split(',').map(|name| name.trim().to_owned()));
        }
        if expansions.iter().all(|known| known.navigation != link.name) {
            expansions.push(Expansion { navigation: link.name, select });
        }
    }
    // The directory follows one link a request
    // (<https://learn.microsoft.com/en-us/graph/query-parameters#expand>, limitations).
    if expansions.len() > 1 && entity.service == Service::Directory {
        return Err(Refusal::bad_request("Multiple expands are not supported."));
    }
    Ok(expansions)
}

fn split_outside_parentheses(text: &str) -> Result<Vec<&str>, Refusal> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (place, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => {
                depth = depth.checked_sub(1).ok_or_else(|| {
                    failed(format!("Found an unbalanced bracket expression in '{text}'."))
                })?;
            }
            ',' if depth == 0 => {
                parts.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    Ok(parts)
}

fn failed(why: impl AsRef<str>) -> Refusal {
    Refusal::malformed(format!("Parsing OData Select and Expand failed: {}", why.as_ref()))
}
