//! The tests that go through the doors of the crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod alike;
mod assignments;
mod attacks;
mod besieged;
mod broker;
mod calendar;
mod classroom;
mod company;
mod containers;
mod current;
mod feedback;
mod forty;
mod frameworks;
mod golden;
mod golden_metrics;
mod graded;
mod habits;
mod hostile;
mod incidents;
mod inspect;
mod interrupt;
mod isolation;
#[cfg(feature = "kafka")]
mod kafka;
mod layers;
mod lost;
mod merge;
mod mirror;
mod misfortune;
mod model;
#[cfg(not(feature = "kafka"))]
mod no_queue;
mod packages;
#[cfg(feature = "kafka")]
mod queue;
mod report;
mod restart;
mod sandbox;
mod secrets;
mod serve;
mod sim;
mod solutions;
mod starter;
mod stream;
mod told;
mod traffic;
mod trouble;
mod update;
mod windows;
mod world;
mod yardstick;
mod zoo;
