//! Files that a template makes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::model::{Epoch, Replica, ReplicaHealth};

const TEMPLATE: &str = "# {{ group }}\nserver {{ master.endpoint }}\n";

fn target(directory: &TempDir) -> Target {
    Target {
        client: "proxy".parse().unwrap(),
        group: "features".parse().unwrap(),
        path: directory.path().join("proxy.cfg"),
        content: Content::Template {
            source: directory.path().join("proxy.j2"),
        },
        check: None,
        reload: None,
    }
}

fn ground(template: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("proxy.j2");
    fs::write(&source, template).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o640)).unwrap();
    directory
}

fn publication(master: &str) -> Publication {
    Publication {
        group: "features".parse().unwrap(),
        epoch: Epoch(3),
        master: master.parse().unwrap(),
        replicas: vec![
            Replica::unknown("10.0.0.1:6379".parse().unwrap()),
            Replica::unknown("[fd77::3]:6379".parse().unwrap()),
        ],
    }
}

fn permissions(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_missing_file_is_made_with_the_permissions_of_its_template_and_keeps_others_later() {
    let directory = ground(TEMPLATE);
    let target = target(&directory);
    assert!(replace(&target, &publication("a:1")).unwrap().changed);
    let text = fs::read_to_string(&target.path).unwrap();
    assert_eq!(text, "# features\nserver a:1\n");
    assert_eq!(permissions(&target.path), 0o640);
    assert!(!replace(&target, &publication("a:1")).unwrap().changed);
    fs::set_permissions(&target.path, fs::Permissions::from_mode(0o604)).unwrap();
    assert!(replace(&target, &publication("b:1")).unwrap().changed);
    assert_eq!(permissions(&target.path), 0o604);
    let text = fs::read_to_string(&target.path).unwrap();
    assert_eq!(text, "# features\nserver b:1\n");
}

#[test]
fn a_template_that_fails_leaves_the_file_as_it_is_and_is_named() {
    for (template, message) in [
        ("{{ mater.endpoint }}", "line 1: undefined value"),
        ("{% for %}", "line 1: syntax error"),
        (
            "{% for a in range(9999) %}{{ 'x' * 999 }}{% endfor %}",
            "writes more than",
        ),
    ] {
        let directory = ground(template);
        let target = target(&directory);
        fs::write(&target.path, "old").unwrap();
        let error = crate::model::with_causes(&replace(&target, &publication("a:1")).unwrap_err());
        for part in ["proxy.cfg cannot be made", "proxy.j2", message] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(fs::read_to_string(&target.path).unwrap(), "old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}

#[test]
fn a_file_that_appears_while_it_is_made_is_looked_at_again() {
    let directory = ground(TEMPLATE);
    let target = target(&directory);
    let mut writes = 0;
    replace_watched(&target, &publication("a:1"), &mut |step| {
        if step == Step::Compare && writes == 0 {
            writes += 1;
            fs::write(&target.path, "somebody's").unwrap();
            fs::set_permissions(&target.path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(
        permissions(&target.path),
        0o600,
        "it was replaced, and not made anew"
    );
}

#[test]
fn the_shipped_template_for_haproxy_names_the_master_for_writers_and_the_replicas_for_readers() {
    let directory = ground(include_str!("../../../config/haproxy.cfg.j2"));
    let target = target(&directory);
    replace(&target, &publication("10.0.0.2:6379")).unwrap();
    let text = fs::read_to_string(&target.path).unwrap();
    let servers: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("server ") || line.starts_with("listen "))
        .collect();
    let expected = [
        "listen features-write",
        "server master 10.0.0.2:6379",
        "listen features-read",
        "server replica1 10.0.0.1:6379",
        "server replica2 [fd77::3]:6379",
        "server master 10.0.0.2:6379 backup",
    ];
    assert_eq!(servers, expected, "{text}");
    assert!(text.ends_with("backup\n"), "{text}");

    let alone = Publication {
        replicas: Vec::new(),
        ..publication("10.0.0.2:6379")
    };
    replace(&target, &alone).unwrap();
    let text = fs::read_to_string(&target.path).unwrap();
    assert!(text.ends_with("server master 10.0.0.2:6379\n"), "{text}");
}

/// A publication with one replica for readers, and one that is behind.
fn with_one_behind() -> Publication {
    let mut publication = publication("10.0.0.2:6379");
    publication.replicas[0].health = ReplicaHealth::Behind;
    publication
}

fn rendered(template: &str, publication: &Publication) -> String {
    let directory = ground(template);
    let target = target(&directory);
    replace(&target, publication).unwrap();
    fs::read_to_string(&target.path).unwrap()
}

#[test]
fn the_shipped_templates_leave_a_replica_out_that_is_behind() {
    let servers = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| line.starts_with("server ") && line.contains(':'));
        lines.map(str::to_owned).collect()
    };
    let haproxy = rendered(
        include_str!("../../../config/haproxy.cfg.j2"),
        &with_one_behind(),
    );
    let expected = [
        "server master 10.0.0.2:6379",
        "server replica1 10.0.0.1:6379 disabled",
        "server replica2 [fd77::3]:6379",
        "server master 10.0.0.2:6379 backup",
    ];
    assert_eq!(servers(&haproxy), expected);
    let nginx = include_str!("../../../config/nginx.conf.j2");
    let expected = [
        "server 10.0.0.2:6379 max_fails=0;",
        "server [fd77::3]:6379 fail_timeout=1s;",
        "server 10.0.0.2:6379 backup;",
    ];
    assert_eq!(servers(&rendered(nginx, &with_one_behind())), expected);
}

#[test]
fn the_shipped_templates_for_envoy_are_the_resources_that_it_documents() {
    let read = include_str!("../../../config/envoy-read.yaml.j2");
    let write = include_str!("../../../config/envoy-write.yaml.j2");
    let place = "resources.0.endpoints.0.lb_endpoints.0.endpoint.address.socket_address";
    for (template, publication, named, cluster) in [
        (read, with_one_behind(), "[fd77::3]:6379", "features-read"),
        (read, publication("a:1"), "10.0.0.1:6379", "features-read"),
        (write, publication("a:1"), "a:1", "features-write"),
    ] {
        let text = rendered(template, &publication);
        let keys = ["address", "port_value"].map(|key| format!("{place}.{key}").parse().unwrap());
        let edit = Edit {
            keys: &keys,
            value: None,
            master: &named.parse().unwrap(),
            readers: &[],
        };
        // It says so already.
        let edited = document::edit(document::Format::Yaml, text.as_bytes(), edit).unwrap();
        assert!(!edited.is_changed(), "{text}");
        assert!(
            text.contains(&format!("\n  cluster_name: {cluster}\n")),
            "{text}"
        );
        assert!(text.contains("\nversion_info: \"3\"\n"), "{text}");
        let kind =
            "\n- \"@type\": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment\n";
        assert!(text.contains(kind), "{text}");
    }
    let both = rendered(read, &publication("a:1"));
    assert_eq!(both.matches("socket_address:").count(), 2, "{both}");
}
