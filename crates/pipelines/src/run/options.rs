//! [`RunOptions`]: the command-line options of a run, and the configuration they make.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use millstream_io_gcp::bigquery::TableReference;
use millstream_io_gcp::connection::{Connection, Credentials};
use millstream_local_gcp::scheduler::Schedule;

use super::api::ApiOptions;
use super::error::RunError;
use super::job::JobOptions;
use crate::replay::Pace;
use crate::scheduled_ingest::ScheduledIngestConfig;

/// The project of the local servers.
const LOCAL_PROJECT: &str = "demo";

/// Options of a run.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct RunOptions {
    /// The file to replay: CSV, plain or gzipped, with the columns of the example's data
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Write the final summary to FILE as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write the resulting tables to DIR as CSV, aggregates by the last pane of each window
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
    /// Keep running after the data is through, until SIGINT or SIGTERM
    #[arg(long)]
    pub follow: bool,
    /// Hours of flights that pass in a second
    #[arg(long, value_name = "HOURS", default_value_t = 72.0)]
    pub speed_up: f64,
    /// Publish so many messages a second instead; 0 is as many as go
    #[arg(long, value_name = "MESSAGES", conflicts_with = "speed_up")]
    pub rate: Option<f64>,
    /// Milliseconds between two ticks of the schedule
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub interval: u64,
    /// A cron schedule instead, such as "*/3 * * * *", or "every 5 minutes"
    #[arg(long, value_name = "CRON", conflicts_with = "interval")]
    pub schedule: Option<String>,
    /// The time zone of the cron schedule, such as Europe/Berlin; by default UTC
    #[arg(long, value_name = "ZONE", requires = "schedule")]
    pub time_zone: Option<String>,
    /// Checkpoints, workers, status pages
    #[command(flatten)]
    pub job: JobOptions,
    /// The read API
    #[command(flatten)]
    pub api: ApiOptions,
    /// Use Google Cloud, or the emulators that PUBSUB_EMULATOR_HOST and BIGQUERY_EMULATOR_HOST name, with this project
    #[arg(long, value_name = "PROJECT")]
    pub project: Option<String>,
    /// The topic to publish to, by name or as projects/P/topics/T
    #[arg(long, value_name = "TOPIC", default_value = "flights")]
    pub topic: String,
    /// The subscription to read, by name or as projects/P/subscriptions/S
    #[arg(long, value_name = "SUBSCRIPTION", default_value = "flights")]
    pub subscription: String,
    /// The table of flights: dataset.table or project.dataset.table
    #[arg(long, value_name = "TABLE", default_value = "departures.flights")]
    pub table: String,
    /// The table of aggregates
    #[arg(long, value_name = "TABLE", default_value = "departures.carrier_hours")]
    pub aggregates_table: String,
    /// The table of dead letters
    #[arg(long, value_name = "TABLE", default_value = "departures.dead_letters")]
    pub dead_letters_table: String,
    /// The key file to sign in with instead of the application default credentials
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// The options as they are when none is given.
impl Default for RunOptions {
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct Defaults {
            #[command(flatten)]
            options: RunOptions,
        }
        <Defaults as clap::Parser>::parse_from(["run"]).options
    }
}

impl RunOptions {
    /// The project that names without one belong to.
    #[must_use]
    pub fn project(&self) -> &str {
        self.project.as_deref().unwrap_or(LOCAL_PROJECT)
    }

    /// The topic's full name.
    #[must_use]
    pub fn topic_name(&self) -> String {
        self.resource("topics", &self.topic)
    }

    fn resource(&self, collection: &str, name: &str) -> String {
        if name.contains('/') {
            name.to_owned()
        } else {
            format!("projects/{}/{collection}/{name}", self.project())
        }
    }

    /// How fast the file is replayed.
    ///
    /// # Errors
    /// When the speed or rate is none.
    pub fn pace(&self) -> Result<Pace, RunError> {
        let number = self.rate.unwrap_or(self.speed_up);
        let is_fine = number.is_finite() && (number > 0.0 || self.rate == Some(0.0));
        if !is_fine {
            return Err(RunError::Option(format!("{number} is no speed")));
        }
        Ok(match self.rate {
            Some(0.0) => Pace::AtOnce,
            Some(rate) => Pace::MessagesPerSecond(rate),
            None => Pace::HoursPerSecond(self.speed_up),
        })
    }

    /// When the next slice of the file is due.
    ///
    /// # Errors
    /// When the interval is too short, or the cron schedule or its time zone is none.
    pub fn schedule(&self) -> Result<Schedule, RunError> {
        let time_zone = self.time_zone.as_deref().unwrap_or_default();
        Ok(match &self.schedule {
            Some(schedule) => Schedule::parse(schedule, time_zone)?,
            None => Schedule::every(Duration::from_millis(self.interval))?,
        })
    }

