//! Did you mean …? The nearest known name for a misspelled one.

/// The known name nearest to `wrong`, if it is near enough to be what was meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_lowercase();
    let limit = (wrong.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|name| *name != wrong)
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, name)| {
            let exact = strsim::damerau_levenshtein(wrong, name);
            (*distance, exact, !left_out(&lower, name), name.len().abs_diff(wrong.len()), *name)
        })
        .map(|(_, name)| name)
}

/// The known name that `wrong` differs from by one letter, two letters in the wrong order, or case; nothing if it is known itself.
pub fn one_edit<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    if known.clone().into_iter().any(|name| name == wrong) {
        return None;
    }
    known.into_iter().find(|name| name.eq_ignore_ascii_case(wrong) || strsim::damerau_levenshtein(wrong, name) == 1)
}

/// Are letters of the name only missing? That is the commoner slip: `utl` is `util` rather than `url`.
fn left_out(wrong: &str, name: &str) -> bool {
    let mut letters = name.chars().flat_map(char::to_lowercase);
    wrong.chars().all(|c| letters.any(|l| l == c))
}

/// ` (did you mean 'x'?)`, or nothing.
pub fn hint<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, known).map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_leaves_strangers() {
        let known = ["max_builds", "missing_timeout", "name", "password"];
        assert_eq!(nearest("max_build", known), Some("max_builds"));
        assert_eq!(nearest("maxbuilds", known), Some("max_builds"));
        assert_eq!(nearest("passwrod", known), Some("password"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("x", known), None);
        assert_eq!(one_edit("evalauteCommand", ["run", "evaluateCommand"]), Some("evaluateCommand"));
        assert_eq!(one_edit("RUN", ["run"]), Some("run"));
        assert_eq!((one_edit("run", ["run", "runs"]), one_edit("ruins", ["run"])), (None, None));
        assert_eq!(nearest("wroker", ["Worker", "worker"]), Some("worker"));
        assert_eq!(nearest("utl", ["url", "util"]), Some("util"));
    }
}
