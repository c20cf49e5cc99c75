//! `usb:` addresses.

use crate::backend::product::Product;

/// Whom an address means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Product(Product),
    /// Whatever is plugged in at a place: the bus and the ports on the way, by the kernel's name (`3-1.2`).
    Port(String),
}

/// Reads what stands behind `usb:`.
pub(crate) fn parse(text: &str) -> Result<Wanted, String> {
    const FORMS: &str = "write `usb:VID:PID`, `usb:VID:PID:SERIAL` (numbers in hexadecimal), or `usb:BUS-PORT`, as \
                         in `usb:3-1.2`";
    if is_port(text) {
        return Ok(Wanted::Port(text.to_owned()));
    }
    Product::parse(text, FORMS).map(Wanted::Product)
}

/// A name as the kernel makes it (`drivers/usb/core/usb.c`, `usb_alloc_dev`): bus, `-`, ports with `.` between.
fn is_port(text: &str) -> bool {
    let is_number = |part: &str| {
        (1..=3).contains(&part.len()) && !part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit())
    };
    text.split_once('-').is_some_and(|(bus, ports)| is_number(bus) && ports.split('.').all(is_number))
}

impl Wanted {
    /// Whether a device with these numbers at this place is meant.
    pub(crate) fn matches(&self, vendor: u16, product: u16, serial: Option<&str>, port: &str) -> bool {
        match self {
            Wanted::Port(wanted) => wanted == port,
            Wanted::Product(wanted) => wanted.matches(vendor, product, |wanted| serial == Some(wanted)),
        }
    }
}

/// The address of the device at a place.
pub(crate) fn address(port: &str) -> String {
    format!("usb:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(serial: Option<&str>) -> Wanted {
        Wanted::Product(Product { vendor: 0x46f4, product: 2, serial: serial.map(str::to_owned) })
    }

    #[test]
    fn numbers_places_and_serial_numbers() {
        assert_eq!(parse("46f4:0002"), Ok(product(None)));
        assert_eq!(parse("46F4:2:A:b"), Ok(product(Some("A:b"))));
        assert_eq!(parse("3-1.2"), Ok(Wanted::Port("3-1.2".into())));
        assert!(parse("1-1").unwrap().matches(1, 2, None, "1-1"));
        assert!(!parse("1-1").unwrap().matches(1, 2, None, "1-1.1"));
        assert!(product(None).matches(0x46f4, 2, Some("x"), "1-1"));
        assert!(!product(Some("y")).matches(0x46f4, 2, Some("x"), "1-1"));
        assert!(!product(Some("y")).matches(0x46f4, 2, None, "1-1"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("", "no vendor number"),
            ("46f4", "no product number"),
            ("46f4:", "no product number"),
            ("46f4:12345", "`12345`"),
            ("46f4:+2", "`+2`"),
            ("46f4:2:", "serial number is empty"),
            ("1-", "`1-`"),
            ("1-01", "`1-01`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part) && error.contains("usb:BUS-PORT"), "{text}: {error}");
        }
    }
}
