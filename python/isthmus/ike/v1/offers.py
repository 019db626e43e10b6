"""Offers of both phases: neutral proposals to SA payloads and back (RFC 2409 §5, RFC 2407 §4.5).

In IKEv1 a transform is a whole suite, so a proposal that lists several algorithms of a kind becomes
a transform for each combination that IKEv1 can say, the best first. Of what a peer offers, each
transform that we know becomes a proposal of its own; the others are left out and never chosen.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, product
from typing import TypeVar

from isthmus.ike.v1.identifications import identification_for as identification_for
from isthmus.ike.v1.identifications import identification_of as identification_of
from isthmus.ike.v1.identifications import identity_of as identity_of
from isthmus.ike.v1.identifications import selector_of as selector_of
from isthmus.ike.v1.lifetimes import KILOBYTE, Lifetime, Phase, life_attributes, read_life
from isthmus.policy.connection import Lifetimes
from isthmus.values.errors import Malformed, NoAgreement, PeerMisbehaved
from isthmus.values.proposal import (
    AEAD_ENCR,
    ChosenProposal,
    Proposal,
    Transform,
    proposals_text,
    suite_from,
)
from isthmus.values.registry.ikev1 import (
    KEY_IKE,
    AuthAlgorithm,
    AuthenticationMethod,
    Cipher,
    EncapsulationMode,
    EspTransform,
    Hash,
    Phase1Attribute,
    Phase2Attribute,
    ProtocolId,
)
from isthmus.values.registry.ikev2 import (
    Encr,
    Esn,
    Integ,
    KeMethod,
    NotifyType,
    Prf,
    SecurityProtocol,
    TransformType,
)
from isthmus.values.spi import ESP_SPI_SIZE, FIRST_SPI, Spi, spi_from, spi_octets
from isthmus.wire.proposals import TRANSFORMS_MAX
from isthmus.wire.v1 import Attribute, ProposalV1, SecurityAssociation, TransformV1

_CIPHERS = {Encr.TRIPLE_DES: Cipher.TRIPLE_DES, Encr.AES_CBC: Cipher.AES_CBC}
_HASHES = {
    Integ.HMAC_MD5_96: (Prf.HMAC_MD5, Hash.MD5),
    Integ.HMAC_SHA1_96: (Prf.HMAC_SHA1, Hash.SHA1),
    Integ.HMAC_SHA2_256_128: (Prf.HMAC_SHA2_256, Hash.SHA2_256),
    Integ.HMAC_SHA2_384_192: (Prf.HMAC_SHA2_384, Hash.SHA2_384),
    Integ.HMAC_SHA2_512_256: (Prf.HMAC_SHA2_512, Hash.SHA2_512),
}
"""The one hash of phase 1 is its PRF too, as HMAC (RFC 2409 §4)."""
_GROUPS = frozenset(KeMethod) - {KeMethod.NONE, KeMethod.CURVE25519, KeMethod.CURVE448}
"""Groups that IKEv1 has numbers for; IKEv2 took the numbers over."""
_ESP = {Encr(number): number for number in EspTransform}
"""Ciphers of ESP; IKEv2 took the numbers over."""
_AUTHENTICATION = {
    Integ.HMAC_MD5_96: AuthAlgorithm.HMAC_MD5,
    Integ.HMAC_SHA1_96: AuthAlgorithm.HMAC_SHA1,
    Integ.HMAC_SHA2_256_128: AuthAlgorithm.HMAC_SHA2_256,
    Integ.HMAC_SHA2_384_192: AuthAlgorithm.HMAC_SHA2_384,
    Integ.HMAC_SHA2_512_256: AuthAlgorithm.HMAC_SHA2_512,
    Integ.AES_XCBC_96: AuthAlgorithm.AES_XCBC,
}
"""HMAC-SHA2-256 is truncated to 128 bits (RFC 4868 §2.6), whatever some old peers do."""
_ONE_KEY_SIZE = frozenset({Encr.DES, Encr.TRIPLE_DES, Encr.NULL})
"""Ciphers that bear no key length (RFC 2407 §4.5)."""
_EXTENDED = 1
"""Value of EXTENDED_SEQUENCE_NUMBER: 64 bits (RFC 4304 §2)."""

_READ_CIPHERS = {int(number): encr for encr, number in _CIPHERS.items()} | {
    int(Cipher.DES): Encr.DES
}
_READ_HASHES = {int(number): (integ, prf) for integ, (prf, number) in _HASHES.items()}
_READ_AUTHENTICATION = {int(number): integ for integ, number in _AUTHENTICATION.items()}


@dataclass(frozen=True, slots=True)
class OfferedPhase1:
    """A transform of a peer's phase 1 offer, or of its answer."""

    proposal: Proposal
    """One cipher, integrity, PRF and group; `number` is the transform's."""
    method: int
    """An `AuthenticationMethod` or an unknown number."""
    lifetime_s: int | None
    """None: the peer said nothing of it."""
    kilobytes: int | None
    wire: TransformV1
    within: ProposalV1
    """The proposal that it stands in."""


