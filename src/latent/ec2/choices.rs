//! What is tried at a launch, in its order: types and places, as the configuration has them or as a class of the file wants them. Pure.

use serde_json::{Value as Json, json};

use super::settings::Settings;

/// More are not tried in any useful time.
const MOST: usize = 100;
const NAMES: [&str; 5] = ["instance_type", "subnet_id", "placement", "ami", "spot_price"];

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Choice {
    pub instance_type: String,
    pub subnet_id: Option<String>,
    /// The letter of a zone.
    pub placement: Option<String>,
    pub spot: bool,
    /// In place of the configuration's.
    pub ami: Option<String>,
    pub spot_price: Option<f64>,
}

impl Choice {
    /// What there is room for or not: `on demand m5.large a`.
    pub fn key(&self) -> String {
        let market = match self.spot_price {
            Some(price) => format!("spot at {price}"),
            None if self.spot => "spot".to_owned(),
            None => "on demand".to_owned(),
        };
        let place = self.subnet_id.as_deref().or(self.placement.as_deref());
        [&market, self.instance_type.as_str()].into_iter().chain(place).collect::<Vec<_>>().join(" ")
    }
}

/// Each type in each place.
pub fn configured(s: &Settings) -> Vec<Choice> {
    let places: Vec<(Option<String>, Option<String>)> = match (s.subnet_ids.as_slice(), s.placements.as_slice()) {
        ([], []) => vec![(None, None)],
        ([], placements) => placements.iter().map(|p| (None, Some(p.clone()))).collect(),
        (subnets, _) => subnets.iter().map(|n| (Some(n.clone()), None)).collect(),
    };
    let of = |instance_type: &String| {
        let choice = |(subnet_id, placement): &(Option<String>, Option<String>)| Choice {
            instance_type: instance_type.clone(),
            subnet_id: subnet_id.clone(),
            placement: placement.clone(),
            spot: s.spot.is_some(),
            ..Choice::default()
        };
        places.iter().map(choice).collect::<Vec<_>>()
    };
    s.instance_types.iter().flat_map(of).collect()
}

/// As a class of the file sees them.
pub fn shown(choices: &[Choice]) -> Json {
    let one = |c: &Choice| {
        let all = json!({ "instance_type": c.instance_type, "subnet_id": c.subnet_id, "placement": c.placement, "ami": c.ami,
            "spot_price": c.spot_price });
        let Json::Object(all) = all else { return all };
        all.into_iter().filter(|(_, value)| !value.is_null()).collect()
    };
    choices.iter().map(one).collect()
}

/// The list that `launch_choices` gave; what a choice leaves out is the configuration's.
pub fn given(list: &Json, s: &Settings) -> Result<Vec<Choice>, String> {
    let wrong = |i: usize, what: String| format!("launch_choices: item {}: {what}", i + 1);
    let list = list.as_array().filter(|l| !l.is_empty()).ok_or("launch_choices: must be a list of choices")?;
    if list.len() > MOST {
        return Err(format!("launch_choices: at most {MOST} choices are tried, got {}", list.len()));
    }
    let one = |(i, item): (usize, &Json)| {
        let Json::Object(fields) = item else { return Err(wrong(i, format!("must be a table of names, got {item}"))) };
        if let Some(name) = fields.keys().find(|name| !NAMES.contains(&name.as_str())) {
            return Err(wrong(i, format!("unknown name '{name}' (there is {})", NAMES.join(", "))));
        }
        let text = |name: &str| match fields.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(other) => Err(wrong(i, format!("'{name}' must be text, got {other}"))),
        };
        let spot_price = match fields.get("spot_price") {
            None | Some(Json::Null) => None,
            Some(price) => match price.as_f64().filter(|p| p.is_finite() && *p > 0.0) {
                Some(price) => Some(price),
                None => return Err(wrong(i, format!("'spot_price' must be a number above 0, got {price}"))),
            },
        };
        let (subnet_id, placement) = (text("subnet_id")?, text("placement")?);
        if placement.as_ref().is_some_and(|p| p.len() != 1 || !p.chars().all(|c| c.is_ascii_lowercase())) {
            return Err(wrong(i, format!("'placement' must be the letter of a zone, such as \"a\", got {placement:?}")));
        }
        if subnet_id.is_some() && placement.is_some() {
            return Err(wrong(i, "'placement' has no meaning with 'subnet_id': a subnet lies in one zone".into()));
        }
        let nowhere = subnet_id.is_none() && placement.is_none();
        Ok(Choice {
            instance_type: match text("instance_type")?.or_else(|| s.instance_types.first().cloned()) {
                Some(instance_type) => instance_type,
                None => return Err(wrong(i, "has no instance_type".into())),
            },
            // A network without a default one needs a subnet whatever the type.
            subnet_id: if nowhere { s.subnet_ids.first().cloned() } else { subnet_id },
            placement,
            spot: s.spot.is_some() || spot_price.is_some(),
            ami: text("ami")?,
            spot_price,
        })
    };
    list.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect();
        Settings { instance_types: texts(&["m5.large", "c5.large"]), placements: texts(&["a", "b"]), ..Settings::default() }
    }

    #[test]
    fn what_is_shown_can_be_given_back() {
        let all = configured(&settings());
        let keys: Vec<String> = all.iter().map(Choice::key).collect();
        assert_eq!(keys, ["on demand m5.large a", "on demand m5.large b", "on demand c5.large a", "on demand c5.large b"]);
        let shown = shown(&all);
        assert_eq!(shown[0], json!({ "instance_type": "m5.large", "placement": "a" }));
        assert_eq!(given(&shown, &settings()), Ok(all));
    }

    #[test]
    fn what_is_left_out_is_the_configurations() {
        let wanted = json!([{ "placement": "c", "spot_price": 0.2 }, { "instance_type": "t3.small", "ami": "ami-9" }]);
        let given = given(&wanted, &settings()).unwrap();
        let first = Choice {
            instance_type: "m5.large".into(),
            placement: Some("c".into()),
            spot: true,
            spot_price: Some(0.2),
            ..Choice::default()
        };
        let second = Choice { instance_type: "t3.small".into(), ami: Some("ami-9".into()), ..Choice::default() };
        assert_eq!(given, [first, second]);
    }

    #[test]
    fn wrong_choices_are_told() {
        for (list, told) in [
            (json!([]), "must be a list of choices"),
            (json!([5]), "item 1: must be a table of names, got 5"),
            (json!([{}, { "type": "m5" }]), "item 2: unknown name 'type' (there is instance_type, subnet_id, placement, ami, spot_price)"),
            (json!([{ "placement": "us-east-1a" }]), "item 1: 'placement' must be the letter of a zone"),
            (json!([{ "placement": "a", "subnet_id": "subnet-1" }]), "'placement' has no meaning with 'subnet_id'"),
            (json!([{ "spot_price": -1 }]), "'spot_price' must be a number above 0, got -1"),
            (json!([{ "ami": 5 }]), "'ami' must be text, got 5"),
            (Json::Array(vec![json!({}); 101]), "at most 100 choices are tried, got 101"),
        ] {
            let refused = given(&list, &settings()).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
    }
}
