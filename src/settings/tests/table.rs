//! The table of keys keeps its own promises.

use super::super::*;
use super::Ground;

fn label(key: &Key) -> &'static str {
    match key.scope {
        Scope::Node => "",
        Scope::Group => "features",
        Scope::Client => "api",
    }
}

/// Settings in which every bound of every key is in order with the others.
fn ground_with(key: &Key, value: &str) -> Ground {
    let mut ground = Ground::good();
    ground.set("GROUPS__FEATURES__DOWN_AFTER", "10m");
    ground.set("GROUPS__FEATURES__GONE_AFTER", "1ms");
    ground
        .variables
        .insert(key.variable(label(key)), value.to_owned());
    ground
}

#[test]
fn every_known_key_is_effective_exactly_once() {
    let settings = Ground::good().load().unwrap();
    let keys = settings
        .effective()
        .iter()
        .map(|setting| setting.key.clone());
    let expected = KEYS.iter().map(|key| key.variable(label(key)));
    assert_eq!(keys.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn every_example_is_a_value_that_its_key_accepts() {
    for key in KEYS {
        let mistakes = ground_with(key, key.example).load().err();
        for mistake in mistakes.iter().flat_map(Mistakes::iter) {
            let is_told = matches!(mistake.problem, Problem::NotYet);
            assert_eq!(
                is_told,
                key.availability == Availability::Later,
                "{mistake}"
            );
            // Files that do not exist here, and what other keys would have to say too.
            let is_outside = matches!(
                mistake.problem,
                Problem::Unreadable { .. }
                    | Problem::KeyNeeded { .. }
                    | Problem::LoopbackInstance { .. }
                    | Problem::GuardWithoutKey
                    | Problem::RescueUnfenced
                    | Problem::NoSuchGroup { .. }
                    | Problem::NotWithTemplate
                    | Problem::NotAlone
                    | Problem::ClientOfWitness
            );
            assert!(is_told || is_outside, "{mistake}");
        }
    }
}

#[test]
fn to_give_a_default_explicitly_changes_nothing() {
    let shown = |ground: &Ground| {
        let mut settings = ground.load().unwrap();
        settings.effective.clear();
        format!("{settings:?}")
    };
    let plain = shown(&Ground::good());
    for key in KEYS {
        if let Fallback::Value(value) = key.default {
            let mut ground = Ground::good();
            ground
                .variables
                .insert(key.variable(label(key)), value.to_owned());
            assert_eq!(shown(&ground), plain, "{}", key.name);
        }
    }
}

#[test]
fn both_bounds_of_a_key_are_accepted_themselves() {
    let mut tried = 0;
    for key in KEYS {
        for bound in key.bounds.iter().flat_map(|(min, max)| [min, max]) {
            let mut ground = ground_with(key, bound);
            if key.name == "GONE_AFTER" {
                ground.set("GROUPS__FEATURES__DOWN_AFTER", "10m");
            }
            assert_eq!(ground.mistakes(), [""; 0], "{} {bound}", key.name);
            tried += 1;
        }
    }
    assert!(tried >= 12);
}

#[test]
fn a_key_is_found_by_the_path_that_it_gives() {
    for key in KEYS {
        let (found, section) = keys::find(&key.path("x")).unwrap();
        assert!(std::ptr::eq(*key, found), "{}", key.name);
        assert_eq!(section, if key.scope == Scope::Node { "" } else { "x" });
    }
}

#[test]
fn the_readme_lists_every_key_that_this_version_takes() {
    let readme = include_str!("../../../README.md");
    for key in KEYS {
        let label = match key.scope {
            Scope::Node => "",
            Scope::Group => "F",
            Scope::Client => "API",
        };
        // A row may have several keys of one section.
        let names = [
            format!("`{}`", key.variable(label)),
            format!("`…__{}`", key.name),
        ];
        let is_there = names.iter().any(|name| readme.contains(name));
        let is_offered = key.availability != Availability::Later;
        assert_eq!(is_there, is_offered, "{}", names[0]);
    }
}
