//! `VID:PID` and `VID:PID:SERIAL`: what addresses of real devices have in common on every system.

use crate::text::hexadecimal;

/// The device with these numbers; the first one, without a serial number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) vendor: u16,
    pub(crate) product: u16,
    pub(crate) serial: Option<String>,
}

impl Product {
    /// Reads one. What is wrong is said together with `forms`, which says what to write.
    pub(super) fn parse(text: &str, forms: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ':');
        let mut number = |name: &str| match parts.next() {
            None | Some("") => Err(format!("it has no {name}: {forms}")),
            Some(part) => hexadecimal(part)
                .ok_or_else(|| format!("`{part}` is no {name} of up to four hexadecimal digits: {forms}")),
        };
        let (vendor, product) = (number("vendor number")?, number("product number")?);
        match parts.next() {
            Some("") => Err(format!("its serial number is empty: {forms}")),
            serial => Ok(Product { vendor, product, serial: serial.map(str::to_owned) }),
        }
    }

    /// Whether a device with these numbers is meant; `has_serial` tells whether it has the serial number that is meant.
    pub(super) fn matches(&self, vendor: u16, product: u16, has_serial: impl FnOnce(&str) -> bool) -> bool {
        (self.vendor, self.product) == (vendor, product) && self.serial.as_deref().is_none_or(has_serial)
    }
}
