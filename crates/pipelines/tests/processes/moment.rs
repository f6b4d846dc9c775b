//! [`Moment`]: when in the life of a process something happens to it, by what it has come to and then by time.

use std::time::Duration;

use fastrand::Rng;

use super::program::until;
use super::scene::{Pipeline, Scene};

/// A moment in a process's life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) reached: Reached,
    /// How long after that.
    pub(super) delay: Duration,
}

/// What a process has come to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reached {
    /// It exists.
    Start,
    /// It was given messages.
    Deliveries,
    /// It has appended rows.
    Appends,
    /// It has begun to write a checkpoint, or to remove one.
    Checkpoint,
    /// Its first acknowledgements have come: a checkpoint is durable.
    Acknowledgements,
    /// Its watermark goes by what is read again, as everything leased to the processes before has come back.
    Watermark,
}

impl Moment {
    /// Any moment but those after a long wait.
    pub(super) fn any(random: &mut Rng) -> Self {
        let (reached, most) = match random.u32(0..10) {
            // Long enough that the end of these moments is in the midst of work.
            0..3 => (Reached::Start, 1_000),
            3 => (Reached::Deliveries, 400),
            4 => (Reached::Appends, 200),
            5..8 => (Reached::Checkpoint, 20),
            _ => (Reached::Acknowledgements, 300),
        };
        Self { reached, delay: Duration::from_millis(random.u64(0..=most)) }
    }

    /// Any such moment of a process that writes no checkpoints.
    pub(super) fn without_checkpoints(random: &mut Rng) -> Self {
        loop {
            let moment = Self::any(random);
            if !matches!(moment.reached, Reached::Checkpoint) {
                return moment;
            }
        }
    }

    /// Waits for it, with more flights published as soon as the process is at work.
    pub(super) async fn come(self, scene: &mut Scene, pipeline: &mut Pipeline, flights: usize) {
        let before = Before::of(scene);
        scene.publish(flights / 2).await;
        until(&format!("{self:?}"), || {
            let ended = pipeline.program.has_ended();
            assert!(!ended, "it is over: {}", pipeline.program.errors());
            match self.reached {
                Reached::Start => true,
                Reached::Deliveries => scene.subscription("delivered") > before.delivered,
                Reached::Appends => scene.appended() > before.appended,
                Reached::Checkpoint => checkpoint_files(scene) != before.files,
                Reached::Acknowledgements => {
                    scene.subscription("acknowledged") > before.acknowledged
                }
                Reached::Watermark => pipeline.is_past_restored_watermark(),
            }
        })
        .await;
        scene.publish(flights - flights / 2).await;
        tokio::time::sleep(self.delay).await;
    }
}

/// How things stand before a process has done anything.
struct Before {
    delivered: u64,
    acknowledged: u64,
    appended: u64,
    files: Vec<String>,
}

impl Before {
    fn of(scene: &Scene) -> Self {
        Self {
            delivered: scene.subscription("delivered"),
            acknowledged: scene.subscription("acknowledged"),
            appended: scene.appended(),
            files: checkpoint_files(scene),
        }
    }
}

fn checkpoint_files(scene: &Scene) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(scene.path("checkpoints/engine")) else {
        return Vec::new();
    };
    let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<String> = entries.map_while(Result::ok).map(name).collect();
    names.sort();
    names
}
