use super::*;
use crate::kubelet::env::services::{ServiceEnv, ServicePort};
use crate::model::Meta;
use crate::model::pod::{
    EnvFromSource, EnvVar, FieldRef, OptionalRef, Protocol, ResourceFieldRef, Resources,
};
use crate::testing::builders::pod;

fn literal(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: value.into(),
        value_from: None,
    }
}

fn sourced(name: &str, source: EnvVarSource) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: "".into(),
        value_from: Some(source),
    }
}

fn key(name: &str, key: &str, optional: Option<bool>) -> Option<KeyRef> {
    Some(KeyRef {
        name: name.into(),
        key: key.into(),
        optional,
    })
}

fn object(name: &str, data: &[(&str, &str)]) -> (Box<str>, Arc<ConfigObject>) {
    let data = data.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let metadata = Meta {
        name: name.into(),
        namespace: "default".into(),
        ..Meta::default()
    };
    (
        name.into(),
        Arc::new(ConfigObject {
            metadata,
            data,
            ..ConfigObject::default()
        }),
    )
}

#[derive(Default)]
struct Around {
    objects: EnvObjects,
    services: Vec<ServiceEnv>,
    allocatable: BTreeMap<Box<str>, Quantity>,
}

impl Around {
    fn resolve(&self, pod: &Pod) -> Result<Vec<(String, String)>, Error> {
        resolve(&EnvInput {
            pod,
            container: &pod.spec.containers[0],
            pod_ips: &["10.244.1.5".parse().unwrap(), "fd00::5".parse().unwrap()],
            host_ips: &["192.168.1.10".parse().unwrap()],
            objects: &self.objects,
            services: &self.services,
            allocatable: &self.allocatable,
        })
    }
}

fn with_env(env: Vec<EnvVar>) -> Pod {
    let mut p = pod("p", &["a"]);
    p.spec.containers[0].env = env;
    p
}

fn pairs(list: &[(String, String)]) -> Vec<(&str, &str)> {
    list.iter().map(|(k, v)| (&**k, &**v)).collect()
}

