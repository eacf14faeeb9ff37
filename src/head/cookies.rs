use core::str;

use super::{Request, trim_whitespace};

impl Request {
    /// The cookies (RFC 6265 §4.2): names and values, in order, undecoded. Anything that is not a pair is
    /// skipped.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .values("Cookie")
            .flat_map(|line| line.split(|&byte| byte == b';'))
            .filter_map(|pair| str::from_utf8(trim_whitespace(pair)).ok()?.split_once('='))
    }

    /// The value of the first cookie with this name. Case matters.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let mut cookies = self.cookies();
        cookies.find_map(|(own, value)| (own == name).then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_cookies_of_all_lines() {
        let mut request = Request::default();
        request.fields.append("Cookie", "a=1; b=2=3;nonsense;  c=");
        request.fields.append("cookie", "a=4");
        let cookies: alloc::vec::Vec<_> = request.cookies().collect();
        assert_eq!(cookies, [("a", "1"), ("b", "2=3"), ("c", ""), ("a", "4")]);
        assert_eq!(request.cookie("a"), Some("1"));
        assert_eq!(request.cookie("A"), None);
    }
}
