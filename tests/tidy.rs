//! Rules about the source itself that the compiler cannot check.
//!
//! Each rule is a function from text to complaints, tried below on text that breaks it.

#[path = "tidy/checkout.rs"]
mod checkout;
#[path = "tidy/form.rs"]
mod form;
#[path = "tidy/messages.rs"]
mod messages;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/text.rs"]
mod text;

use checkout::{SourceFile, source_files, tracked_paths};

/// Runs `rule` over every file of `src` and fails with all that it complains of.
fn assert_each_source(rule: impl Fn(&SourceFile) -> Vec<String>) {
    let complaints: Vec<String> = source_files("src").iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_pure_modules_reach_for_no_clock_chance_disk_network_or_thread() {
    assert_each_source(modules::impurities);
}

#[test]
fn modules_use_only_what_lies_below_them() {
    assert_each_source(modules::upward_uses);
}

#[test]
fn every_source_file_states_its_idea_in_its_first_line() {
    assert_each_source(form::missing_idea);
}

#[test]
fn no_source_file_is_too_long() {
    assert_each_source(form::too_long);
}

#[test]
fn no_line_is_too_long_or_ends_in_blanks_or_holds_a_tab() {
    assert_each_source(form::bad_lines);
}

#[test]
fn the_readme_tells_of_each_warning_and_each_field_of_the_status() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(path).expect("README.md can be read");
    assert_each_source(|file| messages::undocumented(file, &readme));
    assert_each_source(|file| messages::undocumented_fields(file, &readme));
}

#[test]
fn nothing_is_left_for_later() {
    assert_each_source(form::leftovers);
}

#[test]
fn every_allow_gives_its_reason() {
    assert_each_source(form::allows_without_reason);
}

#[test]
fn no_module_is_named_after_nothing() {
    assert_each_source(form::empty_name);
}

#[test]
#[allow(clippy::print_stderr, reason = "a test that could not look says so")]
fn the_checkout_holds_only_known_top_level_entries() {
    let Some(paths) = tracked_paths() else {
        eprintln!("not a git checkout: nothing to compare");
        return;
    };
    let strangers = checkout::unknown_entries(&paths);
    assert!(
        strangers.is_empty(),
        "not in the list of tests/tidy/checkout.rs: {strangers:?}"
    );
}
