//! The transforms, one file each: inherent methods of [`crate::PCollection`] and [`crate::Pipeline`].

pub mod co_group;
pub mod combine;
pub mod create;
pub mod deduplicate;
pub mod element_wise;
pub mod flatten;
pub mod group;
pub mod impulse;
pub mod par_do;
pub mod partition;
pub mod read;
pub mod reshuffle;
pub mod try_map;
pub mod window;
pub mod write;
