use super::*;

#[test]
fn meminfo_fields_are_kibibytes() {
    let text = "MemTotal:       24649328 kB\nMemFree: 1 kB\nSwapTotal:             0 kB\n";
    assert_eq!(meminfo_bytes(text, "MemTotal"), 24_649_328 * 1024);
    assert_eq!(meminfo_bytes(text, "SwapTotal"), 0);
    assert_eq!(meminfo_bytes(text, "Nothing"), 0);
}

#[test]
fn os_release_names_the_image() {
    assert_eq!(
        pretty_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
        Some("Debian GNU/Linux 12 (bookworm)")
    );
    assert_eq!(pretty_name("ID=x\n"), None);
}

#[test]
fn huge_page_pools_are_listed_by_size() {
    let dir = tempfile::tempdir().unwrap();
    for (name, count) in [
        ("hugepages-2048kB", "3\n"),
        ("hugepages-1048576kB", "0\n"),
        ("other", "9\n"),
    ] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("nr_hugepages"), count).unwrap();
    }
    assert_eq!(hugepages(dir.path()), [(2048, 3), (1_048_576, 0)]);
}

#[test]
fn this_machine_has_cpus_memory_and_a_kernel() {
    let machine = read();
    assert!(machine.cpus > 0 && machine.memory_bytes > 0 && !machine.kernel.is_empty());
    assert!(disk(Path::new("/")).unwrap().capacity_bytes > 0);
}

#[test]
fn online_cpus_are_counted() {
    for (list, want) in [("0\n", 1), ("0-3\n", 4), ("0-1,4,6-7\n", 5)] {
        assert_eq!(online_cpus(list), want, "{list}");
    }
    assert!(
        online_cpus("") > 0 && online_cpus("3-1") > 0,
        "what is not understood counts as not said"
    );
}
