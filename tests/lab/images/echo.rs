//! The lab's echo server: says which pod answered, who asked and what for, over HTTP and UDP on the same port.
//!
//! `/` and every other path answer three lines: `pod: …`, `from: …`, `request: …`. `/ready` and `/live` answer 200 or
//! 503, switched by `/ready/on`, `/ready/off`, `/live/on`, `/live/off`; `/exit/N` ends the process with code N.
//! On SIGTERM it prints `terminating`, keeps serving for `$LINGER_SECONDS` (0), prints `bye` and leaves with 0.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static READY: AtomicBool = AtomicBool::new(true);
static LIVE: AtomicBool = AtomicBool::new(true);
static TERMINATE: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
}
const SIGTERM: i32 = 15;

/// Only stores a flag: all that is safe in a signal handler.
extern "C" fn on_sigterm(_: i32) {
    TERMINATE.store(true, Ordering::SeqCst);
}

fn main() {
    // SAFETY: installs a handler that only touches an atomic. A process with id 1 ignores SIGTERM without one.
    unsafe { signal(SIGTERM, on_sigterm) };
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let port = number("PORT", 8000) as u16;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: &'static str = Box::leak(host.trim().to_owned().into_boxed_str());

    let http = TcpListener::bind(("0.0.0.0", port)).expect("bind the HTTP port");
    let udp = UdpSocket::bind(("0.0.0.0", port)).expect("bind the UDP port");
    println!("{host} serves port {port}");
    std::thread::spawn(move || serve_udp(&udp, host));
    std::thread::spawn(move || {
        for stream in http.incoming().flatten() {
            std::thread::spawn(move || answer(stream, host));
        }
    });
    while !TERMINATE.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("terminating");
    std::thread::sleep(Duration::from_secs(number("LINGER_SECONDS", 0)));
    println!("bye");
}

fn serve_udp(socket: &UdpSocket, host: &str) {
    let mut buffer = [0u8; 2048];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        let said = String::from_utf8_lossy(&buffer[..length]);
        let _ = socket.send_to(format!("pod: {host}\nfrom: {}\nrequest: {}\n", peer.ip(), said.trim()).as_bytes(), peer);
    }
}

fn answer(mut stream: TcpStream, host: &str) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let Ok(peer) = stream.peer_addr() else { return };
    let Ok(copy) = stream.try_clone() else { return };
    let mut lines = BufReader::new(copy).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    // The rest of the head is read so that closing the connection does not reset it.
    lines.find(|line| line.trim().is_empty());
    let path = request.split_whitespace().nth(1).unwrap_or("/");
    let (status, body) = reply(path, &request, peer.ip(), host);
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes());
    if let Some(code) = path.strip_prefix("/exit/").and_then(|code| code.parse().ok()) {
        println!("exit {code}");
        std::process::exit(code);
    }
    println!("{} {request} -> {status}", peer.ip());
}

fn reply(path: &str, request: &str, from: IpAddr, host: &str) -> (&'static str, String) {
    let probe = |flag: &AtomicBool| match flag.load(Ordering::SeqCst) {
        true => ("200 OK", "ok\n".to_owned()),
        false => ("503 Service Unavailable", "switched off\n".to_owned()),
    };
    let switch = |flag: &AtomicBool, to: bool| {
        flag.store(to, Ordering::SeqCst);
        ("200 OK", format!("{path}\n"))
    };
    match path {
        "/ready" => probe(&READY),
        "/live" => probe(&LIVE),
        "/ready/on" => switch(&READY, true),
        "/ready/off" => switch(&READY, false),
        "/live/on" => switch(&LIVE, true),
        "/live/off" => switch(&LIVE, false),
        _ => ("200 OK", format!("pod: {host}\nfrom: {from}\nrequest: {request}\n")),
    }
}
