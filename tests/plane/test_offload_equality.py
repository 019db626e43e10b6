"""What offloads do to packets: nothing that a host could see. `make offload-equality` does the same
with a million packets."""

from pathlib import Path

import pytest
from tests.needs import need
from tests.plane.offload_gateways import run
from tests.plane.support import why_not

pytestmark = pytest.mark.root

PACKETS = 6000


@pytest.mark.parametrize(("outer", "workers"), [("udp4", 2), ("esp6", 1)])
def test_random_packets_come_out_as_without_offloads(
    tmp_path: Path, outer: str, workers: int
) -> None:
    need(why_not())
    report = run(tmp_path, PACKETS, seed=6, outer=outer, workers=workers)
    print("\n".join(report.lines()))
    assert report.delivered >= PACKETS
    assert report.complaints() == []
