//! A mail as it is meant, before it is bytes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// To whom, what, and what hangs on it. Nothing in it is trusted to be free of line breaks: whoever makes bytes of it sees to that.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Mail {
    /// `name@host`, or `Name <name@host>`.
    pub from: String,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub subject: String,
    pub text: Option<String>,
    /// Beside the text, or alone.
    pub html: Option<String>,
    pub attachments: Vec<Attachment>,
    /// Of the configuration, rendered.
    pub extra_headers: Vec<(String, String)>,
    /// Mails with the same thread refer to one another: the builder's name.
    pub thread: Option<String>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Attachment {
    pub name: String,
    /// Such as `text/plain; charset=utf-8`.
    pub media_type: String,
    #[serde(serialize_with = "to_base64", deserialize_with = "of_base64")]
    pub content: Vec<u8>,
}

impl Mail {
    /// As the outbox keeps it.
    pub fn to_payload(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|e| format!("a mail can't be written down: {e}"))
    }

    pub fn of_payload(payload: &str) -> Result<Mail, String> {
        serde_json::from_str(payload).map_err(|e| format!("the stored mail can't be read: {e}"))
    }
}

fn to_base64<S: Serializer>(content: &[u8], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&BASE64_STANDARD.encode(content))
}

fn of_base64<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(d)?;
    BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_survives_the_outbox() {
        let mail = Mail {
            from: "a@b.c".into(),
            to: vec!["d@e.f".into()],
            subject: "ü\r\n".into(),
            text: Some("text".into()),
            attachments: vec![Attachment { name: "n".into(), media_type: "text/plain".into(), content: vec![0, 255, 10] }],
            extra_headers: vec![("X".into(), "y".into())],
            ..Mail::default()
        };
        assert_eq!(Mail::of_payload(&mail.to_payload().unwrap()).unwrap(), mail);
        assert!(Mail::of_payload("{").unwrap_err().starts_with("the stored mail can't be read"));
    }
}
