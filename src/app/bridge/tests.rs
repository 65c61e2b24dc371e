use super::*;
use serde_json::json;

fn service(name: &str, ip: &str) -> Arc<Service> {
    let object = json!({
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"clusterIP": ip, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

type Envs = watch::Receiver<Arc<Vec<ServiceEnv>>>;

fn names(envs: &mut Envs) -> Vec<String> {
    envs.borrow_and_update()
        .iter()
        .map(|env| format!("{} {}:{}", env.name, env.cluster_ip, env.ports[0].port))
        .collect()
}

async fn next_names(envs: &mut Envs) -> Vec<String> {
    envs.changed().await.unwrap();
    names(envs)
}

#[tokio::test]
async fn services_with_a_cluster_ip_become_environment() {
    let (changes, receiver) = mpsc::channel(8);
    let listed = tokio::spawn(service_envs(receiver));
    tokio::task::yield_now().await;
    assert!(!listed.is_finished(), "nothing is known before the first list");
    let all = vec![
        service("web", "10.96.0.5"),
        service("headless", "None"),
        service("alias", ""),
    ];
    changes.send(Change::Replaced(all)).await.unwrap();
    let mut envs = listed.await.unwrap().unwrap();
    assert_eq!(names(&mut envs), ["web 10.96.0.5:80"]);
    changes
        .send(Change::Applied(service("db", "10.96.0.6")))
        .await
        .unwrap();
    assert_eq!(
        next_names(&mut envs).await,
        ["db 10.96.0.6:80", "web 10.96.0.5:80"]
    );
    changes
        .send(Change::Applied(service("web", "None")))
        .await
        .unwrap();
    assert_eq!(next_names(&mut envs).await, ["db 10.96.0.6:80"]);
    changes
        .send(Change::Deleted(service("db", "10.96.0.6")))
        .await
        .unwrap();
    assert_eq!(next_names(&mut envs).await, Vec::<String>::new());
    changes
        .send(Change::Replaced(vec![service("web", "fd00::5")]))
        .await
        .unwrap();
    assert_eq!(next_names(&mut envs).await, ["web fd00::5:80"]);
}

#[tokio::test]
async fn an_end_before_the_first_list_is_none() {
    let (changes, receiver) = mpsc::channel(1);
    drop(changes);
    assert!(service_envs(receiver).await.is_none());
}
