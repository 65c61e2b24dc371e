//! The concurrency kit. Knows no domain: nothing here names a pod, a node or a service.

pub mod backoff;
pub mod bounded;
pub mod drain;
pub mod flights;
pub mod keyed;
pub mod ready;
pub mod say;

pub use backoff::Backoff;
pub use bounded::{BoundedRunner, Bounds};
pub use drain::{Drain, DrainSignal};
pub use flights::Flights;
pub use keyed::Keyed;
pub use ready::{Ready, ReadyGuard};
pub use say::SayOnce;
