use super::*;

const V1: &str = "\
25 20 0:21 / /proc rw - proc proc rw
30 22 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset,clone_children
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 99 0:28 / /run/elsewhere/cpuset rw - cgroup cgroup rw,cpuset,clone_children
";

fn hierarchy(root: &Path, controllers: &[&str], v2: bool) -> Hierarchy {
    Hierarchy {
        root: root.to_owned(),
        controllers: controllers.iter().map(|c| (*c).into()).collect(),
        v2,
    }
}

/// A directory tree that stands in for a hierarchy; the kernel's files are made by hand.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path().join(path)).unwrap()
    }
    fn has(&self, path: &str) -> bool {
        self.0.path().join(path).exists()
    }
}

#[test]
fn hierarchies_are_read_from_the_mount_table() {
    let found = parse(V1);
    assert_eq!(
        found,
        [
            hierarchy(
                Path::new("/sys/fs/cgroup/cpu,cpuacct"),
                &["cpu", "cpuacct"],
                false
            ),
            hierarchy(Path::new("/sys/fs/cgroup/cpuset"), &["cpuset"], false),
            hierarchy(Path::new("/sys/fs/cgroup/systemd"), &[], false),
        ]
    );
    assert_eq!(Cgroups { hierarchies: found }.version(), Version::V1);

    let unified = "35 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
    let hybrid = Cgroups {
        hierarchies: parse(&format!("{V1}{unified}")),
    };
    assert_eq!(hybrid.version(), Version::Hybrid);
    assert!(hybrid.used().all(|h| !h.v2), "the empty v2 tree is left alone");

    let v2 = Cgroups {
        hierarchies: parse(unified),
    };
    assert_eq!((v2.version(), v2.used().count()), (Version::V2, 1));
    assert!(parse("nonsense\n1 2 3 - cgroup\n").is_empty());
}

#[test]
fn names_must_stay_below_the_root() {
    let tree = Tree::new();
    let cgroups = Cgroups {
        hierarchies: vec![hierarchy(tree.0.path(), &["cpu"], false)],
    };
    for name in ["", "/", "kubepods", "/kubepods/../..", "/./x", "//"] {
        assert!(matches!(cgroups.ensure(name), Err(Error::Name(_))), "{name:?}");
        assert!(!cgroups.exists(name));
    }
    cgroups.ensure("/kubepods//burstable/").unwrap();
    assert!(tree.has("kubepods/burstable"));
}

#[test]
fn a_new_cpuset_inherits_and_a_set_one_is_kept() {
    let tree = Tree::new();
    tree.file("cpuset.cpus", "0-3\n").file("cpuset.mems", "0\n");
    tree.file("kubepods/cpuset.cpus", "1-2\n")
        .file("kubepods/cpuset.mems", "\n");
    tree.file("kubepods/podx/cpuset.cpus", "\n")
        .file("kubepods/podx/cpuset.mems", "");
    let cgroups = Cgroups {
        hierarchies: vec![hierarchy(tree.0.path(), &["cpuset"], false)],
    };
    cgroups.ensure("/kubepods/podx").unwrap();
    assert_eq!(tree.read("kubepods/cpuset.cpus"), "1-2\n");
    assert_eq!(tree.read("kubepods/cpuset.mems"), "0");
    assert_eq!(tree.read("kubepods/podx/cpuset.cpus"), "1-2");
    assert_eq!(tree.read("kubepods/podx/cpuset.mems"), "0");
}

#[test]
fn v2_levels_pass_their_controllers_on() {
    let tree = Tree::new();
    tree.file("cgroup.controllers", "cpu memory pids\n")
        .file("cgroup.subtree_control", "memory\n");
    tree.file("kubepods/cgroup.controllers", "\n")
        .file("kubepods/cgroup.subtree_control", "");
    let cgroups = Cgroups {
        hierarchies: vec![hierarchy(tree.0.path(), &[], true)],
    };
    cgroups.ensure("/kubepods/podx").unwrap();
    assert!(tree.has("kubepods/podx"));
    assert_eq!(
        tree.read("cgroup.subtree_control"),
        "+pids",
        "each is written by itself; the last one shows here"
    );
    assert_eq!(tree.read("kubepods/cgroup.subtree_control"), "");
}

