//! The lab: a real control plane and nodes in namespaces.
