use super::*;

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn wanted(query: &str) -> Result<Wanted, Error> {
    parse(form_urlencoded::parse(query.as_bytes()), now())
}

fn nothing() -> Wanted {
    wanted("").unwrap()
}

#[test]
fn without_a_query_everything_is_wanted() {
    assert_eq!(
        nothing(),
        Wanted {
            previous: false,
            follow: false,
            tail: None,
            show: Show::default(),
        }
    );
}

#[test]
fn flags_are_true_unless_they_say_no() {
    for (value, want) in [
        ("follow", true),
        ("follow=", true),
        ("follow=true", true),
        ("follow=no", true),
        ("follow=0", false),
        ("follow=false", false),
        ("follow=FALSE", false),
        ("follow=false&follow=true", false),
        ("Follow=true", false),
    ] {
        assert_eq!(wanted(value).unwrap().follow, want, "{value}");
    }
    let all = wanted("previous=1&timestamps=1&container=x&insecureSkipTLSVerifyBackend=true&x=%zz").unwrap();
    assert!(all.previous && all.show.timestamps && !all.follow);
}

#[test]
fn values_arrive() {
    let at = |text: &str| Some(text.parse().unwrap());
    let show = |query: &str| wanted(query).unwrap().show;
    assert_eq!(show("limitBytes=10").limit, Some(10));
    assert_eq!(show("sinceSeconds=60").since, at("2026-11-21T09:59:00Z"));
    assert_eq!(
        show("sinceSeconds=9223372036854775807").since,
        Some(Timestamp::MIN)
    );
    assert_eq!(
        show("sinceTime=2026-11-21T10%3A00%3A00.5%2B02%3A00").since,
        at("2026-11-21T08:00:00.5Z")
    );
    for empty in ["sinceTime=", "sinceTime=null"] {
        assert_eq!(show(empty).since, None);
    }
    assert_eq!(show("stream=Stderr").streams, Streams::Stderr);
    assert_eq!(show("stream=Stdout").streams, Streams::Stdout);
    assert_eq!(show("stream=All&tailLines=3").streams, Streams::All);
}

#[test]
fn the_last_lines_are_counted_only_without_follow() {
    for (query, tail, lines) in [
        ("tailLines=3", Some(3), Some(3)),
        ("tailLines=0", Some(0), Some(0)),
        ("tailLines=3&follow=true", Some(3), None),
        ("tail=3&tailLines=7", Some(3), Some(3)),
        ("tail=all&tailLines=7", None, None),
        ("tail=&tailLines=7", Some(7), Some(7)),
    ] {
        let wanted = wanted(query).unwrap();
        assert_eq!((wanted.tail, wanted.show.lines), (tail, lines), "{query}");
    }
}

#[test]
fn what_is_not_understood_is_told_from_what_makes_no_sense() {
    for (query, error, invalid) in [
        ("tailLines=x", Error::Number("tailLines"), false),
        ("tailLines=", Error::Number("tailLines"), false),
        ("tail=some", Error::Number("tailLines"), false),
        ("limitBytes=1.5", Error::Number("limitBytes"), false),
        (
            "sinceSeconds=9223372036854775808",
            Error::Number("sinceSeconds"),
            false,
        ),
        ("sinceTime=yesterday", Error::Time, false),
        ("sinceTime=2026-11-21 10:00:00Z", Error::Time, false),
        ("tailLines=-1", Error::NegativeTail, true),
        ("limitBytes=0", Error::NotPositive("limitBytes"), true),
        ("sinceSeconds=0", Error::NotPositive("sinceSeconds"), true),
        ("sinceSeconds=5&sinceTime=", Error::TwoTimes, true),
        ("stream=stdout", Error::Stream, true),
        ("stream=", Error::Stream, true),
        ("stream=Stdout&tailLines=1", Error::TailOfStream, true),
    ] {
        assert_eq!(wanted(query), Err(error), "{query}");
        assert_eq!(wanted(query).unwrap_err().is_invalid(), invalid, "{query}");
    }
}
