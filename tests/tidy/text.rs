//! The rules about a file's text: its length, its first line, blanks, `unsafe`, notes to do, paths of a machine.

use crate::source::{SourceFile, line_of, words};

/// Sources of more than `lines_max` lines.
pub(crate) fn too_long(files: &[SourceFile], lines_max: usize) -> Vec<String> {
    let count = |file: &SourceFile| file.text.lines().count();
    files
        .iter()
        .filter(|file| file.is_rust() && count(file) > lines_max)
        .map(|file| format!("{}: {} lines, more than {lines_max}", file.path, count(file)))
        .collect()
}

/// Sources that do not open with `//!`, which says what the file owns.
pub(crate) fn without_purpose(files: &[SourceFile]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.is_rust() && !file.text.starts_with("//!"))
        .map(|file| format!("{}: does not open with //!", file.path))
        .collect()
}

/// Tabs, and blanks at the end of a line.
pub(crate) fn stray_blanks(files: &[SourceFile]) -> Vec<String> {
    lines_where(files, |line| {
        if line.contains('\t') {
            Some("a tab")
        } else if line.ends_with([' ', '\r']) {
            Some("blanks at the end")
        } else {
            None
        }
    })
}

/// Paths that exist on one machine only: those that start at a user's home or a place of work.
pub(crate) fn machine_paths(files: &[SourceFile]) -> Vec<String> {
    let starts = ["home", "root", "work", "Users", "mnt"].map(|folder| format!("/{folder}/"));
    let is_start = |line: &str, at: usize| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.~/}*$".contains(c))
    };
    lines_where(files, |line| {
        let mut found = starts.iter().flat_map(|start| line.match_indices(start.as_str()));
        found.any(|(at, _)| is_start(line, at)).then_some("a path of one machine")
    })
}

/// Tests and files that the page at `path` names between backticks and that are not there.
pub(crate) fn named_but_missing(files: &[SourceFile], path: &str) -> Vec<String> {
    let Some(page) = files.iter().find(|file| file.path == path) else {
        return vec![format!("{path} is not there")];
    };
    let is_test = |name: &str| {
        name.matches('_').count() >= 3 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let is_missing = |name: &&str| {
        if is_test(name) {
            let definition = format!("fn {name}(");
            !files.iter().any(|file| file.is_rust() && file.text.contains(&definition))
        } else {
            let is_file = name.contains('/') && name.ends_with(".rs");
            is_file && !files.iter().any(|file| file.path == *name)
        }
    };
    let quoted = page.text.split('`').skip(1).step_by(2);
    quoted.filter(is_missing).map(|name| format!("{path}: there is no {name}")).collect()
}

/// Notes of unfinished work that name no issue, as in `(#12)` right behind the word.
pub(crate) fn notes_without_issue(files: &[SourceFile]) -> Vec<String> {
    // Put together here, or this file would be the first to be reported.
    let notes = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let names_issue = |rest: &str| {
        let number = rest.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
        number.is_some_and(|(number, _)| number.parse::<u32>().is_ok())
    };
    // Markdown is left out: it may speak of what code must not do.
    let code = files.iter().filter(|file| !file.path.ends_with(".md"));
    lines_where(code, |line| {
        let is_bare = |note: &String| {
            words(line, note).into_iter().any(|at| !names_issue(&line[at + note.len()..]))
        };
        notes.iter().any(is_bare).then_some("a note to do without the number of an issue")
    })
}

/// `unsafe` outside the `listed` files, and listed files that have none.
pub(crate) fn unlisted_unsafe(files: &[SourceFile], listed: &[&str]) -> Vec<String> {
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let code = file.code();
        let found = words(&code, "unsafe");
        match (found.first(), listed.contains(&file.path.as_str())) {
            (Some(start), false) => {
                let line = line_of(&code, *start);
                violations.push(format!("{}:{line}: unsafe, and not in the list", file.path));
            }
            (None, true) => {
                violations.push(format!("{}: in the list, but nothing unsafe there", file.path));
            }
            _ => {}
        }
    }
    violations
}

/// One violation for each line in which `fault` sees one.
fn lines_where<'a>(
    files: impl IntoIterator<Item = &'a SourceFile>,
    fault: impl Fn(&str) -> Option<&'static str>,
) -> Vec<String> {
    let mut violations = Vec::new();
    for file in files {
        for (index, line) in file.text.split('\n').enumerate() {
            if let Some(fault) = fault(line) {
                violations.push(format!("{}:{}: {fault}", file.path, index + 1));
            }
        }
    }
    violations
}

#[cfg(test)]
fn planted(text: &str) -> [SourceFile; 1] {
    [SourceFile::new("crates/core/src/a.rs", text)]
}

#[test]
fn a_long_file_is_caught() {
    assert_eq!(too_long(&planted("a\nb\n"), 2), [""; 0]);
    assert_eq!(too_long(&planted("a\nb\nc\n"), 2), ["crates/core/src/a.rs: 3 lines, more than 2"]);
}

#[test]
fn a_file_that_does_not_say_what_it_owns_is_caught() {
    let found = without_purpose(&planted("use a;\n//! Late.\n"));
    assert_eq!(found, ["crates/core/src/a.rs: does not open with //!"]);
}

#[test]
fn stray_blanks_are_caught() {
    let found = stray_blanks(&planted("good\nbad \n\tbad"));
    assert_eq!(
        found,
        ["crates/core/src/a.rs:2: blanks at the end", "crates/core/src/a.rs:3: a tab"]
    );
}

#[test]
fn a_path_of_one_machine_is_caught() {
    let home = ["/ho", "me/ada/x"].concat();
    let found = machine_paths(&planted(&format!("good/{home}\n\"{home}\"\nhttp://a{home}\n")));
    assert_eq!(found, ["crates/core/src/a.rs:2: a path of one machine"]);
}

#[test]
fn a_note_without_issue_is_caught() {
    let note = ["TO", "DO"].concat();
    let found = notes_without_issue(&planted(&format!("// {note}(#12): a\n// {note}: b\n")));
    assert_eq!(found, ["crates/core/src/a.rs:2: a note to do without the number of an issue"]);
}

#[test]
fn unsafe_outside_the_list_is_caught() {
    let files = planted("// unsafe\nunsafe { f() }\n");
    let path = "crates/core/src/a.rs";

    assert_eq!(unlisted_unsafe(&files, &[path]), [""; 0]);
    assert_eq!(unlisted_unsafe(&files, &[]), [format!("{path}:2: unsafe, and not in the list")]);
    let stale = unlisted_unsafe(&planted("#![deny(unsafe_code)]"), &[path]);
    assert_eq!(stale, [format!("{path}: in the list, but nothing unsafe there")]);
}

#[test]
fn a_guarantee_without_its_test_is_caught() {
    let page =
        "`crates/core/src/a.rs`: `this_test_is_there`, `this_one_is_not`; `crates/b.rs`, `MAX_LEN`";
    let files = [
        SourceFile::new("crates/core/src/a.rs", "fn this_test_is_there() {}"),
        SourceFile::new("docs/page.md", page),
    ];
    let found = named_but_missing(&files, "docs/page.md");
    assert_eq!(
        found,
        ["docs/page.md: there is no this_one_is_not", "docs/page.md: there is no crates/b.rs"]
    );
}
