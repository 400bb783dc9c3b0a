"""A small broker over QuickFIX's acceptor: `venue.py SETTINGS.json`.

It keeps orders, executions, positions and cash, on disk before it says anything of them. It is told the market and what
to do wrong on stdin, one line of JSON each, and answers each with `{"did": NUMBER, "books": {...}}`; whatever it hears
or says comes as a line too. Nothing of ours is in it.

    {"bell": "open"}                    the session opens; at-the-open orders end with its first price
    {"price": ["IBM", "161.5"]}         what is reached fills, at most `part` of an order by one price
    {"bell": "close"}                   at-the-close orders fill at the last price, orders for the day expire
    {"wrong": {"cancel": "refused"}}    see `WRONG`
    {"hold": ["IBM", "7"]}              so much more is held, by nobody's order
    {"pay": "-100"}                     so much more cash
    {"enter": ["MSFT", "-5", "90"]}     somebody else's limit order in the account
    {"bust": "E3"}                      an execution did not happen
    {}                                  only the books
"""

import json
import os
import sys
import threading
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import quickfix as fix
from acceptor import Application, begin, fields, message, tell

# What it does when nobody wants it otherwise.
WRONG = {
    # Largest part of an order that one price fills.
    "part": None,
    # Whether each position is told in two reports.
    "lots": False,
    # Whether cash is told with positions.
    "cash": True,
    # Types of messages that are taken and not answered. An order is worked all the same.
    "mute": [],
    # Types of messages that get a business reject, because there is no such type here, or not now.
    "never": [],
    "not now": [],
    # Why orders are refused.
    "refuse": None,
    # "done", "pending" until the next price, "refused".
    "cancel": "done",
    # Commission of each execution.
    "fee": "0",
    # Whether executions are reported; only asking finds them otherwise.
    "reports": True,
}
FILLED, CANCELLED, REPLACED, REJECTED, EXPIRED = "2", "4", "5", "8", "C"


def now():
    return datetime.now(timezone.utc).strftime("%Y%m%d-%H:%M:%S.%f")[:-3]


def plain(number):
    return format(Decimal(number).normalize(), "f")


