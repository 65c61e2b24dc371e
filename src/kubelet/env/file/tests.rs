use super::*;

fn reference(key: &str, optional: Option<bool>) -> FileKeyRef {
    FileKeyRef {
        volume_name: "config".into(),
        path: "a.env".into(),
        key: key.into(),
        optional,
    }
}

fn read(text: &str, cut: bool) -> EnvFile {
    EnvFile::Read {
        path: "/pods/a.env".into(),
        bytes: text.as_bytes().into(),
        cut,
    }
}

#[test]
fn values_are_what_stands_between_the_quotes() {
    for (text, want) in [
        ("K='v'", Ok("v")),
        ("K='v'\r\n", Ok("v")),
        ("\n \t\n# K='no'\n  \tK='v' # why", Ok("v")),
        ("A='1'\nK='v'\nK='later'", Ok("v")),
        ("K='a=b#c $X ${X} \\n \"q\"'", Ok("a=b#c $X ${X} \\n \"q\"")),
        ("K='one\n  two\n\nfour '", Ok("one\n  two\n\nfour ")),
        ("A='one\nK='", Ok("")),
        ("K='中文 🌍'", Ok("中文 🌍")),
        ("K=''", Ok("")),
        ("K= 'v'", Ok("")),
        ("A= nothing\nK='v'", Ok("v")),
        ("A='1'", Ok("")),
        ("", Ok("")),
        // What follows is not looked at.
        ("K='v'\nrubbish", Ok("v")),
        ("A='1'\nrubbish\nK='v'", Err((2, "missing '='"))),
        ("='v'", Err((1, "empty variable name"))),
        (" ='v'", Err((1, "empty variable name"))),
        ("K ='v'", Err((1, "whitespace before '=' is not allowed"))),
        ("K=v", Err((1, "value must be enclosed in single quotes"))),
        ("K=\"v\"", Err((1, "value must be enclosed in single quotes"))),
        ("K=", Err((1, "value must be enclosed in single quotes"))),
        ("K='a''b'", Err((1, "unexpected content after closing quote"))),
        ("\nK='a\nb'c", Err((3, "unexpected content after closing quote"))),
        ("K='a\nb", Err((2, "unclosed single quote"))),
    ] {
        let got = find(text.as_bytes(), "K", false).map_err(|why| (why.line, why.cause));
        assert_eq!(got.as_deref().map_err(|e| *e), want, "{text:?}");
    }
}

#[test]
fn a_file_is_read_within_bounds() {
    let cause = |bytes: &[u8], cut| find(bytes, "K", cut).map_err(|why| why.cause);
    assert_eq!(cause(b"K='\xff'", false), Err("the value is not UTF-8 text"));
    assert_eq!(cause(b"A='1'\n", true), Err("the file is too large"));
    assert_eq!(cause(b"K='1'\nA='2", true), Ok("1".to_owned()));
    let long = format!("A='{}'\nK='v'", "x".repeat(MAX_LINE));
    assert_eq!(cause(long.as_bytes(), false), Err("the line is too long"));
}

#[test]
fn references_that_give_nothing_say_so() {
    for (file, optional, want) in [
        (read("K='v'", false), None, Ok(Some("v"))),
        (read("A='v'", false), Some(true), Ok(None)),
        (read("K=''", false), Some(true), Ok(None)),
        (
            read("A='v'", false),
            Some(false),
            Err("environment variable key \"K\" not found in file \"/pods/a.env\""),
        ),
        (read("K", false), Some(true), Err("couldn't parse env file")),
        (EnvFile::Unreadable, Some(true), Err("couldn't parse env file")),
        (
            EnvFile::NoVolume,
            Some(true),
            Err("cannot find the volume \"config\" referenced by FileKeyRef"),
        ),
    ] {
        let got = value(&reference("K", optional), &file);
        let got = got.map_err(|e| e.to_string());
        let want = want.map(|v| v.map(Into::into)).map_err(Into::into);
        assert_eq!(got, want, "{file:?}");
    }
}
