//! Silence of policies that have SAs, so that IKE can close phase 2 when nobody uses it.

use std::collections::HashMap;

use ipsec::spd::{Entry, Spd};

/// Least time between two looks at all clocks, so that ten thousand policies cost little.
const LOOK_EVERY_MS: u64 = 100;

/// One policy that has SAs.
struct Clock {
    /// How many, of both directions.
    sas: usize,
    /// When it got its first one; replacing it changes nothing.
    since_ms: u64,
    /// The start of the silence that IKE was told of last.
    told_ms: Option<u64>,
}

/// All of them, by policy.
#[derive(Default)]
pub struct Clocks {
    clocks: HashMap<u32, Clock>,
    look: Look,
}

/// When all clocks are looked at next.
#[derive(Clone, Copy, Default)]
enum Look {
    /// Not until something changes.
    #[default]
    Never,
    Now,
    At(u64),
}

impl Clock {
    /// When the silence began that lasts now.
    fn silent_since_ms(&self, entry: &Entry) -> u64 {
        self.since_ms.max(entry.last_used_ms().unwrap_or(0))
    }
}

impl Clocks {
    /// A policy got an SA.
    pub fn installed(&mut self, policy: u32, now_ms: u64) {
        let clock = self.clocks.entry(policy).or_insert_with(|| {
            self.look = Look::Now;
            Clock {
                sas: 0,
                since_ms: now_ms,
                told_ms: None,
            }
        });
        clock.sas += 1;
    }

    /// A policy lost an SA.
    pub fn removed(&mut self, policy: u32) {
        if let Some(clock) = self.clocks.get_mut(&policy) {
            clock.sas = clock.sas.saturating_sub(1);
            if clock.sas == 0 {
                self.clocks.remove(&policy);
            }
        }
    }

    /// No policy has any SA.
    pub fn clear(&mut self) {
        self.clocks.clear();
    }

    /// Limits may be others now.
    pub fn look_again(&mut self) {
        self.look = Look::Now;
    }

    /// A new client has not heard of any silence.
    pub fn tell_again(&mut self) {
        self.clocks
            .values_mut()
            .for_each(|clock| clock.told_ms = None);
        self.look = Look::Now;
    }

    /// How long the policy has been silent; none if it has no SA.
    pub fn idle_for_ms(&self, entry: &Entry, now_ms: u64) -> Option<u64> {
        let clock = self.clocks.get(&entry.policy.id)?;
        Some(now_ms.saturating_sub(clock.silent_since_ms(entry)))
    }

    /// Calls `tell` with each policy that has been silent for its time, and with that time, unless
    /// it has told of this silence before; `tell` says whether it could. Gives when to look again.
    pub fn sweep(
        &mut self,
        spd: &Spd,
        now_ms: u64,
        mut tell: impl FnMut(u32, u64) -> bool,
    ) -> Option<u64> {
        match self.look {
            Look::Never => return None,
            Look::At(at) if at > now_ms => return Some(at),
            Look::At(_) | Look::Now => {}
        }
        let mut next: Option<u64> = None;
        for (id, clock) in &mut self.clocks {
            let Some(entry) = spd.get(*id) else { continue };
            let Some(idle_ms) = entry.policy.idle_ms else {
                continue;
            };
            let since_ms = clock.silent_since_ms(entry);
            let mut due = since_ms.saturating_add(idle_ms);
            if due <= now_ms {
                if clock.told_ms != Some(since_ms) && tell(*id, idle_ms) {
                    clock.told_ms = Some(since_ms);
                }
                // The silence may end at any moment from now on, and another begin.
                due = now_ms.saturating_add(idle_ms);
            }
            next = Some(next.map_or(due, |other| other.min(due)));
        }
        let next = next.map(|at| at.max(now_ms.saturating_add(LOOK_EVERY_MS)));
        self.look = next.map_or(Look::Never, Look::At);
        next
    }
}

