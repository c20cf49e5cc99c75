//! The rule that gives a device to its users.
//!
//! Why the tag `uaccess`, and not a mode or a group? It gives the device to whoever sits at the machine, for as
//! long as they do, and needs no group that a distribution may not have. It must be set before the rules that act
//! on it, `73-seat-late.rules`: hence a file name below that.

use std::fmt;

/// A rule for udev. Displays as the file to write, comments included.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdevRule {
    /// The file it belongs into.
    pub path: String,
    /// The rule: one line.
    pub rule: String,
    /// The command that makes it hold, once it is written.
    pub reload: String,
}

impl UdevRule {
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(super) fn new(vendor_id: u16, product_id: u16) -> Self {
        UdevRule {
            path: format!("/etc/udev/rules.d/70-isoch-{vendor_id:04x}-{product_id:04x}.rules"),
            rule: format!(
                r#"SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vendor_id:04x}", ATTR{{idProduct}}=="{product_id:04x}", TAG+="uaccess""#
            ),
            reload: format!(
                "udevadm control --reload && udevadm trigger --subsystem-match=usb --attr-match=idVendor={vendor_id:04x}"
            ),
        }
    }
}

impl fmt::Display for UdevRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}", self.path)?;
        writeln!(
            f,
            "# Whoever sits at this machine may use the device. For who logs in from elsewhere, add at the end:"
        )?;
        writeln!(f, "#   , GROUP=\"audio\", MODE=\"0660\"        (or another group of theirs)")?;
        writeln!(f, "# As root: write it there, then `{}`.", self.reload)?;
        writeln!(f, "{}", self.rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_names_the_device_and_comes_before_those_that_act_on_its_tag() {
        let rule = UdevRule::new(0x46f4, 2);
        assert_eq!(
            rule.rule,
            r#"SUBSYSTEM=="usb", ATTR{idVendor}=="46f4", ATTR{idProduct}=="0002", TAG+="uaccess""#
        );
        let name = rule.path.rsplit('/').next().unwrap();
        assert!(name < "73-seat-late.rules" && name.ends_with(".rules"), "{name}");
        // As a file it is the rule, and comments.
        let file = rule.to_string();
        let lines: Vec<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, [rule.rule.as_str()]);
        assert!(file.contains(&rule.path) && file.contains("udevadm control --reload"), "{file}");
    }
}
