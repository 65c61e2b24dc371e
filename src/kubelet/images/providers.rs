//! Credential providers: programs that are asked for credentials of a registry (facts: v1.36
//! `pkg/credentialprovider/plugin`).

mod cache;
pub mod config;
mod protocol;

use super::keyring::{Coordinates, Credential, Keyring, Logins, Origin, matches};
use crate::api::{ConfigData, Token, TokenRequest};
use crate::kubelet::metrics::KubeletMetrics;
use crate::model::pod::Pod;
use crate::model::{NamespacedName, PodUid};
use crate::sys::exec::Command;
use crate::task::Flights;
use cache::{Asked, Cache};
use config::{ConfigError, Provider, TokenAttributes};
use jiff::{SignedDuration, Timestamp};
use protocol::{Answer, Request};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A program that takes longer is killed.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// An answer of more bytes is none.
const ANSWER_LIMIT: usize = 1 << 20;
/// Life of a token a program is given, seconds: what the API server gives by default.
const TOKEN_SECONDS: i64 = 3600;

/// Why the providers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory.
    #[error("--image-credential-provider-config: {place}: {problem}")]
    File {
        /// Its path.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// What is in the files.
    #[error("--image-credential-provider-config: {0}")]
    Config(#[from] ConfigError),
    /// A program.
    #[error("--image-credential-provider-bin-dir: {place}: {problem}")]
    Program {
        /// Its path.
        place: String,
        /// What is wrong.
        problem: String,
    },
}

/// All programs, in the order of the configuration.
#[derive(Default)]
pub struct Providers(Vec<Plugin>);

struct Plugin {
    provider: Provider,
    program: PathBuf,
    data: Arc<dyn ConfigData>,
    metrics: KubeletMetrics,
    cache: Mutex<Cache>,
    /// Tokens by Pod and account, with the moment they are renewed.
    tokens: Mutex<Tokens>,
    /// The same question is not asked twice at the same time.
    flights: Flights<(Request, Asked), Result<Arc<Answer>, String>>,
}

type Tokens = HashMap<(PodUid, Coordinates), (Timestamp, Box<str>)>;
/// Those of a service account that are told to a program.
type Annotations = BTreeMap<Box<str>, Box<str>>;

/// In whose name a program is asked.
struct Account {
    at: Coordinates,
    annotations: Annotations,
    token: Box<str>,
}

impl Providers {
    /// Reads the configuration, a file or a directory of files, and looks for the programs.
    pub fn load(
        (path, programs): (&Path, &Path),
        data: &Arc<dyn ConfigData>,
        metrics: &KubeletMetrics,
    ) -> Result<Self, Error> {
        let plugin = |provider: Provider| {
            let program = programs.join(&provider.name);
            check_program(&program)?;
            Ok(Plugin {
                provider,
                program,
                data: data.clone(),
                metrics: metrics.clone(),
                cache: Mutex::default(),
                tokens: Mutex::default(),
                flights: Flights::default(),
            })
        };
        let providers = config::parse(&read(path)?)?.into_iter();
        providers.map(plugin).collect::<Result<_, _>>().map(Self)
    }

    /// Everything the programs say for a repository; one that fails is told of in the log and passed by.
    pub async fn look_up(&self, pod: &Pod, repository: &str) -> Vec<Credential> {
        let mut ring = Keyring::default();
        for plugin in &self.0 {
            match plugin.provide(pod, repository).await {
                Ok((logins, origin)) => ring.add(&origin, logins),
                Err(error) => {
                    let meta = &pod.metadata;
                    tracing::warn!(
                        provider = plugin.provider.name, image = repository, pod.uid = %meta.uid, ns = %meta.namespace,
                        name = %meta.name, account = %pod.spec.service_account_name, error,
                        "failed to provide credentials for the image"
                    );
                }
            }
        }
        ring.look_up(repository)
    }
}

fn read(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let failed = |path: &Path| {
        let place = path.display().to_string();
        move |error: std::io::Error| Error::File {
            place,
            problem: error.to_string(),
        }
    };
    let mut files = vec![path.to_owned()];
    if std::fs::metadata(path).map_err(failed(path))?.is_dir() {
        let entries = std::fs::read_dir(path).map_err(failed(path))?;
        let entries: Vec<PathBuf> = entries
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<_, _>>()
            .map_err(failed(path))?;
        let kinds = ["json", "yaml", "yml"].map(Some);
        files = entries
            .into_iter()
            .filter(|file| kinds.contains(&file.extension().and_then(|e| e.to_str())) && !file.is_dir())
            .collect();
        files.sort();
        if files.is_empty() {
            return Err(Error::File {
                place: path.display().to_string(),
                problem: "there is no *.json, *.yaml or *.yml in it".to_owned(),
            });
        }
    }
    let text = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).map_err(failed(file))?;
        Ok((file.display().to_string(), text))
    };
    files.iter().map(text).collect()
}

fn check_program(program: &Path) -> Result<(), Error> {
    let problem = match std::fs::metadata(program) {
        Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => return Ok(()),
        Ok(_) => "it is not a program that can be executed".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Error::Program {
        place: program.display().to_string(),
        problem,
    })
}

