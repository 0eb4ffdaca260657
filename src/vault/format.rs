//! The text of one app's file: pure, from text to record and values and back.
//!
//! ```text
//! tenantry vault 1 <vault id>
//! {                                      the header: JSON, one line a credential and a tenant,
//!   "app": "contoso",                    so that it can be searched and compared line by line
//!   …
//! }
//! value 0123456789abcdef                 then a block for each value, named by its nonce
//! -----BEGIN AGE ENCRYPTED FILE-----
//! …
//! -----END AGE ENCRYPTED FILE-----
//! end sha256:…                           of every byte above: finds bit rot and merges by machine,
//! ```                                    also where no key is there to find them
//!
//! Whoever wants to change a file changes it through tenantry: the reader takes nothing that the
//! writer would not have written.

use std::{collections::BTreeMap, io};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    ids::{AppKey, Nonce, VaultId},
    vault::record::Record,
};

/// What opens every file; the number is the version of the format.
const MAGIC: &str = "tenantry vault 1 ";
const VALUE: &str = "value ";
const END: &str = "end sha256:";
const ARMOR_BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const ARMOR_END: &str = "-----END AGE ENCRYPTED FILE-----";

/// A file's content: the record, and the sealed values by nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AppFile {
    /// The clear header.
    pub(super) record: Record,
    /// Armored age files, each ending in a newline.
    pub(super) values: BTreeMap<Nonce, String>,
}

/// Writes a file's text. The caller has checked that record and values agree.
pub(super) fn write(vault: VaultId, file: &AppFile) -> String {
    let mut text = format!("{MAGIC}{vault}\n{}\n", header(&file.record));
    for (nonce, armored) in &file.values {
        text.push_str(&format!("{VALUE}{nonce}\n{armored}"));
    }
    let digest = digest(text.as_bytes());
    text.push_str(&format!("{END}{digest}\n"));
    text
}

/// Reads a file's text as the file of `app` in `vault`.
///
/// # Errors
/// In words, what is wrong with it; never any of its content beyond ids.
pub(super) fn read(vault: VaultId, app: &AppKey, bytes: &[u8]) -> Result<AppFile, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let Some(rest) = text.strip_prefix(MAGIC) else {
        return Err(if text.starts_with("tenantry vault ") {
            "a newer tenantry wrote it".to_owned()
        } else {
            "it does not begin like a file of a vault".to_owned()
        });
    };
    check_end(text)?;
    let mut lines = Lines { rest };
    let found = lines.next()?;
    if found.parse() != Ok(vault) {
        return Err(format!("it belongs to another vault ({found}), not to {vault}"));
    }
    let record = read_header(&mut lines)?;
    if record.app != *app {
        return Err(format!("it is the file of app {}, under another name", record.app));
    }
    let values = read_values(&mut lines)?;
    record.check(values.keys()).map_err(|why| why.to_string())?;
    Ok(AppFile { record, values })
}

/// Whether the last line is the digest of all before it.
fn check_end(text: &str) -> Result<(), String> {
    let cut = || "it ends too early".to_owned();
    let body = text.strip_suffix('\n').ok_or_else(cut)?;
    let at = body.rfind('\n').ok_or_else(cut)? + 1;
    let told = body[at..].strip_prefix(END).ok_or_else(cut)?;
    if told == digest(&text.as_bytes()[..at]) {
        Ok(())
    } else {
        Err("it was changed after it was written (its checksum differs)".to_owned())
    }
}

/// The header is everything up to the first line that is only a closing brace: inner ones are
/// indented, and JSON strings hold no line ends.
fn read_header(lines: &mut Lines<'_>) -> Result<Record, String> {
    let start = lines.rest;
    while lines.next()? != "}" {}
    let json = &start[..start.len() - lines.rest.len()];
    serde_json::from_str(json).map_err(|error| format!("its header cannot be read: {error}"))
}

