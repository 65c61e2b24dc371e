//! PURE. Puts failures into words that name the file, the field and the remedy.

use super::super::Error;
use rustls::AlertDescription;
use serde::Deserialize;
use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Where the client's settings came from, for messages.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// URL of the API server.
    pub server: String,
    /// The kubeconfig.
    pub file: PathBuf,
    /// Its cluster entry.
    pub cluster: Box<str>,
    /// Its user entry.
    pub user: Box<str>,
}

impl Place {
    fn cluster(&self, field: &str) -> String {
        format!(
            "clusters[{}].cluster.{field} in {}",
            self.cluster,
            self.file.display()
        )
    }
    fn user(&self, field: &str) -> String {
        format!("users[{}].user.{field} in {}", self.user, self.file.display())
    }
}

/// `metav1.Status` as far as messages need it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    reason: String,
    message: String,
}

/// An answer with an error status.
pub fn status(verb: &'static str, path: String, code: u16, body: &[u8], place: &Place) -> Error {
    let status: Status = serde_json::from_slice(body).unwrap_or_else(|_| Status {
        reason: String::new(),
        message: String::from_utf8_lossy(&body[..body.len().min(512)])
            .trim()
            .to_owned(),
    });
    let reason = if status.reason.is_empty() {
        reason_of(code).to_owned()
    } else {
        status.reason
    };
    let message = match remedy(verb, code, &path, &status.message, place) {
        Some(remedy) if status.message.is_empty() => remedy,
        Some(remedy) => format!("{}; {remedy}", status.message),
        None => status.message,
    };
    Error::Status {
        verb,
        path,
        code,
        reason,
        message,
    }
}

fn reason_of(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        // A 404 without a Status is no object that is missing but a server that is not Kubernetes.
        409 => "Conflict",
        410 => "Gone",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "Unknown",
    }
}

/// Lists that kube-proxy's role may read and a node's may not (all Nodes since 1.34, EndpointSlices ever).
const PROXIER_READS: &[&str] = &["/nodes", "/services", "/endpointslices"];

fn remedy(verb: &str, code: u16, path: &str, message: &str, place: &Place) -> Option<String> {
    let resource = path.split('?').next().unwrap_or(path);
    match code {
        400 if message.contains("HTTP request to an HTTPS server") => {
            Some(format!("write {} with https://", place.cluster("server")))
        }
        404 if message.is_empty() || !message.contains("not found") || message.contains("page not found") => {
            Some(format!(
                "this is no Kubernetes API server; correct {}",
                place.cluster("server")
            ))
        }
        401 => Some(format!(
            "the API server does not accept the credentials: {} must be signed by the CA the API server has as \
             --client-ca-file and be valid, or {} must be a token of this cluster",
            place.user("client-certificate"),
            place.user("token"),
        )),
        403 if message.contains("system:anonymous") => Some(format!(
            "the API server does not know this client: check that {} is a certificate of this cluster",
            place.user("client-certificate"),
        )),
        403 if verb == "GET" && PROXIER_READS.iter().any(|list| resource.ends_with(list)) => Some(
            "nodes may not read this by default: kubectl create clusterrolebinding rustlet-node-proxier \
             --clusterrole=system:node-proxier --group=system:nodes"
                .to_owned(),
        ),
        _ => None,
    }
}

/// No answer in time.
pub fn timed_out(verb: &'static str, path: &str, after: Duration, place: &Place) -> Error {
    let cause = format!("{} does not answer within {} s", place.server, after.as_secs());
    Error::Unreachable {
        verb,
        path: path.to_owned(),
        cause,
    }
}

/// The way to the server failed.
pub fn unreachable(verb: &'static str, path: &str, error: &(dyn StdError + 'static), place: &Place) -> Error {
    Error::Unreachable {
        verb,
        path: path.to_owned(),
        cause: cause(error, place),
    }
}

