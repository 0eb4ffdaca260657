//! What `init` writes.

use std::str::FromStr;

use crate::{cloud::CloudName, ids::FleetName};

use super::{DirectoryName, mistakes::Wrong, read::Leaf};

/// A commented manifest to start from; valid as it stands, also with its examples uncommented.
///
/// # Errors
/// Says, in one line, why `home` is not a directory's GUID or domain.
pub fn starter(fleet: &FleetName, home: &str) -> Result<String, String> {
    starter_in(fleet, home, CloudName::Global)
}

/// The same for another cloud.
///
/// # Errors
/// As [`starter`]'s.
pub(super) fn starter_in(
    fleet: &FleetName,
    home: &str,
    cloud: CloudName,
) -> Result<String, String> {
    let home: DirectoryName = home.parse()?;
    // A GUID is no part of an address; the examples stay examples.
    let domain = match &home {
        DirectoryName::Domain(domain) => domain.clone(),
        DirectoryName::Id(_) => "my-soc.example".to_owned(),
    };
    Ok(include_str!("starter.yaml")
        .replace("tenant: @home@ ", &format!("tenant: {home} "))
        .replace("@@home@", &format!("@{domain}"))
        .replace("@home@", &domain)
        .replace("cloud: global ", &format!("cloud: {cloud} "))
        .replace("@fleet@", fleet.as_str()))
}

impl FromStr for DirectoryName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::take(text.to_owned()).map_err(Wrong::into_line)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::manifest::parse;

    use super::*;

    #[test]
    fn the_starter_is_valid_and_so_are_its_examples() {
        for home in ["my-soc.example", "6f1c0f5e-0000-4000-8000-000000000001"] {
            let text = starter(&"my-soc".parse().unwrap(), home).unwrap();
            assert!(!text.contains("@fleet@") && !text.contains("@home@"), "{text}");
            let manifest =
                parse(vec![(PathBuf::from("t.yaml"), text.clone().into_bytes())]).unwrap();
            assert_eq!(manifest.home.tenant.to_string(), home);
            assert_eq!(manifest.tenants.len(), 1);

            let open = text
                .replace("# sharedApps:", "sharedApps:")
                .replace("\n#     ", "\n    ")
                .replace("\n#   siem-shared", "\n  siem-shared")
                .replace("\n  # ", "\n  ");
            let open = open.replace("  keyVault:", "  # keyVault:");
            let manifest = parse(vec![(PathBuf::from("t.yaml"), open.clone().into_bytes())])
                .unwrap_or_else(|m| panic!("{}\n{open}", m.render(false, 100)));
            assert_eq!(manifest.tenants.len(), 3);
        }
    }

    #[test]
    fn a_home_that_is_no_directory_is_refused() {
        assert!(starter(&"my-soc".parse().unwrap(), "my soc").is_err());
    }
}
