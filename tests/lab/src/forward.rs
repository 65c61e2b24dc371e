//! A port on 127.0.0.1 of the host that leads to an address inside a machine's network.
//!
//! The host gets no link, route or rule for it: every connection's far end is a socket made by a thread inside the
//! machine's network namespace, and bytes are copied between the two.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::ns::{Machine, Scope};

/// A forwarded port; closed when dropped.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Forward {
    /// Listens on a free port of 127.0.0.1 and connects everyone who comes to `target` as seen by `machine`.
    pub fn start(machine: &Arc<Machine>, target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on 127.0.0.1")?;
        let address = listener.local_addr().context("ask for the port")?;
        let stopped = Arc::new(AtomicBool::new(false));
        let (machine, flag) = (Arc::downgrade(machine), Arc::clone(&stopped));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Some(machine), false) = (machine.upgrade(), flag.load(Ordering::Relaxed)) else {
                    return;
                };
                let Ok(client) = client else { continue };
                // On its own thread: a target that does not answer must not keep others waiting. A client whose
                // connection cannot be made sees it closed, as with any proxy.
                std::thread::spawn(move || {
                    let dial =
                        || TcpStream::connect_timeout(&target, Duration::from_secs(5)).context("connect");
                    if let Ok(server) = machine.enter(Scope::NetOnly, dial) {
                        drop(machine);
                        let _ = join(client, server);
                    }
                });
            }
        });
        Ok(Self { address, stopped })
    }

    /// Where to connect on the host.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the listening thread; when it cannot be reached it is gone already.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn join(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (client_copy, server_copy) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || copy(&server_copy, &client_copy));
    copy(&client, &server);
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    // Errors are one side hanging up.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
