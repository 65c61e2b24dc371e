//! PURE. `CredentialProviderConfig`: which programs know credentials for which images.

use crate::config::parse_duration;
use crate::kubelet::images::keyring::is_pattern;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;

const KIND: &str = "CredentialProviderConfig";
const VERSIONS: [&str; 3] = [
    "kubelet.config.k8s.io/v1",
    "kubelet.config.k8s.io/v1beta1",
    "kubelet.config.k8s.io/v1alpha1",
];
/// What can be spoken with a program; the words are the same in all of them.
const PROTOCOLS: [&str; 3] = [
    "credentialprovider.kubelet.k8s.io/v1",
    "credentialprovider.kubelet.k8s.io/v1beta1",
    "credentialprovider.kubelet.k8s.io/v1alpha1",
];

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    place: String,
    problem: String,
}

impl ConfigError {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            problem: problem.into(),
        }
    }
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its file's name.
    pub name: String,
    /// Images it is asked about, by pattern.
    pub match_images: Vec<String>,
    /// How long its answers hold when they do not say it.
    pub default_cache: Duration,
    /// The version of requests and answers.
    pub api_version: &'static str,
    /// Arguments.
    pub args: Vec<String>,
    /// Additions to its environment.
    pub env: Vec<(String, String)>,
    /// It is asked in the name of the Pod's service account.
    pub token: Option<TokenAttributes>,
}

