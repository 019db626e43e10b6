"""Revocation lists: read once, looked up without a search, replaced by newer ones alone."""

import pytest

from isthmus.crypto.signature import PublicKey
from isthmus.x509 import crl as module
from isthmus.x509.crl import Entry
from isthmus.x509.errors import BadCrl
from isthmus.x509.name import Name

from . import forge
from .forge import AT, DAY
from .refused_status import listing
from .scenes import INTER, leaf_list

LARGE = 100_000


class Counted(dict[int, int]):
    """A mapping that counts what it is asked."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.asked = 0

    def get(self, key: int, default: int | None = None) -> int | None:  # type: ignore[override]
        self.asked += 1
        return super().get(key, default)

    def __iter__(self):  # type: ignore[no-untyped-def]
        raise AssertionError("a list is not searched")


def test_a_large_list_is_read_once_and_asked_once() -> None:
    entries = tuple((n << 64 | 1, AT - DAY, ()) for n in range(LARGE))
    crl = leaf_list().but(entries=entries).made()
    assert len(crl.entries) == LARGE
    counted = Counted(crl.entries)
    object.__setattr__(crl, "entries", counted)
    issuer = Name.parse(INTER)
    assert crl.lookup(issuer, (LARGE - 1) << 64 | 1) == Entry(AT - DAY, 0)
    assert crl.lookup(issuer, 7) is None
    assert counted.asked == 2


def test_an_entry_has_its_date_and_reason() -> None:
    crl = leaf_list().but(entries=listing(0x1234, forge.reason(9))).made()
    assert crl.lookup(Name.parse(INTER), 0x1234) == Entry(AT - 2 * DAY, 9)
    assert crl.lookup(Name.parse(forge.dn("CN=other")), 0x1234) is None


def test_a_signature_that_held_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    crl = leaf_list().made()
    public = PublicKey.from_spki(forge.spki(forge.key("P256", "inter")))
    crl.check_signature(public)
    monkeypatch.setattr(module, "verify", lambda *_: pytest.fail("computed again"))
    crl.check_signature(public)


def test_the_same_bad_signature_is_refused_each_time() -> None:
    crl = leaf_list().but(signer=forge.key("P256", "stranger")).made()
    public = PublicKey.from_spki(forge.spki(forge.key("P256", "inter")))
    for _ in range(2):
        with pytest.raises(BadCrl):
            crl.check_signature(public)
