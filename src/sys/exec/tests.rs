use super::*;

fn sh(script: &str) -> Command {
    Command::new("sh").arg("-c").arg(script)
}

/// Both ways of running must behave the same.
fn both(command: Command) -> [Result<Output, Error>; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    [command.clone().run(), runtime.block_on(command.run_async())]
}

#[test]
fn captures_output_and_exit_code() {
    for result in both(sh("echo out; echo err >&2; exit 3")) {
        let output = result.unwrap();
        assert_eq!(output.text(), "out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.code(), Some(3));
        let error = output.checked().unwrap_err().to_string();
        assert_eq!(error, "sh -c echo out; echo err >&2; exit 3: exit status: 3: err");
    }
}

#[test]
fn feeds_input_larger_than_a_pipe() {
    let input: Vec<u8> = b"0123456789".repeat(100_000);
    for result in both(Command::new("cat").stdin(input.clone())) {
        assert_eq!(result.unwrap().checked().unwrap().stdout, input);
    }
}

#[test]
fn a_program_that_does_not_read_its_input_is_no_error() {
    for result in both(Command::new("true").stdin(vec![b'x'; 1 << 20])) {
        result.unwrap().checked().unwrap();
    }
}

#[test]
fn is_killed_after_the_limit() {
    for result in both(sh("exec sleep 1000").timeout(Duration::from_millis(50))) {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, Error::Timeout { command, .. } if command == "sh -c exec sleep 1000"),
            "{error}"
        );
        assert_eq!(
            error.to_string(),
            "run sh -c exec sleep 1000: no answer after 0.05 s, killed"
        );
    }
}

#[test]
fn a_missing_program_is_named() {
    for result in both(Command::new("no-such-program-here")) {
        let error = result.unwrap_err();
        assert!(error.is_not_installed());
        assert!(
            error.to_string().starts_with("run no-such-program-here: "),
            "{error}"
        );
    }
}

#[test]
fn output_is_cut_at_the_limit_without_stalling_the_program() {
    for result in both(sh("yes | head -c 1000000; echo done >&2").output_limit(10)) {
        let output = result.unwrap().checked().unwrap();
        assert_eq!(output.stdout, b"y\ny\ny\ny\ny\n");
        assert_eq!(output.stderr, b"done\n");
    }
}

#[test]
fn environment_and_signals_come_through() {
    for result in both(sh("echo $COLOUR; kill -9 $$").env("COLOUR", "green")) {
        let output = result.unwrap();
        assert_eq!(output.text(), "green\n");
        assert_eq!((output.code(), signal(output.status)), (None, Some(9)));
    }
}

#[test]
fn a_grandchild_that_keeps_the_pipe_does_not_hold_the_caller() {
    for result in both(sh("sleep 1000 & echo $!")) {
        let pid: i32 = result.unwrap().text().trim().parse().unwrap();
        let alive =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        assert!(alive.is_ok(), "returned while the grandchild still lived");
    }
}
