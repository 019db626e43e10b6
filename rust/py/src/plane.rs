//! A running plane as a Python object, and as one call.

use std::io;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// Longest sleep between two looks at Python's signals; a signal ends the sleep at once, save one
/// that came just before it.
const SLICE: Duration = Duration::from_secs(1);

/// Runs a plane on the control socket `path` until SIGTERM or SIGINT. `tallies`: the number of a
/// descriptor of memory that outlives this process (a memfd that cannot shrink), for the counts of
/// SAs.
#[pyfunction]
#[pyo3(signature = (path, *, workers = 0, tallies = None))]
pub fn serve(py: Python<'_>, path: &str, workers: usize, tallies: Option<i32>) -> PyResult<()> {
    py.detach(|| {
        let tallies = tallies.map(engine::sys::shared::inherited).transpose()?;
        engine::plane::serve(path, workers, tallies)
    })
    .map_err(os_error)
}

/// The data plane in this process: `start`, then `wait`, then `stop`.
#[pyclass(frozen, module = "isthmus._dataplane")]
pub struct Plane {
    running: std::sync::Mutex<Option<std::sync::Arc<engine::plane::Plane>>>,
}

impl Plane {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<std::sync::Arc<engine::plane::Plane>>> {
        self.running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[pymethods]
impl Plane {
    #[new]
    fn new() -> Self {
        Self {
            running: std::sync::Mutex::new(None),
        }
    }

    /// Listens on the control socket `path` and starts the threads.
    #[pyo3(signature = (path, *, workers = 0))]
    fn start(&self, py: Python<'_>, path: &str, workers: usize) -> PyResult<()> {
        py.detach(|| {
            let mut running = self.lock();
            if running.is_some() {
                return Err(PyRuntimeError::new_err("the plane runs already"));
            }
            *running = Some(std::sync::Arc::new(
                engine::plane::Plane::start(path, workers, None).map_err(os_error)?,
            ));
            Ok(())
        })
    }

    /// Ends the threads and waits for them; a plane that does not run stays as it is.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| {
            let plane = self.lock().take();
            if let Some(plane) = plane {
                plane.stop();
            }
        });
    }

    /// Waits until the plane has ended, at most `timeout` seconds; true when it has. Python's
    /// signal handlers run meanwhile.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let limit = timeout.map(Duration::try_from_secs_f64).transpose();
        let limit = limit.map_err(|_| {
            PyValueError::new_err("the timeout must be a number of seconds from zero on")
        })?;
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let Some(plane) = self.lock().clone() else {
                return Ok(true);
            };
            let left = end.map_or(SLICE, |end| {
                end.saturating_duration_since(Instant::now()).min(SLICE)
            });
            match py.detach(|| plane.wait(Some(left))) {
                Ok(true) => return Ok(true),
                Ok(false) if end.is_some_and(|end| Instant::now() >= end) => return Ok(false),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(os_error(error)),
            }
            py.check_signals()?;
        }
    }
}

fn os_error(error: io::Error) -> PyErr {
    // The three-argument form picks the right subclass from an error number; without one the
    // sentence is all there is.
    match error.raw_os_error() {
        Some(number) => PyOSError::new_err((number, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}
