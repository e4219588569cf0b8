//! What is in the checkout: the source files, and the paths that git tracks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What may lie at the top of the checkout.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "config",
    "src",
    "systemd",
    "tests",
];

/// One file of the source.
pub struct SourceFile {
    /// Below the checkout, such as `src/redis/info.rs`.
    pub path: String,
    pub text: String,
}

impl SourceFile {
    /// The names that lead to the file from the root of the crate; none for `lib.rs` and `main.rs`.
    pub fn module_path(&self) -> Vec<&str> {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let mut names: Vec<&str> = below.trim_end_matches(".rs").split('/').collect();
        if matches!(names.last(), Some(&("mod" | "lib" | "main"))) {
            names.pop();
        }
        names
    }

    /// Whether the file exists for tests only.
    pub fn is_test(&self) -> bool {
        let names = self.module_path();
        names
            .iter()
            .any(|name| *name == "tests" || name.ends_with("_tests"))
    }
}

/// Every `.rs` file below `directory`, in the order of their paths.
///
/// # Panics
/// When there is none: then the rules would pass without having looked at anything.
pub fn source_files(directory: &str) -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join(directory), &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "no source below {directory}");
    let read = |path: &PathBuf| SourceFile {
        path: path
            .strip_prefix(root)
            .expect("below the root")
            .display()
            .to_string(),
        text: fs::read_to_string(path).expect("source is readable UTF-8"),
    };
    paths.iter().map(read).collect()
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// All paths that git tracks, or nothing outside a git checkout.
pub fn tracked_paths() -> Option<Vec<String>> {
    let root = env!("CARGO_MANIFEST_DIR");
    if !Path::new(root).join(".git").exists() {
        return None;
    }
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "-C", root, "ls-files"])
        .output()
        .ok()?;
    assert!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let listing = String::from_utf8(output.stdout).expect("paths are UTF-8");
    Some(listing.lines().map(str::to_owned).collect())
}

/// The top-level entries of `paths` that nobody has agreed on.
pub fn unknown_entries(paths: &[String]) -> Vec<&str> {
    let mut entries: Vec<&str> = paths
        .iter()
        .map(|path| path.split('/').next().unwrap_or(path))
        .filter(|entry| !TOP_LEVEL.contains(entry))
        .collect();
    entries.sort_unstable();
    entries.dedup();
    entries
}

#[test]
fn a_stray_entry_at_the_top_is_found() {
    let paths = [
        "Cargo.toml",
        "src/lib.rs",
        "notes/a.md",
        "notes/b.md",
        "Makefile",
    ];
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(unknown_entries(&paths), ["Makefile", "notes"]);
}

#[test]
fn the_module_path_comes_from_the_file() {
    for (path, expected) in [
        ("src/lib.rs", &[][..]),
        ("src/redis/mod.rs", &["redis"][..]),
        ("src/redis/info.rs", &["redis", "info"][..]),
    ] {
        let file = SourceFile {
            path: path.to_owned(),
            text: String::new(),
        };
        assert_eq!(file.module_path(), expected);
    }
}
