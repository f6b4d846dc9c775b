//! The predefined millstream pipelines and the millstream program.
