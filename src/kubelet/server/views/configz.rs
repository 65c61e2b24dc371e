//! PURE. Our settings as `KubeletConfiguration` (`/configz`) and as flags (`/flagz`). Fields without effect here are left
//! out of the first, so that nobody takes a default of upstream's for a promise of ours.

use crate::config::{AuthorizationMode, CgroupDriver, KubeletConfig, ServerConfig};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The configuration in force, under the name upstream registers it by.
pub(super) fn configz(server: &ServerConfig) -> Value {
    json!({"kubeletconfig": &*server.configz})
}

/// Our settings by the names of kubelet's flags.
pub(super) fn flags(kubelet: &KubeletConfig, server: &ServerConfig) -> BTreeMap<&'static str, String> {
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(",");
    let labels = &mut kubelet.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let mut flags = BTreeMap::from([
        ("address", server.address.to_string()),
        ("anonymous-auth", server.anonymous.to_string()),
        ("authentication-token-webhook", server.token_review.to_string()),
        (
            "authentication-token-webhook-cache-ttl",
            duration(server.token_ttl),
        ),
        ("authorization-mode", mode(server.authorization).to_owned()),
        (
            "authorization-webhook-cache-authorized-ttl",
            duration(server.authorized_ttl),
        ),
        (
            "authorization-webhook-cache-unauthorized-ttl",
            duration(server.unauthorized_ttl),
        ),
        ("cgroup-root", kubelet.cgroup_root.to_string()),
        (
            "cluster-dns",
            list(&mut kubelet.cluster_dns.iter().map(ToString::to_string)),
        ),
        ("cluster-domain", kubelet.cluster_domain.to_string()),
        (
            "container-runtime-endpoint",
            format!("unix://{}", kubelet.runtime_socket.display()),
        ),
        ("enable-debugging-handlers", server.debugging_handlers.to_string()),
        ("hostname-override", kubelet.node.to_string()),
        ("max-pods", kubelet.max_pods.to_string()),
        (
            "node-ip",
            list(&mut kubelet.node_ips.iter().map(ToString::to_string)),
        ),
        ("node-labels", list(labels)),
        ("pod-logs-dir", kubelet.pod_logs_dir.display().to_string()),
        ("port", server.port.to_string()),
        (
            "register-with-taints",
            list(&mut kubelet.taints.iter().map(ToString::to_string)),
        ),
        (
            "resolv-conf",
            kubelet
                .resolv_conf
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
        ),
        ("root-dir", kubelet.root_dir.display().to_string()),
        ("streaming-connection-idle-timeout", duration(server.idle_timeout)),
        ("tls-cipher-suites", server.tls_cipher_suites.join(",")),
    ]);
    if let Some(file) = &server.client_ca_file {
        flags.insert("client-ca-file", file.display().to_string());
    }
    if let Some(address) = server.healthz {
        flags.insert("healthz-bind-address", address.ip().to_string());
        flags.insert("healthz-port", address.port().to_string());
    }
    if let Some(driver) = kubelet.cgroup_driver {
        flags.insert("cgroup-driver", cgroup_driver(driver).to_owned());
    }
    flags
}

fn mode(mode: AuthorizationMode) -> &'static str {
    match mode {
        AuthorizationMode::Webhook => "Webhook",
        AuthorizationMode::AlwaysAllow => "AlwaysAllow",
    }
}

fn cgroup_driver(driver: CgroupDriver) -> &'static str {
    match driver {
        CgroupDriver::Systemd => "systemd",
        CgroupDriver::Cgroupfs => "cgroupfs",
    }
}

/// As Go prints a duration of whole milliseconds: `4h0m0s`, `1m30s`, `1.5s`, `500ms`, `0s`.
fn duration(duration: Duration) -> String {
    let (whole, millis) = (duration.as_secs(), duration.subsec_millis());
    if whole == 0 && millis > 0 {
        return format!("{millis}ms");
    }
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    let fraction = format!(".{millis:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    if hours > 0 {
        format!("{hours}h{minutes}m{seconds}{fraction}s")
    } else if minutes > 0 {
        format!("{minutes}m{seconds}{fraction}s")
    } else {
        format!("{seconds}{fraction}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::server::views::tests::{server, settings};

    #[test]
    fn durations_look_like_gos() {
        let cases = [
            (0, "0s"),
            (500, "500ms"),
            (1500, "1.5s"),
            (90_000, "1m30s"),
            (120_000, "2m0s"),
            (14_400_000, "4h0m0s"),
            (3_600_050, "1h0m0.05s"),
        ];
        for (millis, text) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    /// The names and forms upstream's `/configz` showed for the same settings.
    #[test]
    fn settings_as_upstream_shows_them() {
        let shown = configz(&server());
        let shown = &shown["kubeletconfig"];
        let pointers = [
            ("/kind", json!("KubeletConfiguration")),
            ("/apiVersion", json!("kubelet.config.k8s.io/v1beta1")),
            (
                "/authentication/x509/clientCAFile",
                json!("/etc/kubernetes/pki/ca.crt"),
            ),
            ("/authentication/webhook/cacheTTL", json!("2m0s")),
            ("/authentication/anonymous/enabled", json!(false)),
            ("/authorization/webhook/cacheAuthorizedTTL", json!("5m0s")),
            ("/authorization/mode", json!("Webhook")),
            ("/address", json!("0.0.0.0")),
            ("/healthzBindAddress", json!("127.0.0.1")),
            ("/healthzPort", json!(10248)),
            ("/clusterDNS", json!(["10.96.0.10"])),
            (
                "/containerRuntimeEndpoint",
                json!("unix:///run/containerd/containerd.sock"),
            ),
            ("/streamingConnectionIdleTimeout", json!("4h0m0s")),
        ];
        for (pointer, value) in pointers {
            assert_eq!(shown.pointer(pointer), Some(&value), "{pointer}");
        }
    }

    #[test]
    fn flags_by_their_names() {
        let flags = flags(&settings(), &ServerConfig::default());
        assert_eq!(flags["client-ca-file"], "/etc/kubernetes/pki/ca.crt");
        assert_eq!(flags["hostname-override"], "w1");
        assert_eq!(flags["healthz-port"], "10248");
    }
}
