"""The catalogue of findings: what each E-code means and what to do about it.

A finding's code, its cause in one sentence and its remedy never change their meaning. The page
docs/codes.md is `markdown()` of this catalogue.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One finding: stable id, a short title, the cause in one sentence, and what to do."""

    id: str
    title: str
    cause: str
    fix: str


CATALOGUE: tuple[Code, ...] = (
    Code(
        "E101",
        "no answer",
        "The peer did not answer the first message: UDP 500 is filtered on the way, the address "
        "is wrong, or nothing listens for us there.",
        "Check `peer` in the configuration, that the peer runs, and that firewalls let UDP 500 "
        "and 4500 through in both directions.",
    ),
    Code(
        "E102",
        "silence on port 4500",
        "The peer answers on UDP 500, but nothing comes back on UDP 4500, where IKE moves when a "
        "NAT is on the way.",
        "Let UDP 4500 through in both directions on every firewall between the two sides.",
    ),
    Code(
        "E103",
        "port busy here",
        "UDP 500 or 4500 is already in use on this machine, most likely by another IKE daemon.",
        "Find it with `ss -lunp 'sport = 500 or sport = 4500'`, stop it, and start isthmusd again.",
    ),
    Code(
        "E104",
        "large messages lost",
        "The first messages were answered and IKE_AUTH was not: it is large, the peer does not "
        "read messages in pieces (RFC 7383), and IP fragments are dropped on the way.",
        "Let IP fragments of UDP 500 and 4500 through, switch IKE fragmentation on at both ends, "
        "or use a shorter chain of certificates.",
    ),
    Code(
        "E105",
        "no such tunnel or rule",
        "The command names a tunnel or a rule that the configuration does not have.",
        "Look at the names in `isthmus status`.",
    ),
    Code(
        "E106",
        "the peer's address is not known",
        "The peer may have any address, so it has to start; or its name has no address.",
        "Let the peer start the tunnel, or set `peer` to its address.",
    ),
    Code(
        "E110",
        "no common proposal in phase 1",
        "The two sides have no common choice of cipher, integrity, PRF and key exchange group for "
        "phase 1 (IKE SA).",
        "Put a proposal into [tunnel.NAME.phase1] `proposals` that the peer accepts too, or add "
        "ours on the peer.",
    ),
    Code(
        "E111",
        "no common IKE version",
        "The peer does not speak the version of IKE that this tunnel uses.",
        "Set the peer to IKEv2.",
    ),
    Code(
        "E112",
        "INVALID_KE_PAYLOAD again and again",
        "The peer keeps asking for another key exchange group: it names one that we do not list, "
        "or one that it refuses itself, or the notifies are forged.",
        "List the same key exchange group on both sides (the last part of a proposal, such as "
        "`x25519` or `ecp256`).",
    ),
    Code(
        "E113",
        "bad key exchange value",
        "A public value of the key exchange was refused (RFC 6989), or no key pair could be made.",
        "Use another key exchange group on both sides, and tell the peer's vendor.",
    ),
    Code(
        "E114",
        "phase 1 refused",
        "The peer refused the first message with a notify other than the usual ones.",
        "Look at the peer's log for this time; the notify is named in `isthmus log`.",
    ),
    Code(
        "E115",
        "the peer broke the protocol",
        "The peer sent a message that cannot be read or does not belong there, so phase 1 was"
        " ended.",
        "Look at `isthmus log NAME` for what was wrong, and tell the peer's vendor.",
    ),
    Code(
        "E120",
        "authentication failed (pre-shared key)",
        "The proof made with the pre-shared key does not hold: the two sides have different keys, "
        "or the peer knows us under another identity.",
        "Put the same key on both sides; `isthmus psk check FILE` finds blanks, line ends and "
        "curly quotes in ours. Then compare `local_id` and `remote_id` with the peer's.",
    ),
    Code(
        "E121",
        "two pre-shared keys match",
        "More than one tunnel fits this peer, so the wrong pre-shared key may have been used.",
        "Give each tunnel its own `remote_id`.",
    ),
    Code(
        "E122",
        "no pre-shared key",
        "No pre-shared key is loaded for this tunnel.",
        "Set `psk` in the tunnel and check it with `isthmus check`.",
    ),
    Code(
        "E123",
        "another kind of authentication",
        "The peer authenticates in another way than this tunnel asks for.",
        "Set the same kind of authentication for this side of the tunnel at both ends.",
    ),
    Code(
        "E124",
        "IKE_AUTH refused",
        "The peer refused IKE_AUTH with a notify other than AUTHENTICATION_FAILED.",
        "Look at the peer's log for this time; the notify is named in `isthmus log`.",
    ),
    Code(
        "E125",
        "phase 1 was not renewed",
        "The peer refused to renew the keys of phase 1; the old ones are still used and it is"
        " tried again.",
        "Look at the peer's log, and compare the phase 1 proposals of both sides.",
    ),
    Code(
        "E126",
        "phase 1 ended too early",
        "Phase 1 was closed while phase 2 was being made.",
        "Look at the peer's log for why it closed; traffic starts the tunnel again.",
    ),
    Code(
        "E127",
        "nothing to renew",
        "New keys were asked for something that is not up.",
        "Bring it up with `isthmus up NAME`.",
    ),
    Code(
        "E129",
        "our certificate or key is refused",
        "The peer refused our signature: it does not trust our certificate or key, or knows "
        "us under another identity, or wants another scheme.",
        "Look at the peer's log for this time; compare `local_id` with the names in our "
        "certificate, and have the peer trust its root.",
    ),
    Code(
        "E130",
        "identity mismatch",
        "The identity that the peer sent is not the one that we expect of it, or it asks for "
        "another than ours; a peer behind NAT sends its private address.",
        "Set `remote_id` to what the peer sends, or make the peer send the identity that "
        "`remote_id` names.",
    ),
    Code(
        "E131",
        "address written as a name",
        "One side sends its address as a domain name, the other expects an IP address.",
        "Write `ip:ADDRESS` on both sides.",
    ),
    Code(
        "E132",
        "no certificate sent",
        "The peer signed and sent no X.509 certificate that belongs to the signature.",
        "Have the peer send its certificate (strongSwan: `send_cert = always`).",
    ),
    Code(
        "E133",
        "certificate by hash and URL",
        "The peer sent an address to fetch its certificate from instead of the certificate, and it "
        "is not fetched, or what lies there is not it. Who may connect could have us call any "
        "address, so it is off unless the configuration turns it on.",
        "Have the peer send the certificate itself, or set `remote_cert_url = true`.",
    ),
    Code(
        "E134",
        "signature does not hold",
        "The peer's signature does not hold over this exchange under the key that it shows: "
        "another private key than the certificate's, or somebody between who changed "
        "messages.",
        "Have the peer use the private key that belongs to its certificate.",
    ),
    Code(
        "E135",
        "signature of a kind not taken",
        "The peer signed by a scheme or with a hash that we have not offered to take: SHA-1, "
        "most often, or one that the configuration leaves out.",
        "Have the peer sign by one of the schemes that the message names, or name the peer's here.",
    ),
    Code(
        "E136",
        "no signature scheme in common",
        "Our key and the configuration allow no signature scheme that the peer says it can check.",
        "Use a key of another kind, or change which schemes are named on either side.",
    ),
    Code(
        "E137",
        "own certificate or trust missing",
        "A certificate, private key, anchor or public key that this tunnel names is not "
        "loaded, or our key did not sign.",
        "See what `isthmus check` says about the files of this tunnel.",
    ),
    Code(
        "E138",
        "unknown public key",
        "The peer signed with a bare public key that this tunnel does not know.",
        "Give the peer's present public key to this tunnel, or have the peer use the key that"
        " is known.",
    ),
    Code(
        "E139",
        "signature not judged",
        "There was too much to do, or the configuration changed meanwhile, so the peer's "
        "signature was not looked at.",
        "It is tried again by itself; if it lasts, look at `isthmus counters`.",
    ),
    Code(
        "E140",
        "certificate untrusted",
        "The peer's certificates lead to an authority that this tunnel does not trust.",
        "Name the peer's root in the tunnel's trust, or have the peer use a certificate of a root "
        "that is named there; if an intermediate certificate is missing, install it at the peer.",
    ),
    Code(
        "E141",
        "certificate expired",
        "A certificate on the way from the peer to the root has expired, or this machine's clock "
        "is ahead.",
        "Compare `date` with the date that the message names, then renew that certificate.",
    ),
    Code(
        "E142",
        "identity not in the certificate",
        "The peer's certificate is good but does not hold the identity that the peer claims; the "
        "common name does not count for domain names.",
        "Issue the certificate again with the identity as subjectAltName, or set `remote_id` to "
        "one that it holds; the message lists them.",
    ),
    Code(
        "E143",
        "extended key usage unfit",
        "The certificate is meant for something else than IPsec or TLS: its extended key usage "
        "allows neither.",
        "Issue it again with serverAuth (a gateway) or clientAuth, or set the tunnel's rule for "
        "extended key usage.",
    ),
    Code(
        "E144",
        "certificate not yet valid",
        "A certificate on the way from the peer to the root becomes valid only later, or this "
        "machine's clock is behind.",
        "Set this machine's clock, or wait until the date that the message names.",
    ),
    Code(
        "E145",
        "issuer's certificate missing",
        "The peer sent a certificate without the one of its issuer, which is not known here "
        "either.",
        "Install the intermediate certificate at the peer, so that it is sent along, or name it in"
        " the tunnel's trust.",
    ),
    Code(
        "E146",
        "issuer is no authority",
        "A certificate was issued by one that is not marked as an authority (basicConstraints).",
        "Have the certificate issued by a real authority; `isthmus ca` makes one.",
    ),
    Code(
        "E147",
        "path too long for its authority",
        "An authority issued a further authority though its path length forbids that.",
        "Issue the certificate from an authority that may, or make the upper one with a larger "
        "path length.",
    ),
    Code(
        "E148",
        "key usage unfit",
        "A key is used for what its certificate's key usage leaves out: signing certificates "
        "(keyCertSign), revocation lists (cRLSign) or IKE (digitalSignature).",
        "Issue the certificate that the message names again with the missing usage.",
    ),
    Code(
        "E149",
        "revoked (CRL)",
        "The issuer's revocation list names a certificate on the way from the peer to the root.",
        "Give the peer a new certificate; if the list is in error, have the issuer correct it.",
    ),
    Code(
        "E151",
        "revoked (OCSP)",
        "The issuer's OCSP responder says that a certificate is revoked.",
        "Give the peer a new certificate; if the answer is in error, have the issuer correct it.",
    ),
    Code(
        "E152",
        "unknown critical extension",
        "A certificate holds an extension that must be understood and that Isthmus does not know.",
        "Issue the certificate again without that extension, or not critical.",
    ),
    Code(
        "E153",
        "name constraints violated",
        "A certificate holds a name that an authority above it may not give out.",
        "Issue the certificate from an authority that may use the name that the message shows.",
    ),
    Code(
        "E154",
        "signature of a certificate wrong",
        "A certificate is not signed by the key of its issuer: it was damaged or forged, or the "
        "issuer has a new key.",
        "Compare the issuer's certificates on both sides; a forged one is worth an alarm.",
    ),
    Code(
        "E155",
        "signature algorithm not accepted",
        "A certificate is signed by an algorithm that is weak (SHA-1, MD5) or that Isthmus does "
        "not have.",
        "Issue the certificate again, signed with SHA-256 or better.",
    ),
    Code(
        "E156",
        "key not accepted",
        "A certificate's key is too short, of a kind that Isthmus does not have, or no real key.",
        "Make a new key: RSA of at least 2048 bits, ECDSA P-256, P-384 or P-521, Ed25519 or Ed448.",
    ),
    Code(
        "E157",
        "certificate unreadable",
        "What should be a certificate cannot be read: it is damaged, too large, or breaks the "
        "format.",
        "Look at it with `openssl x509 -text`, and issue it again.",
    ),
    Code(
        "E158",
        "certificate policies violated",
        "The authorities on the way demand a certificate policy that the certificates do not "
        "share.",
        "Issue the certificate under a policy that the authorities' policy constraints allow.",
    ),
    Code(
        "E159",
        "too many certificates",
        "The peer sent more certificates, or certificates that need more work, than any real path "
        "does.",
        "Have the peer send its own certificate and the intermediate ones, nothing else.",
    ),
    Code(
        "E160",
        "revocation status unknown",
        "Revocation is `strict`, and neither a revocation list nor an OCSP answer speaks of a "
        "certificate.",
        "Make the issuer's revocation server reachable from here, load its list from a file, or "
        "use `soft`.",
    ),
    Code(
        "E161",
        "revocation status too old",
        "Revocation is `strict`, and the only revocation list or OCSP answer at hand has passed "
        "its date.",
        "Make the issuer's revocation server reachable from here and its lists current, or look at"
        " this machine's clock.",
    ),
    Code(
        "E162",
        "revocation list not believed",
        "A revocation list cannot be read, is not signed by its issuer, or is about something "
        "else.",
        "Look at the list with `openssl crl -text`, and have the issuer publish a good one.",
    ),
    Code(
        "E163",
        "OCSP answer not believed",
        "An OCSP answer cannot be read, is not signed by who may, or does not know the "
        "certificate.",
        "Check the issuer's OCSP responder with `openssl ocsp`.",
    ),
    Code(
        "E164",
        "certificate contradicts itself",
        "A certificate names two signature algorithms, or has fields that its version does not "
        "have.",
        "Issue the certificate again with a tool that follows RFC 5280; `isthmus ca` does.",
    ),
    Code(
        "E170",
        "log-in refused",
        "The name or the password of XAUTH is not right: ours at the peer, or that of the peer's "
        "user here.",
        "Compare `user` and the file of `password` with the peer's list of users; a line of ours "
        "is made by `isthmus xauth user NAME`.",
    ),
    Code(
        "E171",
        "log-in not possible",
        "One side asks for a log-in (XAUTH) that the other side has nothing for, or never asks.",
        "Set [tunnel.NAME.xauth] as the peer is set: `user` and `password` where it asks, `users` "
        "where we do, nothing where neither does.",
    ),
    Code(
        "E172",
        "no usable address from the peer",
        "The peer gave us no address by Mode Config, or one that no rule of the tunnel has in its "
        "`local` networks.",
        "Look at the peer's pool of addresses, and write the network of that pool into `local` of "
        "the tunnel's rules.",
    ),
    Code(
        "E173",
        "no address for the peer",
        "The peer asks for an address by Mode Config and the pool has none left, or it asks for "
        "something that we do not give.",
        "Make `pool` in [tunnel.NAME.mode_config] larger, or lower the lifetime of phase 1 so that "
        "addresses of clients that went away come back sooner.",
    ),
    Code(
        "E201",
        "no common proposal in phase 2",
        "The two sides have no common choice of cipher, integrity and PFS group for this rule "
        "(Child SA).",
        "Put a proposal into the rule's `proposals` that the peer accepts too, or add ours on the "
        "peer.",
    ),
    Code(
        "E202",
        "PFS differs",
        "The first phase 2 worked and its rekeying was refused: the PFS groups of the two sides "
        "differ, which shows only now because the first Child SA has no key exchange of its own.",
        "Use the same key exchange group at the end of the rule's `proposals` on both sides.",
    ),
    Code(
        "E203",
        "selectors not acceptable",
        "The peer does not accept the networks of this rule: its own rule is not the mirror image "
        "of ours.",
        "Make `local` and `remote` here equal to the peer's remote and local, with the same "
        "prefix lengths, protocol and ports.",
    ),
    Code(
        "E204",
        "selectors narrowed",
        "The peer accepted only a part of this rule's networks; packets outside that part cannot "
        "pass.",
        "Make the rule's networks equal on both sides, or accept the smaller part.",
    ),
    Code(
        "E205",
        "only one pair of networks allowed",
        "The peer wants one pair of networks in each SA (SINGLE_PAIR_REQUIRED), or allows no "
        "further SA.",
        "Write one rule for each pair of networks, or one rule for everything with mode route.",
    ),
    Code(
        "E207",
        "lifetime not acceptable",
        "The lifetimes of the two sides do not fit each other, so one of them ends SAs early.",
        "Use lifetimes within the peer's limits.",
    ),
    Code(
        "E208",
        "the peer asks to wait",
        "The peer is busy with this SA and asks to try again later (TEMPORARY_FAILURE and the"
        " like).",
        "Wait: it is tried again by itself.",
    ),
    Code(
        "E209",
        "phase 2 refused",
        "The peer made no Child SA for a reason of its own, or did not say why.",
        "Look at the peer's log for this time; the notify is named in `isthmus log`.",
    ),
    Code(
        "E210",
        "the rule is held down here",
        "The peer wants phase 2 of a rule that `isthmus down` closed here; it stays closed in "
        "spite of traffic, the peer's too.",
        "Let it in again with `isthmus up`, or leave it closed.",
    ),
    Code(
        "E301",
        "packets leave, none return",
        "Encrypted packets are sent and none arrive: ESP is filtered on the way, the peer has no "
        "route back, or its rule for us is missing.",
        'Let IP protocol 50 through, or set `nat = "force"` to put ESP inside UDP 4500; then '
        "check the peer's routes.",
    ),
    Code(
        "E302",
        "packets arrive, hosts are silent",
        "Packets are decrypted here and nothing answers: forwarding is off, a host's firewall "
        "drops them, or reverse path filtering does.",
        "Check `sysctl net.ipv4.ip_forward`, the firewall of the inside host and `rp_filter`.",
    ),
    Code(
        "E303",
        "integrity checks fail",
        "Packets arrive whose integrity check value is wrong: they were changed on the way, or "
        "the peer computes it differently (SHA-256 cut to 96 bits on old systems).",
        "Use an AEAD cipher such as `aes256gcm16` on both sides; then look for faulty links.",
    ),
    Code(
        "E304",
        "replay drops",
        "Packets arrive later than the replay window allows, or twice.",
        "Make `replay_window` larger, and look for a path that reorders or duplicates packets.",
    ),
    Code(
        "E305",
        "unknown SPI",
        "The peer sends under an SA that we do not have: one side started anew.",
        "Wait for the peer to notice, or `isthmus down NAME` and `isthmus up NAME`.",
    ),
    Code(
        "E308",
        "data plane refused an SA",
        "The SAs were negotiated, but the data plane on this machine does not carry them.",
        "Look at `isthmus log` for the reason that the data plane gave.",
    ),
    Code(
        "E402",
        "ESP lost behind NAT",
        "A NAT on the way does not pass ESP as it is.",
        'Set `nat = "force"` on this tunnel, which puts ESP inside UDP 4500.',
    ),
    Code(
        "E602",
        "peer is dead",
        "The peer stopped answering: it is off, unreachable, or was restarted without knowing us.",
        "Check that the peer runs and the path to it; the tunnel is armed again by itself.",
    ),
)

BY_ID: dict[str, Code] = {code.id: code for code in CATALOGUE}


def advice(code: str) -> str:
    """What to do about a finding; empty for a code that the catalogue does not have."""
    found = BY_ID.get(code)
    return found.fix if found else ""


def markdown() -> str:
    """The catalogue as the page docs/codes.md."""
    lines = [
        "# Finding codes",
        "",
        "What `isthmus status`, `isthmus up` and `isthmus log` name when something failed. A code",
        "never changes its meaning. This page is made from the catalogue in",
        "`python/isthmus/observe/codes.py` (`python -m isthmus.observe.codes > docs/codes.md`).",
    ]
    for code in CATALOGUE:
        lines += ["", f"## {code.id} {code.title}", "", code.cause, "", f"Do this: {code.fix}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
