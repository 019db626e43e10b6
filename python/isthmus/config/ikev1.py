"""What IKEv1 can say of algorithms and traffic: refusals that name the way out.

Phase 1 of IKEv1 has one hash, which is its PRF too (RFC 2409 §4), and no AEAD cipher; an SA of
phase 2 has one pair of networks with one port or all (RFC 2407 §4.6.2). What a suite stands for is
chosen so that it can be said; what a user wrote is never quietly another thing.
"""

from isthmus.config.errors import Report
from isthmus.config.network_fields import PlacedProposal
from isthmus.config.syntax import Position
from isthmus.policy.authentication import AuthKind
from isthmus.policy.connection import ChildPolicy, Connection, IkeVersion
from isthmus.values.proposal import AEAD_ENCR, Proposal, Transform, transform_keyword
from isthmus.values.registry.ikev2 import (
    Encr,
    Esn,
    Integ,
    KeMethod,
    Prf,
    SecurityProtocol,
    TransformType,
)
from isthmus.values.selector import TrafficSelector
from isthmus.values.signature import KeyKind

_HASHES = {
    int(Integ.HMAC_MD5_96): int(Prf.HMAC_MD5),
    int(Integ.HMAC_SHA1_96): int(Prf.HMAC_SHA1),
    int(Integ.HMAC_SHA2_256_128): int(Prf.HMAC_SHA2_256),
    int(Integ.HMAC_SHA2_384_192): int(Prf.HMAC_SHA2_384),
    int(Integ.HMAC_SHA2_512_256): int(Prf.HMAC_SHA2_512),
}
"""Of phase 1, and the PRF that each of them is."""
_GROUPS = frozenset(
    {
        KeMethod.NONE,
        KeMethod.MODP_1024,
        KeMethod.MODP_1536,
        KeMethod.MODP_2048,
        KeMethod.MODP_3072,
        KeMethod.MODP_4096,
        KeMethod.MODP_6144,
        KeMethod.MODP_8192,
        KeMethod.ECP_256,
        KeMethod.ECP_384,
        KeMethod.ECP_521,
    }
)
_PHASE1_CIPHERS = frozenset({Encr.TRIPLE_DES, Encr.AES_CBC})
_PHASE2_CIPHERS = (AEAD_ENCR - {Encr.CHACHA20_POLY1305}) | _PHASE1_CIPHERS | {Encr.AES_CTR}
_PHASE2_INTEG = frozenset(_HASHES) | {Integ.AES_XCBC_96, Integ.NONE}


def check_proposals(
    placed: tuple[PlacedProposal, ...],
    protocol: SecurityProtocol,
    ike: IkeVersion,
    title: str,
    report: Report,
) -> None:
    """Refuse what users wrote and IKEv1 cannot say: with `ike = 1` each word of it, with
    `ike = "auto"` only a list of which nothing is left."""
    if ike is IkeVersion.V2 or not placed:
        return
    is_phase1 = protocol is SecurityProtocol.IKE
    if ike is IkeVersion.AUTO:
        if not any(_sayable(each.proposal, is_phase1) for each in placed):
            report.error(
                placed[0].at,
                f"{title} has no proposal that IKEv1 can say",
                'with ike = "auto" a peer that starts IKEv1 would always be refused: '
                + _reason(placed[0].proposal, is_phase1),
                f'add "{_example(is_phase1)}" to the list, or write ike = 2',
            )
        return
    for each in placed:
        if _unsayable(each.proposal, is_phase1):
            report.error(
                each.at,
                f"{title} has a proposal that IKEv1 cannot say",
                _reason(each.proposal, is_phase1),
                f'write "{_example(is_phase1)}", say; or ike = 2, if the peer speaks IKEv2',
            )


def check_traffic(rule: ChildPolicy, at: Position, title: str, report: Report) -> None:
    """Refuse a rule that no pair of ID payloads can stand for (RFC 2407 §4.6.2)."""
    local, remote = rule.seen_local, rule.remote
    if len(local) != 1 or len(remote) != 1:
        report.error(
            at,
            f"{title}: rule {rule.name} has one phase 2 for several networks",
            "IKEv1 has one pair of networks a phase 2",
            'take out one_pair = false or mode = "route" (each pair is a phase 2 of its own then),'
            " or write ike = 2",
        )
    for selector in dict.fromkeys((*local, *remote)):
        if not _is_one_port_or_all(selector):
            report.error(
                at,
                f"{title}: rule {rule.name} has the ports {selector.port_start} to"
                f" {selector.port_end}, a range that IKEv1 cannot say",
                "it names one port from 1 to 65535, or all of them",
                "write the ports one by one, leave them out, or write ike = 2",
            )


