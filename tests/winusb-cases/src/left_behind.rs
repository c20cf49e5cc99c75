//! What a case has opened, and closing it all.
//!
//! Why does a case fail if something is left? A library that keeps a device after its file was closed keeps it
//! from the next program, and no return value says so.

use crate::case::{Argument, Call, Expression, Place};
use crate::memory::Memory;
use crate::run::Run;
use crate::variables::Variable;

/// What has to be given back.
#[derive(Debug, Default)]
pub(crate) struct Open {
    interfaces: Vec<u64>,
    registered: Vec<u64>,
    /// Interface and tracking handles.
    tracked: Vec<(u64, u64)>,
}

impl Run<'_> {
    /// Keeps a result, and which interface handles have to be freed.
    pub(crate) fn remember(&mut self, call: &Call, arguments: &[u64], got: u64) -> Result<(), String> {
        if let Some(name) = &call.result {
            self.variables.known.insert(name.clone(), Variable::Number(i128::from(got)));
        }
        match (call.function.name, got, call.arguments.last()) {
            ("WinUsb_Initialize" | "WinUsb_GetAssociatedInterface", 1, Some(Argument::Out(name, _))) => {
                let place = Place { name: name.clone(), index: None, field: None };
                self.open.interfaces.push(self.variables.place(&place)? as u64);
            }
            ("WinUsb_RegisterIsochBuffer", 1, Some(Argument::Out(name, _))) => {
                let place = Place { name: name.clone(), index: None, field: None };
                self.open.registered.push(self.variables.place(&place)? as u64);
            }
            ("WinUsb_StartTrackingForTimeSync", 1, Some(Argument::Value(Expression::Place(place)))) => {
                let field = Some("TimeTrackingHandle".into());
                let handle = self.variables.place(&Place { field, ..place.clone() })? as u64;
                self.open.tracked.push((arguments.first().copied().unwrap_or(0), handle));
            }
            ("WinUsb_Free", 1, _) => self.open.interfaces.retain(|known| Some(known) != arguments.first()),
            ("WinUsb_UnregisterIsochBuffer", 1, _) => {
                self.open.registered.retain(|known| Some(known) != arguments.first());
            }
            _ => {}
        }
        Ok(())
    }

    /// As a careful program ends: cancel, unregister, free, close.
    pub(crate) fn clean_up(&mut self) {
        let files = self.variables.known.values().filter_map(|variable| match variable {
            Variable::File { handle, .. } => Some(*handle),
            _ => None,
        });
        let files: Vec<u64> = files.collect();
        for file in &files {
            self.library.call_named("WinUsbX_CancelIoEx", &[*file, 0]);
        }
        for registered in std::mem::take(&mut self.open.registered) {
            self.library.call_named("WinUsb_UnregisterIsochBuffer", &[registered]);
        }
        for (interface, tracking) in std::mem::take(&mut self.open.tracked) {
            let stop = Memory::new(8);
            stop.fill(0, 8, 0);
            stop.write(0, size_of::<usize>(), tracking);
            self.library.call_named("WinUsb_StopTrackingForTimeSync", &[interface, stop.address()]);
        }
        for interface in std::mem::take(&mut self.open.interfaces) {
            self.library.call_named("WinUsb_Free", &[interface]);
        }
        for file in files {
            self.library.call_named("WinUsbX_CloseHandle", &[file]);
        }
    }

    /// A bus and its devices are listed as long as somebody holds them. On Windows closing a file is noticed
    /// a moment later, so nothing can be said.
    pub(crate) fn devices_listed(&self) -> u64 {
        if cfg!(windows) {
            return 0;
        }
        let count = Memory::new(4);
        count.fill(0, 4, 0);
        self.library.call_named("WinUsbX_ListDevices", &[0, count.address()]);
        count.read(0, 4).unwrap_or(0)
    }
}
