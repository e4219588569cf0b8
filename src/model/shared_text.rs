//! Text that is handed around and compared all the time, and never changed.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Text in one place, however often it is cloned.
///
/// It is compared as text; two clones of one need not be read for that.
#[derive(Clone)]
pub(super) struct SharedText(Arc<str>);

impl Deref for SharedText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SharedText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl From<&str> for SharedText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl PartialEq for SharedText {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for SharedText {}

impl Ord for SharedText {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for SharedText {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for SharedText {
    fn hash<State: Hasher>(&self, state: &mut State) {
        self.0.hash(state);
    }
}

impl Serialize for SharedText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_and_copies_of_a_text_are_equal_and_others_are_in_its_order() {
        let text = SharedText::from("b");
        for (name, other, expected) in [
            ("a clone", text.clone(), Ordering::Equal),
            ("a copy", SharedText::from("b"), Ordering::Equal),
            ("an earlier one", SharedText::from("a"), Ordering::Greater),
            ("a later one", SharedText::from("ba"), Ordering::Less),
        ] {
            assert_eq!(text.cmp(&other), expected, "{name}");
            assert_eq!(text == other, expected == Ordering::Equal, "{name}");
        }
    }
}
