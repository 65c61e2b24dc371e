//! TokenReview and SubjectAccessReview.

use super::client::{Call, Client};
use super::{AccessQuestion, Result, Reviewed, Reviews, UserInfo};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

#[derive(Deserialize)]
struct Answered<S> {
    status: S,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenStatus {
    authenticated: bool,
    user: UserInfo,
    error: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AccessStatus {
    allowed: bool,
}

#[async_trait]
impl Reviews for Client {
    async fn token(&self, token: &str) -> Result<Reviewed> {
        // Without audiences the API server looks for its own, as upstream's kubelet has it.
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
        });
        let answer: Answered<TokenStatus> = self.call(Call::post(TOKENS, review)).await?;
        Ok(reviewed(answer.status))
    }

    async fn access(&self, question: &AccessQuestion) -> Result<bool> {
        let answer: Answered<AccessStatus> = self.call(Call::post(ACCESS, access_review(question))).await?;
        Ok(answer.status.allowed)
    }
}

fn reviewed(status: TokenStatus) -> Reviewed {
    if status.authenticated {
        Reviewed::Known(status.user)
    } else if status.error.is_empty() {
        Reviewed::Unknown
    } else {
        Reviewed::Refused(status.error)
    }
}

fn access_review(question: &AccessQuestion) -> Value {
    let user = &question.user;
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user.username,
            "uid": user.uid,
            "groups": user.groups,
            "extra": user.extra,
            "resourceAttributes": {
                "verb": question.verb,
                "version": "v1",
                "resource": "nodes",
                "subresource": question.subresource,
                "name": question.node,
            },
        },
    })
}

#[cfg(test)]
mod tests;
