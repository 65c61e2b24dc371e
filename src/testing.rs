<<<<<<< HEAD
//! Fakes, builders and private kernels for tests; compiled for tests and under the feature `testing` only.

pub mod netns;
=======
//! Stateful fakes and builders for tests, here and under `tests/` (feature `testing`).

pub mod fake_cri;

pub use fake_cri::FakeCri;
>>>>>>> a8604fb (Speak CRI over the socket, manage images, and fake a runtime for tests)
