//! Which bytes to ask for in one request.

use std::ops::Range;

/// A gap up to this size is fetched along rather than asked around: on common
/// lines it takes less time than another request.
const MAX_GAP: u64 = 64 * 1024;

/// Where a request has grown to this size, the next tensor gets its own, so
/// that what has arrived is kept if the line breaks.
const MAX_REQUEST: u64 = 32 * 1024 * 1024;

/// Sorts ranges by offset and joins neighbors. Every range given lies within
/// exactly one range of the answer.
pub(super) fn coalesce(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last)
                if range.start < last.end
                    || (range.start - last.end <= MAX_GAP
                        && range.end - last.start <= MAX_REQUEST) =>
            {
                last.end = last.end.max(range.end);
            }
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let ranges = ranges.iter().map(|&(start, end)| start..end).collect();
        let joined = coalesce(ranges).into_iter();
        joined.map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn neighbors_join_and_strangers_do_not() {
        let far = 10 + MAX_GAP + 1;
        assert_eq!(
            joined(&[(far, far + 5), (0, 4), (4, 10)]),
            [(0, 10), (far, far + 5)]
        );
        assert_eq!(joined(&[(0, 10), (far - 1, far)]), [(0, far)]);
        assert_eq!(joined(&[(3, 3)]), []);
    }

    #[test]
    fn requests_do_not_grow_without_bound() {
        let half = MAX_REQUEST / 2 + 1;
        let two = [(0, half), (half, 2 * half)];
        assert_eq!(joined(&two), two);
        assert_eq!(joined(&[(0, 3 * half)]), [(0, 3 * half)]);
    }

    proptest! {
        #[test]
        fn every_range_lies_in_one_request(
            spans in prop::collection::vec((0u64..200_000_000, 0u64..50_000_000), 0..40)
        ) {
            let ranges: Vec<_> = spans.iter().map(|&(start, len)| start..start + len).collect();
            let joined = coalesce(ranges.clone());
            prop_assert!(joined.windows(2).all(|pair| pair[0].end <= pair[1].start));
            for range in ranges.iter().filter(|range| !range.is_empty()) {
                let holders = joined
                    .iter()
                    .filter(|request| request.start <= range.start && range.end <= request.end);
                prop_assert_eq!(holders.count(), 1);
            }
        }
    }
}
