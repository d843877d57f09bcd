"""Personal data that reaches people or machines: e-mail addresses, phone numbers, addresses of networks and cards."""

from __future__ import annotations

from tests.corpus.draw import LOWER, VOCABULARY, Draw
from tests.corpus.marks import Value, secret

NAMES: list[str] = VOCABULARY["people"]
DOMAINS: list[str] = VOCABULARY["mail_domains"]


def email(d: Draw) -> Value:
    local = d.pick(NAMES)
    if d.chance(0.35):
        local += d.pick(["+", ".", ""]) + d.pick(["billing", "test", "news", str(d.number(1, 99))])
    if d.chance(0.1):
        local = d.text(LOWER, 1) + "'" + d.pick(["connor", "brien", "neill"])
    text = f"{local}@{d.pick(DOMAINS)}"
    if d.chance(0.1):
        text = text.title() if d.chance(0.5) else text.upper()
    return Value(secret(text, "email", "personal"), ("email", "user_email", "contact", "reply_to", "mail"), "e-mail")


PHONES: dict[str, tuple[str, ...]] = {
    "gb": (
        "+44 20 7946 0###",
        "020 7946 0###",
        "+447700900###",
        "07700 900###",
        "(020) 7946 0###",
        "+44 (0)20 7946 0###",
        "01632 960###",
    ),
    "us": (
        "+1 212-555-01##",
        "(415) 555-01##",
        "+1 (206) 555-01##",
        "212.555.01##",
        "1-503-555-01##",
        "+131255501##",
        "617-555-01##",
    ),
    "ca": ("+1 416-555-01##", "(604) 555-01##", "+1 514 555 01##", "613-555-01##"),
    "de": (
        "+49 30 23125 ###",
        "030/23125-###",
        "+49 (0)30 23125###",
        "0171 39200##",
        "+4917139200##",
        "0049 40 66969 ###",
        "0221 4710-###",
    ),
    "fr": (
        "+33 1 99 00 ## ##",
        "01 99 00 ## ##",
        "+33199 00####",
        "06 39 98 ## ##",
        "06.39.98.##.##",
        "+33639 98####",
        "+33 (0)6 39 98 ## ##",
    ),
    "au": (
        "+61 491 570 156",
        "0491 570 157",
        "(02) 5550 ####",
        "+61 2 7010 ####",
        "+61491570158",
        "0491 570 110",
        "+61 3 7010 ####",
    ),
    "ie": ("+353 20 91# ####", "020 91# ####", "+3532091#####"),
    "se": ("+46 70-174 06 ##", "070-174 06 ##", "08-465 004 ##", "+46846 5004##", "031-390 06 ##"),
    "es": ("+34 6## ## ## ##", "+34 91# ### ###", "6## ### ###", "91 ### ## ##", "+346########"),
    "it": ("+39 02 #### ####", "+39 3## ### ####", "06 #### ####", "3## #######", "+393########0"),
    "pt": ("+351 91# ### ###", "91# ### ###", "+351 21 ### ## ##", "+35191#######"),
    "pl": ("+48 22 ### ## ##", "+48 5## ### ###", "22 ### ## ##", "5##-###-###", "+485########"),
    "tr": ("+90 5## ### ## ##", "0 5## ### ## ##", "+90 212 ### ## ##", "0212 ### ## ##", "+905#########"),
    "nl": ("+31 6 ## ## ## ##", "06-########", "020 ### ####", "+31 20 ### ####", "+316########"),
    "ch": ("+41 44 ### ## ##", "079 ### ## ##", "+4179#######", "044 ### ## ##", "0041 44 ### ## ##"),
    "at": ("+43 1 #######", "0664 ### ####", "+43 664 #######", "01/#######"),
    "be": ("+32 2 ### ## ##", "0470 ## ## ##", "+3247#######", "02/###.##.##"),
    "br": ("+55 11 9####-####", "(21) 9####-####", "+55 (31) 9####-####", "(11) 3###-####", "+55119########"),
    "jp": ("+81 3-####-####", "03-####-####", "090-####-####", "+81 90 #### ####"),
    "cn": ("+86 13# #### ####", "13#########", "+86 10 #### ####", "138-####-####"),
    "in": ("+91 98### #####", "+9198########", "098### #####", "+91-22-####-####"),
    "dk": ("+45 42 ## ## ##", "+4520######", "20 ## ## ##"),
    "no": ("+47 4## ## ###", "+474#######", "22 ## ## ##"),
}


def phone(d: Draw, country: str = "") -> Value:
    country = country or d.pick(list(PHONES))
    pattern = d.pick(PHONES[country])
    text = "".join(str(d.number(0, 9)) if c == "#" else c for c in pattern)
    return Value(
        secret(text, f"phone_{country}", "personal"),
        ("phone", "phone_number", "mobile", "tel", "contact_phone"),
        "phone",
        text.startswith("+"),
    )


def ipv4(d: Draw) -> Value:
    net = d.pick(["192.0.2", "198.51.100", "203.0.113", "10", "10", "172.16", "192.168", "198.18", "100.64"])
    text = net
    while text.count(".") < 3:
        text += f".{d.number(1, 254)}"
    names = ("client_ip", "remote_addr", "source_ip", "ip", "peer")
    return Value(secret(text, "ipv4", "personal"), names, "IP")


def ipv6(d: Draw) -> Value:
    groups = [d.hexa(d.number(1, 4)).lstrip("0") or "1" for _ in range(6)]
    form = d.number(0, 3)
    if form == 0:
        text = "2001:db8:" + ":".join(groups)
    elif form == 1:
        text = f"2001:db8::{':'.join(groups[:2])}"
    elif form == 2:
        text = f"fe80::{groups[0]}:{d.hexa(2)}ff:fe{d.hexa(2)}:{d.hexa(4)}"
    else:
        text = f"2001:DB8:{d.hexa(4).upper()}:{d.number(1, 99)}::{d.hexa(4).upper()}"
    return Value(secret(text, "ipv6", "personal"), ("client_ip", "remote_addr", "peer", "source_ip"), "IP")


def mac(d: Draw) -> Value:
    pairs = ["02", *(d.hexa(2) for _ in range(5))]
    if not any(c.isalpha() for c in "".join(pairs)):
        pairs[3] = "be"
    joint = d.pick([":", ":", "-"])
    text = joint.join(pairs)
    return Value(
        secret(text.upper() if d.chance(0.3) else text, "mac", "personal"), ("mac", "mac_address", "hwaddr", "ether"), "MAC"
    )
