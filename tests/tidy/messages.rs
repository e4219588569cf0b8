//! What the log says at `warn` and `error` stands in README.md, with what to do about it; and each field
//! of the status.

use crate::checkout::SourceFile;
use crate::text::{code_only, find_word, line_of, without_tests};

/// A shorter beginning would be found anywhere.
const LENGTH_MIN: usize = 8;

/// The messages of a file of which `readme` says nothing.
pub fn undocumented(file: &SourceFile, readme: &str) -> Vec<String> {
    if file.is_test() {
        return Vec::new();
    }
    let code = code_only(&file.text);
    let code = without_tests(&code);
    let calls = ["warn!", "error!"]
        .into_iter()
        .flat_map(|name| find_word(code, name));
    calls
        .filter_map(|at| {
            let message = beginning(&file.text[at..])?;
            let is_known = message.len() < LENGTH_MIN || readme.contains(&message);
            (!is_known).then(|| {
                format!(
                    "{}:{}: README.md does not tell what to do about `{message}`",
                    file.path,
                    line_of(code, at)
                )
            })
        })
        .collect()
}

/// The fields of the reports in a file of the schema of which `readme` says nothing.
pub fn undocumented_fields(file: &SourceFile, readme: &str) -> Vec<String> {
    if !file.path.starts_with("src/status/schema") {
        return Vec::new();
    }
    let fields = file.text.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("    pub ")?.split_once(": ")?;
        (!name.contains(' ')).then_some(name)
    });
    fields
        .filter(|name| !readme.contains(&format!("`{name}`")))
        .map(|name| format!("{}: README.md does not tell of `{name}`", file.path))
        .collect()
}

/// The message of a call, up to what differs each time.
fn beginning(call: &str) -> Option<String> {
    let text = call.split('"').nth(1)?;
    let text = text.split(['{', ':', ',', '(']).next()?;
    // A literal may go on in the next line.
    let words: Vec<&str> = text
        .split(['\\', '\n', ' '])
        .filter(|it| !it.is_empty())
        .collect();
    Some(words.join(" "))
}

#[test]
fn a_field_that_the_readme_does_not_have_is_named() {
    let file = |path: &str| SourceFile {
        path: path.to_owned(),
        text: "pub struct A {\n    /// B.\n    pub b: u32,\n    pub c: u32,\n}\n".to_owned(),
    };
    let readme = "`b` (something)";
    let found = undocumented_fields(&file("src/status/schema.rs"), readme);
    assert_eq!(
        found,
        ["src/status/schema.rs: README.md does not tell of `c`"]
    );
    assert!(undocumented_fields(&file("src/status/text.rs"), readme).is_empty());
}

#[test]
fn a_message_that_the_readme_does_not_have_is_named() {
    let file = |text: &str| SourceFile {
        path: "src/daemon/a.rs".to_owned(),
        text: text.to_owned(),
    };
    let readme = "| `the disk is full` | make room |";
    for (text, expected) in [
        ("warn!(%path, \"the disk is full: {why}\");", None),
        (
            "tracing::error!(\n    %path,\n    \"the disk \\\n     is full\"\n);",
            None,
        ),
        ("info!(\"the moon is full\");", None),
        ("// warn!(\"the moon is full\")", None),
        ("\nwarn!(\"the moon is full\");", Some("src/daemon/a.rs:2")),
        ("error!(%x, \"the moon is {y}\");", Some("`the moon is`")),
    ] {
        let found = undocumented(&file(text), readme);
        assert_eq!(
            found.len(),
            usize::from(expected.is_some()),
            "{text}: {found:?}"
        );
        if let (Some(found), Some(expected)) = (found.first(), expected) {
            assert!(found.contains(expected), "{found}");
        }
    }
}
