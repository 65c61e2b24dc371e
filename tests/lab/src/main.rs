//! `lab`: builds, starts and stops the lab, and runs the demo on it.
fn main() {}
