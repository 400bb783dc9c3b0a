"""A QuickFIX acceptor on a pipe: `acceptor.py SETTINGS.json`.

Prints what it hears as JSON lines; sends what it is told to on stdin: `{"send": [[35, "8"], ...], "groups": [...]}`.
QuickFIX holds the session and judges every message by its own dictionary; nothing of it is ours but this pipe.
"""

import json
import sys
import threading
from pathlib import Path

import quickfix as fix

SOH = "\x01"
LOCK = threading.Lock()


def tell(**what):
    # QuickFIX calls from several threads.
    with LOCK:
        print(json.dumps(what), flush=True)


def fields(message):
    return [[int(tag), value] for tag, value in (one.split("=", 1) for one in message.toString().split(SOH) if one)]


class Application(fix.Application):
    def __init__(self, password):
        super().__init__()
        self.password = password

    def onCreate(self, session):
        pass

    def onLogon(self, session):
        tell(up=True)

    def onLogout(self, session):
        tell(down=True)

    def toAdmin(self, message, session):
        tell(says=fields(message))

    def fromAdmin(self, message, session):
        heard = dict(fields(message))
        tell(admin=fields(message))
        if heard[35] == "A" and self.password and heard.get(554) != self.password:
            raise fix.RejectLogon("the password is wrong")

    def toApp(self, message, session):
        tell(says=fields(message))

    def fromApp(self, message, session):
        tell(heard=fields(message))


def message(body, groups):
    made = fix.Message()
    for tag, value in body:
        (made.getHeader() if tag in (35, 43, 97) else made).setField(fix.StringField(tag, str(value)))
    for count, first, content in groups:
        group = fix.Group(count, first)
        for tag, value in content:
            group.setField(fix.StringField(tag, str(value)))
        made.addGroup(group)
    return made


def begin(wanted, application):
    """An acceptor that listens, and the name of its one session."""
    lines = [
        "[DEFAULT]", "ConnectionType=acceptor", "StartTime=00:00:00", "EndTime=00:00:00", "NonStopSession=Y",
        f"SocketAcceptPort={wanted['port']}", "SocketAcceptHost=127.0.0.1", "SocketReuseAddress=Y",
        f"FileStorePath={wanted['store']}", "UseDataDictionary=Y", f"DataDictionary={Path(__file__).with_name('FIX44.xml')}",
        "ResetOnLogon=N", "ResetOnLogout=N", "ResetOnDisconnect=N",
    ]
    if wanted.get("certificate"):
        lines += [
            f"ServerCertificateFile={wanted['certificate']}", f"ServerCertificateKeyFile={wanted['key']}",
            "CertificateVerifyLevel=0",
        ]
    lines += ["[SESSION]", "BeginString=FIX.4.4", "SenderCompID=BROKER", f"TargetCompID={wanted.get('client', 'DESK')}"]
    Path(wanted["store"]).mkdir(parents=True, exist_ok=True)
    file = Path(wanted["store"]) / "settings.cfg"
    file.write_text("\n".join(lines) + "\n")
    settings = fix.SessionSettings(str(file))
    store = fix.FileStoreFactory(settings)
    kind = fix.SSLSocketAcceptor if wanted.get("certificate") else fix.SocketAcceptor
    acceptor = kind(application, store, settings)
    acceptor.start()
    # What they are made of must live as long as they do.
    acceptor.parts = settings, store
    return acceptor, fix.SessionID("FIX.4.4", "BROKER", wanted.get("client", "DESK"))


def main():
    wanted = json.loads(Path(sys.argv[1]).read_text())
    application = Application(wanted.get("password"))
    acceptor, session = begin(wanted, application)
    tell(ready=True)
    for line in sys.stdin:
        command = json.loads(line)
        fix.Session.sendToTarget(message(command["send"], command.get("groups", [])), session)
    acceptor.stop(True)


if __name__ == "__main__":
    main()
