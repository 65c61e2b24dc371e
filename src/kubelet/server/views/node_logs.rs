//! `/logs/`: the machine's log files, to be read and listed, as upstream's file server shows them.
//!
//! Nothing outside the directory is shown: a link is followed only to what is beneath, since Pods with a `hostPath`
//! write there too (upstream follows every link). Files come as plain text whatever they are called; `index.html` is a
//! file like others, and times are told but not compared.

mod page;

use crate::kubelet::server::answer::{Answer, Body, text, with_type};
use crate::kubelet::server::route::Found;
use crate::kubelet::volume::blocking;
use crate::sys::beneath::{self, Inside};
use futures::TryStreamExt;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use jiff::Timestamp;
use page::Part;
use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::path::Path;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

/// Bytes of a file in memory at a time.
const PIECE: usize = 64 << 10;
/// Most names of a directory that are shown.
const MOST_NAMES: usize = 10_000;

/// What a path leads to, ready to be sent.
enum Shown {
    /// Names, `true` for directories.
    Directory(Vec<(String, bool)>),
    /// A part of a file, which is open at its beginning.
    File(File, Part),
    /// Where to look instead.
    Elsewhere(String),
}

pub(super) async fn serve<B>(base: &Path, found: &Found, request: &Request<B>) -> Answer {
    let base = base.to_owned();
    let path = found.segment("path").trim_end_matches('/').to_owned();
    let slash = request.uri().path().ends_with('/');
    let range = wanted(request.headers());
    let looked = blocking(move || look(&base, &path, slash, range.as_deref())).await;
    match looked {
        Ok((shown, modified)) => answer(shown, modified),
        Err(error) => refused(&error),
    }
}

/// The `Range` header, unless it holds only for a version of the file we do not keep track of.
fn wanted(headers: &HeaderMap) -> Option<String> {
    let range = headers.get(RANGE).filter(|_| !headers.contains_key(IF_RANGE));
    Some(range?.to_str().ok()?.to_owned())
}

/// Opens what is there. Blocks.
fn look(base: &Path, path: &str, slash: bool, range: Option<&str>) -> io::Result<(Shown, Timestamp)> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let (shown, metadata) = match beneath::inside(base, Path::new(path))? {
        Inside::Directory(_, metadata) if !slash => {
            let name = if name.is_empty() { "logs" } else { name };
            (Shown::Elsewhere(format!("{}/", page::relative(name))), metadata)
        }
        Inside::Directory(directory, metadata) => {
            let mut names = directory.listing(MOST_NAMES)?;
            names.sort();
            (Shown::Directory(names), metadata)
        }
        Inside::File(_, metadata) if slash => {
            let link = page::relative(name);
            (Shown::Elsewhere(format!("../{link}")), metadata)
        }
        Inside::File(mut file, metadata) => {
            let part = page::part(range, metadata.len());
            file.seek(SeekFrom::Start(part.begin))?;
            (Shown::File(file, part), metadata)
        }
    };
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| Timestamp::try_from(time).ok());
    Ok((shown, modified.unwrap_or_default()))
}

fn answer(shown: Shown, modified: Timestamp) -> Answer {
    let (mut answer, headers) = match shown {
        Shown::Elsewhere(link) => {
            let answer = text(StatusCode::MOVED_PERMANENTLY, "");
            return with(answer, vec![(LOCATION, link)]);
        }
        Shown::Directory(names) => {
            let page = page::directory(&names);
            (
                with_type(StatusCode::OK, "text/html; charset=utf-8", page),
                Vec::new(),
            )
        }
        Shown::File(_, part) if part.code == StatusCode::RANGE_NOT_SATISFIABLE => {
            let answer = text(part.code, "invalid range: failed to overlap\n");
            return with(answer, vec![(CONTENT_RANGE, part.header())]);
        }
        Shown::File(file, part) => {
            let mut headers = vec![
                (ACCEPT_RANGES, "bytes".to_owned()),
                (CONTENT_LENGTH, part.length.to_string()),
                (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
                (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            ];
            if part.code == StatusCode::PARTIAL_CONTENT {
                headers.push((CONTENT_RANGE, part.header()));
            }
            let mut answer = Response::new(body(file, part.length));
            *answer.status_mut() = part.code;
            (answer, headers)
        }
    };
    answer = with(answer, headers);
    let modified = modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    with(answer, vec![(LAST_MODIFIED, modified)])
}

fn with(mut answer: Answer, headers: Vec<(HeaderName, String)>) -> Answer {
    for (name, value) in headers {
        // Names of files are encoded; the rest are our own words.
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// A file that is cut while it is sent ends the connection: the client sees that the length is wrong.
fn body(file: File, length: u64) -> Body {
    let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file).take(length), PIECE);
    StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()
}

fn refused(error: &io::Error) -> Answer {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => {
            text(StatusCode::NOT_FOUND, "404 page not found\n")
        }
        ErrorKind::PermissionDenied | ErrorKind::CrossesDevices | ErrorKind::InvalidInput => {
            text(StatusCode::FORBIDDEN, "403 Forbidden\n")
        }
        _ => {
            tracing::warn!(%error, "a log file of the machine cannot be shown");
            text(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error\n")
        }
    }
}

#[cfg(test)]
mod tests;
