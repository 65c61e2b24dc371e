use super::*;
use crate::cri::{Images, v1};
use crate::model::{ContainerId, PodUid, SandboxId};
use futures::StreamExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::{Request, async_trait};
use v1::image_service_server::{ImageService, ImageServiceServer};
use v1::runtime_service_server::{RuntimeService, RuntimeServiceServer};

/// A server that answers what a test needs; every other call is Unimplemented.
#[derive(Clone, Default)]
struct Server {
    versions: Arc<AtomicU32>,
    seen: Arc<Mutex<Vec<String>>>,
}

type Answer<T> = std::result::Result<Response<T>, Status>;

#[async_trait]
impl RuntimeService for Server {
    async fn version(&self, _: Request<v1::VersionRequest>) -> Answer<v1::VersionResponse> {
        self.versions.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(v1::VersionResponse {
            runtime_name: "test".into(),
            ..Default::default()
        }))
    }

    async fn stop_container(
        &self,
        _: Request<v1::StopContainerRequest>,
    ) -> Answer<v1::StopContainerResponse> {
        Err(Status::not_found("no such container"))
    }

    async fn start_container(
        &self,
        _: Request<v1::StartContainerRequest>,
    ) -> Answer<v1::StartContainerResponse> {
        Err(Status::unknown("exec: \"sleeep\": not found\nin $PATH"))
    }

    async fn pod_sandbox_status(
        &self,
        _: Request<v1::PodSandboxStatusRequest>,
    ) -> Answer<v1::PodSandboxStatusResponse> {
        Ok(Response::new(v1::PodSandboxStatusResponse::default()))
    }

    async fn runtime_config(
        &self,
        _: Request<v1::RuntimeConfigRequest>,
    ) -> Answer<v1::RuntimeConfigResponse> {
        std::future::pending().await
    }

    async fn exec_sync(&self, request: Request<v1::ExecSyncRequest>) -> Answer<v1::ExecSyncResponse> {
        Ok(Response::new(v1::ExecSyncResponse {
            stdout: vec![b'x'; 10 << 20],
            stderr: format!("{} s", request.get_ref().timeout).into(),
            exit_code: 7,
        }))
    }

    async fn list_containers(
        &self,
        request: Request<v1::ListContainersRequest>,
    ) -> Answer<v1::ListContainersResponse> {
        let filter = request.into_inner().filter.unwrap_or_default();
        self.seen
            .lock()
            .unwrap()
            .push(format!("{:?}", filter.label_selector));
        Ok(Response::new(v1::ListContainersResponse::default()))
    }

    async fn get_container_events(
        &self,
        _: Request<v1::GetEventsRequest>,
    ) -> Answer<tonic::codegen::BoxStream<v1::ContainerEventResponse>> {
        let event = v1::ContainerEventResponse {
            container_id: "c1".into(),
            ..Default::default()
        };
        let items = vec![Ok(event), Err(Status::unavailable("going down"))];
        Ok(Response::new(futures::stream::iter(items).boxed()))
    }
}

#[async_trait]
impl ImageService for Server {
    async fn image_status(&self, _: Request<v1::ImageStatusRequest>) -> Answer<v1::ImageStatusResponse> {
        Ok(Response::new(v1::ImageStatusResponse::default()))
    }
}

/// A running server; `end` lets it finish its calls and close its connections.
struct Running {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn serve(path: &Path, server: &Server) -> Running {
    let listener = UnixListener::bind(path).unwrap();
    let incoming = futures::stream::unfold(listener, |l| async {
        Some((l.accept().await.map(|(s, _)| s), l))
    });
    let routes = tonic::transport::Server::builder()
        .add_service(RuntimeServiceServer::new(server.clone()))
        .add_service(ImageServiceServer::new(server.clone()));
    let (end, ended) = oneshot::channel();
    let ended = async { drop(ended.await) };
    let task = tokio::spawn(async move {
        routes
            .serve_with_incoming_shutdown(incoming, ended)
            .await
            .unwrap()
    });
    Running { end, task }
}

struct Bench {
    directory: tempfile::TempDir,
    server: Server,
    running: Running,
    client: GrpcCri,
}

async fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("cri.sock");
    let server = Server::default();
    let running = serve(&socket, &server);
    let client = GrpcCri::connect(&format!("unix://{}", socket.display()), REQUEST_TIMEOUT)
        .await
        .unwrap();
    Bench {
        directory,
        server,
        running,
        client,
    }
}

