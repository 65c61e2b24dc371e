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
    let (tell, mut envs) = watch::channel(Arc::default());
    let listed = tokio::spawn(service_envs(receiver, tell));
    tokio::task::yield_now().await;
    assert!(!listed.is_finished(), "nothing is known before the first list");
    let all = vec![
        service("web", "10.96.0.5"),
        service("headless", "None"),
        service("alias", ""),
    ];
    changes.send(Change::Replaced(all)).await.unwrap();
    assert!(listed.await.unwrap());
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
async fn an_end_before_the_first_list_is_told() {
    let (changes, receiver) = mpsc::channel(1);
    drop(changes);
    assert!(!service_envs(receiver, watch::channel(Arc::default()).0).await);
}

#[tokio::test]
async fn a_nodes_addresses_and_pod_cidrs_reach_the_proxy_only_when_they_change() {
    let node = |beat: u32| {
        let object = json!({
            "metadata": {"name": "w1", "resourceVersion": beat.to_string()},
            "spec": {"podCIDRs": ["10.244.1.0/24", "nonsense"]},
            "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}, {"type": "Hostname", "address": "w1"}]},
        });
        Arc::new(serde_json::from_value::<Node>(object).unwrap())
    };
    let (changes, receiver) = mpsc::channel(8);
    let mut facts = node_facts(receiver);
    changes.send(Change::Replaced(vec![])).await.unwrap();
    changes.send(Change::Applied(node(1))).await.unwrap();
    facts.changed().await.unwrap();
    let wanted = NodeFacts {
        pod_cidrs: vec!["10.244.1.0/24".parse().unwrap()],
        node_ips: vec!["10.0.0.7".parse().unwrap()],
    };
    assert_eq!(*facts.borrow_and_update(), wanted);
    changes.send(Change::Applied(node(2))).await.unwrap();
    changes.send(Change::Deleted(node(2))).await.unwrap();
    drop(changes);
    assert!(
        facts.changed().await.is_err(),
        "a heartbeat and a deletion change nothing"
    );
    assert_eq!(*facts.borrow(), wanted);
}
