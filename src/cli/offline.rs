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
    report::{ci, error::Trouble, paper::clean, plan::count, schema as schemas},
    verdict::Verdict,
};

pub(super) fn init(args: &InitArgs) -> Result<Verdict, Trouble> {
    let (started, taken) = init::run(args).map_err(init_trouble)?;
    if !taken.unused.is_empty() {
        output::tell(&format!("columns not used: {}\n", clean(&taken.unused.join(", "))));
    }
    say_started(started, taken.customers.map(|customers| (customers, "the list")));
    Ok(Verdict::Done)
}

/// Why `init` did nothing, as the user meets it.
pub(super) fn init_trouble(error: InitError) -> Trouble {
    let (verdict, what) = match &error {
        InitError::List(mistakes) => {
            let trouble = Trouble::new(Verdict::InvalidManifest, "the list of customers is wrong");
            return mistakes.iter().take(20).fold(trouble, |trouble, line| trouble.why(line));
        }
        InitError::Usage(_) => (Verdict::Usage, error.to_string()),
        InitError::Read { error: why, .. } if why.kind() == std::io::ErrorKind::NotFound => {
            (Verdict::Usage, error.to_string())
        }
        InitError::Read { .. } | InitError::Exists(_) | InitError::Write { .. } => {
            (Verdict::Failed, error.to_string())
        }
    };
    Trouble::new(verdict, what)
}

/// Prints the manifest, or what was written and what comes next; `taken` says how many customers
/// came from where.
pub(super) fn say_started(started: Started, taken: Option<(usize, &str)>) {
    match started {
        Started::Printed(text) => output::print(&text),
        Started::Written(files) => {
            for file in files {
                output::print(&format!("wrote {}\n", clean(&file.to_string_lossy())));
            }
            match taken {
                Some((customers, source)) => output::print(&format!(
                    "{} taken from {source}. Next: look at the defaults, then tenantry validate, then \
                     tenantry apply --sandbox\n",
                    count(customers, "customer")
                )),
                None => output::print(
                    "Next: fill it in, then tenantry validate, then tenantry apply --sandbox\n",
                ),
            }
        }
    }
}

pub(super) fn validate(args: &ValidateArgs, common: &Common) -> Result<Verdict, Trouble> {
    let checked =
        validate::run(args, &sources(common)).map_err(|error| no_manifest(common, &error))?;
    common.ending.annotate(ci::of_notices(checked.manifest()));
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
        Entry { name: "doctor", make: schemas::doctor },
    ];
    let text = schema::run(args, &table).map_err(|why| Trouble::new(Verdict::Usage, why))?;
    output::print(&text);
    Ok(Verdict::Done)
}
