//! What QEMU recorded during a boot, for the part of a test on the host.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::List;
use super::machine::{HEARD, PACKETS};
use super::pcap::{self, Packet};
use crate::sound::{self, Sample};
use crate::test::{Controller, Outcome};

pub(crate) struct Recorded<'a> {
    folder: &'a Path,
    list: &'a List,
    pub(crate) controller: Controller,
    handed_over: &'a [Value],
    said: RefCell<Vec<String>>,
}

impl<'a> Recorded<'a> {
    pub(crate) fn new(
        folder: &'a Path,
        list: &'a List,
        controller: Controller,
        handed_over: &'a [Value],
    ) -> Self {
        Recorded { folder, list, controller, handed_over, said: RefCell::default() }
    }

    /// Whether the full list runs.
    pub(crate) fn full(&self) -> bool {
        self.list.full
    }

    /// Keeps a text beside the report, if that is kept: `NAME-CONTROLLER.KIND`.
    pub(crate) fn keep(&self, name: &str, kind: &str, text: &str) -> Outcome {
        let Some(report) = &self.list.output else { return Ok(()) };
        let path = report.with_file_name(format!("{name}-{}.{kind}", self.controller.name()));
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(())
    }

    /// What the guest's part handed over, if it was one thing of this kind.
    pub(crate) fn handed_over<T: serde::de::DeserializeOwned>(&self) -> Result<T, String> {
        let [value] = self.handed_over else {
            return Err("the guest handed over another number of things".into());
        };
        serde_json::from_value(value.clone()).map_err(|error| error.to_string())
    }

    /// Adds a line to the report.
    pub(crate) fn say(&self, line: impl Into<String>) {
        self.said.borrow_mut().push(line.into());
    }

    pub(crate) fn said(self) -> Vec<String> {
        self.said.into_inner()
    }

    /// Whether the speaker heard all of this in one piece: no sample lost, repeated or changed.
    pub(crate) fn expect(&self, played: &[Sample]) -> Outcome {
        let mut wrong = String::from("nothing was recorded");
        for (number, path) in self.files(HEARD, "wav")?.iter().enumerate() {
            match sound::compare(played, &sound::read_recording(path)?) {
                Ok(_) => return Ok(()),
                // The one that has at least its beginning says most.
                Err(error) if number == 0 || !error.contains("not even") => wrong = error,
                Err(_) => {}
            }
        }
        Err(wrong.into())
    }

    /// The same for what the host controller missed to send, by the witness in the guest: a busy machine emulates
    /// late. What was lost is told.
    pub(crate) fn expect_without(&self, played: &[Sample], lost: &[Range<usize>]) -> Outcome {
        let sent = sound::without(played, lost)?;
        if sent.len() < played.len() {
            let (missed, of) = (played.len() - sent.len(), played.len());
            self.say(format!(
                "the emulated controller was late for {missed} of {of} samples: usbmon says so, too"
            ));
        }
        self.expect(&sent)
    }

    /// The packets that QEMU gave an isochronous OUT endpoint of the speaker, in order, with the host's time.
    pub(crate) fn packets_to(&self, endpoint: u8) -> Result<impl Iterator<Item = Packet>, String> {
        let mut packets = Vec::new();
        for path in self.files(PACKETS, "pcap")? {
            let file = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            packets.extend(pcap::read(&file)?);
        }
        let is_one =
            move |packet: &Packet| packet.is_isochronous && !packet.is_answer && packet.endpoint == endpoint;
        Ok(packets.into_iter().filter(is_one))
    }

    /// The files of a kind, oldest first; the one that was written last has no number.
    fn files(&self, name: &str, kind: &str) -> Result<Vec<PathBuf>, String> {
        let entries = std::fs::read_dir(self.folder).map_err(|error| error.to_string())?;
        let mut files: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == kind))
            .filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)))
            .collect();
        // A dash sorts before a dot.
        files.sort();
        Ok(files)
    }
}
