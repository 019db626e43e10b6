"""What random walks found, reduced to the few moves that matter."""

from isthmus.ike.core.commands import Rekey, Terminate

from .pair import LEFT, RIGHT, Pair, connection, rule


def two_rules(seed: int = 7) -> Pair:
    """Left and right with rules r1 and r2, of which r1 is up."""
    pair = Pair(
        connection(
            "b", RIGHT, tuple(rule(f"r{n}", f"10.1.{n}.0/24", f"10.2.{n}.0/24") for n in (1, 2))
        ),
        connection(
            "a", LEFT, tuple(rule(f"r{n}", f"10.2.{n}.0/24", f"10.1.{n}.0/24") for n in (1, 2))
        ),
        seed=seed,
    )
    pair.packet(pair.left, "r1")
    return pair.settle()


def lose_the_answer_for_r2(pair: Pair) -> None:
    """The right has a pair for r2 that the left asked for and does not know of."""
    pair.packet(pair.left, "r2")
    pair.deliver(pair.left, pair.left.out.pop(0))
    assert pair.lose() == 1
    assert len(pair.right.children()) == 2 and len(pair.left.children()) == 1


def mirrored(pair: Pair) -> bool:
    """Both sides show the same pairs."""
    return pair.left.children() == {(out, into) for into, out in pair.right.children()}


def test_a_pair_is_renewed_before_its_maker_has_heard_of_it() -> None:
    """The peer's request names an SPI that only its lost answer would have told: it is to try
    again later. Told that there is no such pair, it forgot the pair and repeated its answer."""
    pair = two_rules()
    lose_the_answer_for_r2(pair)
    pair.right.command(Rekey("a", "r2", 2))
    pair.settle().advance(30)
    assert mirrored(pair)
    assert len(pair.left.children()) == 2
    assert pair.right.events("phase2.rekeyed")
    pair.agree()
