"""What a tunnel says that only IKEv1 has: Aggressive Mode, XAUTH, Mode Config, hybrid."""

from dataclasses import dataclass

from isthmus.config import proof_schema, schema, v1_schema
from isthmus.config.errors import Report
from isthmus.config.key import Key
from isthmus.config.proofs import WantedLogin
from isthmus.config.section import Section
from isthmus.policy.authentication import AuthKind
from isthmus.policy.connection import (
    AccessRole,
    ChildPolicy,
    IkeVersion,
    ModeConfig,
    Start,
    V1Terms,
    Xauth,
)
from isthmus.values.selector import TrafficSelector

_SERVERS = (v1_schema.DNS, v1_schema.DOMAIN, v1_schema.NETWORKS, v1_schema.PUSH)


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one tunnel, and the password or users that they take."""

    v1: V1Terms
    login: WantedLogin | None


@dataclass(frozen=True, slots=True)
class Setting:
    """What else of the tunnel its terms are judged by."""

    ike: IkeVersion
    local: AuthKind
    remote: AuthKind
    is_anywhere: bool
    """The peer may have any address, so that it starts."""
    allow_weak: bool


def compile_terms(name: str, section: Section, setting: Setting, report: Report) -> Terms:
    """Read the keys of IKEv1 and refuse them where IKEv1 is not spoken."""
    if setting.ike is IkeVersion.V2:
        _refuse_without_v1(section, setting, report)
        return Terms(V1Terms(), None)
    _refuse_beside_v2(section, setting, report)
    xauth, login = _xauth(name, section, report)
    _check_proofs(section, setting, xauth, report)
    terms = V1Terms(
        aggressive=_aggressive(section, setting, report),
        xauth=xauth,
        mode_config=_mode_config(section, report),
        hybrid=setting.local is AuthKind.XAUTH,
    )
    return Terms(terms, login)


def check_pool(
    section: Section, terms: V1Terms, rules: tuple[ChildPolicy, ...], report: Report
) -> None:
    """Warn of addresses that are given out and that no rule carries."""
    if terms.mode_config is None:
        return
    for network in terms.mode_config.pool:
        given = TrafficSelector.of_network(network)
        if not any(s.contains(given) for rule in rules for s in rule.remote):
            report.warn(
                section.at,
                f"{section.title} gives out addresses of {network}, which is in no rule's remote"
                " networks: packets to those clients take no tunnel",
            )


def check_start(
    section: Section, terms: V1Terms, rules: tuple[ChildPolicy, ...], report: Report
) -> None:
    """Warn of rules that wait for traffic which nobody can send: in policy mode, of an address that
    comes with phase 1 only."""
    config = terms.mode_config
    if config is None or config.role is not AccessRole.CLIENT:
        return
    waiting = [rule.name for rule in rules if rule.start is Start.TRAFFIC]
    if waiting:
        report.warn(
            section.at,
            f"{section.title} is given its address by the peer, and rule {', '.join(waiting)} waits"
            ' for traffic: nobody has that address before phase 1 stands; write start = "always",'
            " or bring it up with `isthmus up`",
        )


def _refuse_without_v1(section: Section, setting: Setting, report: Report) -> None:
    aggressive = section.get(v1_schema.AGGRESSIVE)
    is_off = aggressive is not None and not aggressive.value
    for key in v1_schema.TUNNEL_KEYS:
        if section.has(key) and not (key is v1_schema.AGGRESSIVE and is_off):
            report.error(
                section.table[key.name].key_at,
                f"{key.name} in {section.title} belongs to IKEv1, which is not spoken",
                "a setting that nobody reads would silently do nothing",
                "take it out, or write ike = 1"
                + (' (or "auto")' if key is v1_schema.AGGRESSIVE else ""),
            )
    if AuthKind.XAUTH in (setting.local, setting.remote):
        report.error(
            section.table[proof_schema.AUTH.name].at,
            f'auth in {section.title} is "xauth", which only IKEv1 has',
            "IKEv2 has no password behind phase 1",
            'write ike = 1, or auth = "psk" or "cert"',
        )


def _refuse_beside_v2(section: Section, setting: Setting, report: Report) -> None:
    """Refuse a log-in and lent addresses where IKEv2 is spoken too, which would go around both."""
    if setting.ike is IkeVersion.V1 or AuthKind.XAUTH in (setting.local, setting.remote):
        return  # Of "xauth" as a proof, `_check_hybrid` says so.
    for key in (v1_schema.XAUTH, v1_schema.MODE_CONFIG):
        if section.has(key):
            report.error(
                section.table[key.name].key_at,
                f"{key.name} in {section.title} belongs to IKEv1, and IKEv2 is spoken too",
                "phase 1 in IKEv2, which is what we start, has neither log-in nor lent addresses:"
                " whoever dials in with it would go around them",
                f"write ike = 1, or take {key.name} out",
            )


def _aggressive(section: Section, setting: Setting, report: Report) -> bool:
    given = section.get(v1_schema.AGGRESSIVE)
    if given is None or not given.value:
        return False
    shown = "both identities are sent in clear"
    if AuthKind.PSK in (setting.local, setting.remote):
        shown = (
            "whoever asks is sent a hash made of the pre-shared key, from which the key can be"
            f" guessed offline, and {shown}"
        )
    if setting.allow_weak:
        report.warn(
            given.at,
            f"{section.title} uses IKEv1's Aggressive Mode: {shown} (allow_weak is set)",
        )
    else:
        report.error(
            given.at,
            f"{section.title} asks for IKEv1's Aggressive Mode",
            shown,
            "leave aggressive out, Main Mode shows neither; or, if the peer has nothing else, set"
            " allow_weak = true and take a secret of `isthmus psk new`",
        )
    return True


def _xauth(name: str, section: Section, report: Report) -> tuple[Xauth | None, WantedLogin | None]:
    own = section.inner(v1_schema.XAUTH, v1_schema.XAUTH_KEYS)
    if own is None:
        return None, None
    title = own.title
    own.refuse_others()
    user, password = own.get(v1_schema.USER), own.get(v1_schema.PASSWORD)
    users = own.get(v1_schema.USERS)
    is_client = own.has(v1_schema.USER) or own.has(v1_schema.PASSWORD)
    if is_client == own.has(v1_schema.USERS):
        report.error(
            own.at,
            f"{title} has {'both user or password, and users' if is_client else 'no users'}",
            "either the peer asks us for a name and a password, or we ask its users",
            "write user and password, or users = { file = ... }",
        )
        return None, None
    if users is not None:
        login = WantedLogin(name, users.value.reference, users.at, is_users=True)
        return Xauth(AccessRole.SERVER, name), login
    for key in (v1_schema.USER, v1_schema.PASSWORD):
        if is_client and not own.has(key):
            report.error(
                own.at,
                f"{title} has no {key.name}",
                "the peer asks for both a name and a password",
                'write user = "branch7" and password = { file = "/etc/isthmus/secrets/..." }',
            )
    if user is None or password is None:
        return None, None
    login = WantedLogin(name, password.value.reference, password.at, is_users=False)
    return Xauth(AccessRole.CLIENT, name, user.value), login


def _mode_config(section: Section, report: Report) -> ModeConfig | None:
    own = section.inner(v1_schema.MODE_CONFIG, v1_schema.MODE_CONFIG_KEYS)
    if own is None:
        return None
    own.refuse_others()
    address, pool = own.get(v1_schema.ADDRESS), own.get(v1_schema.POOL)
    is_server = own.has(v1_schema.POOL)
    for key in (v1_schema.ADDRESS,) if is_server else _SERVERS:
        _refuse_idle(own, key, is_server, report)
    if not is_server:
        asked = address.value if address is not None else None
        return ModeConfig(AccessRole.CLIENT, address=None if asked is None else str(asked))
    dns, domain = own.get(v1_schema.DNS), own.get(v1_schema.DOMAIN)
    networks, push = own.get(v1_schema.NETWORKS), own.get(v1_schema.PUSH)
    return ModeConfig(
        AccessRole.SERVER,
        pool=tuple(str(placed.network) for placed in pool.value) if pool else (),
        dns=tuple(str(each) for each in dns.value) if dns else (),
        domain=domain.value if domain else "",
        networks=tuple(str(placed.network) for placed in networks.value) if networks else (),
        push=push.value if push else False,
    )


def _refuse_idle(own: Section, key: Key[object], is_server: bool, report: Report) -> None:
    if not own.has(key):
        return
    report.error(
        own.table[key.name].key_at,
        f"{key.name} in {own.title} is not used {'beside' if is_server else 'without'} pool",
        "whoever has a pool gives out addresses, and whoever has none asks for one",
        f"take {key.name} out, or {'take pool out' if is_server else 'add a pool'}",
    )


def _check_proofs(section: Section, setting: Setting, xauth: Xauth | None, report: Report) -> None:
    """Refuse proofs that IKEv1 has no method for (RFC 2409 §5, draft-zegman-ike-hybrid-auth)."""
    kinds = {setting.local, setting.remote}
    if AuthKind.XAUTH in kinds:
        _check_hybrid(section, setting, xauth, report)
    elif AuthKind.PUBKEY in kinds or len(kinds) > 1:
        report.error(
            section.table[proof_schema.AUTH.name].at,
            f"auth in {section.title} cannot be said in IKEv1",
            "both sides prove themselves in one way, with a pre-shared key or with certificates",
            'write auth = "psk" or "cert", or ike = 2',
        )
    if setting.ike is not IkeVersion.V1:
        return
    phase1 = section.inner(schema.PHASE1, schema.PHASE1_KEYS)
    table = phase1.table if phase1 is not None else {}
    for key, place in (
        (proof_schema.SIGNATURE, table),
        (proof_schema.REMOTE_CERT_URL, section.table),
    ):
        if key.name in place:
            report.error(
                place[key.name].key_at,
                f"{key.name} in {section.title} is not used with ike = 1",
                "in IKEv1 the key decides about the signature, and certificates come with it",
                "take it out",
            )


def _check_hybrid(section: Section, setting: Setting, xauth: Xauth | None, report: Report) -> None:
    at = section.table[proof_schema.AUTH.name].at
    if setting.local is not AuthKind.XAUTH or setting.remote is not AuthKind.CERT:
        report.error(
            at,
            f'auth in {section.title} has "xauth" in a place where it proves nothing',
            "in IKEv1's hybrid form the gateway has a certificate and its client a password, and we"
            " are the client only",
            'write auth = { local = "xauth", remote = "cert" }',
        )
    elif setting.ike is not IkeVersion.V1 or setting.is_anywhere:
        report.error(
            at,
            f'auth in {section.title} is "xauth" for a tunnel that we do not start in IKEv1',
            "in IKEv1's hybrid form the client starts",
            "write ike = 1 and the peer's address",
        )
    elif xauth is None or xauth.role is not AccessRole.CLIENT:
        report.error(
            at,
            f'auth in {section.title} is "xauth", and there is no user to log in',
            "our name and password are all that proves who we are",
            f"add [{section.title[1:-1]}.xauth] with user and password",
        )
