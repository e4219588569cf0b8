//! The client libraries of this language: redis-rs, with and without async, and fred.

use std::collections::HashMap;

use fred::prelude::{
    Builder, ClientLike, Config, ConfigInterface, KeysInterface, ReconnectPolicy, Server,
    ServerConfig,
};
use fred::types::RespVersion;
use promoterd::model::Endpoint;
use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Connection, ConnectionAddr, Pipeline, ProtocolVersion, RedisResult};
use tokio::runtime::{self, Runtime};

use crate::clients::ASKING_LATE_MAX;
use crate::writer::Writer;

/// Milliseconds between two attempts of fred to connect.
const RECONNECT_DELAY_MS: u32 = 10;

/// What a server answers to a write and the question who it is.
type Answer = (HashMap<String, u16>,);

pub fn redis_rs(protocol: ProtocolVersion, endpoints: &[Endpoint]) -> Writer {
    let mut client = client(protocol, endpoints);
    let mut connection = None;
    let name = format!("redis-rs {protocol:?}");
    Writer::repeat(&name, ASKING_LATE_MAX, move || {
        let written = write(&mut client, &mut connection);
        port(written.inspect_err(|_| connection = None))
    })
}

fn write(client: &mut SentinelClient, kept: &mut Option<Connection>) -> RedisResult<Answer> {
    let connection = match kept {
        Some(connection) => connection,
        None => kept.insert(client.get_connection()?),
    };
    command().query(connection)
}

pub fn redis_rs_async(protocol: ProtocolVersion, endpoints: &[Endpoint]) -> Writer {
    let runtime = start_runtime();
    let mut client = client(protocol, endpoints);
    let mut connection = None;
    let name = format!("redis-rs async {protocol:?}");
    Writer::repeat(&name, ASKING_LATE_MAX, move || {
        let written = runtime.block_on(write_async(&mut client, &mut connection));
        port(written.inspect_err(|_| connection = None))
    })
}

async fn write_async(
    client: &mut SentinelClient,
    kept: &mut Option<MultiplexedConnection>,
) -> RedisResult<Answer> {
    let connection = match kept {
        Some(connection) => connection,
        None => kept.insert(client.get_async_connection().await?),
    };
    command().query_async(connection).await
}

fn client(protocol: ProtocolVersion, endpoints: &[Endpoint]) -> SentinelClient {
    let addresses = endpoints
        .iter()
        .map(|it| ConnectionAddr::Tcp(it.host().to_owned(), it.port()));
    let name = "features".to_owned();
    SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)
        .unwrap()
        .set_client_to_redis_protocol(protocol)
        .set_client_to_sentinel_protocol(protocol)
        .build()
        .unwrap()
}

fn command() -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("INCR").arg("writes").ignore();
    pipeline.cmd("CONFIG").arg("GET").arg("port");
    pipeline
}

fn port(written: RedisResult<Answer>) -> Result<u16, String> {
    let (config,) = written.map_err(|error| error.to_string())?;
    Ok(config["port"])
}

/// It connects again by itself, and asks for the master each time.
pub fn fred(version: RespVersion, endpoints: &[Endpoint]) -> Writer {
    let runtime = start_runtime();
    let name = format!("fred {version:?}");
    let hosts = endpoints
        .iter()
        .map(|it| Server::new(it.host(), it.port()))
        .collect();
    let config = Config {
        server: ServerConfig::Sentinel {
            hosts,
            service_name: "features".to_owned(),
        },
        version,
        ..Config::default()
    };
    let client = runtime.block_on(async {
        let mut builder = Builder::from_config(config);
        builder.set_policy(ReconnectPolicy::new_constant(0, RECONNECT_DELAY_MS));
        let client = builder.build().unwrap();
        client.init().await.unwrap();
        client
    });
    let write = async move |client: &fred::prelude::Client| {
        client.incr::<i64, _>("writes").await?;
        let config: HashMap<String, u16> = client.config_get("port").await?;
        Ok(config["port"])
    };
    Writer::repeat(&name, ASKING_LATE_MAX, move || {
        let written: Result<u16, fred::error::Error> = runtime.block_on(write(&client));
        written.map_err(|error| error.to_string())
    })
}

fn start_runtime() -> Runtime {
    let mut builder = runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}
