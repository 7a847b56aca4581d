//! What the operator changes about the fields of a message.

use crate::head::{Field, Fields, Known, are_alike};

/// Fields to set, add and remove, in this order of meaning: `remove` and `set` drop what the peer
/// sent under these names, then `set` and `add` are appended.
#[derive(Clone, Debug, Default)]
pub struct HeaderRules {
    set: Vec<Rule>,
    add: Vec<Rule>,
    remove: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    known: Known,
    name: Box<[u8]>,
    value: Box<[u8]>,
}

/// Why a rule cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderRuleFault {
    /// The name is no token (RFC 9110 §5.1).
    #[error("`{0}` is not a header name")]
    Name(String),
    /// The value has a control byte or stands between blanks (RFC 9110 §5.5).
    #[error("the value of `{0}` has a control character or a blank at an end")]
    Value(String),
    /// haechi writes these itself: they frame the message or belong to one connection.
    #[error("`{0}` frames the message and cannot be changed")]
    Framing(String),
    /// A message has one Host.
    #[error("`Host` can be set, not added or removed")]
    Host,
}

impl HeaderRules {
    /// Rules from names and values as written.
    ///
    /// # Errors
    /// The first [`HeaderRuleFault`] found.
    pub fn new(set: &[(String, String)], add: &[(String, String)], remove: &[String]) -> Result<Self, HeaderRuleFault> {
        let pairs = |list: &[(String, String)]| {
            list.iter().map(|(name, value)| Rule::new(name, value)).collect::<Result<Vec<_>, _>>()
        };
        let (set, add) = (pairs(set)?, pairs(add)?);
        let remove = remove.iter().map(|name| Rule::new(name, "")).collect::<Result<Vec<_>, _>>()?;
        if add.iter().chain(&remove).any(|rule| rule.known == Known::Host) {
            return Err(HeaderRuleFault::Host);
        }
        Ok(Self { set, add, remove })
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Whether the peer's field is dropped or replaced: for whoever writes a message straight from
    /// another one's fields and then appends [`HeaderRules::appended`].
    #[must_use]
    #[inline]
    pub fn is_changed(&self, field: Field<'_>) -> bool {
        !self.is_empty() && self.is_set_or_removed(field)
    }

    fn is_set_or_removed(&self, field: Field<'_>) -> bool {
        self.set.iter().chain(&self.remove).any(|rule| rule.names(field.known, field.name))
    }

    /// The same for a field that haechi writes itself.
    #[must_use]
    pub fn is_name_changed(&self, name: &str) -> bool {
        !self.is_empty() && self.is_changed(Field::new(Known::of(name.as_bytes()), name.as_bytes(), b""))
    }

    /// Names and values to append.
    pub fn appended(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.set.iter().chain(&self.add).map(|rule| (&*rule.name, &*rule.value))
    }

    /// Changes the fields.
    pub fn apply(&self, fields: &mut Fields) {
        if self.is_empty() {
            return;
        }
        fields.retain(|field| !self.is_changed(field));
        for rule in self.set.iter().chain(&self.add) {
            fields.push_known(rule.known, &rule.name, &rule.value);
        }
    }
}

impl Rule {
    fn new(name: &str, value: &str) -> Result<Self, HeaderRuleFault> {
        let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(HeaderRuleFault::Name(name.to_owned()));
        }
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') || value.trim() != value {
            return Err(HeaderRuleFault::Value(name.to_owned()));
        }
        let known = Known::of(name.as_bytes());
        if known == Known::ContentLength || super::hop_by_hop::is_hop_by_hop(known) {
            return Err(HeaderRuleFault::Framing(name.to_owned()));
        }
        Ok(Self { known, name: name.as_bytes().into(), value: value.as_bytes().into() })
    }

    /// Lookalikes are meant too: to some servers `X_User` is the `X-User` that a rule sets.
    fn names(&self, known: Known, name: &[u8]) -> bool {
        if known == Known::Other { are_alike(&self.name, name) } else { self.known == known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fields: &Fields) -> Vec<String> {
        fields
            .iter()
            .map(|field| format!("{}: {}", String::from_utf8_lossy(field.name), String::from_utf8_lossy(field.value)))
            .collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn rules_set_add_and_remove() {
        let set = pairs(&[("X-Site", "shop"), ("server", "haechi")]);
        let rules =
            HeaderRules::new(&set, &pairs(&[("Via", "b")]), &["X-Debug".to_owned(), "Etag".to_owned()]).unwrap();
        let mut fields = Fields::default();
        for (name, value) in
            [("x-site", "evil"), ("Server", "old"), ("Via", "a"), ("x-DEBUG", "1"), ("ETag", "2"), ("X-Keep", "3")]
        {
            fields.push(name, value);
        }
        let kept: Vec<_> =
            fields.iter().filter(|field| !rules.is_changed(*field)).map(|field| field.name.to_vec()).collect();
        assert_eq!(kept, [b"Via".to_vec(), b"X-Keep".to_vec()]);
        assert!(rules.is_name_changed("Server") && !rules.is_name_changed("Date"));
        rules.apply(&mut fields);
        assert_eq!(text(&fields), ["Via: a", "X-Keep: 3", "X-Site: shop", "server: haechi", "Via: b"]);
        assert_eq!(rules.appended().count(), 3);
    }

    #[test]
    fn lookalikes_are_meant_too() {
        let rules = HeaderRules::new(&pairs(&[("X-User", "a"), ("User-Agent", "b")]), &[], &[]).unwrap();
        let mut fields = Fields::default();
        for name in ["X_User", "x.user", "User_Agent", "XUser", "X-User-Id"] {
            fields.push(name, "c");
        }
        rules.apply(&mut fields);
        assert_eq!(text(&fields), ["XUser: c", "X-User-Id: c", "X-User: a", "User-Agent: b"]);
    }

    #[test]
    fn rules_that_would_break_the_message_are_refused() {
        let set = |name: &str, value: &str| HeaderRules::new(&pairs(&[(name, value)]), &[], &[]).map(|_| ());
        assert_eq!(set("X A", "1"), Err(HeaderRuleFault::Name("X A".into())));
        assert_eq!(set("", "1"), Err(HeaderRuleFault::Name(String::new())));
        assert_eq!(set("X", "a\r\nB: c"), Err(HeaderRuleFault::Value("X".into())));
        assert_eq!(set("X", " a"), Err(HeaderRuleFault::Value("X".into())));
        for name in ["Content-Length", "transfer-encoding", "Connection", "Upgrade"] {
            assert_eq!(set(name, "1"), Err(HeaderRuleFault::Framing(name.into())));
        }
        assert!(set("Host", "a").is_ok());
        assert!(HeaderRules::new(&[], &pairs(&[("Host", "a")]), &[]).is_err());
        assert!(HeaderRules::new(&[], &[], &["host".to_owned()]).is_err());
        assert!(HeaderRules::default().is_empty());
    }
}
