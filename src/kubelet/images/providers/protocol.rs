//! PURE. What a program is asked, and what it answers.

use super::Annotations;
use super::cache::Key;
use crate::config::parse_duration;
use crate::kubelet::images::keyring::{Login, Logins};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// `CredentialProviderRequest`.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    kind: &'static str,
    api_version: &'static str,
    image: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    service_account_token: Box<str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    service_account_annotations: Annotations,
}

impl Request {
    /// About an image without tag, in the name of an account: its token and annotations.
    pub(super) fn new(
        api_version: &'static str,
        image: &str,
        account: Option<(Box<str>, Annotations)>,
    ) -> Self {
        let (service_account_token, service_account_annotations) = account.unwrap_or_default();
        Self {
            kind: "CredentialProviderRequest",
            api_version,
            image: image.into(),
            service_account_token,
            service_account_annotations,
        }
    }

    /// The account's token, if there is an account.
    pub(super) fn token(&self) -> Option<&str> {
        Some(&*self.service_account_token).filter(|token| !token.is_empty())
    }

    /// One line of JSON.
    pub(super) fn text(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        format!("{text}\n")
    }
}

/// `CredentialProviderResponse`.
pub(super) struct Answer {
    cache_key: CacheKey,
    /// How long it holds; `None` leaves that to the configuration, zero is not at all.
    pub(super) keep: Option<Duration>,
    auth: BTreeMap<String, Auth>,
}

#[derive(Clone, Copy, Deserialize)]
enum CacheKey {
    Image,
    Registry,
    Global,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawAnswer {
    #[serde(rename = "kind")]
    _kind: Option<String>,
    #[serde(rename = "apiVersion")]
    _api_version: Option<String>,
    cache_key_type: CacheKey,
    cache_duration: Option<String>,
    auth: Option<BTreeMap<String, Auth>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// What is looked at first, so that the error says most.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    cache_key_type: String,
}

impl Answer {
    /// Reads an answer of the version that was asked. Errors do not show what is in it: it may be a password.
    pub(super) fn parse(text: &[u8], version: &str) -> Result<Self, String> {
        let place = |e: &serde_json::Error| format!("line {}, column {}", e.line(), e.column());
        let head: Head = serde_json::from_slice(text).map_err(|e| {
            format!(
                "the program's answer is not a CredentialProviderResponse in JSON ({})",
                place(&e)
            )
        })?;
        if head.api_version != version {
            return Err(format!(
                "apiVersion of the program's answer is {:?}, it was asked in {version}",
                head.api_version
            ));
        }
        if head.kind != "CredentialProviderResponse" {
            return Err(format!(
                "kind of the program's answer is {:?}, not CredentialProviderResponse",
                head.kind
            ));
        }
        if !["Image", "Registry", "Global"].contains(&&*head.cache_key_type) {
            return Err(format!(
                "cacheKeyType of the program's answer is {:?}, not Image, Registry or Global",
                head.cache_key_type
            ));
        }
        let raw: RawAnswer = serde_json::from_slice(text).map_err(|e| {
            format!(
                "the program's answer has a field that is unknown or of the wrong type ({})",
                place(&e)
            )
        })?;
        let duration = |text: String| {
            parse_duration(&text)
                .ok_or_else(|| format!("cacheDuration of the program's answer is {text:?}, not like 10m0s"))
        };
        Ok(Self {
            cache_key: raw.cache_key_type,
            keep: raw.cache_duration.map(duration).transpose()?,
            auth: raw.auth.unwrap_or_default(),
        })
    }

    /// Logins by pattern.
    pub(super) fn logins(&self) -> Logins {
        let login = |auth: &Auth| Login {
            username: auth.username.clone(),
            password: auth.password.clone(),
            ..Login::default()
        };
        self.auth
            .iter()
            .map(|(pattern, auth)| (pattern.clone(), login(auth)))
            .collect()
    }

    /// What it is for, when the question was about this image.
    pub(super) fn key(&self, image: &str) -> Key {
        match self.cache_key {
            CacheKey::Image => Key::Image(image.into()),
            CacheKey::Registry => Key::registry(image),
            CacheKey::Global => Key::Global,
        }
    }
}
