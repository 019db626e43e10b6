"""PKITS: every path gets its published verdict, with revocation checked strictly.

All 403 certificates and 173 lists of the suite are at hand for every path, so that the right ones
have to be found as well. Revocation is strict: a certificate without a good list is refused.
"""

import pytest

from isthmus.x509 import path
from isthmus.x509.errors import BadCertificate, Untrusted

from . import pkits
from .pkits import Test

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

TESTS = tuple(pkits.tests())


def walk(test: Test) -> None:
    """Raises BadCertificate or Untrusted where the path does not hold."""
    rules = test.settings.rules()
    path.validate(test.leaf(), pkits.pool(), [pkits.anchor()], at=pkits.AT, rules=rules)


def verdict(test: Test) -> bool:
    try:
        leaf = test.leaf()
        path.validate(
            leaf, pkits.pool(), [pkits.anchor()], at=pkits.AT, rules=test.settings.rules()
        )
    except (BadCertificate, Untrusted):
        return False
    return True


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name)
def test_a_path_gets_its_published_verdict(test: Test) -> None:
    expected = test.valid and test.name not in pkits.NOT_SUPPORTED
    assert verdict(test) is expected


def test_the_suite_is_complete() -> None:
    assert len({test.name for test in TESTS}) >= pkits.TESTS_MIN - 1
    assert pkits.NOT_SUPPORTED.keys() <= {test.name for test in TESTS if test.valid}
    assert len(pkits.NOT_SUPPORTED) == 2


def test_the_reason_is_the_one_that_the_name_says() -> None:
    """A refusal for another reason would hide a check that is not made."""
    wanted = {
        "InvalidEESignatureTest3EE": "E154",
        "InvalidCAnotBeforeDateTest1EE": "E144",
        "InvalidEEnotAfterDateTest6EE": "E141",
        "InvalidRevokedCATest2EE": "E149",
        "InvalidRevokedEETest3EE": "E149",
        "InvalidMissingCRLTest1EE": "E160",
        "InvalidOldCRLnextUpdateTest11EE": "E161",
        "InvalidSeparateCertificateandCRLKeysTest21EE": "E162",
        "InvalidMissingbasicConstraintsTest1EE": "E146",
        "InvalidcAFalseTest2EE": "E146",
        "InvalidpathLenConstraintTest5EE": "E147",
        "InvalidkeyUsageCriticalkeyCertSignFalseTest1EE": "E148",
        "InvalidDNnameConstraintsTest2EE": "E153",
        "InvalidURInameConstraintsTest35EE": "E153",
        "InvalidrequireExplicitPolicyTest3EE": "E158",
        "InvalidUnknownCriticalCertificateExtensionTest2EE": "E152",
    }
    found = {}
    for test in TESTS:
        if test.name in wanted and test.settings == pkits.DEFAULT:
            with pytest.raises(Untrusted) as caught:
                walk(test)
            found[test.name] = caught.value.code
    assert found == wanted
