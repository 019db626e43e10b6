//! The security association database (RFC 4301 §4.4.2): inbound by SPI, outbound by policy.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::sa::{InboundSa, OutboundSa, SaUpdate};

/// Why a change of the database is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SadError {
    /// There is such an SA already.
    Duplicate,
    /// There is no such SA.
    Unknown,
    /// Several policies have an outbound SA with this SPI; name the policy.
    Ambiguous,
}

impl fmt::Display for SadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SadError::Duplicate => "an SA with this SPI is installed already",
            SadError::Unknown => "no SA with this SPI",
            SadError::Ambiguous => "several outbound SAs have this SPI",
        })
    }
}

impl std::error::Error for SadError {}

/// The database. Workers read a published copy; the control side clones it (cheap: shared SAs),
/// changes the clone and publishes that. Keys are wiped when the last copy with the SA is gone.
#[derive(Clone, Debug, Default)]
pub struct Sad {
    inbound: HashMap<u32, Arc<InboundSa>>,
    /// By policy, newest first.
    outbound: HashMap<u32, Vec<Arc<OutboundSa>>>,
}

impl Sad {
    /// Adds an inbound SA. Its SPI must be free.
    pub fn install_inbound(&mut self, sa: InboundSa) -> Result<(), SadError> {
        let spi = sa.parameters().spi;
        if self.inbound.contains_key(&spi) {
            return Err(SadError::Duplicate);
        }
        self.inbound.insert(spi, Arc::new(sa));
        Ok(())
    }

    /// Adds an outbound SA as the newest of its policy. True: the policy had none before, so its
    /// held packets can go.
    pub fn install_outbound(&mut self, sa: OutboundSa) -> Result<bool, SadError> {
        let spi = sa.parameters().spi;
        let list = self.outbound.entry(sa.parameters().policy).or_default();
        if list.iter().any(|other| other.parameters().spi == spi) {
            return Err(SadError::Duplicate);
        }
        list.insert(0, Arc::new(sa));
        Ok(list.len() == 1)
    }

    /// The inbound SA with this SPI.
    pub fn inbound(&self, spi: u32) -> Option<&Arc<InboundSa>> {
        self.inbound.get(&spi)
    }

    /// The outbound SA of a policy towards an address behind the peer: the newest that is not
    /// standby, else the newest. Peers that share a policy have addresses of their own in it, so
    /// those SAs count first that hold the address; without any it is for the SA to refuse.
    pub fn outbound(&self, policy: u32, remote: &IpAddr) -> Option<&Arc<OutboundSa>> {
        let list = self.outbound.get(&policy)?;
        if let [only] = list.as_slice() {
            return Some(only);
        }
        let holding = || {
            list.iter()
                .filter(|sa| sa.parameters().selectors.reaches(remote))
        };
        holding()
            .find(|sa| !sa.parameters().standby)
            .or_else(|| holding().next())
            .or_else(|| list.iter().find(|sa| !sa.parameters().standby))
            .or(list.first())
    }

    /// All outbound SAs of a policy, newest first.
    pub fn outbound_of(&self, policy: u32) -> &[Arc<OutboundSa>] {
        self.outbound.get(&policy).map_or(&[], Vec::as_slice)
    }

    /// All inbound SAs, in no order.
    pub fn inbounds(&self) -> impl Iterator<Item = &Arc<InboundSa>> {
        self.inbound.values()
    }

    /// All outbound SAs, in no order.
    pub fn outbounds(&self) -> impl Iterator<Item = &Arc<OutboundSa>> {
        self.outbound.values().flatten()
    }

    /// Changes an inbound SA; its window, counters and keys stay.
    pub fn update_inbound(&mut self, spi: u32, update: &SaUpdate) -> Result<(), SadError> {
        let sa = self.inbound.get_mut(&spi).ok_or(SadError::Unknown)?;
        *sa = Arc::new(sa.updated(update));
        Ok(())
    }

    /// Changes an outbound SA; its sequence numbers, counters and keys stay.
    pub fn update_outbound(
        &mut self,
        policy: Option<u32>,
        spi: u32,
        update: &SaUpdate,
    ) -> Result<(), SadError> {
        let (policy, index) = self.find_outbound(policy, spi)?;
        if let Some(sa) = self
            .outbound
            .get_mut(&policy)
            .and_then(|list| list.get_mut(index))
        {
            *sa = Arc::new(sa.updated(update));
        }
        Ok(())
    }

    /// Removes an inbound SA.
    pub fn remove_inbound(&mut self, spi: u32) -> Result<Arc<InboundSa>, SadError> {
        self.inbound.remove(&spi).ok_or(SadError::Unknown)
    }

    /// Removes an outbound SA. SPIs of two peers may be equal, so a policy can be named.
    pub fn remove_outbound(
        &mut self,
        policy: Option<u32>,
        spi: u32,
    ) -> Result<Arc<OutboundSa>, SadError> {
        let (policy, index) = self.find_outbound(policy, spi)?;
        let list = self.outbound.get_mut(&policy).ok_or(SadError::Unknown)?;
        let sa = list.remove(index);
        if list.is_empty() {
            self.outbound.remove(&policy);
        }
        Ok(sa)
    }

    /// Removes everything.
    pub fn flush(&mut self) {
        *self = Self::default();
    }

    fn find_outbound(&self, policy: Option<u32>, spi: u32) -> Result<(u32, usize), SadError> {
        let mut found = self
            .outbound
            .iter()
            .filter(|(id, _)| policy.is_none_or(|wanted| wanted == **id))
            .filter_map(|(id, list)| {
                let index = list.iter().position(|sa| sa.parameters().spi == spi)?;
                Some((*id, index))
            });
        match (found.next(), found.next()) {
            (None, _) => Err(SadError::Unknown),
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => Err(SadError::Ambiguous),
        }
    }
}