impl Plugin {
    async fn provide(&self, pod: &Pod, image: &str) -> Result<(Logins, Origin), String> {
        let patterns = &self.provider.match_images;
        let nothing = || (Logins::new(), Origin::Node);
        if !patterns.iter().any(|pattern| matches(pattern, image)) {
            return Ok(nothing());
        }
        let account = match &self.provider.token {
            None => None,
            Some(attributes) => match self.account(pod, attributes).await? {
                Ok(account) => account,
                Err(NotAsked) => return Ok(nothing()),
            },
        };
        let origin = account
            .as_ref()
            .map_or(Origin::Node, |a| Origin::ServiceAccount(a.at.clone()));
        let per_token = self.provider.token.as_ref().is_some_and(|t| t.per_token);
        let asked = account.as_ref().map_or_else(Asked::default, |a| {
            Asked::new(&a.at, &a.annotations, per_token.then_some(&*a.token))
        });
        if let Some(logins) = self.cache().get(image, &asked, Instant::now()) {
            return Ok((logins, origin));
        }
        let request = Request::new(
            self.provider.api_version,
            image,
            account.map(|a| (a.token, a.annotations)),
        );
        let token = request.token().map(Box::<str>::from);
        let answer = self
            .flights
            .join((request, asked.clone()), |(request, _)| self.run(request))
            .await?;
        let logins = answer.logins();
        let echoed = |token: &str| logins.values().any(|login| login.password == token);
        if !per_token && token.as_deref().is_some_and(echoed) {
            return Err(
                "the program returned the service account's token as the password, which is only for cacheType Token"
                    .to_owned(),
            );
        }
        let life = answer.keep.unwrap_or(self.provider.default_cache);
        if !life.is_zero() {
            let now = Instant::now();
            let until = now.checked_add(life).unwrap_or(now);
            self.cache()
                .put(answer.key(image), asked, logins.clone(), (now, until));
        }
        Ok((logins, origin))
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The Pod's service account with a token for the program; `Ok(None)` for a Pod without an account.
    async fn account(
        &self,
        pod: &Pod,
        attributes: &TokenAttributes,
    ) -> Result<Result<Option<Account>, NotAsked>, String> {
        let name = &pod.spec.service_account_name;
        if name.is_empty() {
            return Ok(if attributes.required {
                Err(NotAsked)
            } else {
                Ok(None)
            });
        }
        let key = NamespacedName {
            namespace: pod.metadata.namespace.clone(),
            name: (&**name).into(),
        };
        let failed = |error: crate::api::Error| format!("failed to get service account: {error}");
        let found = self.data.service_account(&key).await.map_err(failed)?;
        let found = found.ok_or_else(|| format!("failed to get service account: {key} does not exist"))?;
        let has = |key: &String| found.metadata.annotations.get_key_value(key.as_str());
        if !attributes.required_keys.iter().all(|key| has(key).is_some()) {
            return Ok(Err(NotAsked));
        }
        let keys = attributes.required_keys.iter().chain(&attributes.optional_keys);
        let annotations = keys
            .filter_map(has)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let request = TokenRequest {
            service_account: key,
            audience: attributes.audience.as_str().into(),
            expiration_seconds: TOKEN_SECONDS,
            pod_name: (&*pod.metadata.name).into(),
            pod_uid: pod.metadata.uid.clone(),
        };
        let at = Coordinates {
            namespace: (&*pod.metadata.namespace).into(),
            name: name.clone(),
            uid: found.metadata.uid.as_str().into(),
        };
        let token = self.token(&request, &at).await?;
        Ok(Ok(Some(Account {
            at,
            annotations,
            token,
        })))
    }

    /// A token for a Pod's account; asked for anew after 80 % of its life.
    async fn token(&self, request: &TokenRequest, at: &Coordinates) -> Result<Box<str>, String> {
        let key = (request.pod_uid.clone(), at.clone());
        let now = Timestamp::now();
        let held = |tokens: &mut Tokens| {
            tokens.retain(|_, (renew, _)| now < *renew);
            tokens.get(&key).map(|(_, token)| token.clone())
        };
        if let Some(token) = held(&mut self.tokens.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(token);
        }
        let failed = |error| format!("failed to get service account token: {error}");
        let Token { token, expires } = self.data.token(request).await.map_err(failed)?;
        let life = (expires - now).get_seconds();
        let renew = now + SignedDuration::from_secs(life / 5 * 4);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(key, (renew, token.clone()));
        Ok(token)
    }

    /// Runs the program.
    fn run(&self, request: &Request) -> impl Future<Output = Result<Arc<Answer>, String>> + Send + use<> {
        let (name, version) = (self.provider.name.clone(), self.provider.api_version);
        let command = Command::new(&self.program)
            .args(&self.provider.args)
            .stdin(request.text())
            .timeout(TIME_LIMIT)
            .output_limit(ANSWER_LIMIT);
        let with = |command: Command, (key, value): &(String, String)| command.env(key, value);
        let command = self.provider.env.iter().fold(command, with);
        let metrics = self.metrics.clone();
        async move {
            let begin = Instant::now();
            let output = command.run_async().await.and_then(|output| output.checked());
            metrics.credential_provider(&name, begin.elapsed(), output.is_ok());
            let output = output.map_err(|error| error.to_string())?;
            Answer::parse(&output.stdout, version).map(Arc::new)
        }
    }
}

/// The Pod's account is none of a program's business.
struct NotAsked;

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|plugin| &plugin.provider.name);
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests;
