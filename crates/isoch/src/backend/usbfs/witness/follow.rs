//! Which of usbmon's records belongs to which transfer.
//!
//! Why by their order, when records have an identity? It is the kernel's, and a program is never told its
//! own. But the transfers of an endpoint complete one after the other, and each has exactly one record. So
//! the *n*th transfer reaped is the *n*th record, as long as none is missing. A wrong frame is worse than
//! none: once a record is missing, or does not fit, the endpoint has no witness until its queue was empty,
//! when both counts begin anew.

use std::collections::VecDeque;

use super::Completion;

/// Records of one endpoint that may wait for their transfers. More than usbfs can have under way: whoever
/// has so many is not taken from.
const MOST: usize = 1 << 16;

/// Matches records to transfers.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    endpoints: Vec<Followed>,
}

#[derive(Debug)]
struct Followed {
    device: u8,
    endpoint: u8,
    records: VecDeque<Completion>,
    /// Whether the next record is that of the next transfer.
    in_step: bool,
}

impl Followed {
    fn lose(&mut self) {
        self.in_step = false;
        self.records.clear();
    }
}

impl Follower {
    pub(crate) fn new() -> Follower {
        Follower::default()
    }

    /// Follows an endpoint, from now on or anew. Only while nothing of its is under way, and after what
    /// usbmon had was drained: then all that is here is of times past.
    pub(crate) fn begin(&mut self, device: u8, endpoint: u8) {
        self.end(device, endpoint);
        self.endpoints.push(Followed { device, endpoint, records: VecDeque::new(), in_step: true });
    }

    /// Follows an endpoint no longer.
    pub(crate) fn end(&mut self, device: u8, endpoint: u8) {
        self.endpoints.retain(|known| (known.device, known.endpoint) != (device, endpoint));
    }

    /// Takes a record. Those of endpoints that nobody follows are nobody's.
    pub(crate) fn push(&mut self, completion: Completion) {
        let Some(followed) = self.find(completion.device, completion.endpoint) else { return };
        if followed.in_step && followed.records.len() < MOST {
            followed.records.push_back(completion);
        } else {
            followed.lose();
        }
    }

    /// Records were dropped, nobody knows whose.
    pub(crate) fn dropped(&mut self) {
        self.endpoints.iter_mut().for_each(Followed::lose);
    }

    /// The record of the transfer that was reaped, of so many packets. To be asked for every transfer of the
    /// endpoint, cancelled ones included, in the order in which they are reaped. `None` if it is not known.
    pub(crate) fn take(&mut self, device: u8, endpoint: u8, packets: u32) -> Option<Completion> {
        let followed = self.find(device, endpoint).filter(|followed| followed.in_step)?;
        let record = followed.records.pop_front().filter(|record| record.packets == packets);
        if record.is_none() {
            followed.lose();
        }
        record
    }

    /// Whether transfers of this endpoint are told from each other.
    #[cfg(test)]
    pub(crate) fn is_in_step(&self, device: u8, endpoint: u8) -> bool {
        let mut endpoints = self.endpoints.iter();
        endpoints.any(|known| (known.device, known.endpoint) == (device, endpoint) && known.in_step)
    }

    fn find(&mut self, device: u8, endpoint: u8) -> Option<&mut Followed> {
        self.endpoints.iter_mut().find(|known| (known.device, known.endpoint) == (device, endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(endpoint: u8, start_frame: i32, packets: u32) -> Completion {
        Completion { device: 5, endpoint, start_frame, packets }
    }

    fn following(endpoints: &[u8]) -> Follower {
        let mut follower = Follower::new();
        endpoints.iter().for_each(|endpoint| follower.begin(5, *endpoint));
        follower
    }

    fn frame(follower: &mut Follower, endpoint: u8, packets: u32) -> Option<i32> {
        follower.take(5, endpoint, packets).map(|record| record.start_frame)
    }

    #[test]
    fn each_transfer_finds_its_record_among_those_of_other_endpoints() {
        let mut follower = following(&[1, 0x81]);
        for n in 0..100 {
            follower.push(record(1, n, 8));
            follower.push(record(2, 7000, 8));
            follower.push(record(0x81, 1000 + n, 4));
            follower.push(Completion { device: 6, ..record(1, 8000, 8) });
        }
        for n in 0..100 {
            assert_eq!(frame(&mut follower, 0x81, 4), Some(1000 + n));
            assert_eq!(frame(&mut follower, 1, 8), Some(n));
            assert_eq!(frame(&mut follower, 2, 8), None);
        }
        assert!(follower.is_in_step(5, 1));
        assert!(!follower.is_in_step(5, 2));
        assert!(!follower.is_in_step(6, 1));
    }

    #[test]
    fn after_a_record_that_does_not_fit_there_is_none_until_the_queue_was_empty() {
        let mut follower = following(&[1, 2]);
        // The record of the first transfer, of 8 packets, is missing.
        for n in 0..3 {
            follower.push(record(1, n, 4));
            follower.push(record(2, n, 4));
        }
        assert_eq!(frame(&mut follower, 1, 8), None);
        assert_eq!(frame(&mut follower, 1, 4), None);
        follower.push(record(1, 3, 4));
        assert_eq!(frame(&mut follower, 1, 4), None);
        assert_eq!(frame(&mut follower, 2, 4), Some(0));
        follower.begin(5, 1);
        assert!(follower.is_in_step(5, 1));
        follower.push(record(1, 50, 4));
        assert_eq!(frame(&mut follower, 1, 4), Some(50));
    }

    #[test]
    fn a_record_that_is_not_there_is_not_awaited() {
        let mut follower = following(&[1]);
        assert_eq!(frame(&mut follower, 1, 4), None);
        // It would be that of the transfer before.
        follower.push(record(1, 0, 4));
        assert_eq!(frame(&mut follower, 1, 4), None);
    }

    #[test]
    fn what_was_dropped_may_be_anyones() {
        let mut follower = following(&[1, 2]);
        follower.push(record(1, 0, 4));
        follower.push(record(2, 0, 4));
        follower.dropped();
        follower.push(record(1, 4, 4));
        assert_eq!(frame(&mut follower, 1, 4), None);
        assert_eq!(frame(&mut follower, 2, 4), None);
        // What came before a new beginning is not looked for.
        follower.begin(5, 2);
        follower.push(record(2, 9, 4));
        assert_eq!(frame(&mut follower, 2, 4), Some(9));
    }

    #[test]
    fn records_that_nobody_takes_are_not_kept_for_ever() {
        let mut follower = following(&[1]);
        for n in 0..=MOST {
            follower.push(record(1, n as i32, 4));
        }
        assert!(!follower.is_in_step(5, 1));
        assert_eq!(frame(&mut follower, 1, 4), None);
        follower.end(5, 1);
        follower.push(record(1, 0, 4));
        assert_eq!(follower.endpoints.len(), 0);
    }
}
