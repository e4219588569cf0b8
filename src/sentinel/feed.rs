//! Where the daemon's loop tells the endpoint what it knows; never waits for it.

use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::view::View;
use crate::decision::Happening;

/// Views that may wait to be told of; a subscriber that missed one is sent away.
const NEWS_MAX: usize = 1024;

/// Something that subscribers may have to hear of.
#[derive(Debug, Clone)]
pub struct News {
    /// What happened, in order; nothing where only a new view was asked for.
    pub happenings: Vec<Happening>,
    /// What this node knows behind all of it.
    pub view: Arc<View>,
    /// Whether news before this were lost.
    pub is_gap_before: bool,
}

/// The loop's end.
#[derive(Debug)]
pub struct Feed {
    views: watch::Sender<Arc<View>>,
    news: mpsc::Sender<News>,
    is_gap: bool,
}

/// The endpoint's end.
#[derive(Debug)]
pub struct Outlet {
    /// The latest view.
    pub views: watch::Receiver<Arc<View>>,
    /// What subscribers have to hear of, each behind its view.
    pub news: mpsc::Receiver<News>,
}

impl Feed {
    /// Both ends, with what is known at first.
    #[must_use]
    pub fn open(view: View) -> (Self, Outlet) {
        let (views, views_seen) = watch::channel(Arc::new(view));
        let (news, news_inbox) = mpsc::channel(NEWS_MAX);
        let feed = Self {
            views,
            news,
            is_gap: false,
        };
        let outlet = Outlet {
            views: views_seen,
            news: news_inbox,
        };
        (feed, outlet)
    }

    /// What was told last.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    /// Shows the view, and then tells what happened: whoever hears of it is answered from that view or
    /// a later one.
    pub fn tell(&mut self, happenings: Vec<Happening>, view: View) {
        let view = Arc::new(view);
        self.views.send_replace(Arc::clone(&view));
        let news = News {
            happenings,
            view,
            is_gap_before: self.is_gap,
        };
        self.is_gap = match self.news.try_send(news) {
            Ok(()) => false,
            Err(TrySendError::Full(_)) => true,
            // The endpoint is gone: the loop hears of that where it waits for questions.
            Err(TrySendError::Closed(_)) => false,
        };
    }
}
