//! Pipe policies: which pipe has which, what it is when nobody sets it, and how it is passed.
//!
//! Why a table, and not a struct with nine fields? Because which policies a pipe has is not what Microsoft's page says:
//! this is what real Windows was seen to answer, pipe by pipe. A table can be compared with that at a glance.

use std::time::Duration;

use isoch::Direction;

use crate::failure::Failure;

/// A write of whole packets is followed by an empty one.
pub(crate) const SHORT_PACKET_TERMINATE: u32 = 1;
/// After a failed read the pipe is reset.
pub(crate) const AUTO_CLEAR_STALL: u32 = 2;
/// Milliseconds after which a request is cancelled; 0: never.
pub(crate) const PIPE_TRANSFER_TIMEOUT: u32 = 3;
/// A read goes on after a short packet.
pub(crate) const IGNORE_SHORT_PACKETS: u32 = 4;
/// A device may send more than a read asked for.
pub(crate) const ALLOW_PARTIAL_READS: u32 = 5;
/// What it sends more is dropped.
pub(crate) const AUTO_FLUSH: u32 = 6;
/// Requests go to the bus as they are.
pub(crate) const RAW_IO: u32 = 7;
/// The largest transfer that the bus is given.
pub(crate) const MAXIMUM_TRANSFER_SIZE: u32 = 8;
/// Kept and told; nothing here suspends a device.
pub(crate) const RESET_PIPE_ON_RESUME: u32 = 9;

/// `MAXIMUM_TRANSFER_SIZE` of bulk and interrupt pipes.
pub(crate) const LARGEST_TRANSFER: u32 = 256 * 1024;
/// `PIPE_TRANSFER_TIMEOUT` of control pipes, in milliseconds, until the program sets another.
pub(crate) const CONTROL_TIMEOUT: u32 = 5000;

/// Pipes, as far as their policies differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Control,
    /// Bulk or interrupt, from the device.
    In,
    /// Bulk or interrupt, to the device.
    Out,
    Isoch,
}

impl Kind {
    /// Of a bulk or interrupt pipe.
    pub(crate) fn of(direction: Direction) -> Self {
        match direction {
            Direction::In => Kind::In,
            Direction::Out => Kind::Out,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `UCHAR`: 0 or not.
    Switch,
    /// `ULONG`.
    Number,
    /// `ULONG` that cannot be set.
    ReadOnly,
}

struct Policy {
    number: u32,
    name: &'static str,
    form: Form,
    pipes: &'static [Kind],
}

const fn policy(number: u32, name: &'static str, form: Form, pipes: &'static [Kind]) -> Policy {
    Policy { number, name, form, pipes }
}

const POLICIES: usize = 9;

/// Setting follows the same table: what cannot be read cannot be set, and fails with 87 (not documented).
#[rustfmt::skip]
const TABLE: [Policy; POLICIES] = [
    policy(SHORT_PACKET_TERMINATE, "SHORT_PACKET_TERMINATE", Form::Switch,   &[Kind::Out]),
    policy(AUTO_CLEAR_STALL,       "AUTO_CLEAR_STALL",       Form::Switch,   &[Kind::In, Kind::Out]),
    policy(PIPE_TRANSFER_TIMEOUT,  "PIPE_TRANSFER_TIMEOUT",  Form::Number,   &[Kind::In, Kind::Out, Kind::Control]),
    policy(IGNORE_SHORT_PACKETS,   "IGNORE_SHORT_PACKETS",   Form::Switch,   &[Kind::In]),
    policy(ALLOW_PARTIAL_READS,    "ALLOW_PARTIAL_READS",    Form::Switch,   &[Kind::In]),
    policy(AUTO_FLUSH,             "AUTO_FLUSH",             Form::Switch,   &[Kind::In]),
    policy(RAW_IO,                 "RAW_IO",                 Form::Switch,   &[Kind::In, Kind::Out]),
    policy(MAXIMUM_TRANSFER_SIZE,  "MAXIMUM_TRANSFER_SIZE",  Form::ReadOnly, &[Kind::In, Kind::Out, Kind::Control, Kind::Isoch]),
    policy(RESET_PIPE_ON_RESUME,   "RESET_PIPE_ON_RESUME",   Form::Switch,   &[Kind::In, Kind::Out]),
];

/// The policies of one pipe.
#[derive(Clone, Debug)]
pub(crate) struct Policies {
    kind: Kind,
    /// In the table's order.
    values: [u32; POLICIES],
}

impl Policies {
    /// As they are when nobody has set any.
    pub(crate) fn new(kind: Kind, maximum_transfer_size: u32) -> Self {
        let values = TABLE.map(|policy| match (policy.number, kind) {
            (ALLOW_PARTIAL_READS, _) => 1,
            (PIPE_TRANSFER_TIMEOUT, Kind::Control) => CONTROL_TIMEOUT,
            (MAXIMUM_TRANSFER_SIZE, _) => maximum_transfer_size,
            _ => 0,
        });
        Policies { kind, values }
    }

    /// Of the control pipe, whose largest transfer Windows gives as 0.
    pub(crate) fn of_control() -> Self {
        Policies::new(Kind::Control, 0)
    }

    /// SetPipePolicy: the value's bytes, as the program gave them.
    pub(crate) fn set(&mut self, number: u32, bytes: &[u8]) -> Result<(), Failure> {
        let index = self.find(number)?;
        let policy = &TABLE[index];
        self.values[index] = match (policy.form, bytes) {
            (Form::Switch, [value]) => u32::from(*value != 0),
            (Form::Number, &[a, b, c, d]) => u32::from_ne_bytes([a, b, c, d]),
            (Form::ReadOnly, _) => {
                return Err(Failure::argument(format!("{} can be read, but not be set", policy.name)));
            }
            (Form::Switch, _) => return Err(wrong_length(policy, "a UCHAR: ValueLength is 1")),
            (Form::Number, _) => return Err(wrong_length(policy, "a ULONG: ValueLength is 4")),
        };
        Ok(())
    }

    /// GetPipePolicy: the value's bytes, and how many there are.
    pub(crate) fn get(&self, number: u32) -> Result<([u8; 4], usize), Failure> {
        let index = self.find(number)?;
        let value = self.values[index];
        Ok(match TABLE[index].form {
            Form::Switch => ([u8::from(value != 0), 0, 0, 0], 1),
            Form::Number | Form::ReadOnly => (value.to_ne_bytes(), 4),
        })
    }

    /// The time that a request has on the bus.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self.value(PIPE_TRANSFER_TIMEOUT) {
            0 => None,
            milliseconds => Some(Duration::from_millis(milliseconds.into())),
        }
    }

