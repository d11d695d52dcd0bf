//! Suggestions for a misspelled name. In come a name and candidates. Out go the
//! nearest candidates, for error messages.

/// The `count` candidates nearest to `name` by edit distance, nearest first;
/// equal distances in alphabetical order, repeated candidates once.
///
/// A candidate is left out if more than half of its letters would have to change,
/// because it would not help.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
    count: usize,
) -> Vec<String> {
    let name: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    let mut ranked: Vec<(usize, &str)> = candidates
        .filter_map(|candidate| {
            let folded: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
            let most = name.len().max(folded.len()) / 2;
            if name.len().abs_diff(folded.len()) > most {
                return None;
            }
            let distance = edit_distance(&name, &folded);
            (distance <= most).then_some((distance, candidate))
        })
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.truncate(count);
    ranked.into_iter().map(|(_, name)| name.into()).collect()
}

/// Optimal string alignment distance: insertions, deletions, substitutions and
/// swaps of neighbors, each at cost 1.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut current = vec![i + 1];
        for (j, &to) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(from != to))
                .min(last[j + 1] + 1)
                .min(current[j] + 1);
            if i > 0 && j > 0 && from == b[j - 1] && a[i - 1] == to {
                cost = cost.min(before_last[j - 1] + 1);
            }
            current.push(cost);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(a: &str, b: &str) -> usize {
        let a: Vec<char> = a.chars().collect();
        let b: Vec<char> = b.chars().collect();
        edit_distance(&a, &b)
    }

    #[test]
    fn distances_of_the_literature() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("saturday", "sunday"), 3);
        assert_eq!(distance("ca", "ac"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("é", "e"), 1);
    }

    #[test]
    fn nearest_come_first_and_far_ones_not_at_all() {
        let names = ["fc1", "block2_pool", "block1_pool", "block2_pool", "input"];
        assert_eq!(
            nearest("block2_pol", names.into_iter(), 3),
            ["block2_pool", "block1_pool"]
        );
        assert_eq!(
            nearest("Block2_Pool", names.into_iter(), 1),
            ["block2_pool"]
        );
        assert!(nearest("conv", ["zzzz"].into_iter(), 3).is_empty());
    }

    #[test]
    fn ties_are_alphabetical_whatever_the_order_given() {
        let expected = ["a1", "a2", "a3"];
        assert_eq!(nearest("a0", ["a3", "a1", "a2"].into_iter(), 9), expected);
        assert_eq!(nearest("a0", ["a2", "a3", "a1"].into_iter(), 9), expected);
    }
}
