//! The only room that touches the kernel and other processes; `unsafe` lives here and nowhere else.

pub mod beneath;
pub mod cgroup;
pub mod conntrack;
pub mod dbus;
pub mod exec;
pub mod fs;
pub mod heap;
pub mod iptables;
pub mod logind;
pub mod machine;
pub mod mount;
pub mod netlink;
pub mod netns;
pub mod process;
pub mod sysctl;
pub mod systemd;
pub mod tcp;
pub mod usage;
pub mod watch;
