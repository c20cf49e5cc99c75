//! Device interface paths: `\\?\isoch#ADDRESS#{guid}`.
//!
//! Why not the address alone? Programs take a path apart, or put one in a log, and expect it to look like one.
//! Why does every device have an interface of every GUID? On Windows a program asks for the GUID that its INF
//! file gave the device. There are no INF files here, so all that can be known is that the program wants the
//! device it is for; which one that is, the user says with `ISOCH_DEVICE`, or the program by looking at the list.

use crate::guid::Guid;

const PREFIX: &str = r"\\?\isoch#";

/// The path of a device.
pub(crate) fn path(address: &str, guid: &Guid) -> String {
    format!("{PREFIX}{address}#{guid}")
}

/// The address in a path; anything else is taken for an address. `None`: a path of Windows', as a program has one
/// in its settings, which names no device here.
pub(crate) fn address(path: &str) -> Option<&str> {
    let is_ours = path.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    match path.get(PREFIX.len()..) {
        // Programs change the prefix's case, and may leave out the GUID.
        Some(rest) if is_ours => Some(rest.rsplit_once("#{").map_or(rest, |(address, _)| address)),
        _ => Some(path).filter(|path| !path.starts_with(r"\\")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_back() {
        for name in
            ["virtual:article", "usb:3-1.2", "virtual:a#b/speaker", "virtual:x?save=#{.wav", "virtual:ü"]
        {
            let path = path(name, &Guid::default());
            assert!(
                path.starts_with(r"\\?\isoch#") && path.ends_with("#{00000000-0000-0000-0000-000000000000}")
            );
            assert_eq!(address(&path), Some(name));
        }
        assert_eq!(address(r"\\?\ISOCH#virtual:article"), Some("virtual:article"));
        for other in ["virtual:article", "", "ü", r"\?", "COM1"] {
            assert_eq!(address(other), Some(other));
        }
        for other in [r"\\?\", r"\\?\isoc", r"\\.\COM1", r"\\?\isochü", r"\\?\usb#vid_1209&pid_0006#1#{0}"] {
            assert_eq!(address(other), None);
        }
    }
}
