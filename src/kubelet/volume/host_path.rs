//! hostPath: a path of the node, checked and made as its type says.

use super::{Cause, io_error};
use crate::model::pod::HostPath;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;

/// Checks what is at the node's path, and creates it where the type says so.
pub(super) fn prepare(source: &HostPath) -> Result<PathBuf, Cause> {
    let path = PathBuf::from(&*source.path);
    let refuse = |wanted| {
        Err(Cause::HostPath {
            path: source.path.clone(),
            wanted,
        })
    };
    if path.components().any(|c| c == std::path::Component::ParentDir) {
        return refuse("path without '..'");
    }
    let found = std::fs::metadata(&path).map(|m| m.file_type());
    match &*source.kind {
        "DirectoryOrCreate" if found.is_err() => {
            std::fs::create_dir_all(&path).map_err(io_error("make directory", &path))?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))
                .map_err(io_error("chmod", &path))?;
            return Ok(path);
        }
        "FileOrCreate" if found.is_err() => {
            std::fs::File::create_new(&path).map_err(io_error("create", &path))?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644))
                .map_err(io_error("chmod", &path))?;
            return Ok(path);
        }
        _ => {}
    }
    let is = |check: fn(&std::fs::FileType) -> bool| found.as_ref().is_ok_and(check);
    match &*source.kind {
        "" => Ok(path),
        "Directory" | "DirectoryOrCreate" if !is(std::fs::FileType::is_dir) => refuse("directory"),
        "File" | "FileOrCreate" if !is(std::fs::FileType::is_file) => refuse("file"),
        "Socket" if !is(FileTypeExt::is_socket) => refuse("socket file"),
        "CharDevice" if !is(FileTypeExt::is_char_device) => refuse("character device"),
        "BlockDevice" if !is(FileTypeExt::is_block_device) => refuse("block device"),
        "Directory" | "DirectoryOrCreate" | "File" | "FileOrCreate" | "Socket" | "CharDevice"
        | "BlockDevice" => Ok(path),
        other => Err(Cause::Unsupported(format!("hostPath with type {other}").into())),
    }
}
