use super::*;
use crate::model::pod::HttpHeader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers every connection with what `answer` says to the request's text; gives the port.
async fn server(answer: fn(&str) -> String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let text = answer(&String::from_utf8_lossy(&request[..length]));
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    port
}

fn status(code: u16, more: &str) -> String {
    format!("HTTP/1.1 {code} X\r\n{more}content-length: 2\r\n\r\nok")
}

fn action(path: &str) -> HttpGet {
    HttpGet {
        path: path.into(),
        ..Default::default()
    }
}

async fn probe(action: &HttpGet, port: u16) -> Outcome {
    get(action, "127.0.0.1", port, Duration::from_secs(5)).await
}

#[tokio::test]
async fn status_codes_from_200_are_healthy_and_redirects_end_in_a_warning() {
    let port = server(|request| {
        let code = request.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        status(code, "")
    })
    .await;
    let warning = |body| Outcome::Warning(format!("Probe terminated redirects, Response body: {body}"));
    let table = [
        (200, Outcome::Success),
        (204, Outcome::Success),
        (304, warning("")),
        (399, warning("ok")),
    ];
    for (code, outcome) in table {
        assert_eq!(probe(&action(&format!("/{code}")), port).await, outcome, "{code}");
    }
    let failure = |code| Outcome::Failure(format!("HTTP probe failed with statuscode: {code}"));
    for code in [404, 500] {
        assert_eq!(probe(&action(&format!("/{code}")), port).await, failure(code));
    }
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only() {
    let port = server(|request| {
        if request.starts_with("GET /here ") {
            status(302, "location: /there?x=1\r\n")
        } else if request.starts_with("GET /there?x=1 ") {
            status(200, "")
        } else if request.starts_with("GET /away ") {
            status(301, "location: http://example.invalid/\r\n")
        } else {
            status(302, "location: /loop\r\n")
        }
    })
    .await;
    assert_eq!(probe(&action("/here"), port).await, Outcome::Success);
    assert_eq!(
        probe(&action("/away"), port).await,
        Outcome::Warning("Probe terminated redirects, Response body: ok".into())
    );
    let Outcome::Failure(why) = probe(&action("/loop"), port).await else {
        panic!("a loop is a failure")
    };
    assert!(why.ends_with("stopped after 10 redirects"), "{why}");
}

#[tokio::test]
async fn a_closed_port_is_told_in_kubelets_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let expected = format!(
        "Get \"http://127.0.0.1:{port}/healthz\": dial tcp 127.0.0.1:{port}: connect: connection refused"
    );
    assert_eq!(probe(&action("/healthz"), port).await, Outcome::Failure(expected));
}

#[tokio::test]
async fn a_silent_server_runs_into_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let outcome = get(&action("/"), "127.0.0.1", port, Duration::from_millis(50)).await;
    let Outcome::Failure(why) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(why.contains("context deadline exceeded"), "{why}");
}

#[tokio::test]
async fn headers_are_the_probes_with_kubelets_defaults() {
    let port = server(|request| {
        let request = request.to_lowercase();
        let all = [
            "host: web.example\r\n",
            "x-a: 1\r\n",
            "user-agent: kube-probe/1.36\r\n",
            "accept: */*\r\n",
        ];
        status(
            if all.iter().all(|h| request.contains(h)) {
                200
            } else {
                500
            },
            "",
        )
    })
    .await;
    let header = |name: &str, value: &str| HttpHeader {
        name: name.into(),
        value: value.into(),
    };
    let action = HttpGet {
        http_headers: vec![header("Host", "web.example"), header("X-A", "1")],
        ..action("/")
    };
    assert_eq!(probe(&action, port).await, Outcome::Success);
    let bare = HttpGet {
        http_headers: vec![header("Accept", ""), header("User-Agent", "me")],
        ..HttpGet::default()
    };
    let sent = headers(&bare, AGENT).unwrap();
    assert!(!sent.contains_key(ACCEPT));
    assert_eq!(sent[USER_AGENT], "me");
}

#[tokio::test]
async fn a_hook_is_content_with_any_answer() {
    let port = server(|request| {
        if request
            .to_lowercase()
            .contains("user-agent: kube-lifecycle/1.36\r\n")
        {
            status(503, "")
        } else {
            String::new()
        }
    })
    .await;
    assert_eq!(call(&action("/"), "127.0.0.1", port).await, Ok(Called::Plainly));
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let why = call(&action("/bye"), "127.0.0.1", closed).await.unwrap_err();
    assert_eq!(
        why,
        format!(
            "Get \"http://127.0.0.1:{closed}/bye\": dial tcp 127.0.0.1:{closed}: connect: connection refused"
        )
    );
}

#[tokio::test]
async fn a_hook_falls_back_to_plain_http() {
    // Go's server answers what is no HTTP with HTTP, and never gets to see what the retry must not tell it.
    let port = server(|request| match request.strip_prefix("GET /x ") {
        Some(rest) if !rest.to_lowercase().contains("authorization") => status(200, ""),
        Some(_) => String::new(),
        None => "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request".into(),
    })
    .await;
    let mut action = action("/x");
    action.scheme = "HTTPS".into();
    action.http_headers = vec![HttpHeader {
        name: "Authorization".into(),
        value: "secret".into(),
    }];
    let want = Called::WithoutTls(format!("127.0.0.1:{port}"));
    assert_eq!(call(&action, "127.0.0.1", port).await, Ok(want));
    let Outcome::Failure(why) = probe(&action, port).await else {
        panic!("a probe does not fall back")
    };
    assert!(
        why.ends_with("server gave HTTP response to HTTPS client"),
        "{why}"
    );
}

#[test]
fn odd_paths_still_make_a_url() {
    let text = |path: &str, host: &str| url(&action(path), host, 80).unwrap().to_string();
    assert_eq!(text("", "10.0.0.1"), "http://10.0.0.1:80/");
    assert_eq!(
        text("healthz?a=b c#x", "10.0.0.1"),
        "http://10.0.0.1:80/healthz?a=b%20c"
    );
    assert_eq!(text("/x", "fd00::1"), "http://[fd00::1]:80/x");
}
