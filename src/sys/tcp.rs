//! Settings of TCP connections.

use nix::sys::socket::{setsockopt, sockopt};
use std::os::fd::AsFd;

/// Seconds of silence before the first probe, seconds between probes, probes.
const IDLE: u32 = 30;
const INTERVAL: u32 = 15;
const COUNT: u32 = 4;

/// Lets the kernel find out that the peer is gone, within 90 s, however quiet the connection is.
pub fn keep_alive(socket: &impl AsFd) -> std::io::Result<()> {
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &IDLE)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &INTERVAL)?;
    setsockopt(socket, sockopt::TcpKeepCount, &COUNT)?;
    Ok(())
}
