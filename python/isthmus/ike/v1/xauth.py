"""What the Attributes payloads of XAUTH say (draft-ietf-ipsec-isakmp-xauth-06). Pure; both roles.

The server asks (REQUEST), the client answers (REPLY), the server tells what came of it (SET), and
the client confirms (ACK). Of the types of log-in there is the generic one: a name and a password.
"""

from dataclasses import dataclass

from isthmus.credentials.xauth import PASSWORD_OCTETS_MAX, is_user
from isthmus.values.errors import Malformed, NotAuthenticated, PeerMisbehaved
from isthmus.values.identity import printable
from isthmus.values.registry.ikev1 import ConfigType, XauthAttribute, XauthStatus, XauthType
from isthmus.values.registry.ikev2 import label
from isthmus.values.secret import Secret
from isthmus.wire.v1.attributes import Attribute
from isthmus.wire.v1.configuration import Attributes

_KINDS = frozenset(int(kind) for kind in XauthAttribute)
_OTHER_PROOFS = frozenset(
    {
        XauthAttribute.PASSCODE,
        XauthAttribute.CHALLENGE,
        XauthAttribute.NEXT_PIN,
        XauthAttribute.ANSWER,
    }
)
"""What only somebody who reads the question could answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a server wants of us. At least one of the two is asked for."""

    name: bool
    password: bool
    typed: bool
    """It said that the type is generic, and wants to hear so again."""
    message: str = ""
    """For a person to read; printable and bounded."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who a client says it is. Nothing of it is proved."""

    user: str
    password: Secret


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a server found our answer."""

    admitted: bool
    message: str = ""


def is_xauth(payload: Attributes) -> bool:
    """It is about a log-in, not about addresses."""
    return any(attribute.kind in _KINDS for attribute in payload.attributes)


def question(identifier: int) -> Attributes:
    """A server's REQUEST: the type is left out, which means generic (§6.2)."""
    empty = (XauthAttribute.USER_NAME, XauthAttribute.USER_PASSWORD)
    return Attributes(ConfigType.REQUEST, identifier, tuple(Attribute(kind, b"") for kind in empty))


def read_question(request: Attributes) -> Question:
    """What a REQUEST asks. Raises NotAuthenticated (E171) for what a name and a password are no
    answer to, and PeerMisbehaved for what is no question."""
    given = _single(request, ConfigType.REQUEST)
    kind = given.get(XauthAttribute.TYPE)
    if kind is not None and kind.octets and _number(kind) != XauthType.GENERIC:
        raise _unanswerable(f"a log-in of type {label(XauthType, _number(kind))}")
    name, password = (
        wanted in given for wanted in (XauthAttribute.USER_NAME, XauthAttribute.USER_PASSWORD)
    )
    others = [label(XauthAttribute, k) for k in given if k in _OTHER_PROOFS]
    if others and not password:
        raise _unanswerable(others[0])
    if not (name or password):
        raise _unanswerable("neither a name nor a password")
    return Question(name, password, kind is not None, _message(given))


def answer(request: Attributes, user: str, password: Secret) -> Attributes:
    """A client's REPLY to a REQUEST, with just what it asks for. Raises as `read_question` does."""
    asked = read_question(request)
    found: list[Attribute] = []
    if asked.typed:
        found.append(Attribute(XauthAttribute.TYPE, XauthType.GENERIC))
    if asked.name:
        found.append(Attribute(XauthAttribute.USER_NAME, user.encode()))
    if asked.password:
        found.append(Attribute(XauthAttribute.USER_PASSWORD, password.reveal()))
    return Attributes(ConfigType.REPLY, request.identifier, tuple(found))


def refusal(request: Attributes) -> Attributes:
    """A client's REPLY that says that it cannot answer (§6.2)."""
    failed = Attribute(XauthAttribute.STATUS, XauthStatus.FAIL)
    return Attributes(ConfigType.REPLY, request.identifier, (failed,))


def read_answer(reply: Attributes) -> Claim:
    """Who a client says it is, in its REPLY. The message ID ties it to our REQUEST: not all clients
    repeat the identifier. Raises NotAuthenticated (E170, E171) for an answer that no user of ours
    could have given."""
    given = _single(reply, ConfigType.REPLY)
    if XauthAttribute.STATUS in given:
        raise NotAuthenticated(
            "the peer says that it cannot log in", notify=None, code="E171", hint=_message(given)
        )
    name = _text(given.get(XauthAttribute.USER_NAME))
    password = _text(given.get(XauthAttribute.USER_PASSWORD))
    try:
        user = name.decode()
    except UnicodeDecodeError:
        user = ""
    if not is_user(user) or not 0 < len(password) <= PASSWORD_OCTETS_MAX:
        raise NotAuthenticated(
            f"the peer logs in as {printable(name)!r}, and no user may be called so"
            if not is_user(user)
            else f"{user} sent no password, or one that is far too long",
            notify=None,
            code="E170",
        )
    return Claim(user, Secret(password))


def verdict(identifier: int, admitted: bool) -> Attributes:
    """A server's SET."""
    status = XauthStatus.OK if admitted else XauthStatus.FAIL
    return Attributes(ConfigType.SET, identifier, (Attribute(XauthAttribute.STATUS, status),))


def read_verdict(told: Attributes) -> Verdict:
    """What a SET says of our answer. Raises PeerMisbehaved when it says nothing: only an OK that
    stands there is one."""
    given = _single(told, ConfigType.SET)
    status = given.get(XauthAttribute.STATUS)
    if status is None:
        raise PeerMisbehaved("a SET of XAUTH without a status", notify=None, code="E171")
    return Verdict(_number(status) == XauthStatus.OK, _message(given))


def confirmation(told: Attributes) -> Attributes:
    """A client's ACK: the same attributes, emptied."""
    return Attributes(
        ConfigType.ACK,
        told.identifier,
        tuple(Attribute(each.kind, b"") for each in told.attributes if each.kind in _KINDS),
    )


def _single(payload: Attributes, kind: ConfigType) -> dict[int, Attribute]:
    """The attributes of XAUTH by kind. Raises PeerMisbehaved for another kind of payload, and for
    an attribute that stands twice: which of them counts would be anybody's guess."""
    if payload.kind != kind:
        name = label(ConfigType, payload.kind)
        raise PeerMisbehaved(f"{name} of XAUTH where {kind.name} is due", notify=None, code="E171")
    found: dict[int, Attribute] = {}
    for attribute in payload.attributes:
        if attribute.kind not in _KINDS:
            continue
        if attribute.kind in found:
            name = label(XauthAttribute, attribute.kind)
            raise PeerMisbehaved(f"two {name} attributes of XAUTH", notify=None, code="E171")
        found[attribute.kind] = attribute
    return found


def _number(attribute: Attribute) -> int:
    try:
        return attribute.number
    except Malformed as error:
        raise PeerMisbehaved(error.reason, notify=None, code="E171") from None


def _text(attribute: Attribute | None) -> bytes:
    """Some clients end a text with a NUL."""
    return attribute.octets.removesuffix(b"\0") if attribute is not None else b""


def _message(given: dict[int, Attribute]) -> str:
    return printable(_text(given.get(XauthAttribute.MESSAGE)))


def _unanswerable(what: str) -> NotAuthenticated:
    return NotAuthenticated(
        f"the peer asks for {what}, and we have a name and a password", notify=None, code="E171"
    )
