use super::*;
use async_trait::async_trait;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// An API server that knows one token and lets one user at `stats`.
struct Fake {
    asked: AtomicUsize,
    away: bool,
    /// One permit for each answer.
    answers: Semaphore,
}

impl Fake {
    fn new(away: bool, answers: usize) -> Arc<Self> {
        Arc::new(Self {
            asked: AtomicUsize::new(0),
            away,
            answers: Semaphore::new(answers),
        })
    }

    async fn ask(&self) -> api::Result<()> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.answers.acquire().await.unwrap().forget();
        if self.away {
            return Err(api::Error::Unreachable {
                verb: "POST",
                path: "/reviews".into(),
                cause: "connection refused".into(),
            });
        }
        Ok(())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Reviews for Fake {
    async fn token(&self, token: &str) -> api::Result<Reviewed> {
        self.ask().await?;
        Ok(match token {
            "good" => Reviewed::Known(UserInfo {
                username: "alice".into(),
                ..UserInfo::default()
            }),
            "expired" => Reviewed::Refused("token has expired".into()),
            _ => Reviewed::Unknown,
        })
    }

    async fn access(&self, question: &AccessQuestion) -> api::Result<bool> {
        self.ask().await?;
        assert_eq!(&*question.node, "w1");
        Ok(question.subresource == "stats" && &*question.user.username == "alice")
    }
}

fn auth(fake: &Arc<Fake>, change: impl FnOnce(&mut ServerConfig)) -> Auth {
    let mut config = ServerConfig {
        client_ca_file: None,
        ..ServerConfig::default()
    };
    change(&mut config);
    Auth::new(Arc::new(config), "w1".into(), fake.clone())
}

async fn name(auth: &Auth, token: Option<&str>) -> Result<String, String> {
    let user = auth.who(&[], token).await.map_err(|error| error.to_string())?;
    Ok(format!("{} {}", user.username, user.groups.join(",")))
}

fn user(name: &str) -> Arc<UserInfo> {
    Arc::new(UserInfo {
        username: name.into(),
        ..UserInfo::default()
    })
}

#[tokio::test(start_paused = true)]
async fn who_is_who() {
    let fake = Fake::new(false, 100);
    let auth = auth(&fake, |_| {});
    assert_eq!(
        name(&auth, Some("good")).await,
        Ok("alice system:authenticated".into())
    );
    assert!(name(&auth, Some("garbage")).await.is_err());
    assert_eq!(
        name(&auth, Some("expired")).await,
        Err("bearer token: token has expired".into())
    );
    assert_eq!(name(&auth, None).await, Err("no credentials".into()));
}

#[tokio::test(start_paused = true)]
async fn anonymous_only_when_configured_and_only_without_credentials() {
    let fake = Fake::new(false, 100);
    let auth = auth(&fake, |config| config.anonymous = true);
    assert_eq!(
        name(&auth, None).await,
        Ok("system:anonymous system:unauthenticated".into())
    );
    assert!(name(&auth, Some("garbage")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn tokens_count_only_when_configured() {
    let fake = Fake::new(false, 100);
    let auth = auth(&fake, |config| config.token_review = false);
    assert!(name(&auth, Some("good")).await.is_err());
    assert_eq!(fake.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_remembered_for_their_time_and_refusals_with_a_reason_are_not() {
    let fake = Fake::new(false, 100);
    let auth = auth(&fake, |_| {});
    let cases = [("good", 1), ("garbage", 1), ("expired", 3)];
    for (token, times) in cases {
        let before = fake.asked();
        for _ in 0..3 {
            let _ = name(&auth, Some(token)).await;
        }
        assert_eq!(fake.asked() - before, times, "{token}");
    }
    tokio::time::advance(Duration::from_secs(121)).await;
    let before = fake.asked();
    let _ = name(&auth, Some("good")).await;
    assert_eq!(fake.asked() - before, 1, "the answer has ended");
}

#[tokio::test(start_paused = true)]
async fn the_same_token_at_the_same_time_is_asked_once() {
    let fake = Fake::new(false, 0);
    let auth = Arc::new(auth(&fake, |_| {}));
    let ask = |token: &'static str| {
        let auth = auth.clone();
        tokio::spawn(async move { name(&auth, Some(token)).await.is_ok() })
    };
    let first = ask("good");
    let others: Vec<_> = (0..20).map(|_| ask("good")).collect();
    let other = ask("other");
    // All of them wait for the server now: the pause lets everybody run.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(fake.asked(), 2);
    first.abort();
    fake.answers.add_permits(2);
    for asked in others {
        assert!(asked.await.unwrap());
    }
    assert!(!other.await.unwrap());
    assert_eq!(fake.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_first_subresource_that_is_allowed_is_enough() {
    let fake = Fake::new(false, 100);
    let auth = auth(&fake, |_| {});
    let cases = [
        ("alice", &["stats"] as &[_], true),
        ("alice", &["metrics"], false),
        ("alice", &["metrics", "stats"], true),
        ("bob", &["metrics", "stats"], false),
        ("alice", &[], false),
    ];
    for (who, subresources, allowed) in cases {
        let permission = auth.may(&user(who), "get", subresources).await;
        assert_eq!(
            matches!(permission, Permission::Yes),
            allowed,
            "{who} {subresources:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn permissions_are_remembered_for_their_times() {
    let fake = Fake::new(false, 100);
    let auth = auth(&fake, |_| {});
    for (subresource, seconds) in [("stats", 300), ("metrics", 30)] {
        let before = fake.asked();
        auth.may(&user("alice"), "get", &[subresource]).await;
        tokio::time::advance(Duration::from_secs(seconds - 1)).await;
        auth.may(&user("alice"), "get", &[subresource]).await;
        assert_eq!(fake.asked() - before, 1, "{subresource}");
        tokio::time::advance(Duration::from_secs(1)).await;
        auth.may(&user("alice"), "get", &[subresource]).await;
        assert_eq!(fake.asked() - before, 2, "{subresource}");
        auth.may(&user("alice"), "create", &[subresource]).await;
        assert_eq!(fake.asked() - before, 3, "another verb is another question");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_api_server_nobody_gets_in() {
    let fake = Fake::new(true, 100);
    let auth = auth(&fake, |config| config.anonymous = true);
    assert!(name(&auth, Some("good")).await.is_err());
    let permission = auth.may(&user("alice"), "get", &["stats", "metrics"]).await;
    assert!(matches!(permission, Permission::Unclear("stats", _)));
    let before = fake.asked();
    auth.may(&user("alice"), "get", &["stats"]).await;
    assert_eq!(fake.asked() - before, 1, "no answer is not remembered");
}

#[tokio::test(start_paused = true)]
async fn always_allow_asks_nobody() {
    let fake = Fake::new(true, 0);
    let auth = auth(&fake, |config| {
        config.authorization = AuthorizationMode::AlwaysAllow
    });
    let permission = auth.may(&user("bob"), "get", &["proxy"]).await;
    assert!(matches!(permission, Permission::Yes));
    assert_eq!(fake.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_user_who_is_told_at_length_is_not_remembered() {
    let fake = Fake::new(false, 100);
    let auth = auth(&fake, |_| {});
    let long = Arc::new(UserInfo {
        groups: vec!["g".repeat(MOST_USER_BYTES + 1).into()],
        ..UserInfo::default()
    });
    auth.may(&long, "get", &["stats"]).await;
    auth.may(&long, "get", &["stats"]).await;
    assert_eq!(fake.asked(), 2);
}
