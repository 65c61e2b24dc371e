//! Fetches what a container's environment is made from.

use super::start::{Start, StartError, config_error};
use crate::kubelet::context::Context;
use crate::kubelet::env::{self, EnvFile, EnvInput, EnvObjects, Kind, Place};
use crate::kubelet::volume::{Paths, blocking};
use crate::model::NamespacedName;
use crate::model::pod::Container;
use crate::sys::beneath;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Most bytes of a file of variables that are looked at: its writer is the Pod.
const MAX_FILE: u64 = 1 << 20;

/// The environment of a container, with what it needs of the API server and of volumes.
pub(super) async fn environment(
    context: &Context,
    start: &Start,
    spec: &Container,
) -> Result<Vec<(String, String)>, StartError> {
    let mut objects = EnvObjects::default();
    for reference in env::references(spec) {
        let key = NamespacedName {
            namespace: start.pod.metadata.namespace.clone(),
            name: (&*reference.name).into(),
        };
        let (found, into): (_, &mut BTreeMap<_, _>) = match reference.kind {
            Kind::ConfigMap => (context.data.config_map(&key).await, &mut objects.config_maps),
            Kind::Secret => (context.data.secret(&key).await, &mut objects.secrets),
        };
        if let Some(object) = found.map_err(config_error)? {
            into.insert(reference.name, object);
        }
    }
    for place in env::files(spec) {
        let file = env_file(&start.volumes, &place).await;
        objects.files.insert(place, file);
    }
    let services = context.services.borrow().clone();
    env::resolve(&EnvInput {
        pod: &start.pod,
        container: spec,
        pod_ips: if start.pod.spec.host_network {
            &context.host_ips
        } else {
            &start.ips
        },
        host_ips: &context.host_ips,
        objects: &objects,
        services: &services,
        allocatable: &context.allocatable,
    })
    .map_err(|error| {
        if let Some(cause) = std::error::Error::source(&error) {
            tracing::warn!(pod.uid = %start.pod.metadata.uid, container = %spec.name, %cause, "{error}");
        }
        config_error(error)
    })
}

/// A file in a volume. It is the Pod's: links in it lead nowhere but into the volume.
async fn env_file(volumes: &Paths, (volume, path): &Place) -> EnvFile {
    let Some(root) = volumes.get(volume).cloned() else {
        return EnvFile::NoVolume;
    };
    let full = root.join(&**path);
    let path = path.clone();
    let read = blocking(move || {
        let file = beneath::open_in_root(&root, Path::new(&*path))?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read.await {
        Ok(mut bytes) => {
            let cut = bytes.len() as u64 > MAX_FILE;
            bytes.truncate(usize::try_from(MAX_FILE).unwrap_or(usize::MAX));
            EnvFile::Read {
                path: full.to_string_lossy().into(),
                bytes: bytes.into(),
                cut,
            }
        }
        Err(error) => {
            tracing::warn!(%error, "a file of variables cannot be read");
            EnvFile::Unreadable
        }
    }
}
