"""Ends, with the reason in its last line, when this machine is of no use any more: its worker has had no connection to a
master that answers for so long. On a notice of the spot market the worker is told to take no more builds."""
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request

with open(sys.argv[1], encoding="utf-8") as file:
    told = json.load(file)
LIMIT = told["power_off_after"]
EVERY = max(1.0, min(30.0, LIMIT / 10))
# A worker that is refused keeps its connection until it tries again, ten seconds or so.
SETTLED = min(60.0, LIMIT / 3)


def answers():
    """A hung master accepts a connection and says nothing; a living one greets."""
    try:
        with socket.create_connection((told["host"], told["port"]), timeout=10) as line:
            line.settimeout(10)
            return len(line.recv(1)) > 0
    except OSError:
        return False


def connections():
    """The own ends of connections to the master's port."""
    ends = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                rows = [row.split() for row in file][1:]
        except OSError:
            continue
        ends.update(r[1] for r in rows if r[3] == "01" and int(r[2].rsplit(":", 1)[1], 16) == told["port"])
    return ends


class Market:
    """Asks the machine's metadata whether the spot market takes it back."""

    def __init__(self):
        self.url, self.failures, self.noticed = told["metadata_url"], 0, False
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def look(self):
        if not self.url or self.noticed or self.failures >= 5:
            return
        try:
            ask = urllib.request.Request(self.url + "/latest/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
            token = self.opener.open(ask, timeout=2).read().decode()
            self.failures = 0
            ask = urllib.request.Request(self.url + "/latest/meta-data/spot/instance-action", headers={"X-aws-ec2-metadata-token": token})
            self.opener.open(ask, timeout=2).read()
        except urllib.error.HTTPError as e:
            # 404 is the usual answer: no notice.
            self.failures += e.code != 404
            return
        except (OSError, ValueError):
            self.failures += 1
            return
        self.noticed = True
        print("buildmoon: the spot market takes this machine back: it takes no more builds", file=sys.stderr, flush=True)
        # The worker looks at this file from time to time. Its folder belongs to builds, so no link is followed.
        stamp = os.open(os.path.join(told["basedir"], "shutdown.stamp"), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        os.utime(stamp)
        os.close(stamp)


market, since, good = Market(), {}, time.monotonic()
next_look = good
while time.monotonic() - good < LIMIT:
    time.sleep(min(5.0, EVERY))
    market.look()
    now = time.monotonic()
    if now < next_look:
        continue
    next_look = now + EVERY
    since = {end: since.get(end, now) for end in connections()}
    if any(now - first >= SETTLED for first in since.values()) and answers():
        good = now
print("the worker had no connection to a master that answers for %d seconds" % LIMIT)
