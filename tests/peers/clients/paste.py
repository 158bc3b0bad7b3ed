"""A person at a terminal whose program shows an address to sign in at, and waits for the address the browser ends at.

The only argument is a JSON object {"command", "env", "user"}. Prints {"ended", "shown", "asked"}: the program's exit
code, what was on the terminal, and the address it showed.
"""

import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from urllib.parse import parse_qs, urlsplit

from person import Person

ASKS = re.compile(r"(http://127\.0\.0\.1:\d+/oauth/authorize\?[^\s\x1b\x07]+)[\s\x1b\x07].*paste", re.DOTALL | re.IGNORECASE)


def main(spec):
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 2000, 0, 0))  # addresses stay on one line
        os.execve(spec["command"][0], spec["command"], {**os.environ, **spec["env"], "TERM": "dumb"})
    shown, asked = "", None
    while True:
        try:
            some = os.read(terminal, 65536)
        except OSError:  # the program has closed it
            break
        if not some:
            break
        shown += some.decode(errors="replace")
        found = ASKS.search(shown)
        if found and asked is None:
            asked = found[1]
            back = parse_qs(urlsplit(asked).query)["redirect_uri"][0]
            ended = Person(spec["user"]).open(asked, back)
            os.write(terminal, ended["at"].encode() + b"\r")
    _, status = os.waitpid(child, 0)
    print(json.dumps({"ended": os.waitstatus_to_exitcode(status), "shown": shown, "asked": asked}))


main(json.loads(sys.argv[1]))
