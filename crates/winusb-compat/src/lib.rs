//! The Win32 functions that a program for WinUSB uses around it: finding its device, opening it, events, texts
//! of errors. Empty on Windows, which has them.
//!
//! Why a library of its own, and why under other names (`winusb_compat_CreateFileA`, which `windows.h` maps)? So
//! that neither it nor libwinusb can collide with another Win32 layer in the same program. What is here is
//! policy: which device a GUID means, what a path looks like. The kernel objects themselves are libwinusb's, and
//! are reached only through its C functions (`sys.rs`), because the two are separate archives.
//!
//! Every function may be called with anything that a C program can get wrong short of a wild pointer, from any
//! thread.
#![cfg(not(windows))]

pub mod cfgmgr;
mod devices;
#[cfg(test)]
mod fake;
pub mod files;
pub mod guid;
pub mod memory;
pub mod messages;
mod paths;
mod sets;
pub mod setupapi;
mod sys;
mod text;
