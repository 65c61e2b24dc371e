use super::*;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn v2_files() {
    let dir = tree(&[
        (
            "pod/cpu.stat",
            "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 7\nnr_throttled 3\nthrottled_usec 9\nnr_bursts 1\nburst_usec 2\n",
        ),
        ("pod/cpu.max", "20000 100000\n"),
        ("pod/cpu.weight", "100\n"),
        ("pod/memory.current", "5000\n"),
        ("pod/memory.peak", "6000\n"),
        ("pod/memory.max", "64000\n"),
        ("pod/memory.swap.max", "max\n"),
        ("pod/memory.swap.current", "12\n"),
        (
            "pod/memory.stat",
            "anon 1000\nfile 3000\nkernel 77\nfile_mapped 5\ninactive_file 2000\nactive_file 900\npgfault 8\npgmajfault 1\n",
        ),
        ("pod/memory.events", "low 0\nhigh 0\nmax 4\noom 2\noom_kill 1\n"),
        (
            "pod/io.stat",
            "253:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n",
        ),
        ("pod/cgroup.procs", "41\n42\n"),
        ("pod/pids.current", "3\n"),
        ("pod/pids.max", "max\n"),
        (
            "pod/cpu.pressure",
            "some avg10=1.50 avg60=0.00 avg300=0.00 total=33\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=4\n",
        ),
        (
            "pod/memory.pressure",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        ),
        (
            "pod/io.pressure",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        ),
    ]);
    let cgroups = Cgroups {
        hierarchies: vec![Hierarchy {
            root: dir.path().to_owned(),
            controllers: Vec::new(),
            v2: true,
        }],
    };
    let found = cgroups.usage("/pod").unwrap();
    assert_eq!((found.cpu.total, found.cpu.throttled), (Some(1_500_000), 9000));
    assert_eq!((found.cpu.periods, found.cpu.throttled_periods), (7, 3));
    assert_eq!(
        (found.limits.cpu_quota, found.limits.cpu_period),
        (Some(20_000), 100_000)
    );
    assert_eq!(found.limits.cpu_shares, 1024);
    assert_eq!(found.memory.working_set(), 3000);
    assert_eq!(
        (found.memory.rss, found.memory.cache, found.memory.swap),
        (1000, 3000, 12)
    );
    assert_eq!((found.memory.oom_kills, found.memory.failures), (1, 4));
    assert_eq!((found.limits.memory, found.limits.swap), (Some(64_000), None));
    assert_eq!(
        (found.processes, found.first_pid, found.threads),
        (2, Some(41), Some(3))
    );
    assert_eq!(found.limits.pids, None);
    let stall = found.pressure.unwrap().cpu.some;
    assert_eq!((stall.total, stall.averages[0]), (33, 1.5));
    let io = DeviceIo {
        major: 253,
        minor: 0,
        reads: 1,
        writes: 2,
        read_bytes: 10,
        write_bytes: 20,
    };
    assert_eq!(found.io, [io]);
    assert_eq!(cgroups.usage("/gone"), None);
    assert_eq!(cgroups.below("/"), Vec::<String>::new());
}

#[test]
fn v1_files_of_several_hierarchies() {
    let dir = tree(&[
        (
            "cpu/pod/cpu.stat",
            "nr_periods 5\nnr_throttled 2\nthrottled_time 800\n",
        ),
        ("cpu/pod/cpu.shares", "102\n"),
        ("cpu/pod/cpu.cfs_period_us", "100000\n"),
        ("cpu/pod/cpu.cfs_quota_us", "-1\n"),
        ("acct/pod/cpuacct.usage", "1234\n"),
        ("acct/pod/cpuacct.stat", "user 3\nsystem 4\n"),
        ("acct/pod/cgroup.procs", "7\n"),
        ("memory/pod/memory.usage_in_bytes", "9000\n"),
        (
            "memory/pod/memory.stat",
            "cache 1\nrss 2\npgfault 5\ntotal_cache 11\ntotal_rss 12\ntotal_inactive_file 1000\ntotal_pgfault 50\n",
        ),
        ("memory/pod/memory.limit_in_bytes", "9223372036854771712\n"),
        (
            "memory/pod/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        ),
        (
            "blkio/pod/blkio.throttle.io_serviced_recursive",
            "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n",
        ),
        (
            "blkio/pod/blkio.throttle.io_service_bytes_recursive",
            "8:0 Read 100\n8:0 Write 200\n",
        ),
    ]);
    let hierarchy = |name: &str, controller: &str| Hierarchy {
        root: dir.path().join(name),
        controllers: vec![controller.into()],
        v2: false,
    };
    let cgroups = Cgroups {
        hierarchies: vec![
            hierarchy("cpu", "cpu"),
            hierarchy("acct", "cpuacct"),
            hierarchy("memory", "memory"),
            hierarchy("blkio", "blkio"),
        ],
    };
    let found = cgroups.usage("/pod").unwrap();
    assert_eq!(found.cpu.total, Some(1234));
    assert_eq!((found.cpu.user, found.cpu.system), (30_000_000, 40_000_000));
    assert_eq!((found.cpu.throttled, found.limits.cpu_quota), (800, None));
    assert_eq!((found.memory.working_set(), found.memory.rss), (8000, 12));
    assert_eq!(found.memory.faults, (5, 50));
    assert_eq!((found.limits.memory, found.memory.oom_kills), (None, 3));
    assert_eq!((found.io[0].writes, found.io[0].read_bytes), (2, 100));
    assert_eq!(found.first_pid, Some(7));
}

#[test]
fn every_weight_comes_from_its_shares() {
    for shares in [2, 102, 1024, 2048, 262_144] {
        let weight = super::super::cpu_weight(shares);
        assert_eq!(super::super::cpu_weight(cpu_shares(weight)), weight, "{shares}");
    }
    assert_eq!(cpu_shares(100), 1024);
}

#[test]
fn own_cgroup_on_both_versions() {
    let v1 = "5:memory:/m\n3:cpu,cpuacct:/system.slice/rustlet.service\n0::/\n";
    assert_eq!(own(v1).as_deref(), Some("/system.slice/rustlet.service"));
    assert_eq!(
        own("0::/system.slice/x.service\n").as_deref(),
        Some("/system.slice/x.service")
    );
    assert_eq!(own(""), None);
}
