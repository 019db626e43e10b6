"""Pick a proposal and narrow traffic selectors (RFC 7296 §2.7, §2.9, §3.3).

"Best" means: first in our own order. Each side lists its proposals from the one it likes most to
the one it likes least, and the transforms within a proposal likewise; the responder takes its own
first proposal that the peer can meet, and of each kind its own first transform that the peer
offers. The peer's order never outvotes ours, so a weak choice that we list last is taken last.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from isthmus.policy.connection import ChildPolicy
from isthmus.policy.specificity import Width, width
from isthmus.values.proposal import (
    AEAD_ENCR,
    ChosenProposal,
    Proposal,
    Transform,
    proposals_text,
    suite_from,
)
from isthmus.values.registry.ikev2 import Esn, Integ, KeMethod, TransformType
from isthmus.values.selector import Selectors, covers, intersect_all

_NONE_BY_KIND = {
    TransformType.INTEG: int(Integ.NONE),
    TransformType.KE: int(KeMethod.NONE),
    TransformType.ESN: int(Esn.NO_ESN),
}
"""What a kind that is not listed amounts to."""
_KINDS = tuple(TransformType)
_KNOWN_KINDS = frozenset(int(kind) for kind in TransformType)


def choose(
    ours: Iterable[Proposal], theirs: Iterable[Proposal], *, ke_wanted: bool = True
) -> ChosenProposal | None:
    """The first of our proposals that one of theirs can meet, or None.

    `ke_wanted` false leaves key exchange methods out (the Child SA of IKE_AUTH, RFC 7296 §1.2).
    """
    ours, theirs = tuple(ours), tuple(theirs)
    for place, our in enumerate(ours, start=1):
        for their in theirs:
            if our.protocol != their.protocol:
                continue
            common = _meet(our, their, ke_wanted)
            if common is not None:
                proposal = Proposal(our.protocol, common, their.spi, their.number)
                why = (
                    f"our proposal {place} of {len(ours)}, first in our order that the peer offers"
                )
                return ChosenProposal(suite_from(proposal), proposal, why)
    return None


def accepts(ours: Iterable[Proposal], chosen: Proposal, *, ke_wanted: bool = True) -> bool:
    """A responder's answer holds one transform of each kind and lies within what we offered."""
    if len(chosen.kinds()) != len(chosen.transforms):
        return False
    picked = choose(ours, (chosen,), ke_wanted=ke_wanted)
    return picked is not None and set(picked.proposal.transforms) == {
        t for t in chosen.transforms if not _means_none(t)
    }


def _meet(our: Proposal, their: Proposal, ke_wanted: bool) -> tuple[Transform, ...] | None:
    common: list[Transform] = []
    if their.kinds() - _KNOWN_KINDS:
        return None  # every kind offered must be answered (RFC 7296 §3.3.6), and we cannot
    for kind in _KINDS:
        if kind is TransformType.KE and not ke_wanted:
            continue
        mine, offered = our.of_kind(kind), their.of_kind(kind)
        if not mine and not offered:
            continue
        other = tuple([t for t in offered if not t.unknown_attributes])
        match _first_common(kind, mine, other, bool(offered)):
            case None:
                return None
            case Transform() as found:
                common.append(found)
            case _:
                continue
    aead = any(t.kind == TransformType.ENCR and t.number in AEAD_ENCR for t in common)
    authenticated = any(t.kind == TransformType.INTEG for t in common)
    if not aead and not authenticated:
        return None
    return tuple(common)


def _first_common(
    kind: TransformType, mine: tuple[Transform, ...], other: tuple[Transform, ...], listed: bool
) -> Transform | bool | None:
    """A transform, False when both sides do without this kind, None when they disagree."""
    none = _NONE_BY_KIND.get(kind)
    mine_none = not mine or any(t.number == none for t in mine)
    other_none = not listed or any(t.number == none for t in other)
    for transform in mine:
        if transform in other and not (_means_none(transform)):
            return transform
    if mine_none and other_none:
        for transform in mine:
            if transform in other:
                return transform if kind is TransformType.ESN else False
        # One side listed "none" in so many words and the other by silence: the answer repeats
        # what the offer said, and ESN is always said.
        if kind is TransformType.ESN and listed:
            return Transform(TransformType.ESN, Esn.NO_ESN)
        return False
    return None


