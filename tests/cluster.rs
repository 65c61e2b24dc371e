//! The whole thing on a real cluster: etcd, API server, controllers, scheduler, CoreDNS, containerd, runc, two nodes.
//!
//! One cluster serves the run; it comes up when the first selected case needs it and goes down however the run ends.
//! Cases have namespaces of their own and run four at a time, since most of them wait; those that restart agents run
//! alone after the others, and the last one deletes everything and looks for what is left.
//!
//! - `cargo test --test cluster -- pod_network` runs the matching cases.
//! - `RUSTLET_LAB_AGENT=upstream` runs kubelet, kube-proxy and upstream's CNI plugins instead of rustlet: what passes
//!   there and fails here is ours, what fails there is the test's.

#[path = "cluster/admission.rs"]
mod admission;
#[path = "cluster/agent.rs"]
mod agent;
#[path = "cluster/api_settings.rs"]
mod api_settings;
#[path = "cluster/bad_input.rs"]
mod bad_input;
#[path = "cluster/caller.rs"]
mod caller;
#[path = "cluster/client.rs"]
mod client;
#[path = "cluster/debug.rs"]
mod debug;
#[path = "cluster/eviction.rs"]
mod eviction;
#[path = "cluster/hooks.rs"]
mod hooks;
#[path = "cluster/host_port.rs"]
mod host_port;
#[path = "cluster/identity.rs"]
mod identity;
#[path = "cluster/join.rs"]
mod join;
#[path = "cluster/kubeadm.rs"]
mod kubeadm;
#[path = "cluster/last.rs"]
mod last;
#[path = "cluster/life.rs"]
mod life;
#[path = "cluster/life_end.rs"]
mod life_end;
#[path = "cluster/logs.rs"]
mod logs;
#[path = "cluster/metrics.rs"]
mod metrics;
#[path = "cluster/node_security.rs"]
mod node_security;
#[path = "cluster/pod_network.rs"]
mod pod_network;
#[path = "cluster/pods.rs"]
mod pods;
#[path = "cluster/private_images.rs"]
mod private_images;
#[path = "cluster/probes.rs"]
mod probes;
#[path = "cluster/recover.rs"]
mod recover;
#[path = "cluster/resources.rs"]
mod resources;
#[path = "cluster/runtime_class.rs"]
mod runtime_class;
#[path = "cluster/security.rs"]
mod security;
#[path = "cluster/services.rs"]
mod services;
#[path = "cluster/shutdown.rs"]
mod shutdown;
#[path = "cluster/static_pods.rs"]
mod static_pods;
#[path = "cluster/stream.rs"]
mod stream;
#[path = "cluster/stream_end.rs"]
mod stream_end;
#[path = "cluster/stream_forward.rs"]
mod stream_forward;
#[path = "cluster/support.rs"]
mod support;
#[path = "cluster/views.rs"]
mod views;
#[path = "cluster/walkthrough.rs"]
mod walkthrough;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use support::Lab;

