//! Builds components with Go.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::table::{Recipe, Source};
use super::{BuildStep, stamp};
use crate::dirs;

/// The oldest Go that builds all of them.
const GO: (u32, u32) = (1, 26);

/// How often a build that goes on is mentioned again.
const REMIND: Duration = Duration::from_secs(60);

const STRIP: &str = "-s -w";

/// Builds the recipes into `bin`, one after the other: Go itself uses all cores.
pub(super) fn all(recipes: &[&Recipe], bin: &Path, progress: &mut dyn FnMut(BuildStep)) -> Result<()> {
    if recipes.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = recipes.iter().map(|recipe| recipe.name.to_owned()).collect();
    require_go(&names)?;
    let start = Instant::now();
    for (index, recipe) in recipes.iter().enumerate() {
        let name = format!("{} {}", recipe.name, recipe.version);
        let mut tell = || {
            let left = names[index + 1..].to_vec();
            progress(BuildStep {
                name: name.clone(),
                number: index + 1,
                left,
                elapsed: start.elapsed(),
            });
        };
        let built = std::thread::scope(|scope| {
            let build = scope.spawn(|| one(recipe, bin));
            let mut told = None::<Instant>;
            while !build.is_finished() {
                // The first takes minutes: whoever waits sees that it goes on.
                if told.is_none_or(|at| at.elapsed() > REMIND) {
                    tell();
                    told = Some(Instant::now());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            build
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        built.with_context(|| format!("build {name}"))?;
        fs::write(stamp(recipe, bin), recipe.stamp()).context("write the recipe's stamp")?;
    }
    Ok(())
}

fn one(recipe: &Recipe, bin: &Path) -> Result<()> {
    let target = bin.join(recipe.file());
    let dir = target.parent().context("no directory to build into")?;
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let mut go = Command::new("go");
    go.env("GOFLAGS", "-buildvcs=false").env("CGO_ENABLED", "0");
    match recipe.source {
        Source::Module { dir: module, package } => {
            go.args(["build", "-ldflags", &ldflags(module, recipe.version)]);
            in_module(go, module, package, &target)
        }
        Source::Test { dir: module, package } => {
            go.args(["test", "-c", "-ldflags", &ldflags(module, recipe.version)]);
            in_module(go, module, package, &target)
        }
        Source::Versioned {
            dir: module,
            package,
            variable,
        } => {
            let version = variable.map(|name| format!(" -X {name}={}", recipe.version));
            let flags = format!("{STRIP}{}", version.unwrap_or_default());
            go.args(["build", "-ldflags", &flags]);
            in_module(go, module, package, &target)
        }
        Source::Install {
            package,
            version,
            cgo,
        } => {
            go.current_dir("/")
                .env("GOBIN", dir)
                .args(["install", "-trimpath", "-ldflags", STRIP]);
            if cgo {
                go.env("CGO_ENABLED", "1").args(["-tags", "seccomp"]);
            }
            go.arg(format!("{package}@{version}"));
            finish(&mut go)
        }
    }
}

/// Runs a build in one of our modules; to a name of its own first: an interrupted one must not look finished.
fn in_module(mut go: Command, module: &str, package: &str, target: &Path) -> Result<()> {
    let part = target.with_extension("part");
    go.current_dir(dirs::source_dir().join("go").join(module));
    go.args(["-trimpath", "-o"]).arg(&part).arg(package);
    finish(&mut go)?;
    fs::rename(&part, target).with_context(|| format!("move the binary to {}", target.display()))
}

fn finish(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().context("start go")?;
    if !output.status.success() {
        bail!(
            "{}: {}",
            crate::ns::describe(command),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// Kubernetes' components do not know their version unless the linker tells them.
fn ldflags(module: &str, version: &str) -> String {
    if module != "kubernetes" {
        return STRIP.to_owned();
    }
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
    let package = "k8s.io/component-base/version";
    format!(
        "{STRIP} -X {package}.gitVersion=v{version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor} \
         -X {package}.gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion=v{version}"
    )
}

fn require_go(names: &[String]) -> Result<()> {
    let (major, minor) = GO;
    let how = format!(
        "Go {major}.{minor} or newer is needed to build {}: get it from https://go.dev/dl/ (Debian: package golang-go, \
         where it is that new), or point RUSTLET_LAB_BIN at a directory with these binaries",
        names.join(" ")
    );
    let Ok(output) = Command::new("go").arg("version").current_dir("/").output() else {
        bail!("{how}")
    };
    let text = String::from_utf8_lossy(&output.stdout);
    match go_version(&text) {
        Some(version) if version >= GO => Ok(()),
        // Since 1.21 go fetches the toolchain a module asks for, unless it is told not to.
        Some(version) if version >= (1, 21) && may_fetch_toolchain() => Ok(()),
        _ => bail!("{how}; here is: {}", text.trim()),
    }
}

fn may_fetch_toolchain() -> bool {
    let output = Command::new("go")
        .args(["env", "GOTOOLCHAIN"])
        .current_dir("/")
        .output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == "auto")
}

/// `(1, 26)` from `go version go1.26.8 linux/amd64`.
fn go_version(text: &str) -> Option<(u32, u32)> {
    let word = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("go").filter(|rest| rest.contains('.')))?;
    let mut parts = word.split('.');
    let minor = |part: &str| {
        part.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .ok()
    };
    Some((parts.next()?.parse().ok()?, minor(parts.next()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions() {
        assert_eq!(go_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(go_version("go version go1.27rc1 linux/amd64"), Some((1, 27)));
        assert_eq!(go_version(""), None);
    }

    #[test]
    fn kubernetes_is_told_its_version() {
        assert!(ldflags("kubernetes", "1.36.3").contains("version.gitMinor=36 "));
        assert_eq!(ldflags("etcd", "3.7.3"), "-s -w");
    }
}
