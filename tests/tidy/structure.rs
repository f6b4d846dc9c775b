//! The rules about who may use whom: modules of core, crates of the workspace, hidden parts of core.

use std::collections::BTreeMap;
use std::process::Command;

use crate::paths::{Named, paths_from, paths_through_crate_root};
use crate::source::{SourceFile, root, words};

const CORE: &str = "crates/core/src/";

/// Modules of core that use one that stands below them in `layers`, or one that `never` denies them.
pub(crate) fn module_arrows(
    files: &[SourceFile],
    layers: &[&[&str]],
    never: &[(&str, &str)],
) -> Vec<String> {
    let level = |module: &str| layers.iter().position(|layer| layer.contains(&module));
    let exports = root_exports(files);
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with(CORE) && file.is_rust()) {
        let Some(from) = file.module_path().first().copied() else { continue };
        let Some(from_level) = level(from) else {
            violations
                .push(format!("{}: module {from:?} is not in LAYERS of tests/tidy.rs", file.path));
            continue;
        };
        for Named { line, segments } in paths_through_crate_root(file) {
            let name = segments.first().map_or("", String::as_str);
            let to = exports.get(name).map_or(name, String::as_str);
            let is_below = level(to).is_some_and(|to_level| to_level > from_level);
            if is_below || never.contains(&(from, to)) {
                violations.push(format!("{}:{line}: {from} must not use {to}", file.path));
            }
        }
    }
    violations
}

/// The names that core's `lib.rs` re-exports at the root, with the module each comes from.
fn root_exports(files: &[SourceFile]) -> BTreeMap<String, String> {
    let lib = files.iter().find(|file| file.path == format!("{CORE}lib.rs"));
    let code = lib.map_or(String::new(), SourceFile::library_code);
    let mut exports = BTreeMap::new();
    for statement in code.split(';') {
        let Some((_, tree)) = statement.split_once("pub use ") else { continue };
        let tree = tree.trim_start_matches("crate::").trim_start_matches("self::");
        for Named { segments, .. } in paths_from(&format!("crate::{tree}"), "crate") {
            if let (Some(module), Some(name), true) =
                (segments.first(), segments.last(), segments.len() > 1)
            {
                exports.insert(name.clone(), module.clone());
            }
        }
    }
    exports
}

/// The parts of core marked `#[doc(hidden)]`, as paths from the crate's root.
fn hidden_paths(files: &[SourceFile]) -> Vec<Vec<String>> {
    let mut hidden = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with(CORE) && file.is_rust()) {
        let code = file.library_code();
        for (start, marker) in code.match_indices("#[doc(hidden)]") {
            let depth = code[..start].matches('{').count() - code[..start].matches('}').count();
            if depth > 0 {
                continue; // a method or a field, reached through its type
            }
            let item = code[start + marker.len()..].split([';', '{', '(', '=']).next();
            let name = item.unwrap_or("").split_whitespace().next_back().unwrap_or("");
            let name = name.rsplit("::").next().unwrap_or("").split('<').next().unwrap_or("");
            let modules = file.module_path().into_iter().map(str::to_owned);
            hidden.push(modules.chain([name.to_owned()]).collect());
        }
    }
    hidden
}

/// Code of `users` (folders) that names a part of core marked `#[doc(hidden)]`.
pub(crate) fn hidden_parts_used(files: &[SourceFile], users: &[&str]) -> Vec<String> {
    let hidden = hidden_paths(files);
    let is_user = |file: &&SourceFile| {
        file.is_rust() && users.iter().any(|folder| file.path.starts_with(folder))
    };
    let mut violations = Vec::new();
    for file in files.iter().filter(is_user) {
        for Named { line, segments } in paths_from(&file.code(), "millstream") {
            if hidden.iter().any(|path| segments.starts_with(path)) {
                let path = segments.join("::");
                violations.push(format!("{}:{line}: millstream::{path} is hidden", file.path));
            }
        }
    }
    violations
}

/// The crates of ours that `package` may have in its tree, and the tree's packages that are not among them.
pub(crate) fn crate_arrows(tree: &[String], package: &str, allowed: &[&str]) -> Vec<String> {
    let is_ours = |name: &str| name == "millstream" || name.starts_with("millstream-");
    let is_denied = |name: &&String| {
        is_ours(name) && name.as_str() != package && !allowed.contains(&name.as_str())
    };
    tree.iter()
        .filter(is_denied)
        .map(|name| format!("{package} must not depend on {name}"))
        .collect()
}