fn read_values(lines: &mut Lines<'_>) -> Result<BTreeMap<Nonce, String>, String> {
    let mut values = BTreeMap::new();
    loop {
        let line = lines.next()?;
        if line.starts_with(END) {
            // Its digest covers everything above it, and it is the last line of the file; one that
            // stands earlier leaves a rest.
            return if lines.rest.is_empty() {
                Ok(values)
            } else {
                Err("something stands below its last line".to_owned())
            };
        }
        let nonce: Nonce = line
            .strip_prefix(VALUE)
            .and_then(|nonce| nonce.parse().ok())
            .ok_or("a line of it is neither a value nor the end")?;
        let start = lines.rest;
        if lines.next()? != ARMOR_BEGIN {
            return Err(format!("the value {nonce} does not begin like an age file"));
        }
        while lines.next()? != ARMOR_END {}
        let armored = &start[..start.len() - lines.rest.len()];
        if values.insert(nonce.clone(), armored.to_owned()).is_some() {
            return Err(format!("the value {nonce} stands there twice"));
        }
    }
}

/// Lines that all end in a newline; a last one without is a file that was cut.
struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a str, String> {
        let (line, rest) = self.rest.split_once('\n').ok_or("it ends too early")?;
        self.rest = rest;
        Ok(line)
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn header(record: &Record) -> String {
    let mut out = Vec::with_capacity(1024);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Rows::default());
    record
        .serialize(&mut serializer)
        .expect("a record has text keys only, and memory does not refuse a write");
    String::from_utf8(out).expect("serde_json writes UTF-8")
}

/// Lays JSON out so that a difference is read at a glance: one line for each member of the record,
/// one for each credential and each tenant.
#[derive(Default)]
struct Rows {
    depth: usize,
    /// For each open array or object: whether something stands in it yet.
    filled: Vec<bool>,
}

impl Rows {
    /// Members of the record stand at depth 1, credentials and tenants at 2.
    const DEEPEST_ROW: usize = 2;

