//! What is right loads, from either source, with every origin known.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use super::{Ground, KEY, effective};
use crate::clients::{Content, Format, ValueKind};
use crate::decision::{Fencing, GroupPolicy, RescueLimits};
use crate::redis::Credentials;

#[test]
fn a_witness_has_the_same_groups_and_no_clients() {
    let mut ground = Ground::good();
    let voter = ground.load().unwrap();
    ground.set("ROLE", "witness");
    ground
        .unset("CLIENTS__API__FILE")
        .unset("CLIENTS__API__EDIT");
    let witness = ground.load().unwrap();
    assert_eq!(
        (voter.role, witness.role),
        (NodeRole::Voter, NodeRole::Witness)
    );
    assert_eq!(
        format!("{:?}", witness.groups),
        format!("{:?}", voter.groups)
    );
    assert!(witness.clients.is_empty());
}

#[test]
fn an_observer_needs_the_voters_and_its_clients_and_no_group() {
    let mut ground = Ground::good();
    ground
        .set("ROLE", "observer")
        .set("NODE", "api-7")
        .set("CLIENTS__API__GROUP", "Features")
        .set("CLIENTS__WEB__FILE", "/etc/web.env")
        .set("CLIENTS__WEB__EDIT", "REDIS_URL")
        .unset("GROUPS__FEATURES__INSTANCES");
    let observer = ground.load().unwrap();
    assert_eq!(observer.role, NodeRole::Observer);
    assert_eq!(observer.voters.len(), 3);
    assert!(observer.groups.is_empty() && observer.observers.is_none());
    let groups = observer.clients.values().map(|it| it.group.as_str());
    assert_eq!(groups.collect::<Vec<_>>(), ["Features", "Features"]);
    let keys: Vec<_> = observer.effective().iter().map(|it| &it.key).collect();
    let distinct: BTreeSet<_> = keys.iter().collect();
    assert_eq!(keys.len(), distinct.len());
}

#[test]
fn three_hosts_need_no_more_than_the_example_of_the_design_and_the_key() {
    let mut ground = Ground::new(&[
        ("NODE", "a"),
        ("PEERS", "a=10.0.0.1:7400,b=10.0.0.2:7400,c=10.0.0.3:7400"),
        (
            "GROUPS__FEATURES__INSTANCES",
            "10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379",
        ),
        ("CLIENTS__API__FILE", "/etc/api/redis.env"),
        ("CLIENTS__API__EDIT", "REDIS_URL"),
    ]);
    ground.write("peer-key", KEY.as_bytes());
    let directory = ground.directory.path().to_str().unwrap().to_owned();
    ground
        .variables
        .insert("CREDENTIALS_DIRECTORY".into(), directory);
    let settings = ground.load().unwrap();

    assert_eq!(settings.node.as_str(), "a");
    assert_eq!(settings.voters.len(), 3);
    assert_eq!(settings.listen.to_string(), "10.0.0.1:7400");
    assert_eq!(&*settings.peer_key.as_ref().unwrap().to_text(), KEY);
    assert!(!settings.alone);
    assert_eq!(settings.state_dir, PathBuf::from("/var/lib/promoterd"));
    assert_eq!(
        settings.status_socket,
        PathBuf::from("/run/promoterd/status.sock")
    );
    let (min, max) = (Duration::from_millis(300), Duration::from_millis(600));
    assert_eq!(settings.election_timeout, ElectionTimeout { min, max });
    assert_eq!((settings.log.as_str(), settings.log_format), ("info", None));
    assert_eq!(settings.warnings, Vec::<String>::new());

    let (name, group) = settings.groups.first_key_value().unwrap();
    assert_eq!((settings.groups.len(), name.as_str()), (1, "features"));
    let policy = GroupPolicy {
        instances: ["10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"]
            .map(|endpoint| endpoint.parse().unwrap())
            .into(),
        quorum: 2,
        down_after: Duration::from_secs(1),
        gone_after: Duration::from_millis(20),
        exited: true,
        replica_veto_max: Duration::from_secs(10),
        promote_timeout: Duration::from_secs(5),
        parallel_syncs: 1,
        lag_max: None,
        readers_lag_max: None,
        cooldown: Duration::from_secs(10),
        failovers_max: 10,
        take_over: false,
        excluded: BTreeSet::new(),
        fencing: Fencing::Fast,
        lease: Duration::from_millis(800),
        isolation_after: Duration::from_secs(1),
        gone_loss_max: 1 << 20,
        guard: false,
        rescue: false,
        rescue_limits: RescueLimits {
            size_max: 16 << 30,
            lasts_max: Duration::from_secs(120),
        },
    };
    assert_eq!(group.policy, policy);
    assert_eq!(group.credentials, Credentials::default());
    assert_eq!(group.replica_login, Credentials::default());

    let (name, client) = settings.clients.first_key_value().unwrap();
    assert_eq!((settings.clients.len(), name.as_str()), (1, "api"));
    let target = Target {
        client: "api".parse().unwrap(),
        group: "features".parse().unwrap(),
        path: PathBuf::from("/etc/api/redis.env"),
        content: Content::Edit {
            format: Format::Env,
            keys: vec!["REDIS_URL".parse().unwrap()],
            lists: Vec::new(),
            value: None,
        },
        check: None,
        reload: None,
    };
    assert_eq!(client, &target);

    assert_eq!(
        effective(&settings, "PEER_KEY_FILE").origin,
        Origin::Credential
    );
    assert_eq!(effective(&settings, "NODE").origin, Origin::Environment);
    assert_eq!(effective(&settings, "GROUPS__FEATURES__QUORUM").value, "2");
    assert_eq!(effective(&settings, "LISTEN").origin, Origin::Default);
}

