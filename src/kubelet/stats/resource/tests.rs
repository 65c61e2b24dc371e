use super::*;
use crate::kubelet::stats::snapshot::{ContainerUse, PodUse};
use crate::model::usage::CgroupUse;

fn used(id: &str) -> Used {
    let mut usage = CgroupUse {
        read_at: 1_795_270_418_611_000_000,
        ..CgroupUse::default()
    };
    usage.cpu.total = Some(1_500_000_000);
    usage.memory.usage = Some(2_000_000);
    Used::new(id, usage)
}

#[test]
fn the_text_metrics_server_reads() {
    let container = ContainerUse {
        name: "main".into(),
        created: 1_795_270_396_500_000_000,
        used: used("/p/c"),
        ..ContainerUse::default()
    };
    let pod = PodUse {
        name: "web".into(),
        namespace: "default".into(),
        used: Some(used("/p")),
        containers: vec![container],
        ..PodUse::default()
    };
    let snapshot = Snapshot {
        root: used("/"),
        pods: vec![pod],
        ..Snapshot::default()
    };
    let text = resource(Some(&snapshot));
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        samples,
        [
            r#"container_cpu_usage_seconds_total{container="main",namespace="default",pod="web"} 1.5 1795270418611"#,
            r#"container_memory_working_set_bytes{container="main",namespace="default",pod="web"} 2e+06 1795270418611"#,
            r#"container_start_time_seconds{container="main",namespace="default",pod="web"} 1.7952703965e+09"#,
            r#"container_swap_usage_bytes{container="main",namespace="default",pod="web"} 0 1795270418611"#,
            "node_cpu_usage_seconds_total 1.5 1795270418611",
            "node_memory_working_set_bytes 2e+06 1795270418611",
            "node_swap_usage_bytes 0 1795270418611",
            r#"pod_cpu_usage_seconds_total{namespace="default",pod="web"} 1.5 1795270418611"#,
            r#"pod_memory_working_set_bytes{namespace="default",pod="web"} 2e+06 1795270418611"#,
            r#"pod_swap_usage_bytes{namespace="default",pod="web"} 0 1795270418611"#,
            "resource_scrape_error 0",
        ]
    );
    assert!(text.contains("# TYPE container_cpu_usage_seconds_total counter\n"));
    let failed = resource(None);
    assert!(failed.ends_with("resource_scrape_error 1\n"), "{failed}");
}