class Venue(Application):
    def __init__(self, wanted):
        super().__init__(wanted.get("password"))
        self.file = Path(wanted["store"]) / "books.json"
        self.lock, self.session = threading.RLock(), None
        self.wrong = WRONG | wanted.get("wrong", {})
        if self.file.exists():
            self.books = json.loads(self.file.read_text())
        else:
            self.books = {
                "cash": wanted["cash"], "positions": {}, "orders": {}, "executions": [], "prices": {}, "open": False,
                "doubles": 0,
            }

    # The books.

    def keep(self):
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(self.books))
        os.replace(draft, self.file)

    def living(self):
        return [order for order in self.books["orders"].values() if order["status"] in "01"]

    def change(self, symbol, quantity, cash):
        held = self.books["positions"]
        held[symbol] = plain(Decimal(held.get(symbol, "0")) + quantity)
        self.books["cash"] = plain(Decimal(self.books["cash"]) + cash)

    # What is said.

    def say(self, kind, body, groups=()):
        body = [[35, kind]] + [[tag, value] for tag, value in body.items() if value is not None]
        fix.Session.sendToTarget(message(body, groups), self.session)

    def report(self, order, kind, **more):
        filled, size = Decimal(order["filled"]), Decimal(order["quantity"])
        average = Decimal(order["paid"]) / filled if filled else 0
        left = size - filled if order["status"] in "01" else 0
        body = {
            37: order["order_id"], 11: order["name"], 17: more.pop("exec_id", None) or f"R{os.urandom(6).hex()}",
            150: kind, 39: order["status"], 1: order["account"], 55: order["symbol"], 54: order["side"],
            38: order["quantity"], 151: plain(left), 14: order["filled"], 6: f"{average:.8f}", 60: now(),
        }
        self.say("8", body | {int(tag[1:]): value for tag, value in more.items()})

    # The market.

    def fill(self, order, price):
        left = Decimal(order["quantity"]) - Decimal(order["filled"])
        size = min(left, Decimal(self.wrong["part"] or left))
        fee, side = Decimal(self.wrong["fee"]), 1 if order["side"] == "1" else -1
        order["filled"] = plain(Decimal(order["filled"]) + size)
        order["paid"] = plain(Decimal(order["paid"]) + size * Decimal(price))
        order["status"] = FILLED if size == left else "1"
        name = f"E{len(self.books['executions']) + 1}"
        self.books["executions"].append({
            "id": name, "order": order["name"], "symbol": order["symbol"], "quantity": plain(side * size),
            "price": price, "fee": plain(fee),
        })
        self.change(order["symbol"], side * size, -side * size * Decimal(price) - fee)
        self.keep()
        if self.wrong["reports"]:
            self.report(order, "F", exec_id=name, _32=plain(size), _31=price, _12=plain(fee), _13="3")

    def reached(self, order, price):
        if not self.books["open"] or order["force"] == "7":
            return False
        price, buys = Decimal(price), order["side"] == "1"
        if order["stop"] and not order["touched"]:
            order["touched"] = price >= Decimal(order["stop"]) if buys else price <= Decimal(order["stop"])
        if order["stop"] and not order["touched"]:
            return False
        limit = order["limit"]
        return limit is None or (price <= Decimal(limit) if buys else price >= Decimal(limit))

    def end(self, order, status, **more):
        order["status"] = status
        self.keep()
        self.report(order, status, **more)

    def price(self, symbol, price):
        self.books["prices"][symbol] = price
        for order in self.living():
            if order["symbol"] != symbol:
                continue
            if order["cancel"]:
                self.end(order, CANCELLED, _11=order["cancel"], _41=order["name"])
            elif self.reached(order, price):
                self.fill(order, price)
            elif order["force"] == "2" and self.books["open"]:
                self.end(order, EXPIRED, _58="not filled at the open")

    def bell(self, which):
        self.books["open"] = which == "open"
        if which == "open":
            # Yesterday's prices fill nothing.
            self.books["prices"] = {}
            return self.keep()
        for order in self.living():
            if order["force"] == "7" and order["symbol"] in self.books["prices"]:
                self.fill(order, self.books["prices"][order["symbol"]])
            if order["force"] in "07" and order["status"] in "01":
                self.end(order, EXPIRED)
        self.keep()

    # What is heard.

    def fromApp(self, heard, session):
        super().fromApp(heard, session)
        heard = dict(fields(heard))
        take = {
            "D": self.order, "F": self.cancel, "G": self.replace, "H": self.status, "AF": self.all, "AN": self.account,
        }
        with self.lock:
            kind = heard[35]
            if kind in self.wrong["never"]:
                self.say("j", {45: heard[34], 372: kind, 380: "3", 58: f"messages of type {kind} are not taken here"})
            elif kind in self.wrong["not now"]:
                self.say("j", {45: heard[34], 372: kind, 380: "4", 58: "the system is being restarted"})
            elif kind in take:
                take[kind](heard)

    def mute(self, kind):
        return kind in self.wrong["mute"]

    def new(self, asked, number):
        return {
            "name": asked[11], "order_id": f"B{number}", "account": asked.get(1), "symbol": asked[55],
            "side": "1" if asked[54] == "1" else "2", "quantity": asked[38], "limit": asked.get(44),
            "stop": asked.get(99), "force": asked.get(59, "0"), "filled": "0", "paid": "0", "status": "0",
            "cancel": None, "touched": False,
        }

    def order(self, asked):
        if asked[11] in self.books["orders"]:
            self.books["doubles"] += 1
            self.keep()
            double = self.new(asked, "") | {"order_id": "NONE", "status": REJECTED}
            return self.report(double, "8", _103="6", _58="this ClOrdID was used before")
        order = self.new(asked, len(self.books["orders"]) + 1)
        self.books["orders"][order["name"]] = order
        if self.wrong["refuse"]:
            return self.end(order, REJECTED, _103="99", _58=self.wrong["refuse"])
        self.keep()
        if not self.mute("D"):
            self.report(order, "0")
        price = self.books["prices"].get(order["symbol"])
        if price and self.reached(order, price):
            self.fill(order, price)

    def cancel_refused(self, asked, order, kind, reason, text):
        self.say("9", {
            37: order["order_id"] if order else "NONE", 11: asked[11], 41: asked[41],
            39: order["status"] if order else REJECTED, 434: kind, 102: reason, 58: text,
        })

    def cancel(self, asked):
        order = self.books["orders"].get(asked[41])
        if self.mute("F"):
            return
        if order is None:
            return self.cancel_refused(asked, order, "1", "1", "unknown order")
        if order["status"] not in "01":
            return self.cancel_refused(asked, order, "1", "0", "too late to cancel")
        if self.wrong["cancel"] == "refused":
            return self.cancel_refused(asked, order, "1", "2", "not now")
        if self.wrong["cancel"] == "pending":
            order["cancel"] = asked[11]
            self.keep()
            return self.report(order, "6", _39="6", _11=asked[11], _41=order["name"])
        self.end(order, CANCELLED, _11=asked[11], _41=order["name"])

    def replace(self, asked):
        old = self.books["orders"].get(asked[41])
        if old is None or old["status"] not in "01" or asked[11] in self.books["orders"]:
            return self.cancel_refused(asked, old, "2", "0" if old else "1", "it works no longer")
        new = self.new(asked, 0) | {"order_id": old["order_id"], "filled": old["filled"], "paid": old["paid"]}
        new["status"] = "1" if Decimal(new["filled"]) else "0"
        old["status"] = REPLACED
        self.books["orders"][new["name"]] = new
        self.keep()
        self.report(new, "5", _41=old["name"])

    def status(self, asked):
        if self.mute("H"):
            return
        order = self.books["orders"].get(asked[11])
        if order:
            return self.report(order, "I", _790=asked.get(790))
        unknown = self.new(asked | {38: "0"}, "") | {"order_id": "NONE", "status": REJECTED}
        self.report(unknown, "I", _790=asked.get(790), _103="5", _58="unknown order")

    def all(self, asked):
        if self.mute("AF"):
            return
        orders = self.living()
        for at, order in enumerate(orders):
            last = "Y" if at + 1 == len(orders) else "N"
            self.report(order, "I", _584=asked[584], _911=len(orders), _912=last)
        if not orders:
            none = self.new({11: "NONE", 55: "NONE", 54: "1", 38: "0"}, "") | {"order_id": "NONE", "status": REJECTED}
            self.report(none, "I", _584=asked[584], _911="0", _912="Y", _103="5", _58="no order works")

    def account(self, asked):
        if self.mute("AN"):
            return
        held = [(symbol, Decimal(size)) for symbol, size in self.books["positions"].items() if Decimal(size)]
        if self.wrong["lots"]:
            held = [(symbol, lot) for symbol, size in held for lot in (size - 1, Decimal(1))]
        if self.wrong["cash"]:
            held.append(("USD", Decimal(0)))
        head = {710: asked[710], 727: len(held), 728: "0", 1: asked[1], 581: "1"}
        self.say("AO", {721: f"M{asked[710]}", 729: "0", 60: now()} | head | ({} if held else {728: "2"}))
        for at, (symbol, quantity) in enumerate(held):
            side = 704 if quantity >= 0 else 705
            amount = ["CASH", self.books["cash"]] if symbol == "USD" else ["SMTM", "1"]
            groups = [
                [702, 703, [[703, "TQ"], [side, plain(abs(quantity))], [706, "0"]]],
                [753, 707, [[707, amount[0]], [708, amount[1]]]],
            ]
            one = {721: f"M{asked[710]}-{at}", 715: now()[:8], 55: symbol, 730: self.books["prices"].get(symbol, "1")}
            self.say("AP", head | one | {731: "1", 734: "0"}, groups)

    # What it is told.

    def told(self, what):
        match what:
            case {"price": [symbol, price]}:
                self.price(symbol, price)
            case {"bell": which}:
                self.bell(which)
            case {"wrong": how}:
                self.wrong |= how
            case {"hold": [symbol, quantity]}:
                self.change(symbol, Decimal(quantity), 0)
            case {"pay": amount}:
                self.books["cash"] = plain(Decimal(self.books["cash"]) + Decimal(amount))
            case {"enter": [symbol, quantity, limit]}:
                number = len(self.books["orders"]) + 1
                side = "1" if Decimal(quantity) > 0 else "2"
                asked = {11: f"SOMEBODY{number}", 55: symbol, 54: side, 38: plain(abs(Decimal(quantity))), 44: limit}
                order = self.new(asked | {59: "1"}, number)
                self.books["orders"][order["name"]] = order
                self.report(order, "0")
            case {"bust": name}:
                self.bust(name)
        self.keep()

    def bust(self, name):
        [gone] = [one for one in self.books["executions"] if one["id"] == name]
        gone["busted"] = True
        order, size, price = self.books["orders"][gone["order"]], Decimal(gone["quantity"]), Decimal(gone["price"])
        self.change(gone["symbol"], -size, size * price + Decimal(gone["fee"]))
        order["filled"] = plain(Decimal(order["filled"]) - abs(size))
        order["paid"] = plain(Decimal(order["paid"]) - abs(size) * price)
        if order["status"] == FILLED:
            # It is not worked on.
            order["status"] = CANCELLED
        self.keep()
        self.report(order, "H", _19=name, _32=plain(abs(size)), _31=gone["price"])


def main():
    wanted = json.loads(Path(sys.argv[1]).read_text())
    venue = Venue(wanted)
    # It has to know whom it answers before it is asked anything.
    venue.session = fix.SessionID("FIX.4.4", "BROKER", wanted.get("client", "DESK"))
    acceptor, _ = begin(wanted, venue)
    tell(ready=True)
    for number, line in enumerate(sys.stdin, 1):
        with venue.lock:
            venue.told(json.loads(line))
            tell(did=number, books=venue.books)
    acceptor.stop(True)


if __name__ == "__main__":
    main()
