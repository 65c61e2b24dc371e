use super::*;
use crate::api::kubeconfig::{Error, Kind};
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2026-11-21T00:00:00Z";

/// A node's certificate that is valid for so many days around now.
fn identity(before: i64, after: i64) -> Identity {
    let day = |days: i64| at(NOW) + SignedDuration::from_hours(24 * days);
    Identity {
        common_name: "system:node:w1".into(),
        organizations: vec!["system:nodes".into()],
        not_before: day(-before),
        not_after: day(after),
    }
}

fn problem(kind: Kind) -> Error {
    Error {
        file: "/k".into(),
        field: String::new(),
        problem: format!("{kind:?}"),
        remedy: "mend it".to_owned(),
        kind,
    }
}

const GIVEN: Circumstances = Circumstances {
    rotate: true,
    now: Timestamp::UNIX_EPOCH,
    jitter: 0.5,
    refused: false,
    holds: false,
};

fn given() -> Circumstances {
    Circumstances {
        now: at(NOW),
        ..GIVEN
    }
}

/// `Use` without its time.
fn used(decision: Decision) -> Option<(Which, bool)> {
    match decision {
        Decision::Use { which, renew, .. } => Some((which, renew)),
        _ => None,
    }
}

proptest! {
    #[test]
    fn certificates_are_renewed_at_70_to_90_percent_of_their_life(life in 0i64..200_000_000, jitter in 0.0f64..1.0) {
        let begin = at(NOW);
        let renew = renew_at(begin, begin + SignedDuration::from_secs(life), jitter);
        let part = renew.duration_since(begin).as_secs_f64();
        let life = life as f64;
        prop_assert!(part >= 0.7 * life - 1e-3 && part <= 0.9 * life + 1e-3, "{} of {}", part, life);
    }
}

#[test]
fn renewal_of_a_nonsensical_certificate_is_due_at_its_end() {
    let (early, late) = (at("2020-01-01T00:00:00Z"), at(NOW));
    assert_eq!(renew_at(late, early, 0.5), early);
    assert_eq!(
        renew_at(Timestamp::MIN, Timestamp::MAX, 1.0).min(Timestamp::MAX),
        renew_at(Timestamp::MIN, Timestamp::MAX, 1.0)
    );
}