    pub(crate) fn is_on(&self, number: u32) -> bool {
        self.value(number) != 0
    }

    fn value(&self, number: u32) -> u32 {
        TABLE
            .iter()
            .zip(&self.values)
            .find(|(policy, _)| policy.number == number)
            .map_or(0, |(_, value)| *value)
    }

    fn find(&self, number: u32) -> Result<usize, Failure> {
        let Some(index) = TABLE.iter().position(|policy| policy.number == number) else {
            return Err(Failure::argument(format!("there is no pipe policy {number:#x}: they are 1 to 9")));
        };
        let policy = &TABLE[index];
        if policy.pipes.contains(&self.kind) {
            return Ok(index);
        }
        let pipe = match self.kind {
            Kind::Control => "a control pipe",
            Kind::In => "an IN pipe",
            Kind::Out => "an OUT pipe",
            Kind::Isoch => "an isochronous pipe",
        };
        Err(Failure::argument(format!("{pipe} has no policy {}", policy.name)))
    }
}

fn wrong_length(policy: &Policy, form: &str) -> Failure {
    Failure::argument(format!("{} is {form}", policy.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::win32;

    /// What real Windows answers for policies 1 to 9 (`None`: 87), and how many bytes that has.
    fn answers(policies: &Policies) -> Vec<Option<(u32, usize)>> {
        (1..=9)
            .map(|number| match policies.get(number) {
                Ok((bytes, length)) => Some((u32::from_ne_bytes(bytes), length)),
                Err(failure) => {
                    assert_eq!(failure.code, win32::INVALID_PARAMETER);
                    None
                }
            })
            .collect()
    }

    #[test]
    #[rustfmt::skip]
    fn every_pipe_has_what_it_has_on_windows() {
        let (off, on, none) = (Some((0, 1)), Some((1, 1)), Some((0, 4)));
        let largest = Some((262_144, 4));
        let control = answers(&Policies::of_control());
        assert_eq!(control, [None, None, Some((5000, 4)), None, None, None, None, none, None]);
        let input = answers(&Policies::new(Kind::In, LARGEST_TRANSFER));
        assert_eq!(input, [None, off, none, off, on, off, off, largest, off]);
        let output = answers(&Policies::new(Kind::Out, LARGEST_TRANSFER));
        assert_eq!(output, [off, off, none, None, None, None, off, largest, off]);
        let isoch = answers(&Policies::new(Kind::Isoch, 262_128));
        assert_eq!(isoch, [None, None, None, None, None, None, None, Some((262_128, 4)), None]);
    }

    #[test]
    fn what_a_pipe_has_is_set_with_its_own_size() {
        for kind in [Kind::Control, Kind::In, Kind::Out, Kind::Isoch] {
            for number in 0..=0x21 {
                let mut policies = Policies::new(kind, LARGEST_TRANSFER);
                let is = policies.get(number).ok();
                for length in 0..=8 {
                    let set = policies.set(number, &[2; 8][..length]);
                    let right = is.is_some_and(|(_, size)| size == length) && number != MAXIMUM_TRANSFER_SIZE;
                    assert_eq!(set.is_ok(), right, "{kind:?}, policy {number}, {length} bytes");
                    match (set, length) {
                        (Ok(()), 1) => assert_eq!(policies.get(number).unwrap().0, [1, 0, 0, 0]),
                        (Ok(()), _) => assert_eq!(policies.get(number).unwrap().0, [2; 4]),
                        (Err(failure), _) => assert_eq!(failure.code, win32::INVALID_PARAMETER),
                    }
                }
            }
        }
    }

    #[test]
    fn no_timeout_is_none() {
        let mut policies = Policies::new(Kind::In, LARGEST_TRANSFER);
        assert_eq!(policies.timeout(), None);
        policies.set(PIPE_TRANSFER_TIMEOUT, &1500_u32.to_ne_bytes()).unwrap();
        assert_eq!(policies.timeout(), Some(Duration::from_millis(1500)));
    }
}
