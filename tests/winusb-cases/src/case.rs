//! What a case is, once it has been read.

use crate::functions::Function;

/// How well founded a case is (the marks of the research page).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Documented by Microsoft.
    Documented,
    /// Seen in the code, the logs or the measurements of others.
    Code,
    /// Inferred: the most plausible behaviour, not stated anywhere.
    Inferred,
    /// Ours: `WinUsbX_` functions, which Windows does not have.
    Extension,
}

impl Mark {
    /// All of them.
    pub const ALL: [Mark; 4] = [Mark::Documented, Mark::Code, Mark::Inferred, Mark::Extension];

    /// As it is written.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Mark::Documented => "D",
            Mark::Code => "C",
            Mark::Inferred => "I",
            Mark::Extension => "X",
        }
    }
}

/// A case: steps, some of them checked.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name; no two are the same.
    pub name: String,
    /// The file it stands in.
    pub group: String,
    /// Line of that file.
    pub line: usize,
    /// How well founded it is.
    pub mark: Mark,
    /// The sections that it rests on.
    pub sections: String,
    /// Whether it is about objects that are Windows' own there.
    pub off_windows: bool,
    /// What happens, the setups' steps first.
    pub steps: Vec<Step>,
}

impl Case {
    /// The functions whose results are checked, each once.
    #[must_use]
    pub fn checked(&self) -> Vec<&'static Function> {
        let mut found: Vec<&'static Function> = Vec::new();
        for step in &self.steps {
            if let Action::Call(Call { function, expected: Some(_), .. }) = &step.action
                && !found.iter().any(|known| known.name == function.name)
            {
                found.push(function);
            }
        }
        found
    }
}

/// A line of a case.
#[derive(Clone, Debug)]
pub struct Step {
    /// As it is written.
    pub text: String,
    /// Line of the file.
    pub line: usize,
    /// What it does.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Opens a device file on the case's own bus.
    Open {
        /// The variable.
        name: String,
        /// Kind of device and its parameters.
        device: String,
    },
    /// Makes memory.
    Memory {
        /// The variable.
        name: String,
        /// Its bytes.
        size: Expression,
        /// What is in it.
        fill: Fill,
    },
    /// Makes structs.
    Struct {
        /// The variable.
        name: String,
        /// Which struct.
        kind: &'static crate::structs::Struct,
        /// How many.
        count: Expression,
    },
    /// Makes an OVERLAPPED, zeroed, with a manual-reset event or without.
    Overlapped {
        /// The variable.
        name: String,
        /// Whether it has an event.
        event: bool,
    },
    /// Adds a fault to the case's bus.
    Fault {
        /// Its kind, as in bus files.
        kind: String,
        /// Frames, the last not included.
        frames: (Expression, Expression),
        /// The endpoint, if not all.
        endpoint: Option<Expression>,
        /// Bytes left of a packet.
        bytes: Option<Expression>,
    },
    /// Compares.
    Check {
        /// What the library left behind.
        left: Expression,
        /// How.
        comparison: Comparison,
        /// What it should be.
        right: Expression,
    },
    /// Sets a variable or a field.
    Assign {
        /// Where to.
        place: Place,
        /// What.
        value: Expression,
    },
    /// Calls the library.
    Call(Call),
}

/// What is in new memory.
#[derive(Clone, Debug)]
pub enum Fill {
    /// 0xa5 everywhere, to see what is written.
    Garbage,
    /// Byte i is i modulo 256.
    Counting,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Of what.
    pub function: &'static Function,
    /// With what.
    pub arguments: Vec<Argument>,
    /// Where the result goes.
    pub result: Option<String>,
    /// What must come back; without it the call must succeed.
    pub expected: Option<Expected>,
}

/// An argument.
#[derive(Clone, Debug)]
pub enum Argument {
    /// A value; for a pointer, the address of what is named.
    Value(Expression),
    /// Where something is written; with what stands there before.
    Out(String, Option<Expression>),
    /// A string.
    Text(String),
    /// `setup(RequestType, Request, Value, Index, Length)`.
    Setup(Vec<Expression>),
}

/// What a call must give back.
#[derive(Clone, Debug)]
pub enum Expected {
    /// TRUE.
    True,
    /// FALSE, with one of these last errors.
    False(Vec<u32>),
    /// NULL, with one of these last errors if there are any.
    Null(Vec<u32>),
    /// `INVALID_HANDLE_VALUE`, with one of these last errors.
    Invalid(Vec<u32>),
    /// This number or address.
    Value(Expression),
}

/// How a check compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

/// Something with a value.
#[derive(Clone, Debug)]
pub enum Expression {
    /// A number.
    Number(i128),
    /// A variable, or a part of one.
    Place(Place),
    /// The current frame number, of the interface handle `h`.
    Now,
    /// Whether the event of an OVERLAPPED is signalled: 1 or 0.
    Signalled(String),
    /// The sum of a field over an array of structs.
    Sum(String, String),
    /// Bytes of one struct of a variable.
    Size(String),
    /// Address of a variable.
    Address(String),
    /// Arithmetic.
    Binary(Box<Expression>, char, Box<Expression>),
}

/// A variable, an element, a field.
#[derive(Clone, Debug)]
pub struct Place {
    /// The variable.
    pub name: String,
    /// Which element, or from which up to (not including) which; of memory, the byte.
    pub index: Option<(Box<Expression>, Option<Box<Expression>>)>,
    /// The field; of memory `u8`, `u16` or `u32`.
    pub field: Option<String>,
}
