//! The channels and patterns that one client has subscribed to.

use super::pattern;
use super::reply::{Protocol, Replies};

/// Most channels and patterns of one client.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// Longest channel or pattern in bytes: ours have 40 at most.
pub const NAME_LENGTH_MAX: usize = 256;

/// What one client has subscribed to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    channels: Vec<Box<[u8]>>,
    patterns: Vec<Box<[u8]>>,
}

impl Subscriptions {
    /// Whether it hears of nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty()
    }

    /// How many channels and patterns there are.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.channels.len(), self.patterns.len())
    }

    fn total(&self) -> i64 {
        i64::try_from(self.channels.len() + self.patterns.len()).unwrap_or(i64::MAX)
    }

    /// `SUBSCRIBE`
    pub fn subscribe(&mut self, names: &[&[u8]], replies: &mut Replies<'_>) {
        for name in names {
            let is_room = self.total() < SUBSCRIPTIONS_MAX as i64;
            if add(&mut self.channels, name, is_room, replies) {
                confirm("subscribe", Some(name), self.total(), replies);
            }
        }
    }

    /// `PSUBSCRIBE`
    pub fn subscribe_patterns(&mut self, names: &[&[u8]], replies: &mut Replies<'_>) {
        for name in names {
            let is_room = self.total() < SUBSCRIPTIONS_MAX as i64;
            if add(&mut self.patterns, name, is_room, replies) {
                confirm("psubscribe", Some(name), self.total(), replies);
            }
        }
    }

    /// `UNSUBSCRIBE`
    pub fn unsubscribe(&mut self, names: &[&[u8]], replies: &mut Replies<'_>) {
        let named = named_or_all(names, &self.channels);
        for name in &named {
            self.channels.retain(|channel| channel != name);
            confirm("unsubscribe", Some(name), self.total(), replies);
        }
        if named.is_empty() {
            confirm("unsubscribe", None, self.total(), replies);
        }
    }

    /// `PUNSUBSCRIBE`
    pub fn unsubscribe_patterns(&mut self, names: &[&[u8]], replies: &mut Replies<'_>) {
        let named = named_or_all(names, &self.patterns);
        for name in &named {
            self.patterns.retain(|pattern| pattern != name);
            confirm("punsubscribe", Some(name), self.total(), replies);
        }
        if named.is_empty() {
            confirm("punsubscribe", None, self.total(), replies);
        }
    }

    /// Writes what this client hears of a message, once for each subscription that it fits.
    pub fn deliver(&self, channel: &str, message: &str, protocol: Protocol, bytes: &mut Vec<u8>) {
        let mut replies = Replies::new(protocol, bytes);
        let channel = channel.as_bytes();
        if self.channels.iter().any(|name| **name == *channel) {
            replies.push(3);
            replies.text("message");
            replies.bulk(channel);
            replies.text(message);
        }
        for pattern in &self.patterns {
            if pattern::matches(pattern, channel) {
                replies.push(4);
                replies.text("pmessage");
                replies.bulk(pattern);
                replies.bulk(channel);
                replies.text(message);
            }
        }
    }
}

/// Whether the name stands in `names` now.
fn add(names: &mut Vec<Box<[u8]>>, name: &[u8], is_room: bool, replies: &mut Replies<'_>) -> bool {
    if names.iter().any(|known| **known == *name) {
        return true;
    }
    if !is_room || name.len() > NAME_LENGTH_MAX {
        replies.error(format_args!(
            "ERR at most {SUBSCRIPTIONS_MAX} channels and patterns of {NAME_LENGTH_MAX} bytes are taken"
        ));
        return false;
    }
    names.reserve_exact(1);
    names.push(name.into());
    true
}

fn named_or_all(names: &[&[u8]], all: &[Box<[u8]>]) -> Vec<Box<[u8]>> {
    if names.is_empty() {
        return all.to_vec();
    }
    names.iter().map(|name| Box::from(*name)).collect()
}

fn confirm(kind: &str, name: Option<&[u8]>, total: i64, replies: &mut Replies<'_>) {
    replies.push(3);
    replies.text(kind);
    match name {
        Some(name) => replies.bulk(name),
        None => replies.null(),
    }
    replies.integer(total);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Replies<'_>)) -> String {
        let mut bytes = Vec::new();
        write(&mut Replies::new(Protocol::Resp3, &mut bytes));
        String::from_utf8(bytes).unwrap().replace("\r\n", " ")
    }

    #[test]
    fn a_client_hears_of_a_message_once_for_each_subscription_that_it_fits() {
        let mut subscriptions = Subscriptions::default();
        let said = written(|replies| {
            subscriptions.subscribe(&[b"+sdown", b"+sdown"], replies);
            subscriptions.subscribe_patterns(&[b"[-+]sdown", b"x*"], replies);
        });
        assert_eq!(
            said,
            ">3 $9 subscribe $6 +sdown :1 >3 $9 subscribe $6 +sdown :1 \
             >3 $10 psubscribe $9 [-+]sdown :2 >3 $10 psubscribe $2 x* :3 "
        );
        let mut bytes = Vec::new();
        subscriptions.deliver("+sdown", "m", Protocol::Resp2, &mut bytes);
        assert_eq!(
            String::from_utf8(bytes).unwrap().replace("\r\n", " "),
            "*3 $7 message $6 +sdown $1 m *4 $8 pmessage $9 [-+]sdown $6 +sdown $1 m "
        );
        let mut bytes = Vec::new();
        subscriptions.deliver("+odown", "m", Protocol::Resp3, &mut bytes);
        assert_eq!(bytes, b"");
    }

    #[test]
    fn leaving_all_names_each_and_leaving_nothing_names_none() {
        let mut subscriptions = Subscriptions::default();
        let said = written(|replies| {
            subscriptions.unsubscribe(&[], replies);
            subscriptions.subscribe(&[b"a"], replies);
            subscriptions.subscribe_patterns(&[b"b"], replies);
            subscriptions.unsubscribe(&[], replies);
            subscriptions.unsubscribe_patterns(&[b"c", b"b"], replies);
        });
        assert_eq!(
            said,
            ">3 $11 unsubscribe _ :0 >3 $9 subscribe $1 a :1 >3 $10 psubscribe $1 b :2 \
             >3 $11 unsubscribe $1 a :1 >3 $12 punsubscribe $1 c :1 >3 $12 punsubscribe $1 b :0 "
        );
        assert!(subscriptions.is_empty());
    }

    #[test]
    fn subscriptions_are_bounded_in_number_and_in_length() {
        let mut subscriptions = Subscriptions::default();
        let names: Vec<String> = (0..=SUBSCRIPTIONS_MAX).map(|it| it.to_string()).collect();
        let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        assert!(
            written(|replies| subscriptions.subscribe(&names, replies)).contains("-ERR at most")
        );
        assert_eq!(subscriptions.count(), (SUBSCRIPTIONS_MAX, 0));
        let mut subscriptions = Subscriptions::default();
        let long = vec![b'x'; NAME_LENGTH_MAX + 1];
        assert!(written(|it| subscriptions.subscribe_patterns(&[&long], it)).starts_with("-ERR"));
        assert!(subscriptions.is_empty());
    }
}