    /// The schedule, for people.
    pub(super) fn schedule_text(&self) -> String {
        let zone = self.time_zone.as_deref().unwrap_or("UTC");
        match &self.schedule {
            Some(schedule) => format!("by {schedule:?} in {zone}"),
            None => format!("every {} ms", self.interval),
        }
    }

    /// Name of the scheduler's job that publishes the slices.
    #[must_use]
    pub fn job_name(&self) -> String {
        format!("projects/{}/locations/local/jobs/feed-flights", self.project())
    }

    /// Whether a service is one of this process: it is, unless a project or the service's emulator variable is given.
    #[must_use]
    pub fn is_local(&self, emulator_variable: &str) -> bool {
        let is_set = std::env::var(emulator_variable).is_ok_and(|host| !host.trim().is_empty());
        self.project.is_none() && !is_set
    }

    /// How a service that is not local is reached.
    #[must_use]
    pub fn remote(&self) -> Connection {
        match &self.key_file {
            Some(path) => Connection::new().with_credentials(Credentials::KeyFile(path.clone())),
            None => Connection::new(),
        }
    }

    /// The configuration of the pipeline, connected to these places.
    ///
    /// # Errors
    /// When the name of a table is none.
    pub fn config(
        &self,
        pubsub: Connection,
        bigquery: Connection,
    ) -> Result<ScheduledIngestConfig, RunError> {
        let mut config = ScheduledIngestConfig::flights(
            self.resource("subscriptions", &self.subscription),
            self.table_reference(&self.table)?,
            self.table_reference(&self.aggregates_table)?,
            self.table_reference(&self.dead_letters_table)?,
        );
        config.pubsub = pubsub;
        config.bigquery = bigquery;
        Ok(config)
    }

    fn table_reference(&self, name: &str) -> Result<TableReference, RunError> {
        let has_project = name.contains(':') || name.matches('.').count() >= 2;
        let text = if has_project { name.to_owned() } else { format!("{}.{name}", self.project()) };
        Ok(text.parse()?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: RunOptions,
    }

    fn options(arguments: &[&str]) -> RunOptions {
        Cli::try_parse_from(std::iter::once(&"run").chain(arguments)).unwrap().options
    }

    #[test]
    fn names_are_completed_with_the_project() {
        let arguments =
            ["--project", "acme", "--topic", "projects/other/topics/t", "--table", "d.t"];
        let options = options(&arguments);
        let config = options.config(Connection::new(), Connection::new()).unwrap();
        assert_eq!(config.subscription, "projects/acme/subscriptions/flights");
        assert_eq!(options.topic_name(), "projects/other/topics/t");
        assert_eq!(config.tables.rows.to_string(), "acme.d.t");
        assert_eq!(config.tables.aggregates.to_string(), "acme.departures.carrier_hours");
        let config = options_with_table("x-y.d.t");
        assert_eq!(config.unwrap().tables.rows.to_string(), "x-y.d.t");
        assert!(options_with_table("just_a_table").is_err());
    }

    fn options_with_table(name: &str) -> Result<ScheduledIngestConfig, RunError> {
        options(&["--table", name]).config(Connection::new(), Connection::new())
    }

    #[test]
    fn a_pace_is_a_speed_or_a_rate() {
        assert_eq!(options(&[]).pace().unwrap(), Pace::HoursPerSecond(72.0));
        assert_eq!(options(&["--rate", "500"]).pace().unwrap(), Pace::MessagesPerSecond(500.0));
        assert_eq!(options(&["--rate", "0"]).pace().unwrap(), Pace::AtOnce);
        for wrong in ["0", "-1", "inf", "NaN"] {
            let option = format!("--speed-up={wrong}");
            assert!(options(&[&option]).pace().is_err(), "{wrong}");
        }
        assert!(Cli::try_parse_from(["run", "--rate", "1", "--speed-up", "2"]).is_err());
    }

    #[test]
    fn a_schedule_is_an_interval_or_a_cron_in_a_time_zone() {
        let text = |arguments: &[&str]| options(arguments).schedule().unwrap().to_string();
        assert_eq!(text(&[]), "every 100ms");
        assert_eq!(text(&["--schedule", "*/3 * * * *"]), "*/3 * * * * Etc/UTC");
        let berlin = ["--schedule", "0 9 * * MON", "--time-zone", "Europe/Berlin"];
        assert_eq!(text(&berlin), "0 9 * * MON Europe/Berlin");
        assert!(options(&["--schedule", "at noon"]).schedule().is_err());
        assert!(options(&["--interval", "0"]).schedule().is_err());
        for wrong in [&["--schedule", "* * * * *", "--interval", "5"][..], &["--time-zone", "UTC"]]
        {
            assert!(Cli::try_parse_from([&["run"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }
}
