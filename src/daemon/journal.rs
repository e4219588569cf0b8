//! Events as entries of systemd's journal: a line for people, and each field by itself.
//!
//! Own code, since the crates for it leave the fields out of the line that `journalctl` shows, and wait
//! for a journal that does not read. Source: the native journal protocol of systemd.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

const SOCKET: &str = "/run/systemd/journal/socket";
/// Longest value, in bytes; an entry has to fit into one datagram.
const VALUE_MAX: usize = 8 << 10;
/// Most fields of one entry.
const FIELDS_MAX: usize = 20;

/// Sends each write as one datagram to the journal.
#[derive(Debug)]
pub(super) struct Datagrams(UnixDatagram);

impl Datagrams {
    /// Fails when no journal listens on this host.
    pub(super) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        UnixDatagram::unbound()?.connect(SOCKET)?;
        Ok(Self(socket))
    }
}

impl Write for Datagrams {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        // By its path each time: a journal that was restarted listens on another socket.
        self.0.send_to(entry, SOCKET)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes events as entries.
pub(super) struct Journal(pub(super) NonBlocking);

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let entry = said.entry(*event.metadata().level());
        // A line that cannot be queued is lost, and counted by the queue.
        drop(self.0.clone().write_all(&entry));
    }
}

/// What an event says.
#[derive(Debug, Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Said {
    fn note(&mut self, field: &Field, mut value: String) {
        clip(&mut value);
        if field.name() == "message" {
            self.message = value;
        } else if self.fields.len() < FIELDS_MAX {
            self.fields.push((field.name(), value));
        }
    }

    fn entry(&self, level: Level) -> Vec<u8> {
        let mut line = self.message.clone();
        for (name, value) in &self.fields {
            // Writing to a string cannot fail.
            let _ = write!(line, " {name}={value}");
        }
        clip(&mut line);
        let mut entry = Vec::with_capacity(256 + 2 * line.len());
        put(&mut entry, "MESSAGE", &line);
        put(&mut entry, "PRIORITY", priority(level));
        put(&mut entry, "SYSLOG_IDENTIFIER", "promoterd");
        for (name, value) in &self.fields {
            let name = name.to_uppercase().replace(['.', '-'], "_");
            put(&mut entry, &format!("PROMOTERD_{name}"), value);
        }
        entry
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, format!("{value:?}"));
    }
}

fn clip(value: &mut String) {
    let end = (0..=VALUE_MAX.min(value.len()))
        .rev()
        .find(|at| value.is_char_boundary(*at));
    value.truncate(end.unwrap_or_default());
}

/// The levels of syslog(3).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// In the form that takes any value: the name, its length, the bytes.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Kept {
        fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(entry.to_vec());
            Ok(entry.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn fields(mut entry: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while !entry.is_empty() {
            let end = entry.iter().position(|byte| *byte == b'\n').unwrap();
            let name = String::from_utf8(entry[..end].to_vec()).unwrap();
            let length = u64::from_le_bytes(entry[end + 1..end + 9].try_into().unwrap());
            let length = usize::try_from(length).unwrap();
            let value = &entry[end + 9..end + 9 + length];
            fields.push((name, String::from_utf8(value.to_vec()).unwrap()));
            entry = &entry[end + 10 + length..];
        }
        fields
    }

    #[test]
    fn an_entry_has_a_line_for_people_and_every_field_by_itself() {
        let kept = Kept::default();
        let (writer, guard) = tracing_appender::non_blocking(kept.clone());
        let subscriber = tracing_subscriber::registry().with(Journal(writer));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(group = "features", epoch = 2, why = %"a\nb", "failover began");
            let long = "ä".repeat(VALUE_MAX);
            tracing::info!(long, "much");
        });
        drop(guard);
        let kept = kept.0.lock().unwrap();
        let pairs = |pairs: &[(&str, &str)]| {
            Vec::from_iter(
                pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            )
        };
        assert_eq!(
            fields(&kept[0]),
            pairs(&[
                ("MESSAGE", "failover began group=features epoch=2 why=a\nb"),
                ("PRIORITY", "4"),
                ("SYSLOG_IDENTIFIER", "promoterd"),
                ("PROMOTERD_GROUP", "features"),
                ("PROMOTERD_EPOCH", "2"),
                ("PROMOTERD_WHY", "a\nb"),
            ])
        );
        for (name, value) in fields(&kept[1]) {
            assert!(value.len() <= VALUE_MAX, "{name}");
        }
    }
}
