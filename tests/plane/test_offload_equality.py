"""What offloads do to packets: nothing that a host could see. `make offload-equality` does the same
with a million packets."""

from collections import defaultdict
from pathlib import Path

import pytest
from tests.needs import need
from tests.plane.offload_gateways import Delivered, differences, flow_of, run
from tests.plane.offload_packets import VNET, Generator
from tests.plane.support import why_not

PACKETS = 6000


def test_one_octet_and_one_swap_are_noticed() -> None:
    packets = [packet[VNET.size :] for packet in Generator(3).batch()]
    flows: Delivered = defaultdict(list)
    for packet in packets:
        flows[flow_of(packet)].append(packet)
    assert differences(flows, {flow: list(sent) for flow, sent in flows.items()}) == []
    flow, sent = max(flows.items(), key=lambda item: len(item[1]))
    assert len(sent) > 2
    changed = bytearray(sent[1])
    changed[-1] ^= 1
    for wrong in (
        [sent[0], bytes(changed), *sent[2:]],
        [sent[1], sent[0], *sent[2:]],
        sent[1:],
        [*sent, sent[0]],
    ):
        assert differences(flows, flows | {flow: wrong}) != []


@pytest.mark.root
@pytest.mark.parametrize(("outer", "workers"), [("udp4", 2), ("esp6", 1)])
def test_random_packets_come_out_as_without_offloads(
    tmp_path: Path, outer: str, workers: int
) -> None:
    need(why_not())
    report = run(tmp_path, PACKETS, seed=6, outer=outer, workers=workers)
    print("\n".join(report.lines()))
    assert report.delivered >= PACKETS
    assert report.complaints() == []
