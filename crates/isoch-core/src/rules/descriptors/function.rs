//! Which interfaces form one function of a device.
//!
//! Why is it asked at all? A driver of the system's takes a function whole: who takes a streaming interface from an
//! audio driver must take its control interface along, or half a sound card stays behind.

use super::{AlternateSetting, Configuration};

/// `bInterfaceClass` and the subclass of control interfaces: audio (USB Audio 1.0 §A.2), and its streaming kinds.
const AUDIO: u8 = 1;
const AUDIO_CONTROL: u8 = 1;
/// CS_INTERFACE, and the header's subtype in an audio control interface (USB Audio 1.0 §4.3.2).
const CLASS_SPECIFIC_INTERFACE: u8 = 0x24;
const HEADER: u8 = 1;

impl Configuration {
    /// The numbers of all interfaces of the function that an interface belongs to, rising, itself included: by the
    /// association that names it (USB 3.2 §9.6.4), or by the audio control interface whose header lists it.
    #[must_use]
    pub fn function_of(&self, interface: u8) -> Vec<u8> {
        let by_association = self.associations.iter().find_map(|association| {
            let first = association.first_interface;
            let members = first..first.saturating_add(association.count);
            members.contains(&interface).then(|| members.collect::<Vec<u8>>())
        });
        let mut members = by_association.or_else(|| self.audio_function(interface)).unwrap_or_default();
        members.push(interface);
        members.retain(|number| *number == interface || self.interface(*number).is_some());
        members.sort_unstable();
        members.dedup();
        members
    }

    fn audio_function(&self, interface: u8) -> Option<Vec<u8>> {
        self.interfaces.iter().find_map(|control| {
            let first = control.alternates.first()?;
            if (first.class, first.subclass) != (AUDIO, AUDIO_CONTROL) {
                return None;
            }
            let mut members = vec![control.number];
            members.extend_from_slice(first.streaming_interfaces());
            members.contains(&interface).then_some(members)
        })
    }
}

impl AlternateSetting {
    /// `baInterfaceNr` of an audio control interface's header (USB Audio 1.0, table 4-2).
    fn streaming_interfaces(&self) -> &[u8] {
        let header = self.extra.iter().find_map(|bytes| match bytes.as_slice() {
            [_, CLASS_SPECIFIC_INTERFACE, HEADER, _, _, _, _, count, numbers @ ..] => {
                Some(&numbers[..numbers.len().min(usize::from(*count))])
            }
            _ => None,
        });
        header.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration with these descriptors behind its own.
    fn parsed(descriptors: &[&[u8]]) -> Configuration {
        let body: Vec<u8> = descriptors.concat();
        let total = (9 + body.len()) as u16;
        let interfaces = descriptors.iter().filter(|bytes| bytes[1] == 4).count() as u8;
        let mut bytes = vec![9, 2, total as u8, (total >> 8) as u8, interfaces, 1, 0, 0x80, 50];
        bytes.extend_from_slice(&body);
        Configuration::parse(&bytes).unwrap().0
    }

    #[test]
    fn audio_by_its_header() {
        let control = [9, 4, 0, 0, 0, 1, 1, 0, 0];
        let header = [10, 0x24, 1, 0, 1, 10, 0, 2, 1, 9];
        let streaming = [9, 4, 1, 0, 0, 1, 2, 0, 0];
        let other = [9, 4, 2, 0, 0, 3, 0, 0, 0];
        let configuration = parsed(&[&control, &header, &streaming, &other]);
        // The header also names an interface that is not there.
        assert_eq!(configuration.function_of(1), [0, 1]);
        assert_eq!(configuration.function_of(0), [0, 1]);
        assert_eq!(configuration.function_of(2), [2]);
        assert_eq!(configuration.function_of(77), [77]);
    }

    #[test]
    fn a_header_that_says_more_than_it_has() {
        let control = [9, 4, 0, 0, 0, 1, 1, 0, 0];
        let header = [9, 0x24, 1, 0, 1, 9, 0, 200, 1];
        let streaming = [9, 4, 1, 0, 0, 1, 2, 0, 0];
        assert_eq!(parsed(&[&control, &header, &streaming]).function_of(1), [0, 1]);
    }

    #[test]
    fn others_by_association() {
        let association = [8, 11, 1, 2, 0x0e, 3, 0, 0];
        let interfaces: Vec<[u8; 9]> = (0..4).map(|n| [9, 4, n, 0, 0, 0xff, 0, 0, 0]).collect();
        let configuration =
            parsed(&[&interfaces[0], &association, &interfaces[1], &interfaces[2], &interfaces[3]]);
        assert_eq!(configuration.function_of(2), [1, 2]);
        assert_eq!(configuration.function_of(3), [3]);
    }
}
