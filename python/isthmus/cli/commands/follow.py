"""What `up`, `down` and `rekey` share: send the wish, print what happens, end with its end."""

import json

from isthmus.cli.errors import daemon_errors
from isthmus.cli.exits import Exit
from isthmus.cli.options import Settings
from isthmus.cli.render import event_line, print_lines
from isthmus.cli.text import Paint
from isthmus.management.api import Down, EventReply, Rekey, Up
from isthmus.management.client import GRACE_S


def follow(given: Settings, request: Up | Down | Rekey) -> int:
    """Print events live until the daemon says how it ended. Raises CliError on failure."""
    paint = Paint(given.colour)
    with daemon_errors(), given.client(request.timeout_s + GRACE_S) as client:
        for reply in client.stream(request):
            if given.quiet:
                continue
            if isinstance(reply, EventReply):
                if given.json:
                    print_lines([json.dumps({**reply.event, "elapsed_s": reply.elapsed_s})])
                else:
                    print_lines([event_line(reply.event, paint, reply.elapsed_s)])
            elif given.json:
                print_lines([json.dumps({"result": "ok", "elapsed_s": reply.elapsed_s})])
            else:
                print_lines([f"{reply.message} ({reply.elapsed_s or 0:.3f} s)"])
    return Exit.OK
