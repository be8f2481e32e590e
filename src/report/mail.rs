//! A mail as it is meant, before it is bytes.

/// To whom, what, and what hangs on it. Nothing in it is trusted to be free of line breaks: whoever makes bytes of it sees to that.
#[derive(Clone, PartialEq, Debug, Default)]
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

#[derive(Clone, PartialEq, Debug)]
pub struct Attachment {
    pub name: String,
    /// Such as `text/plain; charset=utf-8`.
    pub media_type: String,
    pub content: Vec<u8>,
}
