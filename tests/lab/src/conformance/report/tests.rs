use super::*;

const REPORT: &str = r#"[{
  "SuitePath": "/bin", "SpecialSuiteFailureReasons": null,
  "SpecReports": [
    {"ContainerHierarchyTexts": null, "LeafNodeType": "SynchronizedBeforeSuite", "LeafNodeText": "",
     "LeafNodeLocation": {"FileName": "k8s.io/kubernetes@v1.36.3/test/e2e/e2e.go"}, "State": "passed", "RunTime": 1},
    {"ContainerHierarchyTexts": ["[sig-node] Pods"], "LeafNodeType": "It", "LeafNodeText": "should run [Conformance]",
     "LeafNodeLocation": {"FileName": "k8s.io/kubernetes@v1.36.3/test/e2e/common/node/pods.go", "LineNumber": 3},
     "State": "passed", "RunTime": 2500000000},
    {"ContainerHierarchyTexts": ["[sig-apps] Job", ""], "LeafNodeType": "It", "LeafNodeText": "should end [Conformance]",
     "LeafNodeLocation": {"FileName": "k8s.io/kubernetes@v1.36.3/test/e2e/apps/job.go"},
     "State": "failed", "RunTime": 60000000000, "Failure": {"Message": "\n  timed out (60 s)\nmore"}},
    {"ContainerHierarchyTexts": ["[sig-apps] Job"], "LeafNodeType": "It", "LeafNodeText": "should wait",
     "LeafNodeLocation": {"FileName": "k8s.io/kubernetes@v1.36.3/test/e2e/apps/job.go"},
     "State": "panicked", "RunTime": 1, "Failure": {"Message": "nil"}},
    {"ContainerHierarchyTexts": ["[sig-apps] Job"], "LeafNodeType": "It", "LeafNodeText": "wants three nodes",
     "LeafNodeLocation": {"FileName": "k8s.io/kubernetes@v1.36.3/test/e2e/apps/job.go"},
     "State": "skipped", "RunTime": 1, "Failure": {"Message": "needs 3 nodes"}},
    {"ContainerHierarchyTexts": ["[sig-apps] Job"], "LeafNodeType": "It", "LeafNodeText": "not selected",
     "LeafNodeLocation": {"FileName": "k8s.io/kubernetes@v1.36.3/test/e2e/apps/job.go"}, "State": "skipped", "RunTime": 0}
  ]}]"#;

fn test(sig: &str, area: &str, name: &str) -> Test {
    Test {
        sig: sig.to_owned(),
        area: area.to_owned(),
        name: name.to_owned(),
    }
}

#[test]
fn selected_tests_have_group_area_and_name() {
    let expected = test(
        "sig-node",
        "common/node/pods",
        "[sig-node] Pods should run [Conformance]",
    );
    assert_eq!(selected(REPORT).unwrap(), [expected]);
    assert!(selected("[]").unwrap().is_empty());
    assert!(selected("{}").is_err());
}

#[test]
fn outcomes_are_judged_by_both_runs() {
    let names = [
        ("passed", "[sig-node] Pods should run [Conformance]"),
        ("failed", "[sig-apps] Job should end [Conformance]"),
        ("failed", "[sig-apps] Job should wait"),
        ("skipped", "[sig-apps] Job wants three nodes"),
        ("not run", "[sig-apps] Job not selected"),
    ];
    let tests: Vec<Test> = names.iter().map(|(_, name)| test("s", "a", name)).collect();
    let first = run(REPORT).unwrap();
    assert_eq!(
        first.failed(),
        [
            "[sig-apps] Job should end [Conformance]",
            "[sig-apps] Job should wait"
        ]
    );
    let said = |judged: &Judged| match &judged.verdict {
        Verdict::Passed => "passed",
        Verdict::Flaky(_) => "flaky",
        Verdict::Failed(_) => "failed",
        Verdict::Skipped(_) => "skipped",
        Verdict::NotRun => "not run",
    };
    let judged = judge(tests.clone(), &first, &Run::default());
    let verdicts: Vec<&str> = judged.iter().map(said).collect();
    assert_eq!(verdicts, names.map(|(verdict, _)| verdict));
    assert_eq!(judged[0].took_ms, 2500);

    let better = REPORT.replace("\"failed\"", "\"passed\"");
    let judged = judge(tests, &first, &run(&better).unwrap());
    let verdicts: Vec<&str> = judged.iter().map(said).collect();
    assert_eq!(verdicts, ["passed", "flaky", "failed", "skipped", "not run"]);
    assert_eq!(
        judged[1].verdict,
        Verdict::Flaky("\n  timed out (60 s)\nmore".to_owned())
    );
}

#[test]
fn what_fails_around_the_tests_is_told() {
    let broken = r#"[{"SpecialSuiteFailureReasons": ["Interrupted by User"], "SpecReports": [
      {"LeafNodeType": "SynchronizedBeforeSuite", "LeafNodeText": "", "LeafNodeLocation": {}, "State": "failed",
       "Failure": {"Message": "no nodes"}}]}]"#;
    let run = run(broken).unwrap();
    assert_eq!(
        run.around,
        ["Interrupted by User", "SynchronizedBeforeSuite: no nodes"]
    );
}

#[test]
fn the_first_line_that_says_something() {
    assert_eq!(first_line("\n   \n  expected 1\nto equal 2"), "expected 1");
    assert_eq!(
        first_line("Timed out after 60.000s.\nExpected\n  x"),
        "Timed out after 60.000s. Expected"
    );
    assert_eq!(
        first_line("Expected\n    <int>: 3\nto equal"),
        "Expected <int>: 3"
    );
    assert_eq!(first_line(""), "(no message)");
    let long = first_line(&"ä".repeat(1000));
    assert_eq!(long.chars().count(), 221);
}

#[test]
fn a_focus_names_tests_and_nothing_else() {
    assert_eq!(focus(&["[a] *b* (c)", "d$"]), r"\[a\] \*b\* \(c\)$|d\$$");
}
