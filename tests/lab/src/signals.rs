//! Ctrl-C: tear down first, then go.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use nix::libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static CAUGHT: AtomicI32 = AtomicI32::new(0);
static EXPECTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(signal: c_int) {
    CAUGHT.store(signal, Ordering::SeqCst);
}

/// Lets SIGINT, SIGTERM and SIGHUP be noted instead of ending the process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // SAFETY: the handler only stores to an atomic, which is allowed in a signal handler.
            #[expect(
                unsafe_code,
                reason = "a signal handler is the only way to notice Ctrl-C in any thread"
            )]
            let installed = unsafe { sigaction(signal, &action) };
            installed.expect("these signals can be handled");
        }
    });
}

/// The signal that has come, if any.
pub(crate) fn caught() -> Option<Signal> {
    Signal::try_from(CAUGHT.load(Ordering::SeqCst)).ok()
}

/// The exit code after a signal: 0 when it was waited for with [`wait`].
pub(crate) fn exit_code() -> i32 {
    if EXPECTED.load(Ordering::SeqCst) {
        0
    } else {
        128 + CAUGHT.load(Ordering::SeqCst)
    }
}

/// Waits for Ctrl-C. The cluster is torn down and the process ends with code 0 then, so this does not return.
pub fn wait() -> ! {
    EXPECTED.store(true, Ordering::SeqCst);
    sleep_until_exit()
}

/// After a signal whatever fails fails because of the tear-down: nothing to report, the watcher ends the process.
pub(crate) fn leave_to_watcher() {
    if caught().is_some() {
        sleep_until_exit()
    }
}

fn sleep_until_exit() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
