//! Keeps the heap small. glibc gives each thread an arena of its own and keeps what was freed for later; an agent that
//! allocates in bursts and then waits for hours has more use for one heap that is given back.

/// One arena for all threads. To be called before the first thread is started; other C libraries have nothing to set.
pub fn share() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number of the allocator's; no thread but ours runs yet.
    #[expect(unsafe_code, reason = "the allocator is C's")]
    unsafe {
        nix::libc::mallopt(nix::libc::M_ARENA_MAX, 1);
    }
}

/// Gives pages that hold nothing back to the kernel.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes the allocator's own locks, and touches free memory only.
    #[expect(unsafe_code, reason = "the allocator is C's")]
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
