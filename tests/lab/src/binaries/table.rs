//! The table of components.

use super::Group;

/// Where a Go program comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// `go build PACKAGE` in our module `go/<dir>` (those whose own go.mod has replacements).
    Module {
        /// Directory below `go/`.
        dir: &'static str,
        /// Package path.
        package: &'static str,
    },
    /// `go install PACKAGE@VERSION`.
    Install {
        /// Package path.
        package: &'static str,
        /// Module version.
        version: &'static str,
        /// With C code and seccomp, as runc needs it.
        cgo: bool,
    },
    /// `go test -c PACKAGE` in our module `go/<dir>`.
    Test {
        /// Directory below `go/`.
        dir: &'static str,
        /// Package path.
        package: &'static str,
    },
    /// `go build PACKAGE` in our module `go/<dir>`, for programs with a version of their own.
    Versioned {
        /// Directory below `go/`.
        dir: &'static str,
        /// Package path.
        package: &'static str,
        /// The variable the linker writes the version to, when the program does not know it otherwise.
        variable: Option<&'static str>,
    },
}

/// One binary.
#[derive(Debug)]
pub(super) struct Recipe {
    /// Its name.
    pub(super) name: &'static str,
    /// The version that is built.
    pub(super) version: &'static str,
    /// How it is asked for its version.
    pub(super) version_args: &'static [&'static str],
    /// The oldest version that fits, and how many numbers of it must be equal.
    pub(super) fits: (&'static str, usize),
    /// How it is built.
    pub(super) source: Source,
    /// What it is needed for.
    pub(super) group: Group,
    /// Directory below the binaries' directory.
    pub(super) subdir: &'static str,
}

pub(super) const KUBERNETES: &str = "1.36.3";
const CONTAINERD: &str = "2.4.2";
const PLUGINS: &str = "1.9.1";

const fn kubernetes(
    name: &'static str,
    package: &'static str,
    args: &'static [&'static str],
    group: Group,
) -> Recipe {
    let source = Source::Module {
        dir: "kubernetes",
        package,
    };
    Recipe {
        name,
        version: KUBERNETES,
        version_args: args,
        fits: ("1.36.0", 2),
        source,
        group,
        subdir: "",
    }
}

const fn containerd(name: &'static str, package: &'static str, args: &'static [&'static str]) -> Recipe {
    let source = Source::Install {
        package,
        version: "v2.4.2",
        cgo: false,
    };
    Recipe {
        name,
        version: CONTAINERD,
        version_args: args,
        fits: ("2.0.0", 1),
        source,
        group: Group::Base,
        subdir: "",
    }
}

const fn plugin(name: &'static str, package: &'static str) -> Recipe {
    let source = Source::Install {
        package,
        version: "v1.9.1",
        cgo: false,
    };
    // Built with `go install` they do not know their version, so only ours are taken.
    Recipe {
        name,
        version: PLUGINS,
        version_args: &["--version"],
        fits: (PLUGINS, 3),
        source,
        group: Group::Upstream,
        subdir: "cni",
    }
}

const fn conformance(
    name: &'static str,
    version: &'static str,
    package: &'static str,
    args: &'static [&'static str],
    variable: Option<&'static str>,
) -> Recipe {
    Recipe {
        name,
        version,
        version_args: args,
        fits: (version, 3),
        source: Source::Versioned {
            dir: "kubernetes",
            package,
            variable,
        },
        group: Group::Conformance,
        subdir: "",
    }
}

