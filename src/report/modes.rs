//! Is a result one that a generator tells of? A function of its modes, the result and the one before; knows no build.

use crate::config::{Mode, Modes};
use crate::model::Results;

/// `previous` is the result of the nearest earlier build that was not repeated, if there is one.
pub fn tells(modes: &Modes, new: Results, previous: Option<Results>) -> bool {
    modes.0.iter().any(|mode| match mode {
        Mode::Change => previous.is_some_and(|previous| previous != new),
        Mode::Problem => new == Results::Failure && previous.is_some_and(|previous| previous != Results::Failure),
        other => other.result() == Some(new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FromValue, Table, Value};

    fn modes(words: &[&str]) -> Modes {
        let items = words.iter().map(|w| Value::Text((*w).into())).collect();
        Modes::from_value(&Value::Table(std::sync::Arc::new(Table { items, ..Table::default() }))).unwrap()
    }

    fn word(word: &str) -> Modes {
        Modes::from_value(&Value::Text(word.into())).unwrap()
    }

    /// Letters of the results in their order: success, warnings, failure, skipped, exception, retry, cancelled.
    const LETTERS: &str = "SWFKERC";

    /// The new results that are told, for each previous one in that order and for none at all.
    fn table(modes: &Modes) -> Vec<String> {
        let previous = Results::ALL.into_iter().map(Some).chain([None]);
        let told = |previous| Results::ALL.into_iter().zip(LETTERS.chars()).filter(move |(new, _)| tells(modes, *new, previous));
        previous.map(|previous| told(previous).map(|(_, letter)| letter).collect()).collect()
    }

    #[test]
    fn every_mode_with_every_pair_of_results() {
        // After:            S         W         F         K         E         R         C         nothing
        assert_eq!(table(&modes(&["change"])), ["WFKERC", "SFKERC", "SWKERC", "SWFERC", "SWFKRC", "SWFKEC", "SWFKER", ""]);
        assert_eq!(table(&modes(&["problem"])), ["F", "F", "", "F", "F", "F", "F", ""]);
        for (name, letter) in [("failing", "F"), ("passing", "S"), ("warnings", "W"), ("exception", "E"), ("cancelled", "C")] {
            assert_eq!(table(&modes(&[name])), [letter; 8], "{name}");
        }
        assert_eq!(table(&word("all")), ["SWFEC"; 8]);
        assert_eq!(table(&word("warnings")), ["WF"; 8]);
        assert_eq!(table(&word("problem")), table(&modes(&["problem"])));
        assert_eq!(table(&Modes::default()), ["SWF"; 8]);
        assert_eq!(table(&modes(&["problem", "passing"])), ["SF", "SF", "S", "SF", "SF", "SF", "SF", "S"]);
        assert_eq!(table(&modes(&[])), [""; 8]);
    }
}
