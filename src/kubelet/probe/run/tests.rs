use super::*;
use crate::model::pod::ContainerPort;

fn container() -> Container {
    let port = ContainerPort {
        name: "web".into(),
        container_port: 8080,
        ..Default::default()
    };
    Container {
        ports: vec![port],
        ..Default::default()
    }
}

#[test]
fn ports_are_numbers_or_names() {
    let name = |text: &str| IntOrString::Name(text.into());
    assert_eq!(port(&IntOrString::Int(80), &container()), Ok(80));
    assert_eq!(port(&name("web"), &container()), Ok(8080));
    assert_eq!(port(&name("81"), &container()), Ok(81));
    for bad in [name("nope"), IntOrString::Int(0), IntOrString::Int(70_000)] {
        assert!(
            matches!(port(&bad, &container()), Err(Outcome::Error(_))),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn tcp_is_healthy_when_something_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(
        tcp("127.0.0.1", port, Duration::from_secs(5)).await,
        Outcome::Success
    );
    drop(listener);
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(
        tcp("127.0.0.1", port, Duration::from_secs(5)).await,
        Outcome::Failure(refused)
    );
}
