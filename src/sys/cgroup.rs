//! cgroup directories of pods.