/// Packages in `tree` whose name is one of `families`, or starts with one and a hyphen.
pub(crate) fn forbidden_dependencies(tree: &[String], families: &[&str]) -> Vec<String> {
    let is_forbidden = |name: &&String| {
        families.iter().any(|family| {
            name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    };
    tree.iter()
        .filter(is_forbidden)
        .map(|name| format!("millstream must not need {name}"))
        .collect()
}

/// The names of `package` and of all it needs, at run time and to build, with every feature on.
pub(crate) fn dependency_tree(package: &str) -> Vec<String> {
    let arguments = ["--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--all-features", "--package", package])
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo, which runs this test, can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree --package {package} failed: {errors}");
    let lines = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// The packages in the folders under `crates/`.
pub(crate) fn packages(files: &[SourceFile]) -> Vec<String> {
    let is_manifest =
        |file: &&SourceFile| file.path.starts_with("crates/") && file.path.ends_with("/Cargo.toml");
    let name = |file: &SourceFile| {
        let line = file.text.lines().find_map(|line| line.strip_prefix("name = \""))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    files.iter().filter(is_manifest).filter_map(name).collect()
}

/// Uses of a clock outside the files that may read one.
pub(crate) fn clock_reads(files: &[SourceFile], clocks: &[&str]) -> Vec<String> {
    let readers = ["Instant", "SystemTime", "Utc", "Local", "Zoned", "jiff::Timestamp"];
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && !clocks.contains(&file.path.as_str()))
    {
        let code = file.code();
        for start in words(&code, "now") {
            let before = code[..start].strip_suffix("::").unwrap_or("");
            if readers.iter().any(|reader| before.ends_with(reader)) {
                let line = crate::source::line_of(&code, start);
                violations.push(format!("{}:{line}: reads the machine's clock", file.path));
            }
        }
    }
    violations
}

#[cfg(test)]
const TWO_LAYERS: &[&[&str]] = &[&["time", "error"], &["state"], &["engine"]];

#[test]
fn a_use_of_a_module_below_is_caught() {
    let planted = [
        ("crates/core/src/lib.rs", "pub use engine::{Engine, Worker as W};"),
        ("crates/core/src/time.rs", "use crate::error::Error;\nuse crate::{error, state::Cell};"),
        ("crates/core/src/state/mod.rs", "fn f() { crate::Engine::new() }"),
        ("crates/core/src/state/cell.rs", "use super::super::engine::Worker;"),
        ("crates/core/src/engine/mod.rs", "use crate::state::Cell; // crate::stranger"),
        ("crates/core/src/stranger.rs", ""),
    ];
    let files = planted.map(|(path, text)| SourceFile::new(path, text));

    assert_eq!(
        module_arrows(&files, TWO_LAYERS, &[("engine", "state")]),
        [
            "crates/core/src/time.rs:2: time must not use state",
            "crates/core/src/state/mod.rs:1: state must not use engine",
            "crates/core/src/state/cell.rs:1: state must not use engine",
            "crates/core/src/engine/mod.rs:1: engine must not use state",
            "crates/core/src/stranger.rs: module \"stranger\" is not in LAYERS of tests/tidy.rs",
        ]
    );
}

#[test]
fn tests_and_comments_of_a_module_may_name_what_they_like() {
    let text = "/// See [`crate::engine`].\n#[cfg(test)]\nmod tests { use crate::engine::Worker; }";
    let files = [SourceFile::new("crates/core/src/time.rs", text)];

    assert_eq!(module_arrows(&files, TWO_LAYERS, &[]), [""; 0]);
}

#[test]
fn a_hidden_part_named_outside_of_core_is_caught() {
    let planted = [
        ("crates/core/src/lib.rs", "#[doc(hidden)]\npub mod internals;\npub mod engine;"),
        ("crates/core/src/engine/mod.rs", "#[doc(hidden)] pub struct Mailbox<T>(T);"),
        ("crates/io-gcp/src/lib.rs", "use millstream::internals::Plan;\nuse millstream::Pipeline;"),
        ("crates/pipelines/src/lib.rs", "use millstream::{Pipeline, engine::{Engine, Mailbox}};"),
        ("tests/it/main.rs", "use millstream::internals::Plan;"),
    ];
    let files = planted.map(|(path, text)| SourceFile::new(path, text));

    assert_eq!(
        hidden_parts_used(&files, &["crates/io-gcp/", "crates/pipelines/"]),
        [
            "crates/io-gcp/src/lib.rs:1: millstream::internals::Plan is hidden",
            "crates/pipelines/src/lib.rs:1: millstream::engine::Mailbox is hidden",
        ]
    );
}

#[test]
fn a_crate_of_ours_in_the_wrong_tree_is_caught() {
    let tree = ["millstream-local-gcp", "millstream", "tokio"].map(str::to_owned);

    let found = crate_arrows(&tree, "millstream-local-gcp", &[]);
    assert_eq!(found, ["millstream-local-gcp must not depend on millstream"]);
    assert_eq!(crate_arrows(&tree, "millstream-local-gcp", &["millstream"]), [""; 0]);
}

#[test]
fn a_forbidden_dependency_is_caught() {
    let tree = ["millstream", "httparse", "http-body", "tonic"].map(str::to_owned);

    let found = forbidden_dependencies(&tree, &["http", "tonic"]);
    assert_eq!(found, ["millstream must not need http-body", "millstream must not need tonic"]);
}

#[test]
fn a_clock_read_elsewhere_is_caught() {
    let planted = [
        ("crates/core/src/time.rs", "let a = Instant::now();"),
        ("crates/core/src/engine.rs", "// Instant::now()\nlet b = std::time::SystemTime::now();"),
        ("crates/core/src/timers.rs", "let c = clock.now(); let d = \"Instant::now()\";"),
    ];
    let files = planted.map(|(path, text)| SourceFile::new(path, text));

    let found = clock_reads(&files, &["crates/core/src/time.rs"]);
    assert_eq!(found, ["crates/core/src/engine.rs:2: reads the machine's clock"]);
}
