use wasocket::Fields;

use crate::contract;

/// A plain HTTP response, checked to be sendable. Without `Content-Length` and `Date`, which the host adds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Response {
    /// The status, 200 to 599.
    pub status: u16,
    /// The fields, as the app gave them.
    pub fields: Fields,
    /// The body; empty in response to HEAD.
    pub body: Vec<u8>,
    /// Why the request is refused, as the operator's log has it.
    pub reason: Option<String>,
}

impl Response {
    /// The value of the first field line of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        let value = self.fields.values(name).next();
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The body, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts the status.
    #[track_caller]
    pub fn assert_status(&self, expected: u16) -> &Self {
        assert!(
            self.status == expected,
            "expected status {expected}, got {}",
            self.describe()
        );
        self
    }

    /// Asserts that there is a field line with this name and value.
    #[track_caller]
    pub fn assert_field(&self, name: &str, expected: &str) -> &Self {
        let found = self
            .fields
            .values(name)
            .any(|value| value == expected.as_bytes());
        assert!(
            found,
            "expected the field {name}: {expected}, got {}",
            self.describe()
        );
        self
    }

    /// Asserts that the body is this text.
    #[track_caller]
    pub fn assert_text(&self, expected: &str) -> &Self {
        assert!(
            self.body == expected.as_bytes(),
            "expected the body {expected:?}, got {}",
            self.describe()
        );
        self
    }

    /// The whole response in readable form.
    pub(crate) fn describe(&self) -> String {
        let mut text = format!("status {}", self.status);
        for (name, value) in self.fields.iter() {
            text += &format!("\n  {name}: {}", String::from_utf8_lossy(value));
        }
        if let Some(reason) = &self.reason {
            text += &format!("\n  reason: {reason:?}");
        }
        text + &format!("\n  body: {:?}", self.text())
    }
}

impl From<contract::Response> for Response {
    fn from(response: contract::Response) -> Self {
        Self {
            status: response.head.status,
            fields: response.head.fields.into(),
            body: response.body,
            reason: response.reason,
        }
    }
}
