//! Running one case.
//!
//! Each case has a bus of its own, on which time passes only while the program waits: `now + 5` is as exact
//! on a loaded machine as on an idle one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::answer::{Answer, Wanted};
use crate::case::{Action, Argument, Call, Case, Comparison, Expected, Expression, Fill, Place, Step};
use crate::left_behind::Open;
use crate::library::Library;
use crate::memory::Memory;
use crate::structs;
use crate::variables::{Variable, Variables};

/// What `GetLastError` says before each call: nobody's code.
const NO_ERROR_YET: u64 = 0xdef;

/// A case that runs.
pub(crate) struct Run<'a> {
    pub(crate) library: &'a Library,
    pub(crate) variables: Variables<'a>,
    pub(crate) bus: String,
    scratch: &'a Path,
    /// Kinds and parameters of the devices opened, for files of faults.
    devices: Vec<String>,
    pub(crate) open: Open,
}

/// Runs a case; `scratch` is a directory for its files.
///
/// # Errors
/// What was expected and what came instead.
pub fn run(library: &Library, case: &Case, scratch: &Path) -> Result<(), String> {
    let mut run = Run {
        library,
        variables: Variables { library, known: BTreeMap::new(), element: None },
        bus: format!("virtual:case-{}", case.name),
        scratch,
        devices: Vec::new(),
        open: Open::default(),
    };
    let before = run.devices_listed();
    let result = case.steps.iter().try_for_each(|step| {
        run.step(step).map_err(|what| format!("line {}: {}\n    {what}", step.line, step.text))
    });
    let result = result.and_then(|()| run.guards());
    run.clean_up();
    result.and_then(|()| match run.devices_listed() {
        after if after == before => Ok(()),
        after => {
            Err(format!("after all was closed: {after} devices are listed, and there were {before} before"))
        }
    })
}

