//! PURE. Answers: text, JSON, streams, and errors in upstream's form.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

/// The body of an answer; an error ends the connection without a last chunk, so that the client sees it is cut.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;
/// An answer.
pub type Answer = Response<Body>;

/// A body that is known in full.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// An answer with a content type.
pub fn with_type(code: StatusCode, kind: &'static str, bytes: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(full(bytes));
    *answer.status_mut() = code;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Plain text.
pub fn text(code: StatusCode, text: impl Into<Bytes>) -> Answer {
    with_type(code, "text/plain; charset=utf-8", text)
}

/// JSON.
pub fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_type(StatusCode::OK, "application/json", bytes),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::Answer;
    use futures::FutureExt;
    use http_body_util::BodyExt;

    /// Code and text of an answer that is there at once.
    pub(in crate::kubelet::server) fn told(answer: Answer) -> (u16, String) {
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().now_or_never().unwrap().unwrap();
        (code, String::from_utf8(body.to_bytes().to_vec()).unwrap())
    }
}
