//! Which image is started: of those that the owners and the location regex let through, the one that sorts last. Pure.

use std::cmp::Ordering;

use regex::Regex;

/// An image as the provider tells of it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Image {
    pub id: String,
    /// `amazon/NAME` or a manifest's path; some have none.
    pub location: Option<String>,
    pub owner: String,
    /// Only one that is `available` can be started.
    pub state: String,
    /// Devices whose volumes it leaves behind when the instance ends, with the size of each in GiB.
    pub keeps: Vec<(String, Option<i32>)>,
}

/// `valid_ami_owners` and `valid_ami_location_regex`; an empty list and no regex let everything through.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    pub owners: Vec<String>,
    /// Anchored at the start by [`anchored`].
    pub location: Option<Regex>,
}

/// Why there is none: how many images were seen, and how many each filter let through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "no image fits: {seen} seen, {available} of them available, {owned} of these of the valid owners, {matched} of these with a matching location"
)]
pub struct NoImage {
    pub seen: usize,
    pub available: usize,
    pub owned: usize,
    pub matched: usize,
}

/// The regex as it is applied to locations: from their start on, to whatever end. The error says why it can't be used.
pub fn anchored(pattern: &str) -> Result<Regex, String> {
    let reason = |e: regex::Error| e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
    // By itself first: `a)(b` must not become right by the group around it.
    Regex::new(pattern).map_err(reason)?;
    Regex::new(&format!(r"\A(?:{pattern})")).map_err(reason)
}

struct Match<'a> {
    image: &'a Image,
    location: &'a str,
    /// The first group's text; empty if it took no part. None: the regex has no group.
    group: Option<&'a str>,
}

/// The image to start.
pub fn choose<'a>(images: impl IntoIterator<Item = &'a Image>, filters: &Filters) -> Result<&'a Image, NoImage> {
    let mut count = NoImage { seen: 0, available: 0, owned: 0, matched: 0 };
    let mut matches: Vec<Match> = Vec::new();
    for image in images {
        count.seen += 1;
        if image.state != "available" {
            continue;
        }
        count.available += 1;
        if !filters.owners.is_empty() && !filters.owners.contains(&image.owner) {
            continue;
        }
        count.owned += 1;
        let location = image.location.as_deref();
        let (location, group) = match (&filters.location, location) {
            (None, location) => (location.unwrap_or_default(), None),
            (Some(_), None) => continue,
            (Some(regex), Some(location)) => {
                let Some(found) = regex.captures(location) else { continue };
                let group = (found.len() > 1).then(|| found.get(1).map_or("", |g| g.as_str()));
                (location, group)
            }
        };
        count.matched += 1;
        matches.push(Match { image, location, group });
    }
    let numbers = matches.iter().all(|m| m.group.is_some_and(|g| Integer::read(g).is_some()));
    let key = |a: &Match, b: &Match| -> Ordering {
        let by_group = match (a.group, b.group) {
            (Some(a), Some(b)) if numbers => Integer::read(a).cmp(&Integer::read(b)),
            (a, b) => a.cmp(&b),
        };
        by_group.then_with(|| a.location.cmp(b.location)).then_with(|| a.image.id.cmp(&b.image.id))
    };
    matches.into_iter().max_by(key).map(|m| m.image).ok_or(count)
}

/// A whole number of any length, with a sign or without, blanks around it or none.
#[derive(PartialEq, Eq)]
struct Integer<'a> {
    negative: bool,
    /// Without zeros in front; none for zero.
    digits: &'a str,
}

impl Integer<'_> {
    fn read(text: &str) -> Option<Integer<'_>> {
        let text = text.trim();
        let (sign, digits) = match text.strip_prefix(['+', '-']) {
            Some(digits) => (&text[..1], digits),
            None => ("+", text),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits = digits.trim_start_matches('0');
        Some(Integer { negative: sign == "-" && !digits.is_empty(), digits })
    }
}

