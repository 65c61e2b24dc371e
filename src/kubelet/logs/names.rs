//! PURE. What rotation makes of a log's name: `0.log` → `0.log.20261121-150405` → `0.log.20261121-150405.gz`, written
//! by way of a name that ends in `.tmp`. The same as upstream's, so that a node can change hands.

use std::cmp::Ordering;

const GZ: &str = ".gz";
const TMP: &str = ".tmp";

/// A rotated log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// Its name without `.gz`; sorts by age.
    pub stem: Box<str>,
    /// Whether it is compressed.
    pub gz: bool,
}

impl Rotated {
    /// The file's name.
    pub fn name(&self) -> String {
        let end = if self.gz { GZ } else { "" };
        format!("{}{end}", self.stem)
    }
}

impl Ord for Rotated {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.stem, self.gz).cmp(&(&other.stem, other.gz))
    }
}

impl PartialOrd for Rotated {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What belongs to a log in its directory, besides itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rotated logs, oldest first; each once.
    pub rotated: Vec<Rotated>,
    /// Left over by a compression that did not end: temporary files, and originals that are compressed already.
    pub unused: Vec<String>,
}

/// Sorts a directory's names for one log (`0.log`).
pub fn sort<'a>(log: &str, names: impl IntoIterator<Item = &'a str>) -> Found {
    let mut found = Found::default();
    for name in names {
        let ours = name
            .strip_prefix(log)
            .is_some_and(|rest| rest.starts_with('.') && rest.len() > 1);
        if !ours {
            continue;
        }
        if name.ends_with(TMP) {
            found.unused.push(name.into());
            continue;
        }
        let (stem, gz) = match name.strip_suffix(GZ) {
            Some(stem) => (stem, true),
            None => (name, false),
        };
        found.rotated.push(Rotated {
            stem: stem.into(),
            gz,
        });
    }
    found.rotated.sort();
    // The compressed one sorts behind its original, and is the one that is complete.
    let doubles: Vec<usize> = (1..found.rotated.len())
        .filter(|n| found.rotated[*n].stem == found.rotated[n - 1].stem)
        .collect();
    for at in doubles.into_iter().rev() {
        found.unused.push(found.rotated.remove(at - 1).name());
    }
    found
}

/// The name of a compressed log.
pub fn compressed(stem: &str) -> String {
    format!("{stem}{GZ}")
}

/// The temporary name a log is compressed under.
pub fn temporary(stem: &str) -> String {
    format!("{stem}{TMP}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_by_age_and_leftovers_told_apart() {
        let names = [
            "0.log",
            "0.log.20261121-150405",
            "0.log.20261121-140405.gz",
            "0.log.20261121-140405",
            "0.log.20261121-130405.gz",
            "0.log.20261121-150405.tmp",
            "0.log.",
            "0.logs",
            "10.log.20261121-130405",
            "1.log.20261121-130405",
        ];
        let found = sort("0.log", names);
        let rotated: Vec<String> = found.rotated.iter().map(Rotated::name).collect();
        assert_eq!(
            rotated,
            [
                "0.log.20261121-130405.gz",
                "0.log.20261121-140405.gz",
                "0.log.20261121-150405"
            ]
        );
        assert_eq!(
            found.unused,
            ["0.log.20261121-150405.tmp", "0.log.20261121-140405"]
        );
    }
}
