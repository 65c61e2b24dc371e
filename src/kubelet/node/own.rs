//! Our Node as a Pod meets it: labels, taints, and resources others have added to it.

use crate::api::Nodes;
use crate::model::net::Node;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// What is known of our Node.
pub struct OwnNode {
    api: Arc<dyn Nodes>,
    told: watch::Receiver<Option<Arc<Node>>>,
    registered: Arc<Node>,
}

impl fmt::Debug for OwnNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnNode")
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

impl OwnNode {
    /// `told` follows the watch; until it says something the Node is what we register, `registered`.
    pub fn new(api: Arc<dyn Nodes>, told: watch::Receiver<Option<Arc<Node>>>, registered: Node) -> Self {
        Self {
            api,
            told,
            registered: Arc::new(registered),
        }
    }

    /// As the watch says.
    pub fn now(&self) -> Arc<Node> {
        self.told
            .borrow()
            .clone()
            .unwrap_or_else(|| self.registered.clone())
    }

    /// As the API server has it at this moment; `None` when it does not answer.
    pub async fn fetch(&self) -> Option<Arc<Node>> {
        let node = self.api.get(&self.registered.metadata.name).await.ok()??;
        serde_json::from_value(node).ok().map(Arc::new)
    }

    /// Tells when the watch says something new.
    pub fn changes(&self) -> watch::Receiver<Option<Arc<Node>>> {
        self.told.clone()
    }
}