impl Run<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.action {
            Action::Open { name, device } => self.open(name, device),
            Action::Memory { name, size, fill } => {
                let size = self.count(size)?;
                let memory = Memory::new(size);
                match fill {
                    Fill::Garbage => {}
                    Fill::Counting => (0..size).for_each(|at| memory.fill(at, 1, at as u8)),
                    Fill::Bytes(bytes) => {
                        bytes.iter().zip(0..).for_each(|(byte, at)| memory.fill(at, 1, *byte))
                    }
                }
                self.variables.known.insert(name.clone(), Variable::Bytes(memory));
                Ok(())
            }
            Action::Struct { name, kind, count } => {
                let count = self.count(count)?;
                self.variables.make(name, kind, count);
                Ok(())
            }
            Action::Overlapped { name, event } => self.overlapped(name, *event),
            Action::Fault { kind, frames, endpoint, bytes } => {
                let mut text = String::new();
                let (first, end) = (self.variables.value(&frames.0)?, self.variables.value(&frames.1)?);
                let _ = writeln!(text, "kind = {kind:?}\nframes = [{first}, {end}]");
                if let Some(endpoint) = endpoint {
                    let _ = writeln!(text, "endpoint = {}", self.variables.value(endpoint)?);
                }
                if let Some(bytes) = bytes {
                    let _ = writeln!(text, "bytes = {}", self.variables.value(bytes)?);
                }
                self.fault(&text)
            }
            Action::Check { left, comparison, right } => self.check(left, *comparison, right),
            Action::Assign { place, value } => {
                let value = self.variables.value(value)?;
                self.variables.assign(place, value)
            }
            Action::Call(call) => self.call(call),
        }
    }

    fn count(&self, expression: &Expression) -> Result<usize, String> {
        let count = self.variables.value(expression)?;
        usize::try_from(count).ok().filter(|count| *count <= 1 << 28).ok_or(format!("{count} is too many"))
    }

    fn open(&mut self, name: &str, device: &str) -> Result<(), String> {
        let (kind, parameters) = device.split_once('?').map_or((device, None), |(k, p)| (k, Some(p)));
        let more = parameters.map_or(String::new(), |parameters| format!("&{parameters}"));
        let address = format!("{}/{kind}?clock=on-wait{more}", self.bus);
        let handle = self.library.open(&address, self.scratch)?;
        let mut table = format!("[[device]]\nkind = {kind:?}\n");
        for pair in parameters.into_iter().flat_map(|all| all.split('&')) {
            let (key, value) = pair.split_once('=').ok_or("a device's parameters are KEY=VALUE")?;
            let _ = writeln!(table, "{key} = {value:?}");
        }
        if !self.devices.contains(&table) {
            self.devices.push(table);
        }
        self.variables.known.insert(name.into(), Variable::File { handle, address });
        Ok(())
    }

    pub(crate) fn overlapped(&mut self, name: &str, event: bool) -> Result<(), String> {
        let kind = structs::named("OVERLAPPED").ok_or("no OVERLAPPED")?;
        self.variables.make(name, kind, 1);
        if event {
            let event = self.library.call_named("WinUsbX_CreateEvent", &[1, 0]).filter(|event| *event != 0);
            let event = event.ok_or("an event cannot be made")?;
            let place = Place { name: name.into(), index: None, field: Some("hEvent".into()) };
            self.variables.assign(&place, i128::from(event))?;
        }
        Ok(())
    }

    fn fault(&mut self, fault: &str) -> Result<(), String> {
        let path = self.scratch.join("faults.toml");
        let text = format!("{}\n[[fault]]\n{fault}", self.devices.join("\n"));
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        let path = std::ffi::CString::new(path.display().to_string()).map_err(|error| error.to_string())?;
        let kind = structs::named("BUS").ok_or("no BUS")?;
        self.variables.make("(bus)", kind, 1);
        let place = |name: &str, field: Option<&str>| Place {
            name: name.into(),
            index: None,
            field: field.map(str::to_owned),
        };
        let pointer = path.as_ptr().expose_provenance() as i128;
        self.variables.assign(&place("(bus)", Some("FaultFile")), pointer)?;
        let bus = self.variables.place(&place("(bus)", None))? as u64;
        let interface = self.variables.place(&place("h", None))? as u64;
        match self.library.call_named("WinUsbX_ConfigureBus", &[interface, bus]) {
            Some(1) => Ok(()),
            _ => Err(format!("the fault was not accepted: {}", self.reason())),
        }
    }

    fn check(&mut self, left: &Expression, how: Comparison, right: &Expression) -> Result<(), String> {
        let range = match left {
            Expression::Place(Place { index: Some((from, Some(to))), .. }) => {
                Some(self.variables.value(from)?..self.variables.value(to)?)
            }
            _ => None,
        };
        match range {
            None => self.compare(left, how, right),
            Some(range) if range.is_empty() => Err("the range is empty".into()),
            Some(range) => {
                for element in range {
                    self.variables.element = Some(element);
                    let result = self.compare(left, how, right);
                    self.variables.element = None;
                    result.map_err(|what| format!("i = {element}: {what}"))?;
                }
                Ok(())
            }
        }
    }

    fn compare(&self, left: &Expression, how: Comparison, right: &Expression) -> Result<(), String> {
        let (got, wanted) = (self.variables.value(left)?, self.variables.value(right)?);
        let holds = match how {
            Comparison::Equal => got == wanted,
            Comparison::NotEqual => got != wanted,
            Comparison::Less => got < wanted,
            Comparison::AtMost => got <= wanted,
            Comparison::More => got > wanted,
            Comparison::AtLeast => got >= wanted,
        };
        if holds { Ok(()) } else { Err(format!("expected {wanted} ({wanted:#x}), got {got} ({got:#x})")) }
    }

    fn call(&mut self, call: &Call) -> Result<(), String> {
        let function = call.function;
        let mut texts = Vec::new();
        let mut arguments = Vec::new();
        for (argument, (_, kind)) in call.arguments.iter().zip(function.parameters) {
            arguments.push(self.argument(*kind, argument, &mut texts)?);
        }
        self.choose(call)?;
        if !function.name.starts_with("WinUsbX_GetLastError") {
            self.library.call_named("WinUsbX_SetLastError", &[NO_ERROR_YET]);
        }
        let got = self.library.call(function, &arguments);
        let got = got.ok_or_else(|| format!("the library has no {}", function.name))?;
        let error = self.library.call_named("WinUsbX_GetLastError", &[]).unwrap_or(0);
        self.remember(call, &arguments, got)?;
        let answer = Answer { got, error, outcome: function.result };
        let wanted = match &call.expected {
            Some(Expected::Value(expression)) => Wanted::Value(self.variables.value(expression)? as u64),
            Some(Expected::True) => Wanted::Value(1),
            Some(Expected::False(codes)) => Wanted::Failure(0, codes),
            Some(Expected::Null(codes)) => Wanted::Failure(0, codes),
            Some(Expected::Invalid(codes)) => Wanted::Failure(usize::MAX as u64, codes),
            None => Wanted::Success,
        };
        if answer.is(&wanted) {
            return Ok(());
        }
        let reason = if answer.is(&Wanted::Success) { String::new() } else { self.reason() };
        Err(format!("expected {wanted}, got {answer}{reason}"))
    }

    /// On Windows a plain file stands for the device: the library is told which it means.
    fn choose(&self, call: &Call) -> Result<(), String> {
        let (true, true) = (cfg!(windows), call.function.name == "WinUsb_Initialize") else { return Ok(()) };
        if let Some(Argument::Value(Expression::Place(place))) = call.arguments.first()
            && let Ok(Variable::File { address, .. }) = self.variables.get(&place.name)
        {
            let text = std::ffi::CString::new(address.as_str()).map_err(|error| error.to_string())?;
            let pointer = text.as_ptr().expose_provenance() as u64;
            self.library.call_named("WinUsbX_ChooseDevice", &[pointer]);
        }
        Ok(())
    }

    /// Why the last call failed, in the library's own words.
    fn reason(&self) -> String {
        let text = Memory::new(512);
        text.fill(0, 512, 0);
        self.library.call_named("WinUsbX_GetLastErrorText", &[text.address(), 512]);
        let bytes = (0..512).map_while(|at| text.read(at, 1)).map(|byte| byte as u8);
        let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
        if bytes.is_empty() { String::new() } else { format!(" ({})", String::from_utf8_lossy(&bytes)) }
    }

    /// Whether anything was written that is not part of what was given.
    fn guards(&self) -> Result<(), String> {
        for (name, variable) in &self.variables.known {
            if let Variable::Cell { memory, .. } | Variable::Bytes(memory) | Variable::Structs { memory, .. } =
                variable
                && !memory.guard_is_intact()
            {
                return Err(format!("the library wrote behind the end of {name}"));
            }
        }
        Ok(())
    }
}
