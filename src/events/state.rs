use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The state of a connection that an app keeps between events, as bytes: at most
/// [`MAX_STATE`](super::MAX_STATE) of them.
///
/// Implemented for `()`, text, bytes, and, with feature `json`, for [`Json`](crate::Json) of any type that
/// serde supports.
pub trait State: Default {
    /// Reads what [`to_bytes`](Self::to_bytes) has written, in this version of the app or in an earlier one, whose open
    /// connections move to this one. Not called before a state has been written: a new connection starts with the
    /// default.
    ///
    /// # Errors
    ///
    /// When the bytes are not a state that this version knows. A connection that was about to move here stays where it
    /// is. One that is already here is closed with code 1011.
    fn from_bytes(bytes: &[u8]) -> Result<Self, StateError>;

    /// Writes the state.
    ///
    /// # Errors
    ///
    /// When it cannot be written. The connection is closed with code 1011.
    fn to_bytes(&self) -> Result<Vec<u8>, StateError>;
}

/// A state that cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateError;

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the state of the connection cannot be read or written")
    }
}

impl core::error::Error for StateError {}

impl State for () {
    fn from_bytes(_: &[u8]) -> Result<Self, StateError> {
        Ok(())
    }

    fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        Ok(Vec::new())
    }
}

impl State for Vec<u8> {
    fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(bytes.into())
    }

    fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        Ok(self.clone())
    }
}

impl State for String {
    fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        Self::from_utf8(bytes.into()).map_err(|_| StateError)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        Ok(self.clone().into_bytes())
    }
}

#[cfg(feature = "json")]
impl<T> State for crate::Json<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned + Default,
{
    fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        serde_json::from_slice(bytes)
            .map(Self)
            .map_err(|_| StateError)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        serde_json::to_vec(&self.0).map_err(|_| StateError)
    }
}
