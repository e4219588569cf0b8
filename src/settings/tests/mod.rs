//! Tests of the settings as a whole.

mod changing;
mod loading;
mod mistaken;
mod secrets;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{EffectiveSetting, Mistakes, Settings, Sources, load};

/// A key that is none of anybody's.
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// An environment to change, and a directory for its files.
struct Ground {
    directory: TempDir,
    variables: BTreeMap<String, String>,
}

impl Ground {
    fn new(variables: &[(&str, &str)]) -> Self {
        let owned =
            |(name, value): &(&str, &str)| (format!("PROMOTERD_{name}"), (*value).to_owned());
        Self {
            directory: tempfile::tempdir().unwrap(),
            variables: variables.iter().map(owned).collect(),
        }
    }

    /// Three voters, one group and one client, all on this machine.
    fn good() -> Self {
        Self::new(&[
            ("NODE", "a"),
            (
                "PEERS",
                "a=127.0.0.1:7400,b=127.0.0.2:7400,c=127.0.0.3:7400",
            ),
            (
                "GROUPS__FEATURES__INSTANCES",
                "127.0.0.1:6379,127.0.0.2:6379",
            ),
            ("CLIENTS__API__FILE", "/etc/api/redis.env"),
            ("CLIENTS__API__EDIT", "REDIS_URL"),
        ])
    }

    fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables
            .insert(format!("PROMOTERD_{name}"), value.to_owned());
        self
    }

    fn unset(&mut self, name: &str) -> &mut Self {
        assert!(
            self.variables
                .remove(&format!("PROMOTERD_{name}"))
                .is_some(),
            "{name}"
        );
        self
    }

    /// Writes a file that only its owner can read.
    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Writes a file and names it in a variable.
    fn write_for(&mut self, variable: &str, name: &str, content: &[u8]) -> PathBuf {
        let path = self.write(name, content);
        self.set(variable, path.to_str().unwrap());
        path
    }

    fn config(&mut self, content: &str) -> PathBuf {
        self.write_for("CONFIG", "promoterd.toml", content.as_bytes())
    }

    fn sources(&self) -> Sources {
        Sources::new(self.variables.clone(), "host-1")
    }

    fn load(&self) -> Result<Settings, Mistakes> {
        load(&self.sources())
    }

    /// All mistakes, one a line, with the directory of the test as `DIR`.
    fn mistakes(&self) -> Vec<String> {
        let mistakes = self.load().err().map(|mistakes| mistakes.to_string());
        let text = mistakes.unwrap_or_default();
        let text = text.replace(self.directory.path().to_str().unwrap(), "DIR");
        text.lines()
            .skip(1)
            .map(|line| line.trim().to_owned())
            .collect()
    }
}

fn effective<'a>(settings: &'a Settings, name: &str) -> &'a EffectiveSetting {
    let key = format!("PROMOTERD_{name}");
    let mut found = settings
        .effective()
        .iter()
        .filter(|setting| setting.key == key);
    let setting = found.next().unwrap_or_else(|| panic!("{key} is effective"));
    assert!(found.next().is_none(), "{key} is there once");
    setting
}
