//! Lines in, whole lines out, from wherever in the program they come.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// A writer with many hands. A cheap clone.
///
/// What cannot be written is lost: whoever closed the stream does not want to know, and a run is
/// for its counts.
#[derive(Clone)]
pub(crate) struct Lines(Arc<Mutex<dyn Write + Send>>);

impl Lines {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(writer)))
    }

    /// Writes a line, in one call.
    pub(crate) fn line(&self, line: fmt::Arguments<'_>) {
        let line = format!("{line}\n");
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _lost: io::Result<()> = writer
            .write_all(line.as_bytes())
            .and_then(|()| writer.flush());
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writer.flush()
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}
