//! The images of upstream's conformance suite, under the names `e2e.test --list-images` prints.
//!
//! agnhost, etcd and sample-apiserver are the real programs; the others are small stand-ins for public images: Debian
//! where a glibc system is wanted, busybox where a shell is, busybox's httpd for nginx.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::layer::{Blob, cached};
use super::recipes::{self, file_stamp, recipe, run};
use super::{Image, ImageSet, PATH, Progress, find_program};
use crate::binaries::Binaries;
use crate::dirs;

const SH_SOURCE: &str = include_str!("../../images/sh.c");
const NNP_SOURCE: &str = include_str!("../../images/nnp.c");

/// Where Debian's bash-static is.
const BASH: &str = "/bin/bash-static";

/// The names of the images made here.
pub const MADE: &[&str] = &[
    AGNHOST,
    AGNHOST_BEFORE,
    BUSYBOX,
    BUSYBOX_BEFORE,
    ETCD,
    GLIBC,
    IPC_UTILS,
    KITTEN,
    NAUTILUS,
    NGINX,
    NGINX_BEFORE,
    NONEWPRIVS,
    NONROOT,
    PAUSE,
    SAMPLE_APISERVER,
];

const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.63.0";
const AGNHOST_BEFORE: &str = "registry.k8s.io/e2e-test-images/agnhost:2.55";
const BUSYBOX: &str = "registry.k8s.io/e2e-test-images/busybox:1.37.0-1";
const BUSYBOX_BEFORE: &str = "registry.k8s.io/e2e-test-images/busybox:1.36.1-1";
const ETCD: &str = "registry.k8s.io/etcd:3.6.8-0";
const GLIBC: &str = "registry.k8s.io/e2e-test-images/glibc-dns-testing:2.0.0";
const IPC_UTILS: &str = "registry.k8s.io/e2e-test-images/ipc-utils:1.4";
const KITTEN: &str = "registry.k8s.io/e2e-test-images/kitten:1.8";
const NAUTILUS: &str = "registry.k8s.io/e2e-test-images/nautilus:1.8";
const NGINX: &str = "registry.k8s.io/e2e-test-images/nginx:1.27-0";
const NGINX_BEFORE: &str = "registry.k8s.io/e2e-test-images/nginx:1.15-4";
const NONEWPRIVS: &str = "registry.k8s.io/e2e-test-images/nonewprivs:1.4";
const NONROOT: &str = "registry.k8s.io/e2e-test-images/nonroot:1.5";
const PAUSE: &str = "registry.k8s.io/pause:3.10.2";
const SAMPLE_APISERVER: &str = "registry.k8s.io/e2e-test-images/sample-apiserver:1.29.2";

/// Builds what is missing below `lab_dir/images`; see [`super::ensure`].
pub fn ensure(lab_dir: &Path, binaries: &Binaries, progress: Progress<'_>) -> Result<ImageSet> {
    let dir = lab_dir.join("images");
    std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let _lock = dirs::lock(&dir.join(".lock"))?;
    let debian = recipes::debian_base(&dir, progress)?;
    let busybox = recipes::busybox(&dir)?;
    progress("making the suite's images");
    let shell = shell(&dir)?;
    let agnhost = agnhost(&dir, binaries.path("agnhost")?)?;
    let program = |name: &str, target: &'static str| program(&dir, name, target, binaries.path(name)?);
    let (etcd, sample) = (
        program("etcd", "usr/local/bin/etcd")?,
        program("sample-apiserver", "sample-apiserver")?,
    );
    let image = |name, layers: &[&Blob], run: &Value| {
        Image::new(name, layers.iter().map(|&layer| layer.clone()).collect(), run)
    };
    let serve = |edition: &str| json!({"Entrypoint": ["/agnhost"], "Cmd": ["pause"], "Env": [PATH], "Labels": {"edition": edition}});
    let pet = |name: &str| pet(&dir, name);
    let web = json!({"Cmd": ["httpd", "-f", "-v", "-p", "80", "-h", "/usr/share/nginx/html"], "Env": [PATH]});
    let test_webserver = json!({"Entrypoint": ["/agnhost"], "Cmd": ["test-webserver"], "Env": [PATH]});
    let nginx = site(&dir)?;
    let command = |word: &str| json!({"Cmd": [word], "Env": [PATH]});
    let images = vec![
        image(AGNHOST, &[&debian, &agnhost], &serve("now"))?,
        // Tests that replace an image want another one, not another program.
        image(AGNHOST_BEFORE, &[&debian, &agnhost], &serve("before"))?,
        image(BUSYBOX, &[&busybox, &shell], &command("sh"))?,
        image(BUSYBOX_BEFORE, &[&busybox, &shell], &command("sh"))?,
        image(ETCD, &[&busybox, &etcd], &command("etcd"))?,
        image(GLIBC, &[&debian], &command("bash"))?,
        image(IPC_UTILS, &[&debian], &command("sh"))?,
        image(KITTEN, &[&debian, &agnhost, &pet("kitten")?], &test_webserver)?,
        image(NAUTILUS, &[&debian, &agnhost, &pet("nautilus")?], &test_webserver)?,
        image(NGINX, &[&busybox, &shell, &nginx], &web)?,
        image(NGINX_BEFORE, &[&busybox, &shell, &nginx], &web)?,
        image(NONEWPRIVS, &[&busybox, &nnp(&dir)?], &command("nnp"))?,
        image(
            NONROOT,
            &[&debian],
            &json!({"User": "1234", "Cmd": ["bash"], "Env": [PATH]}),
        )?,
        image(
            PAUSE,
            &[&recipes::pause(&dir)?],
            &json!({"Entrypoint": ["/pause"], "User": "65535:65535"}),
        )?,
        image(
            SAMPLE_APISERVER,
            &[&busybox, &sample],
            &json!({"Entrypoint": ["/sample-apiserver"], "Env": [PATH]}),
        )?,
    ];
    Ok(ImageSet { images })
}

