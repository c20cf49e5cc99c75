//! Control, bulk and interrupt transfers through WinUSB.
#![allow(unsafe_code)]

use isoch_core::rules::{Recipient, Setup};

use super::library::SetupPacket;
use super::shared::{DataFlight, Interface, Shared};
use super::{codes, system};
use crate::bus::{DataReport, DataRequest, DataTarget};
use crate::sync::Arc;
use crate::{Direction, Error};

/// WinUsb_ControlTransfer: at most 4 KB of data.
const MOST_CONTROL_BYTES: usize = 4096;

/// Starts a transfer. Its end is told to `done`, exactly once.
pub(super) fn submit(shared: &Arc<Shared>, request: DataRequest, done: Arc<dyn DataReport>) {
    if let DataTarget::Control(setup) = request.target
        && setup.is_clear_halt()
    {
        let cleared = reset_pipe(shared, setup.index as u8);
        return done.done(Vec::new(), cleared.map(|()| 0));
    }
    if let Err(error) = begin(shared, request, &done) {
        done.done(Vec::new(), Err(error));
    }
}

fn begin(shared: &Shared, request: DataRequest, done: &Arc<dyn DataReport>) -> Result<(), Error> {
    let mut data = request.data;
    let length = match request.target {
        DataTarget::Control(_) if data.len() > MOST_CONTROL_BYTES => {
            return Err(Error::Unsupported(format!(
                "WinUSB carries at most {MOST_CONTROL_BYTES} bytes in a control request: split the data"
            )));
        }
        _ => u32::try_from(data.len())
            .map_err(|_| Error::Argument("a transfer carries less than 4 GiB: split the data".into()))?,
    };
    let mut state = shared.lock();
    if state.gone {
        return Err(Error::Gone);
    }
    let (interface, endpoint) = match request.target {
        DataTarget::Control(setup) => (for_request(shared, &state, setup), None),
        DataTarget::Endpoint(endpoint) => {
            let interface = shared.interface_of(&state, endpoint).ok_or_else(|| missing(endpoint))?;
            state.check_usable(interface.number)?;
            (interface, Some(endpoint))
        }
    };
    let operation = shared.operation(&mut state)?;
    let (library, overlapped, none) = (shared.library, operation.overlapped(), std::ptr::null_mut());
    // SAFETY: data and OVERLAPPED stay in the list of flights until the transfer is over; moving the vector
    // does not move its bytes.
    let taken = unsafe {
        match request.target {
            DataTarget::Control(setup) => {
                let packet = SetupPacket {
                    request_type: setup.request_type,
                    request: setup.request,
                    value: setup.value,
                    index: setup.index,
                    length: setup.length,
                };
                let bytes = if data.is_empty() { none } else { data.as_mut_ptr() };
                let counted = std::ptr::null_mut();
                (library.control_transfer)(interface.handle, packet, bytes, length, counted, overlapped)
            }
            DataTarget::Endpoint(endpoint) => match Direction::of_endpoint(endpoint) {
                Direction::Out => (library.write_pipe)(
                    interface.handle,
                    endpoint,
                    data.as_ptr(),
                    length,
                    std::ptr::null_mut(),
                    overlapped,
                ),
                Direction::In => (library.read_pipe)(
                    interface.handle,
                    endpoint,
                    data.as_mut_ptr(),
                    length,
                    std::ptr::null_mut(),
                    overlapped,
                ),
            },
        }
    };
    let code = if taken == 0 { system::last_error() } else { codes::ERROR_IO_PENDING };
    if code != codes::ERROR_IO_PENDING {
        state.spare.push(operation);
        state.gone |= codes::is_gone(code);
        if state.gone {
            shared.nudge.set();
        }
        return Err(codes::data_error(code));
    }
    let done = Arc::clone(done);
    let deadline = request.timeout.map(|timeout| shared.host.now() + timeout);
    state.data.push(DataFlight {
        operation,
        data,
        done,
        interface,
        endpoint,
        deadline,
        timed_out: false,
        cancelled: false,
    });
    drop(state);
    shared.nudge.set();
    Ok(())
}

/// Cancels whatever was submitted with this `done`.
pub(super) fn cancel(shared: &Shared, done: &Arc<dyn DataReport>) {
    let mut state = shared.lock();
    if let Some(flight) = state.data.iter_mut().find(|flight| Arc::ptr_eq(&flight.done, done)) {
        flight.cancel(shared);
    }
    drop(state);
    shared.nudge.set();
}

/// Through which interface a request goes. WinUSB puts that interface's number into a request for an
/// interface, whatever the request says.
fn for_request(shared: &Shared, state: &super::shared::State, setup: Setup) -> Interface {
    let index = setup.index as u8;
    let found = match setup.recipient() {
        Recipient::Interface => shared.interface(index),
        Recipient::Endpoint => shared.interface_of(state, index),
        Recipient::Device | Recipient::Other => None,
    };
    found.unwrap_or_else(|| shared.first())
}

fn reset_pipe(shared: &Shared, endpoint: u8) -> Result<(), Error> {
    let interface = shared.interface_of(&shared.lock(), endpoint).ok_or_else(|| missing(endpoint))?;
    // SAFETY: the handle is open.
    match unsafe { (shared.library.reset_pipe)(interface.handle, endpoint) } {
        0 => Err(codes::data_error(system::last_error())),
        _ => Ok(()),
    }
}

fn missing(endpoint: u8) -> Error {
    Error::Unsupported(format!("endpoint {endpoint:#04x} is not in an alternate setting that is in force"))
}
