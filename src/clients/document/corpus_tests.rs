//! Files as they stand on hosts, each with what becomes of it: `tests/data/documents`.
//!
//! A line of `cases.txt` names a file, its format, the paths, and the kind of value or the master where
//! they are not told by the old value, or not `10.20.30.40:6390`. Beside the file stands what it is
//! afterwards, `.after`, or why it stays as it is, `.error`. `PROMOTERD_REWRITE=1` writes these anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::path_tests::text_of;
use super::*;

const MASTER: &str = "10.20.30.40:6390";

struct Case {
    file: String,
    format: Format,
    paths: Vec<KeyPath>,
    value: Option<ValueKind>,
    master: Endpoint,
    /// What the values list instead of it, where there is any.
    readers: Vec<Endpoint>,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/documents")
}

fn cases() -> Vec<Case> {
    let text = fs::read_to_string(directory().join("cases.txt")).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(case).collect()
}

/// `FILE | FORMAT | PATHS | value=KIND master=HOST:PORT readers=HOST:PORT,...`
fn case(line: &str) -> Case {
    let parts: Vec<&str> = line.split('|').map(str::trim).collect();
    let [file, format, paths, rest @ ..] = parts.as_slice() else {
        panic!("{line}");
    };
    let option = |name: &str| {
        let words = rest.iter().flat_map(|rest| rest.split_whitespace());
        words
            .filter_map(|word| word.split_once('='))
            .find(|word| word.0 == name)
    };
    Case {
        file: (*file).to_owned(),
        format: Format::ALL
            .into_iter()
            .find(|known| known.name() == *format)
            .unwrap(),
        paths: split_paths(paths)
            .iter()
            .map(|path| path.parse().unwrap())
            .collect(),
        value: option("value").map(|(_, kind)| kind.parse().unwrap()),
        master: option("master")
            .map_or(MASTER, |(_, master)| master)
            .parse()
            .unwrap(),
        readers: option("readers").map_or_else(Vec::new, |(_, readers)| {
            readers.split(',').map(|it| it.parse().unwrap()).collect()
        }),
    }
}

/// What a case comes to: the kind of file that tells it, and its bytes.
fn outcome(case: &Case, old: &[u8]) -> (&'static str, Vec<u8>) {
    let edit = Edit {
        keys: &case.paths,
        value: case.value,
        master: &case.master,
        readers: &case.readers,
    };
    let edit_all = |text: &[u8]| match case.readers.is_empty() {
        true => super::edit(case.format, text, edit),
        false => super::edit_lists(case.format, text, edit),
    };
    match edit_all(old) {
        Ok(edited) => {
            let new = edited.into_bytes();
            let again = edit_all(&new).unwrap();
            assert!(!again.is_changed(), "{}: edited twice", case.file);
            ("after", new)
        }
        Err(error) => ("error", format!("{}\n", text_of(&error)).into_bytes()),
    }
}

#[test]
fn every_file_becomes_what_stands_beside_it() {
    let is_rewriting = std::env::var_os("PROMOTERD_REWRITE").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let path = directory().join(&case.file);
        let old = fs::read(&path).unwrap();
        let (kind, outcome) = outcome(&case, &old);
        for other in ["after", "error"] {
            let beside = directory().join(format!("{}.{other}", case.file));
            let expected = (kind == other).then_some(&outcome);
            if is_rewriting {
                drop(fs::remove_file(&beside));
                expected
                    .map(|bytes| fs::write(&beside, bytes))
                    .transpose()
                    .unwrap();
            }
            if fs::read(&beside).ok().as_ref() != expected {
                wrong.push(format!(
                    "{}: {}",
                    case.file,
                    String::from_utf8_lossy(&outcome)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_is_a_case_and_every_format_has_several() {
    let cases = cases();
    let known: BTreeSet<&str> = cases.iter().map(|case| case.file.as_str()).collect();
    assert_eq!(known.len(), cases.len(), "a file is named twice");
    for entry in fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.strip_suffix(".after").or(name.strip_suffix(".error"));
        let is_known = name == "cases.txt" || known.contains(stem.unwrap_or(&name));
        assert!(is_known, "{name} is no case");
    }
    for format in Format::ALL {
        let count = cases.iter().filter(|case| case.format == format).count();
        assert!(count >= 3, "{} has {count}", format.name());
    }
}

#[test]
fn a_changed_line_names_the_master_and_all_others_stay() {
    // Lists grow and shrink.
    for case in cases().into_iter().filter(|case| case.readers.is_empty()) {
        let old = fs::read(directory().join(&case.file)).unwrap();
        let ("after", new) = outcome(&case, &old) else {
            continue;
        };
        let lines = |text: &[u8]| -> Vec<Vec<u8>> {
            text.split(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect()
        };
        let (old, new) = (lines(&old), lines(&new));
        assert_eq!(old.len(), new.len(), "{}", case.file);
        let changed = old.iter().zip(&new).filter(|(old, new)| old != new);
        let port = case.master.port().to_string();
        let mut count = 0;
        for (_, new) in changed {
            let new = String::from_utf8_lossy(new);
            let names = new.contains(case.master.host()) || new.contains(&port);
            assert!(names, "{}: {new}", case.file);
            count += 1;
        }
        assert!(
            (1..=case.paths.len()).contains(&count),
            "{}: {count}",
            case.file
        );
    }
}
