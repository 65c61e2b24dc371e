//! The few requests of the registry protocol a push takes, over plain sockets: one connection a request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::http::{self, Request, Response};
use crate::images::{Image, MANIFEST_TYPE};

const HOST: &str = "registry";

/// A client of one registry.
pub(super) struct Client {
    address: SocketAddr,
    /// Blobs pushed in this session and the repository each went to: others mount them from there.
    known: RefCell<HashMap<String, String>>,
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
        self.send(&Request::new("GET", "/v2/", HOST), &mut std::io::empty())
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
            content_type: MANIFEST_TYPE,
            length,
            ..Request::new("PUT", &target, HOST)
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
        let begun = self.send(&Request::new("POST", &target, HOST), &mut std::io::empty())?;
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
            length: size,
            ..Request::new("PUT", &target, HOST)
        };
        let reply = self.send(&request, body)?;
        expect(&reply, 201, "a blob")?;
        self.known
            .borrow_mut()
            .insert(digest.to_owned(), repository.to_owned());
        Ok(())
    }

    fn send(&self, request: &Request<'_>, body: &mut dyn Read) -> Result<Response> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))
            .with_context(|| format!("connect to the registry at {}", self.address))?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        http::send(&stream, request, body)
    }
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
