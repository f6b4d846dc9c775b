//! Checks that the repository keeps its own rules: the tables below say what is allowed, `tidy/` how it is checked.
//!
//! Every rule has a test of itself beside it, which plants a violation and sees it caught.

#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/structure.rs"]
mod structure;
#[path = "tidy/text.rs"]
mod text;

/// The modules of `crates/core/src`, bottom to top. A module uses only those in its own row or in a row above.
const LAYERS: &[&[&str]] = &[
    &["time", "error", "coder", "metrics", "data", "io"],
    &["windowing", "trigger", "pane"],
    &["batch", "dead_letter"],
    &["watermark", "timers", "state"],
    &["source", "sink", "dofn", "combine"],
    &["operator"],
    &["graph", "pipeline_graph"],
    &["pipeline", "pcollection", "transforms"],
    &["checkpoint"],
    &["engine"],
    &["runner"],
    &["testing", "prelude"],
];

/// What a module may not use though it stands above: whoever runs a graph knows nothing of who built it.
const NEVER: &[(&str, &str)] = &[
    ("checkpoint", "pipeline"),
    ("checkpoint", "pcollection"),
    ("checkpoint", "transforms"),
    ("engine", "pipeline"),
    ("engine", "pcollection"),
    ("engine", "transforms"),
];

/// Each crate of `crates/`, with those of ours that may be in its tree.
const CRATES: &[(&str, &[&str])] = &[
    ("millstream", &[]),
    ("millstream-local-gcp", &[]),
    ("millstream-http-status", &["millstream"]),
    ("millstream-io-gcp", &["millstream"]),
    (
        "millstream-pipelines",
        &["millstream", "millstream-http-status", "millstream-io-gcp", "millstream-local-gcp"],
    ),
];

/// What core must not need, by first word: Google's services, HTTP, gRPC, Arrow and what stands on them.
const NOT_IN_CORE: &[&str] = &[
    "google",
    "googleapis",
    "gcloud",
    "http",
    "hyper",
    "h2",
    "axum",
    "reqwest",
    "tower",
    "tonic",
    "prost",
    "grpcio",
    "arrow",
    "parquet",
    "datafusion",
    "rustls",
    "openssl",
];

/// The code that knows core only as its users do.
const USERS_OF_CORE: &[&str] =
    &["crates/io-gcp/", "crates/pipelines/", "crates/http-status/", "examples/"];

/// The files that read the machine's clock, one a crate; everything else is handed a clock.
const CLOCKS: &[&str] =
    &["crates/core/src/time.rs", "crates/local-gcp/src/clock.rs", "benches/src/measure.rs"];

/// The files that may hold `unsafe`.
const UNSAFE: &[&str] = &[];

const LINES_MAX: usize = 600;

#[track_caller]
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn modules_of_core_use_only_what_stands_above_them() {
    assert_none(&structure::module_arrows(&source::files(), LAYERS, NEVER));
}

#[test]
fn crates_depend_in_one_direction() {
    let mut violations = Vec::new();
    for package in structure::packages(&source::files()) {
        match CRATES.iter().find(|(name, _)| *name == package) {
            Some((_, allowed)) => {
                let tree = structure::dependency_tree(&package);
                violations.extend(structure::crate_arrows(&tree, &package, allowed));
            }
            None => violations.push(format!("{package} is not in CRATES of tests/tidy.rs")),
        }
    }
    assert_none(&violations);
}

#[test]
fn core_needs_no_cloud_no_http_and_no_arrow() {
    let tree = structure::dependency_tree("millstream");
    assert_none(&structure::forbidden_dependencies(&tree, NOT_IN_CORE));
}

#[test]
fn connectors_and_pipelines_use_the_public_interface_of_core() {
    assert_none(&structure::hidden_parts_used(&source::files(), USERS_OF_CORE));
}

#[test]
fn the_clock_is_read_in_one_place() {
    assert_none(&structure::clock_reads(&source::files(), CLOCKS));
}

#[test]
fn source_files_are_short_and_say_what_they_own() {
    let files = source::files();
    assert_none(&text::too_long(&files, LINES_MAX));
    assert_none(&text::without_purpose(&files));
}

#[test]
fn unsafe_stands_only_where_it_is_listed() {
    assert_none(&text::unlisted_unsafe(&source::files(), UNSAFE));
}

#[test]
fn text_has_no_tabs_and_no_blanks_at_line_ends() {
    assert_none(&text::stray_blanks(&source::files()));
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    assert_none(&text::machine_paths(&source::files()));
}

#[test]
fn notes_of_unfinished_work_name_their_issue() {
    assert_none(&text::notes_without_issue(&source::files()));
}

#[test]
fn every_guarantee_names_tests_that_are_there() {
    assert_none(&text::named_but_missing(&source::files(), "docs/guarantees.md"));
}
