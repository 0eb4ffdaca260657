//! `tenantry schema`

use serde_json::Value;

/// Print the JSON Schema of the manifest, or of what tenantry prints with --json.
///
/// Editors that know YAML complete and check a manifest with it: write it beside the manifest
/// (`tenantry schema > tenantry.schema.json`) and begin the manifest with
/// `# yaml-language-server: $schema=tenantry.schema.json`.
#[derive(Debug, clap::Args)]
pub(super) struct SchemaArgs {
    /// Which schema
    #[arg(long, value_name = "WHAT", default_value = "manifest")]
    pub(super) of: String,
}

/// A schema that can be asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The word after `--of`.
    pub(super) name: &'static str,
    /// Makes it.
    pub(super) make: fn() -> Value,
}

/// The manifest's.
pub(super) const MANIFEST: Entry = Entry { name: "manifest", make: crate::manifest::json_schema };

/// The text for stdout.
///
/// # Errors
/// A word that no schema has: wrong usage, said in one line.
pub(super) fn run(args: &SchemaArgs, table: &[Entry]) -> Result<String, String> {
    let SchemaArgs { of } = args;
    let Some(entry) = table.iter().find(|entry| entry.name == of) else {
        let known: Vec<_> = table.iter().map(|entry| entry.name).collect();
        return Err(format!("there is no schema of `{of}`; one of: {}", known.join(", ")));
    };
    Ok(format!("{:#}\n", (entry.make)()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_not_there_names_those_that_are() {
        let args = |of: &str| SchemaArgs { of: of.to_owned() };
        assert!(run(&args("manifest"), &[MANIFEST]).unwrap().starts_with("{\n"));
        assert!(run(&args("plan"), &[MANIFEST]).unwrap_err().contains("manifest"));
    }
}
