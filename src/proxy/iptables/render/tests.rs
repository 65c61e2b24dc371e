use super::*;

#[test]
fn probabilities_are_what_iptables_save_prints() {
    let printed = [
        (1, "1.00000000000"),
        (2, "0.50000000000"),
        (3, "0.33333333349"),
        (4, "0.25000000000"),
    ];
    for (count, text) in printed {
        assert_eq!(probability(count), text, "1/{count}");
    }
    assert_eq!(probability(1000), "0.00100000016");
}

#[test]
fn a_comment_cannot_leave_its_quotes() {
    let rule = Rule::new(Target::Accept).comment("a\"\n-j DROP\\ é");
    let mut text = String::new();
    write_rule(&mut text, ChainName::new("KUBE-X").unwrap(), &rule, IpFamily::V4);
    assert_eq!(
        text,
        "-A KUBE-X -m comment --comment \"a??-j DROP? ?\" -j ACCEPT\n"
    );
    let long = Rule::new(Target::Accept).comment(&"x".repeat(300));
    assert_eq!(long.comment.unwrap().len(), 255);
}