#[test]
fn a_file_of_nested_tables_says_the_same_as_variables() {
    let mut ground = Ground::new(&[]);
    let path = ground.config(
        r#"node = "a"
peers = ["a=127.0.0.1:7400", "b=127.0.0.2:7400", "c=127.0.0.3:7400"]
log_format = "json"

[groups.features]
name = "Features"
instances = "127.0.0.1:6379, 127.0.0.2:6379"
quorum = 3
exited = false
username = "007"
lag_max = 10_485_760
exclude = ["127.0.0.2:6379"]

[groups.sessions]
instances = ["127.0.0.1:6380"]
cooldown = "1m 30s"

[clients]
api = { file = "/etc/api/redis.env", group = "Features", edit = ["URL", "OLD_URL"], value = "url" }
"#,
    );
    let settings = ground.load().unwrap();
    let names: Vec<&str> = settings.groups.keys().map(GroupName::as_str).collect();
    assert_eq!(names, ["Features", "sessions"]);
    let features = &settings.groups[&"Features".parse().unwrap()];
    assert_eq!((features.policy.quorum, features.policy.exited), (3, false));
    assert_eq!(features.credentials.username.as_deref(), Some("007"));
    assert_eq!(features.policy.lag_max, Some(10 << 20));
    let listed = (
        features.policy.instances.len(),
        features.policy.excluded.len(),
    );
    assert_eq!(listed, (2, 1));
    let sessions = &settings.groups[&"sessions".parse().unwrap()];
    assert_eq!(sessions.policy.cooldown, Duration::from_secs(90));
    let client = &settings.clients[&"api".parse().unwrap()];
    assert_eq!(
        client.content,
        Content::Edit {
            format: Format::Env,
            keys: vec!["URL".parse().unwrap(), "OLD_URL".parse().unwrap()],
            lists: Vec::new(),
            value: Some(ValueKind::Url),
        }
    );
    assert_eq!(settings.log_format, Some(LogFormat::Json));
    let at = |line| Origin::File {
        path: path.clone(),
        line: Some(line),
    };
    assert_eq!(
        effective(&settings, "GROUPS__FEATURES__QUORUM").origin,
        at(8)
    );
    assert_eq!(effective(&settings, "CLIENTS__API__GROUP").origin, at(19));
    assert_eq!(effective(&settings, "NODE").origin, at(1));
}

#[test]
fn the_environment_wins_over_the_file_key_by_key() {
    let mut ground = Ground::good();
    ground.set("GROUPS__FEATURES__DOWN_AFTER", "2s");
    let path = ground
        .config("[GROUPS.Features]\nDown_After = '3s'\ngone_after = '50ms'\ninstances = 'h:1'");
    let settings = ground.load().unwrap();
    let group = &settings.groups[&"features".parse().unwrap()];
    assert_eq!(group.policy.down_after, Duration::from_secs(2));
    assert_eq!(group.policy.gone_after, Duration::from_millis(50));
    assert_eq!(group.policy.instances.len(), 2);
    let line = Some(3);
    assert_eq!(
        effective(&settings, "GROUPS__FEATURES__GONE_AFTER").origin,
        Origin::File { path, line }
    );
    assert_eq!(
        effective(&settings, "GROUPS__FEATURES__DOWN_AFTER").origin,
        Origin::Environment
    );
}

