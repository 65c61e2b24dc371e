//! Role dispatch: CNI plugin when `CNI_COMMAND` is set, node agent and tools otherwise.

use std::process::ExitCode;

fn main() -> ExitCode {
    if rustlet::cni::is_plugin_call() {
        return rustlet::cni::main();
    }
    rustlet::app::main()
}
