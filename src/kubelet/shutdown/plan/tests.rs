use super::*;
use crate::testing::builders::pod;

/// Pods as `name priority`, or only `name` for one without.
fn pods(all: &[&str]) -> Vec<Arc<Pod>> {
    let one = |text: &&str| {
        let (name, priority) = text.split_once(' ').unwrap_or((text, ""));
        let mut pod = pod(name, &["app"]);
        pod.spec.priority = priority.parse().ok();
        pod.spec.termination_grace_period_seconds = 30;
        Arc::new(pod)
    };
    all.iter().map(one).collect()
}

fn periods(all: &[(i32, u32)]) -> Vec<ShutdownPeriod> {
    let period = |&(priority, seconds)| ShutdownPeriod { priority, seconds };
    all.iter().map(period).collect()
}

/// `priority/seconds: names`, a line for each group.
fn told(groups: &[Group]) -> Vec<String> {
    let names = |group: &Group| {
        let names = group.pods.iter().map(|ending| &*ending.pod.metadata.name);
        names.collect::<Vec<_>>().join(" ")
    };
    let line = |group: &Group| format!("{}/{}: {}", group.priority, group.wait.as_secs(), names(group));
    groups.iter().map(line).collect()
}

#[test]
fn a_pod_belongs_to_the_highest_period_it_reaches() {
    let critical = "2000000000";
    let node_critical = "2000001000";
    for (wanted, all, expected) in [
        (vec![], vec!["a 1".to_owned()], vec![]),
        (
            vec![(0, 20), (2_000_000_000, 10)],
            vec![
                "none".to_owned(),
                "low -100".to_owned(),
                "high 1999999999".to_owned(),
                format!("critical {critical}"),
                format!("node {node_critical}"),
            ],
            vec!["0/20: none low high", "2000000000/10: critical node"],
        ),
        (
            vec![(-10, 1), (5, 2), (100, 3)],
            [
                "below -11",
                "first -10",
                "zero 0",
                "five 5",
                "six 6",
                "last 100",
                "above 101",
            ]
            .map(str::to_owned)
            .to_vec(),
            vec!["-10/1: below first zero", "5/2: five six", "100/3: last above"],
        ),
        (
            vec![(10, 1), (20, 2), (30, 3)],
            vec!["a 30".to_owned(), "b 5".to_owned()],
            vec!["10/1: b", "20/2: ", "30/3: a"],
        ),
    ] {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let found = groups(&periods(&wanted), &pods(&all));
        assert_eq!(told(&found), expected, "{wanted:?}");
    }
}

#[test]
fn nobody_gets_more_grace_than_asked_for_or_than_there_is() {
    for (own, seconds, expected) in [(30, 10, 10), (5, 10, 5), (10, 10, 10), (0, 10, 0), (30, 0, 0)] {
        let mut pod = pod("a", &["app"]);
        pod.spec.termination_grace_period_seconds = own;
        let found = groups(&periods(&[(0, seconds)]), &[Arc::new(pod)]);
        assert_eq!(found[0].pods[0].grace_seconds, expected, "{own} of {seconds}");
    }
}
