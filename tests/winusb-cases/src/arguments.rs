//! From what a case says to what a function is given.

use std::ffi::CString;

use crate::case::{Argument, Expression, Place};
use crate::functions::Kind;
use crate::run::Run;
use crate::structs;

impl Run<'_> {
    /// The bits of an argument; strings live in `texts`.
    pub(crate) fn argument(
        &mut self,
        kind: Kind,
        argument: &Argument,
        texts: &mut Vec<CString>,
    ) -> Result<u64, String> {
        match argument {
            Argument::Out(name, value) => {
                let value = value.as_ref().map(|value| self.variables.value(value)).transpose()?;
                let width = match kind {
                    Kind::ByteOut => 1,
                    Kind::LongOut | Kind::Bytes => 4,
                    Kind::WideOut => 8,
                    _ => size_of::<usize>(),
                };
                self.variables.cell(name, width, value)
            }
            Argument::Text(text) => {
                let text = text.replace("$bus", &self.bus);
                let text = CString::new(text).map_err(|error| error.to_string())?;
                texts.push(text);
                Ok(texts.last().map_or(0, |text| text.as_ptr().expose_provenance() as u64))
            }
            Argument::Setup(fields) => {
                let mut packed = 0;
                let mut shift = 0;
                for (field, width) in fields.iter().zip([8, 8, 16, 16, 16]) {
                    let value = self.variables.value(field)?;
                    packed |= (value as u64 & ((1 << width) - 1)) << shift;
                    shift += width;
                }
                Ok(packed)
            }
            Argument::Value(expression) => {
                if let Expression::Place(Place { name, index: None, field: None }) = expression
                    && !self.variables.known.contains_key(name)
                    && let Some(found) = structs::of(kind)
                {
                    match kind {
                        Kind::Overlapped => self.overlapped(name, true)?,
                        _ => self.variables.make(name, found, 1),
                    }
                }
                Ok(self.variables.value(expression)? as u64)
            }
        }
    }
}
