//! Fakes, builders and private kernels for tests; compiled for tests and under the feature `testing` only.

pub mod any_pod;
pub mod fake_api;
pub mod fake_cri;
pub mod fake_systemd;
pub mod builders;
pub mod fake_tables;
pub mod malformed;
pub mod netns;
pub mod tracer;

pub use fake_api::FakeApi;
pub use fake_cri::FakeCri;
pub use fake_tables::{FakeConntrack, FakeTables};
