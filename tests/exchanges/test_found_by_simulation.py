"""What simulated worlds found, reduced to two sides face to face."""

from .pair import LEFT, RIGHT, Pair, connection, rule


def test_a_group_asked_for_twice_is_no_refusal() -> None:
    """A slow road: the first message was repeated before its answer came, so INVALID_KE_PAYLOAD
    comes twice. The second one asks for what is under way."""
    pair = Pair(
        connection("b", RIGHT, (rule(),), ("aes256gcm16-prfsha384-x25519-ecp256",)),
        connection(
            "a",
            LEFT,
            (rule(local="10.2.0.0/24", remote="10.1.0.0/24"),),
            ("aes256gcm16-prfsha384-ecp256",),
        ),
    )
    pair.packet(pair.left)
    pair.advance(1.0, deliver=False)
    assert len(pair.left.out) == 2, "the first message and its repeat"
    pair.deliver(pair.left, pair.left.out.pop(0))
    pair.deliver(pair.left, pair.left.out.pop(0))
    pair.deliver(pair.right, pair.right.out.pop(0))
    pair.deliver(pair.right, pair.right.out.pop(0))
    # Longer than an unprotected refusal waits for a better answer; the new request is on its way.
    pair.advance(2.0, deliver=False)
    assert not pair.left.events("phase1.failed")
    pair.settle()
    assert pair.left.view().state == "up"
    pair.agree()
