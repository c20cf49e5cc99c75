//! The class requests about sample rates.
//!
//! Why two families? UAC1 sets the rate at the *endpoint*, in three bytes; UAC2 at a *clock entity* behind
//! the AudioControl interface, in four, and its rates are not in any descriptor.

use crate::rules::Setup;

const SET_CUR: u8 = 0x01;
const GET_CUR: u8 = 0x81;
const CUR: u8 = 0x01;
const RANGE: u8 = 0x02;
/// `SAMPLING_FREQ_CONTROL` (UAC1 §A.10.5) and `CS_SAM_FREQ_CONTROL` (UAC2 §A.17.1): both 1, in the high
/// byte of `wValue`.
const SAMPLING_FREQUENCY: u16 = 0x0100;

/// UAC1: the request and its data that set the rate of an endpoint (UAC1 §5.2.3.2.3.1).
///
/// `None` if `rate` does not fit into the 24 bits it has.
#[must_use]
pub fn set_endpoint_rate(endpoint: u8, rate: u32) -> Option<(Setup, [u8; 3])> {
    let [low, middle, high, 0] = rate.to_le_bytes() else { return None };
    let setup = Setup {
        request_type: 0x22,
        request: SET_CUR,
        value: SAMPLING_FREQUENCY,
        index: u16::from(endpoint),
        length: 3,
    };
    Some((setup, [low, middle, high]))
}

/// UAC1: the request that reads the rate of an endpoint; its answer is for [`endpoint_rate`].
#[must_use]
pub fn get_endpoint_rate(endpoint: u8) -> Setup {
    Setup {
        request_type: 0xa2,
        request: GET_CUR,
        value: SAMPLING_FREQUENCY,
        index: u16::from(endpoint),
        length: 3,
    }
}

/// The rate in the answer to [`get_endpoint_rate`], in Hz; `None` if it is shorter than three bytes.
#[must_use]
pub fn endpoint_rate(answer: &[u8]) -> Option<u32> {
    let &[low, middle, high, ..] = answer else { return None };
    Some(u32::from_le_bytes([low, middle, high, 0]))
}

/// UAC2: the request that sets the rate of a clock source, and its data (UAC2 §5.2.5.1.1).
#[must_use]
pub fn set_clock_rate(interface: u8, entity: u8, rate: u32) -> (Setup, [u8; 4]) {
    (clock(0x21, CUR, interface, entity, 4), rate.to_le_bytes())
}

/// UAC2: the request that reads the rate of a clock source; its answer is for [`clock_rate`].
#[must_use]
pub fn get_clock_rate(interface: u8, entity: u8) -> Setup {
    clock(0xa1, CUR, interface, entity, 4)
}

/// The rate in the answer to [`get_clock_rate`], in Hz; `None` if it is shorter than four bytes.
#[must_use]
pub fn clock_rate(answer: &[u8]) -> Option<u32> {
    answer.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// UAC2: the request that reads the rates of a clock source, with room for `ranges` of them; its answer
/// is for [`clock_ranges`] (UAC2 §5.2.1, §5.2.3.3).
///
/// Ask for none first: the answer's first two bytes tell how many there are.
#[must_use]
pub fn clock_range(interface: u8, entity: u8, ranges: u16) -> Setup {
    clock(0xa1, RANGE, interface, entity, ranges.saturating_mul(12).saturating_add(2))
}

/// How many ranges a clock source has, by the first two bytes of an answer to [`clock_range`].
#[must_use]
pub fn clock_range_count(answer: &[u8]) -> Option<u16> {
    answer.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// The ranges in an answer to [`clock_range`], as far as it is complete.
#[must_use]
pub fn clock_ranges(answer: &[u8]) -> Vec<ClockRange> {
    let count = usize::from(clock_range_count(answer).unwrap_or(0));
    let ranges = answer.get(2..).unwrap_or_default().chunks_exact(12).take(count);
    let word = |bytes: &[u8]| clock_rate(bytes).unwrap_or(0);
    ranges
        .map(|range| ClockRange { lowest: word(range), highest: word(&range[4..]), step: word(&range[8..]) })
        .collect()
}

/// Rates of a clock source, in Hz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClockRange {
    /// The lowest.
    pub lowest: u32,
    /// The highest; the same as `lowest` for a single rate.
    pub highest: u32,
    /// The distance between two; 0 for a single rate.
    pub step: u32,
}

impl ClockRange {
    /// Whether `rate` is in it.
    #[must_use]
    pub fn contains(&self, rate: u32) -> bool {
        (self.lowest..=self.highest).contains(&rate)
            && (self.step == 0 || (rate - self.lowest).is_multiple_of(self.step))
    }
}

fn clock(request_type: u8, request: u8, interface: u8, entity: u8, length: u16) -> Setup {
    let index = u16::from_be_bytes([entity, interface]);
    Setup { request_type, request, value: SAMPLING_FREQUENCY, index, length }
}
