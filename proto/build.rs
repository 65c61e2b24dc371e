//! Compiles `proto/cri.proto` into client and server stubs without a protoc binary.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/cri.proto");
    let files = protox::compile(["proto/cri.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(true)
        .generate_default_stubs(true)
        // Ordered maps: the same Pod gives the same message, which tests and hashes rely on.
        .btree_map(".")
        // These two carry secrets; `src/cri.rs` prints them without.
        .skip_debug(["runtime.v1.AuthConfig", "runtime.v1.KeyValue"])
        .compile_fds(files)?;
    Ok(())
}
