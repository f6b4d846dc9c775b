//! Resource names: `projects/P/topics/T` and the like for subscriptions and snapshots.

use super::error::{Error, Result};

/// The topic of subscriptions whose topic was deleted.
pub const DELETED_TOPIC: &str = "_deleted-topic_";

/// Shortest and longest id of a topic, subscription or snapshot, in characters.
const ID_LENGTH: std::ops::RangeInclusive<usize> = 3..=255;

/// Longest project id, with a domain prefix such as `example.com:`.
const PROJECT_LENGTH_MAX: usize = 128;

/// Checks `projects/P/topics/T`.
pub(crate) fn check_topic(name: &str) -> Result<()> {
    check(name, "topics")
}

/// Checks `projects/P/subscriptions/S`.
pub(crate) fn check_subscription(name: &str) -> Result<()> {
    check(name, "subscriptions")
}

/// Checks `projects/P/snapshots/S`.
pub(crate) fn check_snapshot(name: &str) -> Result<()> {
    check(name, "snapshots")
}

/// Checks `projects/P/schemas/S`.
pub(crate) fn check_schema(name: &str) -> Result<()> {
    check(name, "schemas")
}

/// Checks `projects/P`.
pub(crate) fn check_project(name: &str) -> Result<()> {
    match name.strip_prefix("projects/") {
        Some(project) if is_project(project) => Ok(()),
        _ => Err(Error::InvalidName { kind: "projects", name: name.to_owned() }),
    }
}

fn check(name: &str, kind: &'static str) -> Result<()> {
    let mut parts = name.split('/');
    let valid = parts.next() == Some("projects")
        && parts.next().is_some_and(is_project)
        && parts.next() == Some(kind)
        && parts.next().is_some_and(is_id)
        && parts.next().is_none();
    if valid { Ok(()) } else { Err(Error::InvalidName { kind, name: name.to_owned() }) }
}

fn is_project(project: &str) -> bool {
    (1..=PROJECT_LENGTH_MAX).contains(&project.len())
        && project.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

fn is_id(id: &str) -> bool {
    ID_LENGTH.contains(&id.len())
        && id.as_bytes()[0].is_ascii_alphabetic()
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+%".contains(&byte))
        && !id.starts_with("goog")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_published_rules() {
        for name in ["projects/p/topics/abc", "projects/a.com:b/topics/A-_.~+%9"] {
            check_topic(name).unwrap();
        }
        for name in [
            "",
            "abc",
            "projects/p/topics/ab",
            "projects/p/topics/9ab",
            "projects/p/topics/google",
            "projects/p/topics/a b",
            "projects//topics/abc",
            "projects/p/topics/abc/d",
            "projects/p/subscriptions/abc",
            "_deleted-topic_",
            &format!("projects/p/topics/{}", "a".repeat(256)),
        ] {
            let error = check_topic(name).unwrap_err();
            assert_eq!(error.to_string(), format!("Invalid [topics] name: (name={name})"));
        }
        check_subscription("projects/p/subscriptions/abc").unwrap();
        check_project("projects/p").unwrap();
        check_project("p").unwrap_err();
    }
}
