"""Packets between two planes with SAs put in by hand."""

import pytest
from tests.plane.support import (
    AES_CBC,
    CHACHA20_POLY1305,
    SHA2_256_128,
    Pair,
    Site,
    eventually,
)

pytestmark = pytest.mark.root

SUITES = {
    "aes-256-gcm-16": {},
    "aes-256-cbc-sha2-256": {
        "encr": AES_CBC,
        "encr_key": b"k" * 32,
        "integ": SHA2_256_128,
        "integ_key": b"i" * 32,
    },
    "chacha20-poly1305": {"encr": CHACHA20_POLY1305, "encr_key": b"c" * 36},
}
OUTERS = {
    "udp4": {},
    "udp6": {"outer_v6": True},
    "esp4": {"encap": False},
    "esp6": {"encap": False, "outer_v6": True},
}


def counters_of(site: Site, least: int) -> dict[str, int]:
    """Once both directions count so many. A batch is counted when the kernel has it, and a ping may
    be back before."""

    def counted() -> dict[str, int] | None:
        counters = site.client.counters()
        both = counters["esp_sent"], counters["esp_received"]
        return counters if min(both) >= least else None

    counters = eventually(f"both directions count {least}", counted)
    assert counters is not None
    return counters


@pytest.mark.parametrize("outer", OUTERS)
@pytest.mark.parametrize("suite", SUITES)
def test_pings_pass_through_every_suite_in_every_outer_header(
    pair: Pair, suite: str, outer: str
) -> None:
    pair.ready(**SUITES[suite], **OUTERS[outer])
    assert pair.left.ping(pair.right.inner_v4, count=5)
    assert pair.right.ping(pair.left.inner_v6, count=5)
    for site, _ in pair.sites:
        counters = counters_of(site, least=10)
        drops = {k: v for k, v in counters.items() if k.startswith("drop_") and v}
        # The kernel speaks IPv6 on a new device before the policies are there.
        assert set(drops) <= {"drop_no_policy"}
