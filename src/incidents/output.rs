//! Where lines go, and what of them arrived.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    os::{fd::BorrowedFd, unix::fs::MetadataExt},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{TenantId, TenantKey};

/// The file that a run writes its lines to, as far as it is one: of a pipe nothing can be known
/// later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Output {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<OutputFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OutputFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// How long it was before.
    from: u64,
}

/// An incident that stands in an output: whose it is, its id, and when it last changed.
pub(super) type Handed = (TenantKey, TenantId, String, String);

impl Output {
    /// What stands behind an open descriptor, such as standard output.
    pub fn of(descriptor: BorrowedFd<'_>) -> Self {
        let file = (|| {
            let file = File::from(descriptor.try_clone_to_owned().ok()?);
            let known = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
            // Only Linux tells the name of an open file; elsewhere nothing can be looked up later.
            let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&descriptor));
            let path = std::fs::read_link(link).ok()?;
            let (device, inode, from) = (known.dev(), known.ino(), known.len());
            Some(OutputFile { path, device, inode, from })
        })();
        Self { file }
    }

    /// The incidents that arrived in it; a line that was cut is taken out, so that the next run
    /// can write it whole. Nothing where the file is gone, or is another.
    pub(super) fn reconcile(&self) -> io::Result<Vec<Handed>> {
        let Some(OutputFile { path, device, inode, from }) = &self.file else {
            return Ok(Vec::new());
        };
        let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else {
            return Ok(Vec::new());
        };
        let known = file.metadata()?;
        if (known.dev(), known.ino()) != (*device, *inode) || known.len() < *from {
            return Ok(Vec::new());
        }
        let mut reader = BufReader::new(&file);
        reader.seek(SeekFrom::Start(*from))?;
        let (mut all, mut whole, mut bytes) = (Vec::new(), *from, Vec::new());
        while reader.read_until(b'\n', &mut bytes)? > 0 {
            if bytes.last() == Some(&b'\n') {
                whole += bytes.len() as u64;
                all.extend(handed(&bytes));
            } else if bytes.starts_with(BEGINS) {
                file.set_len(whole)?;
            }
            bytes.clear();
        }
        Ok(all)
    }
}

/// How each of our lines begins.
const BEGINS: &[u8] = br#"{"tenantKey":"#;

fn handed(line: &[u8]) -> Option<Handed> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let text = |names: &[&str]| names.iter().find_map(|name| line.get(*name)?.as_str());
    let id = line.get("id").or(line.get("incidentId"))?;
    Some((
        text(&["tenantKey"])?.parse().ok()?,
        text(&["tenantId"])?.parse().ok()?,
        id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|id| id.to_string()))?,
        text(&["lastUpdateDateTime", "lastUpdateTime"])?.to_owned(),
    ))
}
