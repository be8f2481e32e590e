"""A mail server for tests on aiosmtpd: keeps every mail with its envelope, logs in, speaks TLS, and misbehaves as a script says.

Usage: smtp_sink.py FOLDER PORT, and FOLDER/options.json with any of
    cert, key: files of its certificate; tls: "none", "starttls", "required", "smtps"; user, password, mechanisms.
FOLDER/script.json, read anew for each command, holds any of
    mail, rcpt, data: an answer instead of accepting, of rcpt {ADDRESS: answer}; of each a list takes one answer per time, "" accepts
    delay: seconds before it answers DATA's end; close_in_data: true cuts the line while the text comes, a number only so often
    pause: "mail", "rcpt", "data", "dot" or "accepted": makes FOLDER/paused and goes on when FOLDER/go is there.
Mails are FOLDER/mails/N.eml with N.json.
"""

import asyncio, json, os, ssl, sys, time
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

folder, port = sys.argv[1], int(sys.argv[2])
with open(os.path.join(folder, "options.json")) as f:
    options = json.load(f)
os.makedirs(os.path.join(folder, "mails"), exist_ok=True)
used = {}
connections = 0
kept = len([f for f in os.listdir(os.path.join(folder, "mails")) if f.endswith(".json")])


def script():
    try:
        with open(os.path.join(folder, "script.json")) as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def told(name, value):
    """The scripted answer of this time, or None."""
    if isinstance(value, list):
        nth = used.get(name, 0)
        used[name] = nth + 1
        value = value[nth] if nth < len(value) else None
    return value or None


def note(line):
    with open(os.path.join(folder, "journal"), "a") as f:
        f.write(line + "\n")


async def pause(point):
    if script().get("pause") != point:
        return
    with open(os.path.join(folder, "paused"), "w") as f:
        f.write(point)
    while not os.path.exists(os.path.join(folder, "go")):
        await asyncio.sleep(0.01)


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        await pause("mail")
        answer = told("mail", script().get("mail"))
        note(f"MAIL {address} {' '.join(options)}")
        if answer:
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        await pause("rcpt")
        answer = told("rcpt " + address, script().get("rcpt", {}).get(address))
        note(f"RCPT {address}")
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        s = script()
        await pause("dot")
        if s.get("delay"):
            await asyncio.sleep(s["delay"])
        answer = told("data", s.get("data"))
        note("DATA " + (answer or "accepted"))
        if answer:
            return answer
        global kept
        kept += 1
        n = kept
        with open(os.path.join(folder, "mails", f"{n}.eml"), "wb") as f:
            f.write(envelope.original_content)
        about = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "options": envelope.mail_options,
                 "tls": server.transport.get_extra_info("ssl_object") is not None, "user": getattr(session, "user", None), "connection": session.number}
        path = os.path.join(folder, "mails", f"{n}.json")
        with open(path + ".new", "w") as f:
            json.dump(about, f)
        os.rename(path + ".new", path)
        await pause("accepted")
        return "250 kept"


class Server(SMTP):
    def connection_made(self, transport):
        global connections
        super().connection_made(transport)
        if not getattr(self.session, "number", None):
            connections += 1
            note("CONNECT")
        self.session.number = connections
        self.session.user = None

    async def smtp_DATA(self, arg):
        s = script()
        cut = s.get("close_in_data")
        if cut and (cut is True or used.get("cut", 0) < cut):
            used["cut"] = used.get("cut", 0) + 1
            note("CUT")
            await self.push("354 go on")
            await self._reader.readline()
            self.transport.abort()
            return
        if s.get("pause") == "data":
            await pause("data")
        await super().smtp_DATA(arg)


def authenticate(server, session, envelope, mechanism, data):
    user, password = data.login.decode(), data.password.decode()
    good = (user, password) == (options["user"], options["password"])
    note(f"AUTH {mechanism} {'good' if good else 'bad'}")
    session.user = user if good else None
    return AuthResult(success=good, handled=False)


async def main():
    tls = options.get("tls", "none")
    context = None
    if tls != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options["cert"], options["key"])
    more = {}
    if "user" in options:
        more = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": tls != "none"}
        if "mechanisms" in options:
            more["auth_exclude_mechanism"] = [m for m in ("PLAIN", "LOGIN") if m not in options["mechanisms"]]
    if tls in ("starttls", "required"):
        more |= {"tls_context": context, "require_starttls": tls == "required"}
    elif tls == "smtps":
        more["auth_require_tls"] = False

    def protocol():
        return Server(Handler(), hostname="sink.test", enable_SMTPUTF8=options.get("utf8", True), data_size_limit=64 << 20, timeout=3600, loop=asyncio.get_running_loop(), **more)

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port, ssl=context if tls == "smtps" else None)
    with open(os.path.join(folder, "ready"), "w"):
        pass
    async with server:
        await server.serve_forever()


asyncio.run(main())
