//! PURE. What is not as it should be on a machine, and what follows from what it allows.

use crate::kubelet::qos;
use std::fmt;

/// Kernel parameters Pods rely on, below `/proc/sys`: memory may be promised beyond what there is, its end is one
/// process' and not the machine's, a kernel that has failed starts over, and there are keys for many containers.
const PARAMETERS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// A kernel parameter with another value than it should have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) wanted: &'static str,
    found: String,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, wanted, found } = self;
        write!(
            f,
            "invalid kernel flag: {name}, expected value: {wanted}, actual value: {found}"
        )
    }
}

/// The parameters that are not as they should be; one this kernel does not have is no fault.
pub(super) fn wrong(found: impl Fn(&str) -> Option<String>) -> Vec<Parameter> {
    let differing = PARAMETERS.into_iter().filter_map(|(name, wanted)| {
        let found = found(name).filter(|found| found != wanted)?;
        Some(Parameter { name, wanted, found })
    });
    differing.collect()
}

/// Who is killed when memory runs out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scores {
    /// The agent's own score.
    pub(super) own: i64,
    /// The lowest one containers can have; `None`: any.
    pub(super) lowest: Option<i64>,
}

/// The lowest score anybody is to have.
pub(super) fn lowest_asked(own: i64) -> i64 {
    own.min(qos::OOM_GUARANTEED)
}

/// Scores on a machine that lets them be lowered to [`lowest_asked`], or does not; `now` is the agent's, `wanted` the
/// configured one.
pub(super) fn scores(lowers: bool, now: i64, wanted: i64) -> Scores {
    if lowers {
        return Scores {
            own: wanted,
            lowest: None,
        };
    }
    Scores {
        own: wanted.max(now),
        lowest: (now > qos::OOM_GUARANTEED).then_some(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_forbids_low_scores_is_left_with_what_it_has() {
        let scores = |lowers, now, wanted| {
            let all = super::scores(lowers, now, wanted);
            (all.own, all.lowest)
        };
        assert_eq!(scores(true, 0, -999), (-999, None));
        assert_eq!(scores(true, 0, 100), (100, None));
        assert_eq!(scores(false, 0, -999), (0, Some(0)));
        assert_eq!(scores(false, -500, -999), (-500, Some(-500)));
        // Whoever started us has lowered ours as far as containers need.
        assert_eq!(scores(false, -998, -999), (-998, None));
        assert_eq!(scores(false, 0, 300), (300, Some(0)));
        assert_eq!((lowest_asked(-999), lowest_asked(0)), (-999, -997));
    }

    #[test]
    fn kernel_parameters_are_named_with_what_they_should_be() {
        let found = |name: &str| match name {
            "kernel/panic" => Some("0".to_owned()),
            "kernel/keys/root_maxkeys" | "kernel/keys/root_maxbytes" => None,
            "vm/overcommit_memory" | "kernel/panic_on_oops" => Some("1".to_owned()),
            _ => Some("0".to_owned()),
        };
        let wrong: Vec<String> = wrong(found).iter().map(ToString::to_string).collect();
        assert_eq!(
            wrong,
            ["invalid kernel flag: kernel/panic, expected value: 10, actual value: 0"]
        );
    }
}
