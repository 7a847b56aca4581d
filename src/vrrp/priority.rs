//! Who becomes active: the highest priority.

use std::num::NonZeroU8;

/// The priority of an instance, 1 to 255 (RFC 9568 §5.2.4). On the wire there is 0 too: the sender
/// hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(NonZeroU8);

/// What an active instance sends when it hands over.
pub const HAND_OVER: u8 = 0;

impl Priority {
    /// The host whose own address the virtual address is.
    pub const OWNER: Self = Self(NonZeroU8::MAX);

    /// `None` for 0, which no instance may have.
    #[must_use]
    pub fn new(value: u8) -> Option<Self> {
        NonZeroU8::new(value).map(Self)
    }

    /// As it stands in an advert.
    #[must_use]
    pub fn value(self) -> u8 {
        self.0.get()
    }

    /// Whether this is the address owner.
    #[must_use]
    pub fn is_owner(self) -> bool {
        self == Self::OWNER
    }

    /// What is left of it, at least 1. An owner's is not lowered: 255 says who it is, not how well.
    #[must_use]
    pub fn lowered_by(self, amount: u8) -> Self {
        if self.is_owner() {
            return self;
        }
        Self(NonZeroU8::new(self.value().saturating_sub(amount)).unwrap_or(NonZeroU8::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_lowered_to_one_at_most_and_an_owners_not_at_all() {
        let lowered = |value, amount| Priority::new(value).unwrap().lowered_by(amount).value();
        assert_eq!((lowered(150, 20), lowered(150, 149), lowered(150, 255)), (130, 1, 1));
        assert_eq!(lowered(255, 20), 255);
        assert_eq!(Priority::new(0), None);
    }
}