/// agnhost with what its image has around it: a second name, the porter's certificate, a user with a group.
fn agnhost(dir: &Path, binary: &Path) -> Result<Blob> {
    cached(dir, "agnhost", &recipe(&["1", &file_stamp(binary)?]), |layer| {
        layer.copy("agnhost", 0o755, binary)?;
        layer.symlink("agnhost-2", "agnhost")?;
        layer.dir("uploads", 0o755)?;
        let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned);
        let pair = rcgen::generate_simple_self_signed(names).context("make agnhost's certificate")?;
        layer.file("localhost.crt", 0o644, pair.cert.pem().as_bytes())?;
        layer.file(
            "localhost.key",
            0o644,
            pair.signing_key.serialize_pem().as_bytes(),
        )?;
        layer.file("etc/passwd", 0o644, PASSWD.as_bytes())?;
        layer.file("etc/group", 0o644, GROUP.as_bytes())
    })
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                      daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
                      user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/bash\n";
const GROUP: &str = "root:x:0:\n\
                     daemon:x:1:\n\
                     nogroup:x:65534:\n\
                     user-defined-in-image:x:1000:\n\
                     group-defined-in-image:x:50000:user-defined-in-image\n";

/// One static program at `target`.
fn program(dir: &Path, name: &str, target: &str, binary: &Path) -> Result<Blob> {
    cached(dir, name, &recipe(&[target, &file_stamp(binary)?]), |layer| {
        layer.copy(target, 0o755, binary)
    })
}

/// What the update demo asks its pods for, and what the image volume's test looks for: upstream's image is an Alpine
/// with this file.
fn pet(dir: &Path, name: &str) -> Result<Blob> {
    let data = format!("{{\"image\": \"{name}.jpg\"}}\n");
    let base = "NAME=\"Alpine Linux\"\nID=alpine\n";
    cached(dir, name, &recipe(&[&data, base]), |layer| {
        layer.file("data.json", 0o644, data.as_bytes())?;
        layer.file("etc/os-release", 0o644, base.as_bytes())
    })
}

/// What the web server serves.
fn site(dir: &Path) -> Result<Blob> {
    let page = "<html><body><h1>Welcome to nginx!</h1></body></html>\n";
    cached(dir, "nginx", &recipe(&[page]), |layer| {
        layer.dir("usr/share/nginx/html", 0o755)?;
        layer.file("usr/share/nginx/html/index.html", 0o644, page.as_bytes())
    })
}

fn shell(dir: &Path) -> Result<Blob> {
    let bash = Path::new(BASH);
    cached(dir, "sh", &recipe(&[SH_SOURCE, &file_stamp(bash)?]), |layer| {
        layer.copy("bin/bash", 0o755, bash)?;
        compiled(dir, SH_SOURCE, |binary| layer.copy("bin/sh", 0o755, binary))
    })
}

fn nnp(dir: &Path) -> Result<Blob> {
    cached(dir, "nnp", &recipe(&[NNP_SOURCE]), |layer| {
        compiled(dir, NNP_SOURCE, |binary| {
            layer.copy("usr/local/bin/nnp", 0o4755, binary)
        })
    })
}

/// Compiles a C program statically and hands it over.
fn compiled(dir: &Path, source: &str, take: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let gcc = find_program("gcc", "gcc libc6-dev")?;
    let work = tempfile::tempdir_in(dir)?;
    let (file, binary) = (work.path().join("main.c"), work.path().join("main"));
    std::fs::write(&file, source)?;
    run(Command::new(gcc)
        .args(["-Os", "-static", "-s", "-o"])
        .arg(&binary)
        .arg(&file))?;
    take(&binary)
}
