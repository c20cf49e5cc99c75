//! `isoch doctor` says what a real kernel shows: to root and to an ordinary user, with little memory, and of a device
//! that a driver or another program has.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::Value;

use crate::guest::{Guest, Program, SOMEBODY, Speaker, USBFS_MEMORY, streaming};
use crate::test::{Controller, Outcome, Test};

pub(crate) const TEST: Test =
    Test { modules: &["snd_usb_audio"], programs: &["isoch"], guest, ..Test::DEFAULT };

fn guest(guest: &mut Guest) -> Outcome {
    let node = Speaker::wait()?.node();
    let is_xhci = guest.controller == Controller::Xhci;
    let root = diagnosis(None, 0)?;
    root.says("node", "ok", "may be opened")?;
    root.says("drivers", "ok", "no other driver")?;
    root.says("endpoints", "ok", "interface 1, alternate setting 1: 0x01 OUT 192 bytes every 1 ms")?;
    root.says("zero_copy", "ok", "64 KiB are filled and read in")?;
    root.says("witness", "ok", if is_xhci { "registers" } else { "usbmon" })?;
    // QEMU's is one of those without.
    root.says("controller", if is_xhci { "warning" } else { "ok" }, "")?;
    guest.say(root.what("zero_copy")?);

    fs::set_permissions(&node, Permissions::from_mode(0o600))?;
    let user = diagnosis(Some(SOMEBODY), 1)?;
    user.says("node", "problem", "may not be opened")?;
    user.says("real_time", "warning", "may not run")?;
    user.says("witness", "warning", "read")?;
    user.says("controller", if is_xhci { "unknown" } else { "ok" }, "")?;
    fs::set_permissions(&node, Permissions::from_mode(0o666))?;
    diagnosis(Some(SOMEBODY), 0)?.says("node", "ok", "may be opened")?;

    fs::write(USBFS_MEMORY, "1")?;
    diagnosis(None, 0)?.says("memory", "warning", "1 MiB for the transfers")?;
    fs::write(USBFS_MEMORY, "0")?;
    diagnosis(None, 0)?.says("memory", "ok", "no limit")?;

    guest.load("snd_usb_audio")?;
    let held = diagnosis(None, 0)?;
    held.says("drivers", "warning", "`snd-usb-audio` has interfaces 0 and 1")?;
    let device = isoch::open(streaming::ADDRESS)?;
    let claimed = device.interface(1)?;
    diagnosis(None, 1)?.says("drivers", "problem", "another program has interfaces 0 and 1")?;
    drop((claimed, device));
    diagnosis(None, 0)?.says("drivers", "warning", "`snd-usb-audio` has interfaces 0 and 1")?;
    Ok(())
}

/// What the command printed.
struct Diagnosis(Value);

fn diagnosis(user: Option<u32>, status: i32) -> Result<Diagnosis, String> {
    let mut isoch = Command::new("/bin/isoch");
    isoch.args(["doctor", streaming::ADDRESS, "--json"]);
    if let Some(user) = user {
        isoch.uid(user).gid(user);
    }
    let (_, said) = Program::expect(&mut isoch, &[status])?;
    serde_json::from_str(&said).map(Diagnosis).map_err(|error| format!("{error}: {said}"))
}

impl Diagnosis {
    fn findings(&self) -> impl Iterator<Item = &Value> {
        let of_devices = self.0["devices"].as_array().into_iter().flatten().map(|device| &device["findings"]);
        of_devices.chain([&self.0["machine"]]).filter_map(Value::as_array).flatten()
    }

    /// That a finding has this topic and verdict, and these words in it.
    fn says(&self, topic: &str, verdict: &str, words: &str) -> Outcome {
        let has = |finding: &&Value| {
            let what = finding["what"].as_str().unwrap_or_default();
            finding["topic"] == topic && finding["verdict"] == verdict && what.contains(words)
        };
        ensure!(
            self.findings().any(|finding| has(&finding)),
            "not `{verdict}: {words}` of {topic}: {}",
            self.0
        );
        Ok(())
    }

    fn what(&self, topic: &str) -> Result<String, String> {
        let finding = self.findings().find(|finding| finding["topic"] == topic);
        finding
            .and_then(|finding| Some(finding["what"].as_str()?.to_owned()))
            .ok_or_else(|| format!("no {topic}"))
    }
}
