use super::*;

const INPUT: &str = "*nat\n:KUBE-T - [0:0]\n-A KUBE-T -d 999.1.1.1 -j RETURN\nCOMMIT\n";

#[test]
fn a_refused_line_is_shown() {
    let words = [
        "iptables-restore v1.8.9 (nf_tables): host/network `999.1.1.1' not found\nError occurred at line: 3\n\
         Try `iptables-restore -h' or 'iptables-restore --help' for more information.\n",
        "iptables-restore: line 3 failed: No chain/target/match by that name.\n",
        "iptables-restore v1.8.9 (nf_tables): \nline 3: RULE_APPEND failed (Invalid argument): rule in chain KUBE-T\n",
    ];
    for stderr in words {
        let error = failure("iptables-restore", INPUT, "exit status: 2", stderr);
        let text = error.to_string();
        assert!(
            text.contains("(line 3: -A KUBE-T -d 999.1.1.1 -j RETURN)"),
            "{text}"
        );
        assert!(!text.contains("Try `"), "{text}");
    }
}

#[test]
fn a_failure_without_a_line_keeps_its_words() {
    let error = failure(
        "iptables-restore",
        INPUT,
        "exit status: 4",
        "Another app is currently holding the xtables lock.",
    );
    let words = "iptables-restore refused the rules: Another app is currently holding the xtables lock.";
    assert_eq!(error.to_string(), words);
    let error = failure(
        "iptables-save",
        "",
        "exit status: 1",
        "Permission denied (you must be root)\n",
    );
    assert_eq!(
        error.to_string(),
        "iptables-save ended with exit status: 1: Permission denied (you must be root)"
    );
}

#[tokio::test]
async fn a_missing_binary_says_the_remedy() {
    let error = run("rustlet-has-no-such-binary", &[], "").await.unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    assert!(error.to_string().contains("apt install iptables"), "{error}");
}