impl Ord for Integer<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = self.digits.len().cmp(&other.digits.len()).then_with(|| self.digits.cmp(other.digits));
        match (self.negative, other.negative) {
            (false, false) => size,
            (true, true) => size.reverse(),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

impl PartialOrd for Integer<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, location: &str) -> Image {
        Image { id: id.into(), location: Some(location.into()), owner: "1".into(), state: "available".into(), keeps: Vec::new() }
    }

    /// The id of the chosen one among images at these locations, named `a`, `b`, `c` …
    fn chosen(regex: &str, locations: &[&str]) -> Option<String> {
        let images: Vec<Image> = locations.iter().zip('a'..).map(|(l, id)| image(&id.to_string(), l)).collect();
        let filters = Filters { location: Some(anchored(regex).expect(regex)), ..Filters::default() };
        choose(&images, &filters).ok().map(|i| i.id.clone())
    }

    #[test]
    fn the_last_in_order_is_taken() {
        for (regex, locations, expected) in [
            // As integers 10 is more than 9, as text less.
            (r"ci-(\d+)/", &["ci-9/x", "ci-10/x"][..], "b"),
            (r"ci-(\w+)/", &["ci-9/x", "ci-10/x", "ci-1a/x"], "a"),
            (r"ci-(.+)/", &["ci-+5/x", "ci- 4 /x", "ci-3/x"], "a"),
            (r"ci-(.+)/", &["ci--5/x", "ci--4/x"], "b"),
            (r"ci-(.+)/", &["ci-007/x", "ci-8/x"], "b"),
            (r"ci-(.+)/", &["ci-99999999999999999999999998/x", "ci-99999999999999999999999999/x", "ci-5/x"], "b"),
            // One that is no number makes all of them texts.
            (r"ci-(.*)/", &["ci-9/x", "ci-10/x", "ci-/x"], "a"),
            // An optional group that took no part is no number and sorts first.
            (r"ci(-\d+)?/", &["ci/x", "ci-1/x"], "b"),
            // No group: the location itself.
            (r"ci-\d+/", &["ci-9/x", "ci-10/x"], "a"),
            // Only the first group counts.
            (r"ci-(\d+)-(\d+)/", &["ci-1-9/x", "ci-2-1/x"], "b"),
            // Ties: the location, then the id.
            (r"ci-(\d+)/", &["ci-5/b", "ci-5/a"], "a"),
            (r"ci-(\d+)/", &["ci-5/a", "ci-5/a"], "b"),
            // From the start, but not to the end.
            (r"ci-(\d+)", &["my-ci-9/x", "ci-1/x"], "b"),
        ] {
            assert_eq!(chosen(regex, locations).as_deref(), Some(expected), "{regex} {locations:?}");
        }
        assert_eq!(chosen(r"other", &["ci-1/x"]), None);
    }

    #[test]
    fn what_is_not_there_is_counted() {
        let mut pending = image("p", "ci-1/x");
        pending.state = "pending".into();
        let nowhere = Image { location: None, ..image("n", "") };
        let foreign = Image { owner: "2".into(), ..image("f", "ci-2/x") };
        let images = [pending, nowhere, foreign, image("o", "other")];
        let filters = Filters { owners: vec!["1".into()], location: anchored("ci-").ok() };
        let none = choose(&images, &filters).unwrap_err();
        assert_eq!(none, NoImage { seen: 4, available: 3, owned: 2, matched: 0 });
        let both = Filters { owners: vec!["1".into(), "2".into()], ..filters };
        assert_eq!(choose(&images, &both).unwrap().id, "f");
    }

    #[test]
    fn a_regex_that_is_not_known_says_why() {
        assert!(anchored("(?=x)").unwrap_err().contains("look-around"));
        assert!(anchored("a)(b").is_err());
    }

    #[test]
    fn the_order_does_not_depend_on_the_order_of_the_answer() {
        let mut images: Vec<Image> = (0..500).map(|i| image(&format!("i{i:03}"), &format!("ci-{}/x", i % 37))).collect();
        let filters = Filters { location: anchored(r"ci-(\d+)").ok(), ..Filters::default() };
        let first = choose(&images, &filters).unwrap().clone();
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20 {
            rng.shuffle(&mut images);
            assert_eq!(*choose(&images, &filters).unwrap(), first);
        }
    }
}
