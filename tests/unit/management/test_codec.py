"""The lines of schema isthmus/v1: what they look like, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.management import api
from isthmus.management.codec import BadLine, decode_reply, decode_request, encode


def test_a_request_is_one_line_of_json() -> None:
    line = encode(api.Up(schema=api.SCHEMA, id=7, tunnel="office", rule="lan", timeout_s=20))
    assert json.loads(line) == {
        "schema": "isthmus/v1",
        "verb": "up",
        "id": 7,
        "tunnel": "office",
        "rule": "lan",
        "timeout_s": 20.0,
    }
    assert line.endswith(b"\n") and line.count(b"\n") == 1


def test_every_request_comes_back_as_it_was() -> None:
    requests: tuple[api.AnyRequest, ...] = (
        api.Status(schema=api.SCHEMA, tunnel="a"),
        api.Up(schema=api.SCHEMA, tunnel="a"),
        api.Down(schema=api.SCHEMA, tunnel="a", hold=True),
        api.Rekey(schema=api.SCHEMA, tunnel="a", phase=1),
        api.Sa(schema=api.SCHEMA),
        api.Policy(schema=api.SCHEMA),
        api.Log(schema=api.SCHEMA, limit=3, follow=True),
        api.Which(schema=api.SCHEMA, source="10.1.1.1", destination="10.2.2.2", port=3),
        api.Version(schema=api.SCHEMA),
        api.Counters(schema=api.SCHEMA),
        api.Reload(schema=api.SCHEMA),
    )
    assert [decode_request(encode(request)) for request in requests] == list(requests)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "truncated"),
        (b"\xff\xfe", ""),
        (b"[1]", "Expected `object`"),
        (b"{}", "the schema is ''"),
        (b'{"schema":"isthmus/v2","verb":"status"}', "isthmus/v2"),
        (b'{"schema":"isthmus/v1","verb":"destroy"}', "destroy"),
        (b'{"schema":"isthmus/v1","verb":"status","tunel":"a"}', "unknown field `tunel`"),
        (b'{"schema":"isthmus/v1","verb":"up"}', "missing required field `tunnel`"),
        (b'{"schema":"isthmus/v1","verb":"up","tunnel":""}', "length >= 1"),
        (b'{"schema":"isthmus/v1","verb":"log","limit":1001}', "<= 1000"),
        (b'{"schema":"isthmus/v1","verb":"log","limit":-1}', ">= 0"),
        (b'{"schema":"isthmus/v1","verb":"up","tunnel":"a","timeout_s":1e9}', "<= 3600"),
        (b'{"schema":"isthmus/v1","verb":"rekey","tunnel":"a","phase":3}', "3"),
        (b'{"schema":"isthmus/v1","x":' + b"[" * 50_000, ""),
    ],
)
def test_a_bad_line_is_refused_with_its_reason(line: bytes, why: str) -> None:
    with pytest.raises(BadLine) as caught:
        decode_request(line)
    assert caught.value.reply.kind == api.Kind.MALFORMED
    assert why in caught.value.reply.why


@given(st.binary(max_size=300))
def test_any_octets_are_a_request_or_a_bad_line(line: bytes) -> None:
    for octets in (line, b'{"schema":"isthmus/v1","verb":"status",' + line):
        try:
            decode_request(octets)
        except BadLine as bad:
            assert encode(bad.reply)


def test_a_client_ignores_fields_that_a_newer_daemon_adds() -> None:
    line = b'{"schema":"isthmus/v1","type":"version","id":1,"version":"9","uptime_s":1.5,"new":{}}'
    assert decode_reply(line) == api.VersionReply(id=1, version="9", uptime_s=1.5)


def test_a_reply_longer_than_a_line_is_refused_before_it_is_sent() -> None:
    reply = api.DoneReply(id=3, message="x" * api.REPLY_MAX)
    with pytest.raises(BadLine) as caught:
        encode(reply)
    assert caught.value.reply.id == 3
    assert len(encode(caught.value.reply)) < 1000
