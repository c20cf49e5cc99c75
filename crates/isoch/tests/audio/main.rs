//! Playing to and recording from emulated audio devices: what arrived, on which frames, at which rate.
//!
//! All of it runs in emulated time that only passes while somebody waits, so nothing here is ever late
//! because a machine was busy.
#![cfg(feature = "virtual")]

mod follow;
mod instrument;
mod play;
mod record;
mod rig;
