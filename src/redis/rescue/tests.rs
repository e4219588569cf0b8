//! Rescues from scripted servers, those that send what no server should among them.

use std::fs;

use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use crate::decision::RescueLimits;
use crate::model::{Endpoint, Epoch, RunId};
use crate::redis::Secret;

const MARK: &str = "0123456789abcdef0123456789abcdef01234567";

pub(super) fn order() -> RescueOrder {
    RescueOrder {
        group: "features".parse().unwrap(),
        epoch: Epoch(2),
        endpoint: "127.0.0.1:1".parse().unwrap(),
        run_id: RunId::from_bytes([0x11; 20]),
        diverged_bytes: Some(7),
        limits: RescueLimits {
            size_max: 1 << 20,
            lasts_max: Duration::from_secs(10),
        },
    }
}

/// What a server says to each command, in their order; behind the last one it keeps silent, or closes.
async fn serve(says: Vec<Vec<u8>>, closes: bool) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for said in says {
            assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
            stream.write_all(&said).await.unwrap();
        }
        while !closes
            && stream
                .read(&mut [0; 1024])
                .await
                .is_ok_and(|length| length > 0)
        {}
    });
    endpoint
}

fn info(run_id: &str) -> Vec<u8> {
    let text = format!("# Server\r\nrun_id:{run_id}\r\n");
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

fn good() -> Vec<u8> {
    info(&"1".repeat(40))
}

async fn try_to(
    says: Vec<Vec<u8>>,
    closes: bool,
    order: RescueOrder,
) -> (TempDir, Result<Rescued, String>) {
    let state = tempfile::tempdir().unwrap();
    let endpoint = serve(says, closes).await;
    let order = RescueOrder { endpoint, ..order };
    let outcome = rescue(state.path(), &Credentials::default(), &order).await;
    (state, outcome)
}

#[tokio::test]
async fn both_forms_of_a_data_set_are_saved_whole() {
    let large = [b"REDIS0011".to_vec(), vec![b'x'; 700_000]].concat();
    let marked = [
        format!("\n$EOF:{MARK}\r\n").into_bytes(),
        large.clone(),
        MARK.into(),
    ]
    .concat();
    let counted = [
        format!("\n\n${}\r\n", large.len()).into_bytes(),
        large.clone(),
    ]
    .concat();
    for (capable, sent) in [("+OK\r\n", marked), ("-ERR no\r\n", counted)] {
        let says = vec![good(), capable.into(), sent];
        let (state, outcome) = try_to(says, false, order()).await;
        let rescued = outcome.unwrap();
        assert_eq!(rescued.bytes, large.len() as u64);
        assert!(fs::read(&rescued.path).unwrap() == large);
        let (path, description) = list(state.path()).remove(0);
        assert_eq!(path.display().to_string(), rescued.path);
        assert_eq!(description.bytes, rescued.bytes);
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_and_leaves_nothing_behind() {
    let ok = || b"+OK\r\n".to_vec();
    // More than what may be the beginning of the mark, and so is kept back.
    let marked = format!("$EOF:{MARK}\r\nREDIS0011{}", "x".repeat(60));
    let small = RescueOrder {
        limits: RescueLimits {
            size_max: 8,
            ..order().limits
        },
        ..order()
    };
    let short = RescueOrder {
        limits: RescueLimits {
            lasts_max: Duration::from_millis(50),
            ..order().limits
        },
        ..order()
    };
    for (says, closes, order, reason) in [
        (
            vec![info(&"2".repeat(40))],
            false,
            order(),
            "another process answers there",
        ),
        (
            vec![b"-NOPERM no\r\n".to_vec()],
            false,
            order(),
            "INFO was answered with NOPERM no",
        ),
        (
            vec![good(), ok(), b"-NOPERM no\r\n".to_vec()],
            false,
            order(),
            "refuses: NOPERM no",
        ),
        (
            vec![good(), ok(), marked.clone().into()],
            true,
            order(),
            "ended the connection before all was sent",
        ),
        (
            vec![good(), ok(), b"\n$9\r\nREDIS".to_vec()],
            true,
            order(),
            "ended the connection before all was sent",
        ),
        (
            vec![good(), ok(), b"$9\r\nREDIS0011".to_vec()],
            false,
            small.clone(),
            "larger than 8 bytes",
        ),
        (
            vec![good(), ok(), marked.into()],
            false,
            small,
            "larger than 8 bytes",
        ),
        (
            vec![good(), ok(), b"\n".to_vec()],
            false,
            short.clone(),
            "not done within 0 s",
        ),
        (vec![], false, short, "not done within 0 s"),
        (
            vec![vec![b'x'; 5000]],
            false,
            order(),
            "ended the connection",
        ),
        (
            vec![b"$1073741824\r\n".to_vec()],
            false,
            order(),
            "was answered with $1073741824",
        ),
    ] {
        let (state, outcome) = try_to(says, closes, order).await;
        let told = outcome.unwrap_err();
        assert!(told.contains(reason), "{told}, not {reason}");
        let left = fs::read_dir(directory(state.path())).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{reason}");
    }
}

#[tokio::test]
async fn a_login_is_shown_first_and_its_refusal_told() {
    let state = tempfile::tempdir().unwrap();
    let endpoint = serve(vec![b"-WRONGPASS no\r\n".to_vec()], false).await;
    let credentials = Credentials {
        password: Some(Secret::new("wrong".to_owned())),
        ..Credentials::default()
    };
    let order = RescueOrder {
        endpoint,
        ..order()
    };
    let told = rescue(state.path(), &credentials, &order)
        .await
        .unwrap_err();
    assert!(
        told.starts_with("AUTH was answered with WRONGPASS no"),
        "{told}"
    );
}

#[tokio::test]
async fn a_state_directory_that_takes_no_files_is_told() {
    let says = vec![good(), b"+OK\r\n".to_vec()];
    let endpoint = serve(says, false).await;
    let order = RescueOrder {
        endpoint,
        ..order()
    };
    let nowhere = tempfile::tempdir().unwrap().path().join("gone");
    let told = rescue(&nowhere, &Credentials::default(), &order)
        .await
        .unwrap_err();
    assert!(told.starts_with("cannot create "), "{told}");
}
