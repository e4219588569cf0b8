//! The channels and patterns that one client has subscribed to.

use super::channels::{Announcement, Channels};
use super::reply::{Protocol, Replies};

/// Most channels and patterns of one client.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// Longest channel or pattern in bytes: ours have 40 at most.
pub const NAME_LENGTH_MAX: usize = 256;

/// What one client has subscribed to: channels and patterns in one list, since most clients have one of both.
#[derive(Debug, Default)]
pub struct Subscriptions(Vec<Subscription>);

/// One of both.
#[derive(Debug)]
struct Subscription {
    kind: Kind,
    /// What it means of what there is.
    channels: Channels,
    name: Box<[u8]>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Channel,
    Pattern,
}

impl Kind {
    /// What a confirmation says that was done.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Channel => ("subscribe", "unsubscribe"),
            Self::Pattern => ("psubscribe", "punsubscribe"),
        }
    }
}

impl Subscriptions {
    /// Whether it hears of nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many channels and patterns there are.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let channels = self.of(Kind::Channel).count();
        (channels, self.0.len() - channels)
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        let all = self.0.iter();
        all.filter(move |it| it.kind == kind).map(|it| &*it.name)
    }

    /// `SUBSCRIBE`
    pub fn subscribe(&mut self, names: &[&[u8]], replies: &mut Replies<'_>) {
        self.add_all(Kind::Channel, names, replies);
    }

    /// `PSUBSCRIBE`
    pub fn subscribe_patterns(&mut self, names: &[&[u8]], replies: &mut Replies<'_>) {
        self.add_all(Kind::Pattern, names, replies);
    }

    /// `UNSUBSCRIBE`
    pub fn unsubscribe(&mut self, names: &[&[u8]], replies: &mut Replies<'_>) {
        self.remove_all(Kind::Channel, names, replies);
    }

    /// `PUNSUBSCRIBE`
    pub fn unsubscribe_patterns(&mut self, names: &[&[u8]], replies: &mut Replies<'_>) {
        self.remove_all(Kind::Pattern, names, replies);
    }

    fn add_all(&mut self, kind: Kind, names: &[&[u8]], replies: &mut Replies<'_>) {
        for name in names {
            if self.add(kind, name) {
                confirm(kind.words().0, Some(name), self.0.len(), replies);
            } else {
                replies.error(format_args!(
                    "ERR at most {SUBSCRIPTIONS_MAX} channels and patterns of {NAME_LENGTH_MAX} bytes are taken"
                ));
            }
        }
    }

    /// Whether there was room for it, or it stands there already.
    fn add(&mut self, kind: Kind, name: &[u8]) -> bool {
        if self.of(kind).any(|known| known == name) {
            return true;
        }
        if self.0.len() >= SUBSCRIPTIONS_MAX || name.len() > NAME_LENGTH_MAX {
            return false;
        }
        self.0.reserve_exact(1);
        self.0.push(Subscription {
            kind,
            channels: match kind {
                Kind::Channel => Channels::named(name),
                Kind::Pattern => Channels::meant_by(name),
            },
            name: name.into(),
        });
        true
    }

    fn remove_all(&mut self, kind: Kind, names: &[&[u8]], replies: &mut Replies<'_>) {
        let word = kind.words().1;
        let named: Vec<Box<[u8]>> = match names {
            [] => self.of(kind).map(Box::from).collect(),
            names => names.iter().map(|name| Box::from(*name)).collect(),
        };
        for name in &named {
            self.0.retain(|it| it.kind != kind || it.name != *name);
            confirm(word, Some(name), self.0.len(), replies);
        }
        if named.is_empty() {
            confirm(word, None, self.0.len(), replies);
        }
    }

    /// Writes what this client hears of an event, once for each subscription that it fits.
    pub fn deliver(&self, event: &Announcement<'_>, protocol: Protocol, bytes: &mut Vec<u8>) {
        let mut replies = Replies::new(protocol, bytes);
        let fits = |it: &&Subscription| it.channels.meet(event.channels);
        let heard = || self.0.iter().filter(fits);
        if heard().any(|it| it.kind == Kind::Channel) {
            replies.push(3);
            replies.text("message");
            replies.text(event.channel);
            replies.text(event.message);
        }
        for pattern in heard().filter(|it| it.kind == Kind::Pattern) {
            replies.push(4);
            replies.text("pmessage");
            replies.bulk(&pattern.name);
            replies.text(event.channel);
            replies.text(event.message);
        }
    }
}

fn confirm(kind: &str, name: Option<&[u8]>, total: usize, replies: &mut Replies<'_>) {
    replies.push(3);
    replies.text(kind);
    match name {
        Some(name) => replies.bulk(name),
        None => replies.null(),
    }
    replies.integer(i64::try_from(total).unwrap_or(i64::MAX));
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
        let event = |channel| (channel, "m".to_owned());
        let mut bytes = Vec::new();
        let down = event("+sdown");
        subscriptions.deliver(&Announcement::of(&down), Protocol::Resp2, &mut bytes);
        assert_eq!(
            String::from_utf8(bytes).unwrap().replace("\r\n", " "),
            "*3 $7 message $6 +sdown $1 m *4 $8 pmessage $9 [-+]sdown $6 +sdown $1 m "
        );
        let mut bytes = Vec::new();
        let other = event("+odown");
        subscriptions.deliver(&Announcement::of(&other), Protocol::Resp3, &mut bytes);
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
