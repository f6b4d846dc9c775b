//! The paths that code names: `use` trees and paths in expressions, from one root such as `crate` or `millstream`.
//!
//! Must not know any rule.

use crate::source::{SourceFile, is_name_char, line_of, words};

/// A path found in a file, without its root.
#[derive(Debug, PartialEq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
}

/// Every path in `code` that starts at `root`; a `use` tree counts as one path per leaf.
pub(crate) fn paths_from(code: &str, root: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for start in words(code, root) {
        let before = code[..start].trim_end();
        let is_inside_a_path = before.ends_with("::") && !starts_absolute(before);
        let rest = code[start + root.len()..].trim_start();
        if let (false, Some(tree)) = (is_inside_a_path, rest.strip_prefix("::")) {
            let mut leaves = Vec::new();
            read_tree(tree, &[], &mut leaves);
            let line = line_of(code, start);
            found.extend(leaves.into_iter().map(|segments| Named { line, segments }));
        }
    }
    found
}

/// The paths of a file of a crate that lead through the crate's root: from `crate::`, or up to it by `super::`.
pub(crate) fn paths_through_crate_root(file: &SourceFile) -> Vec<Named> {
    let code = file.library_code();
    let depth = file.module_path().len();
    let mut found = paths_from(&code, "crate");
    for Named { line, segments } in paths_from(&code, "super") {
        let ups = 1 + segments.iter().take_while(|segment| *segment == "super").count();
        if ups == depth {
            found.push(Named { line, segments: segments[ups - 1..].to_vec() });
        }
    }
    found
}

/// Whether the `::` that ends `before` opens a path, as in `::millstream::Pipeline`.
fn starts_absolute(before: &str) -> bool {
    let before = before.trim_end_matches("::");
    !before.chars().next_back().is_some_and(|c| is_name_char(c) || c == '>')
}

/// Reads one `use` tree (or a plain path) into its leaves and returns what stands behind it.
fn read_tree<'a>(text: &'a str, prefix: &[String], leaves: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if rest.is_empty() || rest.starts_with('}') {
                return rest.strip_prefix('}').unwrap_or(rest);
            }
            rest = read_tree(rest, prefix, leaves);
            // An alias (`as name`), or anything unforeseen, ends with its branch.
            rest = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
        }
    }
    let end = text.find(|c| !is_name_char(c) && c != '*').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let mut path = prefix.to_vec();
    path.push(name.to_owned());
    match rest.trim_start().strip_prefix("::") {
        Some(tree)
            if tree.trim_start().starts_with(|c| is_name_char(c) || c == '{' || c == '*') =>
        {
            read_tree(tree, &path, leaves)
        }
        _ => {
            leaves.push(path);
            rest
        }
    }
}

#[cfg(test)]
fn joined(found: &[Named]) -> Vec<String> {
    found.iter().map(|named| format!("{} {}", named.line, named.segments.join("::"))).collect()
}

#[test]
fn use_trees_and_expressions_are_read_to_their_leaves() {
    let code = "use crate::{time::{self, Clock as C},\n error::*};\nlet x = crate::state::Cell::<u8>::new(other::crate_::x);";

    assert_eq!(
        joined(&paths_from(code, "crate")),
        ["1 time::self", "1 time::Clock", "1 error::*", "3 state::Cell"]
    );
}

#[test]
fn super_counts_where_it_reaches_the_root() {
    let file = SourceFile::new(
        "crates/core/src/state/cell.rs",
        "use super::map::Map;\nuse super::super::engine::Worker;",
    );

    assert_eq!(joined(&paths_through_crate_root(&file)), ["2 engine::Worker"]);
}
