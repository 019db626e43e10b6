"""Revocation lists: read once, looked up without a search, replaced by newer ones alone."""

import pytest

from isthmus.crypto.signature import PublicKey
from isthmus.x509 import crl as module
from isthmus.x509.crl import CRL_SIZE_MAX, Crl, Entry
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
    silent = leaf_list().but(entries=listing(0x1234, forge.unknown(critical=False))).made()
    assert silent.lookup(Name.parse(INTER), 0x1234) == Entry(AT - 2 * DAY, 0)


def test_a_signature_that_held_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    crl = leaf_list().made()
    public = PublicKey.from_spki(forge.spki(forge.key("P256", "inter")))
    crl.check_signature(public)
    monkeypatch.setattr(module, "verify", lambda *_: pytest.fail("computed again"))
    crl.check_signature(public)


def test_a_list_may_be_as_large_as_the_bound() -> None:
    def padded(octets: int) -> bytes:
        extension = ("1.3.6.1.4.1.55555.31", False, bytes(octets))
        signer = forge.key("ED25519", "inter")  # Its signatures are all of one size.
        return leaf_list().but(signer=signer, extensions=(extension,)).der()

    near = CRL_SIZE_MAX - 1000
    room = near + CRL_SIZE_MAX - len(padded(near))
    assert len(padded(room)) == CRL_SIZE_MAX
    assert Crl.parse(padded(room)).issuer == Name.parse(INTER)
    with pytest.raises(BadCrl) as caught:
        Crl.parse(padded(room + 1))
    assert caught.value.reason == f"the revocation list has {CRL_SIZE_MAX + 1} octets"


def test_the_first_of_the_unknown_critical_extensions_is_shown() -> None:
    one, two = (f"1.3.6.1.4.1.55555.{n}" for n in (1, 2))
    with pytest.raises(BadCrl) as caught:
        leaf_list().but(extensions=((two, True, forge.NULL), (one, True, forge.NULL))).made()
    assert caught.value.reason.endswith(f"the unknown critical extension {one}")


def test_sha1_is_refused_unless_it_is_allowed() -> None:
    crl = leaf_list().but(size=1).made()
    public = PublicKey.from_spki(forge.spki(forge.key("P256", "inter")))
    with pytest.raises(BadCrl):
        crl.check_signature(public)
    crl.check_signature(public, allow_sha1=True)


def test_the_same_bad_signature_is_refused_each_time() -> None:
    crl = leaf_list().but(signer=forge.key("P256", "stranger")).made()
    public = PublicKey.from_spki(forge.spki(forge.key("P256", "inter")))
    for _ in range(2):
        with pytest.raises(BadCrl):
            crl.check_signature(public)
