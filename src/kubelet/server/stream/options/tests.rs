use super::*;

fn uri(query: &str) -> Uri {
    format!("/exec/default/web/main?{query}").parse().unwrap()
}

#[test]
fn streams_are_asked_for_with_1() {
    let all = Wanted {
        stdin: true,
        stdout: true,
        stderr: true,
        tty: false,
    };
    let cases = [
        ("input=1&output=1&error=1", Ok(all)),
        (
            "input=1&output=1&error=1&tty=1",
            Ok(Wanted {
                stderr: false,
                tty: true,
                ..all
            }),
        ),
        (
            "output=1&output=0",
            Ok(Wanted {
                stdout: true,
                ..Wanted::default()
            }),
        ),
        (
            "error=1&input=true",
            Ok(Wanted {
                stderr: true,
                ..Wanted::default()
            }),
        ),
        (
            "error=1&tty=1",
            Err("you must specify at least 1 of stdin, stdout, stderr"),
        ),
        ("", Err("you must specify at least 1 of stdin, stdout, stderr")),
    ];
    for (query, expected) in cases {
        let found = wanted(&uri(query)).map_err(|e| e.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{query}");
    }
}

#[test]
fn commands_keep_their_words() {
    let exec = uri("command=sh&command=-c&command=echo%20a%2Bb+%26%26%20true&output=1");
    assert_eq!(command(&exec), ["sh", "-c", "echo a+b && true"]);
    let bare = uri("command=a;b&command=c%3Bd&output=1;tty=1");
    assert_eq!(command(&bare), ["c;d"]);
    assert!(wanted(&bare).is_err());
    assert_eq!(run_command(&uri("cmd=echo+a%20b")), ["echo", "a", "b"]);
    assert_eq!(run_command(&uri("")), [""]);
}

fn websocket(query: &str) -> Request<()> {
    Request::get(uri(query))
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "WebSocket")
        .body(())
        .unwrap()
}

#[test]
fn only_a_websocket_names_its_ports_in_the_query() {
    let cases = [
        ("port=80&port=8080,9090", Ok(vec![80, 8080, 9090])),
        ("", Err("query parameter \"port\" is required")),
        ("port=", Err("query parameter \"port\" cannot be empty")),
        ("port=0", Err("port \"0\" must be > 0")),
        (
            "port=65536",
            Err("unable to parse \"65536\" as a port: number too large to fit in target type"),
        ),
    ];
    for (query, expected) in cases {
        let found = ports(&websocket(query)).map_err(|e| e.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{query}");
    }
    let spdy = Request::post(uri("port=no"))
        .header("connection", "upgrade")
        .header("upgrade", "SPDY/3.1")
        .body(())
        .unwrap();
    assert_eq!(ports(&spdy).unwrap(), Vec::<i32>::new());
}

#[test]
fn the_runtime_is_on_this_machine() {
    for (url, expected) in [
        ("http://127.0.0.1:4000/exec/token", Some("127.0.0.1:4000")),
        ("http://[::1]:4000/exec/token", Some("[::1]:4000")),
        ("http://localhost:4000/", Some("127.0.0.1:4000")),
        ("http://10.0.0.1:4000/exec/token", None),
        ("http://runtime.example:4000/exec/token", None),
        ("https://127.0.0.1:4000/exec/token", None),
        ("http://127.0.0.1/exec/token", None),
        ("/exec/token", None),
    ] {
        let found = runtime_address(&url.parse().unwrap()).ok();
        assert_eq!(found, expected.map(|a| a.parse().unwrap()), "{url}");
    }
}

#[test]
fn the_runtime_sees_the_protocol_and_not_the_person() {
    let request = Request::post(uri("command=id&output=1"))
        .header("authorization", "Bearer secret")
        .header("cookie", "a=b")
        .header("x-forwarded-for", "1.2.3.4")
        .header("impersonate-user", "root")
        .header("connection", "Upgrade, authorization")
        .header("upgrade", "SPDY/3.1")
        .header("x-stream-protocol-version", "v5.channel.k8s.io")
        .header("x-stream-protocol-version", "v4.channel.k8s.io")
        .header(
            "sec-websocket-protocol",
            "base64url.bearer.authorization.k8s.io.c2VjcmV0, v4.channel.k8s.io",
        )
        .header(
            "sec-websocket-protocol",
            "base64url.bearer.authorization.k8s.io.c2VjcmV0",
        )
        .body(())
        .unwrap();
    let url = "http://127.0.0.1:4000/exec/token?x=1".parse().unwrap();
    let forwarded: Request<()> = forwarded(&request, &url);
    assert_eq!(forwarded.method(), Method::POST);
    assert_eq!(*forwarded.uri(), "/exec/token?x=1");
    let mut headers: Vec<String> = forwarded
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    assert_eq!(
        headers,
        [
            "connection: Upgrade",
            "host: 127.0.0.1:4000",
            "sec-websocket-protocol: v4.channel.k8s.io",
            "upgrade: SPDY/3.1",
            "x-stream-protocol-version: v4.channel.k8s.io",
            "x-stream-protocol-version: v5.channel.k8s.io",
        ]
    );
}

#[test]
fn errors_have_upstreams_codes() {
    let runtime = |code| {
        Error::Runtime(cri::Error {
            call: "Exec",
            code,
            message: "no".into(),
        })
    };
    let cases = [
        (Error::NoStreams, 400),
        (Error::NoPod, 404),
        (Error::NoContainer("main".into()), 500),
        (Error::NoUpgrade, 500),
        (Error::Busy, 429),
        (runtime(tonic::Code::NotFound), 404),
        (runtime(tonic::Code::ResourceExhausted), 429),
        (runtime(tonic::Code::InvalidArgument), 500),
    ];
    for (error, code) in cases {
        let answer = error.answer();
        assert_eq!(answer.status(), code, "{error}");
        assert_eq!(answer.headers().contains_key(RETRY_AFTER), code == 429, "{error}");
    }
    assert_eq!(
        runtime(tonic::Code::NotFound).to_string(),
        "rpc error: code = NotFound desc = no"
    );
}
