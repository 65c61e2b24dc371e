use super::super::report::Test;
use super::*;

fn one(sig: &str, area: &str, name: &str, verdict: Verdict) -> Judged {
    Judged {
        test: Test {
            sig: sig.to_owned(),
            area: area.to_owned(),
            name: name.to_owned(),
        },
        verdict,
        took_ms: 0,
    }
}

fn head() -> Head {
    Head {
        agent: "rustlet".to_owned(),
        version: "v1.36.3".to_owned(),
        selection: "Conformance".to_owned(),
        procs: 4,
        seconds: 1471,
        around: Vec::new(),
        missing_images: vec!["registry.example/perl:5".to_owned()],
    }
}

fn results() -> Vec<Judged> {
    vec![
        one("sig-apps", "apps/job", "job 1", Verdict::Passed),
        one("sig-node", "common/node/pods", "pod 1", Verdict::Passed),
        one(
            "sig-node",
            "common/node/pods",
            "pod 2",
            Verdict::Flaky("slow".to_owned()),
        ),
        one(
            "sig-node",
            "common/node/exec",
            "exec 1",
            Verdict::Failed("pull registry.example/perl:5\nat line 3".to_owned()),
        ),
        one("sig-node", "common/node/exec", "exec 2", Verdict::NotRun),
    ]
}

#[test]
fn text_shows_groups_and_the_areas_with_trouble() {
    let text = text(&head(), &results());
    let expected = "\
Kubernetes v1.36.3 conformance on rustlet: two nodes, Conformance, 4 at once, 24m31s

                                            tests   passed    flaky   failed  skipped  not run
sig-apps                                        1        1        -        -        -        -
sig-node                                        4        1        1        1        -        1
  common/node/exec                              2        0        -        1        -        1
  common/node/pods                              2        1        1        -        -        -
all                                             5        2        1        1        -        1

Failed
  exec 1
      pull registry.example/perl:5

Flaky: failed first, passed when run again
  pod 2
      slow

Not run
  exec 2

Blocked: needs an image that is not made here
  exec 1
      registry.example/perl:5

1 of the suite's images are not made here (images.txt); the tests they block are above.
";
    assert_eq!(text, expected);
}

#[test]
fn markdown_shows_every_area() {
    let text = markdown(&head(), &results());
    assert!(
        text.contains("| **sig-apps** | 1 | 1 | 0 | 0 | 0 | 0 |\n| apps/job | 1 |"),
        "{text}"
    );
    assert!(
        text.contains("- exec 1: `pull registry.example/perl:5`\n"),
        "{text}"
    );
    assert!(text.contains("| **all** | 5 | 2 | 1 | 1 | 0 | 1 |"), "{text}");
}

#[test]
fn good_means_that_every_test_ran_and_none_failed() {
    let passed = one("sig-apps", "apps/job", "job", Verdict::Passed);
    let flaky = one("sig-apps", "apps/job", "job", Verdict::Flaky(String::new()));
    assert!(good(&[passed.clone(), flaky], &head()));
    assert!(!good(&[], &head()));
    for bad in [Verdict::Failed(String::new()), Verdict::NotRun] {
        assert!(!good(&[passed.clone(), one("s", "a", "n", bad)], &head()));
    }
    let around = Head {
        around: vec!["before suite".to_owned()],
        ..head()
    };
    assert!(!good(&[passed], &around));
}
