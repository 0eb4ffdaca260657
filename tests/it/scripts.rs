//! The scripts beside the code: sound shell, and a year in the sandbox on which nobody is locked out.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::pipelines::{has, passes};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)
}

#[test]
fn scripts_are_sound_shell() {
    if !has("shellcheck") {
        return;
    }
    let mut all: Vec<_> =
        script("").read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert!(all.len() > 3, "{all:?}");
    let mut command = Command::new("shellcheck");
    command.args(all);
    passes(command);
}

#[test]
fn in_a_year_no_reading_tenant_is_locked_out() {
    if !has("jq") || !has("curl") {
        return;
    }
    let mut command = Command::new("bash");
    // Between the pipeline's runs too, for that is when a secret would end.
    command
        .arg(script("year"))
        .arg("10")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TENANTRY", env!("CARGO_BIN_EXE_tenantry"));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{said}");
    assert!(text.ends_with("and each could be read each time.\n"), "{text}");
    let rows: Vec<_> = text.lines().filter(|line| line.contains("renewed")).collect();
    assert_eq!(rows.len(), 20, "{text}");
    // It would be no wonder if nothing had ended meanwhile.
    let made = |row: &&str| row.contains("add-secret");
    assert!(rows.iter().copied().filter(|row| made(row)).count() > 4, "{text}");
    assert!(rows.iter().all(|row| row.matches(" yes ").count() == 6), "{text}");
}
