//! `winusb:` addresses, and the names that Windows gives USB devices.

use crate::backend::product::Product;
use crate::text::hexadecimal;

/// Whom an address means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A device-interface path, for `CreateFile` as it is.
    Path(String),
    Product(Product),
}

/// Reads what stands behind `winusb:`.
pub(super) fn parse(text: &str) -> Result<Wanted, String> {
    const FORMS: &str = "write `winusb:VID:PID`, `winusb:VID:PID:SERIAL` (numbers in hexadecimal), or `winusb:` and \
                         a device-interface path, as in `winusb:\\\\?\\usb#…`";
    if text.starts_with(r"\\?\") || text.starts_with(r"\\.\") {
        return Ok(Wanted::Path(text.to_owned()));
    }
    Product::parse(text, FORMS).map(Wanted::Product)
}

impl Wanted {
    /// Whether a device with these numbers is meant.
    pub(super) fn matches(&self, vendor: u16, product: u16, serial: Option<&str>) -> bool {
        match self {
            Wanted::Path(_) => false,
            // Windows writes the serial number in capitals.
            Wanted::Product(wanted) => wanted.matches(vendor, product, |wanted| {
                serial.is_some_and(|serial| wanted.eq_ignore_ascii_case(serial))
            }),
        }
    }
}

/// The address of a device with these numbers.
pub(super) fn address(vendor: u16, product: u16, serial: Option<&str>) -> String {
    match serial {
        Some(serial) if !serial.is_empty() => format!("winusb:{vendor:04x}:{product:04x}:{serial}"),
        _ => format!("winusb:{vendor:04x}:{product:04x}"),
    }
}

/// What a device's instance identifier tells: `USB\VID_1235&PID_8214&MI_01\SERIAL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) vendor: u16,
    pub(super) product: u16,
    /// One function of several; the serial number is its parent's then.
    pub(super) is_function: bool,
    /// As the device gave it. What Windows made up itself, which has `&` in it, is none.
    pub(super) serial: Option<String>,
}

impl Instance {
    pub(super) fn parse(identifier: &str) -> Option<Self> {
        let mut parts = identifier.split('\\');
        if !parts.next()?.eq_ignore_ascii_case("USB") {
            return None;
        }
        let hardware = parts.next()?;
        let field = |prefix: &str| {
            let mut fields = hardware.split('&');
            fields.find_map(|field| {
                let (head, tail) = field.split_at_checked(prefix.len())?;
                head.eq_ignore_ascii_case(prefix).then_some(tail)
            })
        };
        let is_function = field("MI_").is_some();
        let serial = parts.next().filter(|serial| !is_function && !serial.contains('&'));
        Some(Instance {
            vendor: hexadecimal(field("VID_")?)?,
            product: hexadecimal(field("PID_")?)?,
            is_function,
            serial: serial.map(str::to_owned),
        })
    }
}

/// The number of an interface class: `{da812bff-12c3-46a2-8e2b-dbd3b7834c43}`.
pub(super) fn class(text: &str) -> Option<u128> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let lengths = inner.split('-').map(str::len);
    let digits: String = inner.split('-').collect();
    let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !lengths.eq([8, 4, 4, 4, 12]) || !is_hexadecimal {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(vendor: u16, product: u16, serial: Option<&str>) -> Wanted {
        Wanted::Product(Product { vendor, product, serial: serial.map(str::to_owned) })
    }

    #[test]
    fn addresses_name_numbers_or_a_path() {
        assert_eq!(parse("1235:8214"), Ok(product(0x1235, 0x8214, None)));
        assert_eq!(parse("45e:2fA:AB:12"), Ok(product(0x45e, 0x2fa, Some("AB:12"))));
        let path = r"\\?\usb#vid_1235&pid_8214#6&1#{da812bff-12c3-46a2-8e2b-dbd3b7834c43}";
        assert_eq!(parse(path), Ok(Wanted::Path(path.into())));
        for bad in ["", ":", "1235", "1235:", "12345:1", "+123:1", "12g4:1", "1235:8214:", "ü:ü"] {
            let reason = parse(bad).unwrap_err();
            assert!(reason.contains("winusb:VID:PID"), "{bad}: {reason}");
        }
    }

    #[test]
    fn an_address_leads_back_to_its_device() {
        for serial in [None, Some("A7"), Some("a:b")] {
            let text = address(0x1209, 0x0001, serial);
            let wanted = parse(text.strip_prefix("winusb:").unwrap()).unwrap();
            assert!(wanted.matches(0x1209, 1, serial));
            assert!(!wanted.matches(0x1209, 2, serial));
        }
        assert!(product(1, 2, Some("ab")).matches(1, 2, Some("AB")));
        assert!(!product(1, 2, Some("ab")).matches(1, 2, None));
    }

    #[test]
    fn classes() {
        let class_of_examples = "{DA812BFF-12c3-46A2-8E2B-DBD3B7834C43}";
        assert_eq!(class(class_of_examples), Some(0xda81_2bff_12c3_46a2_8e2b_dbd3_b783_4c43));
        for bad in ["", "{}", "DA812BFF-12c3-46A2-8E2B-DBD3B7834C43", "{DA812BFF12c3-46A2-8E2B-DBD3B7834C43}"]
        {
            assert_eq!(class(bad), None, "{bad}");
        }
        assert_eq!(class("{+A812BFF-12c3-46A2-8E2B-DBD3B7834C43}"), None);
    }

    #[test]
    fn instance_identifiers() {
        let parsed = Instance::parse(r"USB\VID_1235&PID_8214\S1KX7TW0B0A2C3").unwrap();
        assert_eq!(
            parsed,
            Instance {
                vendor: 0x1235,
                product: 0x8214,
                is_function: false,
                serial: Some("S1KX7TW0B0A2C3".into())
            }
        );
        assert_eq!(Instance::parse(r"USB\VID_1235&PID_8214\6&2A3B&0&3").unwrap().serial, None);
        let function = Instance::parse(r"usb\vid_045e&pid_02fa&mi_01\7&1&0&1").unwrap();
        assert!(function.is_function && function.serial.is_none());
        for bad in ["", "USB", r"USB\ROOT_HUB30\4&1", r"PCI\VID_8086&PID_1234\3", r"USB\VID_12é&PID_1\x"] {
            assert_eq!(Instance::parse(bad), None, "{bad}");
        }
    }
}
