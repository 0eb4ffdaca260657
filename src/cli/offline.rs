//! `init`, `validate` and `schema`: what needs nobody but the disk.

use super::{
    Common,
    context::{no_manifest, sources},
    init::{self, InitArgs, InitError, Started},
    output,
    schema::{self, Entry, SchemaArgs},
    validate::{self, ValidateArgs},
};
use crate::{
    report::{error::Trouble, paper::clean, schema as schemas},
    verdict::Verdict,
};

pub(super) fn init(args: &InitArgs) -> Result<Verdict, Trouble> {
    let started = init::run(args).map_err(|error| {
        let verdict = match &error {
            InitError::Usage(_) => Verdict::Usage,
            InitError::Exists(_) | InitError::Write { .. } => Verdict::Failed,
        };
        Trouble::new(verdict, error.to_string())
    })?;
    match started {
        Started::Printed(text) => output::print(&text),
        Started::Written(files) => {
            for file in files {
                output::print(&format!("wrote {}\n", clean(&file.to_string_lossy())));
            }
            output::print(
                "Next: fill it in, then tenantry validate, then tenantry apply --sandbox\n",
            );
        }
    }
    Ok(Verdict::Done)
}

pub(super) fn validate(args: &ValidateArgs, common: &Common) -> Result<Verdict, Trouble> {
    let checked =
        validate::run(args, &sources(common)).map_err(|error| no_manifest(common, &error))?;
    if common.json {
        output::print_json(&checked.json());
    } else {
        output::print(&checked.text());
    }
    Ok(Verdict::Done)
}

pub(super) fn schema(args: &SchemaArgs) -> Result<Verdict, Trouble> {
    let table = [
        schema::MANIFEST,
        Entry { name: "plan", make: schemas::plan },
        Entry { name: "event", make: schemas::event },
        Entry { name: "status", make: schemas::status },
        Entry { name: "tokens", make: schemas::tokens },
    ];
    let text = schema::run(args, &table).map_err(|why| Trouble::new(Verdict::Usage, why))?;
    output::print(&text);
    Ok(Verdict::Done)
}
