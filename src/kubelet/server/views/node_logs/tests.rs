use super::*;
use crate::kubelet::server::route::{self, Lookup};
use http::Method;
use std::fs;
use std::os::unix::fs::symlink;

/// A directory beside a secret, with files, links and a FIFO.
fn machine() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    fs::create_dir_all(log.join("sub")).unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    fs::write(log.join("hello.log"), "hello\n").unwrap();
    fs::write(log.join("sub/in.txt"), "in\n").unwrap();
    symlink("sub/in.txt", log.join("inside")).unwrap();
    symlink(log.join("sub/in.txt"), log.join("inside-whole")).unwrap();
    symlink(log.join("sub"), log.join("sub-whole")).unwrap();
    symlink("../secret", log.join("out")).unwrap();
    symlink(dir.path().join("secret"), log.join("out-whole")).unwrap();
    symlink(log.join("../secret"), log.join("out-dots")).unwrap();
    symlink("/proc/self/root", log.join("root")).unwrap();
    symlink("loop", log.join("loop")).unwrap();
    symlink(log.join("loop-whole"), log.join("loop-whole")).unwrap();
    nix::unistd::mkfifo(&log.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    dir
}

async fn get(dir: &Path, target: &str, range: Option<&str>) -> (u16, String, HeaderMap) {
    let Lookup::Found(found) = route::find(&Method::GET, target) else {
        panic!("no route for {target}");
    };
    let mut request = Request::builder().uri(target);
    if let Some(range) = range {
        request = request.header(RANGE, range);
    }
    let answer = serve(&dir.join("log"), &found, &request.body(()).unwrap()).await;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (head.status.as_u16(), body, head.headers)
}

#[tokio::test]
async fn files_and_links_beneath_are_shown_and_nothing_else() {
    let machine = machine();
    let cases = [
        ("/logs/hello.log", 200, "hello\n"),
        ("/logs/sub/in.txt", 200, "in\n"),
        ("/logs/inside", 200, "in\n"),
        ("/logs/inside-whole", 200, "in\n"),
        ("/logs/nope", 404, "404 page not found\n"),
        ("/logs/hello.log/x", 404, "404 page not found\n"),
        ("/logs/out", 403, "403 Forbidden\n"),
        ("/logs/out-whole", 403, "403 Forbidden\n"),
        ("/logs/out-dots", 403, "403 Forbidden\n"),
        ("/logs/root/etc/passwd", 403, "403 Forbidden\n"),
        ("/logs/loop", 403, "403 Forbidden\n"),
        ("/logs/loop-whole", 403, "403 Forbidden\n"),
        ("/logs/fifo", 403, "403 Forbidden\n"),
    ];
    for (target, code, body) in cases {
        let (found, said, _) = get(machine.path(), target, None).await;
        assert_eq!((found, &*said), (code, body), "{target}");
    }
}

#[tokio::test]
async fn directories_are_listed_and_slashes_put_right() {
    let machine = machine();
    let (code, page, headers) = get(machine.path(), "/logs/", None).await;
    assert_eq!(
        (code, &headers[CONTENT_TYPE]),
        (200, &HeaderValue::from_static("text/html; charset=utf-8"))
    );
    assert!(
        page.contains("<a href=\"sub/\">sub/</a>\n<a href=\"sub-whole\">sub-whole</a>\n"),
        "{page}"
    );
    let (code, page, _) = get(machine.path(), "/logs/sub-whole/", None).await;
    assert!(code == 200 && page.contains("in.txt"), "{code} {page}");
    for (target, location) in [
        ("/logs", "logs/"),
        ("/logs/sub", "sub/"),
        ("/logs/hello.log/", "../hello.log"),
    ] {
        let (code, _, headers) = get(machine.path(), target, None).await;
        assert!(
            code == 301 && headers[LOCATION] == location,
            "{target}: {headers:?}"
        );
    }
}

#[tokio::test]
async fn a_part_of_a_file() {
    let machine = machine();
    let (code, body, headers) = get(machine.path(), "/logs/hello.log", Some("bytes=1-2")).await;
    assert_eq!(
        (code, &*body, &headers[CONTENT_RANGE], &headers[CONTENT_LENGTH]),
        (
            206,
            "el",
            &HeaderValue::from_static("bytes 1-2/6"),
            &HeaderValue::from_static("2")
        )
    );
    assert!(headers[LAST_MODIFIED].to_str().unwrap().ends_with(" GMT"));
    let (code, body, headers) = get(machine.path(), "/logs/hello.log", Some("bytes=99-")).await;
    assert!(
        code == 416 && headers[CONTENT_RANGE] == "bytes */6",
        "{headers:?}"
    );
    assert_eq!(body, "invalid range: failed to overlap\n");
}