#[cfg(test)]
mod tests {
    use ipsec::hold::HoldLimits;
    use ipsec::selector::{Selectors, TrafficSelector};
    use ipsec::spd::{Action, OnNoSa, Policy};

    use super::*;

    const IDLE_MS: u64 = 1000;

    fn spd(idle_ms: Option<u64>) -> Spd {
        let any = || vec![TrafficSelector::any_v4()];
        Spd::new(vec![Policy {
            id: 7,
            name: "site/net".to_owned(),
            interface: 1,
            action: Action::Protect,
            selectors: Selectors::new(any(), any()).unwrap(),
            hold: HoldLimits::default(),
            on_no_sa: OnNoSa::Hold,
            clamp_mss: true,
            idle_ms,
            map: Default::default(),
        }])
        .unwrap()
    }

    /// Policies told of at `now_ms`, and when to look next.
    fn sweep(clocks: &mut Clocks, spd: &Spd, now_ms: u64) -> (Vec<u32>, Option<u64>) {
        let mut told = Vec::new();
        let next = clocks.sweep(spd, now_ms, |policy, idle_ms| {
            assert_eq!(idle_ms, IDLE_MS);
            told.push(policy);
            true
        });
        (told, next)
    }

    #[test]
    fn silence_is_told_once_and_again_only_after_packets() {
        let (spd, mut clocks) = (spd(Some(IDLE_MS)), Clocks::default());
        let entry = &spd.entries()[0];
        assert_eq!(sweep(&mut clocks, &spd, 50), (vec![], None));
        assert_eq!(clocks.idle_for_ms(entry, 50), None);
        clocks.installed(7, 100);
        clocks.installed(7, 120);
        assert_eq!(sweep(&mut clocks, &spd, 130), (vec![], Some(1100)));
        assert_eq!(clocks.idle_for_ms(entry, 400), Some(300));
        entry.used(500);
        assert_eq!(sweep(&mut clocks, &spd, 1100), (vec![], Some(1500)));
        assert_eq!(sweep(&mut clocks, &spd, 1500), (vec![7], Some(2500)));
        assert_eq!(sweep(&mut clocks, &spd, 2500), (vec![], Some(3500)));
        entry.used(2600);
        assert_eq!(sweep(&mut clocks, &spd, 3500), (vec![], Some(3600)));
        assert_eq!(sweep(&mut clocks, &spd, 3600).0, [7]);
        clocks.tell_again();
        assert_eq!(sweep(&mut clocks, &spd, 3700).0, [7]);
    }

    #[test]
    fn a_replaced_sa_does_not_wind_the_clock_but_a_first_one_does() {
        let (spd, mut clocks) = (spd(Some(IDLE_MS)), Clocks::default());
        let entry = &spd.entries()[0];
        clocks.installed(7, 100);
        clocks.installed(7, 900);
        clocks.removed(7);
        assert_eq!(sweep(&mut clocks, &spd, 1100).0, [7]);
        clocks.removed(7);
        assert_eq!(clocks.idle_for_ms(entry, 1200), None);
        clocks.installed(7, 1200);
        assert_eq!(clocks.idle_for_ms(entry, 1300), Some(100));
        assert_eq!(sweep(&mut clocks, &spd, 1300), (vec![], Some(2200)));
        assert_eq!(sweep(&mut clocks, &spd, 2200).0, [7]);
    }

    #[test]
    fn what_could_not_be_told_is_told_later() {
        let (spd, mut clocks) = (spd(Some(IDLE_MS)), Clocks::default());
        clocks.installed(7, 0);
        assert_eq!(clocks.sweep(&spd, 1000, |_, _| false), Some(2000));
        assert_eq!(sweep(&mut clocks, &spd, 2000).0, [7]);
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_look_at() {
        let (spd, mut clocks) = (spd(None), Clocks::default());
        clocks.installed(7, 0);
        assert_eq!(sweep(&mut clocks, &spd, 1_000_000), (vec![], None));
        assert_eq!(clocks.idle_for_ms(&spd.entries()[0], 300), Some(300));
    }
}
