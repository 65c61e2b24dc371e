//! Container logs: reading them, following them across rotation, and rotating them.
//!
//! `line` (pure) turns what the runtime writes into what people read, `tail` (pure) finds where the last lines begin,
//! `names` (pure) knows what rotation makes of a name. `open` opens logs beneath the pods' log directory without
//! following a link, `read` reads one request's worth in bounded pieces, `follow` goes on as the log grows, and
//! `rotation` keeps logs small.

pub mod follow;
pub mod line;
pub mod names;
pub mod open;
pub mod read;
pub mod rotation;
pub mod tail;
