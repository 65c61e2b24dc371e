//! Compiles `proto/cri.proto` into client and server stubs without a protoc binary.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/cri.proto");
    let files = protox::compile(["proto/cri.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(true)
        .generate_default_stubs(true)
        .compile_fds(files)?;
    Ok(())
}