type Case = (&'static str, fn(&Lab) -> anyhow::Result<()>);

/// Independent of each other.
const TOGETHER: &[Case] = &[
    ("walkthrough::story_a", walkthrough::story_a),
    ("walkthrough::story_d", walkthrough::story_d),
    ("pods::crash_loop", pods::crash_loop),
    ("bad_input::image", bad_input::image),
    ("join::node_object", join::node_object),
    ("pod_network::same_node", pod_network::same_node),
    ("pod_network::cross_node", pod_network::cross_node),
    ("pod_network::pod_to_node", pod_network::pod_to_node),
    ("pod_network::pod_to_api_server", pod_network::pod_to_api_server),
    (
        "pod_network::outside_sees_the_node",
        pod_network::outside_sees_the_node,
    ),
    (
        "pod_network::localhost_is_shared",
        pod_network::localhost_is_shared,
    ),
    ("services::dns", services::dns),
    ("services::udp", services::udp),
    ("services::node_port", services::node_port),
    ("services::client_ip_affinity", services::client_ip_affinity),
    ("services::no_endpoints_refuse", services::no_endpoints_refuse),
    ("services::unknown_target_port", services::unknown_target_port),
    ("services::hairpin", services::hairpin),
    ("pods::readiness_probe", pods::readiness_probe),
    ("pods::liveness_probe", pods::liveness_probe),
    ("probes::grpc", probes::grpc),
    ("probes::exec", probes::exec),
    ("pods::graceful_deletion", pods::graceful_deletion),
    ("pods::restart_policy", pods::restart_policy),
    ("pods::init_containers", pods::init_containers),
    ("pods::inside", pods::inside),
    ("pods::events", pods::events),
    ("life::sidecar_order", life::sidecar_order),
    ("life::sidecar_restarts", life::sidecar_restarts),
    ("life::sidecar_liveness", life::sidecar_liveness),
    ("life::restart_rules", life::restart_rules),
    ("life::restart_all", life::restart_all),
    ("life::status_fields", life::status_fields),
    ("life_end::deadline", life_end::deadline),
    ("life_end::last_words", life_end::last_words),
    ("life_end::never_started", life_end::never_started),
    ("logs::follow_across_rotation", logs::follow_across_rotation),
    ("logs::options", logs::options),
    ("logs::refusals", logs::refusals),
    ("logs::previous", logs::previous),
    ("logs::containers", logs::containers),
    ("logs::long_lines", logs::long_lines),
    ("logs::follow_ends", logs::follow_ends),
    ("logs::client_vanishes", logs::client_vanishes),
    ("logs::links_refused", logs::links_refused),
    ("pods::host_port", host_port::host_port),
    ("resources::pod_cgroups", resources::pod_cgroups),
    ("resources::out_of_memory", resources::out_of_memory),
    ("admission::turned_away", admission::turned_away),
    ("admission::fresh_label", admission::fresh_label),
    ("security::users", security::users),
    ("security::user_namespaces", security::user_namespaces),
    ("security::names", security::names),
    ("hooks::post_start", hooks::post_start),
    ("hooks::post_start_fails", hooks::post_start_fails),
    ("hooks::pre_stop", hooks::pre_stop),
    ("hooks::pre_stop_within_grace", hooks::pre_stop_within_grace),
    ("debug::target", debug::target),
    ("debug::interactive", debug::interactive),
    ("debug::any_state", debug::any_state),
    ("debug::new_volume", debug::new_volume),
    ("debug::copy", debug::copy),
    ("debug::node", debug::node),
    ("static_pods::life", static_pods::life),
    ("stream::exec", stream::exec),
    ("stream::stdin", stream::stdin),
    ("stream::terminal", stream::terminal),
    ("stream::attach", stream::attach),
    ("stream::run_and_remove", stream::run_and_remove),
    ("stream::plain_answers", stream::plain_answers),
    ("stream::direct_websocket", stream::direct_websocket),
    ("stream::declared", stream::declared),
    ("stream_end::container_gone", stream_end::container_gone),
    ("stream_forward::ends", stream_forward::ends),
    ("stream_forward::targets", stream_forward::targets),
    ("stream_forward::proxies", stream_forward::proxies),
    ("metrics::families", metrics::families),
    ("metrics::resizes", metrics::resizes),
    ("metrics::summary", metrics::summary),
    ("metrics::plausible_numbers", metrics::plausible_numbers),
    ("metrics::kubectl_top", metrics::kubectl_top),
    ("views::status_pages", views::status_pages),
    ("views::node_logs", views::node_logs),
    ("views::debugging", views::debugging),
    (CHECKPOINT, views::checkpoint_archive),
    ("views::checkpoint_refused", views::checkpoint_refused),
    ("node_security::every_route", node_security::every_route),
    ("node_security::path_tricks", node_security::path_tricks),
    ("node_security::tokens", node_security::tokens),
    ("node_security::too_large", node_security::too_large),
    ("private_images::secrets", private_images::secrets),
    ("private_images::policies", private_images::policies),
    ("runtime_class::handlers", runtime_class::handlers),
    ("bad_input::command", bad_input::command),
    (
        "bad_input::volume_of_missing_config_map",
        bad_input::volume_of_missing_config_map,
    ),
    ("bad_input::ipam_garbage", bad_input::ipam_garbage),
    ("bad_input::kubeconfig", bad_input::kubeconfig),
    ("bad_input::unknown_flag", bad_input::unknown_flag),
    ("bad_input::cni_stdin", bad_input::cni_stdin),
];

/// Disturb others, or look at whole nodes: one at a time, in this order.
const ALONE: &[Case] = &[
    // Others ask for the node's health as well.
    ("views::health_metrics", views::health_metrics),
    ("logs::hundred_megabytes", logs::hundred_megabytes),
    ("stream::copy_files", stream::copy_files),
    ("stream_forward::many", stream_forward::many),
    ("stream_end::slow_reader", stream_end::slow_reader),
    ("stream_end::vanished_clients", stream_end::vanished_clients),
    ("stream_end::agent_restarts", stream_end::agent_restarts),
    ("node_security::slow_clients", node_security::slow_clients),
    ("resources::reservations", resources::reservations),
    ("admission::preemption", admission::preemption),
    ("agent::restart", agent::restart),
    ("agent::killed_in_a_rollout", agent::killed_in_a_rollout),
    ("agent::runtime_gone", agent::runtime_gone),
    ("agent::api_server_gone", agent::api_server_gone),
    ("recover::killed", recover::killed),
    ("recover::runtime_restarted", recover::runtime_restarted),
    ("recover::api_server_down", recover::api_server_down),
    ("recover::power_cut", recover::power_cut),
    ("static_pods::agent_down", static_pods::agent_down),
    ("static_pods::api_server_gone", static_pods::api_server_gone),
    // Takes most of a node; what comes next needs little.
    ("pods::resize", pods::resize),
    ("join::refused_credentials", join::refused_credentials),
    ("join::unreachable_server", join::unreachable_server),
    ("identity::bootstrap", identity::bootstrap),
    ("identity::rotation", identity::rotation),
    ("identity::expired", identity::expired),
    ("identity::serving", identity::serving),
    ("eviction::local_storage", eviction::local_storage),
    ("eviction::memory_pressure", eviction::memory_pressure),
    ("eviction::disk_pressure", eviction::disk_pressure),
    ("eviction::unused_images", eviction::unused_images),
    ("shutdown::by_priority", shutdown::by_priority),
    ("shutdown::no_bus", shutdown::no_bus),
    (
        "private_images::node_credentials",
        private_images::node_credentials,
    ),
    ("api_settings::tls13_only", api_settings::tls13_only),
    (
        "api_settings::debugging_handlers_off",
        api_settings::debugging_handlers_off,
    ),
    ("api_settings::external_cloud", api_settings::external_cloud),
    ("api_settings::tokens_end", api_settings::tokens_end),
    ("join::kubeadm", kubeadm::join),
    ("last::nothing_left", last::nothing_left),
];

/// About rustlet's own words and refusals; ignored with upstream's components.
const OURS: &[&str] = &[
    "join::refused_credentials",
    "join::unreachable_server",
    "logs::links_refused",
    "shutdown::no_bus",
];

/// Needs a CRIU that fits the kernel; ignored where there is none.
const CHECKPOINT: &str = "views::checkpoint_archive";

/// Most cases wait for the cluster most of the time.
const AT_ONCE: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let at_once = arguments.test_threads.unwrap_or(AT_ONCE);
    let mut failed = false;
    for (cases, threads) in [(TOGETHER, at_once), (ALONE, 1)] {
        arguments.test_threads = Some(threads);
        let chosen = |name: &str| {
            arguments
                .filter
                .as_ref()
                .is_none_or(|filter| name.contains(filter))
        };
        let trials = cases.iter().map(|&(name, case)| trial(name, case, chosen(name)));
        let trials = trials.collect();
        failed |= libtest_mimic::run(&arguments, trials).has_failed();
    }
    let left = support::down(failed);
    left.iter()
        .for_each(|what| eprintln!("left over after the tear-down: {what}"));
    if failed || !left.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn trial(name: &str, case: fn(&Lab) -> anyhow::Result<()>, chosen: bool) -> Trial {
    let reason = match name {
        CHECKPOINT if chosen => views::cannot_checkpoint(),
        _ => None,
    };
    if let Some(reason) = &reason {
        eprintln!("{name} is ignored: {reason}");
    }
    let ignored = reason.is_some() || support::upstream() && OURS.contains(&name);
    let case = move || {
        let lab = support::lab().map_err(|error| format!("{error:#}"))?;
        case(&lab).map_err(|error| format!("{error:#}").into())
    };
    Trial::test(name, case).with_ignored_flag(ignored)
}
