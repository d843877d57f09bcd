"""Passwords and tokens in sentences, in several languages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from auditwire.redaction import shapes
from auditwire.redaction.detector import Detector

_LATIN = (
    "password|passwd|pw|belirtec(?:i|ini)?|belirteç|passwort|kennwort|passphrase|passcode|pass ?word|mot de passe|mdp|contraseña|contrasena|senha|palavra-passe|wachtwoord|hasło|haslo|şifre|sifre|şifresi|parola|parolası"
    "|lösenord|adgangskode|passord|salasana|heslo|jelszó|пароль|login|logins|pwd|credentials?|zugangsdaten|pass|clave|secret|geheimnis|api[- ]?key|api-schlüssel|schlüssel|access key|secret key|token|jeton"
    "|clé(?: d['’]api| api| secrète)?|clave de api|chave(?: de api| da api)?|sleutel|api-sleutel|klucz(?: api)?|anahtar(?:ı)?|chiave(?: api)?|segreto|pin"
)
_COMPOUND = "[a-zäöüß]{2,20}(?:token|passwort|kennwort|schlüssel|wachtwoord|sleutel)"
_CJK = "パスワード|暗証番号|トークン|APIキー|アクセスキー|シークレット|密码|密碼|口令|令牌|密钥|秘钥|访问密钥|비밀번호"
_COPULA = (
    r"(?:\bis\b|\bwas\b|\bare\b|\bnow\b|\bto\b|\bbe\b|\bset to\b|\bit'?s\b|\bist\b|\blautet\b|\bheißt\b|\bjetzt\b|\bwar\b|\bauf\b|\best\b|\bétait\b|\bes\b|\bera\b|\bserá\b|\bsera\b|\bè\b|\bé\b|\bfoi\b|\bjest\b|\bbrzmi\b|\bto\b|\bbyło\b"
    r"|\bnu\b|\bwordt\b|\bolarak\b|\bşu\b|\bşöyle\b|\bär\b|\ber\b|\bon\b|\bje\b|[:=→]|->|=>|は|が|を|是|为|為|：|，|–|—)"
)
_TOKEN = re.compile(r"[^\s\"'`«»„“”‚‘’「」『』《》、。，；：（）()<>]+")
_KEYWORD = re.compile(rf"(?i)(?:(?<![A-Za-z0-9_-])(?:{_COMPOUND}|{_LATIN})(?![A-Za-z0-9_-])|{_CJK})")
_SAID = re.compile(_COPULA, re.IGNORECASE)
_AS = re.compile(r"(?i)(?:\b(?:as|als|comme|como|come|jako|with|mit|use|using|use)\b|は|を|作为|作為|用)")
_STOP = re.compile(r"[.!?](?:\s|\Z)|[\n。！？]")
_QUOTED = re.compile(r"[\"'`«„“‚‘「『](?P<s>[^\s\"'`«»„“”‚‘’「」『』]{4,120})[\"'`»“”‘’」』]")


_NOT_SAID = re.compile(r"[@<>{}]")
_PARAMETER = re.compile(r"[&;]\w+=")


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    other = _PARAMETER.search(text, start, end)
    end = other.start() if other else end
    while end > start and text[end - 1] in ".,;:)]}>":
        end -= 1
    while start < end and text[start] in "([{<":
        start += 1
    return start, end


def _window(text: str, at: int, reach: int) -> int:
    stop = _STOP.search(text, at, at + reach)
    return stop.start() if stop else min(len(text), at + reach)


def _spoken(text: str) -> Iterator[tuple[int, int]]:
    for keyword in _KEYWORD.finditer(text):
        begin = keyword.end()
        if text[max(0, begin - 24) : begin].lower().removesuffix("token").rstrip().endswith(_NO_SECRET_OF):
            continue
        limit = min(len(text), begin + 160)
        line = text.find("\n", begin, limit)
        line = limit if line < 0 else line
        mask = text.find("\ufffc", begin, line)
        line = line if mask < 0 else mask
        found = None
        for sign in _SAID.finditer(text, begin, min(line, begin + 80)):
            between = text[begin : sign.start()]
            if _NOT_SAID.search(between):
                break
            if "." in between and re.search(r"\.\s", between):
                break
            found = _value(text, sign.end(), line)
            if found or sign[0] in (":", "=", "："):
                break
        if found is None and not keyword[0].lower().startswith(_NO_NEIGHBOUR):
            found = _beside(text, begin, line)
        if found is None:
            quoted = _QUOTED.search(text, begin, min(line, begin + 70))
            if quoted and shapes.spoken(quoted["s"]) and not shapes.named_thing(quoted["s"]):
                found = quoted.span("s")
        if found is None:
            found = _before(text, keyword.start())
        if found:
            yield found


_NO_SECRET_OF = tuple(shapes.NO_SECRET_OF)
_NO_NEIGHBOUR = ("login", "credential", "zugang", "pin", "secret")
_GAP = re.compile(r"[ \t]{0,3}(?:\.{2,3}|…|[,:=]|->)?[ \t]{0,3}[\"'`«„“‚‘「『]?")
_ONE_WORD = re.compile(r"[A-Za-z]+[-_]?[0-9]{1,3}|[0-9a-f]{7,12}|[0-9]+[a-z]*")


def _beside(text: str, at: int, line: int) -> tuple[int, int] | None:
    """A value right behind the word."""
    gap = _GAP.match(text, at, line)
    start = gap.end() if gap else at
    token = _TOKEN.match(text, start, min(line, start + 200))
    if token is None or start == at:
        return None
    span = _trimmed(text, *token.span())
    value = text[slice(*span)]
    good = shapes.spoken(value) and not _like_name(value) and not _ONE_WORD.fullmatch(value) and not shapes.digest(value)
    return span if good else None


_FILLER = re.compile(
    r"(?i)\s*(?:(?:now|still|currently|jetzt|nun|désormais|maintenant|ahora|adesso|ora|agora|nu|teraz|artık|set|changed|to|this|just|:|=|the|following|is|as|auf)\s+|[\"'`«»„“”‚‘’「」『』《》（(：:*_\s]+)*"
)


def _value(text: str, at: int, line: int) -> tuple[int, int] | None:
    filler = _FILLER.match(text, at, line)
    start = filler.end() if filler else at
    token = _TOKEN.match(text, start, min(line, start + 200))
    if token is None:
        return None
    span = _trimmed(text, *token.span())
    value = text[slice(*span)]
    quoted = start > at and text[start - 1] in "\"'`«„“‚‘「『"
    if shapes.spoken(value) and (quoted or not _like_name(value)):
        return span
    return None


_ALGORITHM = re.compile(
    r"(?i)(?:sha|md|aes|rsa|hs|rs|es|ps|oauth|pbkdf|bcrypt|argon|ed|utf|http|tls|ipv|base|x)[-_/]?\d+(?:[-_][a-z0-9]+)*|[a-z]+\d?-[a-z-]+|v?\d+(?:\.\d+)*[a-z]?|\d+[a-z]{1,5}|\d+-[a-z]+"
)


def _like_name(value: str) -> bool:
    return _ALGORITHM.fullmatch(value) is not None or re.fullmatch(r"[A-Z]{2,10}-\d+|#\d+|@\w+", value) is not None


def _before(text: str, start: int) -> tuple[int, int] | None:
    """A value in front of the word: "use X as the password"."""
    low = max(0, start - 60)
    before = text[low:start]
    signs = list(_AS.finditer(before))
    if not signs:
        return None
    head = before[: signs[-1].start()].rstrip()
    tokens = list(_TOKEN.finditer(head))
    if not tokens or "\n" in before[tokens[-1].end() :]:
        return None
    span = _trimmed(head, *tokens[-1].span())
    value = head[slice(*span)]
    if shapes.spoken(value) and not shapes.named_thing(value) and not _like_name(value):
        return low + span[0], low + span[1]
    return None


_HINTS = (
    "passw", "kennwort", "passphrase", "passcode", "pass word", "mot de passe", "mdp", "contrase", "senha", "palavra", "wachtwoord", "hasło", "haslo", "ifre", "parola",
    "lösenord", "adgangskode", "passord", "salasana", "heslo", "jelsz", "пароль", "login", "pwd", "credential", "zugangsdaten", "pass", "clave", "secret", "geheim", "key",
    "schlüssel", "token", "jeton", "clé", "chave", "sleutel", "klucz", "anahtar", "chiave", "segreto", "belirte", "pw", *(word.lower() for word in _CJK.split("|")),
)  # fmt: skip

PROSE: tuple[Detector, ...] = (Detector("password", _HINTS, finder=_spoken),)
