//! [`Server`]: local servers in a process of their own, which can be killed and come back where they were.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use super::program::Program;

/// Local servers. As long as they run they can be used like any other program.
pub(super) struct Server {
    program: Option<Program>,
    data: String,
    errors: PathBuf,
    /// Where REST clients connect, and all of BigQuery's.
    pub(super) endpoint: String,
    /// Where clients of Pub/Sub connect.
    pub(super) pubsub: String,
}

impl Server {
    /// Starts servers that keep what they hold in `directory`, under `name`.
    pub(super) fn start(directory: &Path, name: &str) -> Self {
        let data = directory.join(name).into_os_string().into_string().unwrap();
        let errors = directory.join(format!("{name}.txt"));
        let program = Program::start(&["local", "--data-dir", &data], &[], &errors);
        let endpoint = program.printed("export BIGQUERY_EMULATOR_HOST=");
        let pubsub = program.printed("export PUBSUB_EMULATOR_HOST=");
        program.printed("export CLOUD_SCHEDULER_EMULATOR_HOST=");
        Self { program: Some(program), data, errors, endpoint, pubsub }
    }

    /// Ends them at once, as a crash does.
    pub(super) fn kill(&mut self) {
        self.program.take().unwrap().kill();
    }

    /// Starts them again on the same port.
    pub(super) fn start_again(&mut self) {
        let (_, port) = self.endpoint.rsplit_once(':').unwrap();
        let arguments = ["local", "--data-dir", &self.data, "--port", port];
        let program = Program::start(&arguments, &[], &self.errors);
        assert_eq!(program.printed("export BIGQUERY_EMULATOR_HOST="), self.endpoint);
        program.printed("export PUBSUB_EMULATOR_HOST=");
        program.printed("export CLOUD_SCHEDULER_EMULATOR_HOST=");
        self.program = Some(program);
    }
}

impl Deref for Server {
    type Target = Program;

    fn deref(&self) -> &Program {
        self.program.as_ref().unwrap()
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Program {
        self.program.as_mut().unwrap()
    }
}
