//! The suite's programs: what they are asked and how they are run.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::progress::Progress;
use super::report::{self, Run, Test};
use crate::binaries::Binaries;
use crate::cluster::Cluster;

/// ginkgo gives up after this; without it after an hour.
const LIMIT: &str = "6h";
/// A run that goes on is mentioned this often.
const REMIND: Duration = Duration::from_secs(60);

/// Which tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// ginkgo's label query.
    pub(super) labels: String,
    /// Regular expression their names match.
    pub(super) focus: Option<String>,
}

impl std::fmt::Display for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.labels)?;
        self.focus
            .as_ref()
            .map_or(Ok(()), |focus| write!(f, " matching {focus}"))
    }
}

/// The suite and where its output goes.
pub(super) struct Suite {
    e2e: PathBuf,
    ginkgo: PathBuf,
    kubectl: PathBuf,
    dir: PathBuf,
}

impl Suite {
    /// `dir` is emptied: it holds the output of one run.
    pub(super) fn new(binaries: &Binaries, dir: &Path) -> Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("empty {}", dir.display()))?;
        }
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        Ok(Self {
            e2e: binaries.path("e2e.test")?.to_owned(),
            ginkgo: binaries.path("ginkgo")?.to_owned(),
            kubectl: binaries.path("kubectl")?.to_owned(),
            dir: dir.to_owned(),
        })
    }

    /// `v1.36.3`.
    pub(super) fn version(&self) -> Result<String> {
        Ok(self.ask(&["--version"])?.trim().to_owned())
    }

    /// Names of all images the suite's tests may ask for.
    pub(super) fn images(&self) -> Result<Vec<String>> {
        let text = self.ask(&["--list-images"])?;
        Ok(text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// The tests of a selection.
    pub(super) fn list(&self, selection: &Selection) -> Result<Vec<Test>> {
        let file = self.dir.join("selected.json");
        let mut args = vec![
            "--provider=skeleton".to_owned(),
            "--kubeconfig=/dev/null".to_owned(),
            "--ginkgo.dry-run".to_owned(),
            "--ginkgo.silence-skips".to_owned(),
            format!("--ginkgo.json-report={}", file.display()),
            format!("--ginkgo.label-filter={}", selection.labels),
        ];
        args.extend(
            selection
                .focus
                .iter()
                .map(|focus| format!("--ginkgo.focus={focus}")),
        );
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.ask(&args)?;
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        fs::remove_file(&file)?;
        report::selected(&text).with_context(|| format!("understand {}", file.display()))
    }

    fn ask(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.e2e);
        let output = command
            .args(args)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .output()
            .context("start e2e.test")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let tail: Vec<&str> = said.lines().rev().take(5).collect();
            bail!(
                "e2e.test {}: {}: {} {}",
                args.join(" "),
                output.status,
                tail.into_iter().rev().collect::<Vec<_>>().join("\n"),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(said)
    }

    /// Runs the selected `total` tests on the cluster, `procs` at once and those that must be alone after the others.
    /// Output is left in the directory as `<name>.log`, `<name>.json` and `<name>.xml` (JUnit).
    pub(super) fn run(
        &self,
        cluster: &Cluster,
        name: &str,
        selection: &Selection,
        total: usize,
        procs: usize,
    ) -> Result<Run> {
        let control = cluster.control();
        let kubeconfig = cluster.dir().join("conformance.kubeconfig");
        fs::write(&kubeconfig, control.pki().kubeconfig("admin", &control.server())?)?;
        let mut command = Command::new(&self.ginkgo);
        command.args([
            &format!("--procs={procs}"),
            &format!("--timeout={LIMIT}"),
            "--no-color",
            "--silence-skips",
            "--force-newlines",
            &format!("--label-filter={}", selection.labels),
            &format!("--output-dir={}", self.dir.display()),
            &format!("--json-report={name}.json"),
            &format!("--junit-report={name}.xml"),
        ]);
        command.args(selection.focus.iter().map(|focus| format!("--focus={focus}")));
        command.arg(&self.e2e).arg("--").args([
            "--provider=skeleton",
            &format!("--num-nodes={}", cluster.nodes().len()),
            &format!("--kubeconfig={}", kubeconfig.display()),
            &format!("--kubectl-path={}", self.kubectl.display()),
            "--disable-log-dump",
        ]);
        // kubectl caches what the server offers below the home directory; that must not be the user's.
        command.env("HOME", cluster.dir());
        let log = self.dir.join(format!("{name}.log"));
        let process = control.machine().spawn(&mut command, &log)?;
        let mut watch = Watch::new(&log, total)?;
        while process.is_running() {
            std::thread::sleep(Duration::from_millis(500));
            watch.look()?;
            if let Err(error) = cluster.check_alive() {
                // Interrupted it still writes its reports; every test that is left would wait for minutes and fail.
                process.signal(Signal::SIGINT)?;
                process.wait(Duration::from_secs(120));
                watch.look()?;
                println!("stopped: {error:#}");
                break;
            }
        }
        let json = self.dir.join(format!("{name}.json"));
        let text = fs::read_to_string(&json).with_context(|| {
            format!(
                "no report of the run; its last words:\n{}",
                process.last_words(15)
            )
        })?;
        report::run(&text).with_context(|| format!("understand {}", json.display()))
    }
}

/// Follows a run's log and tells how far it is.
struct Watch {
    log: File,
    progress: Progress,
    total: usize,
    begin: Instant,
    told: Instant,
}

impl Watch {
    fn new(log: &Path, total: usize) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            log: File::open(log).with_context(|| format!("open {}", log.display()))?,
            progress: Progress::default(),
            total,
            begin: now,
            told: now,
        })
    }

    fn look(&mut self) -> Result<()> {
        let mut piece = Vec::new();
        self.log.read_to_end(&mut piece).context("read the run's log")?;
        for name in self.progress.feed(&piece) {
            println!("{}  failed: {name}", self.at());
        }
        if self.told.elapsed() > REMIND {
            self.told = Instant::now();
            println!("{}", self.at());
        }
        Ok(())
    }

    fn at(&self) -> String {
        let seconds = self.begin.elapsed().as_secs();
        format!(
            "{:3}m{:02}s  {}/{} done, {} failed",
            seconds / 60,
            seconds % 60,
            self.progress.done,
            self.total,
            self.progress.failed
        )
    }
}
