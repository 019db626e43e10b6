"""Asking for a cookie by a glance at the first message, against the codec that reads all of it."""

from random import Random

from isthmus.ike.v2 import cookies
from isthmus.values.registry.ikev2 import ExchangeType, HeaderFlag, KeMethod, NotifyType
from isthmus.wire.header import Header
from isthmus.wire.v2.key_exchange import KeyExchange
from isthmus.wire.v2.message import Payload, decode_message, encode_message
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.vendor_id import VendorId

SPI = bytes(range(1, 9))
NONCE = bytes(range(100, 132))
KEY = KeyExchange(KeMethod.CURVE25519, bytes(32))


def message(*payloads: Payload, flags: HeaderFlag = HeaderFlag.INITIATOR) -> bytes:
    header = Header(
        spi_i=SPI,
        spi_r=bytes(8),
        next_payload=0,
        exchange=ExchangeType.IKE_SA_INIT,
        flags=flags,
        message_id=0,
    )
    return encode_message(header, payloads)


def test_the_nonce_is_found_wherever_it_stands() -> None:
    other = Notify(kind=NotifyType.NAT_DETECTION_SOURCE_IP, data=bytes(20))
    for before in ((), (KEY,), (other, KEY), (KEY, VendorId(b"x"), other)):
        found = cookies.nonce_without_cookie(message(*before, Nonce(NONCE), KEY))
        assert found == NONCE, before


def test_what_brings_a_cookie_is_read_as_a_whole() -> None:
    cookie = Notify(kind=NotifyType.COOKIE, data=b"c" * 33)
    assert cookies.nonce_without_cookie(message(cookie, KEY, Nonce(NONCE))) is None


def test_no_damage_makes_it_fail_or_read_beyond_its_payload() -> None:
    chance = Random(6)
    whole = message(Notify(kind=16388, data=bytes(20)), KEY, Nonce(NONCE))
    for _ in range(20_000):
        octets = bytearray(whole[: chance.randint(28, len(whole))])
        for _ in range(chance.randint(0, 3)):
            octets[chance.randrange(16, len(octets))] = chance.choice((0, 3, 4, 40, 41, 255))
        found = cookies.nonce_without_cookie(bytes(octets))
        assert found is None or (16 <= len(found) <= 256 and found in bytes(octets))
    endless = message(*(VendorId(b"") for _ in range(100)), Nonce(NONCE))
    assert cookies.nonce_without_cookie(endless) is None


def test_the_question_is_what_the_codec_would_write() -> None:
    cookie = b"k" * 33
    asked = cookies.question(SPI, cookie)
    payload = Notify(kind=NotifyType.COOKIE, data=cookie)
    assert asked == message(payload, flags=HeaderFlag.RESPONSE)
    assert decode_message(asked).payloads == (payload,)
