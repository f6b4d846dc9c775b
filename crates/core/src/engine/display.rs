//! Progress for people: a live table on a terminal, a line per report elsewhere, and the summary at the end.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _, stderr};

use crate::metrics::{JobState, Status, StepStatus};

/// Longest part of a step's path in the live table, so that its figures fit beside it.
const PATH_CHARS_MAX: usize = 44;

/// Least width of a column, so that the table stands still while its figures change.
const CELL_CHARS_MIN: usize = 5;

/// How progress is shown. It goes to standard error, so that standard output stays the program's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Display {
    /// Not at all.
    #[default]
    Off,
    /// A live table on a terminal, a line per report elsewhere.
    Auto,
    /// A line per report.
    Lines,
    /// A live table.
    Table,
}

impl Display {
    pub(crate) fn open(self) -> Screen {
        let mode = match self {
            Self::Auto if stderr().is_terminal() => Self::Table,
            Self::Auto => Self::Lines,
            other => other,
        };
        Screen { mode, lines_shown: 0 }
    }
}

/// Where progress is shown.
#[derive(Debug)]
pub(crate) struct Screen {
    mode: Display,
    lines_shown: usize,
}

impl Screen {
    pub(crate) fn show(&mut self, status: &Status) {
        match self.mode {
            Display::Table => self.redraw(&table(status)),
            Display::Lines => self.write(&format!("{}\n", line(status))),
            Display::Off | Display::Auto => {}
        }
    }

    /// Shows the summary, in place of the table.
    pub(crate) fn close(&mut self, status: &Status) {
        match self.mode {
            Display::Table => self.redraw(&summary(status)),
            Display::Lines => self.write(&summary(status)),
            Display::Off | Display::Auto => {}
        }
    }

    fn redraw(&mut self, text: &str) {
        let mut frame = String::new();
        if self.lines_shown > 0 {
            // Up to the first line of the frame before, then clear to the end of the screen.
            let _ = write!(frame, "\x1b[{}A\x1b[J", self.lines_shown);
        }
        // On a narrow terminal lines are cut instead of wrapped, so that each stays one line.
        let _ = write!(frame, "\x1b[?7l{text}\x1b[?7h");
        self.lines_shown = text.lines().count();
        self.write(&frame);
    }

    fn write(&self, text: &str) {
        // A closed standard error is no reason to stop working.
        drop(stderr().write_all(text.as_bytes()));
    }
}

