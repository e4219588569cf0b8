//! Clients' files of other formats, the commands that go with them, and other people's hands on them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use promoterd::status::{FileReport, ReloadStanding};

use crate::cluster::Cluster;
use crate::process::eventually;
use crate::server::Kind;

/// The files of one daemon's client `app`, and what its commands leave behind.
struct App {
    file: PathBuf,
    /// What the reload command saw, one run after the other.
    runs: PathBuf,
    /// While this is there, its commands do their work.
    well: PathBuf,
}

impl App {
    fn runs(&self) -> String {
        fs::read_to_string(&self.runs).unwrap_or_default()
    }
}

fn json(master: &str) -> String {
    format!("{{\n  \"redis\": {{\"url\": \"redis:\\/\\/:s3cret@{master}/0\"}}, \"level\": 7\n}}\n")
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// A cluster whose daemons each have a client `app` with a JSON file, a check and a reload. They fail
/// with the `trouble` of the daemon's position while its client is not well.
fn prepare(check_trouble: [&str; 3], reload_trouble: [&str; 3]) -> (Cluster, Vec<App>) {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let directory = cluster.directory.path().to_owned();
    let master = cluster.servers[0].endpoint.to_string();
    let mut apps = Vec::new();
    for (position, daemon) in cluster.daemons.iter_mut().enumerate() {
        let path = |end: &str| directory.join(format!("{}-app{end}", daemon.name));
        let app = App {
            file: path(".json"),
            runs: path(".runs"),
            well: path(".well"),
        };
        fs::write(&app.file, json(&master)).unwrap();
        fs::write(&app.well, "").unwrap();
        let well = app.well.display();
        let (check, reload) = (path("-check"), path("-reload"));
        let trouble = check_trouble[position];
        script(
            &check,
            &format!(
                "test -e {well} || {{ {trouble}; }}\npython3 -m json.tool < \"$1\" > /dev/null"
            ),
        );
        let (trouble, runs) = (reload_trouble[position], app.runs.display());
        script(
            &reload,
            &format!("test -e {well} || {{ {trouble}; }}\ncat \"$1\" >> {runs}\necho told"),
        );
        daemon.set("CLIENTS__APP__FILE", &app.file.display().to_string());
        daemon.set("CLIENTS__APP__EDIT", "redis.url");
        daemon.set("CLIENTS__APP__CHECK", &check.display().to_string());
        daemon.set(
            "CLIENTS__APP__RELOAD",
            &format!("{} {{}}", reload.display()),
        );
        daemon.set("CLIENTS__APP__RELOAD_TIMEOUT", "400ms");
        apps.push(app);
    }
    (cluster, apps)
}

fn start(cluster: &mut Cluster) {
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
}

/// How the client `app` stands, once it is as `is_right` wants it.
fn await_app(
    cluster: &Cluster,
    daemon: usize,
    what: &str,
    is_right: impl Fn(&FileReport) -> bool,
) -> FileReport {
    eventually(what, || {
        let group = cluster.daemons[daemon].group()?;
        let app = group
            .files
            .into_iter()
            .find(|file| file.client.as_str() == "app");
        let app = app.ok_or("no such client")?;
        if is_right(&app) {
            return Ok(app);
        }
        Err(format!("{app:?}"))
    })
}

fn is_reloaded(app: &FileReport, epoch: u64) -> bool {
    let reload = app.reload.as_ref();
    reload.is_some_and(|it| it.state == ReloadStanding::Done && it.epoch.0 == epoch)
}

#[test]
fn a_failover_reaches_json_and_template_files_through_check_and_reload() {
    let (mut cluster, apps) = prepare(["false"; 3], ["false"; 3]);
    let template = cluster.directory.path().join("proxy.j2");
    let lines = "{% for replica in replicas %}reader {{ replica.endpoint }}\n{% endfor %}";
    fs::write(
        &template,
        format!("writer {{{{ master.endpoint }}}}\n{lines}"),
    )
    .unwrap();
    let mut proxies = Vec::new();
    for daemon in &mut cluster.daemons {
        let proxy = template.with_file_name(format!("{}-proxy.cfg", daemon.name));
        daemon.set("CLIENTS__PROXY__FILE", &proxy.display().to_string());
        daemon.set("CLIENTS__PROXY__TEMPLATE", &template.display().to_string());
        proxies.push(proxy);
    }
    start(&mut cluster);
    let old = cluster.servers[0].endpoint.to_string();
    for (position, app) in apps.iter().enumerate() {
        await_app(&cluster, position, "the first reload", |it| {
            is_reloaded(it, 1)
        });
        assert_eq!(app.runs(), json(&old));
    }

    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    let new = cluster.servers[master].endpoint.to_string();
    for (position, app) in apps.iter().enumerate() {
        let shown = await_app(&cluster, position, "the second reload", |it| {
            is_reloaded(it, 2)
        });
        assert_eq!(
            (shown.error, shown.reload.unwrap().output.as_str()),
            (None, "told")
        );
        assert_eq!(fs::read_to_string(&app.file).unwrap(), json(&new));
        assert_eq!(app.runs(), json(&old) + &json(&new));
    }
    let mut readers: Vec<String> = (0..3)
        .filter(|position| *position != master)
        .map(|position| format!("reader {}\n", cluster.servers[position].endpoint))
        .collect();
    readers.sort();
    for proxy in &proxies {
        let text = fs::read_to_string(proxy).unwrap();
        assert_eq!(text, format!("writer {new}\n{}", readers.concat()));
    }

    // Somebody restores a backup; the daemon that is stopped meanwhile finds it at its start.
    cluster.daemons[1].stop();
    for app in &apps[..2] {
        fs::write(&app.file, json(&old)).unwrap();
    }
    cluster.daemons[1].start();
    let expected = json(&old) + &json(&new) + &json(&new);
    for app in &apps[..2] {
        eventually("the backup is brought in line, and read", || {
            match app.runs() {
                runs if runs == expected => Ok(()),
                runs => Err(runs),
            }
        });
        assert_eq!(fs::read_to_string(&app.file).unwrap(), json(&new));
    }
    let log = cluster.daemons[0].logged();
    assert!(
        log.contains("client file was changed by somebody else"),
        "{log}"
    );

    // A restart repeats no reload that succeeded.
    cluster.daemons[2].stop();
    cluster.daemons[2].start();
    let is_right = |it: &FileReport| it.epoch.is_some_and(|epoch| epoch.0 == 2);
    let shown = await_app(&cluster, 2, "the file is found right", is_right);
    assert_eq!(shown.reload, None);
    assert_eq!(apps[2].runs(), json(&old) + &json(&new));
}

#[test]
fn commands_that_fail_hang_or_refuse_are_shown_and_repeated_and_no_address_goes_back() {
    let hang = "sleep 100";
    let fail = "echo no such unit, redis://:s3cret@gone:1 >&2; exit 5";
    let refuse = "echo bad section, line 3; exit 1";
    let (mut cluster, apps) = prepare(["true", "true", refuse], [fail, hang, "true"]);
    start(&mut cluster);
    for (position, app) in apps.iter().enumerate() {
        await_app(&cluster, position, "the first reload", |it| {
            is_reloaded(it, 1)
        });
        fs::remove_file(&app.well).unwrap();
    }
    let old = cluster.servers[0].endpoint.to_string();

    cluster.servers[0].kill();
    let told = |daemon, words: &'static str| {
        await_app(&cluster, daemon, words, |it| {
            it.error.as_ref().is_some_and(|error| error.contains(words))
        })
    };
    let failed = told(0, "-app-reload failed (exit code 5)");
    let hung = told(1, "-app-reload did not end within 400ms and was killed");
    let refused = told(2, "CHECK refused the new content of client file");
    for shown in [&failed, &hung] {
        assert_eq!(shown.epoch.unwrap().0, 2, "its file names the new master");
        let error = shown.error.as_ref().unwrap();
        assert!(
            error.contains("the client may go on with the old master"),
            "{error}"
        );
    }
    let output = &failed.reload.as_ref().unwrap().output;
    assert_eq!(output, "no such unit, redis://***@gone:1");
    assert_eq!(
        (refused.epoch.unwrap().0, &*refused.check_output),
        (1, "bad section, line 3")
    );
    assert_eq!(fs::read_to_string(&apps[2].file).unwrap(), json(&old));
    let page = cluster.daemons[2].output("status").stdout;
    let page = String::from_utf8(page).unwrap();
    assert!(
        page.starts_with("WRONG") && page.contains("CHECK of app printed: bad section, line 3"),
        "{page}"
    );
    for daemon in &cluster.daemons {
        let log = daemon.logged();
        assert!(
            !log.contains("s3cret"),
            "a password is in the log of {}",
            daemon.name
        );
    }

    for app in &apps {
        fs::write(&app.well, "").unwrap();
    }
    let master = cluster.await_healthy(2);
    let new = cluster.servers[master].endpoint.to_string();
    for (position, app) in apps.iter().enumerate() {
        let shown = await_app(&cluster, position, "the reload at last", |it| {
            is_reloaded(it, 2)
        });
        assert_eq!(shown.error, None);
        assert_eq!(fs::read_to_string(&app.file).unwrap(), json(&new));
        assert_eq!(app.runs(), json(&old) + &json(&new));
    }
}
