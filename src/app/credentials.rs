//! The node's credentials: found, kept, and handed to those who need them.

use super::supervise::Supervisor;
use crate::api::Client;
use crate::config::Config;
use crate::identity::client::ClientCertificate;
use crate::identity::disk::{Disk, Machine};
use crate::identity::metrics::IdentityMetrics;
use crate::identity::serving::Serving;
use crate::task::DrainSignal;
use crate::telemetry::server::Admin;
use anyhow::Context;
use rustls::server::ResolvesServerCert;
use std::sync::Arc;

/// What the agent shows to others.
pub struct Credentials {
    /// The way to the API server; its certificate changes under it.
    pub client: Client,
    /// The certificate of the node's HTTPS API; it changes under it.
    pub serving: Arc<dyn ResolvesServerCert>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// Starts what keeps the credentials and waits for the first usable ones: as long as it takes when they can still come
/// (a bootstrap that waits for approval, an expired certificate). `None` when the drain began before.
pub async fn keep(
    config: &Config,
    supervisor: &Supervisor,
    admin: &Admin,
    drain: &DrainSignal,
) -> anyhow::Result<Option<Credentials>> {
    let disk: Arc<dyn Disk> = Arc::new(Machine);
    let identity = Arc::new(config.identity.clone());
    let metrics = IdentityMetrics::default();
    metrics.register(&admin.metrics, identity.server_csr);
    let (client_certificate, client) =
        ClientCertificate::new(identity.clone(), disk.clone(), metrics.clone());
    supervisor.component("client certificate", client_certificate.run(drain.clone()));
    let Some(client) = drain.unless_draining(client).await else {
        return Ok(None);
    };
    let client = client.context("the keeper of the client certificate ended")??;
    let keeper = Serving::new(identity, disk, metrics);
    let serving = keeper.resolver();
    supervisor.component(
        "serving certificate",
        keeper.run(Arc::new(client.clone()), drain.clone()),
    );
    Ok(Some(Credentials { client, serving }))
}
