//! Fakes, builders and private kernels for tests; compiled for tests and under the feature `testing` only.

pub mod netns;