def check_key(connection: Connection, kind: KeyKind, at: Position, report: Report) -> None:
    """Refuse a key of ours that no authentication method of IKEv1 is for (RFC 4754 §4)."""
    if not connection.speaks_v1 or connection.local_auth.kind is not AuthKind.CERT:
        return
    if connection.v1.xauth is not None and kind is not KeyKind.RSA:
        report.error(
            at,
            f"key in [tunnel.{connection.name}] is {kind}, and XAUTH stands behind RSA alone",
            "IKEv1 has a number for XAUTH with RSA signatures, and none for others",
            "use an RSA key and its certificate, or take xauth out",
        )
    elif kind in (KeyKind.ED25519, KeyKind.ED448):
        report.error(
            at,
            f"key in [tunnel.{connection.name}] is {kind}, which IKEv1 has no method for",
            "it knows RSA, and ECDSA over P-256, P-384 and P-521",
            "use such a key and its certificate, or ike = 2",
        )


def _is_one_port_or_all(selector: TrafficSelector) -> bool:
    return selector.any_port or 0 < selector.port_start == selector.port_end


def _sayable(proposal: Proposal, is_phase1: bool) -> bool:
    """Something of it can be said, though not each word."""
    bad = set(_unsayable(proposal, is_phase1))
    if is_phase1:
        # A hash may be said where its PRF stands beside it, whatever else does.
        prfs = {t.number for t in proposal.of_kind(TransformType.PRF)}
        hashes = {t.number for t in proposal.of_kind(TransformType.INTEG)}
        if not any(_HASHES.get(number) in prfs for number in hashes):
            return False
        bad = {t for t in bad if t.kind not in (TransformType.PRF, TransformType.INTEG)}
    return all(set(proposal.of_kind(TransformType(kind))) - bad for kind in proposal.kinds())


def _unsayable(proposal: Proposal, is_phase1: bool) -> tuple[Transform, ...]:
    """The algorithms of a proposal that have no number in IKEv1, or not in this company."""
    ciphers = _PHASE1_CIPHERS if is_phase1 else _PHASE2_CIPHERS
    found = [t for t in proposal.of_kind(TransformType.ENCR) if t.number not in ciphers]
    hashes = proposal.of_kind(TransformType.INTEG)
    prfs = proposal.of_kind(TransformType.PRF)
    if is_phase1:
        present = {t.number for t in prfs}
        found += (t for t in hashes if _HASHES.get(t.number) not in present)
        wanted = {_HASHES.get(t.number) for t in hashes}
        found += (t for t in prfs if t.number not in wanted)
    else:
        found += (t for t in hashes if t.number not in _PHASE2_INTEG)
        esn = proposal.of_kind(TransformType.ESN)
        if all(t.number == Esn.ESN for t in esn):
            found += esn
    found += (t for t in proposal.of_kind(TransformType.KE) if t.number not in _GROUPS)
    return tuple(found)


def _reason(proposal: Proposal, is_phase1: bool) -> str:
    """What is wrong about it, in one sentence."""
    bad = _unsayable(proposal, is_phase1)
    named = ", ".join(transform_keyword(t) for t in bad)
    kinds = {t.kind for t in bad}
    if is_phase1 and any(t.number in AEAD_ENCR for t in bad if t.kind == TransformType.ENCR):
        cipher = ", ".join(transform_keyword(t) for t in bad if t.kind == TransformType.ENCR)
        return f"its phase 1 has no cipher that brings its own integrity ({cipher})"
    if is_phase1 and kinds & {TransformType.PRF, TransformType.INTEG}:
        return f"in its phase 1 one hash is integrity and PRF ({named} stands alone)"
    if kinds == {TransformType.KE}:
        return f"it has no number for the group {named}"
    return f"it has no number for {named}"


def _example(is_phase1: bool) -> str:
    return "aes256-sha256-ecp256" if is_phase1 else "aes256gcm16-ecp256"
