#![doc = include_str!("../../docs/with-futures.md")]
