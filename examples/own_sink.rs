//! A sink of one's own, exactly once: files that appear whole, and only with the checkpoint they belong to.
//!
//! When a checkpoint begins, a writer prepares: it writes what it has to a hidden file and says which. When the checkpoint is
//! durable it commits: the file gets its name. A crash in between commits again, which does no harm.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::fs;
use std::path::PathBuf;
use std::task::Poll;

use millstream::BoxError;
use millstream::batch::Batch;
use millstream::io::IoContext;
use millstream::prelude::*;
use millstream::sink::{Epoch, Sink, SinkWriter, WriteContext};

/// A folder to write to.
#[derive(Clone)]
struct Files(PathBuf);

/// Writes the share of one worker.
struct FileWriter {
    prefix: PathBuf,
    lines: String,
}

impl Sink<u64> for Files {
    type Writer = FileWriter;

    fn writer(&self, ctx: &IoContext) -> Result<FileWriter, BoxError> {
        let prefix = self.0.join(format!("worker-{}", ctx.worker));
        Ok(FileWriter { prefix, lines: String::new() })
    }
}

impl SinkWriter<u64> for FileWriter {
    type Committable = PathBuf;

    fn write(&mut self, batch: &mut Batch<u64>, _: &mut WriteContext<'_>) -> Result<(), BoxError> {
        batch.drain().for_each(|(_, _, number)| self.lines.push_str(&format!("{number}\n")));
        Ok(())
    }

    fn poll_prepare(
        &mut self,
        epoch: Epoch,
        _: &mut WriteContext<'_>,
    ) -> Poll<Result<PathBuf, BoxError>> {
        let hidden = self.prefix.with_extension(format!("{epoch}.hidden"));
        let written = fs::write(&hidden, std::mem::take(&mut self.lines));
        Poll::Ready(written.map(|()| hidden).map_err(BoxError::from))
    }

    fn commit(&mut self, _: Epoch, hidden: PathBuf, _: bool) -> Result<(), BoxError> {
        // A file that is hidden no more was committed before.
        if hidden.exists() {
            Ok(fs::rename(&hidden, hidden.with_extension("txt"))?)
        } else {
            Ok(())
        }
    }
}

fn main() -> Result<(), BoxError> {
    let directory =
        std::env::temp_dir().join(format!("millstream-own-sink-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let pipeline = Pipeline::new();
    pipeline.create("Numbers", 1..=1_000_u64).write("Files", Files(directory.clone()));
    Engine::builder().workers(2).run(&pipeline)?;
    let mut sum = 0;
    for entry in fs::read_dir(&directory)? {
        let path = entry?.path();
        assert!(path.extension().is_some_and(|extension| extension == "txt"), "all is committed");
        sum += fs::read_to_string(path)?
            .lines()
            .map_while(|line| line.parse::<u64>().ok())
            .sum::<u64>();
    }
    fs::remove_dir_all(&directory)?;
    println!("the numbers in the files add up to {sum}");
    Ok(())
}
