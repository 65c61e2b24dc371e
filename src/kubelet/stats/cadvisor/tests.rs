use super::*;
use crate::model::usage::{DeviceIo, FsUse, Pressures, Traffic};

fn used(id: &str) -> Used {
    let mut usage = CgroupUse {
        read_at: 5_000_000,
        created: 3.5,
        ..CgroupUse::default()
    };
    usage.cpu.total = Some(1_000_000_000);
    usage.memory.usage = Some(50);
    Used::new(id, usage)
}

fn snapshot() -> Snapshot {
    let container = |id: &str, name: &str| ContainerUse {
        id: id.into(),
        name: name.into(),
        image: "busybox".into(),
        created: 0,
        used: used(&format!("/p/{id}")),
    };
    let mut limited = container("c1", "main");
    limited.used.usage.limits.cpu_quota = Some(20_000);
    limited.used.usage.cpu.throttled = 2_000_000_000;
    limited.used.usage.pressure = Some(Pressures::default());
    limited.used.usage.io = vec![DeviceIo {
        major: 8,
        minor: 0,
        read_bytes: 77,
        ..DeviceIo::default()
    }];
    let traffic = Traffic {
        bytes: 9,
        ..Traffic::default()
    };
    let pod = PodUse {
        name: "web".into(),
        namespace: "ns".into(),
        used: Some(used("/p")),
        sandbox: Some(container("s1", "")),
        containers: vec![limited],
        interfaces: vec![Interface {
            name: "eth0".into(),
            rx: traffic,
            tx: Traffic::default(),
        }],
        ..PodUse::default()
    };
    let mut snapshot = Snapshot {
        root: used("/"),
        pods: vec![pod],
        ..Snapshot::default()
    };
    snapshot.machine.devices = vec![BlockDevice {
        number: (8, 0),
        name: "sda".into(),
        counters: [1, 2, 3, 4, 5, 6, 7, 8000, 9, 10, 11],
    }];
    let fs = FsUse {
        capacity: 100,
        ..FsUse::default()
    };
    snapshot.machine.file_systems = vec![((8, 0), fs)];
    snapshot
}

#[test]
fn every_cgroup_with_the_labels_of_its_owner() {
    let text = cadvisor(&Machine::default(), Some(&snapshot()), 7_000_000_000);
    let main = r#"container="main",id="/p/c1",image="busybox",name="c1",namespace="ns",pod="web""#;
    let cpu = r#"container="main",cpu="total",id="/p/c1",image="busybox",name="c1",namespace="ns",pod="web""#;
    let disk =
        r#"container="main",device="/dev/sda",id="/p/c1",image="busybox",name="c1",namespace="ns",pod="web""#;
    let sandbox =
        r#"container="",id="/p/s1",image="busybox",interface="eth0",name="s1",namespace="ns",pod="web""#;
    let pod = r#"container="",id="/p",image="",name="",namespace="ns",pod="web""#;
    let root = r#"container="",device="/dev/sda",id="/",image="",name="",namespace="",pod="""#;
    for line in [
        format!("container_cpu_usage_seconds_total{{{cpu}}} 1 5"),
        format!("container_cpu_cfs_throttled_seconds_total{{{main}}} 2 5"),
        format!("container_spec_cpu_quota{{{main}}} 20000"),
        format!("container_start_time_seconds{{{main}}} 3"),
        format!("container_last_seen{{{main}}} 7 7000"),
        format!("container_pressure_cpu_waiting_seconds_total{{{main}}} 0 5"),
        format!("container_fs_reads_bytes_total{{{disk}}} 77 5"),
        format!("container_memory_working_set_bytes{{{pod}}} 50 5"),
        format!("container_network_receive_bytes_total{{{sandbox}}} 9 5"),
        format!("container_fs_limit_bytes{{{root}}} 100 5"),
        format!("container_fs_reads_bytes_total{{{root}}} 1536 5"),
        format!("container_fs_write_seconds_total{{{root}}} 8 5"),
        "container_scrape_error 0".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    let quotas = text
        .lines()
        .filter(|line| line.starts_with("container_spec_cpu_quota{"));
    assert_eq!(quotas.count(), 1, "only where there is a quota");
}

#[test]
fn each_family_has_its_head_once() {
    let text = cadvisor(&Machine::default(), Some(&snapshot()), 0);
    let mut heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let count = heads.len();
    heads.sort_unstable();
    heads.dedup();
    assert_eq!(heads.len(), count);
    assert!(count > 55, "{count} families");
}

#[test]
fn a_failed_scrape_says_so() {
    let text = cadvisor(&Machine::default(), None, 0);
    assert!(
        text.contains("\ncontainer_scrape_error 1\n") && text.contains("machine_cpu_cores"),
        "{text}"
    );
}
