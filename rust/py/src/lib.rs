//! `isthmus._dataplane`: the data plane for Python. Conversions only; the contract is
//! `python/isthmus/_dataplane.pyi`.

#![deny(unsafe_code)]

mod esp;
mod plane;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The version of the plane, which is that of the whole program.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// 2 to the power of `private` modulo the prime of a MODP group.
#[pyfunction]
fn modp_public<'py>(py: Python<'py>, group: u16, private: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let value = py
        .detach(|| engine::sys::modp::public_value(group, private))
        .map_err(modp_error)?;
    Ok(PyBytes::new(py, &value))
}

/// `peer` to the power of `private` modulo the prime of a MODP group.
#[pyfunction]
fn modp_shared<'py>(
    py: Python<'py>,
    group: u16,
    private: &[u8],
    peer: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let value = py
        .detach(|| engine::sys::modp::shared_secret(group, private, peer))
        .map_err(modp_error)?;
    Ok(PyBytes::new(py, &value))
}

fn modp_error(error: engine::sys::modp::ModpError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[pymodule]
fn _dataplane(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(version, module)?)?;
    module.add_function(wrap_pyfunction!(modp_public, module)?)?;
    module.add_function(wrap_pyfunction!(modp_shared, module)?)?;
    module.add_function(wrap_pyfunction!(esp::inner_mtu, module)?)?;
    module.add_function(wrap_pyfunction!(plane::serve, module)?)?;
    module.add_class::<plane::Plane>()?;
    module.add_class::<esp::EspSa>()
}
