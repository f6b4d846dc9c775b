//! [`Report`]: what was measured, as a table.

use std::collections::BTreeMap;
use std::fmt;

/// Rates by workload and server, both in the order in which they were first measured.
#[derive(Default)]
pub(crate) struct Report {
    workloads: Vec<String>,
    servers: Vec<String>,
    rates: BTreeMap<(String, String), Vec<f64>>,
}

impl Report {
    /// Adds the rate of one run.
    pub(crate) fn add(&mut self, workload: &str, server: &str, rate: f64) {
        for (names, name) in [(&mut self.workloads, workload), (&mut self.servers, server)] {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        self.rates.entry((workload.to_owned(), server.to_owned())).or_default().push(rate);
    }

    fn median(&self, workload: &str, server: &str) -> Option<f64> {
        let rates = self.rates.get(&(workload.to_owned(), server.to_owned()))?;
        let mut sorted = rates.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    fn cell(&self, workload: &str, server: &str) -> String {
        let Some(rates) = self.rates.get(&(workload.to_owned(), server.to_owned())) else {
            return String::new();
        };
        let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = rates.iter().copied().fold(0.0, f64::max);
        let median = self.median(workload, server).unwrap_or(0.0);
        let ratio = match self.servers.first() {
            Some(first) if first != server => {
                self.median(workload, first).map(|first| first / median)
            }
            _ => None,
        };
        let range =
            format!("{} ({} to {})", thousands(median), thousands(least), thousands(greatest));
        match ratio {
            Some(ratio) => format!("{range}, × {ratio:.2}"),
            None => range,
        }
    }
}

/// A table of medians with least and greatest, and how many times as fast the first server is.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| | {} |", self.servers.join(" | "))?;
        writeln!(formatter, "|---|{}", "---|".repeat(self.servers.len()))?;
        for workload in &self.workloads {
            let cells: Vec<String> =
                self.servers.iter().map(|server| self.cell(workload, server)).collect();
            writeln!(formatter, "| {workload} | {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
