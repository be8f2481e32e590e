import json
import os

from buildbot_worker.bot import Worker
from twisted.application import service
from twisted.python.log import FileLogObserver, ILogObserver
from twisted.python.logfile import LogFile

basedir = os.path.abspath(os.path.dirname(__file__))
with open(os.path.join(basedir, "worker.json"), encoding="utf-8") as file:
    told = json.load(file)

application = service.Application('buildbot-worker')
log = LogFile.fromFullPath(os.path.join(basedir, "twistd.log"), rotateLength=10000000, maxRotatedFiles=5)
application.setComponent(ILogObserver, FileLogObserver(log).emit)
Worker(
    told["host"], told["port"], told["name"], told["password"], basedir, 60,
    umask=0o022, maxdelay=10, allow_shutdown="file",
).setServiceParent(application)
