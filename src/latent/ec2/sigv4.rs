//! Amazon's signature, version 4, of a POST. Pure: it is told the time, and knows nothing of what is asked.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::credentials::Keys;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What a signature is good for.
pub struct Scope<'a> {
    /// `20150830T123600Z`
    pub at: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// The header `Authorization`. The names of headers are in lower case, and sorted; the path is as it is sent.
pub fn authorization(keys: &Keys, scope: &Scope<'_>, path: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    let Scope { at, region, service } = scope;
    let day = at.get(..8).unwrap_or_default();
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let signed = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let request = format!("POST\n{}\n\n{lines}\n{signed}\n{}", encoded(path), hex(&Sha256::digest(body)));
    let place = format!("{day}/{region}/{service}/aws4_request");
    let text = format!("{ALGORITHM}\n{at}\n{place}\n{}", hex(&Sha256::digest(request)));
    let first = zeroize::Zeroizing::new(format!("AWS4{}", keys.secret.reveal()));
    let key = [day, region, service, "aws4_request"].iter().fold(first.as_bytes().to_vec(), |key, part| mac(&key, part));
    format!("{ALGORITHM} Credential={}/{place}, SignedHeaders={signed}, Signature={}", keys.identifier.reveal(), hex(&mac(&key, &text)))
}

/// What is encoded already is encoded once more: that is the rule.
fn encoded(path: &str) -> String {
    const PLAIN: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(path, PLAIN).to_string()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // A key of any length will do; without one nobody accepts the signature.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    /// `post-x-www-form-urlencoded` of the test suite that Amazon publishes.
    #[test]
    fn the_published_example() {
        let keys = Keys { identifier: Secret::new("AKIDEXAMPLE"), secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY") };
        let scope = Scope { at: "20150830T123600Z", region: "us-east-1", service: "service" };
        let headers = [
            ("content-length", "13"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", "example.amazonaws.com"),
            ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"),
            ("x-amz-date", "20150830T123600Z"),
        ];
        let expected = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
            SignedHeaders=content-length;content-type;host;x-amz-content-sha256;x-amz-date, \
            Signature=d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b";
        assert_eq!(authorization(&keys, &scope, "/", &headers, b"Param1=value1"), expected);
        assert_ne!(authorization(&keys, &scope, "/", &headers, b"Param1=value2"), expected);
    }
}
