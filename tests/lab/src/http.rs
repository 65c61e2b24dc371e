//! Plain HTTP/1.0 in a few lines: one request a connection, over anything that reads and writes.
//!
//! The lab speaks it to its registry, to the API server through `kubectl proxy`, and to pods under test. Version 1.0
//! keeps servers from chunking, so a reply is whatever comes until the connection ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A request's parts beside its body.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST`, ….
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The Host header.
    pub host: &'a str,
    /// Type of the body.
    pub content_type: &'a str,
    /// Length of the body in bytes.
    pub length: u64,
}

impl<'a> Request<'a> {
    /// A request without a body.
    pub fn new(method: &'a str, target: &'a str, host: &'a str) -> Request<'a> {
        Request {
            method,
            target,
            host,
            content_type: "application/octet-stream",
            length: 0,
        }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names as sent, and values.
    pub headers: Vec<(String, String)>,
    /// The body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl Response {
    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Sends one request and reads the whole reply.
pub fn send(mut stream: impl Read + Write, request: &Request<'_>, body: &mut dyn Read) -> Result<Response> {
    let Request {
        method,
        target,
        host,
        content_type,
        length,
    } = request;
    write!(
        stream,
        "{method} {target} HTTP/1.0\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    )
    .with_context(|| format!("send {method} {target}"))?;
    let copied =
        std::io::copy(body, &mut stream).with_context(|| format!("send the body of {method} {target}"))?;
    if copied != *length {
        bail!("{method} {target}: the body has {copied} bytes, not the announced {length}");
    }
    let mut text = Vec::new();
    stream
        .read_to_end(&mut text)
        .with_context(|| format!("read the reply to {method} {target}"))?;
    parse(&String::from_utf8_lossy(&text)).with_context(|| format!("reply to {method} {target}"))
}

/// GETs a path from an address, giving up `limit` after connecting or reading stalls.
pub fn get(address: SocketAddr, target: &str, limit: Duration) -> Result<Response> {
    let stream =
        TcpStream::connect_timeout(&address, limit).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(limit))?;
    send(
        &stream,
        &Request::new("GET", target, &address.to_string()),
        &mut std::io::empty(),
    )
}

fn parse(text: &str) -> Result<Response> {
    let (head, body) = text.split_once("\r\n\r\n").context("the header does not end")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(':'));
    Ok(Response {
        status: status.context("no status line")?,
        headers: headers
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            .collect(),
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_taken_apart() {
        let reply = parse("HTTP/1.1 202 Accepted\r\nLocation: http://h/v2/x\r\nA: b\r\n\r\nbody\r\n\r\nmore")
            .unwrap();
        assert_eq!(reply.status, 202);
        assert_eq!(reply.header("location"), Some("http://h/v2/x"));
        assert_eq!(reply.body, "body\r\n\r\nmore");
        assert!(parse("garbage").is_err());
        assert!(parse("HTTP/1.1\r\n\r\n").is_err());
    }
}
