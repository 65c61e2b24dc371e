//! The dependency rule of `src/lib.rs`, held against the code: who may import whom, and what pure files may name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may import besides itself. `app` and `testing` may import everything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("task", &[]),
    ("telemetry", &["task"]),
    ("config", &["model"]),
    ("sys", &["model"]),
    ("cri", &["model", "task"]),
    ("api", &["model", "task", "config"]),
    (
        "identity",
        &["model", "task", "telemetry", "config", "api", "sys"],
    ),
    (
        "kubelet",
        &["model", "task", "telemetry", "config", "cri", "api", "sys"],
    ),
    ("proxy", &["model", "task", "telemetry", "config", "api", "sys"]),
    ("network", &["model", "task", "telemetry", "config", "api", "sys"]),
    ("cni", &["model", "config", "sys"]),
];

/// Names that do IO or know a runtime; a file that opens with `//! PURE` must not use them.
const IMPURE: &[&str] = &[
    "tokio::",
    "nix::",
    "rtnetlink::",
    "kube::",
    "std::fs",
    "std::process",
    "crate::sys",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src is readable") {
        let path = entry.expect("directory entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    paths.sort();
    assert!(paths.len() > 20, "found only {} source files", paths.len());
    paths
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(&root)
                .expect("below src")
                .to_string_lossy()
                .into_owned();
            (name, fs::read_to_string(&path).expect("source is UTF-8"))
        })
        .collect()
}

/// The room a file belongs to: its first path component, or its stem at the top level.
fn room(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// Tests may use fakes and builders from anywhere.
fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}

/// Code without comments and without inline test modules.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("mod tests {"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(n, line)| (n + 1, line))
}

/// Rooms named on a line as `crate::room` or in `use crate::{room, …}`.
fn rooms_named(line: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let list = list.split('}').next().unwrap_or(list);
            names.extend(
                list.split(',')
                    .map(|item| item.trim().split("::").next().unwrap_or("")),
            );
        } else {
            names.push(
                rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
                    .unwrap_or(""),
            );
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn every_room_imports_only_what_the_floor_plan_allows() {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut wrong = Vec::new();
    for (file, text) in all_sources() {
        let Some(may) = allowed.get(room(&file)) else {
            continue;
        };
        if is_test(&file) {
            continue;
        }
        for (number, line) in code(&text) {
            for named in rooms_named(line) {
                let known = allowed.contains_key(named) || matches!(named, "app" | "testing");
                if known && named != room(&file) && !may.contains(&named) {
                    wrong.push(format!("src/{file}:{number} imports {named}: {}", line.trim()));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports the floor plan forbids:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn pure_files_do_no_io() {
    let mut wrong = Vec::new();
    let mut pure = 0;
    for (file, text) in all_sources() {
        if !text.starts_with("//! PURE") {
            continue;
        }
        pure += 1;
        for (number, line) in code(&text) {
            for name in IMPURE.iter().filter(|name| line.contains(**name)) {
                wrong.push(format!("src/{file}:{number} names {name}: {}", line.trim()));
            }
            if line.contains("async fn") {
                wrong.push(format!("src/{file}:{number} is async"));
            }
        }
    }
    assert!(pure >= 10, "only {pure} files declare themselves PURE");
    assert!(wrong.is_empty(), "pure files that do IO:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = all_sources()
        .into_iter()
        .filter(|(file, text)| !is_test(file) && !text.starts_with("//!"))
        .map(|(file, _)| file)
        .collect();
    assert!(silent.is_empty(), "files without a module comment: {silent:?}");
}

#[test]
fn the_page_names_every_room() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("lib.rs");
    for (file, _) in all_sources() {
        let room = room(&file);
        if matches!(room, "lib" | "main" | "testing") {
            continue;
        }
        assert!(
            page.contains(&format!("[`{room}`]")),
            "src/lib.rs does not describe {room}"
        );
    }
}
