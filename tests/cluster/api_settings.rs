//! Settings of the node's API that are not the defaults: each case has a machine of its own, whose agent has them.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, SigningKey};
use rustlet_lab::kube::{Seen, eventually, throughout};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::node_security::{account, token};
use crate::support::{Case, LIMIT, Lab, Third, pod, shell};

const TAINT: &str = "--register-with-taints=lab-test=api-settings:NoSchedule";

/// A third node while a test runs.
struct Visitor<'a> {
    node: Third<'a>,
}

impl<'a> Visitor<'a> {
    fn new(lab: &'a Lab, setting: &str) -> Result<Self> {
        let visitor = Self {
            node: Third::new(lab)?,
        };
        visitor.node.start_agent_with(&[TAINT, setting])?;
        let admin = Caller::admin(lab)?.at(&visitor.node);
        eventually("the node's API", LIMIT, || {
            Ok(match admin.get("/healthz") {
                Ok(200) => Seen::Yes(()),
                other => Seen::No(format!("{other:?}")),
            })
        })?;
        Ok(visitor)
    }

    /// A pod that says hello and stays; in the node's network, so that it needs no other.
    fn hello(&self, case: &Case<'_>) -> Result<Value> {
        let mut hello = pod(
            "hello",
            Some(self.node.name()),
            json!([shell("echo hello; exec sleep 3600")]),
        );
        hello["spec"]["hostNetwork"] = json!(true);
        hello["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        case.run(hello)
    }
}

/// With `tlsMinVersion: VersionTLS13` who speaks 1.2 is refused; 1.3, and so the API server, is served.
pub(crate) fn tls13_only(lab: &Lab) -> Result<()> {
    let visitor = Visitor::new(lab, "--tls-min-version=VersionTLS13")?;
    let ask = |version| {
        Caller::admin_speaking(lab, version)?
            .at(&visitor.node)
            .get("/healthz")
    };
    ensure!(ask(&TLS13)? == 200);
    match ask(&TLS12) {
        Ok(code) => bail!("TLS 1.2 is answered: {code}"),
        Err(error) => ensure!(format!("{error:#}").contains("ProtocolVersion"), "{error:#}"),
    }
    // The same caller is welcome where 1.2 is enough.
    ensure!(Caller::admin_speaking(lab, &TLS12)?.get("/healthz")? == 200);
    let case = Case::new(lab, "api-settings-tls13")?;
    visitor.hello(&case)?;
    let kubectl = |args: &[&str]| lab.cluster().kubectl(&[&["-n", &case.ns], args].concat());
    eventually("kubectl logs", LIMIT, || {
        Ok(Seen::equal(kubectl(&["logs", "hello"])?, "hello\n".to_owned()))
    })?;
    let said = kubectl(&["exec", "hello", "--", "echo", "by exec"])?;
    ensure!(said == "by exec\n", "{said}");
    Ok(())
}

/// With `--cloud-provider=external` the Node waits for a cloud's controller, tells it the address the operator has chosen,
/// and leaves alone what that controller says of addresses.
pub(crate) fn external_cloud(lab: &Lab) -> Result<()> {
    let visitor = Visitor::new(lab, "--cloud-provider=external")?;
    let path = format!("/api/v1/nodes/{}", visitor.node.name());
    let node = eventually("the node", LIMIT, || {
        Ok(match lab.kube.find(&path)? {
            Some(node) => Seen::Yes(node),
            None => Seen::No("not found".to_owned()),
        })
    })?;
    let wanted = json!({
        "key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule",
    });
    let taints = node["spec"]["taints"].as_array().context("taints")?;
    ensure!(taints.contains(&wanted), "{taints:?}");
    let told = &node["metadata"]["annotations"]["alpha.kubernetes.io/provided-node-ip"];
    let own = node["status"]["addresses"][0]["address"].clone();
    ensure!(!own.is_null() && *told == own, "{told}, not {own}");
    let cloud =
        json!([{"type": "InternalDNS", "address": "n3.example"}, {"type": "InternalIP", "address": own}]);
    lab.kube.merge(
        &format!("{path}/status"),
        &json!({"status": {"addresses": cloud}}),
    )?;
    // A status written since then: an operator's condition goes, ours come.
    lab.kube
        .merge(&format!("{path}/status"), &json!({"status": {"conditions": []}}))?;
    let seen = eventually("another status", LIMIT, || {
        let node = lab.kube.get(&path)?;
        Ok(match node["status"]["conditions"].as_array() {
            Some(all) if !all.is_empty() => Seen::Yes(node),
            _ => Seen::No("no conditions".to_owned()),
        })
    })?;
    ensure!(
        seen["status"]["addresses"] == cloud,
        "{}",
        seen["status"]["addresses"]
    );
    Ok(())
}

/// Method, path, code and, if it matters, text for an administrator while `enableDebuggingHandlers` is off.
const SWITCHED_OFF: &[(&str, &str, u16, Option<&str>)] = &[
    ("GET", "/healthz", 200, Some("ok")),
    ("GET", "/pods", 200, None),
    ("GET", "/metrics", 200, None),
    ("GET", "/metrics/resource", 200, None),
    ("GET", "/stats/summary", 200, None),
    ("GET", "/containerLogs/a/b/c", 405, Some(OFF)),
    ("GET", "/exec/a/b/c", 405, Some(OFF)),
    ("POST", "/exec/a/b/c", 405, Some(OFF)),
    ("PUT", "/exec/a/b/c", 405, Some(OFF)),
    ("POST", "/attach/a/b/c", 405, Some(OFF)),
    ("POST", "/portForward/a/b", 405, Some(OFF)),
    ("POST", "/run/a/b/c", 405, Some(OFF)),
    ("GET", "/runningpods/", 405, Some(OFF)),
    ("GET", "/logs/", 405, Some(OFF)),
    ("GET", "/debug/pprof/", 405, Some(OFF)),
    ("GET", "/debug/pprof/heap", 405, Some(OFF)),
    ("GET", "/configz", 404, None),
    ("GET", "/statusz", 404, None),
    ("GET", "/flagz", 404, None),
    ("POST", "/checkpoint/a/b/c", 404, None),
];

const OFF: &str = "Debug endpoints are disabled.\n";

/// `enableDebuggingHandlers: false`: no way into containers and to their logs, for anybody; the rest is served.
pub(crate) fn debugging_handlers_off(lab: &Lab) -> Result<()> {
    let visitor = Visitor::new(lab, "--enable-debugging-handlers=false")?;
    let admin = Caller::admin(lab)?.at(&visitor.node);
    let nobody = Caller::new(lab, None)?.at(&visitor.node);
    let mut wrong = Vec::new();
    for (method, path, code, text) in SWITCHED_OFF {
        let answer = admin.fetch(method, path, "")?;
        let (got, said) = (answer.code, answer.body);
        if got != *code || text.is_some_and(|text| said != text) {
            wrong.push(format!("{method} {path}: {got} {said:.80?}, not {code} {text:?}"));
        }
        let got = nobody.ask(method, path, "")?;
        // Upstream's mux says to strangers what there is not.
        if got != 401 && !(lab.upstream && got == 404 && *code == 404) {
            wrong.push(format!("{method} {path} as nobody: {got}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let case = Case::new(lab, "api-settings-off")?;
    visitor.hello(&case)?;
    // Of logs the API server passes on the code, of exec the node's own words.
    let refused: [(&[&str], &str); 2] = [
        (
            &["logs", "hello"],
            "does not allow this method on the requested resource",
        ),
        (&["exec", "hello", "--", "true"], OFF.trim_end()),
    ];
    for (args, words) in refused {
        match lab.cluster().kubectl(&[&["-n", &case.ns], args].concat()) {
            Ok(said) => bail!("kubectl {args:?} works: {said}"),
            Err(error) => {
                let text = format!("{error:#}");
                ensure!(text.contains(words), "{args:?}: {text}");
            }
        }
    }
    Ok(())
}

/// A token that is revoked or expires stops working once `authentication.webhook.cacheTTL` is over; others go on.
pub(crate) fn tokens_end(lab: &Lab) -> Result<()> {
    let visitor = Visitor::new(lab, "--authentication-token-webhook-cache-ttl=2s")?;
    let case = Case::new(lab, "api-settings-tokens")?;
    let caller = |token: &str| Ok::<_, anyhow::Error>(Caller::with_token(lab, token)?.at(&visitor.node));
    let valid = caller(&account(&case, "valid", &["nodes/healthz"], &["get"])?)?;
    answers(&valid, "a valid token", 200)?;
    for (what, token, path) in revocable(&case)? {
        let caller = caller(&token)?;
        answers(&caller, what, 200)?;
        lab.kube.delete(&format!("{path}?gracePeriodSeconds=0"))?;
        answers(&caller, what, 401)?;
        ensure!(valid.get("/healthz")? == 200, "the valid token ended with {what}");
    }
    let end = jiff::Timestamp::now().as_second() + 25;
    let short = caller(&ending(&case, "valid", end)?)?;
    throughout("the token works until its end", Duration::from_secs(25), || {
        let code = short.get("/healthz")?;
        // Judged by the clock after it: an answer of before the end must be a good one.
        Ok(if jiff::Timestamp::now().as_second() >= end {
            Seen::Yes(())
        } else {
            Seen::equal(code, 200)
        })
    })?;
    answers(&short, "an expired token", 401)?;
    ensure!(valid.get("/healthz")? == 200, "the valid token has expired too");
    Ok(())
}

/// Waits for this answer. The API server keeps its own answers for some seconds as well.
fn answers(caller: &Caller<'_>, what: &str, code: u16) -> Result<()> {
    eventually(&format!("{what}: {code}"), LIMIT, || {
        Ok(Seen::equal(caller.get("/healthz")?, code))
    })
}

/// Tokens, and the objects that revoke them when they are deleted.
fn revocable(case: &Case<'_>) -> Result<Vec<(&'static str, String, String)>> {
    let kube = &case.lab.kube;
    let mut waits = pod("bound", None, json!([shell("true")]));
    waits["spec"]["nodeSelector"] = json!({"lab-test/nowhere": "true"});
    waits["spec"]["serviceAccountName"] = json!("valid");
    case.create("pods", &waits)?;
    case.create("secrets", &json!({"metadata": {"name": "bound"}}))?;
    let bound_to = |kind: &str| {
        let bound = json!({"apiVersion": "v1", "kind": kind, "name": "bound"});
        token(case, "valid", Some(bound))
    };
    let legacy = json!({
        "metadata": {"name": "legacy", "annotations": {"kubernetes.io/service-account.name": "valid"}},
        "type": "kubernetes.io/service-account-token",
    });
    case.create("secrets", &legacy)?;
    let legacy = eventually("the token of a secret", LIMIT, || {
        let secret = kube.get(&case.path("secrets", "legacy"))?;
        let token = secret["data"]["token"].as_str().unwrap_or_default();
        let token = base64::engine::general_purpose::STANDARD.decode(token)?;
        Ok(if token.is_empty() {
            Seen::No("no token yet".to_owned())
        } else {
            Seen::Yes(String::from_utf8(token)?)
        })
    })?;
    Ok(vec![
        (
            "a token of a pod that is gone",
            bound_to("Pod")?,
            case.path("pods", "bound"),
        ),
        (
            "a token of a secret that is gone",
            bound_to("Secret")?,
            case.path("secrets", "bound"),
        ),
        ("a secret's own token", legacy, case.path("secrets", "legacy")),
        (
            "a token of an account that is gone",
            account(case, "gone", &["nodes/healthz"], &["get"])?,
            case.path("serviceaccounts", "gone"),
        ),
    ])
}

/// A token that ends then: the API server gives none for less than ten minutes, so it is signed here with its key.
fn ending(case: &Case<'_>, account: &str, end: i64) -> Result<String> {
    let given = token(case, account, None)?;
    let (head, rest) = given.split_once('.').context("a token has three parts")?;
    let (claims, _) = rest.split_once('.').context("a token has three parts")?;
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    claims["exp"] = json!(end);
    let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = std::fs::read_to_string(case.lab.cluster().control().pki().path("sa.key"))?;
    let signature = raw_signature(&KeyPair::from_pem(&key)?.sign(text.as_bytes())?)?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The two numbers of an ECDSA signature by P-256, side by side as JWS wants them, from their DER.
fn raw_signature(der: &[u8]) -> Result<Vec<u8>> {
    let mut rest = der.get(2..).context("a sequence")?;
    let mut raw = Vec::new();
    for _ in 0..2 {
        let length = usize::from(*rest.get(1).context("a number")?);
        let number = rest.get(2..2 + length).context("a whole number")?;
        rest = &rest[2 + length..];
        let digits = &number[number.len().saturating_sub(32)..];
        raw.extend(std::iter::repeat_n(0, 32 - digits.len()).chain(digits.iter().copied()));
    }
    Ok(raw)
}
