"""PKITS, the public test suite for RFC 5280 paths: its files, its tests and their verdicts.

NIST, Public Key Interoperability Test Suite, Certification Path Validation, version 1.0.1 with the
certificates of 2011; the files come with the package `cryptography_vectors`. A test's number is its
section in that document; the verdict is the one published there. Where a test has several settings,
each stands for itself.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cryptography_vectors

from isthmus.values.trust import EkuRule, RevocationMode
from isthmus.x509.certificate import Certificate
from isthmus.x509.crl import Crl
from isthmus.x509.errors import BadCertificate, BadCrl
from isthmus.x509.extensions import ANY_POLICY
from isthmus.x509.revocation import Revocation, Statuses
from isthmus.x509.rules import PathRules
from isthmus.x509.usage import Purpose

DATA = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
AT = 1_700_000_000
"""2023-11-14: its certificates are valid from 2010 to 2030."""
ANCHOR = "TrustAnchorRootCertificate"
TESTS_MIN = 224
"""End entities of the suite; sections 4.8 to 4.12 have some twice, with other settings."""

P1, P2, P3, P4, P5, P6 = (f"2.16.840.1.101.3.2.1.48.{n}" for n in range(1, 7))

NOT_SUPPORTED = {
    "ValidDSASignaturesTest4EE": "DSA is none of this product's algorithms (RFC 8247 §4.1)",
    "ValidDSAParameterInheritanceTest5EE": "DSA, and keys without parameters",
}
"""The paths that do not get their published verdict, and why: valid ones that are refused."""


@dataclass(frozen=True)
class Settings:
    """The inputs of RFC 5280 §6.1.1 c to g."""

    policies: frozenset[str] = frozenset({ANY_POLICY})
    explicit: bool = False
    mapping_inhibited: bool = False
    any_inhibited: bool = False

    def rules(self) -> PathRules:
        """As rules: any usage, no revocation left open, every certificate of the suite at hand."""
        return PathRules(
            purpose=Purpose.ANY,
            eku=EkuRule.ANY,
            pool_max=1000,
            policies=self.policies,
            explicit_policy=self.explicit,
            inhibit_policy_mapping=self.mapping_inhibited,
            inhibit_any_policy=self.any_inhibited,
            revocation=Revocation(RevocationMode.STRICT, statuses()),
        )


DEFAULT = Settings()
EXPLICIT = Settings(explicit=True)


def only(*policies: str, explicit: bool = False) -> Settings:
    """A user who accepts these policies alone."""
    return Settings(frozenset(policies), explicit)


VERDICTS = {
    # What the document says of the paths whose names do not: section, test, then valid or not.
    "AllCertificatesNoPoliciesTest2EE": True,
    "DifferentPoliciesTest3EE": True,
    "DifferentPoliciesTest4EE": False,
    "DifferentPoliciesTest5EE": False,
    "OverlappingPoliciesTest6EE": True,
    "DifferentPoliciesTest7EE": False,
    "DifferentPoliciesTest8EE": False,
    "DifferentPoliciesTest9EE": False,
    "AllCertificatesSamePoliciesTest10EE": True,
    "AllCertificatesanyPolicyTest11EE": True,
    "DifferentPoliciesTest12EE": False,
    "AllCertificatesSamePoliciesTest13EE": True,
    "AnyPolicyTest14EE": True,
    "UserNoticeQualifierTest15EE": True,
    "UserNoticeQualifierTest16EE": True,
    "UserNoticeQualifierTest17EE": True,
    "UserNoticeQualifierTest18EE": True,
    "UserNoticeQualifierTest19EE": True,
    "CPSPointerQualifierTest20EE": True,
    "inhibitAnyPolicyTest3EE": True,
}
WITH_SETTINGS: tuple[tuple[str, Settings, bool], ...] = (
    ("ValidCertificatePathTest1EE", EXPLICIT, True),
    ("ValidCertificatePathTest1EE", only(P1, explicit=True), True),
    ("ValidCertificatePathTest1EE", only(P2, explicit=True), False),
    ("ValidCertificatePathTest1EE", only(P1, P2, explicit=True), True),
    ("AllCertificatesNoPoliciesTest2EE", EXPLICIT, False),
    ("DifferentPoliciesTest3EE", EXPLICIT, False),
    ("DifferentPoliciesTest3EE", only(P1, P2, explicit=True), False),
    ("OverlappingPoliciesTest6EE", only(P1), True),
    ("OverlappingPoliciesTest6EE", only(P2), False),
    ("AllCertificatesSamePoliciesTest10EE", only(P1), True),
    ("AllCertificatesSamePoliciesTest10EE", only(P2), True),
    ("AllCertificatesanyPolicyTest11EE", only(P1), True),
    ("AllCertificatesSamePoliciesTest13EE", only(P1), True),
    ("AllCertificatesSamePoliciesTest13EE", only(P2), True),
    ("AllCertificatesSamePoliciesTest13EE", only(P3), True),
    ("AnyPolicyTest14EE", only(P1), True),
    ("AnyPolicyTest14EE", only(P2), False),
    ("UserNoticeQualifierTest18EE", only(P1), True),
    ("UserNoticeQualifierTest18EE", only(P2), True),
    ("ValidPolicyMappingTest1EE", only(P1), True),
    ("ValidPolicyMappingTest1EE", only(P2), False),
    ("ValidPolicyMappingTest1EE", Settings(mapping_inhibited=True), False),
    ("ValidPolicyMappingTest3EE", only(P1), False),
    ("ValidPolicyMappingTest3EE", only(P2), True),
    ("ValidPolicyMappingTest5EE", only(P1), True),
    ("ValidPolicyMappingTest5EE", only(P6), False),
    ("ValidPolicyMappingTest6EE", only(P1), True),
    ("ValidPolicyMappingTest6EE", only(P6), False),
    ("ValidPolicyMappingTest12EE", only(P1), True),
    ("ValidPolicyMappingTest12EE", only(P2), True),
    ("inhibitAnyPolicyTest3EE", Settings(any_inhibited=True), False),
)


@dataclass(frozen=True)
class Test:
    """One path of the suite."""

    __test__ = False
    name: str
    valid: bool
    settings: Settings = DEFAULT

    def leaf(self) -> Certificate:
        """The end entity. Raises BadCertificate."""
        return Certificate.parse((DATA / "certs" / f"{self.name}.crt").read_bytes())


def tests() -> Iterator[Test]:
    """Every end entity with the settings of the document."""
    for path in sorted(DATA.glob("certs/*EE.crt")):
        valid = VERDICTS.get(path.stem)
        if valid is None:
            said = re.match(r"(Valid|Invalid)", path.stem)
            assert said is not None, path.stem
            valid = said[1] == "Valid"
        yield Test(path.stem, valid)
    for name, settings, valid in WITH_SETTINGS:
        yield Test(name, valid, settings)


def anchor() -> Certificate:
    """The suite's trust anchor."""
    return Certificate.parse((DATA / "certs" / f"{ANCHOR}.crt").read_bytes())


@cache
def pool() -> tuple[Certificate, ...]:
    """Every authority's certificate that can be read; the way is to be found among all of them."""
    found: list[Certificate] = []
    with warnings.catch_warnings(action="ignore"):
        for path in sorted(DATA.glob("certs/*.crt")):
            if path.stem.endswith("EE") or path.stem == ANCHOR:
                continue
            try:
                found.append(Certificate.parse(path.read_bytes()))
            except BadCertificate:
                continue
    return tuple(found)


@cache
def statuses() -> Statuses:
    """Every list that can be read, the bad ones too."""
    found: list[Crl] = []
    for path in sorted(DATA.glob("crls/*.crl")):
        try:
            found.append(Crl.parse(path.read_bytes()))
        except BadCrl:
            continue
    return Statuses.of(found)
