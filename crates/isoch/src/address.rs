//! Addresses: `SCHEME:REST?KEY=VALUE&…`. A device-interface path of Windows, `\\?\usb#…`, has a `?` of its own.

use crate::Error;

/// An address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// As it was given.
    pub(crate) text: String,
    pub(crate) scheme: String,
    pub(crate) path: String,
    pub(crate) parameters: Vec<(String, String)>,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let fail = |reason: String| Error::Address { address: text.into(), reason };
        let (scheme, rest) = text
            .split_once(':')
            .ok_or_else(|| fail("it begins with a bus, as in `virtual:speaker`".into()))?;
        let is_device_path = rest.starts_with(r"\\?\");
        let (path, query) = rest.split_once('?').filter(|_| !is_device_path).unwrap_or((rest, ""));
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| fail(format!("`{pair}` is no parameter: write `{pair}=VALUE`")))?;
            if parameters.iter().any(|(known, _)| known == key) {
                return Err(fail(format!("`{key}` is given twice")));
            }
            parameters.push((key.into(), value.into()));
        }
        Ok(Address { text: text.into(), scheme: scheme.into(), path: path.into(), parameters })
    }

    pub(crate) fn error(&self, reason: impl std::fmt::Display) -> Error {
        Error::Address { address: self.text.clone(), reason: reason.to_string() }
    }

    /// Takes a parameter out.
    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        let index = self.parameters.iter().position(|(known, _)| known == key)?;
        Some(self.parameters.remove(index).1)
    }
}
