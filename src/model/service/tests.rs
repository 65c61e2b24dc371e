use super::*;

#[test]
fn decodes_what_the_api_server_sends() {
    let service: Service = serde_json::from_str(
        r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"shop"},
            "spec":{"type":"LoadBalancer","clusterIP":"10.96.0.10","clusterIPs":["10.96.0.10","fd00::10"],
              "ports":[{"name":"http","port":80,"protocol":"TCP","targetPort":"http","nodePort":30080,"appProtocol":"x"}],
              "selector":{"app":"web"},"sessionAffinity":"ClientIP",
              "sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}},"externalTrafficPolicy":"Local",
              "internalTrafficPolicy":"Cluster","loadBalancerSourceRanges":["10.0.0.0/8"],"healthCheckNodePort":31000},
            "status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1","ipMode":"VIP"},{"hostname":"lb"}]}}}"#,
    )
    .unwrap();
    assert_eq!(service.spec.kind, ServiceKind::LoadBalancer);
    assert_eq!(service.spec.cluster_ips.len(), 2);
    assert_eq!(service.spec.ports[0].node_port, 30080);
    assert_eq!(service.spec.session_affinity, SessionAffinity::ClientIP);
    assert_eq!(
        service
            .spec
            .session_affinity_config
            .unwrap()
            .client_ip
            .unwrap()
            .timeout_seconds,
        Some(60)
    );
    assert_eq!(service.spec.external_traffic_policy, TrafficPolicy::Local);
    assert_eq!(&*service.status.load_balancer.ingress[0].ip, "192.0.2.1");
}

#[test]
fn odd_values_do_not_refuse_the_object() {
    let service: Service = serde_json::from_str(
        r#"{"metadata":{"name":"odd"},"spec":{"type":"Tomorrow","clusterIP":"nonsense","clusterIPs":null,"ports":null,
            "sessionAffinity":"Moon","internalTrafficPolicy":"Continent"}}"#,
    )
    .unwrap();
    assert_eq!(service.spec.kind, ServiceKind::Unknown);
    assert_eq!(service.spec.session_affinity, SessionAffinity::None);
    assert_eq!(service.spec.internal_traffic_policy, TrafficPolicy::Cluster);
    assert!(service.spec.ports.is_empty());
}

#[test]
fn slice_with_nulls_and_bad_addresses() {
    let slice: EndpointSlice = serde_json::from_str(
        r#"{"metadata":{"name":"web-1","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},
            "addressType":"IPv4","ports":null,
            "endpoints":[{"addresses":["10.244.0.5","10.244.0.6"],"conditions":{"ready":false},"nodeName":"n1"},
              {"addresses":["bad"]},{"addresses":[]},{"addresses":null}]}"#,
    )
    .unwrap();
    assert_eq!(slice.service_name(), Some("web"));
    let addresses: Vec<_> = slice.endpoints.iter().map(|e| e.address.clone()).collect();
    let first = Address::Ip("10.244.0.5".parse().unwrap());
    assert_eq!(
        addresses,
        [
            first,
            Address::Other("bad".into()),
            Address::Missing,
            Address::Missing
        ]
    );
    assert!(!slice.endpoints[0].conditions.is_ready());
    assert!(slice.endpoints[1].conditions.is_ready() && slice.endpoints[1].conditions.is_serving());
    assert!(!slice.endpoints[1].conditions.is_terminating());

    let empty: EndpointSlice = serde_json::from_str(r#"{"addressType":"FQDN","endpoints":null}"#).unwrap();
    assert_eq!(empty.address_type, AddressType::Fqdn);
    assert!(empty.endpoints.is_empty());
}
