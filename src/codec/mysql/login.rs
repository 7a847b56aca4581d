//! What a client says to a greeting: `SSLRequest` and `HandshakeResponse41`; what a server may say to
//! that: `AuthSwitchRequest`.

use super::cursor::Cursor;
use super::{Fault, Greeting, capability};

/// `utf8mb4_general_ci`, which every server since 5.5 has.
const CHARSET: u8 = 45;

/// The largest packet that we would send.
const MOST_SENT: u32 = 1 << 24;

/// What we ask for of what the server can.
fn capabilities(greeting: &Greeting, tls: bool) -> u32 {
    let wanted = capability::LONG_PASSWORD
        | capability::LONG_FLAG
        | capability::PROTOCOL_41
        | capability::TRANSACTIONS
        | capability::SECURE_CONNECTION
        | capability::MULTI_STATEMENTS
        | capability::MULTI_RESULTS
        | capability::PLUGIN_AUTH
        | if tls { capability::SSL } else { 0 };
    // MariaDB says with the lowest bit that it is no MySQL; a client sets it all the same.
    wanted & (greeting.capabilities | capability::LONG_PASSWORD)
}

/// The payload of `SSLRequest`: the head of a login, after which TLS begins.
pub(super) fn ssl_request(greeting: &Greeting, tls: bool) -> Vec<u8> {
    let mut payload = capabilities(greeting, tls).to_le_bytes().to_vec();
    payload.extend_from_slice(&MOST_SENT.to_le_bytes());
    payload.push(CHARSET);
    payload.extend_from_slice(&[0; 23]);
    payload
}

/// The payload of `HandshakeResponse41`.
pub(super) fn login(greeting: &Greeting, tls: bool, user: &str, plugin: &str, answer: &[u8]) -> Vec<u8> {
    let mut payload = ssl_request(greeting, tls);
    payload.extend_from_slice(user.as_bytes());
    payload.push(0);
    // One byte of length: no answer at this place is longer than 64.
    payload.push(u8::try_from(answer.len()).unwrap_or(0));
    payload.extend_from_slice(&answer[..answer.len().min(255)]);
    if capabilities(greeting, tls) & capability::PLUGIN_AUTH != 0 {
        payload.extend_from_slice(plugin.as_bytes());
        payload.push(0);
    }
    payload
}

/// A challenge without the NUL that follows the 20 bytes of one; others may end with a zero of their own.
pub(super) fn without_end(challenge: &[u8]) -> &[u8] {
    match challenge {
        [whole @ .., 0] if whole.len() == 20 => whole,
        whole => whole,
    }
}

/// Another plugin and its challenge, after the 0xfe of `AuthSwitchRequest`.
pub(super) fn auth_switch(body: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if body.is_empty() {
        return Err(Fault::OldPassword);
    }
    let mut cursor = Cursor::new(body, "change of plugin");
    let plugin = cursor.until_nul()?;
    Ok((plugin, without_end(cursor.rest())))
}