/// The TLS alert by which the other end refuses our certificate, when that is what has failed.
pub fn refusal(error: &(dyn StdError + 'static)) -> Option<AlertDescription> {
    use AlertDescription as Alert;
    let links = chain(error);
    let found = links.iter().find_map(|link| link.downcast_ref::<rustls::Error>());
    match found {
        Some(rustls::Error::AlertReceived(
            alert @ (Alert::AccessDenied
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRequired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::UnsupportedCertificate),
        )) => Some(*alert),
        _ => None,
    }
}

/// The way to the server ended because of our certificate.
pub fn certificate_refused(verb: &'static str, path: &str, alert: AlertDescription, place: &Place) -> Error {
    let cause = format!(
        "{}: the API server, or a proxy before it, does not accept the credentials (TLS alert {alert:?}): {} must be \
         signed by a CA it trusts for clients, and be valid",
        place.server,
        place.user("client-certificate")
    );
    Error::CertificateRefused {
        verb,
        path: path.to_owned(),
        cause,
    }
}

/// True for failures that only a changed kubeconfig heals: wrong CA, wrong name, not the API server at all. Refused
/// credentials (401, 403, a TLS alert) are not among them: an API server that is still starting refuses everyone, and
/// the node may get others.
pub fn is_for_good(error: &Error) -> bool {
    match error {
        Error::Status { code, .. } => matches!(code, 400 | 404),
        Error::Unreachable { cause, .. } => cause.contains(FIX),
        Error::CertificateRefused { .. } => false,
        Error::Decode { .. } => true,
    }
}

/// The object asked for does not exist, says a Kubernetes API server.
pub fn is_missing_object(error: &Error) -> bool {
    matches!(error, Error::Status { code: 404, reason, .. } if reason == "NotFound")
}

/// Begins the remedy of a failure that only a changed kubeconfig or server certificate heals.
const FIX: &str = "; correct ";

fn cause(error: &(dyn StdError + 'static), place: &Place) -> String {
    let links = chain(error);
    let server = &place.server;
    for link in &links {
        if let Some(tls) = link.downcast_ref::<rustls::Error>() {
            return format!("{server}: {}", tls_words(tls, place));
        }
    }
    if links.iter().any(|link| {
        link.downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_timeout)
    }) {
        return format!("{server}: it does not answer on an open connection any more");
    }
    if links.iter().any(|link| link.to_string() == "dns error") {
        let detail = links.last().map(ToString::to_string).unwrap_or_default();
        return format!(
            "{server}: the host name cannot be resolved ({detail}); check it and the machine's DNS: {}",
            place.cluster("server")
        );
    }
    for link in &links {
        let Some(io) = link.downcast_ref::<io::Error>() else {
            continue;
        };
        let words = match io.kind() {
            io::ErrorKind::ConnectionRefused => {
                "connection refused: is the API server running on that host and port?"
            }
            io::ErrorKind::TimedOut => {
                "no answer to connecting: is the host up, and does a firewall let us through?"
            }
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NotConnected => {
                "no route to the host: is the network up, and the address right?"
            }
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
                return format!("{server}: the connection was cut off");
            }
            _ => continue,
        };
        return format!("{server}: {words} The address is {}", place.cluster("server"));
    }
    if links
        .iter()
        .any(|link| link.to_string().contains("error reading a body from connection"))
    {
        return format!("{server}: the connection was cut off");
    }
    let mut words: Vec<String> = Vec::new();
    for text in links.iter().map(ToString::to_string) {
        // Many libraries repeat the cause in their own text.
        if !words.iter().any(|said| said.contains(&text)) {
            words.push(text);
        }
    }
    format!("{server}: {}", words.join(": "))
}

fn tls_words(error: &rustls::Error, place: &Place) -> String {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer | Bad::BadSignature => format!(
                "its certificate is not signed by the CA we were given{FIX}{}",
                place.cluster("certificate-authority")
            ),
            Bad::Expired | Bad::ExpiredContext { .. } => {
                "its certificate has expired; renew the API server's certificate, or correct this machine's clock".to_owned()
            }
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                "its certificate is not valid yet; check this machine's clock".to_owned()
            }
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => format!(
                "its certificate is for another name ({error}){FIX}the host in {}, or set tls-server-name there",
                place.cluster("server")
            ),
            other => format!("its certificate is not acceptable ({other})"),
        },
        rustls::Error::InvalidMessage(_) => {
            format!("it does not speak TLS{FIX}{} (is the port right? is it http://?)", place.cluster("server"))
        }
        other => format!("TLS: {other}"),
    }
}

/// An error and everything below it, outermost first. `io::Error` hides what it wraps from `source`, so it is opened.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let mut links: Vec<&'a (dyn StdError + 'static)> = Vec::new();
    let mut next = Some(error);
    while let Some(link) = next.filter(|_| links.len() < 32) {
        links.push(link);
        let wrapped = link.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => link.source(),
        };
    }
    links
}

#[cfg(test)]
mod tests;
