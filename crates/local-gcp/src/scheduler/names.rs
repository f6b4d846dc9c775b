//! Resource names: `projects/P/locations/L` and `projects/P/locations/L/jobs/J`.

use super::error::{Error, Result};

/// Longest id of a job, in characters.
const ID_LENGTH_MAX: usize = 500;
/// Longest project id with a domain prefix, and more than any location has.
const PART_LENGTH_MAX: usize = 128;

/// Checks `projects/P/locations/L/jobs/J` and gives back `projects/P/locations/L`.
pub(super) fn check_job(name: &str) -> Result<&str> {
    let wrong = || {
        Error::invalid(format!(
            "job name {name:?} is not of the form projects/PROJECT/locations/LOCATION/jobs/JOB, \
             where a job is named by letters, digits, hyphens and underscores"
        ))
    };
    let (parent, id) = name.split_once("/jobs/").ok_or_else(wrong)?;
    let is_id = (1..=ID_LENGTH_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_id && is_location(parent) { Ok(parent) } else { Err(wrong()) }
}

/// Checks `projects/P/locations/L`.
pub(super) fn check_location(name: &str) -> Result<()> {
    if is_location(name) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "location name {name:?} is not of the form projects/PROJECT/locations/LOCATION"
    )))
}

/// The last part of a name.
pub(super) fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// `projects/P` of any name that starts so.
pub(super) fn project(name: &str) -> &str {
    let end = name.match_indices('/').nth(1).map_or(name.len(), |(at, _)| at);
    &name[..end]
}

fn is_location(name: &str) -> bool {
    let is_part = |part: &str, more: &[u8]| {
        (1..=PART_LENGTH_MAX).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    let parts: Vec<&str> = name.split('/').collect();
    matches!(parts[..], ["projects", project, "locations", location]
        if is_part(project, b"-:.") && is_part(location, b"-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_published_rules() {
        let name = "projects/example.com:p-1/locations/us-central1/jobs/a_B-9";
        assert_eq!(check_job(name).unwrap(), "projects/example.com:p-1/locations/us-central1");
        assert_eq!((project(name), last_part(name)), ("projects/example.com:p-1", "a_B-9"));
        for wrong in [
            "",
            "job",
            "projects/p/jobs/j",
            "projects/p/locations/l/jobs/",
            "projects/p/locations/l/jobs/a.b",
            "projects/p/locations/l/jobs/a/b",
            "projects//locations/l/jobs/a",
            "projects/p/locations/l/queues/a",
            &format!("projects/p/locations/l/jobs/{}", "a".repeat(501)),
        ] {
            assert!(check_job(wrong).is_err(), "{wrong}");
        }
        check_location("projects/p/locations/l").unwrap();
        check_location("projects/p").unwrap_err();
    }
}
