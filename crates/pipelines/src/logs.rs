//! [`LogOptions`]: what a program logs, and how; always to standard error, results go to standard output.

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;

/// Options of a program's logs.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct LogOptions {
    /// Least severe level that is logged: error, warn, info, debug, trace or off
    #[arg(long, value_name = "LEVEL", global = true, default_value_t = LevelFilter::WARN)]
    pub log_level: LevelFilter,
    /// How a line looks: text for people, json for machines
    #[arg(long, value_name = "FORMAT", value_enum, global = true, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogOptions {
    /// Logs from now on, unless the program does already.
    pub fn install(&self) {
        let lines = fmt().with_max_level(self.log_level).with_writer(std::io::stderr);
        // Whoever embeds this may have a subscriber of its own, which stays.
        let _ = match self.log_format {
            LogFormat::Text => lines.with_ansi(false).try_init(),
            LogFormat::Json => lines.json().flatten_event(true).try_init(),
        };
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        logs: LogOptions,
    }

    #[test]
    fn levels_and_formats_are_read_by_name() {
        let parse = |arguments: &[&str]| Cli::try_parse_from([&["run"], arguments].concat());
        let logs = parse(&["--log-level", "debug", "--log-format", "json"]).unwrap().logs;
        assert_eq!((logs.log_level, logs.log_format), (LevelFilter::DEBUG, LogFormat::Json));
        assert_eq!(parse(&[]).unwrap().logs.log_level, LevelFilter::WARN);
        assert!(parse(&["--log-level", "loud"]).is_err());
    }
}
