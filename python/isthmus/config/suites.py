"""Named sets of proposals: what `suite = "..."` stands for (PRODUCT-GUIDE c)."""

from dataclasses import dataclass

from isthmus.policy.connection import IkeVersion


@dataclass(frozen=True, slots=True)
class SuiteChoice:
    """Proposal strings of both phases, best first."""

    name: str
    phase1: tuple[str, ...]
    phase2: tuple[str, ...]
    v1_phase1: tuple[str, ...]
    """What IKEv1 can say: AES-CBC, and groups that it has numbers for."""
    v1_phase2: tuple[str, ...]
    about: str
    is_weak: bool = False
    """Needs `allow_weak`."""

    def of_phase1(self, ike: IkeVersion) -> tuple[str, ...]:
        """Phase 1 in a version; with both, what IKEv2 likes best stands first."""
        return _of_version(self.phase1, self.v1_phase1, ike)

    def of_phase2(self, ike: IkeVersion) -> tuple[str, ...]:
        """Phase 2 in a version."""
        return _of_version(self.phase2, self.v1_phase2, ike)


def _of_version(v2: tuple[str, ...], v1: tuple[str, ...], ike: IkeVersion) -> tuple[str, ...]:
    match ike:
        case IkeVersion.V1:
            return v1
        case IkeVersion.V2:
            return v2
        case IkeVersion.AUTO:
            return tuple(dict.fromkeys((*v2, *v1)))


_GCM_256_PHASE1 = "aes256gcm16-prfsha384-ecp256-ecp384-x25519"
_GCM_256_PHASE2 = "aes256gcm16-ecp256-ecp384-x25519"

_COMPAT_PHASE1 = (
    "aes256gcm16-prfsha384-ecp256-ecp384-x25519-modp2048",
    "aes256-aes128-sha256-prfsha256-ecp256-ecp384-x25519-modp2048",
)
_COMPAT_PHASE2 = (
    "aes256gcm16-ecp256-ecp384-x25519-modp2048",
    "aes256-aes128-sha256-ecp256-ecp384-x25519-modp2048",
)

_V1_MODERN_PHASE1 = "aes256-sha384-sha256-ecp256-ecp384-modp2048"
_V1_MODERN_PHASE2 = (
    "aes256gcm16-ecp256-ecp384-modp2048",
    "aes256-sha256-ecp256-ecp384-modp2048",
)
_V1_COMPAT_PHASE1 = "aes256-aes128-sha384-sha256-ecp256-ecp384-modp2048"
_V1_COMPAT_PHASE2 = (
    "aes256gcm16-aes128gcm16-ecp256-ecp384-modp2048",
    "aes256-aes128-sha256-ecp256-ecp384-modp2048",
)
_LEGACY = "aes256-aes128-3des-sha256-sha1-modp2048-modp1536-modp1024"

SUITES = {
    suite.name: suite
    for suite in (
        SuiteChoice(
            "modern",
            (_GCM_256_PHASE1,),
            (_GCM_256_PHASE2,),
            (_V1_MODERN_PHASE1,),
            _V1_MODERN_PHASE2,
            "AES-256-GCM, PRF-SHA-384, DH 19, 20 or 31, PFS",
        ),
        SuiteChoice(
            "aws",
            (
                "aes256gcm16-prfsha384-ecp384-ecp256-modp2048",
                "aes128gcm16-prfsha256-ecp256-modp2048",
                "aes256-aes128-sha256-prfsha256-ecp384-ecp256-modp2048",
            ),
            (
                "aes256gcm16-ecp384-ecp256-modp2048",
                "aes128gcm16-ecp256-modp2048",
                "aes256-aes128-sha256-ecp384-ecp256-modp2048",
            ),
            ("aes256-aes128-sha256-ecp384-modp2048",),
            (
                "aes256gcm16-aes128gcm16-ecp384-ecp256-modp2048",
                "aes256-aes128-sha256-ecp384-ecp256-modp2048",
            ),
            "what AWS offers, strong first: AES-GCM, then AES-CBC with SHA-256; DH 20, 19, 14; PFS",
        ),
        SuiteChoice(
            "compat",
            _COMPAT_PHASE1,
            _COMPAT_PHASE2,
            (_V1_COMPAT_PHASE1,),
            _V1_COMPAT_PHASE2,
            "`modern`, and AES-CBC with SHA-256 and DH 14 for older peers",
        ),
        SuiteChoice(
            "legacy",
            (*_COMPAT_PHASE1, _LEGACY),
            (*_COMPAT_PHASE2, _LEGACY),
            (_V1_COMPAT_PHASE1, _LEGACY),
            (*_V1_COMPAT_PHASE2, _LEGACY),
            "`compat`, and SHA-1, DH 2 and 5, 3DES; needs `allow_weak = true`",
            is_weak=True,
        ),
    )
}

DEFAULT_SUITE = "modern"

SUITES_NOT_YET = {
    "pq": "ML-KEM as an additional key exchange",
    "azure": "the proposals of Azure's gateways",
}
"""Suites of the product that this version does not have, and what they stand for."""
