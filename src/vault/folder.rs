//! The vault in a folder: one file per app. Everything here blocks.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fs,
    hash::{Hash as _, Hasher as _},
    io,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

use age::x25519;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{AppKey, FleetName, Nonce, TenantKey, VaultId},
    secret::Secret,
    vault::{
        credential::NewRefreshToken,
        disk,
        error::{Damage, VaultError},
        format::{self, AppFile},
        keys,
        record::{Contradiction, Record, Records},
        seal::{self, Label, NotOpened},
        tenant::TenantSeen,
    },
};

mod erase;

/// How the file of an app ends.
const APP_FILE: &str = ".age";
/// Bigger than any fleet's: 10,000 tenants of one shared app, with their tokens, take a third.
const LONGEST_FILE: u64 = 128 << 20;
/// Writes that may be in the air at once; more do not make a disk faster.
const WRITERS: usize = 16;

/// `vault.json`: which vault this is, and to whom values are sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct About {
    format_version: u32,
    pub(super) id: VaultId,
    pub(super) fleet: String,
    pub(super) created: Timestamp,
    pub(super) recipients: Vec<String>,
}

impl About {
    const FORMAT: u32 = 1;

    pub(super) fn new(id: VaultId, fleet: &FleetName, recipients: Vec<String>) -> Self {
        let created = Timestamp::now();
        Self { format_version: Self::FORMAT, id, fleet: fleet.to_string(), created, recipients }
    }
}

/// A vault's folder, opened.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) about: About,
    recipients: Vec<x25519::Recipient>,
    /// Steps of different apps run side by side, and tenants of one shared app too: whoever
    /// changes a file holds its app's turn from reading to renaming.
    turns: [Mutex<()>; 64],
}

