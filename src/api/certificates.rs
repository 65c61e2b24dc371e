//! Certificate signing requests, and whether the API server knows us.

use super::client::{Call, Client};
use super::pods::found;
use super::{Result, SigningRequests};
use async_trait::async_trait;
use serde_json::{Value, json};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

#[async_trait]
impl SigningRequests for Client {
    async fn create(&self, request: &Value) -> Result<Value> {
        self.call(Call::post(REQUESTS, request.clone())).await
    }

    async fn get(&self, name: &str) -> Result<Option<Value>> {
        found(self.call(Call::get(format!("{REQUESTS}/{name}"))).await)
    }
}

impl Client {
    /// Asks the API server who we are; everyone it knows may. An error with code 401 means that it does not know us.
    pub async fn ask_who_we_are(&self) -> Result<()> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let call = Call::post("/apis/authentication.k8s.io/v1/selfsubjectreviews", review);
        self.call_raw(call).await.map(drop)
    }
}
