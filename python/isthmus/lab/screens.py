"""What `isthmus lab` prints."""

from isthmus.lab import ladder as ladders
from isthmus.lab.api import Lab, Seen
from isthmus.lab.daemon import Isthmus
from isthmus.lab.gateways import IDLE_S, tunnel_name
from isthmus.lab.packets import Esp
from isthmus.lab.strongswan import Charon
from isthmus.lab.topology import SITE_A, SITE_B

_PICTURE = """\
   host-a            gw-a                 internet              gw-b             host-b
  {a.host4} ─── {a.gateway_inside4} | {a.outer4} ──── (router) ──── \
{b.outer4} | {b.gateway_inside4} ─── {b.host4}
                tunnel "{tunnel_a}"                                   tunnel "{tunnel_b}"
"""


def picture(lab: Lab, seconds: float) -> str:
    """What has been built."""
    kind = "rootless" if lab.world.rootless else "as root"
    far = "" if lab.peer == "isthmus" else "\n  gw-b is strongSwan, in user space (kernel-libipsec)"
    named = "" if lab.name == "default" else f" --name {lab.name}"
    drawn = _PICTURE.format(
        a=SITE_A, b=SITE_B, tunnel_a=tunnel_name(SITE_A), tunnel_b=tunnel_name(SITE_B)
    )
    states = "   ".join(_armed(gateway) for gateway in (lab.gateway_a, lab.gateway_b))
    return (
        f"Two sites on this machine ({kind}), built in {seconds:.1f} s\n\n{drawn}\n"
        f"  {lab.mode}-based, IKEv2, PSK (made for this lab), suite modern{far}\n"
        f"  starts on traffic, phase 2 idle after {IDLE_S} s, phase 1 stays;"
        " inside also fd00:1::/64 and fd00:2::/64\n"
        f"  {states}      nothing has been sent yet\n\n"
        f"Try:   isthmus lab run{named} host-a ping -c 3 {SITE_B.host4}"
        f"      watch it:  isthmus lab watch{named}"
    )


def _armed(gateway: Isthmus | Charon) -> str:
    if isinstance(gateway, Charon):
        return f"{gateway.namespace} LISTENS"
    states = {rule["state"] for rule in gateway.tunnel()["rules"]}
    return f"{gateway.namespace} {' '.join(sorted(states)).upper()}"


def both_gateways(lab: Lab) -> str:
    """Both gateways' status."""
    parts = []
    for gateway in (lab.gateway_a, lab.gateway_b):
        if isinstance(gateway, Isthmus):
            parts.append(f"{gateway.namespace}\n{_indented(gateway.do('status'))}")
        else:
            parts.append(f"{gateway.namespace} (strongSwan)\n{_indented(_charon(gateway))}")
    return "\n".join(parts)


def _charon(charon: Charon) -> str:
    lines = []
    for sa in charon.list_sas():
        lines.append(f"{sa.name}  IKE SA {sa.state}  {sa.encr} {sa.dh}")
        lines += [
            f"  {child.name}  Child SA {child.state}  {child.encr} {child.key_bits}  "
            f"packets in {child.packets_in} out {child.packets_out}"
            for child in sa.children
        ]
    return "\n".join(lines) or "no SA"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())


def packet(seen: Seen, *, decrypt: bool) -> str:
    """One captured packet; with `decrypt` its inside below it."""
    text = seen.packet.text
    if not isinstance(seen.packet.content, Esp):
        return text
    if seen.inside is not None:
        return f"{text}\n    inside: {seen.inside.text}"
    if decrypt:
        return f"{text}\n    inside not shown: {seen.unreadable}"
    return f"{text}     cannot read the inside: that is the point"


def ladder(lab: Lab) -> str:
    """The last negotiation as gw-a saw it."""
    return ladders.render(lab.gateway_a.events())
