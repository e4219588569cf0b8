//! What to change in a client's file: keys of an env file, or paths.

use std::str::FromStr;

use super::{InvalidValue, List, quote};
use crate::clients::{KeyPath, split_paths};

/// Names of variables in an env file, by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct EnvKeys(pub(in crate::settings) Vec<KeyPath>);

/// Paths to values in a document, by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct EditPaths(pub(in crate::settings) Vec<KeyPath>);

impl FromStr for EditPaths {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let paths = split_paths(text).into_iter().map(|path| match path {
            "" => Err(InvalidValue::EmptyItem),
            path => Ok(path.parse()?),
        });
        paths.collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for EnvKeys {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let List(keys) = text.parse::<List<EnvKey>>()?;
        Ok(Self(keys.into_iter().map(|EnvKey(key)| key).collect()))
    }
}

/// The name of a variable in an env file.
struct EnvKey(KeyPath);

impl FromStr for EnvKey {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let digit_first = text.starts_with(|letter: char| letter.is_ascii_digit());
        if text.is_empty() || text.len() > 256 || digit_first || !text.chars().all(word) {
            return Err(InvalidValue::EditKey(quote(text)));
        }
        Ok(Self(text.parse()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_an_env_file_is_a_name_that_a_shell_accepts() {
        for (text, is_right) in [
            ("REDIS_URL", true),
            ("_x1, B", true),
            ("1X", false),
            ("A-B", false),
            ("A=B", false),
            ("A.B", false),
            ("é", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<EnvKeys>().is_ok(), is_right, "{text}");
        }
    }

    #[test]
    fn paths_are_divided_by_commas_outside_of_quotes() {
        let EditPaths(paths) = r#"redis.url, "a,b".c"#.parse().unwrap();
        let texts: Vec<&str> = paths.iter().map(KeyPath::text).collect();
        assert_eq!(texts, ["redis.url", r#""a,b".c"#]);
        for text in ["a,,b", "a.", "a,\"b"] {
            assert!(text.parse::<EditPaths>().is_err(), "{text}");
        }
    }
}
