//! What stands between a program and its stream: rights, drivers, memory, and what the controller can promise.
//!
//! Why ask beforehand, when every error says what to do? Because an error comes one at a time, in the middle
//! of something, and some troubles never are errors: a controller that slides in silence, a thread that wakes
//! up late. And because who may not do something often may not see why either: then that is what is said
//! ([`Verdict::Unknown`]), and who could see it.
//!
//! ```
//! for finding in isoch::doctor::diagnose(None)?.findings() {
//!     println!("{}: {}", finding.verdict, finding.what);
//! }
//! # Ok::<(), isoch::Error>(())
//! ```

#[cfg(all(target_os = "linux", not(shuttle)))]
mod linux;
mod report;
mod rule;

pub use report::{Examined, Finding, Report, Topic, Verdict};
pub use rule::UdevRule;

use crate::Error;
use crate::address::Address;
use crate::open::no_such_bus;

/// Looks at the machine, and at the device of an address: without one, at every device that is plugged in and
/// has isochronous endpoints. What the parameters of the address ask for and cannot have is a problem. Changes nothing,
/// and disturbs no stream.
///
/// # Errors
/// [`Error::Address`] if the address cannot be read. That its device is not plugged in, or its bus is another
/// system's, is a finding.
pub fn diagnose(address: Option<&str>) -> Result<Report, Error> {
    let Some(text) = address else { return Ok(machine()) };
    let address = Address::parse(text)?;
    match address.scheme.as_str() {
        #[cfg(feature = "virtual")]
        "virtual" => Ok(Report::of_bus(Finding::ok(
            Topic::Bus,
            "emulated devices live in the program that opens them: they need no rights, no memory of the system's and \
             no hardware",
        ))),
        "winusb" if cfg!(windows) => Ok(Report::of_bus(Finding::unknown(
            Topic::Bus,
            "Windows tells beforehand neither who has a device open nor what its driver allows",
            "open it: what stands in the way is said then",
        ))),
        #[cfg(all(target_os = "linux", not(shuttle)))]
        "usb" => linux::device(&linux::System::real(), &address),
        "winusb" => Ok(elsewhere("winusb", "Windows", "on Linux it is `usb:VID:PID`")),
        #[cfg(not(all(target_os = "linux", not(shuttle))))]
        "usb" => Ok(elsewhere("usb", "Linux", "on Windows it is `winusb:VID:PID`")),
        _ => Err(no_such_bus(&address)),
    }
}

fn elsewhere(bus: &str, system: &str, remedy: &str) -> Report {
    let what = format!("the bus `{bus}` exists on {system} only");
    Report::of_bus(Finding::problem(Topic::Bus, what, remedy))
}

/// The rule that lets whoever sits at this machine use a device (Linux).
///
/// # Errors
/// [`Error::Address`] if the address cannot be read, or its devices need no rule; [`Error::NotFound`] if it names a
/// place and nothing is plugged in there.
pub fn udev_rule(address: &str) -> Result<UdevRule, Error> {
    let address = Address::parse(address)?;
    match address.scheme.as_str() {
        #[cfg(all(target_os = "linux", not(shuttle)))]
        "usb" => linux::udev_rule(&linux::System::real(), &address),
        "virtual" => Err(address.error("emulated devices need no rights, so there is no rule for them")),
        "winusb" if cfg!(windows) => Err(address.error("udev and its rules are Linux'")),
        _ => Err(no_such_bus(&address)),
    }
}

fn machine() -> Report {
    #[cfg(all(target_os = "linux", not(shuttle)))]
    return linux::machine(&linux::System::real());
    #[cfg(not(all(target_os = "linux", not(shuttle))))]
    Report::of_bus(Finding::unknown(
        Topic::System,
        "of this system nothing is known beforehand",
        "`isoch list` shows what can be opened; emulated devices always can",
    ))
}
