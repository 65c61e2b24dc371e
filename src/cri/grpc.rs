//! [`Runtime`](super::Runtime) and [`Images`](super::Images) over the runtime's unix socket.
