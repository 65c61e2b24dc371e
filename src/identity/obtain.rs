//! One certificate signing request, from its creation to the certificate.

use super::Error;
use super::request::{Verdict, Wanted, verdict};
use crate::api::{SigningRequests, kubeconfig};
use crate::task::SayOnce;
use jiff::Timestamp;
use rcgen::KeyPair;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// How often a request is looked at.
const POLL: Duration = Duration::from_secs(1);
/// And how often when it was not approved within [`PATIENCE`].
const POLL_SLOWLY: Duration = Duration::from_secs(5);
/// See [`POLL_SLOWLY`].
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a request that waits is said.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Asks for a certificate and waits, as long as it takes, until it is issued, denied, or the request is gone. With a
/// `name` a request that was made before is taken up again. Nothing is lost when the caller stops waiting.
pub(super) async fn obtain(
    api: &dyn SigningRequests,
    wanted: &Wanted,
    key: &KeyPair,
    name: Option<&str>,
) -> Result<String, Error> {
    let pem = wanted.pem(key).map_err(|e| Error::Key(e.to_string()))?;
    let object = create(api, wanted, &pem, name).await?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let uid = object["metadata"]["uid"].clone();
    tracing::info!(csr = name, "asked for a {}", wanted.signer.what());
    let certificates = wait(api, wanted, object, &name, &uid).await?;
    check(&certificates, wanted, key).map_err(|problem| Error::Unusable { name, problem })?;
    Ok(certificates)
}

async fn create(
    api: &dyn SigningRequests,
    wanted: &Wanted,
    pem: &str,
    name: Option<&str>,
) -> Result<Value, Error> {
    match (api.create(&wanted.object(pem, name)).await, name) {
        (Ok(object), _) => Ok(object),
        (Err(error), Some(name)) if error.is_conflict() => {
            let found = api.get(name).await?.ok_or_else(|| Error::Gone(name.to_owned()))?;
            if found["spec"]["signerName"] == wanted.signer.name() {
                return Ok(found);
            }
            let problem = format!("is for another signer ({})", found["spec"]["signerName"]);
            Err(Error::Unusable {
                name: name.to_owned(),
                problem,
            })
        }
        (Err(error), _) => Err(error.into()),
    }
}

async fn wait(
    api: &dyn SigningRequests,
    wanted: &Wanted,
    mut object: Value,
    name: &str,
    uid: &Value,
) -> Result<String, Error> {
    let begin = Instant::now();
    let mut said = SayOnce::new(SAY_EVERY);
    let what = wanted.signer.what();
    loop {
        if object["metadata"]["uid"] != *uid {
            return Err(Error::Gone(name.to_owned()));
        }
        let waits = match verdict(&object) {
            Verdict::Issued(certificates) => return Ok(certificates),
            Verdict::Denied(words) => {
                return Err(Error::Denied {
                    name: name.to_owned(),
                    words,
                });
            }
            Verdict::Failed(words) => {
                return Err(Error::Failed {
                    name: name.to_owned(),
                    words,
                });
            }
            Verdict::Pending => {
                format!("the node's {what} waits for approval: kubectl certificate approve {name}")
            }
            Verdict::Approved => format!(
                "the node's {what} is approved and waits for its signer ({}): does the controller manager run, and \
                 sign for it? (csr {name})",
                wanted.signer.name()
            ),
        };
        // An approver that works by itself needs a moment; there is nothing to say then.
        if begin.elapsed() >= 3 * POLL && said.say(&waits, Instant::now()).is_some() {
            tracing::warn!("{waits}");
        }
        let pause = if begin.elapsed() < PATIENCE {
            POLL
        } else {
            POLL_SLOWLY
        };
        object = look_again(api, name, pause).await?;
    }
}

/// The object after a pause; an API server that does not answer is asked again.
async fn look_again(api: &dyn SigningRequests, name: &str, pause: Duration) -> Result<Value, Error> {
    loop {
        tokio::time::sleep(pause).await;
        match api.get(name).await {
            Ok(Some(object)) => return Ok(object),
            Ok(None) => return Err(Error::Gone(name.to_owned())),
            Err(error) if error.refuses_us() || error.code() == Some(403) => return Err(error.into()),
            Err(error) => tracing::debug!(csr = name, "looking at the request: {error}"),
        }
    }
}

/// Whether what was issued is what was asked for.
fn check(certificates: &str, wanted: &Wanted, key: &KeyPair) -> Result<(), String> {
    let identity = kubeconfig::identity_of(certificates.as_bytes())?;
    kubeconfig::check_key(certificates.as_bytes(), key.serialize_pem().as_bytes())?;
    if *identity.common_name != *wanted.user() {
        return Err(format!(
            "is for {:?}, not {:?}",
            identity.common_name,
            wanted.user()
        ));
    }
    if identity.not_after <= Timestamp::now() {
        return Err(format!("expired on {}", identity.not_after));
    }
    Ok(())
}