/// What a program is told of a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAttributes {
    /// Audience of the token.
    pub audience: String,
    /// Answers are for this token only, not for all Pods of the account.
    pub per_token: bool,
    /// Pods without an account are none of its business.
    pub required: bool,
    /// Accounts without these annotations are none of its business.
    pub required_keys: Vec<String>,
    /// Annotations it is told, too.
    pub optional_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawFile {
    kind: Option<String>,
    api_version: Option<String>,
    #[serde(default)]
    providers: Vec<RawProvider>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawProvider {
    #[serde(default)]
    name: String,
    #[serde(default)]
    match_images: Vec<String>,
    default_cache_duration: Option<String>,
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<RawVariable>,
    token_attributes: Option<RawToken>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariable {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawToken {
    #[serde(default)]
    service_account_token_audience: String,
    #[serde(default)]
    cache_type: String,
    require_service_account: Option<bool>,
    #[serde(default)]
    required_service_account_annotation_keys: Vec<String>,
    #[serde(default)]
    optional_service_account_annotation_keys: Vec<String>,
}

/// Reads configuration files, name and text of each. A name may be in one of them only.
pub fn parse(files: &[(String, String)]) -> Result<Vec<Provider>, ConfigError> {
    let mut all: Vec<Provider> = Vec::new();
    for (file, text) in files {
        for (n, raw) in read(file, text)?.into_iter().enumerate() {
            let place = format!("{file}: providers[{n}]");
            let provider = provider(&place, raw)?;
            if all.iter().any(|other| other.name == provider.name) {
                let problem = format!("there is another provider of the name {:?}", provider.name);
                return Err(ConfigError::new(format!("{place}.name"), problem));
            }
            all.push(provider);
        }
    }
    if all.is_empty() {
        let names: Vec<&str> = files.iter().map(|(file, _)| &**file).collect();
        let place = format!("{}: providers", names.join(", "));
        return Err(ConfigError::new(place, "at least one is required"));
    }
    Ok(all)
}

fn read(file: &str, text: &str) -> Result<Vec<RawProvider>, ConfigError> {
    let raw: RawFile = serde_saphyr::from_str(text).map_err(|error| {
        let words = error.without_snippet().to_string();
        let words = words.lines().next().unwrap_or("it cannot be read").to_owned();
        match error.location() {
            Some(at) if !words.contains("line ") => {
                ConfigError::new(format!("{file}: line {}", at.line()), words)
            }
            _ => ConfigError::new(file, words),
        }
    })?;
    one_of(
        &format!("{file}: kind"),
        raw.kind.as_deref().unwrap_or_default(),
        &[KIND],
    )?;
    let version = raw.api_version.as_deref().unwrap_or_default();
    one_of(&format!("{file}: apiVersion"), version, &VERSIONS)?;
    Ok(raw.providers)
}

fn one_of(place: &str, value: &str, known: &[&'static str]) -> Result<&'static str, ConfigError> {
    let found = known.iter().find(|known| **known == value);
    found
        .copied()
        .ok_or_else(|| ConfigError::new(place, format!("{value:?} is not {}", known.join(" or "))))
}

fn provider(place: &str, raw: RawProvider) -> Result<Provider, ConfigError> {
    let at = |field: &str| format!("{place}.{field}");
    let name = &raw.name;
    if name.is_empty() || matches!(&**name, "." | "..") || name.contains(['/', ' ']) {
        let problem =
            format!("{name:?} is not the name of a program: no '/', no space, neither '.' nor '..'");
        return Err(ConfigError::new(at("name"), problem));
    }
    if raw.match_images.is_empty() {
        return Err(ConfigError::new(at("matchImages"), "at least one is required"));
    }
    if let Some(bad) = raw.match_images.iter().find(|image| !is_pattern(image)) {
        let problem =
            format!("{bad:?} is not HOST, HOST:PORT or HOST/PATH, where '*' may stand in the host's parts");
        return Err(ConfigError::new(at("matchImages"), problem));
    }
    let duration = raw.default_cache_duration.as_deref();
    let default_cache = duration.and_then(parse_duration).ok_or_else(|| {
        let problem = match duration {
            Some(text) => format!("{text:?} is not a duration like 12h or 0s"),
            None => "it is required".to_owned(),
        };
        ConfigError::new(at("defaultCacheDuration"), problem)
    })?;
    let api_version = one_of(&at("apiVersion"), &raw.api_version, &PROTOCOLS)?;
    let token = raw
        .token_attributes
        .map(|token| attributes(&at("tokenAttributes"), token, api_version))
        .transpose()?;
    Ok(Provider {
        name: raw.name,
        match_images: raw.match_images,
        default_cache,
        api_version,
        args: raw.args,
        env: raw.env.into_iter().map(|v| (v.name, v.value)).collect(),
        token,
    })
}

fn attributes(place: &str, raw: RawToken, api_version: &str) -> Result<TokenAttributes, ConfigError> {
    let at = |field: &str| format!("{place}.{field}");
    let required_keys = raw.required_service_account_annotation_keys;
    let optional_keys = raw.optional_service_account_annotation_keys;
    if api_version != PROTOCOLS[0] {
        return Err(ConfigError::new(
            place,
            format!("only for apiVersion {}", PROTOCOLS[0]),
        ));
    }
    if raw.service_account_token_audience.is_empty() {
        return Err(ConfigError::new(
            at("serviceAccountTokenAudience"),
            "it is required",
        ));
    }
    let Some(required) = raw.require_service_account else {
        return Err(ConfigError::new(at("requireServiceAccount"), "it is required"));
    };
    if !required && !required_keys.is_empty() {
        let problem = "only where requireServiceAccount is true";
        return Err(ConfigError::new(
            at("requiredServiceAccountAnnotationKeys"),
            problem,
        ));
    }
    let mut seen = BTreeSet::new();
    for key in required_keys.iter().chain(&optional_keys) {
        if !is_annotation_key(key) {
            return Err(ConfigError::new(
                place,
                format!("{key:?} is not the key of an annotation"),
            ));
        }
        if !seen.insert(key) {
            return Err(ConfigError::new(
                place,
                format!("the annotation {key:?} is named twice"),
            ));
        }
    }
    let cache = one_of(&at("cacheType"), &raw.cache_type, &["ServiceAccount", "Token"])?;
    Ok(TokenAttributes {
        audience: raw.service_account_token_audience,
        per_token: cache == "Token",
        required,
        required_keys,
        optional_keys,
    })
}

/// `name`, or `domain/name`; case does not matter.
fn is_annotation_key(key: &str) -> bool {
    let (domain, name) = key.rsplit_once('/').map_or((None, key), |(d, n)| (Some(d), n));
    let ends = |text: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        edge(text.chars().next()) && edge(text.chars().last())
    };
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let label = |l: &str| ends(l) && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    ends(name)
        && name.len() <= 63
        && name.chars().all(inner)
        && domain.is_none_or(|d| d.len() <= 253 && d.split('.').all(label))
}

#[cfg(test)]
mod tests;
