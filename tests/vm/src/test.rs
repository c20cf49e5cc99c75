//! What a test is.

use std::error::Error;
use std::fmt;

use crate::guest::Guest;
use crate::host::Recorded;

/// How a test, or one side of it, went. An error that is a [`Skip`] means that it could not be tried here.
pub(crate) type Outcome = Result<(), Failure>;
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// A test; its name is that of its file.
pub(crate) struct Test {
    /// It runs once on each.
    pub(crate) controllers: &'static [Controller],
    /// Not in the ordinary list.
    pub(crate) full_only: bool,
    /// Kernel modules the guest part loads. The stack up to usbmon and the controller is there anyway.
    pub(crate) modules: &'static [&'static str],
    /// Programs the guest part runs: built by the project, or the system's.
    pub(crate) programs: &'static [&'static str],
    /// Files and folders of the system that those need.
    pub(crate) files: &'static [&'static str],
    /// Seconds after which the guest is killed: in the ordinary list, and in the full one.
    pub(crate) limits: (u64, u64),
    /// Shares its boot with no other test.
    pub(crate) alone: bool,
    /// What the kernel's command line ends with. Only of a test that is alone.
    pub(crate) command_line: &'static str,
    /// A control: it must fail, and the failure has these words in it.
    pub(crate) must_fail: Option<&'static str>,
    /// The part in the guest.
    pub(crate) guest: fn(&mut Guest) -> Outcome,
    /// What a process of its own in the guest does, if the test needs one ([`Guest::child`]).
    pub(crate) child: fn() -> Outcome,
    /// The part that looks at what was recorded, after QEMU has ended.
    pub(crate) host: Option<fn(&Recorded<'_>) -> Outcome>,
}

impl Test {
    pub(crate) const DEFAULT: Test = Test {
        controllers: &Controller::ALL,
        full_only: false,
        modules: &[],
        programs: &[],
        files: &[],
        limits: (30, 120),
        alone: false,
        command_line: "",
        must_fail: None,
        guest: |_| Ok(()),
        child: || Ok(()),
        host: None,
    };
}

/// The host controllers that QEMU has and a full-speed device works on. Behind its EHCI the device would be on a
/// companion, which is UHCI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    Uhci,
    Ohci,
    Xhci,
}

impl Controller {
    pub(crate) const ALL: [Controller; 3] = [Controller::Uhci, Controller::Ohci, Controller::Xhci];
    /// Those that have [`frame_bits`](Self::frame_bits): their driver knows in which frame a transfer began.
    pub(crate) const WITH_TRUE_FRAMES: [Controller; 2] = [Controller::Uhci, Controller::Ohci];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Controller::Uhci => "uhci",
            Controller::Ohci => "ohci",
            Controller::Xhci => "xhci",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Controller> {
        Controller::ALL.into_iter().find(|controller| controller.name() == name)
    }

    /// How many bits of the driver's frame numbers are the controller's, if they are its numbers at all. UHCI's driver
    /// carries its ten bits on, but loses wraps while nobody asks.
    pub(crate) fn frame_bits(self) -> Option<u32> {
        match self {
            Controller::Uhci => Some(10),
            Controller::Ohci => Some(16),
            Controller::Xhci => None,
        }
    }

    /// QEMU's name of it.
    pub(crate) fn device(self) -> &'static str {
        match self {
            Controller::Uhci => "piix3-usb-uhci",
            Controller::Ohci => "pci-ohci",
            Controller::Xhci => "qemu-xhci",
        }
    }

    /// The kernel's driver for it.
    pub(crate) fn module(self) -> &'static str {
        match self {
            Controller::Uhci => "uhci_hcd",
            Controller::Ohci => "ohci_pci",
            Controller::Xhci => "xhci_pci",
        }
    }
}

/// Why a test could not be tried.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Skip {}

/// Ends the test as failed, with a sentence, unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($sentence:tt)+) => {
        if !$holds {
            return Err(format!($($sentence)+).into());
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn true_frames_have_bits() {
        let mut with_bits = Controller::ALL.to_vec();
        with_bits.retain(|controller| controller.frame_bits().is_some());
        assert_eq!(with_bits, Controller::WITH_TRUE_FRAMES);
    }
}
