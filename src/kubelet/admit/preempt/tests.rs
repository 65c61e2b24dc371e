use super::*;
use crate::model::pod::Quantity;
use crate::testing::builders::pod;

/// A Pod that requests so much; guaranteed when that is its limit, too.
fn asking(name: &str, cpu: &str, memory: &str, guaranteed: bool) -> Pod {
    let mut pod = pod(name, &["a"]);
    pod.spec.priority = Some(0);
    let resources = &mut pod.spec.containers[0].resources;
    for (name, amount) in [("cpu", cpu), ("memory", memory)] {
        if !amount.is_empty() {
            resources.requests.insert(name.into(), Quantity(amount.into()));
        }
    }
    if guaranteed {
        resources.limits = resources.requests.clone();
    }
    pod
}

fn critical() -> Pod {
    let mut pod = asking("critical", "1", "1Gi", false);
    pod.spec.priority = Some(2_000_000_000);
    pod
}

fn chosen(others: &[Pod], wanted: &[(&str, i64)]) -> Result<Vec<String>, String> {
    let others: Vec<&Pod> = others.iter().collect();
    let wanted = wanted
        .iter()
        .map(|(name, amount)| ((*name).into(), *amount))
        .collect();
    let names = |indices: Vec<usize>| {
        indices
            .iter()
            .map(|at| others[*at].metadata.name.to_string())
            .collect()
    };
    victims(&critical(), &others, wanted).map(names)
}

const MIB: i64 = 1 << 20;

#[test]
fn as_few_as_possible_and_of_the_lowest_class() {
    let others = [
        asking("best-effort", "", "", false),
        asking("small", "100m", "100Mi", false),
        asking("large", "100m", "300Mi", false),
        asking("guaranteed", "500m", "500Mi", true),
    ];
    for (wanted, want) in [
        (&[("memory", 50 * MIB)][..], vec!["small"]),
        (&[("memory", 200 * MIB)], vec!["large"]),
        (&[("memory", 350 * MIB)], vec!["large", "small"]),
        (&[("memory", 450 * MIB)], vec!["guaranteed"]),
        (&[("memory", 700 * MIB)], vec!["large", "guaranteed"]),
        (&[("cpu", 150)], vec!["small", "large"]),
        (&[("cpu", 100), ("memory", 250 * MIB)], vec!["large"]),
        (&[("pods", 1)], vec!["best-effort"]),
        (&[("pods", 2)], vec!["best-effort", "small"]),
        (&[], vec![]),
    ] {
        let want: Result<Vec<String>, String> = Ok(want.into_iter().map(Into::into).collect());
        assert_eq!(chosen(&others, wanted), want, "{wanted:?}");
    }
}

#[test]
fn what_nobody_has_is_said() {
    let mut equal = asking("equal", "1", "1Gi", false);
    equal.spec.priority = Some(2_000_000_000);
    let others = [asking("small", "100m", "100Mi", false), equal];
    assert_eq!(
        chosen(&others, &[("cpu", 50), ("memory", 101 * MIB)]).unwrap_err(),
        "no set of running pods found to reclaim resources: [(res: memory, q: 1048576), ]"
    );
    let mut higher = critical();
    higher.spec.priority = Some(2_000_001_000);
    let others: Vec<&Pod> = others.iter().collect();
    let wanted = vec![("memory".into(), 500 * MIB)];
    assert_eq!(
        victims(&higher, &others, wanted),
        Ok(vec![1]),
        "a lower priority is enough"
    );
}
