//! Files that are whole or not there.
//!
//! Why not write to the file itself? A stream can end in many ways, and half a report, or a recording
//! whose header says it is empty, looks like a whole one. So everything goes to a temporary beside its
//! target and is renamed when it is complete. Making that temporary before the stream begins is also the
//! one sure way to learn that the directory cannot be written to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::failure::{Failure, reason};

/// What is being written now: targets, and their temporaries.
static OPEN: Mutex<Vec<(PathBuf, Option<PathBuf>)>> = Mutex::new(Vec::new());

/// A file to be. Dropping it without [`Output::finish`] leaves nothing behind.
pub(crate) struct Output {
    target: PathBuf,
    temporary: Option<PathBuf>,
    to: BufWriter<Sink>,
}

enum Sink {
    File(File),
    Standard(io::Stdout),
}

impl Output {
    /// Prepares to write `target`; `-` is the standard output.
    pub(crate) fn create(target: &Path) -> Result<Self, Failure> {
        if target == Path::new("-") {
            register(target, None)?;
            return Ok(Output {
                target: target.into(),
                temporary: None,
                to: BufWriter::new(Sink::Standard(io::stdout())),
            });
        }
        let failed = |what: &str| Failure::error(format_args!("{}: {what}", target.display()));
        if target.file_name().is_none() || target.is_dir() {
            return Err(failed("this is a directory: give the name of a file to write"));
        }
        // A link stays a link: what it points to is replaced.
        let target = target.canonicalize().unwrap_or_else(|_| target.into());
        let refused = |error: io::Error| {
            let reason = reason(&error);
            failed(&format!(
                "a file cannot be made there ({reason}): give a name in a directory you may write to"
            ))
        };
        if target.metadata().is_ok_and(|found| !found.is_file()) {
            // A pipe, a terminal, /dev/null: nothing to replace.
            let file = OpenOptions::new().write(true).open(&target).map_err(refused)?;
            return Ok(Output { target, temporary: None, to: BufWriter::new(Sink::File(file)) });
        }
        let (temporary, file) = make_temporary(&target).map_err(refused)?;
        if let Err(twice) = register(&target, Some(&temporary)) {
            let _ = fs::remove_file(&temporary);
            return Err(twice);
        }
        Ok(Output { target, temporary: Some(temporary), to: BufWriter::new(Sink::File(file)) })
    }

    /// Writes over what is already there, from its beginning.
    pub(crate) fn rewrite_start(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.seek(SeekFrom::Start(0))?;
        self.to.write_all(bytes)
    }

    /// It is complete: gives it its name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.to.flush()?;
        if let (Some(temporary), Sink::File(file)) = (&self.temporary, self.to.get_ref()) {
            file.sync_all()?;
            fs::rename(temporary, &self.target)?;
            self.temporary = None;
        }
        Ok(())
    }

    /// [`finish`](Self::finish), with its failure as a sentence.
    pub(crate) fn finish_or_say(self) -> Result<(), Failure> {
        let target = self.target.clone();
        self.finish().map_err(|error| cannot_write(&target, &error))
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }
}

/// Writing failed.
pub(crate) fn cannot_write(target: &Path, error: &io::Error) -> Failure {
    Failure::error(format_args!("{} could not be written: {}", name(target), reason(error)))
}

fn name(target: &Path) -> std::borrow::Cow<'_, str> {
    if target == Path::new("-") { "the standard output".into() } else { target.to_string_lossy() }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::File(file) => file.write(bytes),
            Sink::Standard(stdout) => stdout.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::File(file) => file.flush(),
            Sink::Standard(stdout) => stdout.flush(),
        }
    }
}

impl Seek for Sink {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match self {
            Sink::File(file) => file.seek(position),
            Sink::Standard(_) => Err(io::Error::from(io::ErrorKind::NotSeekable)),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            let _ = fs::remove_file(&temporary);
        }
        if let Ok(mut open) = OPEN.lock() {
            open.retain(|(target, _)| *target != self.target);
        }
    }
}

/// A new file beside `target`, hidden, with a name that nobody else uses.
fn make_temporary(target: &Path) -> io::Result<(PathBuf, File)> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    for attempt in 0_u32.. {
        let temporary = target.with_file_name(format!(".{name}.{}-{attempt}.partial", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => {}
            result => return result.map(|file| (temporary, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Two documents in one file would be one, and nobody would know which.
fn register(target: &Path, temporary: Option<&Path>) -> Result<(), Failure> {
    let Ok(mut open) = OPEN.lock() else { return Ok(()) };
    if open.iter().any(|(known, _)| known == target) {
        let name = name(target);
        return Err(Failure::usage(format_args!(
            "{name} is to be written twice: give each output a place of its own"
        )));
    }
    open.push((target.into(), temporary.map(Into::into)));
    Ok(())
}

/// Removes every temporary: the program is about to be left at once.
pub(crate) fn abandon_all() {
    if let Ok(open) = OPEN.lock() {
        for temporary in open.iter().filter_map(|(_, temporary)| temporary.as_ref()) {
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Prints to the standard output. A reader that went away wants no more, which is no error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(Path::new("-"), &error)),
        _ => Ok(()),
    }
}
