//! A part of a fleet, for a job that is one of several: by the app's key alone, so that every
//! machine cuts the same way and a fleet that grows moves nothing else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::AppKey;

/// The most shards that a fleet is cut into.
const MOST: u16 = 1_000;

/// The `index`-th of `of` parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: u16,
    of: u16,
}

impl Shard {
    /// Which one; from 1.
    pub fn index(self) -> u16 {
        self.index
    }

    /// Of how many.
    pub fn of(self) -> u16 {
        self.of
    }

    /// All parts of the same cut.
    pub fn all(self) -> impl Iterator<Item = Self> {
        (1..=self.of).map(move |index| Self { index, of: self.of })
    }

    /// Whether an app, with all its tenants, is in it.
    pub fn holds(self, app: &AppKey) -> bool {
        let digest = Sha256::digest(app.as_str().as_bytes());
        let first: [u8; 8] = digest[..8].try_into().unwrap_or_default();
        u64::from_be_bytes(first) % u64::from(self.of) == u64::from(self.index - 1)
    }

    /// Whether the two have apps in common.
    pub fn meets(self, other: Self) -> bool {
        self.of != other.of || self.index == other.index
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("write it like 3/8, from 1/1 to {MOST}/{MOST}");
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let number = |text: &str| {
            Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
        };
        let (index, of) = number(index).zip(number(of)).ok_or_else(wrong)?;
        if index == 0 || index > of || of > MOST {
            return Err(wrong());
        }
        Ok(Self { index, of })
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_app_is_in_one_part_and_parts_are_of_like_size() {
        for of in [1, 2, 8, 13] {
            let mut sizes = vec![0; usize::from(of)];
            for n in 0..2_000 {
                let app: AppKey = format!("customer-{n}").parse().unwrap();
                let holding: Vec<u16> =
                    (1..=of).filter(|index| Shard { index: *index, of }.holds(&app)).collect();
                assert_eq!(holding.len(), 1);
                sizes[usize::from(holding[0]) - 1] += 1;
            }
            let fair = 2_000 / i32::from(of);
            assert!(sizes.iter().all(|size| (size - fair).abs() < fair / 2), "{of}: {sizes:?}");
        }
    }

    #[test]
    fn the_cut_is_the_same_for_ever() {
        let keys = ["contoso", "fabrikam", "tailspin", "siem-eu", "adatum"];
        let cut = keys.map(|key| {
            let app = key.parse().unwrap();
            (1..=8).find(|index| Shard { index: *index, of: 8 }.holds(&app)).unwrap()
        });
        assert_eq!(cut, CUT);
    }

    /// By `printf %s KEY | sha256sum`: the first sixteen digits, modulo eight, plus one.
    const CUT: [u16; 5] = [4, 7, 5, 7, 7];

    #[test]
    fn what_is_no_part_is_refused() {
        for wrong in
            ["", "0/8", "9/8", "1/0", "1/1001", "+1/8", "1/ 8", "1", "1/8/2", "-1/8", "a/b"]
        {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        assert_eq!("3/8".parse::<Shard>().unwrap().to_string(), "3/8");
    }
}