@dataclass(frozen=True, slots=True)
class OfferedPhase2:
    """A transform of a peer's phase 2 offer, or of its answer."""

    proposal: Proposal
    """With the peer's SPI; one cipher, integrity unless the cipher brings it, a group if there is
    to be PFS, and ESN or not. `number` is the transform's."""
    encapsulation: int
    """An `EncapsulationMode` or an unknown number; TUNNEL where nothing was said."""
    lifetime_s: int | None
    kilobytes: int | None
    wire: TransformV1
    within: ProposalV1


# --- what IKEv1 can say -------------------------------------------------------------------------


def expressible_phase1(proposals: Iterable[Proposal]) -> tuple[Proposal, ...]:
    """Each combination that a phase 1 of IKEv1 can have, the best first, without repetition.

    Each has one cipher, integrity, PRF and group, in this order. Left out are ciphers that bring
    their own integrity, a PRF beside another hash, and groups without a number.
    """
    return _expressible_phase1(tuple(proposals))


@lru_cache(maxsize=256)
def _expressible_phase1(proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
    found: list[Proposal] = []
    for proposal in proposals:
        prfs = {t.number: t for t in proposal.of_kind(TransformType.PRF)}
        for encr, integ, ke in product(
            (t for t in proposal.of_kind(TransformType.ENCR) if t.number in _CIPHERS),
            (t for t in proposal.of_kind(TransformType.INTEG) if t.number in _HASHES),
            (t for t in proposal.of_kind(TransformType.KE) if t.number in _GROUPS),
        ):
            prf = prfs.get(_HASHES[Integ(integ.number)][0])
            if prf is not None:
                found.append(Proposal(proposal.protocol, (encr, integ, prf, ke)))
    return tuple(dict.fromkeys(found))


def expressible_phase2(proposals: Iterable[Proposal]) -> tuple[Proposal, ...]:
    """Each combination that a phase 2 of IKEv1 can have, the best first, without repetition.

    Each has one cipher, integrity unless the cipher brings it, a group if there is to be PFS, and
    ESN or not.
    """
    found: list[Proposal] = []
    for proposal in proposals:
        for encr in proposal.of_kind(TransformType.ENCR):
            if encr.number in _ESP:
                found += (Proposal(proposal.protocol, ts) for ts in _beside(encr, proposal))
    return tuple(dict.fromkeys(found))


def _beside(encr: Transform, proposal: Proposal) -> Iterable[tuple[Transform, ...]]:
    """The combinations of one cipher of a phase 2 proposal."""
    integs: list[tuple[Transform, ...]] = [()]
    if encr.number not in AEAD_ENCR:
        listed = proposal.of_kind(TransformType.INTEG)
        integs = [(t,) for t in listed if t.number in _AUTHENTICATION]
    kes = proposal.of_kind(TransformType.KE)
    groups: list[tuple[Transform, ...]] = [(t,) for t in kes if t.number in _GROUPS]
    if not kes or any(t.number == KeMethod.NONE for t in kes):
        groups.append(())
    sizes: list[tuple[Transform, ...]] = [(t,) for t in proposal.of_kind(TransformType.ESN)]
    for integ, group, esn in product(integs, groups, sizes or [()]):
        yield (encr, *integ, *group, *esn)


def group_of(proposal: Proposal) -> KeMethod:
    """The group of a proposal that has at most one; NONE without PFS."""
    kes = proposal.of_kind(TransformType.KE)
    return KeMethod(kes[0].number) if kes else KeMethod.NONE


def phase2_group(proposals: Iterable[Proposal]) -> KeMethod:
    """The group that a Quick Mode is started with: that of the best that IKEv1 can say.

    All transforms of a Quick Mode have the one group that its KE payload is of (RFC 2409 §5.5).
    """
    sayable = expressible_phase2(proposals)
    return group_of(sayable[0]) if sayable else KeMethod.NONE


# --- phase 1 ------------------------------------------------------------------------------------


def phase1_payload(
    proposals: Iterable[Proposal], method: AuthenticationMethod, lifetime_s: float
) -> SecurityAssociation:
    """What Main Mode and Aggressive Mode offer: one proposal, a transform for each combination.

    Raises NoAgreement when IKEv1 can say none of them.
    """
    proposals = tuple(proposals)
    life = life_attributes(Phase.ONE, Lifetime(int(lifetime_s)))
    rows: list[tuple[Attribute, ...]] = []
    for proposal in expressible_phase1(proposals):
        encr, integ, _, ke = proposal.transforms
        _, hash_number = _HASHES[Integ(integ.number)]
        size = () if encr.key_bits is None else (_short(Phase1Attribute.KEY_LENGTH, encr.key_bits),)
        rows.append(
            (
                _short(Phase1Attribute.ENCRYPTION_ALGORITHM, _CIPHERS[Encr(encr.number)]),
                *size,
                _short(Phase1Attribute.HASH_ALGORITHM, hash_number),
                _short(Phase1Attribute.GROUP_DESCRIPTION, ke.number),
                _short(Phase1Attribute.AUTHENTICATION_METHOD, method),
                *life,
            )
        )
    if not rows:
        raise _nothing_to_say(1, proposals)
    transforms = tuple(
        TransformV1(number, KEY_IKE, row) for number, row in enumerate(rows[:TRANSFORMS_MAX], 1)
    )
    return SecurityAssociation((ProposalV1(1, ProtocolId.ISAKMP, b"", transforms),))


def read_phase1(association: SecurityAssociation) -> tuple[OfferedPhase1, ...]:
    """The transforms of a phase 1 offer that we know all of, in the peer's order."""
    found: list[OfferedPhase1] = []
    for proposal, transform in _transforms(association):
        if proposal.protocol != ProtocolId.ISAKMP:
            continue
        try:
            found.append(_read_phase1(proposal, transform))
        except Malformed:
            continue  # not for us to choose; the others may be
    return tuple(found)


def _read_phase1(within: ProposalV1, transform: TransformV1) -> OfferedPhase1:
    """Raises Malformed for a transform that we do not know all of."""
    if transform.id != KEY_IKE:
        raise Malformed(f"a phase 1 transform of ID {transform.id}")
    said = _said(transform, _PHASE1_KNOWN, _PHASE1_LIFE)
    encr = _READ_CIPHERS[_wanted(said, Phase1Attribute.ENCRYPTION_ALGORITHM, _READ_CIPHERS)]
    integ, prf = _READ_HASHES[_wanted(said, Phase1Attribute.HASH_ALGORITHM, _READ_HASHES)]
    group = _wanted(said, Phase1Attribute.GROUP_DESCRIPTION, _GROUPS)
    method = said.get(Phase1Attribute.AUTHENTICATION_METHOD)
    if method is None:
        raise Malformed("a phase 1 transform without its way to authenticate")
    life = read_life(Phase.ONE, transform.attributes)
    proposal = Proposal(
        SecurityProtocol.IKE,
        (
            _cipher(encr, said.get(Phase1Attribute.KEY_LENGTH)),
            Transform(TransformType.INTEG, integ),
            Transform(TransformType.PRF, prf),
            Transform(TransformType.KE, KeMethod(group)),
        ),
        within.spi,
        transform.number,
    )
    return OfferedPhase1(proposal, method, life.seconds, life.kilobytes, transform, within)


def answer_phase1(association: SecurityAssociation, chosen: OfferedPhase1) -> SecurityAssociation:
    """The one transform that was chosen, as it came (RFC 2409 §5)."""
    return _only(association, chosen.within, chosen.within.spi, chosen.wire)


def chosen_phase1(offer: SecurityAssociation, answer: SecurityAssociation) -> OfferedPhase1:
    """What the peer chose of our offer. Raises PeerMisbehaved unless it is one of its transforms,
    all attributes as we sent them (RFC 2408 §4.2)."""
    found = read_phase1(answer)
    if len(found) != 1 or not _was_offered(offer, found[0].wire, ProtocolId.ISAKMP):
        raise PeerMisbehaved(
            "the peer answered with a phase 1 transform that we did not offer",
            notify=NotifyType.NO_PROPOSAL_CHOSEN,
            code="E110",
        )
    return found[0]


# --- phase 2 ------------------------------------------------------------------------------------


def phase2_payload(
    proposals: Iterable[Proposal],
    spi: Spi,
    encapsulation: EncapsulationMode,
    lifetimes: Lifetimes,
    group: KeMethod = KeMethod.NONE,
) -> SecurityAssociation:
    """What Quick Mode offers under one group: one ESP proposal, a transform for each combination.

    ESN is not offered: old peers refuse what they do not know, and without a word an SA has none
    (RFC 4304 §2). Raises NoAgreement when IKEv1 can say none of them.
    """
    proposals = tuple(proposals)
    octets = lifetimes.octets_max
    kilobytes = None if octets is None else max(1, octets // KILOBYTE)
    life = life_attributes(Phase.TWO, Lifetime(int(lifetimes.lifetime_s), kilobytes))
    tail = (_short(Phase2Attribute.ENCAPSULATION_MODE, encapsulation), *life)
    if group is not KeMethod.NONE:
        tail = (_short(Phase2Attribute.GROUP_DESCRIPTION, group), *tail)
    rows = [
        (proposal.of_kind(TransformType.ENCR)[0], (*_phase2_attributes(proposal), *tail))
        for proposal in expressible_phase2(proposals)
        if group_of(proposal) is group and not _is_extended(proposal)
    ]
    if not rows:
        raise _nothing_to_say(2, proposals)
    transforms = tuple(
        TransformV1(number, _ESP[Encr(encr.number)], attributes)
        for number, (encr, attributes) in enumerate(rows[:TRANSFORMS_MAX], 1)
    )
    return SecurityAssociation((ProposalV1(1, ProtocolId.ESP, spi_octets(spi), transforms),))


def _phase2_attributes(proposal: Proposal) -> Iterable[Attribute]:
    for transform in proposal.transforms:
        if transform.kind == TransformType.ENCR and transform.key_bits is not None:
            yield _short(Phase2Attribute.KEY_LENGTH, transform.key_bits)
        if transform.kind == TransformType.INTEG:
            number = _AUTHENTICATION[Integ(transform.number)]
            yield _short(Phase2Attribute.AUTHENTICATION_ALGORITHM, number)


def _is_extended(proposal: Proposal) -> bool:
    return any(t.number == Esn.ESN for t in proposal.of_kind(TransformType.ESN))


def read_phase2(association: SecurityAssociation) -> tuple[OfferedPhase2, ...]:
    """The ESP transforms of a Quick Mode offer that we know all of, in the peer's order.

    A proposal that shares its number with another wants both protocols at once, AH or IPComp
    beside ESP (RFC 2408 §4.2), and is left out.
    """
    numbers = Counter(proposal.number for proposal in association.proposals)
    found: list[OfferedPhase2] = []
    for proposal, transform in _transforms(association):
        if proposal.protocol != ProtocolId.ESP or numbers[proposal.number] > 1:
            continue
        if len(proposal.spi) != ESP_SPI_SIZE or spi_from(proposal.spi) < FIRST_SPI:
            continue
        try:
            found.append(_read_phase2(proposal, transform))
        except Malformed:
            continue  # not for us to choose; the others may be
    return tuple(found)


def _read_phase2(within: ProposalV1, transform: TransformV1) -> OfferedPhase2:
    """Raises Malformed for a transform that we do not know all of."""
    if transform.id not in _ESP.values():
        raise Malformed(f"an ESP transform of ID {transform.id}")
    encr = Encr(transform.id)
    said = _said(transform, _PHASE2_KNOWN, _PHASE2_LIFE)
    transforms = [_cipher(encr, said.get(Phase2Attribute.KEY_LENGTH))]
    if encr in AEAD_ENCR:
        if Phase2Attribute.AUTHENTICATION_ALGORITHM in said:
            raise Malformed("integrity beside a cipher that brings its own")
    else:
        number = _wanted(said, Phase2Attribute.AUTHENTICATION_ALGORITHM, _READ_AUTHENTICATION)
        transforms.append(Transform(TransformType.INTEG, _READ_AUTHENTICATION[number]))
    if Phase2Attribute.GROUP_DESCRIPTION in said:
        group = _wanted(said, Phase2Attribute.GROUP_DESCRIPTION, _GROUPS)
        transforms.append(Transform(TransformType.KE, KeMethod(group)))
    extended = said.get(Phase2Attribute.EXTENDED_SEQUENCE_NUMBER)
    if extended not in (None, _EXTENDED):
        raise Malformed(f"extended sequence number {extended}")
    transforms.append(Transform(TransformType.ESN, Esn.ESN if extended else Esn.NO_ESN))
    encapsulation = said.get(Phase2Attribute.ENCAPSULATION_MODE, EncapsulationMode.TUNNEL)
    life = read_life(Phase.TWO, transform.attributes)
    proposal = Proposal(SecurityProtocol.ESP, tuple(transforms), within.spi, transform.number)
    return OfferedPhase2(proposal, encapsulation, life.seconds, life.kilobytes, transform, within)


def answer_phase2(
    association: SecurityAssociation, chosen: OfferedPhase2, spi: Spi
) -> SecurityAssociation:
    """The one transform that was chosen, as it came, under our own SPI (RFC 2409 §5.5)."""
    return _only(association, chosen.within, spi_octets(spi), chosen.wire)


def chosen_phase2(offer: SecurityAssociation, answer: SecurityAssociation) -> OfferedPhase2:
    """What the peer chose of our offer. Raises PeerMisbehaved unless it is one of its transforms,
    all attributes as we sent them, lifetimes aside (RFC 2408 §4.2)."""
    found = read_phase2(answer)
    if len(found) != 1 or not _was_offered(offer, found[0].wire, ProtocolId.ESP):
        raise PeerMisbehaved(
            "the peer answered with a phase 2 transform that we did not offer",
            notify=NotifyType.NO_PROPOSAL_CHOSEN,
            code="E201",
        )
    return found[0]


# --- both phases --------------------------------------------------------------------------------

Offered = TypeVar("Offered", OfferedPhase1, OfferedPhase2)
Combination = tuple[SecurityProtocol, frozenset[Transform]]


def choose_offered(
    ours: Iterable[Proposal], offered: Iterable[Offered]
) -> tuple[Offered, ChosenProposal] | None:
    """What a responder takes: the first combination of ours that one of the peer's transforms is.

    `ours` is what `expressible_phase1` or `expressible_phase2` made of the policy. None where
    nothing is common.
    """
    return choose_indexed(ours, indexed(offered))


def indexed(offered: Iterable[Offered]) -> dict[Combination, Offered]:
    """A peer's transforms by what they say, the first of those that say the same."""
    found: dict[Combination, Offered] = {}
    for each in offered:
        found.setdefault(_combination(each.proposal), each)
    return found


def choose_indexed(
    ours: Iterable[Proposal], offered: Mapping[Combination, Offered]
) -> tuple[Offered, ChosenProposal] | None:
    """The same where several lists of ours are looked up in one offer: each look is one step,
    however much a stranger offers."""
    if not offered:
        return None
    for place, our in enumerate(ours, start=1):
        each = offered.get(_combination(our))
        if each is not None:
            why = f"our combination {place}, first in our order that the peer offers"
            return each, ChosenProposal(suite_from(each.proposal), each.proposal, why)
    return None


def _combination(proposal: Proposal) -> Combination:
    """What a proposal with at most one transform of a kind says, whatever their order."""
    said = frozenset(proposal.transforms)
    if proposal.protocol is SecurityProtocol.ESP and not proposal.of_kind(TransformType.ESN):
        said |= {Transform(TransformType.ESN, Esn.NO_ESN)}
    return proposal.protocol, said


# --- parts --------------------------------------------------------------------------------------


def _transforms(association: SecurityAssociation) -> Iterable[tuple[ProposalV1, TransformV1]]:
    """Transforms of all proposals, as many as one honest proposal can have: no more are read."""
    every = ((within, each) for within in association.proposals for each in within.transforms)
    return islice(every, TRANSFORMS_MAX)


_PHASE1_LIFE = frozenset({int(Phase1Attribute.LIFE_TYPE), int(Phase1Attribute.LIFE_DURATION)})
_PHASE1_KNOWN = frozenset(
    {
        int(Phase1Attribute.ENCRYPTION_ALGORITHM),
        int(Phase1Attribute.HASH_ALGORITHM),
        int(Phase1Attribute.AUTHENTICATION_METHOD),
        int(Phase1Attribute.GROUP_DESCRIPTION),
        int(Phase1Attribute.KEY_LENGTH),
    }
)
_PHASE2_LIFE = frozenset({int(Phase2Attribute.LIFE_TYPE), int(Phase2Attribute.LIFE_DURATION)})
_PHASE2_KNOWN = frozenset(
    {
        int(Phase2Attribute.GROUP_DESCRIPTION),
        int(Phase2Attribute.ENCAPSULATION_MODE),
        int(Phase2Attribute.AUTHENTICATION_ALGORITHM),
        int(Phase2Attribute.KEY_LENGTH),
        int(Phase2Attribute.EXTENDED_SEQUENCE_NUMBER),
    }
)


def _short(kind: int, value: int) -> Attribute:
    return Attribute(int(kind), int(value))


def _said(transform: TransformV1, known: frozenset[int], life: frozenset[int]) -> dict[int, int]:
    """The attributes but for lifetimes, by class. Raises Malformed for one that we do not know,
    and for two that contradict each other."""
    said: dict[int, int] = {}
    for attribute in transform.attributes:
        if attribute.kind in life:
            continue
        if attribute.kind not in known:
            raise Malformed(f"attribute {attribute.kind} is not known")
        number = attribute.number
        if said.setdefault(attribute.kind, number) != number:
            raise Malformed(f"attribute {attribute.kind} stands twice")
    return said


def _wanted(said: dict[int, int], kind: int, known: Container[int]) -> int:
    """The value of an attribute. Raises Malformed where it is missing or not known."""
    number = said.get(kind)
    if number is None or number not in known:
        raise Malformed(f"attribute {kind} has the value {number}")
    return number


def _cipher(encr: Encr, key_bits: int | None) -> Transform:
    """Raises Malformed for a key length where there may be none, or none where there must be one
    (RFC 2407 §4.5, RFC 3602 §5)."""
    if (key_bits is None) != (encr in _ONE_KEY_SIZE):
        raise Malformed(f"{encr.name} with a key length of {key_bits}")
    return Transform(TransformType.ENCR, encr, key_bits)


def _only(
    association: SecurityAssociation, within: ProposalV1, spi: bytes, transform: TransformV1
) -> SecurityAssociation:
    proposal = ProposalV1(within.number, within.protocol, spi, (transform,))
    return SecurityAssociation((proposal,), association.doi, association.situation)


def _was_offered(offer: SecurityAssociation, answer: TransformV1, protocol: ProtocolId) -> bool:
    """Some peers count transforms anew, write numbers in the other form, or shorten lifetimes in
    their answer; what is left must be one of ours."""
    life = _PHASE1_LIFE if protocol is ProtocolId.ISAKMP else _PHASE2_LIFE
    return any(
        ours.id == answer.id and _comparable(ours, life) == _comparable(answer, life)
        for proposal in offer.proposals
        for ours in proposal.transforms
    )


def _comparable(transform: TransformV1, life: frozenset[int]) -> frozenset[tuple[int, int]]:
    return frozenset((a.kind, a.number) for a in transform.attributes if a.kind not in life)


def _nothing_to_say(phase: int, proposals: Iterable[Proposal]) -> NoAgreement:
    return NoAgreement(
        f"IKEv1 can say none of our phase {phase} proposals: {proposals_text(proposals)}",
        notify=NotifyType.NO_PROPOSAL_CHOSEN,
        code="E110" if phase == 1 else "E201",
    )