#[test]
fn references_are_expanded() {
    let value = |name: &str| (name == "A").then(|| "1".to_owned());
    for (text, want) in [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$(B)", "$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$", "$$"),
        ("$A", "$A"),
        ("$", "$"),
        ("a$", "a$"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("é$(A)é", "é1é"),
        ("$é", "$é"),
        ("$($(A))", "$($(A))"),
    ] {
        assert_eq!(expand(text, value), want, "{text}");
    }
}

#[test]
fn variables_see_the_ones_before_them() {
    let p = with_env(vec![
        literal("B", "$(A)"),
        literal("A", "1"),
        literal("C", "$(A)-$(B)"),
        literal("A", "2$(A)"),
    ]);
    let env = Around::default().resolve(&p).unwrap();
    assert_eq!(pairs(&env), [("B", "$(A)"), ("A", "21"), ("C", "1-$(A)")]);
}

#[test]
fn fields_of_the_pod() {
    let mut p = pod("p", &["a"]);
    p.metadata.labels.insert("app".into(), "web".into());
    p.metadata.annotations.insert("x/y".into(), "note".into());
    let around: (&[IpAddr], &[IpAddr]) = (
        &["10.244.1.5".parse().unwrap(), "fd00::5".parse().unwrap()],
        &["192.168.1.10".parse().unwrap()],
    );
    for (path, want) in [
        ("metadata.name", Some("p")),
        ("metadata.namespace", Some("default")),
        ("metadata.uid", Some("uid-p")),
        ("metadata.labels['app']", Some("web")),
        ("metadata.labels['nope']", Some("")),
        ("metadata.annotations['x/y']", Some("note")),
        ("spec.nodeName", Some("worker-1")),
        ("spec.serviceAccountName", Some("default")),
        ("status.hostIP", Some("192.168.1.10")),
        ("status.hostIPs", Some("192.168.1.10")),
        ("status.podIP", Some("10.244.1.5")),
        ("status.podIPs", Some("10.244.1.5,fd00::5")),
        ("metadata.labels", None),
        ("metadata.labels['app'", None),
        ("spec.hostNetwork", None),
    ] {
        assert_eq!(field(&p, path, around.0, around.1).as_deref(), want, "{path}");
    }
    let source = EnvVarSource {
        field_ref: Some(FieldRef {
            field_path: "x".into(),
        }),
        ..EnvVarSource::default()
    };
    let error = Around::default()
        .resolve(&with_env(vec![sourced("V", source)]))
        .unwrap_err();
    assert_eq!(error.to_string(), "env V: x: not a field a variable can hold");
}

#[test]
fn resources_are_divided_and_rounded_up() {
    let mut p = pod("p", &["a", "b"]);
    let quantity = |text: &str| Quantity(text.into());
    let resources = &mut p.spec.containers[0].resources;
    resources.limits.insert("cpu".into(), quantity("1500m"));
    resources.requests.insert("memory".into(), quantity("100Mi"));
    let allocatable = BTreeMap::from([
        ("memory".into(), quantity("4Gi")),
        ("hugepages-2Mi".into(), quantity("8Mi")),
    ]);
    for (container, resource, divisor, want) in [
        ("", "limits.cpu", None, Ok("2")),
        ("", "limits.cpu", Some("0"), Ok("2")),
        ("", "limits.cpu", Some("1m"), Ok("1500")),
        ("", "requests.memory", None, Ok("104857600")),
        ("", "requests.memory", Some("1Mi"), Ok("100")),
        ("", "requests.memory", Some("1G"), Ok("1")),
        ("", "requests.cpu", None, Ok("0")),
        ("b", "limits.memory", Some("1Gi"), Ok("4")),
        ("", "limits.ephemeral-storage", None, Ok("0")),
        // Only limits every container has stand for themselves.
        ("", "limits.hugepages-2Mi", None, Ok("0")),
        ("nope", "limits.cpu", None, Err("there is no container \"nope\"")),
        ("", "limits.pods", None, Err("unsupported container resource")),
        ("", "cpu", None, Err("unsupported container resource")),
        ("", "limits.cpu", Some("-1"), Err("divisor is negative")),
    ] {
        let (divisor, resource) = (divisor.map(quantity), resource.into());
        let reference = ResourceFieldRef {
            container_name: container.into(),
            resource,
            divisor,
        };
        let got = resource_field(&p, Some(&p.spec.containers[0]), &reference, &allocatable);
        assert_eq!(got, want.map(Into::into).map_err(Into::into), "{reference:?}");
    }
    let reference = ResourceFieldRef {
        container_name: "b".into(),
        resource: "limits.memory".into(),
        ..ResourceFieldRef::default()
    };
    p.spec.resources = Some(Resources {
        limits: BTreeMap::from([("memory".into(), quantity("1Gi"))]),
        ..Resources::default()
    });
    let of_the_pod = resource_field(&p, None, &reference, &allocatable);
    assert_eq!(
        of_the_pod.as_deref(),
        Ok("1073741824"),
        "the Pod's limit comes before the node"
    );
    let reference = ResourceFieldRef {
        resource: "limits.cpu".into(),
        ..ResourceFieldRef::default()
    };
    assert!(resource_field(&p, None, &reference, &allocatable).is_err());
}

#[test]
fn keys_of_config_maps_and_secrets() {
    let mut around = Around::default();
    around
        .objects
        .config_maps
        .extend([object("cm", &[("k", "v"), ("other", "o")])]);
    around
        .objects
        .secrets
        .extend([object("s", &[("k", "c2VjcmV0"), ("bin", "/w=="), ("bad", "%")])]);
    let config = |name, k, optional| EnvVarSource {
        config_map_key_ref: key(name, k, optional),
        ..EnvVarSource::default()
    };
    let secret = |name, k, optional| EnvVarSource {
        secret_key_ref: key(name, k, optional),
        ..EnvVarSource::default()
    };
    for (source, want) in [
        (config("cm", "k", None), Ok(Some("v"))),
        (config("cm", "x", Some(true)), Ok(None)),
        (
            config("cm", "x", None),
            Err("couldn't find key x in ConfigMap default/cm"),
        ),
        (config("gone", "x", Some(true)), Ok(None)),
        (config("gone", "x", None), Err("configmap \"gone\" not found")),
        (secret("s", "k", None), Ok(Some("secret"))),
        (
            secret("s", "x", None),
            Err("couldn't find key x in Secret default/s"),
        ),
        (secret("gone", "x", Some(false)), Err("secret \"gone\" not found")),
        (
            secret("s", "bin", None),
            Err("Secret default/s: key bin is not UTF-8 text"),
        ),
        (
            secret("s", "bad", Some(true)),
            Err("Secret default/s: key bad is not UTF-8 text"),
        ),
        (
            EnvVarSource::default(),
            Err("env V: valueFrom: a source this build does not know"),
        ),
    ] {
        let env = around.resolve(&with_env(vec![sourced("V", source.clone())]));
        let got = env
            .map(|list| list.into_iter().next().map(|(_, v)| v))
            .map_err(|e| e.to_string());
        assert_eq!(
            got,
            want.map(|v| v.map(Into::into)).map_err(Into::into),
            "{source:?}"
        );
    }
}

#[test]
fn whole_objects_come_first_and_env_replaces_them() {
    let mut around = Around::default();
    around
        .objects
        .config_maps
        .extend([object("cm", &[("A", "1"), ("B", "2")])]);
    around.objects.secrets.extend([object("s", &[("A", "eA==")])]);
    let from = |name: &str, optional| {
        Some(OptionalRef {
            name: name.into(),
            optional,
        })
    };
    let mut p = with_env(vec![literal("A", "own $(B) $(S_A)")]);
    p.spec.containers[0].env_from = vec![
        EnvFromSource {
            config_map_ref: from("cm", None),
            ..EnvFromSource::default()
        },
        EnvFromSource {
            prefix: "S_".into(),
            secret_ref: from("s", None),
            ..EnvFromSource::default()
        },
        EnvFromSource {
            config_map_ref: from("gone", Some(true)),
            ..EnvFromSource::default()
        },
    ];
    let env = around.resolve(&p).unwrap();
    assert_eq!(pairs(&env), [("A", "own 2 x"), ("B", "2"), ("S_A", "x")]);
    p.spec.containers[0].env_from[2].config_map_ref = from("gone", None);
    assert_eq!(
        around.resolve(&p).unwrap_err().to_string(),
        "configmap \"gone\" not found"
    );
    let config_map = |name: &str| Reference {
        kind: Kind::ConfigMap,
        name: name.into(),
    };
    let secret = Reference {
        kind: Kind::Secret,
        name: "s".into(),
    };
    let found = references(&p.spec.containers[0]);
    assert_eq!(found, [config_map("cm"), secret, config_map("gone")]);
}

fn service(namespace: &str, name: &str, ip: &str, ports: &[(&str, u16, Protocol)]) -> ServiceEnv {
    let ports = ports.iter().map(|(n, port, protocol)| ServicePort {
        name: (*n).into(),
        port: *port,
        protocol: *protocol,
    });
    ServiceEnv {
        namespace: namespace.into(),
        name: name.into(),
        cluster_ip: ip.parse().unwrap(),
        ports: ports.collect(),
    }
}

#[test]
fn services_are_named_as_docker_links_were() {
    let ports = [("https", 443, Protocol::Tcp), ("dns-x", 53, Protocol::Udp)];
    let around = Around {
        services: vec![service("default", "kubernetes", "10.96.0.1", &ports)],
        ..Around::default()
    };
    let env = around.resolve(&pod("p", &["a"])).unwrap();
    let want = [
        ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
        ("KUBERNETES_SERVICE_PORT", "443"),
        ("KUBERNETES_SERVICE_PORT_HTTPS", "443"),
        ("KUBERNETES_SERVICE_PORT_DNS_X", "53"),
        ("KUBERNETES_PORT", "tcp://10.96.0.1:443"),
        ("KUBERNETES_PORT_443_TCP", "tcp://10.96.0.1:443"),
        ("KUBERNETES_PORT_443_TCP_PROTO", "tcp"),
        ("KUBERNETES_PORT_443_TCP_PORT", "443"),
        ("KUBERNETES_PORT_443_TCP_ADDR", "10.96.0.1"),
        ("KUBERNETES_PORT_53_UDP", "udp://10.96.0.1:53"),
        ("KUBERNETES_PORT_53_UDP_PROTO", "udp"),
        ("KUBERNETES_PORT_53_UDP_PORT", "53"),
        ("KUBERNETES_PORT_53_UDP_ADDR", "10.96.0.1"),
    ];
    assert_eq!(pairs(&env), want);
}

#[test]
fn services_of_the_namespace_only_with_links() {
    let tcp = [("", 80, Protocol::Tcp)];
    let services = vec![
        service("default", "kubernetes", "10.96.0.1", &tcp),
        service("shop", "my-app", "fd00::1", &tcp),
        service("shop", "kubernetes", "10.96.9.9", &tcp),
        service("other", "else", "10.96.0.3", &tcp),
    ];
    let around = Around {
        services,
        ..Around::default()
    };
    let mut p = with_env(vec![
        literal("URL", "$(MY_APP_PORT)"),
        literal("MY_APP_SERVICE_PORT", "own"),
    ]);
    p.metadata.namespace = "shop".into();
    let env: BTreeMap<_, _> = around.resolve(&p).unwrap().into_iter().collect();
    assert_eq!(
        env["KUBERNETES_SERVICE_HOST"], "10.96.0.1",
        "the API server's wins over a namesake"
    );
    assert_eq!(
        (&*env["URL"], &*env["MY_APP_SERVICE_PORT"]),
        ("tcp://[fd00::1]:80", "own")
    );
    assert!(!env.contains_key("ELSE_SERVICE_HOST"));
    p.spec.enable_service_links = Some(false);
    let env: BTreeMap<_, _> = around.resolve(&p).unwrap().into_iter().collect();
    assert!(env.contains_key("KUBERNETES_SERVICE_HOST") && !env.contains_key("MY_APP_SERVICE_HOST"));
    assert_eq!(env["URL"], "$(MY_APP_PORT)");
}
