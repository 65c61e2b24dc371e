//! The few requests of the registry protocol a push takes, over plain sockets: one connection a request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::images::{Image, MANIFEST_TYPE};

/// A client of one registry.
pub(super) struct Client {
    address: SocketAddr,
    /// Blobs pushed in this session and the repository each went to: others mount them from there.
    known: RefCell<HashMap<String, String>>,
}

/// A request's parts beside its body.
struct Request<'a> {
    method: &'a str,
    target: &'a str,
    content_type: &'a str,
    length: u64,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Client {
        Client {
            address,
            known: RefCell::default(),
        }
    }

    /// True once the registry serves its API.
    pub(super) fn answers(&self) -> bool {
        self.send(&Request::empty("GET", "/v2/"), &mut std::io::empty())
            .is_ok_and(|reply| reply.status == 200)
    }

    /// Layers, then the configuration, then the manifest that names them.
    pub(super) fn push(&self, image: &Image) -> Result<()> {
        let repository = &image.reference.repository;
        for layer in &image.layers {
            let mut file =
                File::open(&layer.path).with_context(|| format!("open {}", layer.path.display()))?;
            self.blob(repository, &layer.digest, layer.size, &mut file)?;
        }
        let config = &image.config;
        self.blob(
            repository,
            &image.config_digest(),
            config.len() as u64,
            &mut Cursor::new(config),
        )?;
        let target = format!("/v2/{repository}/manifests/{}", image.reference.tag);
        let length = image.manifest.len() as u64;
        let request = Request {
            method: "PUT",
            target: &target,
            content_type: MANIFEST_TYPE,
            length,
        };
        let reply = self.send(&request, &mut Cursor::new(&image.manifest))?;
        expect(&reply, 201, "the manifest")?;
        match reply.header("Docker-Content-Digest") {
            Some(digest) if digest == image.digest() => Ok(()),
            other => bail!(
                "the registry stored the manifest as {other:?}, not {}",
                image.digest()
            ),
        }
    }

    fn blob(&self, repository: &str, digest: &str, size: u64, body: &mut dyn Read) -> Result<()> {
        let mount = self
            .known
            .borrow()
            .get(digest)
            .map(|from| format!("?mount={digest}&from={from}"));
        let target = format!("/v2/{repository}/blobs/uploads/{}", mount.unwrap_or_default());
        let begun = self.send(&Request::empty("POST", &target), &mut std::io::empty())?;
        if begun.status == 201 {
            return Ok(());
        }
        expect(&begun, 202, "the start of an upload")?;
        let location = begun.header("Location").context("an upload without Location")?;
        let path = location
            .find("/v2/")
            .map(|at| &location[at..])
            .context("an upload Location outside /v2/")?;
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{separator}digest={digest}");
        let request = Request {
            method: "PUT",
            target: &target,
            content_type: "application/octet-stream",
            length: size,
        };
        let reply = self.send(&request, body)?;
        expect(&reply, 201, "a blob")?;
        self.known
            .borrow_mut()
            .insert(digest.to_owned(), repository.to_owned());
        Ok(())
    }

    fn send(&self, request: &Request<'_>, body: &mut dyn Read) -> Result<Response> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))
            .with_context(|| format!("connect to the registry at {}", self.address))?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let Request {
            method,
            target,
            content_type,
            length,
        } = request;
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n",
            self.address
        )?;
        let copied = std::io::copy(body, &mut stream).context("send the body")?;
        if copied != *length {
            bail!("{target}: the body has {copied} bytes, not the announced {length}");
        }
        let mut text = Vec::new();
        stream.read_to_end(&mut text).context("read the reply")?;
        parse(&String::from_utf8_lossy(&text)).with_context(|| format!("reply to {method} {target}"))
    }
}

impl<'a> Request<'a> {
    fn empty(method: &'a str, target: &'a str) -> Request<'a> {
        Request {
            method,
            target,
            content_type: "application/octet-stream",
            length: 0,
        }
    }
}

/// Takes a whole HTTP/1.1 reply apart; the body stays as it came.
pub(super) fn parse(text: &str) -> Result<Response> {
    let (head, body) = text.split_once("\r\n\r\n").context("no end of the header")?;
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

fn expect(reply: &Response, status: u16, what: &str) -> Result<()> {
    if reply.status != status {
        bail!(
            "the registry answered {} to {what}: {}",
            reply.status,
            reply.body.trim()
        );
    }
    Ok(())
}
