//! The tests that go through the doors of the crate.

mod layers;
mod sandbox;
mod traffic;