impl Folder {
    /// Opens what is there.
    pub(super) fn open(path: &Path, fleet: &FleetName) -> Result<Self, VaultError> {
        let about_path = about_file(path);
        let bytes = match fs::read(&about_path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(match app_files(path)?.len() {
                    0 => VaultError::Missing { place: path.into() },
                    records => VaultError::Headless {
                        place: path.into(),
                        records,
                        head: "vault.json".to_owned(),
                    },
                });
            }
            Err(error) => return Err(VaultError::disk("read", about_path)(error)),
        };
        let about: About = serde_json::from_slice(&bytes)
            .map_err(|error| VaultError::damaged(&about_path, error.to_string()))?;
        if about.format_version != About::FORMAT {
            return Err(VaultError::damaged(
                about_path,
                format!("a newer tenantry wrote it (format {})", about.format_version),
            ));
        }
        if about.fleet != fleet.as_str() {
            return Err(VaultError::OtherFleet {
                place: path.into(),
                found: about.fleet,
                wanted: fleet.clone(),
            });
        }
        if about.recipients.is_empty() {
            return Err(VaultError::damaged(about_path, "it names no recipient"));
        }
        Self::of(path, about)
    }

    /// Makes one where there is none.
    pub(super) fn make(path: &Path, about: About) -> Result<Self, VaultError> {
        disk::make_folder(path).map_err(VaultError::disk("make", path))?;
        let folder = Self::of(path, about)?;
        let mut json = serde_json::to_vec_pretty(&folder.about).expect("it is plain text");
        json.push(b'\n');
        // Last, and only if it is not there: the file that makes a folder a vault.
        disk::create(path, &about_file(path), &json).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => VaultError::Exists { place: path.into() },
            _ => VaultError::disk("write", about_file(path))(error),
        })?;
        Ok(folder)
    }

    fn of(path: &Path, about: About) -> Result<Self, VaultError> {
        let recipients =
            about.recipients.iter().map(|text| keys::recipient(text)).collect::<Result<_, _>>()?;
        let turns = std::array::from_fn(|_| Mutex::new(()));
        Ok(Self { path: path.to_owned(), about, recipients, turns })
    }

    /// The file of an app.
    pub(super) fn file_of(&self, app: &AppKey) -> PathBuf {
        self.path.join(format!("{app}{APP_FILE}"))
    }

    /// Every record that can be read, and every file that cannot.
    pub(super) fn survey(&self) -> Result<(Records, Vec<Damage>), VaultError> {
        let files = app_files(&self.path)?;
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        let share = files.len().div_ceil(workers).max(1);
        let read = |path: &PathBuf| -> Result<Option<Record>, VaultError> {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let app = name
                .trim_end_matches(APP_FILE)
                .parse()
                .map_err(|_| VaultError::damaged(path, "it is not named after an app's key"))?;
            Ok(self.load(&app)?.map(|file| file.record))
        };
        let parts: Vec<Result<_, VaultError>> = thread::scope(|scope| {
            let threads: Vec<_> = files
                .chunks(share)
                .map(|files| scope.spawn(move || files.iter().map(read).collect::<Vec<_>>()))
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| match thread.join() {
                    Ok(read) => read,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        });
        let (mut records, mut damages) = (Records::new(), Vec::new());
        for part in parts {
            match part {
                Ok(Some(record)) => {
                    records.insert(record.app.clone(), record);
                }
                // Removed since the folder was listed.
                Ok(None) => {}
                Err(VaultError::Damaged(damage)) => damages.extend(damage),
                Err(other) => return Err(other),
            }
        }
        damages.sort_by(|one, other| one.place.cmp(&other.place));
        Ok((records, damages))
    }

    /// One app's file, if there is one.
    pub(super) fn load(&self, app: &AppKey) -> Result<Option<AppFile>, VaultError> {
        let path = self.file_of(app);
        let Some(bytes) = read_bounded(&path)? else { return Ok(None) };
        format::read(self.about.id, app, &bytes)
            .map(Some)
            .map_err(|why| VaultError::damaged(path, why))
    }

    /// One app's file, which must be there.
    fn must_load(&self, app: &AppKey) -> Result<AppFile, VaultError> {
        self.load(app)?.ok_or_else(|| VaultError::NoRecord { app: app.clone() })
    }

    /// Writes a record beside the values that are there.
    pub(super) fn write_record(&self, record: &Record) -> Result<(), VaultError> {
        let _turn = self.turn(&record.app);
        let old = self.load(&record.app)?;
        let values = match &old {
            Some(old) => old.values.clone(),
            None => BTreeMap::new(),
        };
        self.save(old.as_ref(), &AppFile { record: record.clone(), values })
    }

    /// Changes a record that is there, whatever others have changed in it meanwhile.
    pub(super) fn change(
        &self,
        app: &AppKey,
        change: impl FnOnce(&mut Record),
    ) -> Result<Record, VaultError> {
        let _turn = self.turn(app);
        let old = self.must_load(app)?;
        let mut new = old.clone();
        change(&mut new.record);
        if new != old {
            self.save(Some(&old), &new)?;
        }
        Ok(new.record)
    }

    /// Writes a record and the value of one of its credentials in one go; gives back the sealed
    /// block, to be looked for when the file is read back.
    pub(super) fn store_value(
        &self,
        record: &Record,
        nonce: &Nonce,
        value: &Secret<String>,
    ) -> Result<String, VaultError> {
        let _turn = self.turn(&record.app);
        let path = self.file_of(&record.app);
        let label = self.label(record, nonce)?;
        let block = seal::seal(&self.recipients, &label, value)
            .map_err(|error| VaultError::disk("seal a value for", path)(io::Error::other(error)))?;
        let old = self.load(&record.app)?;
        let mut values = old.as_ref().map(|old| old.values.clone()).unwrap_or_default();
        values.insert(nonce.clone(), block.clone());
        self.save(old.as_ref(), &AppFile { record: record.clone(), values })?;
        Ok(block)
    }

    /// Puts a new refresh token in the place of the tenant's old one. `identities` are the keys at
    /// hand, if there are any: with them the sealed token is opened before the old one goes.
    pub(super) fn keep_refresh_token(
        &self,
        app: &AppKey,
        new: NewRefreshToken,
        identities: &[x25519::Identity],
    ) -> Result<Nonce, VaultError> {
        let _turn = self.turn(app);
        let path = self.file_of(app);
        let old = self.must_load(app)?;
        let mut file = old.clone();
        let value = new.value.clone();
        let (nonce, gone) = file.record.exchange_token(new).map_err(|why| contradicts(app, why))?;
        file.values.retain(|nonce, _| Some(nonce) != gone.as_ref());
        let label = self.label(&file.record, &nonce)?;
        let block = seal::seal(&self.recipients, &label, &value).map_err(|error| {
            VaultError::disk("seal a value for", &path)(io::Error::other(error))
        })?;
        if !identities.is_empty()
            && *self.open_block(app, identities, &block, &label)?.expose() != *value.expose()
        {
            return Err(VaultError::ReadBack { place: path.into() });
        }
        file.values.insert(nonce.clone(), block);
        // What is written is read back whole.
        self.save(Some(&old), &file)?;
        Ok(nonce)
    }

    /// Drops a tenant's refresh token, if there is one.
    pub(super) fn forget_refresh_token(
        &self,
        app: &AppKey,
        tenant: &TenantKey,
    ) -> Result<bool, VaultError> {
        let _turn = self.turn(app);
        let old = self.must_load(app)?;
        let mut file = old.clone();
        let Some(gone) = file.record.forget_token(tenant) else { return Ok(false) };
        file.values.remove(&gone);
        self.save(Some(&old), &file)?;
        Ok(true)
    }

    /// Writes a record and drops the values of which it no longer speaks.
    pub(super) fn drop_values(&self, record: &Record) -> Result<(), VaultError> {
        let _turn = self.turn(&record.app);
        let old = self.must_load(&record.app)?;
        let mut values = old.values.clone();
        values.retain(|nonce, _| {
            record.credential(nonce).is_some_and(|credential| credential.state.has_value())
        });
        self.save(Some(&old), &AppFile { record: record.clone(), values })
    }

    /// The sealed value of a credential and what it must say of itself.
    pub(super) fn block(&self, app: &AppKey, nonce: &Nonce) -> Result<(String, Label), VaultError> {
        let mut file = self.must_load(app)?;
        let Some(block) = file.values.remove(nonce) else {
            return Err(VaultError::NoValue { app: app.clone(), nonce: nonce.clone() });
        };
        Ok((block, self.label(&file.record, nonce)?))
    }

    /// Opens a block of this app's file.
    pub(super) fn open_block(
        &self,
        app: &AppKey,
        identities: &[x25519::Identity],
        block: &str,
        label: &Label,
    ) -> Result<Secret<String>, VaultError> {
        seal::open(identities, label, block).map_err(|error| {
            let why = match error {
                // The key was checked against the recipients: the block is for others.
                NotOpened::NoMatchingKey => "a value of it is sealed to other keys".to_owned(),
                NotOpened::Broken(why) => format!("a value of it is broken: {why}"),
                NotOpened::Misplaced(why) => format!("a value of it is out of place: {why}"),
            };
            VaultError::damaged(self.file_of(app), why)
        })
    }

    /// Remembers what a run saw of many tenants; only files that change are written.
    pub(super) fn remember(
        &self,
        seen: &BTreeMap<AppKey, Vec<TenantSeen>>,
        at: Timestamp,
    ) -> Result<usize, VaultError> {
        let work: Vec<_> = seen.iter().collect();
        let share = work.len().div_ceil(WRITERS).max(1);
        let remember = |(app, tenants): &(&AppKey, &Vec<TenantSeen>)| -> Result<bool, VaultError> {
            let _turn = self.turn(app);
            // An app that the vault does not know has nothing to be compared with later.
            let Some(old) = self.load(app)? else { return Ok(false) };
            let mut new = old.clone();
            for tenant in *tenants {
                new.record.remember(tenant, at).map_err(|why| contradicts(app, why))?;
            }
            if new == old {
                return Ok(false);
            }
            self.put(&new)?;
            Ok(true)
        };
        // Side by side, because each waits for the disk and the disk takes many at once.
        let written: Result<Vec<bool>, VaultError> = thread::scope(|scope| {
            let threads: Vec<_> = work
                .chunks(share)
                .map(|part| scope.spawn(move || part.iter().map(remember).collect::<Vec<_>>()))
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| match thread.join() {
                    Ok(written) => written,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        });
        disk::sync_folder(&self.path).map_err(VaultError::disk("sync", &self.path))?;
        Ok(written?.into_iter().filter(|written| *written).count())
    }

    /// Whether a file can be written here.
    pub(super) fn check_writable(&self) -> Result<(), VaultError> {
        disk::prepare(&self.path, &[0; 4096])
            .and_then(|prepared| prepared.sync())
            .map_err(VaultError::disk("write into", &self.path))
    }

    fn label(&self, record: &Record, nonce: &Nonce) -> Result<Label, VaultError> {
        let credential = record.credential(nonce).ok_or_else(|| {
            contradicts(&record.app, Contradiction::ValueUnclaimed(nonce.clone()))
        })?;
        Label::of(record, credential)
            .ok_or_else(|| contradicts(&record.app, Contradiction::ValueWithoutClientId))
    }

    /// Writes a file that goes together with itself and with the one before it.
    fn save(&self, old: Option<&AppFile>, new: &AppFile) -> Result<(), VaultError> {
        let app = &new.record.app;
        new.record.check(new.values.keys()).map_err(|why| contradicts(app, why))?;
        if let Some(old) = old {
            for nonce in
                new.values.keys().filter(|nonce| new.values.get(*nonce) == old.values.get(*nonce))
            {
                if self.label(&old.record, nonce)? != self.label(&new.record, nonce)? {
                    return Err(contradicts(app, Contradiction::ValuesOfAnother));
                }
            }
        }
        self.put(new)?;
        disk::sync_folder(&self.path).map_err(VaultError::disk("sync", &self.path))
    }

    /// Puts a file in its place and reads it back; its folder is not synced yet.
    fn put(&self, file: &AppFile) -> Result<(), VaultError> {
        let path = self.file_of(&file.record.app);
        let text = format::write(self.about.id, file);
        disk::prepare(&self.path, text.as_bytes())
            .and_then(|prepared| {
                prepared.sync()?;
                prepared.put(&path)
            })
            .map_err(VaultError::disk("write", &path))?;
        match read_bounded(&path)? {
            Some(back) if back == text.as_bytes() => Ok(()),
            Some(_) | None => Err(VaultError::ReadBack { place: path.into() }),
        }
    }

    fn turn(&self, app: &AppKey) -> impl Drop + use<'_> {
        let mut hasher = DefaultHasher::new();
        app.hash(&mut hasher);
        let turn = usize::try_from(hasher.finish() % self.turns.len() as u64).unwrap_or(0);
        // What it guards is on the disk and always whole: a panic elsewhere does not spoil it.
        self.turns[turn].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn contradicts(app: &AppKey, why: Contradiction) -> VaultError {
    VaultError::Contradicts { app: app.clone(), why }
}

/// The file that makes a folder a vault.
pub(super) fn about_file(path: &Path) -> PathBuf {
    path.join("vault.json")
}

/// Every file that is an app's by its name; none where there is no folder.
fn app_files(path: &Path) -> Result<Vec<PathBuf>, VaultError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(VaultError::disk("list", path)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(VaultError::disk("list", path))?.path();
        if file.extension().is_some_and(|extension| extension == &APP_FILE[1..]) {
            files.push(file);
        }
    }
    Ok(files)
}

fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, VaultError> {
    match fs::metadata(path) {
        Ok(about) if about.len() > LONGEST_FILE => {
            return Err(VaultError::damaged(path, "it is larger than any vault's file"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(VaultError::disk("read", path)(error)),
    }
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(VaultError::disk("read", path)(error)),
    }
}