#[test]
fn variables_are_known_in_any_case_and_others_are_none_of_ours() {
    let mut ground = Ground::good();
    ground
        .variables
        .insert("promoterd_groups__Features__Quorum".into(), "1".into());
    ground.variables.insert("PROMOTER_NODE".into(), "x".into());
    ground.variables.insert("PATH".into(), "/bin".into());
    let settings = ground.load().unwrap();
    assert_eq!(
        settings.groups[&"features".parse().unwrap()].policy.quorum,
        1
    );
}

#[test]
fn no_value_is_taken_for_a_number_or_a_truth() {
    for text in ["007", "12345", "true", "1.50", "[a]", "0x1F", "1_000"] {
        let mut ground = Ground::good();
        ground.set("GROUPS__FEATURES__USERNAME", text);
        ground.write_for(
            "GROUPS__FEATURES__PASSWORD_FILE",
            "password",
            text.as_bytes(),
        );
        let settings = ground.load().unwrap();
        let group = &settings.groups[&"features".parse().unwrap()];
        assert_eq!(group.credentials.username.as_deref(), Some(text));
        assert_eq!(group.credentials.password.as_ref().unwrap().expose(), text);
    }
}

#[test]
fn a_node_alone_is_its_only_voter() {
    let mut ground = Ground::good();
    ground.unset("PEERS").unset("NODE").set("ALONE", "on");
    let settings = ground.load().unwrap();
    assert_eq!((settings.alone, settings.node.as_str()), (true, "host-1"));
    assert_eq!(
        settings.voters,
        BTreeMap::from([(settings.node.clone(), settings.listen.clone())])
    );
    assert_eq!(settings.listen.to_string(), "127.0.0.1:7400");
    assert_eq!(
        settings.groups[&"features".parse().unwrap()].policy.quorum,
        1
    );

    ground.set("LISTEN", "[::1]:7500");
    assert_eq!(
        ground
            .load()
            .unwrap()
            .voters
            .values()
            .next()
            .unwrap()
            .to_string(),
        "[::1]:7500"
    );

    ground.unset("LISTEN").set("PEERS", "host-1=127.0.0.1:7600");
    assert_eq!(ground.load().unwrap().listen.to_string(), "127.0.0.1:7600");
}

#[test]
fn an_even_number_of_voters_is_accepted_with_a_warning() {
    for (voters, warnings) in [(1, 0), (2, 1), (3, 0), (4, 1), (5, 0), (6, 1), (7, 0)] {
        let mut ground = Ground::good();
        let peers: Vec<String> = (1..=voters)
            .map(|voter| format!("n{voter}=127.0.0.{voter}:7400"))
            .collect();
        ground.set("NODE", "n1").set("PEERS", &peers.join(","));
        if voters == 1 {
            ground.set("ALONE", "true");
        }
        let settings = ground.load().unwrap();
        assert_eq!(
            (settings.voters.len(), settings.warnings.len()),
            (voters, warnings)
        );
        assert_eq!(
            settings.groups.values().next().unwrap().policy.quorum,
            voters / 2 + 1
        );
    }
}

#[test]
fn the_file_name_tells_the_format_and_format_insists() {
    for (file, insisted, format) in [
        ("/etc/default/api", None, Format::Env),
        ("/etc/api/.env", None, Format::Env),
        ("/etc/api/redis.conf", None, Format::Env),
        ("/etc/api/redis.json", Some("env"), Format::Env),
        ("/etc/api/redis.JSON", None, Format::Json),
        ("/etc/api/redis.toml", None, Format::Toml),
        ("/etc/api/redis.xml", Some("json"), Format::Json),
        ("/etc/api/redis.jsonc", None, Format::Jsonc),
        ("/etc/api/redis.json", Some("jsonc"), Format::Jsonc),
        ("/etc/php/php.ini", None, Format::Ini),
        ("/etc/airflow/airflow.cfg", Some("ini"), Format::Ini),
        ("/etc/shop/application.properties", None, Format::Properties),
        ("/etc/shop/application.yaml", None, Format::Yaml),
        ("/srv/shop/config/cable.YML", None, Format::Yaml),
        ("/etc/hosts", None, Format::Hosts),
        ("/srv/chroot/etc/hosts", Some("hosts"), Format::Hosts),
    ] {
        let mut ground = Ground::good();
        ground.set("CLIENTS__API__FILE", file);
        if let Some(insisted) = insisted {
            ground.set("CLIENTS__API__FORMAT", insisted);
        }
        let settings = ground.load().unwrap();
        let content = Content::Edit {
            format,
            keys: vec!["REDIS_URL".parse().unwrap()],
            lists: Vec::new(),
            value: None,
        };
        let client = settings.clients.values().next().unwrap();
        assert_eq!(client.content, content, "{file}");
    }
}

