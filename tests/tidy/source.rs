//! Source files as the rules see them: their text, and their code with comments, literals and tests blanked out.
//!
//! Blanking keeps every line where it is, so a rule can say which line it means. Must not know any rule.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the repository.
pub(crate) struct SourceFile {
    /// Where it stands, from the root of the repository, with `/` between the names.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The code alone: comments and the insides of literals are blanks.
    pub(crate) fn code(&self) -> String {
        blank_comments_and_literals(&self.text)
    }

    /// The code that users get: without `#[cfg(test)]` items too. Empty for a file of tests.
    pub(crate) fn library_code(&self) -> String {
        let is_test_file = self.path.ends_with("/tests.rs")
            || self.path.ends_with("_tests.rs")
            || self.path.contains("/tests/");
        if is_test_file { String::new() } else { blank_tests(&self.code()) }
    }

    /// The modules that lead to this file from the root of its crate; empty for `lib.rs`.
    pub(crate) fn module_path(&self) -> Vec<&str> {
        let inside = self.path.split_once("/src/").map_or(self.path.as_str(), |(_, inside)| inside);
        let mut names: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
        if matches!(names.last(), Some(&"mod" | &"lib" | &"main")) {
            names.pop();
        }
        names
    }
}

/// The root of the repository, of which this package is a folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a folder").to_owned()
}

/// Every text file that people write, in the order of the paths.
pub(crate) fn files() -> Vec<SourceFile> {
    let root = root();
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files.sort_by(|left, right| left.path.cmp(&right.path));
    assert!(files.iter().any(SourceFile::is_rust), "there are sources under {}", root.display());
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) {
    let entries = fs::read_dir(folder).expect("a folder of the repository can be read");
    for entry in entries.map(|entry| entry.expect("a folder can be listed")) {
        let path = entry.path();
        let inside = path.strip_prefix(root).expect("the walk stays below the root");
        let name = inside.to_string_lossy().replace('\\', "/");
        if path.is_dir() {
            if !is_made_by_tools(&entry.file_name().to_string_lossy()) {
                collect(root, &path, files);
            }
        } else if is_written_by_people(&name) {
            let text = fs::read_to_string(&path).expect("a source file is UTF-8 text");
            files.push(SourceFile { path: name, text });
        }
    }
}

/// Folders that are not part of the repository, and generated code, which has its own makers' style.
fn is_made_by_tools(folder: &str) -> bool {
    folder == ".git" || folder == "generated" || folder == ".venv" || folder.starts_with("target")
}

fn is_written_by_people(path: &str) -> bool {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    matches!(extension, "rs" | "toml" | "md" | "sh" | "yml" | "yaml" | "py" | "json" | "proto")
        || path.starts_with("scripts/")
        || path.starts_with(".ci/")
}

/// The number of the line, from 1, in which the byte at `offset` stands.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Whether a character can be part of a name.
pub(crate) fn is_name_char(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Where `word` stands in `code` as a whole name.
pub(crate) fn words(code: &str, word: &str) -> Vec<usize> {
    let stands_alone = |start: usize| {
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        !before.is_some_and(is_name_char) && !after.is_some_and(is_name_char)
    };
    code.match_indices(word).map(|(start, _)| start).filter(|start| stands_alone(*start)).collect()
}

/// Replaces comments and the insides of string and character literals by blanks.
fn blank_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let after_name = code.chars().next_back().is_some_and(is_name_char);
        let length = match next {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment_length(rest),
            '"' => string_length(rest),
            'r' | 'b' | 'c' if !after_name => prefixed_string_length(rest),
            '\'' => char_literal_length(rest),
            _ => 0,
        };
        if length == 0 {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            let (blanked, left) = rest.split_at(length);
            code.extend(blanked.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = left;
        }
    }
    code
}

fn block_comment_length(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the literal that opens with the quote at the start of `text`.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a literal such as `b"..."` or `r#"..."#`; 0 when `text` opens with a name.
fn prefixed_string_length(text: &str) -> usize {
    let prefix = text.chars().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let hashes = text[prefix..].chars().take_while(|c| *c == '#').count();
    let quote = prefix + hashes;
    if prefix > 2 || !text[quote..].starts_with('"') {
        return 0;
    }
    if !text[..prefix].contains('r') {
        return if hashes == 0 { quote + string_length(&text[quote..]) } else { 0 };
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    text[quote + 1..].find(&closing).map_or(text.len(), |end| quote + 1 + end + closing.len())
}

/// The length of a literal such as `'a'` or `'\''`; 0 when `text` opens with a lifetime.
fn char_literal_length(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => text[3..].find('\'').map_or(0, |end| end + 4),
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

/// Replaces the items under `#[cfg(test)]` or `#[cfg(all(test, ...))]` by blanks.
fn blank_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    for marker in ["#[cfg(test)]", "#[cfg(all(test,"] {
        while let Some(start) = kept.find(marker) {
            let end = start + item_length(&kept[start..]);
            let blank = kept[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' });
            let blank: String = blank.collect();
            kept.replace_range(start..end, &blank);
        }
    }
    kept
}

/// The length of an item with its attributes: to its semicolon, or to the end of its first block.
fn item_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && character == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "let a = \"x // \\\" y\"; // unsafe\nlet b = r#\"crate::\"z\"#; /* /* */ \n */ let c: &'a u8 = '\"';";
    let code = SourceFile::new("a.rs", text).code();

    assert_eq!(code.lines().count(), text.lines().count());
    let words: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(words.join(" "), "let a = ; let b = ; let c: &'a u8 = ;");
}

#[test]
fn tests_are_no_library_code() {
    let text = "fn kept() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n fn gone() { {} }\n}\n#[cfg(test)]\nuse gone;\nfn too() {}";
    let words = SourceFile::new("crates/core/src/a.rs", text).library_code();

    assert_eq!(words.split_whitespace().collect::<Vec<_>>().join(" "), "fn kept() {} fn too() {}");
    for path in ["crates/core/src/a/tests.rs", "crates/core/src/a/b_tests.rs"] {
        assert_eq!(SourceFile::new(path, text).library_code(), "");
    }
}

#[test]
fn a_file_knows_its_modules() {
    let module_path = |path| SourceFile::new(path, "").module_path().join("::");

    assert_eq!(module_path("crates/core/src/lib.rs"), "");
    assert_eq!(module_path("crates/core/src/state/mod.rs"), "state");
    assert_eq!(module_path("crates/core/src/state/cell.rs"), "state::cell");
}