#[tokio::test]
async fn errors_carry_the_call_and_the_runtimes_own_words() {
    let bench = bench().await;
    let error = bench.client.start_container(&"c1".into()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "StartContainer: exec: \"sleeep\": not found\nin $PATH"
    );
    assert_eq!(error.grpc_text(), "exec: \"sleeep\": not found\nin $PATH");
    let error = bench.client.status(false).await.unwrap_err();
    assert!(error.is_unimplemented(), "{error}");
}

#[tokio::test]
async fn stopping_what_is_gone_is_done() {
    let bench = bench().await;
    bench
        .client
        .stop_container(&ContainerId::from("c1"), 30)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_absent_image_is_none_and_an_absent_status_an_error() {
    let bench = bench().await;
    let client = &bench.client;
    assert_eq!(client.image_status("redis").await.unwrap(), None);
    let error = client
        .pod_sandbox_status(&SandboxId::from("s1"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "PodSandboxStatus: the runtime answered without a status"
    );
}

#[tokio::test]
async fn large_outputs_and_exit_codes_come_through() {
    let bench = bench().await;
    let client = &bench.client;
    let output = client
        .exec_sync(&"c1".into(), &["true".into()], Duration::from_millis(1500))
        .await
        .unwrap();
    assert_eq!((output.stdout.len(), output.exit_code), (10 << 20, 7));
    assert_eq!(output.stderr, b"2 s", "a limit is rounded up");
}

#[tokio::test]
async fn lists_are_filtered_by_pod() {
    let bench = bench().await;
    bench
        .client
        .list_containers(Some(&PodUid::from("u1")))
        .await
        .unwrap();
    bench.client.list_containers(None).await.unwrap();
    assert_eq!(
        *bench.server.seen.lock().unwrap(),
        ["{\"io.kubernetes.pod.uid\": \"u1\"}", "{}"]
    );
}

#[tokio::test]
async fn a_call_without_answer_ends_after_its_limit() {
    let bench = bench().await;
    let mut client = bench.client.clone();
    client.timeout = Duration::from_millis(20);
    let error = client.runtime_config().await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(
        error.to_string(),
        "RuntimeConfig: the runtime did not answer within 0.02 s"
    );
}

#[tokio::test]
async fn events_stream_until_the_runtime_ends_them() {
    let bench = bench().await;
    let client = &bench.client;
    let events: Vec<_> = client.container_events().await.unwrap().collect().await;
    assert_eq!(events[0].as_ref().unwrap().container_id, "c1");
    assert_eq!(
        events[1].as_ref().unwrap_err().to_string(),
        "GetContainerEvents: going down"
    );
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn comes_back_after_the_runtime_restarts() {
    let bench = bench().await;
    let socket = bench.directory.path().join("cri.sock");
    bench.running.end.send(()).unwrap();
    bench.running.task.await.unwrap();
    std::fs::remove_file(&socket).unwrap();
    let down = bench.client.version().await.unwrap_err();
    assert_eq!(down.code, Code::Unavailable, "{down}");
    let restarted = Server::default();
    let _running = serve(&socket, &restarted);
    bench.client.version().await.expect("the next call dials again");
    assert_eq!(restarted.versions.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn connect_says_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cri.sock");
    let connect = async |endpoint: &str| {
        GrpcCri::connect(endpoint, REQUEST_TIMEOUT)
            .await
            .unwrap_err()
            .to_string()
    };
    let text = connect("tcp://127.0.0.1:1").await;
    assert!(
        text.starts_with("container runtime endpoint \"tcp://127.0.0.1:1\": want unix:///"),
        "{text}"
    );
    let text = connect(&path.to_string_lossy()).await;
    assert!(
        text.contains("cri.sock does not exist: start containerd"),
        "{text}"
    );
    std::fs::write(&path, "no socket").unwrap();
    let text = connect(&path.to_string_lossy()).await;
    assert!(
        text.contains("does not answer: Version: ") && text.contains("refused"),
        "{text}"
    );
    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let incoming = futures::stream::unfold(listener, |l| async {
        Some((l.accept().await.map(|(s, _)| s), l))
    });
    let images_only =
        tonic::transport::Server::builder().add_service(ImageServiceServer::new(Server::default()));
    let _task = tokio::spawn(images_only.serve_with_incoming(incoming));
    let text = connect(&path.to_string_lossy()).await;
    assert!(
        text.contains("has no CRI v1 service: remove \"cri\" from disabled_plugins"),
        "{text}"
    );
}