#[test]
fn a_template_makes_a_file_of_any_name() {
    for format in [None, Some("template")] {
        let mut ground = Ground::good();
        ground.unset("CLIENTS__API__EDIT");
        ground.set("CLIENTS__API__FILE", "/etc/haproxy/haproxy.cfg");
        ground.set("CLIENTS__API__TEMPLATE", "/etc/promoterd/haproxy.cfg.j2");
        if let Some(format) = format {
            ground.set("CLIENTS__API__FORMAT", format);
        }
        let settings = ground.load().unwrap();
        let client = settings.clients.values().next().unwrap();
        let source = PathBuf::from("/etc/promoterd/haproxy.cfg.j2");
        assert_eq!(client.content, Content::Template { source });
        assert_eq!(
            effective(&settings, "CLIENTS__API__FORMAT").value,
            "template"
        );
    }
}

#[test]
fn a_path_may_hold_quoted_keys_in_either_source() {
    let mut ground = Ground::good();
    ground.unset("CLIENTS__API__EDIT");
    ground.set("CLIENTS__API__FILE", "/etc/api/app.json");
    ground.config("[clients.api]\nedit = ['redis.\"a,b\".url', 'servers.0']");
    let settings = ground.load().unwrap();
    let client = settings.clients.values().next().unwrap();
    let content = Content::Edit {
        format: Format::Json,
        keys: vec![
            "redis.\"a,b\".url".parse().unwrap(),
            "servers.0".parse().unwrap(),
        ],
        lists: Vec::new(),
        value: None,
    };
    assert_eq!(client.content, content);
}

#[test]
fn the_report_shows_each_key_its_value_and_its_origin_in_columns() {
    let mut ground = Ground::good();
    ground.config("log = 'debug'");
    let settings = ground.load().unwrap();
    let text = report(&settings);
    assert_eq!(text.lines().count(), KEYS.len() + 1);
    let column = text.find("VALUE").unwrap();
    for line in text.lines() {
        assert_eq!(&line[column - 1..column], " ", "{line}");
        assert_ne!(&line[column..=column], " ", "{line}");
    }
    let log = text
        .lines()
        .find(|line| line.starts_with("PROMOTERD_LOG "))
        .unwrap();
    assert!(
        log.contains("  debug  ") && log.ends_with("promoterd.toml:1"),
        "{log}"
    );
}

proptest! {
    #[test]
    fn no_combination_of_values_makes_loading_panic(
        picks in prop::collection::vec((0..KEYS.len(), 0..4_usize, any::<bool>()), 0..12),
        odd in "\\PC{0,20}",
        config in "(\\[groups\\.[a-z\"]{1,3}\\]\n)?([a-z_.]{1,12} = [\\[\\]{}0-9a-z\"']{1,8}\n){0,3}",
    ) {
        let mut ground = Ground::good();
        ground.config(&config);
        for (key, choice, other) in picks {
            let key = KEYS[key];
            let label = if other { "other" } else if key.scope == Scope::Client { "api" } else { "features" };
            let value = match choice {
                0 => key.example,
                1 => key.bounds.map_or("0", |(min, _)| min),
                2 => "",
                _ => odd.as_str(),
            };
            ground.variables.insert(key.variable(label), value.to_owned());
        }
        if let Err(mistakes) = ground.load() {
            prop_assert!(mistakes.iter().count() > 0);
        }
    }
}

#[test]
fn a_key_with_replicas_behind_it_is_a_list() {
    let mut ground = Ground::good();
    ground.set("CLIENTS__API__EDIT", "URL, READERS=replicas");
    ground.set("GROUPS__FEATURES__READERS_LAG_MAX", "1MiB");
    let settings = ground.load().unwrap();
    let client = settings.clients.values().next().unwrap();
    let content = Content::Edit {
        format: Format::Env,
        keys: vec!["URL".parse().unwrap()],
        lists: vec!["READERS".parse().unwrap()],
        value: None,
    };
    assert_eq!(client.content, content);
    let group = settings.groups.values().next().unwrap();
    assert_eq!(group.policy.readers_lag_max, Some(1 << 20));
}
