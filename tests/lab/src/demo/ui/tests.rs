use super::spinner::{CLEAR_LINE, shorten};
use super::*;

fn play(lively: bool) -> String {
    let buffer = Arc::new(Mutex::new(Vec::new()));
    let mut ui = Ui::on(Out::Buffer(Arc::clone(&buffer)), lively);
    ui.title("rustlet demo", "a line");
    ui.part("Story A");
    ui.doing("waiting for my-app");
    ui.done("my-app 3/3", Duration::from_millis(2340), "worker-1, worker-2");
    ui.show(&["-A KUBE-SVC-X".to_owned()]);
    ui.doing("waiting for the rules");
    ui.failed(
        "rules programmed",
        Duration::from_secs(130),
        "expected: 3\nsaw: 2",
    );
    ui.skipped("delete");
    assert!(ui.any_failed());
    ui.summary();
    drop(ui);
    String::from_utf8(buffer.lock().unwrap().clone()).unwrap()
}

#[test]
fn a_log_has_plain_lines_only() {
    let text = play(false);
    assert!(!text.contains('\x1b') && !text.contains('\r'), "{text:?}");
    for expected in [
        "...  waiting for my-app\n",
        "ok   my-app 3/3",
        "2.3 s  worker-1, worker-2\n",
        "      -A KUBE-SVC-X\n",
        "FAIL rules programmed",
        "2 min 10 s\n",
        "      expected: 3\n      saw: 2\n",
        "skip delete\n",
        "1 of 3 steps true",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
}

#[test]
fn a_terminal_gets_marks_and_a_line_that_is_cleared() {
    let text = play(true);
    assert!(
        text.contains("✓") && text.contains("✗") && text.contains("○"),
        "{text:?}"
    );
    let cleared = text.find(CLEAR_LINE).expect("the spinner's line is cleared");
    assert!(
        cleared < text.find("my-app 3/3").expect("the step is shown"),
        "before the next line: {text:?}"
    );
}

#[test]
fn long_lines_are_cut_to_the_terminal() {
    assert_eq!(shorten("abcdef\nsecond", 10), "abcdef");
    assert_eq!(shorten("abcdefghijkl", 6), "abcde…");
    assert_eq!(shorten("äöüäöü", 6), "äöüäöü");
}

#[test]
fn times_are_readable() {
    assert_eq!(seconds(Duration::from_millis(40)), "40 ms");
    assert_eq!(seconds(Duration::from_millis(99_940)), "99.9 s");
    assert_eq!(seconds(Duration::from_secs(125)), "2 min 5 s");
}
