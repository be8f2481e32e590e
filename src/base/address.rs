//! Addresses of mail: `user@host`, or `Name <user@host>`. Knows their form; whether somebody reads there nobody knows.

/// An address, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MailAddress {
    pub name: Option<String>,
    /// `user@host`.
    pub bare: String,
}

/// What a server may refuse as too long is refused here (RFC 5321).
const LONGEST: usize = 254;

impl MailAddress {
    /// None if it is no address that can be put into a header and sent to. With several `@` the last one counts, as it is for servers.
    pub fn parse(text: &str) -> Option<MailAddress> {
        let text = text.trim();
        if text.chars().any(char::is_control) {
            return None;
        }
        let (name, bare) = match text.strip_suffix('>') {
            Some(rest) => {
                let (name, bare) = rest.rsplit_once('<')?;
                let name = name.trim().trim_matches('"').replace("\\\"", "\"");
                (Some(name).filter(|n| !n.is_empty()), bare.trim())
            }
            None => (None, text),
        };
        is_bare(bare).then(|| MailAddress { name, bare: bare.to_owned() })
    }
}

fn is_bare(text: &str) -> bool {
    let Some((user, host)) = text.rsplit_once('@') else { return false };
    let plain = |c: char| !c.is_whitespace() && !"<>()[],;:\\\"@".contains(c);
    let label = |l: &str| !l.is_empty() && !l.starts_with('-') && !l.ends_with('-') && l.chars().all(|c| c.is_alphanumeric() || c == '-');
    let user_fits = !user.is_empty() && user.chars().all(plain) && user.split('.').all(|part| !part.is_empty());
    user_fits && host.split('.').all(label) && text.len() <= LONGEST
}

/// As a header has it.
impl std::fmt::Display for MailAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) if name.chars().all(|c| c.is_alphanumeric() || " _-'".contains(c)) => write!(f, "{name} <{}>", self.bare),
            Some(name) => write!(f, "\"{}\" <{}>", name.replace('\\', "").replace('"', "\\\""), self.bare),
            None => f.write_str(&self.bare),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_address() {
        let good = [
            ("a@b.example", "a@b.example"),
            (" a@localhost ", "a@localhost"),
            ("Ann Lee <ann@b.example>", "Ann Lee <ann@b.example>"),
            ("\"Lee, Ann\" <ann+x@b.example>", "\"Lee, Ann\" <ann+x@b.example>"),
            ("<ann@b.example>", "ann@b.example"),
            ("Jürgen Weiß <jürgen@bücher.example>", "Jürgen Weiß <jürgen@bücher.example>"),
            ("first.last@b-c.example", "first.last@b-c.example"),
        ];
        for (text, shown) in good {
            assert_eq!(MailAddress::parse(text).map(|a| a.to_string()).as_deref(), Some(shown), "{text}");
        }
        let bad = [
            "",
            "ann",
            "@b.example",
            "ann@",
            "a b@c.example",
            "a@b@c.example",
            "a@b..example",
            "a@-b.example",
            "a@b_c.example",
            "a@b.example,c@d.example",
            "a@b.example\r\nBcc: x@y.example",
            "Ann\nBcc: x@y.example <a@b.example>",
            "Ann <a@b.example",
            "a<b>@c.example",
            ".a@b.example",
            "a..b@c.example",
        ];
        for text in bad {
            assert_eq!(MailAddress::parse(text), None, "{text:?}");
        }
        assert_eq!(MailAddress::parse(&format!("a@{}.example", "b".repeat(300))), None);
    }
}
