//! Who calls, and may they: client certificates, TokenReview, SubjectAccessReview, as upstream's kubelet delegates both.
//!
//! Fails closed: without the API server's word nobody is known by token (401) and nothing is allowed (500). What it said
//! is kept for the configured times; questions that are asked at the same time are asked once.

mod ca;
mod cache;
mod subject;

pub(super) use ca::ClientCa;

use crate::api::{self, AccessQuestion, Reviewed, Reviews, UserInfo};
use crate::config::{AuthorizationMode, ServerConfig};
use crate::task::Flights;
use cache::Cache;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Group of everybody who is known.
const AUTHENTICATED: &str = "system:authenticated";
/// Tokens remembered.
const MOST_TOKENS: usize = 1024;
/// Questions to the API server at once; the others wait for their turn.
const AT_ONCE: usize = 16;
/// Permissions remembered.
const MOST_ANSWERS: usize = 4096;
/// A user told in more bytes than this is asked about each time (upstream's limit).
const MOST_USER_BYTES: usize = 10_000;

/// A SHA-256, so that no token is kept.
type TokenKey = [u8; 32];
/// What a token stands for; `None`: nothing.
type TokenAnswer = Option<Arc<UserInfo>>;

/// Judges callers.
pub(super) struct Auth {
    config: Arc<ServerConfig>,
    node: Arc<str>,
    ca: ClientCa,
    reviews: Arc<dyn Reviews>,
    start: Instant,
    /// Held for a look or a change, never while waiting.
    tokens: Mutex<Cache<TokenKey, TokenAnswer>>,
    /// As `tokens`.
    access: Mutex<Cache<AccessQuestion, bool>>,
    token_flights: Flights<TokenKey, api::Result<Reviewed>>,
    access_flights: Flights<AccessQuestion, api::Result<bool>>,
    turns: Arc<Semaphore>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// Nobody, for a reason the log gets and the caller does not.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unknown {
    /// Neither a certificate nor a token.
    #[error("no credentials")]
    Nothing,
    /// The client's certificate.
    #[error("{0}")]
    Certificate(String),
    /// The API server refused the token, or does not know it.
    #[error("bearer token: {0}")]
    Token(Box<str>),
    /// The API server could not be asked.
    #[error("bearer token: {0}")]
    Review(#[from] api::Error),
}

/// What became of a question for permission.
#[derive(Debug)]
pub(super) enum Permission {
    /// Allowed.
    Yes,
    /// Allowed by none of the subresources.
    No,
    /// The API server could not be asked about this one.
    Unclear(&'static str, api::Error),
}

impl Auth {
    /// A judge for this node.
    pub(super) fn new(config: Arc<ServerConfig>, node: Arc<str>, reviews: Arc<dyn Reviews>) -> Self {
        Self {
            ca: ClientCa::new(config.client_ca_file.clone()),
            config,
            node,
            reviews,
            start: Instant::now(),
            tokens: Mutex::new(Cache::new(MOST_TOKENS)),
            access: Mutex::new(Cache::new(MOST_ANSWERS)),
            token_flights: Flights::default(),
            access_flights: Flights::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The caller. A certificate counts before a token; one that is wrong does not hide a token that is right.
    pub(super) async fn who(
        &self,
        chain: &[CertificateDer<'_>],
        token: Option<&str>,
    ) -> Result<Arc<UserInfo>, Unknown> {
        let mut reason = Unknown::Nothing;
        match self.by_certificate(chain) {
            Ok(Some(user)) => return Ok(known(user)),
            Ok(None) => {}
            Err(error) => reason = Unknown::Certificate(error),
        }
        if let Some(token) = token.filter(|_| self.config.token_review) {
            match self.by_token(token).await {
                Ok(user) => return Ok(user),
                Err(error) => reason = error,
            }
        }
        if matches!(reason, Unknown::Nothing) && self.config.anonymous {
            return Ok(anonymous());
        }
        Err(reason)
    }

    /// May the user do `verb` with any one of the node's `subresources`, tried in order?
    pub(super) async fn may(
        &self,
        user: &Arc<UserInfo>,
        verb: &'static str,
        subresources: &[&'static str],
    ) -> Permission {
        if self.config.authorization == AuthorizationMode::AlwaysAllow {
            return Permission::Yes;
        }
        for &subresource in subresources {
            let question = AccessQuestion {
                user: user.clone(),
                verb,
                node: self.node.clone(),
                subresource,
            };
            match self.allowed(question).await {
                Ok(true) => return Permission::Yes,
                Ok(false) => {}
                Err(error) => return Permission::Unclear(subresource, error),
            }
        }
        Permission::No
    }

    fn by_certificate(&self, chain: &[CertificateDer<'_>]) -> Result<Option<UserInfo>, String> {
        let Some(own) = chain.first() else { return Ok(None) };
        if !self.ca.verify(chain)? {
            return Ok(None);
        }
        subject::user(own).map_err(|error| error.to_string())
    }

    async fn by_token(&self, token: &str) -> Result<Arc<UserInfo>, Unknown> {
        let key: TokenKey = Sha256::digest(token).into();
        let kept = lock(&self.tokens).get(&key, self.now());
        let answer = match kept {
            Some(answer) => answer,
            None => self.review(key, token).await?,
        };
        answer.ok_or_else(|| Unknown::Token("the API server does not know it".into()))
    }

    async fn review(&self, key: TokenKey, token: &str) -> Result<TokenAnswer, Unknown> {
        let (reviews, token) = (self.reviews.clone(), token.to_owned());
        let turns = self.turns.clone();
        let reviewed = self.token_flights.join(key, |_| async move {
            let _turn = turns.acquire().await;
            reviews.token(&token).await
        });
        let answer = match reviewed.await? {
            Reviewed::Known(user) => Some(known(user)),
            Reviewed::Unknown => None,
            // Upstream keeps no refusals that come with a reason: they may be of the moment.
            Reviewed::Refused(why) => return Err(Unknown::Token(why)),
        };
        lock(&self.tokens).put(key, answer.clone(), self.now(), self.config.token_ttl);
        Ok(answer)
    }

    async fn allowed(&self, question: AccessQuestion) -> api::Result<bool> {
        if let Some(allowed) = lock(&self.access).get(&question, self.now()) {
            return Ok(allowed);
        }
        let (reviews, turns) = (self.reviews.clone(), self.turns.clone());
        let answered = self.access_flights.join(question.clone(), |asked| {
            let asked = asked.clone();
            async move {
                let _turn = turns.acquire().await;
                reviews.access(&asked).await
            }
        });
        let allowed = answered.await?;
        if size(&question.user) <= MOST_USER_BYTES {
            let ttl = if allowed {
                self.config.authorized_ttl
            } else {
                self.config.unauthorized_ttl
            };
            lock(&self.access).put(question, allowed, self.now(), ttl);
        }
        Ok(allowed)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// PURE. With the group of all who are known; upstream adds it once, and never to `system:unauthenticated`.
fn known(mut user: UserInfo) -> Arc<UserInfo> {
    let has = |group: &str| user.groups.iter().any(|have| &**have == group);
    if !has(AUTHENTICATED) && !has("system:unauthenticated") {
        user.groups.push(AUTHENTICATED.into());
    }
    Arc::new(user)
}

fn anonymous() -> Arc<UserInfo> {
    Arc::new(UserInfo {
        username: "system:anonymous".into(),
        groups: vec!["system:unauthenticated".into()],
        ..UserInfo::default()
    })
}

fn size(user: &UserInfo) -> usize {
    let extra = user.extra.iter();
    let extra = extra.map(|(key, values)| key.len() + values.iter().map(|v| v.len()).sum::<usize>());
    let groups = user.groups.iter().map(|group| group.len());
    user.username.len() + user.uid.len() + groups.sum::<usize>() + extra.sum::<usize>()
}

#[cfg(test)]
mod tests;
