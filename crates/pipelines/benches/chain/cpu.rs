//! [`CpuTimes`]: processor time by thread name, as Linux tells it; nothing elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

/// Ticks of the times in `/proc` per second; Linux reports them so on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor ticks by what used them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuTimes(BTreeMap<String, u64>);

impl CpuTimes {
    /// The times so far of this process's threads, and of a process that serves it.
    pub(crate) fn now(servers: Option<u32>) -> Self {
        let mut times = Self::default();
        times.add("self", "");
        if let Some(id) = servers {
            times.add(&id.to_string(), "servers: ");
        }
        times
    }

    fn add(&mut self, process: &str, prefix: &str) {
        let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return };
        let mut living = 0;
        for task in tasks.flatten() {
            let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
            let Some((name, ticks)) = name_and_ticks(&stat) else { continue };
            *self.0.entry(format!("{prefix}{name}")).or_default() += ticks;
            living += ticks;
        }
        let all = fs::read_to_string(format!("/proc/{process}/stat"));
        let all = all.ok().and_then(|stat| name_and_ticks(&stat)).map_or(0, |(_, ticks)| ticks);
        // The job's workers are gone with it; their time stays with the process.
        self.0.insert(format!("{prefix}ended threads"), all.saturating_sub(living));
    }

    /// What was used since `before`.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (name, ticks) in &before.0 {
            if let Some(now) = self.0.get_mut(name) {
                *now = now.saturating_sub(*ticks);
            }
        }
        self
    }

    /// A line for each kind of thread that used a noticeable share.
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn per(&self, count: usize) -> String {
        let micros = |ticks: u64| ticks as f64 / TICKS_PER_SECOND * 1e6 / count as f64;
        let mut lines = String::new();
        for (name, ticks) in self.0.iter().filter(|(_, ticks)| **ticks > 0) {
            let _ = writeln!(lines, "  {name:<32} {:>7.2}", micros(*ticks));
        }
        let _ = writeln!(lines, "  {:<32} {:>7.2}", "all", micros(self.0.values().sum()));
        lines
    }
}

/// Name without its number, and user and system time together.
fn name_and_ticks(stat: &str) -> Option<(String, u64)> {
    let (head, tail) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    let name = name.trim_end_matches(|end: char| end.is_ascii_digit() || end == '-');
    let mut fields = tail.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((name.to_owned(), user + system))
}
