//! PURE. Which credentials to use, and when to ask for others.

use crate::api::kubeconfig::{self, Identity, Kind};
use jiff::{SignedDuration, Timestamp};

/// A certificate is renewed when this part of its life is over, and up to [`SPREAD`] more, so that nodes that joined
/// together do not all ask at once.
const RENEW_AFTER: f64 = 0.7;
/// See [`RENEW_AFTER`].
const SPREAD: f64 = 0.2;

/// When a certificate is renewed: between 70 % and 90 % of its life, by `jitter` in 0.0..1.0.
pub fn renew_at(not_before: Timestamp, not_after: Timestamp, jitter: f64) -> Timestamp {
    let life = not_after.duration_since(not_before).as_secs_f64().max(0.0);
    let part = life * (RENEW_AFTER + SPREAD * jitter.clamp(0.0, 1.0));
    let part = SignedDuration::try_from_secs_f64(part).unwrap_or(SignedDuration::MAX);
    not_before.checked_add(part).unwrap_or(not_after).min(not_after)
}

/// What a look at the files has found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The kubeconfig: whom its own credentials are for (`None`: a token), or why it cannot be used.
    pub own: Result<Option<&'a Identity>, &'a kubeconfig::Error>,
    /// The newest certificate this node was given on request, usable with that kubeconfig.
    pub stored: Option<&'a Identity>,
    /// The same, usable with the bootstrap kubeconfig.
    pub stored_for_bootstrap: Option<&'a Identity>,
    /// The bootstrap kubeconfig.
    pub bootstrap: Bootstrap,
}

/// The bootstrap kubeconfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// None is configured.
    None,
    /// Configured, but it is not there (any more).
    Missing,
    /// It is there.
    There,
}

/// The rest a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Whether certificates are renewed.
    pub rotate: bool,
    /// Now.
    pub now: Timestamp,
    /// See [`renew_at`]; the same for the life of the process.
    pub jitter: f64,
    /// The API server has refused the credentials the files hold for some time.
    pub refused: bool,
    /// Credentials that were read before work still, so that nothing but a better set of files is needed.
    pub holds: bool,
}

/// Which of the two certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// What the kubeconfig says.
    Own,
    /// The kubeconfig's cluster with the stored pair.
    Stored,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Use these credentials; `renew` says that it is time to ask for the next certificate.
    Use {
        /// Which ones.
        which: Which,
        /// Ask for a new certificate meanwhile.
        renew: bool,
        /// When to, if they are ever renewed.
        at: Option<Timestamp>,
    },
    /// A bootstrap was interrupted after it had its certificate: write the kubeconfig.
    Adopt,
    /// Ask for a certificate with the bootstrap kubeconfig, because of this.
    Bootstrap(String),
    /// Nothing can be done but look again later; the problem in words.
    Wait(String),
    /// The kubeconfig is wrong in a way that waiting does not heal.
    Refuse(kubeconfig::Error),
}

/// Decides.
pub fn decide(found: &Found<'_>, given: &Circumstances) -> Decision {
    if given.refused && found.bootstrap == Bootstrap::There {
        return Decision::Bootstrap("the API server does not accept the node's credentials".to_owned());
    }
    match found.own {
        Ok(None) => Decision::Use {
            which: Which::Own,
            renew: false,
            at: None,
        },
        Ok(Some(own)) => use_one_of(own, found.stored.filter(|_| given.rotate), given),
        Err(problem) => match found.stored {
            Some(stored) if given.rotate && problem.kind == Kind::Certificate => {
                usage(Which::Stored, stored, given)
            }
            // A file may be half written by somebody; what works goes on.
            _ if given.holds => Decision::Wait(problem.to_string()),
            _ => without_credentials(problem, found),
        },
    }
}

fn without_credentials(problem: &kubeconfig::Error, found: &Found<'_>) -> Decision {
    match found.bootstrap {
        Bootstrap::There if found.stored_for_bootstrap.is_some() && problem.kind == Kind::Missing => {
            Decision::Adopt
        }
        // How every node begins; there is nothing to mend.
        Bootstrap::There if problem.kind == Kind::Missing => {
            Decision::Bootstrap(format!("{} does not exist yet", problem.file.display()))
        }
        Bootstrap::There => Decision::Bootstrap(problem.to_string()),
        Bootstrap::Missing => Decision::Wait(problem.to_string()),
        Bootstrap::None if problem.kind == Kind::Certificate => Decision::Wait(problem.to_string()),
        Bootstrap::None => Decision::Refuse(problem.clone()),
    }
}

/// Of two valid certificates the one that is not due for renewal, then the one issued last. The stored one must be for
/// the same user: an operator who changed that meant it.
fn use_one_of(own: &Identity, stored: Option<&Identity>, given: &Circumstances) -> Decision {
    let better = stored.filter(|stored| {
        let rank = |of: &Identity| (!is_due(of, given), of.not_before);
        stored.common_name == own.common_name && rank(stored) > rank(own)
    });
    match better {
        Some(stored) => usage(Which::Stored, stored, given),
        None => usage(Which::Own, own, given),
    }
}

fn usage(which: Which, identity: &Identity, given: &Circumstances) -> Decision {
    // Only a node's own certificate can be renewed by the node.
    let renewable = given.rotate && identity.common_name.starts_with("system:node:");
    Decision::Use {
        which,
        renew: renewable && is_due(identity, given),
        at: renewable.then(|| renew_at(identity.not_before, identity.not_after, given.jitter)),
    }
}

fn is_due(identity: &Identity, given: &Circumstances) -> bool {
    renew_at(identity.not_before, identity.not_after, given.jitter) <= given.now
}

#[cfg(test)]
mod tests;
