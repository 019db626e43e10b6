"""Requests and replies as JSON lines, and back."""

import msgspec

from isthmus.management.api import (
    LINE_MAX,
    REPLY_MAX,
    SCHEMA,
    AnyReply,
    AnyRequest,
    ErrorReply,
    Kind,
    Request,
)


class BadLine(Exception):
    """A line is no message of this schema; `reply` is what to answer."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(reply.why)
        self.reply = reply


class _Envelope(msgspec.Struct, frozen=True):
    """What every request has, of whatever version."""

    schema: str = ""
    id: int = 0


_envelopes = msgspec.json.Decoder(_Envelope)
_requests = msgspec.json.Decoder(AnyRequest)
_replies = msgspec.json.Decoder(AnyReply)
_encoder = msgspec.json.Encoder()


def encode(message: AnyRequest | AnyReply) -> bytes:
    """One line with its line end. Raises BadLine if it would be longer than a line may be."""
    line = _encoder.encode(message) + b"\n"
    longest = LINE_MAX if isinstance(message, Request) else REPLY_MAX
    if len(line) > longest:
        raise BadLine(
            ErrorReply(
                id=message.id,
                kind=Kind.FAILED,
                what="The answer is too long.",
                why=f"It has {len(line)} octets; a line may have {longest}.",
                fix="Ask for one tunnel, or for fewer events.",
            )
        )
    return line


def decode_request(line: bytes) -> AnyRequest:
    """Raises BadLine with the error to answer; never anything else."""
    try:
        envelope = _envelopes.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(_malformed(0, str(error))) from None
    if envelope.schema != SCHEMA:
        raise BadLine(
            _malformed(envelope.id, f"the schema is {envelope.schema[:64]!r}, not {SCHEMA!r}")
        )
    try:
        request: AnyRequest = _requests.decode(line)
        return request
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(_malformed(envelope.id, str(error))) from None


def decode_reply(line: bytes) -> AnyReply:
    """Raises BadLine if the line is no reply of this schema."""
    try:
        reply: AnyReply = _replies.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(_malformed(0, str(error))) from None
    if reply.schema != SCHEMA:
        raise BadLine(_malformed(reply.id, f"the schema is {reply.schema[:64]!r}"))
    return reply


def too_long() -> ErrorReply:
    """What to answer to a line without an end."""
    return _malformed(0, f"a line may have {LINE_MAX} octets")


def _malformed(id: int, why: str) -> ErrorReply:
    return ErrorReply(
        id=id,
        kind=Kind.MALFORMED,
        what="The request could not be read.",
        why=why,
        fix="Use the isthmus command of the same version as the daemon.",
    )
