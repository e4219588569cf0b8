//! Who has which settings, what is waited for, and what people hear of it.

use super::super::ground_tests::*;
use super::*;

const QUORUM_OF_ONE: usize = 1;

/// What a node whose settings are `policy` says once somebody differs from it.
fn claim_of(policy: &GroupPolicy) -> GroupClaim {
    let mut equality = Equality::new(policy);
    equality.among([&node("x")]);
    equality.hear(&node("x"), None, Instant::now());
    equality.claim(&group_name())
}

fn other_policy() -> GroupPolicy {
    GroupPolicy {
        quorum: QUORUM_OF_ONE,
        take_over: true,
        ..policy()
    }
}

/// The group on this node, with what each of the other voters says: `equal`, `other`, `none`, or
/// nothing at all.
fn heard(others: &[(&str, &str)], now: Instant) -> Equality {
    let mut equality = Equality::new(&policy());
    let names: Vec<NodeId> = others.iter().map(|(name, _)| node(name)).collect();
    equality.among(&names);
    for (name, says) in others {
        let claim = match *says {
            "equal" => Some(Equality::new(&policy()).claim(&group_name())),
            "other" => Some(claim_of(&other_policy())),
            "none" => None,
            _ => continue,
        };
        equality.hear(&node(name), claim.as_ref(), now);
    }
    equality
}

#[test]
fn a_group_is_not_waited_for_once_a_majority_has_the_same_settings() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);
    let cases: &[Case<'_>] = &[
        (&[], None),
        (&[("b", "equal")], None),
        (
            &[("b", "other")],
            Some("1 of the 2 that are needed); b differs in QUORUM and TAKE_OVER:"),
        ),
        (&[("b", "equal"), ("c", "other")], None),
        (&[("b", "equal"), ("c", "")], None),
        (
            &[("b", "none"), ("c", "other")],
            Some("(1 of the 2 that are needed); b does not have the group; c differs in QUORUM"),
        ),
        (
            &[("b", ""), ("c", "")],
            Some("; b is not heard; c is not heard: make"),
        ),
        (
            &[("b", "equal"), ("c", "none"), ("d", "")],
            Some("2 of the 3 that are needed); c does"),
        ),
        (&[("b", "equal"), ("c", "equal"), ("d", "none")], None),
        (
            &[
                ("b", "equal"),
                ("c", "equal"),
                ("d", "none"),
                ("e", "other"),
            ],
            None,
        ),
        (
            &[("b", "equal"), ("c", "none"), ("d", "none"), ("e", "other")],
            Some("2 of the 3 that are needed)"),
        ),
    ];
    let now = Instant::now();
    for (others, expected) in cases {
        let awaited = heard(others, now).awaited(now).map(|it| it.to_string());
        match expected {
            None => assert_eq!(awaited, None, "{others:?}"),
            Some(part) => {
                let text = awaited.unwrap_or_default();
                assert!(text.contains(part), "{others:?}: {text}");
            }
        }
    }
}

#[test]
fn what_was_said_long_ago_counts_no_longer() {
    let now = Instant::now();
    let equality = heard(&[("b", "equal"), ("c", "other")], now);
    let almost = now + VIEW_FRESH_FOR - milliseconds(1);
    assert_eq!(equality.awaited(almost), None);
    assert_eq!(equality.differences(almost).len(), 1);
    let later = now + VIEW_FRESH_FOR;
    assert!(equality.awaited(later).is_some());
    assert_eq!(equality.differences(later), []);
}

#[test]
fn the_keys_are_said_only_where_somebody_differs() {
    let now = Instant::now();
    for (says, count) in [("equal", 0), ("", 0), ("other", 17), ("none", 17)] {
        let claim = heard(&[("b", says)], now).claim(&group_name());
        assert_eq!(claim.marks.len(), count, "{says:?}");
    }
}

#[test]
fn people_hear_of_a_difference_once_and_in_which_keys_and_of_its_end() {
    let now = Instant::now();
    let mut equality = heard(&[("b", "equal")], now);
    let mut hear = |claim: Option<&GroupClaim>| equality.hear(&node("b"), claim, now);
    let differing = claim_of(&other_policy());
    let unaware = GroupClaim {
        marks: Vec::new(),
        ..differing.clone()
    };
    assert_eq!(hear(Some(&unaware)), None, "it will say in which keys");
    let keys = ["QUORUM", "TAKE_OVER"].map(str::to_owned).into();
    let differs = EqualityNews::Differs(Difference::Differs { keys });
    assert_eq!(hear(Some(&differing)), Some(differs));
    assert_eq!(hear(Some(&differing)), None);
    let absent = EqualityNews::Differs(Difference::NoGroup);
    assert_eq!(hear(None), Some(absent));
    assert_eq!(hear(None), None);
    let equal = claim_of(&policy());
    assert_eq!(hear(Some(&equal)), Some(EqualityNews::Equal));
    assert_eq!(hear(Some(&equal)), None);
}

#[test]
fn whoever_is_no_voter_is_not_counted() {
    let now = Instant::now();
    let mut equality = heard(&[("b", ""), ("c", "")], now);
    let equal = claim_of(&policy());
    assert_eq!(equality.hear(&node("z"), Some(&equal), now), None);
    assert_eq!(equality.hear(&node("y"), Some(&equal), now), None);
    assert!(equality.awaited(now).is_some());
}

#[test]
fn a_peer_may_say_what_it_likes_of_keys() {
    let now = Instant::now();
    let mut equality = heard(&[("b", "equal")], now);
    let nonsense = GroupClaim {
        group: group_name(),
        digest: SettingsDigest(1),
        marks: vec![KeyMark(7); 10_000],
    };
    let news = equality.hear(&node("b"), Some(&nonsense), now);
    let Some(EqualityNews::Differs(Difference::Differs { keys })) = news else {
        panic!("{news:?}");
    };
    assert_eq!(keys.len(), 17, "our own keys, and no more");
}

#[test]
fn settings_that_were_read_again_are_compared_anew() {
    let now = Instant::now();
    let mut equality = heard(&[("b", "other")], now);
    let claim = claim_of(&other_policy());
    equality.adjust(&policy());
    assert_eq!(equality.differences(now).len(), 1, "nothing changed");
    equality.adjust(&other_policy());
    assert_eq!(equality.claim(&group_name()).digest, claim.digest);
    assert_eq!(equality.differences(now), []);
    assert!(equality.awaited(now).is_some(), "b may have changed too");
    let news = equality.hear(&node("b"), Some(&claim), now);
    assert_eq!(news, Some(EqualityNews::Equal));
    assert_eq!(equality.awaited(now), None);
}
