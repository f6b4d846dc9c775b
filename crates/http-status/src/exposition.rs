//! [`Exposition`]: Prometheus' text format. Source: "Text-based format" of Prometheus' documentation on exposition formats.

use std::fmt::{Display, Write as _};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Metrics as text, family by family.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
    families: Vec<String>,
}

impl Exposition {
    /// Begins a family of samples, unless there is one of this name.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) -> bool {
        if self.families.iter().any(|family| family == name) {
            return false;
        }
        self.families.push(name.to_owned());
        if !help.is_empty() {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            let _ = writeln!(self.text, "# HELP {name} {help}");
        }
        let _ = writeln!(self.text, "# TYPE {name} {}", kind.name());
        true
    }

    /// Adds a sample of the family begun last.
    pub(crate) fn sample<'a>(
        &mut self,
        name: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: impl Display,
    ) {
        self.text.push_str(name);
        let mut is_open = false;
        for (label, value) in labels {
            self.text.push(if is_open { ',' } else { '{' });
            is_open = true;
            let _ = write!(self.text, "{label}=\"{}\"", escaped(value));
        }
        if is_open {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A name of letters, digits and underscores that does not start with a digit: what Prometheus takes.
pub(crate) fn sanitized(name: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut clean: String = name.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
    if clean.starts_with(|c: char| c.is_ascii_digit()) || clean.is_empty() {
        clean.insert(0, '_');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_help_are_escaped_and_a_family_stands_once() {
        let mut page = Exposition::default();
        assert!(page.family("a_total", Kind::Counter, "one\ntwo"));
        page.sample("a_total", [("step", "Read \"x\"\\")], 3);
        page.sample("a_total", [], 0.5);
        assert!(!page.family("a_total", Kind::Counter, ""));
        let expected = "# HELP a_total one\\ntwo\n# TYPE a_total counter\n\
                        a_total{step=\"Read \\\"x\\\"\\\\\"} 3\na_total 0.5\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn names_are_made_fit() {
        assert_eq!(sanitized("http.requests-2xx"), "http_requests_2xx");
        assert_eq!(sanitized("9lives"), "_9lives");
    }
}
