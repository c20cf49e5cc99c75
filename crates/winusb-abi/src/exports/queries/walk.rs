//! The walk over descriptors in a program's memory.
//!
//! Why is it not the walk that reads a device's? That one reads bytes it owns. This one looks into memory that a program
//! says is so long, no further than the descriptors lead, and answers with a place in it.

/// Descriptors in memory of `length` bytes; `read` copies from a place to the buffer, and tells how many bytes.
pub(super) struct Walk<R> {
    length: usize,
    read: R,
}

impl<R: Fn(usize, &mut [u8]) -> usize> Walk<R> {
    pub(super) fn new(length: usize, read: R) -> Self {
        Walk { length, read }
    }

    /// Where the first descriptor lies, at `start` or after it, that `wanted` says yes to. It is given the first bytes
    /// of each that is whole: as many as `N`, or as it has. What lies behind one without a sensible length is none.
    pub(super) fn find<const N: usize>(&self, start: usize, wanted: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let mut place = start;
        loop {
            let mut header = [0; 2];
            if (self.read)(place, &mut header) < header.len() {
                return None;
            }
            let bytes = usize::from(header[0]);
            let end = place.checked_add(bytes).filter(|end| *end <= self.length)?;
            if bytes < header.len() {
                return None;
            }
            let mut first = [0; N];
            let there = (self.read)(place, &mut first[..N.min(bytes)]);
            if wanted(&first[..there]) {
                return Some(place);
            }
            place = end;
        }
    }

    /// The first descriptor of a type.
    pub(super) fn of_type(&self, start: usize, descriptor_type: i32) -> Option<usize> {
        self.find::<2>(start, |bytes| bytes.get(1).is_some_and(|found| i32::from(*found) == descriptor_type))
    }

    /// The first interface descriptor with these fields: number, alternate setting, class, subclass, protocol; -1: any.
    pub(super) fn interface(&self, start: usize, fields: [i32; 5]) -> Option<usize> {
        self.find::<9>(start, |bytes| match *bytes {
            [_, 4, number, setting, _, class, subclass, protocol, _] => {
                [number, setting, class, subclass, protocol]
                    .iter()
                    .zip(fields)
                    .all(|(found, wanted)| wanted == -1 || i32::from(*found) == wanted)
            }
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(bytes: &[u8]) -> Walk<impl Fn(usize, &mut [u8]) -> usize> {
        Walk::new(bytes.len(), |place, out: &mut [u8]| {
            let there = bytes.get(place..).unwrap_or_default();
            let count = there.len().min(out.len());
            out[..count].copy_from_slice(&there[..count]);
            count
        })
    }

    fn configuration() -> Vec<u8> {
        let mut bytes = vec![9, 2, 0, 0, 2, 1, 0, 0x80, 50];
        for (number, setting, class) in [(0, 0, 0xff), (0, 1, 0xff), (3, 0, 1)] {
            bytes.extend([9, 4, number, setting, 1, class, 2, 7, 0]);
            bytes.extend([7, 5, 0x81, 2, 0, 2, 0]);
        }
        bytes
    }

    #[test]
    fn the_first_that_matches_at_or_after_the_start() {
        let bytes = configuration();
        let walk = walk(&bytes);
        let any = -1;
        assert_eq!(walk.interface(0, [any; 5]), Some(9));
        assert_eq!(walk.interface(9, [any; 5]), Some(9));
        assert_eq!(walk.interface(18, [any; 5]), Some(25));
        assert_eq!(walk.interface(0, [0, 1, any, any, any]), Some(25));
        assert_eq!(walk.interface(0, [any, any, 1, 2, 7]), Some(41));
        assert_eq!(walk.interface(0, [any, any, 1, 2, 8]), None);
        assert_eq!(walk.interface(0, [any, any, -2, any, any]), None);
        assert_eq!(walk.interface(0, [256, any, any, any, any]), None);
        assert_eq!(walk.of_type(0, 2), Some(0));
        assert_eq!(walk.of_type(0, 5), Some(18));
        assert_eq!(
            walk.of_type(19, 5),
            None,
            "in the middle of one: 5 bytes of type 0x81, 2 of type 0, 9 of type 4..."
        );
        assert_eq!(walk.of_type(0, 6), None);
        assert_eq!(walk.of_type(bytes.len(), 5), None);
        assert_eq!(walk.of_type(usize::MAX, 5), None);
    }

    #[test]
    fn what_has_no_sensible_length_ends_the_walk() {
        for broken in [0, 1] {
            let mut bytes = configuration();
            bytes[9] = broken;
            assert_eq!(walk(&bytes).of_type(0, 4), None);
            assert_eq!(walk(&bytes).of_type(0, 2), Some(0));
        }
        let bytes = configuration();
        assert_eq!(walk(&bytes[..17]).of_type(0, 4), None, "cut off");
        let short = [7, 4, 0, 0, 0, 0, 0];
        assert_eq!(walk(&short).interface(0, [-1; 5]), None, "too short for an interface");
        assert_eq!(walk(&short).of_type(0, 4), Some(0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(bytes in prop::collection::vec(0_u8..12, 0..80), start in 0_usize..90, kind in 0..12) {
            if let Some(found) = walk(&bytes).of_type(start, kind) {
                prop_assert!(found >= start && found + usize::from(bytes[found]) <= bytes.len());
                prop_assert_eq!(i32::from(bytes[found + 1]), kind);
            }
            if let Some(found) = walk(&bytes).interface(start, [kind, -1, -1, -1, -1]) {
                prop_assert!(found >= start && found + 9 <= bytes.len());
                prop_assert_eq!(i32::from(bytes[found + 2]), kind);
            }
        }
    }
}
