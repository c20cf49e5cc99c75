//! Power policies: kept and told, device-wide.
//!
//! They are accepted and have no effect: nothing here suspends a device behind its program's back.

use crate::failure::Failure;

const AUTO_SUSPEND: u32 = 0x81;
const SUSPEND_DELAY: u32 = 0x83;

/// The power policies of a device.
pub(crate) struct PowerPolicies {
    auto_suspend: bool,
    suspend_delay_milliseconds: u32,
}

impl Default for PowerPolicies {
    fn default() -> Self {
        // The defaults of a device whose INF says nothing ("winusb-power-management").
        PowerPolicies { auto_suspend: false, suspend_delay_milliseconds: 5000 }
    }
}

impl PowerPolicies {
    /// SetPowerPolicy: the value's bytes, as the program gave them.
    pub(crate) fn set(&mut self, policy: u32, value: &[u8]) -> Result<(), Failure> {
        match (policy, value) {
            (AUTO_SUSPEND, [value]) => self.auto_suspend = *value != 0,
            (SUSPEND_DELAY, &[a, b, c, d]) => {
                self.suspend_delay_milliseconds = u32::from_ne_bytes([a, b, c, d])
            }
            (AUTO_SUSPEND | SUSPEND_DELAY, _) => return Err(wrong_length(policy)),
            _ => return Err(unknown(policy)),
        }
        Ok(())
    }

    /// GetPowerPolicy: the value's bytes and how many there are.
    pub(crate) fn get(&self, policy: u32) -> Result<([u8; 4], usize), Failure> {
        match policy {
            AUTO_SUSPEND => Ok(([u8::from(self.auto_suspend), 0, 0, 0], 1)),
            SUSPEND_DELAY => Ok((self.suspend_delay_milliseconds.to_ne_bytes(), 4)),
            _ => Err(unknown(policy)),
        }
    }
}

fn unknown(policy: u32) -> Failure {
    Failure::argument(format!(
        "there is no power policy {policy:#x}: AUTO_SUSPEND is 0x81, SUSPEND_DELAY 0x83"
    ))
}

fn wrong_length(policy: u32) -> Failure {
    Failure::argument(format!(
        "power policy {policy:#x} has another size: AUTO_SUSPEND 1 byte, SUSPEND_DELAY 4"
    ))
}
