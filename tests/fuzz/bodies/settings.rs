//! The settings: variables, a TOML file, a file of variables.

use std::fs;

use promoterd::settings::{Sources, load, report};
use tempfile::TempDir;

use super::Input;

/// The longest complaint about one input: foreign words in it are bounded.
const COMPLAINT_MAX: usize = 64;

const GOOD: [(&str, &str); 3] = [
    ("PROMOTERD_NODE", "a"),
    ("PROMOTERD_ALONE", "true"),
    ("PROMOTERD_GROUPS__FEATURES__INSTANCES", "127.0.0.1:6379"),
];

thread_local! {
    static DIRECTORY: TempDir = tempfile::tempdir().expect("a directory");
}

/// First byte: in which form the rest is given, and whether good settings stand beside it.
pub fn settings(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mode = input.byte();
    let rest = input.rest();
    let mut variables: Vec<(String, String)> = Vec::new();
    if mode & 4 == 0 {
        let good = GOOD.iter();
        variables.extend(good.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }
    match mode & 3 {
        0 | 3 => variables.extend(lines(rest)),
        kind => variables.push(("PROMOTERD_CONFIG".to_owned(), written(kind, rest))),
    }
    let sources = Sources::new(variables, "host");
    match load(&sources) {
        Ok(settings) => {
            let shown = report(&settings);
            assert!(!shown.is_empty() && !settings.effective().is_empty());
        }
        Err(mistakes) => {
            let told = mistakes.to_string();
            assert!(!told.is_empty(), "refused without a word");
            let most = 4096 + COMPLAINT_MAX * rest.len();
            assert!(
                told.len() <= most,
                "{} bytes about {}",
                told.len(),
                rest.len()
            );
        }
    }
}

/// `NAME=VALUE`, one a line.
fn lines(bytes: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(bytes);
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        // A variable that names a file would be read; which one is for nobody here to say.
        let is_file = name.to_lowercase().contains("file") || value.contains('/');
        (!is_file && !name.contains('\0')).then(|| (format!("PROMOTERD_{name}"), value.to_owned()))
    };
    text.split('\n').filter_map(pair).collect()
}

fn written(kind: u8, content: &[u8]) -> String {
    let name = if kind == 1 {
        "settings.toml"
    } else {
        "settings.env"
    };
    DIRECTORY.with(|directory| {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("a file");
        path.display().to_string()
    })
}
