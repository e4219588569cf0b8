//! The rescued data sets as a page: a table, and the commands that load and compare the newest.

use std::fmt::Write;
use std::path::Path;

use super::schema_rescue::{RescueReport, RescuesReport};
use super::table::{Lean, Table};
use super::text::{bytes, moment, plain};

/// A port that no usual service has, for the server that is looked into.
const PORT: u16 = 16379;

/// The page; lines end with line feeds.
#[must_use]
pub fn describe_rescues(report: &RescuesReport) -> String {
    let Some(newest) = report.rescues.first() else {
        return "nothing was rescued on this host; other nodes may have: ask each\n".to_owned();
    };
    let mut page = String::new();
    let mut table = Table::new([
        ("SAVED", Lean::Left),
        ("GROUP", Lean::Left),
        ("INSTANCE", Lean::Left),
        ("EPOCH", Lean::Right),
        ("SIZE", Lean::Right),
        ("DIVERGED", Lean::Right),
        ("FILE", Lean::Left),
    ]);
    for rescue in &report.rescues {
        table.add([
            moment(rescue.at),
            rescue.group.to_string(),
            rescue.instance.to_string(),
            rescue.epoch.to_string(),
            bytes(rescue.bytes),
            rescue
                .diverged_bytes
                .map_or_else(|| "unknown".to_owned(), bytes),
            rescue.path.display().to_string(),
        ]);
    }
    table.print("", &mut page);
    // Writing to a String does not fail.
    let _ = write!(
        page,
        "\nto look into the newest, beside the group, as root:\n  {}\n",
        load(newest)
    );
    let _ = write!(page, "the keys that only it has:\n  {}\n", compare(newest));
    let _ = writeln!(
        page,
        "to end that server:\n  redis-cli -p {PORT} shutdown nosave"
    );
    page
}

/// It reads the file and writes none, and nobody beyond this host can reach it.
fn load(rescue: &RescueReport) -> String {
    let part =
        |of: Option<&Path>| quoted(&of.map(|it| it.display().to_string()).unwrap_or_default());
    let directory = part(rescue.path.parent());
    let name = part(rescue.path.file_name().map(Path::new));
    format!(
        "redis-server --port {PORT} --bind 127.0.0.1 --save '' --appendonly no --dir {directory} --dbfilename {name}"
    )
}

fn compare(rescue: &RescueReport) -> String {
    let (host, port) = match &rescue.master {
        Some(master) => (master.host().to_owned(), master.port().to_string()),
        None => ("HOST".to_owned(), "PORT".to_owned()),
    };
    format!(
        "redis-cli -p {PORT} --scan | while IFS= read -r key; do [ \"$(redis-cli -h {host} -p {port} \
         exists \"$key\")\" = 1 ] || printf '%s\\n' \"$key\"; done"
    )
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let text = plain(text);
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    if text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, UnixTime};

    #[test]
    fn the_page_shows_each_and_how_to_load_the_newest() {
        let rescue = |epoch: u64, path: &str, diverged_bytes| RescueReport {
            group: "features".parse().unwrap(),
            instance: "10.0.0.1:6379".parse().unwrap(),
            epoch: Epoch(epoch),
            at: UnixTime(1_770_000_000_123),
            path: path.into(),
            bytes: 3 << 20,
            diverged_bytes,
            master: Some("10.0.0.2:6380".parse().unwrap()),
        };
        let report = RescuesReport {
            rescues: vec![
                rescue(3, "/state/a b/features-3-9.rdb", Some(1536)),
                rescue(2, "/state/features-2-1.rdb", None),
            ],
            ..RescuesReport::default()
        };
        let page = describe_rescues(&report);
        let lines: Vec<&str> = page.lines().collect();
        assert!(
            lines[0].starts_with("SAVED ") && lines[0].ends_with("FILE"),
            "{page}"
        );
        assert!(
            lines[1].contains("3.0 MiB   1.5 KiB  /state/a b/features-3-9.rdb"),
            "{page}"
        );
        assert!(lines[2].contains("unknown"), "{page}");
        let load = "--save '' --appendonly no --dir '/state/a b' --dbfilename features-3-9.rdb";
        assert!(lines[5].ends_with(load), "{page}");
        assert!(
            lines[7].contains("redis-cli -h 10.0.0.2 -p 6380 exists \"$key\""),
            "{page}"
        );
        assert!(describe_rescues(&RescuesReport::default()).contains("ask each"));
    }
}
