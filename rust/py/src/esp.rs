//! One SA without a plane around it, for tests against other programs and for simulated worlds.

use engine::sys::random::SystemEntropy;
use ipsec::cipher::Suite;
use ipsec::esp::{HEADROOM, TAILROOM};
use ipsec::lifetime::Limits;
use ipsec::packet::{Packet, Version};
use ipsec::sa::{InboundSa, KeyOctets, OutboundSa, Path, SaParameters};
use ipsec::selector::{Selectors, TrafficSelector};
use ipsec::tunnel::DfPolicy;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

enum Side {
    Out(OutboundSa),
    In(InboundSa),
}

/// One direction of an SA in tunnel mode, for any IPv4 and IPv6 packet.
#[pyclass(frozen, module = "isthmus._dataplane")]
pub struct EspSa {
    side: Side,
}

#[pymethods]
impl EspSa {
    #[new]
    #[pyo3(signature = (
        direction, spi, encr, key_bits, integ, encr_key, integ_key = None, *,
        esn = false, replay_window = 1024
    ))]
    // They are keyword arguments in Python.
    #[allow(clippy::too_many_arguments)]
    fn new(
        direction: &str,
        spi: u32,
        encr: u16,
        key_bits: u16,
        integ: u16,
        encr_key: &[u8],
        integ_key: Option<&[u8]>,
        esn: bool,
        replay_window: u32,
    ) -> PyResult<Self> {
        let any = || vec![TrafficSelector::any_v4(), TrafficSelector::any_v6()];
        let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        let parameters = SaParameters {
            spi,
            policy: 0,
            name: String::new(),
            suite: Suite::new(encr, key_bits, integ).map_err(refused)?,
            encr_key: KeyOctets::from(encr_key.to_vec()),
            integ_key: KeyOctets::from(integ_key.unwrap_or_default().to_vec()),
            esn,
            replay_window,
            path: Path {
                local: nowhere,
                remote: nowhere,
                encap: false,
                df: DfPolicy::Copy,
            },
            selectors: Selectors::new(any(), any()).map_err(refused)?,
            limits: Limits::default(),
            standby: false,
            tag: Vec::new(),
        };
        let side = match direction {
            "out" => Side::Out(OutboundSa::new(parameters, 0).map_err(refused)?),
            "in" => Side::In(InboundSa::new(parameters, 0).map_err(refused)?),
            _ => return Err(PyValueError::new_err("the direction must be 'in' or 'out'")),
        };
        Ok(Self { side })
    }

    /// The ESP packet, from SPI to ICV, that carries the IP packet `inner`.
    fn seal<'py>(&self, py: Python<'py>, inner: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let Side::Out(sa) = &self.side else {
            return Err(PyValueError::new_err("an inbound SA does not seal"));
        };
        let packet = Packet::parse(inner).map_err(|reason| PyValueError::new_err(reason.name()))?;
        let mut buffer = [&[0; HEADROOM][..], inner, &[0; TAILROOM][..]].concat();
        let sealed = sa.seal(
            &mut buffer,
            HEADROOM..HEADROOM + inner.len(),
            &packet,
            0,
            &mut SystemEntropy,
        );
        let sealed = sealed.map_err(|error| PyValueError::new_err(error.reason.name()))?;
        Ok(PyBytes::new(py, buffer.get(sealed.esp).unwrap_or_default()))
    }

    /// The IP packet inside the ESP packet `esp` (from SPI to ICV).
    #[pyo3(signature = (esp, *, outer_tos = 0))]
    fn open<'py>(
        &self,
        py: Python<'py>,
        esp: &[u8],
        outer_tos: u8,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let Side::In(sa) = &self.side else {
            return Err(PyValueError::new_err("an outbound SA does not open"));
        };
        let mut buffer = esp.to_vec();
        if ipsec::esp::spi(esp).is_some_and(|spi| spi != sa.parameters().spi) {
            return Err(PyValueError::new_err("drop_no_sa_inbound"));
        }
        let opened = sa.open(&mut buffer, outer_tos, 0);
        let opened = opened.map_err(|error| PyValueError::new_err(error.reason.name()))?;
        Ok(PyBytes::new(
            py,
            buffer.get(opened.inner).unwrap_or_default(),
        ))
    }

    /// The sequence number given last (out) or the highest accepted (in).
    #[getter]
    fn sequence(&self) -> u64 {
        match &self.side {
            Side::Out(sa) => sa.sequence(),
            Side::In(sa) => sa.sequence(),
        }
    }
}

/// The largest inner packet whose outer packet fits `outer_mtu` octets.
#[pyfunction]
pub fn inner_mtu(
    outer_mtu: usize,
    outer_version: u8,
    encap: bool,
    encr: u16,
    key_bits: u16,
    integ: u16,
) -> PyResult<usize> {
    let version = match outer_version {
        4 => Version::V4,
        6 => Version::V6,
        _ => return Err(PyValueError::new_err("the outer version must be 4 or 6")),
    };
    let suite = Suite::new(encr, key_bits, integ).map_err(refused)?;
    Ok(ipsec::pmtu::inner_mtu(outer_mtu, version, encap, &suite))
}

fn refused(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}
