"""Secrets that only their place gives away, on the web: headers, cookies, forms, links."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote, unquote

from tests.corpus.context_shell import context, opaque, password
from tests.corpus.draw import Draw
from tests.corpus.marks import Line
from tests.corpus.tokens_cloud import azure_sas


def basic(d: Draw) -> Line:
    plain = f"{d.user()}:{password(d, accents=d.chance(0.1))}"
    value = context(base64.b64encode(plain.encode()).decode(), "basic_auth", plain)
    return [d.pick(["Authorization: Basic ", "authorization: Basic ", "Proxy-Authorization: Basic "]), value]


def bearer(d: Draw) -> Line:
    scheme = d.pick(["Bearer", "Bearer", "bearer", "Token", "ApiKey"])
    return [
        f"{d.pick(['Authorization', 'authorization', 'Proxy-Authorization'])}: {scheme} ",
        context(opaque(d), "bearer_opaque"),
    ]


def api_key(d: Draw) -> Line:
    name = d.pick(
        [
            "X-Api-Key",
            "x-api-key",
            "X-Auth-Token",
            "PRIVATE-TOKEN",
            "X-Vault-Token",
            "Ocp-Apim-Subscription-Key",
            "X-Access-Token",
            "apikey",
        ]
    )
    return [f"{name}: ", context(opaque(d), "api_key_header")]


_SESSIONS = (
    "sessionid",
    "JSESSIONID",
    "PHPSESSID",
    "_gitlab_session",
    "connect.sid",
    "auth_token",
    "SID",
    "remember_token",
    ".AspNetCore.Cookies",
)


def _session(d: Draw, name: str) -> str:
    if name == "JSESSIONID":
        return d.text("0123456789ABCDEF", 32)
    if name == "connect.sid":
        return "s%3A" + d.alnum(32) + "." + quote(d.base64(32).rstrip("="), safe="")
    if name == ".AspNetCore.Cookies":
        return "CfDJ8" + d.urlsafe(120)
    return d.pick([d.hexa(32), d.alnum(40), d.base64url(32)])


def cookie(d: Draw) -> Line:
    name = d.pick(_SESSIONS)
    text = _session(d, name)
    before = d.pick(["", "lang=de; ", "theme=dark; _ga=GA1.2.845123377.1712345678; ", "consent=yes; tz=Europe/Berlin; "])
    after = d.pick(["", "; theme=light", "; lang=fr; cart=3"])
    return [f"{d.pick(['Cookie', 'cookie'])}: {before}{name}=", context(text, "cookie", unquote(text)), after]


def set_cookie(d: Draw) -> Line:
    name = d.pick(_SESSIONS)
    text = _session(d, name)
    after = d.pick(["; Path=/; HttpOnly; Secure", "; path=/; SameSite=Lax", "; Max-Age=1209600; Domain=example.com; Secure"])
    return [f"{d.pick(['Set-Cookie', 'set-cookie'])}: {name}=", context(text, "set_cookie", unquote(text)), after]


def form(d: Draw) -> Line:
    plain = password(d, "!@#+ &", accents=d.chance(0.2))
    value = context(quote(plain, safe=""), "form_field", plain)
    name = d.pick(["password", "passwd", "client_secret", "j_password", "pwd"])
    return [
        f"{d.pick(['grant_type=password&', 'remember=1&', ''])}username={d.user()}&{name}=",
        value,
        d.pick(["", "&submit=Login", "&scope=read"]),
    ]


def link(d: Draw) -> Line:
    """A token in the query or behind the # of a link."""
    name = d.pick(
        [
            "token",
            "access_token",
            "api_key",
            "apikey",
            "sig",
            "signature",
            "key",
            "auth",
            "X-Amz-Signature",
            "code",
            "refresh_token",
        ]
    )
    text = d.hexa(64) if name == "X-Amz-Signature" else opaque(d)
    value = context(quote(text, safe=""), "url_token", text)
    if name == "X-Amz-Signature":
        before = f"https://files.example.com/{d.word()}.zip?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=900&{name}="
    elif d.chance(0.3):
        before = f"https://app.example.com/{d.pick(['callback', 'reset', 'join'])}#{d.pick(['state=ok&', ''])}{name}="
    else:
        before = f"https://{d.host()}/{d.word()}?{d.pick(['page=2&', 'format=json&', '', f'{d.word()}=1&'])}{name}="
    return [
        d.pick(["GET ", "open ", "Location: ", "url: ", "Referer: "]),
        before,
        value,
        d.pick(["", "&expires=1790000000", "&lang=en"]),
    ]


def sas(d: Draw) -> Line:
    base = f"https://example{d.word()}.blob.core.windows.net/{d.word()}/{d.word()}.csv"
    query = f"?sv=2023-11-03&ss=b&srt=sco&sp={d.pick(['r', 'rl', 'rwdl'])}&se=2027-01-01T00%3A00%3A00Z&spr=https&sig="
    return [d.pick(["GET ", "azcopy copy ", "url: ", ""]), base + query, azure_sas(d).mark]


MAKERS: dict[str, Callable[[Draw], Line]] = {
    "basic_auth": basic,
    "bearer_opaque": bearer,
    "api_key_header": api_key,
    "cookie": cookie,
    "set_cookie": set_cookie,
    "form_field": form,
    "url_token": link,
    "azure_sas_signature": sas,
}
