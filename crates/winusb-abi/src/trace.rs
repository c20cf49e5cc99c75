//! A readable trace of every call: what was asked, what was answered, frames first of all.
//!
//! Why not the `tracing` crate's subscriber? The programs are in C and cannot install one; `ISOCH_TRACE` names a file
//! (or `stderr`), and that is all there is to it.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt::{Arguments, Write as _};
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use crate::environment;

thread_local! {
    static REASON: RefCell<Cow<'static, str>> = const { RefCell::new(Cow::Borrowed("")) };
    static NOTES: RefCell<String> = const { RefCell::new(String::new()) };
    static THREAD: Cell<u32> = const { Cell::new(0) };
}

struct Trace {
    began: Instant,
    out: Mutex<Box<dyn Write + Send>>,
}

fn trace() -> Option<&'static Trace> {
    static TRACE: OnceLock<Option<Trace>> = OnceLock::new();
    let open = || {
        let name = std::env::var(environment::TRACE).ok().filter(|name| !name.is_empty())?;
        let out: Box<dyn Write + Send> = if name == "stderr" {
            Box::new(std::io::stderr())
        } else {
            match std::fs::OpenOptions::new().create(true).append(true).open(&name) {
                Ok(file) => Box::new(file),
                Err(error) => {
                    // A library has no other way to say so.
                    let _ = writeln!(
                        std::io::stderr(),
                        "isoch: the trace file `{name}` cannot be written: {error}"
                    );
                    return None;
                }
            }
        };
        Some(Trace { began: Instant::now(), out: Mutex::new(out) })
    };
    TRACE.get_or_init(open).as_ref()
}

/// Whether anyone reads along.
#[inline]
pub(crate) fn is_on() -> bool {
    trace().is_some()
}

/// Adds to what is written of the call that this thread is in: frames, mostly.
#[inline]
pub(crate) fn note(text: Arguments<'_>) {
    if is_on() {
        add_note(text);
    }
}

#[cold]
fn add_note(text: Arguments<'_>) {
    let _ = NOTES.try_with(|notes| notes.borrow_mut().write_fmt(format_args!(", {text}")));
}

/// Writes a line.
pub(crate) fn line(text: Arguments<'_>) {
    let Some(trace) = trace() else { return };
    let thread = THREAD.try_with(|thread| {
        if thread.get() == 0 {
            static THREADS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
            thread.set(THREADS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
        thread.get()
    });
    let seconds = trace.began.elapsed().as_secs_f64();
    let mut out = trace.out.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = writeln!(out, "{seconds:12.6} [{}] {text}", thread.unwrap_or(0));
    let _ = out.flush();
}

/// Writes the line of a call that is over.
#[inline]
pub(crate) fn call(name: &str, arguments: Arguments<'_>, result: Arguments<'_>) {
    if is_on() {
        write_call(name, arguments, result);
    }
}

#[cold]
fn write_call(name: &str, arguments: Arguments<'_>, result: Arguments<'_>) {
    let notes = NOTES.try_with(|notes| std::mem::take(&mut *notes.borrow_mut())).unwrap_or_default();
    line(format_args!("{name}({arguments}) = {result}{notes}"));
}

/// Remembers why this thread's last call failed.
pub(crate) fn set_reason(reason: Cow<'static, str>) {
    let _ = REASON.try_with(|kept| *kept.borrow_mut() = reason);
}

/// Why this thread's last failed call failed.
pub(crate) fn reason() -> String {
    REASON.try_with(|kept| kept.borrow().to_string()).unwrap_or_default()
}
