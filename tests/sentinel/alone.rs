//! A node that starts without its peers: what it still knows, and that it hears no leader.

use crate::endpoint::start;
use crate::wire::{Client, fields, texts};

#[test]
fn a_node_that_starts_alone_tells_the_last_master_that_was_committed() {
    let (mut cluster, endpoints) = start();
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    for daemon in &mut cluster.daemons {
        daemon.stop();
    }
    cluster.daemons[0].start();
    cluster.daemons[0].await_status("it answers", |report| report.leader.is_none());
    let mut client = Client::connect(&endpoints[0]);
    let address = texts(&client.ask("SENTINEL GET-MASTER-ADDR-BY-NAME features"));
    let expected = &cluster.servers[master].endpoint;
    assert_eq!(
        address,
        [expected.host().to_owned(), expected.port().to_string()]
    );
    // It says that this may be old, and not that the master is lost.
    let told = fields(&client.ask("SENTINEL MASTER features"));
    let of = |name: &str| {
        told.iter()
            .find(|(it, _)| it == name)
            .map(|(_, value)| &**value)
    };
    assert_eq!(of("flags"), Some("master,no_quorum"), "{told:?}");
    assert_eq!(of("num-other-sentinels"), Some("0"), "{told:?}");
}
