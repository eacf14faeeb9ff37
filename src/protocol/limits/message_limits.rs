use crate::protocol::Limits;

/// The operator's upper bounds, whatever the app's own [`Limits`](crate::Limits) say. Default: no bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageLimits {
    /// The longest message, in bytes, whether received whole or in pieces; also the longest frame.
    pub max_message_size: Option<u64>,
    /// See [`Limits::max_messages_per_second`].
    pub max_messages_per_second: Option<u32>,
}

impl MessageLimits {
    /// The lower bound of the two, for each limit.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            max_message_size: lower(self.max_message_size, other.max_message_size),
            max_messages_per_second: lower(
                self.max_messages_per_second,
                other.max_messages_per_second,
            ),
        }
    }
}

impl Limits {
    /// The same limits, none of them above the operator's.
    pub(crate) fn below(self, operator: MessageLimits) -> Self {
        let size = operator.max_message_size.unwrap_or(u64::MAX);
        let fitting = usize::try_from(size).unwrap_or(usize::MAX);
        Self {
            max_message_size: self.max_message_size.min(fitting),
            max_frame_size: self.max_frame_size.min(fitting),
            max_streamed_size: self.max_streamed_size.map(|own| own.min(size)),
            max_messages_per_second: lower(
                self.max_messages_per_second,
                operator.max_messages_per_second,
            ),
            ..self
        }
    }
}

/// The lower one; `None` is no limit.
fn lower<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(size: u64, rate: u32) -> MessageLimits {
        MessageLimits {
            max_message_size: Some(size),
            max_messages_per_second: Some(rate),
        }
    }

    #[test]
    fn applies_the_lower_of_two_limits() {
        let own = Limits {
            max_streamed_size: Some(1 << 30),
            max_messages_per_second: Some(20),
            ..Limits::for_messages(1000)
        };
        assert_eq!(own.below(MessageLimits::default()), own);
        assert_eq!(own.below(limits(1 << 30, 20)), own);
        let expected = Limits {
            max_message_size: 10,
            max_frame_size: 10,
            max_streamed_size: Some(10),
            max_messages_per_second: Some(2),
            ..own
        };
        assert_eq!(own.below(limits(10, 2)), expected);
        let size_only = Limits::default().below(limits(10, 2));
        assert_eq!(size_only.max_streamed_size, None);
        assert_eq!(size_only.max_messages_per_second, Some(2));
    }

    #[test]
    fn never_raises_a_lowered_limit() {
        let low = limits(10, 2);
        assert_eq!(low.with(MessageLimits::default()), low);
        assert_eq!(low.with(limits(20, 1)), limits(10, 1));
        assert_eq!(MessageLimits::default().with(low), low);
    }
}
