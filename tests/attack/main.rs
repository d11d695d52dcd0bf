//! Damaged files, kills, full disks, crowds, random programs and hostile redirects.
//! `cargo test` runs a few cases of each, `.ci/attack` many.
#![cfg(unix)]

#[cfg(feature = "hub")]
mod cache;
mod child;
#[cfg(feature = "hub")]
mod crowd;
mod full;
mod kill;
mod mutations;
#[allow(dead_code, reason = "the tests of surgery use the rest")]
#[path = "../surgery/networks.rs"]
mod networks;
#[path = "../support/noise.rs"]
mod noise;
mod programs;
#[path = "../support/random_layers.rs"]
mod random_layers;
#[cfg(feature = "hub")]
mod redirects;
mod small;
#[cfg(feature = "hub")]
#[path = "../support/mod.rs"]
mod support;
mod writers;

use noise::noise;