/// All binaries, in the order they are built: what takes longest and fills the build cache comes first.
pub(super) const RECIPES: &[Recipe] = &[
    kubernetes(
        "kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        &["--version"],
        Group::Base,
    ),
    kubernetes(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        &["--version"],
        Group::Base,
    ),
    kubernetes(
        "kube-scheduler",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        &["--version"],
        Group::Base,
    ),
    kubernetes(
        "kubectl",
        "k8s.io/kubernetes/cmd/kubectl",
        &["version", "--client"],
        Group::Base,
    ),
    Recipe {
        name: "etcd",
        version: "3.7.3",
        version_args: &["--version"],
        fits: ("3.6.0", 1),
        source: Source::Module {
            dir: "etcd",
            package: "go.etcd.io/etcd/server/v3",
        },
        group: Group::Base,
        subdir: "",
    },
    containerd(
        "containerd",
        "github.com/containerd/containerd/v2/cmd/containerd",
        &["--version"],
    ),
    containerd(
        "containerd-shim-runc-v2",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        &["-v"],
    ),
    containerd(
        "ctr",
        "github.com/containerd/containerd/v2/cmd/ctr",
        &["--version"],
    ),
    Recipe {
        name: "runc",
        version: "1.5.2",
        version_args: &["--version"],
        fits: ("1.2.0", 1),
        source: Source::Install {
            package: "github.com/opencontainers/runc",
            version: "v1.5.2",
            cgo: true,
        },
        group: Group::Base,
        subdir: "",
    },
    Recipe {
        name: "coredns",
        version: "1.15.0",
        version_args: &["-version"],
        fits: ("1.11.0", 1),
        source: Source::Module {
            dir: "coredns",
            package: ".",
        },
        group: Group::Base,
        subdir: "",
    },
    kubernetes(
        "kubelet",
        "k8s.io/kubernetes/cmd/kubelet",
        &["--version"],
        Group::Upstream,
    ),
    kubernetes(
        "kube-proxy",
        "k8s.io/kubernetes/cmd/kube-proxy",
        &["--version"],
        Group::Upstream,
    ),
    kubernetes(
        "kubeadm",
        "k8s.io/kubernetes/cmd/kubeadm",
        &["version", "-o", "short"],
        Group::Kubeadm,
    ),
    Recipe {
        name: "metrics-server",
        version: "0.9.0",
        // Built with `go install` it calls itself v0.0.0-master; what it asks of a node has not changed for years.
        version_args: &["--version"],
        fits: ("0.0.0", 1),
        source: Source::Install {
            package: "sigs.k8s.io/metrics-server/cmd/metrics-server",
            version: "v0.9.0",
            cgo: false,
        },
        group: Group::MetricsServer,
        subdir: "",
    },
    plugin(
        "bridge",
        "github.com/containernetworking/plugins/plugins/main/bridge",
    ),
    plugin(
        "loopback",
        "github.com/containernetworking/plugins/plugins/main/loopback",
    ),
    plugin(
        "host-local",
        "github.com/containernetworking/plugins/plugins/ipam/host-local",
    ),
    plugin(
        "portmap",
        "github.com/containernetworking/plugins/plugins/meta/portmap",
    ),
    Recipe {
        source: Source::Test {
            dir: "kubernetes",
            package: "k8s.io/kubernetes/test/e2e",
        },
        // The suite must be the one its images and its results are named after.
        fits: (KUBERNETES, 3),
        ..kubernetes("e2e.test", "", &["--version"], Group::Conformance)
    },
    conformance(
        "agnhost",
        "2.63.0",
        "k8s.io/kubernetes/test/images/agnhost",
        &["--version"],
        Some("main.Version"),
    ),
    conformance(
        "ginkgo",
        "2.28.1",
        "github.com/onsi/ginkgo/v2/ginkgo",
        &["version"],
        None,
    ),
    // It does not say its version, so only ours is taken.
    conformance(
        "sample-apiserver",
        "0.36.3",
        "k8s.io/sample-apiserver",
        &["--help"],
        None,
    ),
];

impl Recipe {
    /// Path below the binaries' directory.
    pub(super) fn file(&self) -> String {
        if self.subdir.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}/{}", self.subdir, self.name)
        }
    }

    /// What identifies the build: a changed stamp means building again.
    pub(super) fn stamp(&self) -> String {
        format!("1 {} {:?}\n", self.version, self.source)
    }

    /// Whether what a binary says of its version fits.
    pub(super) fn accepts(&self, text: &str) -> bool {
        let (oldest, equal) = self.fits;
        let oldest = numbers(oldest);
        words(text).any(|version| version[..equal] == oldest[..equal] && version >= oldest)
    }
}

/// All `a.b.c` in a text, as `v1.36.3`, `2.4.2+unknown` or `CoreDNS-1.15.0`.
fn words(text: &str) -> impl Iterator<Item = [u32; 3]> + '_ {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .filter(|word| word.split('.').count() == 3)
        .map(numbers)
}

fn numbers(version: &str) -> [u32; 3] {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(name: &str) -> &'static Recipe {
        RECIPES.iter().find(|recipe| recipe.name == name).unwrap()
    }

    #[test]
    fn versions_as_the_components_print_them() {
        let cases = [
            ("kube-apiserver", "Kubernetes v1.36.3", true),
            ("kube-apiserver", "Kubernetes v1.36.9", true),
            ("kube-apiserver", "Kubernetes v1.35.4", false),
            (
                "kubectl",
                "Client Version: v1.36.3\nKustomize Version: v5.8.1",
                true,
            ),
            ("etcd", "etcd Version: 3.7.3\nGit SHA: Not provided", true),
            ("etcd", "etcd Version: 3.4.30", false),
            (
                "containerd",
                "containerd github.com/containerd/containerd/v2 2.4.2+unknown",
                true,
            ),
            (
                "containerd",
                "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+b1",
                false,
            ),
            ("runc", "runc version 1.1.5+ds1\nspec: 1.0.2-dev", false),
            ("coredns", "CoreDNS-1.15.0\nlinux/amd64, go1.26.8,", true),
            ("coredns", "", false),
        ];
        for (name, text, fits) in cases {
            assert_eq!(recipe(name).accepts(text), fits, "{name}: {text}");
        }
    }

    #[test]
    fn every_binary_accepts_the_version_it_is_built_from() {
        for recipe in RECIPES {
            assert!(recipe.accepts(recipe.version), "{}", recipe.name);
        }
    }
}
