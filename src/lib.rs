//! A pretend movie-streaming company, its viewers, and the grader of the services that students build for it.
//!
//! The modules stand in reading order; each may use only those above it (`tests/it/layers.rs` holds the table).

pub mod clock;
pub mod coursefile;
pub mod lock;
pub mod meter;
pub mod seed;

pub mod world;

pub mod event;
pub mod exchange;
pub mod scorecard;

pub mod metrics;
pub mod rubric;

pub mod window;

pub mod sim;
pub mod trouble;

pub mod incident;

pub mod release;
pub mod yardstick;

pub mod twin;

pub mod alike;

pub mod door;

pub mod mirror;
pub mod repository;

pub mod sandbox;
pub mod stream;
pub mod telemetry;
pub mod traffic;

pub mod stand_in;

pub mod company;
pub mod submission;

pub mod course;
pub mod evidence;
pub mod store;

pub mod class;

pub mod grade;
pub mod report;
pub mod server;
pub mod starter;

pub mod cli;
