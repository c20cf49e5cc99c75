//! The emulated controller against devices that remember what they saw.
//!
//! Why always both sides? What the host is told and what the device saw are different facts; most tests here
//! compare the two.

mod control;
mod data;
mod faults;
mod profiles;
mod random;
mod rig;
mod time;
mod transfers;
