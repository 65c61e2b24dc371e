//! PURE. Names of kernel parameters, and the namespace that confines them.

/// The namespace a kernel parameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// System V IPC and POSIX message queues.
    Ipc,
    /// The network.
    Net,
}

impl std::fmt::Display for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ipc => "IPC",
            Self::Net => "Net",
        })
    }
}

/// Parameters of the IPC namespace; the short ones are what patterns begin with.
const IPC: [&str; 10] = [
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.shm",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.msg",
];

/// The name with dots between its parts. Whichever of `.` and `/` comes first is what separates them, and the other one
/// is part of a name then: `net/ipv4/conf/eth0.1/arp_accept` is `net.ipv4.conf.eth0/1.arp_accept`.
pub fn normalize(name: &str) -> String {
    if !name
        .find(['.', '/'])
        .is_some_and(|at| name[at..].starts_with('/'))
    {
        return name.to_owned();
    }
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    name.chars().map(swap).collect()
}

/// A name, or everything that begins so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// With dots, and without the `*`.
    pub name: String,
    /// What begins with the name is meant, too.
    pub prefix: bool,
    /// Where such parameters are confined.
    pub namespace: Namespace,
}

impl Pattern {
    /// Reads `net.core.somaxconn` or `net.*`; `None` when no namespace is known to confine it.
    pub fn parse(text: &str) -> Option<Self> {
        let name = normalize(text);
        let (name, prefix) = match name.split_once('*') {
            Some((name, _)) => (name.to_owned(), true),
            None => (name, false),
        };
        let namespace = match &*name {
            name if IPC.contains(&name) || name.starts_with("fs.mqueue.") => Namespace::Ipc,
            name if name.starts_with("net.") => Namespace::Net,
            _ => return None,
        };
        Some(Self {
            name,
            prefix,
            namespace,
        })
    }

    /// Whether it means this parameter, named with dots.
    pub fn matches(&self, name: &str) -> bool {
        if self.prefix {
            name.starts_with(&self.name)
        } else {
            name == self.name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_dots_between_their_parts() {
        for (name, want) in [
            ("net.core.somaxconn", "net.core.somaxconn"),
            ("net/core/somaxconn", "net.core.somaxconn"),
            (
                "net/ipv4/conf/eth0.1/forwarding",
                "net.ipv4.conf.eth0/1.forwarding",
            ),
            (
                "net.ipv4.conf.eth0/1.forwarding",
                "net.ipv4.conf.eth0/1.forwarding",
            ),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(normalize(name), want, "{name}");
        }
    }

    #[test]
    fn only_what_a_namespace_confines_is_a_pattern() {
        for (text, want) in [
            ("net.*", Some(("net.", true, Namespace::Net))),
            ("net/core/*", Some(("net.core.", true, Namespace::Net))),
            ("kernel.msg*", Some(("kernel.msg", true, Namespace::Ipc))),
            ("kernel.shmmax", Some(("kernel.shmmax", false, Namespace::Ipc))),
            (
                "fs.mqueue.msg_max",
                Some(("fs.mqueue.msg_max", false, Namespace::Ipc)),
            ),
            ("kernel.*", None),
            ("kernel.hostname", None),
            ("vm.swappiness", None),
            ("network.x", None),
            ("*", None),
        ] {
            let got = Pattern::parse(text);
            let got = got.as_ref().map(|p| (&*p.name, p.prefix, p.namespace));
            assert_eq!(got, want, "{text}");
        }
        let pattern = Pattern::parse("net.core.*").unwrap();
        assert!(pattern.matches("net.core.somaxconn") && !pattern.matches("net.ipv4.x"));
        let one = Pattern::parse("kernel.sem").unwrap();
        assert!(one.matches("kernel.sem") && !one.matches("kernel.semx"));
    }
}
