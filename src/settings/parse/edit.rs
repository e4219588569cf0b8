//! What to change in a client's file: keys of an env file, or paths; `KEY=replicas` lists where to read.

use std::str::FromStr;

use super::{InvalidValue, quote};
use crate::clients::{KeyPath, split_paths};

/// What stands behind the key of a list.
const LIST: &str = "=replicas";

/// Names of variables in an env file, by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct EnvKeys(pub(in crate::settings) EditPaths);

/// Paths to values in a document, by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct EditPaths {
    /// Those whose values name the master.
    pub(in crate::settings) keys: Vec<KeyPath>,
    /// Those whose values list where to read.
    pub(in crate::settings) lists: Vec<KeyPath>,
}

impl EditPaths {
    /// Reads items of which each has a path that is read so.
    fn read(
        text: &str,
        path: impl Fn(&str) -> Result<KeyPath, InvalidValue>,
    ) -> Result<Self, InvalidValue> {
        let (mut keys, mut lists) = (Vec::new(), Vec::new());
        for item in split_paths(text) {
            match (item, item.strip_suffix(LIST)) {
                ("", _) => return Err(InvalidValue::EmptyItem),
                (_, Some(list)) => lists.push(path(list)?),
                (key, None) => keys.push(path(key)?),
            }
        }
        Ok(Self { keys, lists })
    }

    /// All of them.
    pub(in crate::settings) fn iter(&self) -> impl Iterator<Item = &KeyPath> {
        self.keys.iter().chain(&self.lists)
    }
}

impl FromStr for EditPaths {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text, |path| Ok(path.parse()?))
    }
}

impl FromStr for EnvKeys {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        EditPaths::read(text, env_key).map(Self)
    }
}

/// The name of a variable in an env file.
fn env_key(text: &str) -> Result<KeyPath, InvalidValue> {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let digit_first = text.starts_with(|letter: char| letter.is_ascii_digit());
    if text.is_empty() || text.len() > 256 || digit_first || !text.chars().all(word) {
        return Err(InvalidValue::EditKey(quote(text)));
    }
    Ok(text.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_an_env_file_is_a_name_that_a_shell_accepts() {
        for (text, is_right) in [
            ("REDIS_URL", true),
            ("_x1, B", true),
            ("B=replicas", true),
            ("1X", false),
            ("A-B", false),
            ("A=B", false),
            ("=replicas", false),
            ("A.B", false),
            ("é", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<EnvKeys>().is_ok(), is_right, "{text}");
        }
    }

    #[test]
    fn paths_are_divided_by_commas_outside_of_quotes() {
        let paths: EditPaths = r#"redis.url, "a,b".c, d.e=replicas, "f=replicas""#.parse().unwrap();
        let texts =
            |paths: &[KeyPath]| -> Vec<String> { paths.iter().map(ToString::to_string).collect() };
        assert_eq!(
            texts(&paths.keys),
            ["redis.url", r#""a,b".c"#, r#""f=replicas""#]
        );
        assert_eq!(texts(&paths.lists), ["d.e"]);
        for text in ["a,,b", "a.", "a,\"b", "=replicas"] {
            assert!(text.parse::<EditPaths>().is_err(), "{text}");
        }
    }
}
