//! What a Redis server sends: replies as we read them, and the stream that the `redis` crate reads.

use std::time::Duration;

use promoterd::model::RunId;
use promoterd::redis::{Asked, info};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, RedisConnectionInfo, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::Input;

/// The longest text that any meaning takes: foreign words in it are bounded.
const MEANING_MAX: usize = 512 << 10;

/// One reply behind another; what the bytes are as the text of INFO, too.
pub fn reply(bytes: &[u8]) {
    let run_id = RunId::from_bytes([1; 20]);
    if let Ok(found) = info::parse(bytes) {
        let found = format!("{found:?}");
        assert!(found.len() <= MEANING_MAX, "{} bytes", found.len());
    }
    let mut values = vec![Value::BulkString(bytes.to_vec())];
    let mut input = Input::new(bytes);
    while !input.is_empty() && values.len() < 8 {
        let part = input.part();
        if let Ok(value) = redis::parse_redis_value(part) {
            values.push(value);
        }
    }
    if let Ok(value) = redis::parse_redis_value(bytes) {
        values.push(value);
    }
    for from in 0..values.len() {
        for asked in Asked::all(run_id) {
            let meaning = asked.read(&values[from..]).expect("there is a reply");
            assert!(meaning.len() <= MEANING_MAX, "{} bytes", meaning.len());
        }
    }
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
}

/// A server that sends any bytes, in pieces, to somebody who has asked four questions.
pub fn connection(bytes: &[u8]) {
    RUNTIME.with(|runtime| runtime.block_on(converse(bytes)));
}

async fn converse(bytes: &[u8]) {
    let (ours, mut theirs) = duplex(1 << 16);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(Some(Duration::from_secs(1)));
    let handshake = RedisConnectionInfo::default().set_skip_set_lib_name();
    let Ok((mut commands, driver)) =
        MultiplexedConnection::new_with_config(&handshake, ours, config).await
    else {
        return;
    };
    let driver = tokio::spawn(driver);
    let mut input = Input::new(bytes);
    let server = async {
        let mut asked = [0; 4096];
        while !input.is_empty() {
            let _ = timeout(Duration::from_millis(1), theirs.read(&mut asked)).await;
            let length = 1 + usize::from(input.byte()) * 4;
            if theirs.write_all(input.take(length)).await.is_err() {
                break;
            }
        }
        drop(theirs);
    };
    let mut pipeline = Pipeline::new();
    pipeline.cmd("CONFIG").arg("GET").arg("min-replicas-*");
    pipeline.cmd("ROLE").cmd("INFO");
    let client = async {
        for _ in 0..3 {
            let _ = commands.send_packed_command(&redis::cmd("PING")).await;
            let _ = commands.send_packed_commands(&pipeline, 0, 3).await;
        }
    };
    tokio::join!(server, client);
    drop(commands);
    driver.abort();
    let ended = driver.await;
    assert!(!ended.is_err_and(|error| error.is_panic()), "it panicked");
}
