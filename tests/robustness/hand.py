"""The hand of a peer that is authentic and hostile: seals anything under the real keys.

An honest engine cannot be brought to write nonsense, so its keys are borrowed.
"""

from dataclasses import dataclass
from random import Random

from isthmus.crypto.suite import MessageCipher, message_cipher
from isthmus.ike.engine import IkeEngine
from isthmus.ike.v2.sa import SaV2
from isthmus.values.spi import IkeSpi
from isthmus.wire.header import Header
from isthmus.wire.v2.encrypted import Encrypted, prefix
from isthmus.wire.v2.message import decode_message

SK = 46


@dataclass(frozen=True, slots=True)
class Opened:
    """What was inside an SK payload: the type of the first payload, and the chain."""

    first: int
    chain: bytes


class Hand:
    """One direction of an IKE SA, with its keys."""

    def __init__(self, sa: SaV2, *, from_initiator: bool, seed: int = 0) -> None:
        assert sa.suite is not None and sa.keys is not None, "there are keys"
        keys = sa.keys
        self._cipher: MessageCipher = (
            message_cipher(sa.suite, keys.sk_ei, keys.sk_ai)
            if from_initiator
            else message_cipher(sa.suite, keys.sk_er, keys.sk_ar)
        )
        self._chance = Random(seed)

    def open(self, octets: bytes) -> Opened:
        """Of a sound message in this direction."""
        message = decode_message(octets)
        sealed = message.payloads[-1]
        assert isinstance(sealed, Encrypted)
        cut = self._cipher.iv_size
        aad = octets[: len(octets) - len(sealed.body)]
        padded = self._cipher.open(sealed.body[:cut], aad, sealed.body[cut:])
        return Opened(sealed.first, padded[: len(padded) - padded[-1] - 1])

    def seal(
        self,
        header: Header,
        first: int,
        chain: bytes,
        *,
        pad: int | None = None,
        piece: tuple[int, int] | None = None,
    ) -> bytes:
        """A message whose ICV is right, whatever is inside; `pad`: what the pad length says.

        `piece`: under SKF, with this number and this total, possible or not.
        """
        cipher = self._cipher
        pad_length = -(len(chain) + 1) % cipher.block_size
        told = pad_length if pad is None else pad
        padded = chain + bytes(pad_length) + bytes((told,))
        iv = self._chance.randbytes(cipher.iv_size)
        size = len(iv) + len(padded) + cipher.icv_size
        start = prefix(header, first, size, (1, 1) if piece is not None else None)
        if piece is not None:
            start = start[:-4] + b"".join(number.to_bytes(2, "big") for number in piece)
        return start + iv + cipher.seal(iv, start, padded)


def sa_with(engine: IkeEngine, own_spi: bytes) -> SaV2 | None:
    """An engine's IKE SA by the SPI that it chose."""
    return engine._sas.get(IkeSpi(own_spi))


def receiver_sa(engine: IkeEngine, octets: bytes) -> SaV2 | None:
    """The IKE SA that a datagram to this engine is for."""
    header = Header.decode(octets)
    return sa_with(engine, header.spi_r if header.from_initiator else header.spi_i)