/// A number of people's size: 12,345 or 1.23M.
#[must_use]
pub fn count(number: f64) -> String {
    // The sum of no numbers is -0.0, which nobody wants to read.
    let number = number + 0.0;
    match number.abs() {
        size if size >= 1e9 => format!("{:.2}G", number / 1e9),
        size if size >= 1e7 => format!("{:.1}M", number / 1e6),
        size if size >= 1e3 => grouped(number),
        size if size > 0.0 && size < 10.0 && number.fract() != 0.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && text != "-" {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes of people's size.
#[must_use]
pub fn bytes(number: f64) -> String {
    match number {
        size if size >= 1e9 => format!("{:.2} GB", size / 1e9),
        size if size >= 1e6 => format!("{:.1} MB", size / 1e6),
        size if size >= 1e3 => format!("{:.1} kB", size / 1e3),
        size => format!("{size:.0} B"),
    }
}

fn state(state: JobState) -> &'static str {
    match state {
        JobState::Starting => "starting",
        JobState::Running => "running",
        JobState::Stopping => "stopping",
        JobState::Finished => "finished",
        JobState::Failed => "failed",
    }
}

fn head(status: &Status) -> String {
    let checkpoint = &status.checkpoint;
    let mut text = format!(
        "{} {}, {:.1} s, {} worker{}",
        status.job,
        state(status.state),
        status.seconds,
        status.workers,
        if status.workers == 1 { "" } else { "s" }
    );
    if checkpoint.epoch > 0 {
        let _ = write!(
            text,
            ", checkpoint {} ({:.0} ms, {})",
            checkpoint.epoch,
            checkpoint.duration_ms,
            bytes(as_f64(checkpoint.bytes))
        );
    }
    if status.restarts > 0 {
        let _ = write!(text, ", {} restarts", status.restarts);
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "numbers for people")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

fn lag(step: &StepStatus) -> String {
    step.watermark_lag_seconds.map_or_else(
        || "-".to_owned(),
        |seconds| match seconds {
            s if s >= 172_800.0 => format!("{:.0} d", s / 86_400.0),
            s if s >= 7_200.0 => format!("{:.0} h", s / 3_600.0),
            s if s >= 120.0 => format!("{:.0} min", s / 60.0),
            s => format!("{s:.1} s"),
        },
    )
}

/// Lines of cells below each other, the first column to the left, the others to the right.
fn aligned(rows: &[[String; 9]]) -> String {
    let chars = |cell: &String| cell.chars().count();
    let width = |column: usize| {
        rows.iter().map(|row| chars(&row[column])).max().unwrap_or(0).max(CELL_CHARS_MIN)
    };
    let widths: [usize; 9] = std::array::from_fn(width);
    let mut text = String::new();
    for [step, rest @ ..] in rows {
        let _ = write!(text, "  {step:<width$}", width = widths[0]);
        for (cell, width) in rest.iter().zip(&widths[1..]) {
            let _ = write!(text, " {cell:>width$}");
        }
        text.push('\n');
    }
    text
}

/// The end of a path that is too long for a table.
fn shortened(path: &str) -> String {
    let len = path.chars().count();
    if len <= PATH_CHARS_MAX {
        return path.to_owned();
    }
    let end: String = path.chars().skip(len + 1 - PATH_CHARS_MAX).collect();
    format!("…{end}")
}

/// A number of bytes, where there are any to count.
fn traffic(step: &StepStatus, number: f64) -> String {
    if step.bytes > 0 { bytes(number) } else { "-".to_owned() }
}

/// The table of steps: rates and totals.
fn table(status: &Status) -> String {
    let titles = ["step", "in/s", "out/s", "bytes/s", "in", "out", "errors", "lag", "busy"];
    let mut rows = vec![titles.map(str::to_owned)];
    for step in &status.steps {
        let is_busy = step.busy_share > 0.0;
        rows.push([
            shortened(&step.path),
            count(step.records_in_rate),
            count(step.records_out_rate),
            traffic(step, step.bytes_rate),
            count(as_f64(step.records_in)),
            count(as_f64(step.records_out)),
            count(as_f64(step.errors + step.late)),
            lag(step),
            if is_busy { format!("{:.0} %", step.busy_share * 100.0) } else { "-".to_owned() },
        ]);
    }
    format!("{}\n{}", head(status), aligned(&rows))
}

/// One line: how much comes in and goes out.
fn line(status: &Status) -> String {
    let sources =
        || status.steps.iter().filter(|step| step.records_in == 0 && step.records_out > 0);
    let read: f64 = sources().map(|step| step.records_out_rate).sum();
    let total: u64 = sources().map(|step| step.records_out).sum();
    let errors: u64 = status.steps.iter().map(|step| step.errors).sum();
    let late: u64 = status.steps.iter().map(|step| step.late).sum();
    format!(
        "{}: {} records/s, {} in total, {errors} errors, {late} late",
        head(status),
        count(read),
        count(as_f64(total))
    )
}

/// What a job did, step by step.
#[must_use]
pub fn summary(status: &Status) -> String {
    let titles = ["step", "in", "out", "bytes", "out/s", "errors", "late", "duplicates", "retries"];
    let mut rows = vec![titles.map(str::to_owned)];
    for step in &status.steps {
        let is_timed = status.seconds > 0.0;
        rows.push([
            step.path.clone(),
            count(as_f64(step.records_in)),
            count(as_f64(step.records_out)),
            traffic(step, as_f64(step.bytes)),
            count(if is_timed { as_f64(step.records_out) / status.seconds } else { 0.0 }),
            count(as_f64(step.errors)),
            count(as_f64(step.late)),
            count(as_f64(step.duplicates)),
            count(as_f64(step.retries)),
        ]);
    }
    let mut text = format!("{}\n{}", head(status), aligned(&rows));
    for reason in &status.failure {
        let _ = writeln!(text, "  failed: {reason}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::StatusTracker;
    use crate::time::Timestamp;

    #[test]
    fn numbers_have_peoples_size() {
        assert_eq!(count(0.0), "0");
        assert_eq!(count(2.5), "2.5");
        assert_eq!(count(27_004.0), "27,004");
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(count(61_300_000.0), "61.3M");
        assert_eq!(count([].iter().sum::<f64>()), "0");
        assert_eq!(bytes(2_500.0), "2.5 kB");
    }

    #[test]
    fn tables_are_as_wide_as_what_they_hold() {
        let step = |path: &str, records_out| StepStatus {
            path: path.to_owned(),
            records_out,
            ..StepStatus::default()
        };
        let long = "Outer/".repeat(10) + "Write";
        let mut status = StatusTracker::new("job", 2, Timestamp::EPOCH).status(
            Timestamp::EPOCH,
            JobState::Running,
            &[],
        );
        status.steps = vec![step("Read", 27_004), step(&long, 0)];
        let shown = table(&status);
        let lines: Vec<&str> = shown.lines().skip(1).collect();
        let widths = lines.iter().map(|line| line.chars().count());
        assert!(widths.clone().all(|width| width == PATH_CHARS_MAX + 54), "{shown}");
        assert!(lines[1].starts_with("  Read "), "{shown}");
        assert!(lines[1].contains(" 27,004 "), "{shown}");
        assert!(lines[2].trim_start().starts_with('…') && lines[2].contains("/Write "), "{shown}");
        assert!(summary(&status).contains(&long), "nothing is cut at the end");
    }
}