def _means_none(transform: Transform) -> bool:
    none = _NONE_BY_KIND.get(TransformType(transform.kind)) if transform.kind in (3, 4) else None
    return none is not None and transform.number == none


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What both sides cover: a subset of the offer and of the rule (RFC 7296 §2.9)."""

    rule: ChildPolicy
    local: Selectors
    remote: Selectors
    whole: bool
    """The rule is covered completely; False means that the peer asked for less."""


TEXT_MAX = 400
"""Characters of one side's proposals in a sentence."""
SELECTORS_MAX = 32
"""Selectors kept for one side of one SA; more is refused rather than cut."""


def narrow(
    rules: Iterable[ChildPolicy], local: Selectors, remote: Selectors
) -> tuple[Narrowed, ...]:
    """The rules that the offered selectors meet, best first.

    `local` is what the peer asks for on our side, `remote` on its own. Best is the rule that says
    the same as the offer; then one that holds the packet that the peer's wish is about, which a
    peer puts first (RFC 7296 §2.9); then one that is met whole, the widest first, since it leaves
    out least of the offer; then the most specific one that the offer lies in. Ties: the order of
    the configuration.
    """
    met: list[Narrowed] = []
    for rule in rules:
        own = rule.seen_local
        ours = intersect_all(own, local)
        peers = intersect_all(rule.remote, remote)
        ours, peers = _same_families(ours, peers)
        if not ours or not peers or len(ours) > SELECTORS_MAX or len(peers) > SELECTORS_MAX:
            continue
        whole = covers(ours, own) and covers(peers, rule.remote)
        met.append(Narrowed(rule, ours, peers, whole))
    if len(met) > 1:
        met.sort(key=lambda narrowed: _rank(narrowed, local, remote))
    return tuple(met)


def _rank(
    narrowed: Narrowed, local: Selectors, remote: Selectors
) -> tuple[bool, bool, bool, bool, Width]:
    """Where a rule stands among those that the offer meets: the least is the best."""
    rule, whole = narrowed.rule, narrowed.whole
    own = rule.seen_local
    within = covers(own, local) and covers(rule.remote, remote)
    size = width(own, rule.remote)
    asked = _holds_packet(own, local) and _holds_packet(rule.remote, remote)
    # What is sent comes by the first rule that fits, so the narrowest that holds the packet.
    widest_first = whole and not asked
    return (
        not (whole and within),
        not asked,
        not whole,
        not within,
        tuple(-n for n in size) if widest_first else size,
    )


def _holds_packet(side: Selectors, offered: Selectors) -> bool:
    """The first offered selector names one packet's address, and lies in this side of a rule."""
    packet = offered[0]
    is_packet = len(offered) > 1 and packet.start == packet.end
    return is_packet and covers(side, (packet,))


def answer_fits(rule_side: Selectors, answered: Selectors) -> bool:
    """The responder's selectors lie within those that we offered (RFC 7296 §2.9)."""
    return bool(answered) and covers(rule_side, answered)


def _same_families(a: Selectors, b: Selectors) -> tuple[Selectors, Selectors]:
    families = {s.version for s in a} & {s.version for s in b}
    return (
        tuple(s for s in a if s.version in families),
        tuple(s for s in b if s.version in families),
    )


def difference(ours: Iterable[Proposal], theirs: Iterable[Proposal]) -> str:
    """One sentence on why nothing was chosen: which kinds have nothing in common."""
    ours, theirs = tuple(ours), tuple(theirs)
    if not theirs:
        return "the peer offered nothing"
    best: tuple[int, tuple[str, ...]] | None = None
    for our in ours:
        for their in theirs:
            missing = tuple(
                kind.name
                for kind in (
                    TransformType.ENCR,
                    TransformType.INTEG,
                    TransformType.PRF,
                    TransformType.KE,
                    TransformType.ESN,
                )
                if our.of_kind(kind)
                and their.of_kind(kind)
                and not set(our.of_kind(kind)) & set(their.of_kind(kind))
            )
            if best is None or len(missing) < best[0]:
                best = (len(missing), missing)
    names = {"ENCR": "cipher", "INTEG": "integrity", "KE": "key exchange (DH)", "ESN": "ESN"}
    kinds = ", ".join(names.get(k, k) for k in (best[1] if best else ())) or "the combination"
    return (
        f"nothing in common in {kinds}: we accept {_clip(proposals_text(ours))}; "
        f"the peer offers {_clip(proposals_text(theirs))}"
    )


def _clip(text: str) -> str:
    """A stranger's list may be long; a sentence must not be."""
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 3] + "..."
