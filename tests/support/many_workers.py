"""Many stock workers in one process, which all log in in the same instant.

usage: many_workers.py PORT COUNT BASE; worker number N is called wN, its password is pass.
Writes one line per event on stdout: "connected NAME", "lost NAME", "failed NAME WHY", "exit NAME". Ends when stdin does.

The workers are unmodified `buildbot_worker.bot.Worker`s. A stock worker ends its process when a login fails in a way that it
does not expect: here that is caught and reported, since the process belongs to all of them.
"""
import os
import sys

from buildbot_worker.bot import Worker
from twisted.internet import reactor, stdio
from twisted.internet.protocol import Protocol

port, count, base = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
stop = reactor.stop
failing = [None]


def say(*words):
    sys.stdout.write(" ".join(str(w) for w in words) + "\n")
    sys.stdout.flush()


def start(name):
    home = os.path.join(base, name)
    os.makedirs(os.path.join(home, "info"))
    worker = Worker("127.0.0.1", port, name, "pass", home, keepalive=600, umask=None, numcpus=1)
    factory = worker.bf
    got, failed = factory.gotPerspective, factory.failedToGetPerspective

    def connected(perspective):
        got(perspective)
        say("connected", name)
        perspective.broker.notifyOnDisconnect(lambda *_: say("lost", name))

    def refused(why, broker):
        say("failed", name, why.type)
        failing[0] = name
        try:
            return failed(why, broker)
        finally:
            failing[0] = None

    factory.gotPerspective, factory.failedToGetPerspective = connected, refused
    worker.startService()


class UntilTheEnd(Protocol):
    def connectionLost(self, reason=None):
        stop()


reactor.stop = lambda: say("exit", failing[0])
stdio.StandardIO(UntilTheEnd())
for number in range(count):
    start("w%d" % number)
reactor.run()
