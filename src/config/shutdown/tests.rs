use super::*;
use crate::config::settings::tests::file;

fn read(yaml: &str) -> Result<ShutdownConfig, String> {
    let config = file(yaml, &[]).map_err(|error| error.to_string())?;
    Ok(config.kubelet.shutdown.clone())
}

fn periods(file: &str) -> Vec<(i32, u32)> {
    let config = read(file).unwrap();
    config.periods.iter().map(|p| (p.priority, p.seconds)).collect()
}

#[test]
fn periods_are_those_of_the_list_or_follow_from_the_two_fields() {
    let none: &[(i32, u32)] = &[];
    for (file, expected) in [
        ("", none),
        (
            "shutdownGracePeriod: 0s\nshutdownGracePeriodCriticalPods: 0s",
            none,
        ),
        ("shutdownGracePeriodByPodPriority: []", none),
        ("shutdownGracePeriod: 30s", &[(0, 30), (2_000_000_000, 0)]),
        (
            "shutdownGracePeriod: 30s\nshutdownGracePeriodCriticalPods: 10s",
            &[(0, 20), (2_000_000_000, 10)],
        ),
        (
            "shutdownGracePeriod: 2500ms\nshutdownGracePeriodCriticalPods: 1s",
            &[(0, 1), (2_000_000_000, 1)],
        ),
        (
            "shutdownGracePeriod: 30s\nshutdownGracePeriodCriticalPods: 30s",
            &[(0, 0), (2_000_000_000, 30)],
        ),
        (
            "shutdownGracePeriodByPodPriority:\n- {priority: 100, shutdownGracePeriodSeconds: 5}\n- {priority: \
             -10, shutdownGracePeriodSeconds: 7}\n- {shutdownGracePeriodSeconds: 3}",
            &[(-10, 7), (0, 3), (100, 5)],
        ),
    ] {
        assert_eq!(periods(file), expected, "{file}");
    }
}

#[test]
fn the_machine_waits_for_all_periods_together() {
    let config = read(
        "shutdownGracePeriodByPodPriority:\n- {priority: 1, shutdownGracePeriodSeconds: 5}\n- {priority: 2, \
         shutdownGracePeriodSeconds: 7}",
    );
    assert_eq!(config.unwrap().total(), Duration::from_secs(12));
    assert_eq!(read("").unwrap().total(), Duration::ZERO);
}

#[test]
fn begin_and_end_are_recorded_with_the_gate_of_priorities() {
    assert!(read("shutdownGracePeriod: 3s").unwrap().recorded);
    let off = "shutdownGracePeriod: 3s\nfeatureGates: {GracefulNodeShutdownBasedOnPodPriority: false}";
    assert_eq!(
        read(off).unwrap(),
        ShutdownConfig {
            periods: of_all(Duration::from_secs(3), Duration::ZERO),
            recorded: false,
        }
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (file, problem) in [
        (
            "shutdownGracePeriod: 10s\nshutdownGracePeriodCriticalPods: 20s",
            r#"shutdownGracePeriodCriticalPods: "20s" is more than shutdownGracePeriod, "10s", which"#,
        ),
        (
            "shutdownGracePeriodCriticalPods: 20s",
            r#"shutdownGracePeriodCriticalPods: "20s" is more than shutdownGracePeriod, "0s", which"#,
        ),
        (
            "shutdownGracePeriod: 500ms",
            r#"shutdownGracePeriod: "500ms" is neither zero nor at least 1s"#,
        ),
        (
            "shutdownGracePeriod: 3s\nshutdownGracePeriodCriticalPods: 1ms",
            r#"shutdownGracePeriodCriticalPods: "1ms" is neither zero nor at least 1s"#,
        ),
        (
            "shutdownGracePeriod: 3s\nshutdownGracePeriodByPodPriority: [{priority: 1}]",
            "shutdownGracePeriodByPodPriority: cannot be given beside shutdownGracePeriod",
        ),
        (
            "shutdownGracePeriod: 3s\nfeatureGates: {GracefulNodeShutdown: false, \
             GracefulNodeShutdownBasedOnPodPriority: false, WindowsGracefulNodeShutdown: false}",
            "shutdownGracePeriod: needs the feature gate GracefulNodeShutdown",
        ),
        (
            "shutdownGracePeriodByPodPriority: [{priority: 1}]\nfeatureGates: \
             {GracefulNodeShutdownBasedOnPodPriority: false}",
            "shutdownGracePeriodByPodPriority: needs the feature gate GracefulNodeShutdownBasedOnPodPriority",
        ),
        (
            "shutdownGracePeriod: -3s",
            r#"/k.yaml: shutdownGracePeriod: "-3s" is less than nothing"#,
        ),
        (
            "shutdownGracePeriodByPodPriority: 30s",
            r#"/k.yaml: shutdownGracePeriodByPodPriority: "30s" is not a list of periods"#,
        ),
        (
            "shutdownGracePeriodByPodPriority: [30s]",
            r#"/k.yaml: shutdownGracePeriodByPodPriority: "30s" is not a priority and its period"#,
        ),
        (
            "shutdownGracePeriodByPodPriority: [{priority: 1}, {priority: 1, seconds: 3}]",
            "/k.yaml: shutdownGracePeriodByPodPriority: [1].seconds: there is no such field",
        ),
        (
            "shutdownGracePeriodByPodPriority: [{priority: 3000000000}]",
            "/k.yaml: shutdownGracePeriodByPodPriority: [0].priority: 3000000000 is not between",
        ),
        (
            "shutdownGracePeriodByPodPriority: [{shutdownGracePeriodSeconds: -1}]",
            "/k.yaml: shutdownGracePeriodByPodPriority: [0].shutdownGracePeriodSeconds: -1 is not between 0 and",
        ),
    ] {
        let error = read(file).unwrap_err();
        assert!(error.starts_with(problem), "{file}: {error}");
    }
}