fn some() -> CgroupSettings {
    CgroupSettings {
        cpu_shares: Some(512),
        memory: Some(4096),
        pids: Some(10),
        hugepages: [(2 << 20, 0)].into(),
        ..CgroupSettings::default()
    }
}

#[test]
fn settings_go_to_the_hierarchy_of_their_controller() {
    let (cpu, memory) = (Tree::new(), Tree::new());
    cpu.file("kubepods/cpu.shares", "");
    memory.file("kubepods/memory.limit_in_bytes", "");
    let v1 = Cgroups {
        hierarchies: vec![
            hierarchy(cpu.0.path(), &["cpu", "cpuacct"], false),
            hierarchy(memory.0.path(), &["memory"], false),
        ],
    };
    v1.apply("/kubepods", &some()).unwrap();
    assert_eq!(cpu.read("kubepods/cpu.shares"), "512");
    assert_eq!(memory.read("kubepods/memory.limit_in_bytes"), "4096");
    assert!(!memory.has("kubepods/cpu.shares") && !cpu.has("kubepods/pids.max"));
    assert_eq!(v1.missing(), ["cpuset", "pids"]);
}

#[test]
fn on_v2_only_controllers_the_cgroup_has_are_set() {
    let tree = Tree::new();
    tree.file("cgroup.controllers", "cpu io memory pids\n");
    tree.file("kubepods/cgroup.controllers", "cpu memory\n")
        .file("kubepods/cpu.weight", "100")
        .file("kubepods/memory.max", "max");
    let v2 = Cgroups {
        hierarchies: vec![hierarchy(tree.0.path(), &[], true)],
    };
    v2.apply("/kubepods", &some()).unwrap();
    assert_eq!(tree.read("kubepods/cpu.weight"), "20");
    assert_eq!(tree.read("kubepods/memory.max"), "4096");
    assert!(!tree.has("kubepods/pids.max") && !tree.has("kubepods/hugetlb.2MB.max"));
    assert_eq!(v2.missing(), ["cpuset"]);
    tree.file("kubepods/cgroup.controllers", "hugetlb\n")
        .file("kubepods/hugetlb.2MB.max", "max");
    v2.apply("/kubepods", &some()).unwrap();
    assert_eq!(
        tree.read("kubepods/hugetlb.2MB.max"),
        "0",
        "a kernel without .rsvd"
    );
    let gone = v2.apply("/gone", &some()).unwrap_err();
    assert!(gone.to_string().contains("gone/cgroup.controllers"), "{gone}");
}

#[test]
fn weights_meet_their_fixed_points_and_never_fall() {
    for (shares, weight) in [(0, 1), (2, 1), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)] {
        assert_eq!(cpu_weight(shares), weight, "{shares}");
    }
    let weights: Vec<_> = (2..5000).map(cpu_weight).collect();
    assert!(weights.is_sorted());
}

#[tokio::test]
async fn removal_takes_children_first_and_can_be_repeated() {
    let (one, two) = (Tree::new(), Tree::new());
    for tree in [&one, &two] {
        fs::create_dir_all(tree.0.path().join("kubepods/podx/c1/deeper")).unwrap();
    }
    fs::create_dir_all(one.0.path().join("kubepods/pody")).unwrap();
    let cgroups = Cgroups {
        hierarchies: vec![
            hierarchy(one.0.path(), &["cpu"], false),
            hierarchy(two.0.path(), &[], true),
        ],
    };
    assert_eq!(cgroups.children("/kubepods").unwrap(), ["podx", "pody"]);
    for _ in 0..2 {
        cgroups.remove("/kubepods/podx").await.unwrap();
        assert!(!cgroups.exists("/kubepods/podx"));
    }
    assert!(one.has("kubepods/pody"));
    assert!(matches!(cgroups.remove("/").await, Err(Error::Name(_))));
}

#[test]
fn processes_are_found_at_every_depth() {
    let tree = Tree::new();
    tree.file("kubepods/podx/cgroup.procs", "12\n")
        .file("kubepods/podx/c1/cgroup.procs", "7\n12\n");
    let cgroups = Cgroups {
        hierarchies: vec![hierarchy(tree.0.path(), &["cpu"], false)],
    };
    assert_eq!(cgroups.pids("/kubepods/podx").unwrap(), [7, 12]);
    assert!(cgroups.pids("/kubepods/gone").unwrap().is_empty());
}