/// What it is about, the kubeconfig's certificate, the stored one, whether certificates are renewed, what follows.
type Case = (&'static str, Identity, Option<Identity>, bool, (Which, bool));

#[test]
fn the_better_of_two_certificates_is_used() {
    use Which::{Own, Stored};
    let other_user = Identity {
        common_name: "system:node:w2".into(),
        ..identity(1, 99)
    };
    let admin = Identity {
        common_name: "admin".into(),
        ..identity(99, 1)
    };
    let cases: &[Case] = &[
        ("young", identity(10, 90), None, true, (Own, false)),
        ("due", identity(85, 15), None, true, (Own, true)),
        (
            "due, but nothing is renewed",
            identity(85, 15),
            None,
            false,
            (Own, false),
        ),
        (
            "renewed: the stored one is younger",
            identity(85, 15),
            Some(identity(0, 100)),
            true,
            (Stored, false),
        ),
        (
            "renewed for a shorter life",
            identity(85, 15),
            Some(identity(1, 9)),
            true,
            (Stored, false),
        ),
        (
            "both due",
            identity(85, 15),
            Some(identity(95, 5)),
            true,
            (Own, true),
        ),
        (
            "the kubeconfig leads to the stored one",
            identity(10, 90),
            Some(identity(10, 90)),
            true,
            (Own, false),
        ),
        (
            "an operator brought a younger one",
            identity(1, 99),
            Some(identity(10, 90)),
            true,
            (Own, false),
        ),
        (
            "an operator changed the name",
            identity(10, 90),
            Some(other_user),
            true,
            (Own, false),
        ),
        (
            "stored, but not wanted",
            identity(85, 15),
            Some(identity(0, 100)),
            false,
            (Own, false),
        ),
        (
            "somebody else's certificate is not ours to renew",
            admin,
            None,
            true,
            (Own, false),
        ),
    ];
    for (what, own, stored, rotate, wanted) in cases {
        for bootstrap in [Bootstrap::None, Bootstrap::Missing, Bootstrap::There] {
            let found = Found {
                own: Ok(Some(own)),
                stored: stored.as_ref(),
                stored_for_bootstrap: None,
                bootstrap,
            };
            let given = Circumstances {
                rotate: *rotate,
                ..given()
            };
            assert_eq!(used(decide(&found, &given)), Some(*wanted), "{what}");
        }
    }
}

#[test]
fn a_token_is_used_and_never_renewed() {
    let found = Found {
        own: Ok(None),
        stored: Some(&identity(0, 100)),
        stored_for_bootstrap: None,
        bootstrap: Bootstrap::None,
    };
    let wanted = Decision::Use {
        which: Which::Own,
        renew: false,
        at: None,
    };
    assert_eq!(decide(&found, &given()), wanted);
}

/// What follows from a kubeconfig that cannot be used, by what else there is.
#[test]
fn without_a_usable_kubeconfig() {
    #[derive(Debug, PartialEq)]
    enum Then {
        Stored,
        Adopt,
        Ask,
        Wait,
        Refuse,
    }
    use Bootstrap::{Missing, None as No, There};
    use Then::*;
    // Kind of problem, stored usable with the kubeconfig, stored usable with the bootstrap's, bootstrap kubeconfig.
    let cases = [
        (Kind::Missing, false, false, No, Refuse),
        (Kind::Missing, false, false, Missing, Wait),
        (Kind::Missing, false, false, There, Ask),
        (Kind::Missing, false, true, There, Adopt),
        (Kind::Certificate, false, false, No, Wait),
        (Kind::Certificate, false, false, Missing, Wait),
        (Kind::Certificate, false, false, There, Ask),
        (Kind::Certificate, true, true, There, Stored),
        (Kind::Certificate, true, false, No, Stored),
        (Kind::Other, false, false, No, Refuse),
        (Kind::Other, false, false, Missing, Wait),
        (Kind::Other, false, false, There, Ask),
        (Kind::Other, false, true, There, Ask),
    ];
    let stored = identity(1, 99);
    for (kind, with_own, with_bootstrap, bootstrap, wanted) in cases {
        let problem = problem(kind);
        let found = Found {
            own: Err(&problem),
            stored: with_own.then_some(&stored),
            stored_for_bootstrap: with_bootstrap.then_some(&stored),
            bootstrap,
        };
        let then = |given| match decide(&found, &given) {
            Decision::Use { which, .. } => {
                assert_eq!(which, Which::Stored);
                Stored
            }
            Decision::Adopt => Adopt,
            Decision::Bootstrap(why) => {
                assert!(why.contains("/k"), "{why}");
                Ask
            }
            Decision::Wait(why) => {
                assert!(why.contains("/k: "), "{why}");
                Wait
            }
            Decision::Refuse(error) => {
                assert_eq!(error, problem);
                Refuse
            }
        };
        assert_eq!(
            then(given()),
            wanted,
            "{kind:?} {with_own} {with_bootstrap} {bootstrap:?}"
        );
        // Whoever holds credentials that work waits for the file to be mended.
        let holds = Circumstances {
            holds: true,
            ..given()
        };
        let waits = if wanted == Stored { Stored } else { Wait };
        assert_eq!(then(holds), waits, "{kind:?} {bootstrap:?}");
    }
}

#[test]
fn refused_credentials_are_replaced_when_there_is_a_way() {
    let own = identity(10, 90);
    let refused = Circumstances {
        refused: true,
        holds: true,
        ..given()
    };
    let found = |bootstrap| Found {
        own: Ok(Some(&own)),
        stored: None,
        stored_for_bootstrap: None,
        bootstrap,
    };
    assert!(matches!(
        decide(&found(Bootstrap::There), &refused),
        Decision::Bootstrap(_)
    ));
    for without in [Bootstrap::None, Bootstrap::Missing] {
        assert_eq!(used(decide(&found(without), &refused)), Some((Which::Own, false)));
    }
}
