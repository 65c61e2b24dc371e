//! PURE. The iptables backend: from a [`super::ruleset::Ruleset`] to the text of one `iptables-restore`.

pub mod existing;
pub mod render;
