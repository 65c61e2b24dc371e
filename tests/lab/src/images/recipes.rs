//! What is in each layer and image.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::layer::{Blob, cached};
use super::{
    BUSYBOX, COREDNS, ECHO, FRONTEND, Image, PATH, PAUSE, PYTHON, Progress, REDIS, debian, find_program,
};

const PAUSE_SOURCE: &str = include_str!("../../images/pause.c");
const ECHO_SOURCE: &str = include_str!("../../images/echo.rs");
const FRONTEND_SOURCE: &str = include_str!("../../images/frontend.py");

/// Raise to build every layer again.
const EDITION: &str = "1";

/// Every layer, built or found.
pub(super) struct Layers {
    pause: Blob,
    busybox: Blob,
    echo: Blob,
    coredns: Blob,
    debian: Blob,
    frontend: Blob,
}

/// Builds what is missing; the slow Debian base beside the others.
pub(super) fn layers(dir: &Path, coredns: &Path, progress: Progress<'_>) -> Result<Layers> {
    std::thread::scope(|scope| {
        let debian = scope.spawn(|| debian_base(dir, progress));
        let pause = pause(dir)?;
        let busybox = busybox(dir)?;
        let echo = echo(dir)?;
        let frontend = cached(dir, "frontend", &recipe(&[FRONTEND_SOURCE]), |layer| {
            layer.dir("app", 0o755)?;
            layer.file("app/frontend.py", 0o755, FRONTEND_SOURCE.as_bytes())
        })?;
        let coredns = coredns_layer(dir, coredns)?;
        let debian = debian
            .join()
            .map_err(|_| anyhow::anyhow!("building the Debian base panicked"))??;
        Ok(Layers {
            pause,
            busybox,
            echo,
            coredns,
            debian,
            frontend,
        })
    })
}

/// The images over those layers.
pub(super) fn images(layers: &Layers) -> Result<Vec<Image>> {
    let Layers {
        pause,
        busybox,
        echo,
        coredns,
        debian,
        frontend,
    } = layers;
    let one = |layer: &Blob| vec![layer.clone()];
    Ok(vec![
        Image::new(
            PAUSE,
            one(pause),
            &json!({"Entrypoint": ["/pause"], "User": "65535:65535"}),
        )?,
        Image::new(BUSYBOX, one(busybox), &json!({"Cmd": ["sh"], "Env": [PATH]}))?,
        Image::new(
            ECHO,
            one(echo),
            &json!({"Entrypoint": ["/echo"], "ExposedPorts": {"8000/tcp": {}}}),
        )?,
        Image::new(PYTHON, one(debian), &json!({"Cmd": ["python3"], "Env": [PATH]}))?,
        Image::new(
            REDIS,
            one(debian),
            &json!({
                "Entrypoint": ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""],
                "Env": [PATH],
                "ExposedPorts": {"6379/tcp": {}},
                "WorkingDir": "/tmp",
            }),
        )?,
        Image::new(
            FRONTEND,
            vec![debian.clone(), frontend.clone()],
            &json!({
                "Entrypoint": ["python3", "/app/frontend.py"],
                "Env": [PATH],
                "ExposedPorts": {"8000/tcp": {}},
                "WorkingDir": "/app",
            }),
        )?,
        Image::new(
            COREDNS,
            one(coredns),
            &json!({"Entrypoint": ["/coredns"], "ExposedPorts": {"53/tcp": {}, "53/udp": {}}, "WorkingDir": "/"}),
        )?,
    ])
}

pub(super) fn recipe(parts: &[&str]) -> String {
    format!("{EDITION}\n{}", parts.join("\n"))
}

pub(super) fn pause(dir: &Path) -> Result<Blob> {
    cached(dir, "pause", &recipe(&[PAUSE_SOURCE]), |layer| {
        let gcc = find_program("gcc", "gcc libc6-dev")?;
        let work = tempfile::tempdir_in(dir)?;
        let (source, binary) = (work.path().join("pause.c"), work.path().join("pause"));
        std::fs::write(&source, PAUSE_SOURCE)?;
        run(Command::new(gcc)
            .args(["-Os", "-static", "-s", "-o"])
            .arg(&binary)
            .arg(&source))?;
        layer.copy("pause", 0o755, &binary)
    })
}

fn echo(dir: &Path) -> Result<Blob> {
    cached(dir, "echo", &recipe(&[ECHO_SOURCE]), |layer| {
        let rustc = std::env::var_os("RUSTC")
            .map_or_else(|| find_program("rustc", "rustc"), |path| Ok(path.into()))?;
        let work = tempfile::tempdir_in(dir)?;
        let (source, binary) = (work.path().join("echo.rs"), work.path().join("echo"));
        std::fs::write(&source, ECHO_SOURCE)?;
        let mut command = Command::new(rustc);
        command.args([
            "--edition",
            "2024",
            "-O",
            "-C",
            "strip=symbols",
            "-C",
            "panic=abort",
        ]);
        command
            .args(["-C", "target-feature=+crt-static", "-o"])
            .arg(&binary)
            .arg(&source);
        run(&mut command)?;
        layer.copy("echo", 0o755, &binary)
    })
}

pub(super) fn busybox(dir: &Path) -> Result<Blob> {
    let program = find_program("busybox", "busybox-static")?;
    cached(dir, "busybox", &recipe(&[&file_stamp(&program)?]), |layer| {
        let applets = run(Command::new(&program).arg("--list"))?;
        for (path, mode) in [
            ("bin", 0o755),
            ("etc", 0o755),
            ("root", 0o700),
            ("tmp", 0o1777),
            ("var", 0o755),
        ] {
            layer.dir(path, mode)?;
        }
        layer.copy("bin/busybox", 0o755, &program)?;
        for applet in applets.lines().filter(|name| *name != "busybox") {
            layer.symlink(&format!("bin/{applet}"), "busybox")?;
        }
        layer.file("etc/group", 0o644, b"root:x:0:\nnobody:x:65534:\n")?;
        layer.file(
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        )?;
        layer.symlink("sbin", "bin")?;
        layer.dir("usr", 0o755)?;
        layer.symlink("usr/bin", "../bin")?;
        layer.symlink("usr/sbin", "../bin")
    })
}

fn coredns_layer(dir: &Path, binary: &Path) -> Result<Blob> {
    cached(dir, "coredns", &recipe(&[&file_stamp(binary)?]), |layer| {
        layer.dir("etc", 0o755)?;
        layer.dir("tmp", 0o1777)?;
        layer.copy("coredns", 0o755, binary)
    })
}

pub(super) fn debian_base(dir: &Path, progress: Progress<'_>) -> Result<Blob> {
    cached(dir, "debian", &recipe(debian::PACKAGES), |layer| {
        let (_work, root) = debian::work_dir(dir)?;
        debian::bootstrap(&root, &dir.join("debootstrap.log"), progress)?;
        progress("packing the Debian base layer");
        layer.tree(&root, &debian::keep)
    })
}

/// Changes when the file was replaced.
pub(super) fn file_stamp(path: &Path) -> Result<String> {
    let found = std::fs::metadata(path).with_context(|| format!("look at {}", path.display()))?;
    Ok(format!(
        "{} bytes, modified {}.{}",
        found.len(),
        found.mtime(),
        found.mtime_nsec()
    ))
}

/// Runs a command to its end and returns what it printed.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("run {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