    fn open(&mut self, out: &mut (impl io::Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled.push(false);
        out.write_all(bracket)
    }

    fn close(&mut self, out: &mut (impl io::Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        let rows = self.depth <= Self::DEEPEST_ROW;
        self.depth -= 1;
        if self.filled.pop() == Some(true) && rows {
            self.new_row(out)?;
        }
        out.write_all(bracket)
    }

    fn member(&mut self, out: &mut (impl io::Write + ?Sized), first: bool) -> io::Result<()> {
        if let Some(filled) = self.filled.last_mut() {
            *filled = true;
        }
        if !first {
            out.write_all(b",")?;
        }
        if self.depth <= Self::DEEPEST_ROW {
            self.new_row(out)
        } else if first {
            Ok(())
        } else {
            out.write_all(b" ")
        }
    }

    fn new_row(&self, out: &mut (impl io::Write + ?Sized)) -> io::Result<()> {
        write!(out, "\n{:width$}", "", width = 2 * self.depth)
    }
}

impl serde_json::ser::Formatter for Rows {
    fn begin_array<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"[")
    }
    fn end_array<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"]")
    }
    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.member(out, first)
    }
    fn begin_object<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"{")
    }
    fn end_object<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"}")
    }
    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.member(out, first)
    }
    fn begin_object_value<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::testing::{full_record, sealed, vault_id};

    fn file() -> AppFile {
        let record = full_record("contoso");
        let values = record
            .credentials
            .iter()
            .filter(|credential| credential.state.has_value())
            .map(|credential| (credential.nonce.clone(), sealed()))
            .collect();
        AppFile { record, values }
    }

    fn app() -> AppKey {
        "contoso".parse().unwrap()
    }

    /// The text with its last line made right again, as somebody who wants to deceive would.
    fn resigned(text: &str) -> String {
        let body = &text[..text.rfind(END).unwrap()];
        format!("{body}{END}{}\n", digest(body.as_bytes()))
    }

    #[test]
    fn what_is_written_reads_back() {
        let file = file();
        let text = write(vault_id(), &file);
        assert_eq!(read(vault_id(), &app(), text.as_bytes()), Ok(file.clone()));
        let empty = AppFile {
            record: Record::new(app(), file.record.directory, file.record.unique_name),
            values: BTreeMap::new(),
        };
        let text = write(vault_id(), &empty);
        assert_eq!(read(vault_id(), &app(), text.as_bytes()), Ok(empty));
    }

    #[test]
    fn the_header_has_a_line_for_each_credential_and_tenant() {
        let file = file();
        let text = write(vault_id(), &file);
        for credential in &file.record.credentials {
            let row = format!("    {{\"nonce\": \"{}\", \"kind\": \"secret\"", credential.nonce);
            assert_eq!(text.lines().filter(|line| line.starts_with(&row)).count(), 1, "{text}");
        }
        assert!(text.lines().any(|line| line.starts_with("    \"contoso\": {\"id\": ")), "{text}");
        assert!(text.lines().any(|line| line == "  \"app\": \"contoso\","), "{text}");
    }

    #[test]
    fn every_prefix_is_an_error_and_so_is_every_changed_byte() {
        let text = write(vault_id(), &file()).into_bytes();
        for end in 0..text.len() {
            assert!(read(vault_id(), &app(), &text[..end]).is_err(), "cut at {end}");
        }
        for at in 0..text.len() {
            let mut garbled = text.clone();
            garbled[at] ^= 1;
            assert!(read(vault_id(), &app(), &garbled).is_err(), "changed at {at}");
        }
        let mut longer = text.clone();
        longer.push(b'\n');
        assert!(read(vault_id(), &app(), &longer).is_err());
    }

    #[test]
    fn what_no_writer_would_write_is_refused_even_with_a_right_checksum() {
        let file = file();
        let text = write(vault_id(), &file);
        let nonce = file.values.keys().next().unwrap();
        let value = format!("{VALUE}{nonce}\n{}", file.values[nonce]);
        let why = |changed: String| {
            assert_ne!(changed, text);
            read(vault_id(), &app(), resigned(&changed).as_bytes()).unwrap_err()
        };
        assert!(why(text.replacen(&value, &value.repeat(2), 1)).contains("twice"));
        assert!(why(text.replacen(&value, "", 1)).contains("none is there"));
        let stray = value.replacen(nonce.as_str(), "0123456789abcdef", 1);
        assert!(why(text.replacen(&value, &format!("{value}{stray}"), 1)).contains("has none"));
        assert!(why(text.replace("\"stored\"", "\"intended\"")).contains("has none"));
        assert!(why(text.replace("\"app\":", "\"colour\": 1, \"app\":")).contains("unknown field"));
        assert!(why(text.replace("\"contoso\",", "\"fabrikam\",")).contains("fabrikam"));
        assert!(why(text.replace("tenantry vault 1 ", "tenantry vault 2 ")).contains("newer"));
        let other = VaultId::from_uuid(uuid::Uuid::new_v4()).to_string();
        assert!(why(text.replace(&vault_id().to_string(), &other)).contains("another vault"));
        assert!(why(text.replacen(ARMOR_BEGIN, "-----BEGIN-----", 1)).contains("does not begin"));
        let end = &text[text.rfind(END).unwrap()..];
        assert!(why(text.replacen(&value, &format!("{end}{value}"), 1)).contains("below"));
    }

    proptest::proptest! {
        /// Whatever stands in a file, with or without a right checksum, reading it ends.
        #[test]
        fn no_text_makes_the_reader_panic(
            noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
            share in 0.0..1.0_f64,
        ) {
            let text = write(vault_id(), &file());
            let at = (text.len() as f64 * share) as usize;
            let mut garbled = text.into_bytes();
            let end = garbled.len().min(at + noise.len());
            garbled.splice(at..end, noise);
            let _ = read(vault_id(), &app(), &garbled);
            if let Ok(text) = String::from_utf8(garbled)
                && text.contains(END)
            {
                let _ = read(vault_id(), &app(), resigned(&text).as_bytes());
            }
        }
    }
}
