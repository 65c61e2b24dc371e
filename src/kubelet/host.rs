//! The machine as Pods need it and this agent's place on it, put right once at the start: kernel parameters, swap, who
//! is killed first when memory runs out, open files, ids for user namespaces. `plan` decides.

mod plan;

use super::userns::Ids;
use crate::config::KubeletConfig;
use crate::sys::exec::{self, Command};
use crate::sys::{machine, process, sysctl};
use std::io;

/// The user whose subordinate ids are for Pods.
const USER: &str = "kubelet";

/// What the machine lets this agent do.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// No `oom_score_adj` below this can be given; `None`: any can.
    pub lowest_oom_score: Option<i64>,
    /// Ids for Pods with a user namespace of their own.
    pub ids: Ids,
}

/// Why the agent cannot run on this machine as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `failSwapOn`.
    #[error("running with swap on is not supported, please disable swap or set --fail-swap-on flag to false")]
    Swap,
    /// `protectKernelDefaults`.
    #[error("{0}")]
    Kernel(String),
    /// The user database cannot be read.
    #[error("user {USER}: {0}")]
    User(#[source] io::Error),
    /// Subordinate ids cannot be asked for.
    #[error("kubelet mappings: {0}")]
    SubIds(#[from] exec::Error),
    /// They cannot be used.
    #[error("kubelet mappings: {0}")]
    Ids(String),
}

/// Looks at the machine and changes what is not as it should be. What cannot be changed and does no harm is told in the
/// log.
pub fn prepare(config: &KubeletConfig) -> Result<Host, Error> {
    let settings = &config.host;
    if settings.fail_swap_on && machine::read().swap_bytes > 0 {
        return Err(Error::Swap);
    }
    tune_kernel(settings.protect_kernel_defaults)?;
    allow_open_files(settings.max_open_files);
    Ok(Host {
        lowest_oom_score: protect_from_oom(settings.oom_score.into()),
        ids: ids(config.ids_per_pod, config.max_pods)?,
    })
}

fn tune_kernel(protected: bool) -> Result<(), Error> {
    let wrong = plan::wrong(|name| sysctl::get(name).ok().flatten());
    if protected {
        let all: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        return match &*all {
            [] => Ok(()),
            [one] => Err(Error::Kernel(one.clone())),
            all => Err(Error::Kernel(format!("[{}]", all.join(", ")))),
        };
    }
    for parameter in wrong {
        if let Err(error) = sysctl::ensure(parameter.name, parameter.wanted) {
            tracing::warn!(%error, wanted = parameter.wanted, "a kernel parameter stays as it is");
        }
    }
    Ok(())
}

fn allow_open_files(wanted: u64) {
    match process::allow_open_files(wanted) {
        Ok(count) if count < wanted => tracing::info!(count, wanted, "fewer open files than configured"),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

/// Sets our own score, and finds out what scores containers can have.
fn protect_from_oom(wanted: i64) -> Option<i64> {
    let now = match process::oom_score() {
        Ok(now) => now,
        Err(error) => {
            tracing::warn!(%error, "who is killed when memory runs out is not ours to say");
            return None;
        }
    };
    // Nothing but trying tells whether a score can be lowered: the privilege is not enough in a user namespace.
    let lowers = process::set_oom_score(plan::lowest_asked(wanted)).is_ok();
    let scores = plan::scores(lowers, now, wanted);
    if let Err(error) = process::set_oom_score(scores.own) {
        tracing::warn!(%error, score = scores.own, "this agent's oom_score_adj");
    }
    if let Some(lowest) = scores.lowest {
        tracing::warn!(
            lowest,
            "this machine does not let oom_score_adj be lowered: neither this agent nor guaranteed and critical Pods are \
             spared when memory runs out"
        );
    }
    scores.lowest
}

/// Ids for Pods: what the machine has set apart for the user `kubelet`, else all but the node's own.
fn ids(length: u32, pods: u32) -> Result<Ids, Error> {
    if !process::has_user(USER).map_err(Error::User)? {
        return Ok(Ids::all(length));
    }
    let ask = |args: &[&str]| {
        Command::new("getsubids")
            .args(args)
            .run()
            .and_then(exec::Output::checked)
    };
    let users = match ask(&[USER]) {
        Err(error) if error.is_not_installed() => return Ok(Ids::all(length)),
        users => users?.text(),
    };
    if users != ask(&["-g", USER])?.text() {
        return Err(Error::Ids(format!(
            "mismatched subuids and subgids for user {USER:?}"
        )));
    }
    Ids::of_subids(&users, length, pods).map_err(Error::Ids)
}
