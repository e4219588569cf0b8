//! A client that shows what it is answered, to the last byte that means something.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use promoterd::model::Endpoint;
use redis::{Parser, Value};

/// Longer than any answer takes.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// One connection.
pub struct Client {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
    parser: Parser,
}

impl Client {
    pub fn connect(endpoint: &Endpoint) -> Self {
        let stream = TcpStream::connect((endpoint.host(), endpoint.port())).unwrap();
        stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            answers: BufReader::new(stream.try_clone().unwrap()),
            stream,
            parser: Parser::new(),
        }
    }

    /// The same, in RESP3.
    pub fn connect_resp3(endpoint: &Endpoint) -> Self {
        let mut client = Self::connect(endpoint);
        let hello = client.ask("HELLO 3");
        assert!(matches!(hello, Value::Map(_)), "{hello:?}");
        client
    }

    /// Sends a command of words without blanks.
    pub fn send(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.write_all(bytes.as_bytes()).unwrap();
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn receive(&mut self) -> Value {
        self.parser.parse_value(&mut self.answers).unwrap()
    }

    pub fn ask(&mut self, line: &str) -> Value {
        self.send(line);
        self.receive()
    }

    /// Reads until the other side ends the connection.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.answers.read_to_end(&mut bytes).unwrap();
        bytes
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// The text of a bulk string or a status.
pub fn text(value: &Value) -> String {
    if let Value::BulkString(bytes) = value {
        String::from_utf8_lossy(bytes).into_owned()
    } else if let Value::SimpleString(text) | Value::VerbatimString { text, .. } = value {
        text.clone()
    } else {
        assert_eq!(*value, Value::Okay, "no text");
        "OK".to_owned()
    }
}

/// The texts of an array.
pub fn texts(value: &Value) -> Vec<String> {
    items(value).iter().map(text).collect()
}

pub fn items(value: &Value) -> &[Value] {
    let Value::Array(items) = value else {
        panic!("no array: {value:?}");
    };
    items
}

/// Fields with their values, from a map or from a flat array.
pub fn fields(value: &Value) -> Vec<(String, String)> {
    if let Value::Map(pairs) = value {
        let pairs = pairs.iter();
        return pairs
            .map(|(name, value)| (text(name), text(value)))
            .collect();
    }
    let words = texts(value);
    let pairs = words.chunks(2);
    pairs
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect()
}
