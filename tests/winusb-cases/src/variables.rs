//! The variables of a case, and the values of expressions.

use std::collections::BTreeMap;

use crate::case::{Expression, Place};
use crate::library::Library;
use crate::memory::Memory;
use crate::structs::Struct;

/// A variable.
#[derive(Debug)]
pub(crate) enum Variable {
    /// A number of the case's own.
    Number(i128),
    /// Where the library writes a number or a handle; `width` is that of the last use.
    Cell { memory: Memory, width: usize },
    /// Bytes.
    Bytes(Memory),
    /// Structs.
    Structs { memory: Memory, kind: &'static Struct },
    /// A device file.
    File { handle: u64, address: String },
}

/// Bytes of a cell, more than anything that is written to one.
pub(crate) const CELL: usize = 16;

/// All variables of a case.
pub(crate) struct Variables<'a> {
    pub(crate) library: &'a Library,
    pub(crate) known: BTreeMap<String, Variable>,
    /// In a check over a range: which element.
    pub(crate) element: Option<i128>,
}

impl Variables<'_> {
    pub(crate) fn get(&self, name: &str) -> Result<&Variable, String> {
        self.known.get(name).ok_or_else(|| format!("there is no variable {name}"))
    }

    fn memory(&self, name: &str) -> Result<&Memory, String> {
        match self.get(name)? {
            Variable::Cell { memory, .. } | Variable::Bytes(memory) | Variable::Structs { memory, .. } => {
                Ok(memory)
            }
            Variable::Number(_) | Variable::File { .. } => Err(format!("{name} has no memory")),
        }
    }

    fn kind(&self, name: &str) -> Result<&'static Struct, String> {
        match self.get(name)? {
            Variable::Structs { kind, .. } => Ok(kind),
            _ => Err(format!("{name} is no struct")),
        }
    }

    pub(crate) fn value(&self, expression: &Expression) -> Result<i128, String> {
        Ok(match expression {
            Expression::Number(number) => *number,
            Expression::Now => self.now()?,
            Expression::Place(place) => self.place(place)?,
            Expression::Address(name) => i128::from(self.memory(name)?.address()),
            Expression::Size(name) => self.kind(name)?.size() as i128,
            Expression::Signalled(name) => {
                let field = Place { name: name.clone(), index: None, field: Some("hEvent".into()) };
                let event = self.place(&field)? as u64;
                let waited = self.library.call_named("WinUsbX_WaitForSingleObject", &[event, 0]);
                i128::from(waited == Some(0))
            }
            Expression::Sum(name, field) => {
                let (kind, memory) = (self.kind(name)?, self.memory(name)?);
                let (at, width) = kind.field(field).ok_or_else(|| no_field(kind, field))?;
                let places = (0..memory.size() / kind.size()).map(|index| index * kind.size() + at);
                places.filter_map(|at| memory.read(at, width)).map(i128::from).sum()
            }
            Expression::Binary(left, sign, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                let result = match sign {
                    '+' => left.checked_add(right),
                    '-' => left.checked_sub(right),
                    _ => left.checked_mul(right),
                };
                result.ok_or("the numbers are too large")?
            }
        })
    }

    /// The current frame number, of `h`.
    fn now(&self) -> Result<i128, String> {
        let handle = match self.get("h")? {
            Variable::Cell { memory, width } => memory.read(0, *width).unwrap_or(0),
            _ => return Err("`now` asks the interface handle h".into()),
        };
        let (frame, stamp) = (Memory::new(4), Memory::new(8));
        let arguments = [handle, frame.address(), stamp.address()];
        match self.library.call_named("WinUsb_GetCurrentFrameNumber", &arguments) {
            Some(1) => Ok(i128::from(frame.read(0, 4).unwrap_or(0))),
            _ => Err("the current frame number cannot be read".into()),
        }
    }

    pub(crate) fn place(&self, place: &Place) -> Result<i128, String> {
        if let ("i", None, Some(element)) = (place.name.as_str(), &place.index, self.element) {
            return Ok(element);
        }
        let variable = self.get(&place.name)?;
        if place.index.is_none() && place.field.is_none() {
            return Ok(match variable {
                Variable::Number(number) => *number,
                Variable::Cell { memory, width } => i128::from(memory.read(0, *width).unwrap_or(0)),
                Variable::Bytes(memory) | Variable::Structs { memory, .. } => i128::from(memory.address()),
                Variable::File { handle, .. } => i128::from(*handle),
            });
        }
        let (at, width) = self.field(place)?;
        let value = self.memory(&place.name)?.read(at, width);
        value.map(i128::from).ok_or_else(|| format!("byte {at} is beyond the end of {}", place.name))
    }

    /// Where a field or element is.
    fn field(&self, place: &Place) -> Result<(usize, usize), String> {
        let index = match (&place.index, self.element) {
            (None, _) => 0,
            (Some((_, Some(_))), Some(element)) => element,
            (Some((_, Some(_))), None) => {
                return Err("a range stands on the left side of a check only".into());
            }
            (Some((index, None)), _) => self.value(index)?,
        };
        let index = usize::try_from(index).map_err(|_| format!("{index} is no index"))?;
        let field = place.field.as_deref();
        match self.get(&place.name)? {
            Variable::Structs { kind, .. } => {
                let name = field.ok_or_else(|| format!("a field of {} is missing", place.name))?;
                let (at, width) = kind.field(name).ok_or_else(|| no_field(kind, name))?;
                Ok((index.saturating_mul(kind.size()).saturating_add(at), width))
            }
            _ => match field {
                Some("u8") => Ok((index, 1)),
                Some("u16") => Ok((index, 2)),
                Some("u32") => Ok((index, 4)),
                _ => Err(format!("memory is read as {}.u8[0], .u16[0] or .u32[0]", place.name)),
            },
        }
    }

    pub(crate) fn assign(&mut self, place: &Place, value: i128) -> Result<(), String> {
        if place.index.is_none() && place.field.is_none() {
            match self.known.get(&place.name) {
                Some(Variable::Cell { memory, width }) => memory.write(0, *width, value as u64),
                Some(Variable::Number(_)) | None => {
                    self.known.insert(place.name.clone(), Variable::Number(value));
                    Some(())
                }
                Some(_) => None,
            }
            .ok_or_else(|| format!("{} cannot be set", place.name))
        } else {
            let (at, width) = self.field(place)?;
            let written = self.memory(&place.name)?.write(at, width, value as u64);
            written.ok_or_else(|| format!("byte {at} is beyond the end of {}", place.name))
        }
    }

    /// The address of a cell for a number of this width; what it held stays.
    pub(crate) fn cell(&mut self, name: &str, new_width: usize, value: Option<i128>) -> Result<u64, String> {
        let before = match self.known.get(name) {
            Some(Variable::Number(number)) => Some(*number),
            _ => None,
        };
        if before.is_some() || !self.known.contains_key(name) {
            let cell = Variable::Cell { memory: Memory::new(CELL), width: new_width };
            self.known.insert(name.into(), cell);
        }
        match self.known.get_mut(name) {
            Some(Variable::Cell { memory, width }) => {
                *width = new_width;
                if let Some(value) = value.or(before) {
                    memory.write(0, new_width, value as u64);
                }
                Ok(memory.address())
            }
            _ => Err(format!("{name} is something else already")),
        }
    }

    /// Makes structs: zeroed, with their size in `Size`; those that are only written begin as garbage.
    pub(crate) fn make(&mut self, name: &str, kind: &'static Struct, count: usize) {
        let memory = Memory::new(kind.size() * count);
        if !kind.output {
            memory.fill(0, kind.size() * count, 0);
        }
        if let Some((at, width)) = kind.field("Size") {
            for index in 0..count {
                let _ = memory.write(index * kind.size() + at, width, kind.size() as u64);
            }
        }
        self.known.insert(name.into(), Variable::Structs { memory, kind });
    }
}

fn no_field(kind: &Struct, field: &str) -> String {
    format!("{} has no field {field}", kind.name)
}
