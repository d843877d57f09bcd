"""Secrets that only their name gives away: key=value, JSON, YAML, XML, SQL, flags, files of credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator

from auditwire.redaction import shapes
from auditwire.redaction.detector import Detector

_PASSWORD = r"passwords?|passwd|passphrase|passcode|passwort|kennwort|pwd|contrase(?:n|ñ)a|senha|wachtwoord|has(?:l|ł)o|(?:s|ş)ifre|mot_?de_?passe|mdp|pass|pw|psw|pin"
_OTHER = r"secret|token|credentials?|key|auth|sessionid|jsessionid|phpsessid|connect\.sid|bearer|cookie_?value|salt|pepper|otp|totp|seed|mnemonic|signature"
_KEYWORD = re.compile(f"{_PASSWORD}|{_OTHER}")  # of texts in lower case
_JOINTS = ("_", ".", " ", "-")
_KEY_OF = (
    "api",
    "access",
    "secret",
    "auth",
    "private",
    "encryption",
    "encrypt",
    "signing",
    "sign",
    "master",
    "account",
    "acct",
    "shared",
    "service",
    "app",
    "application",
    "license",
    "licence",
    "session",
    "deploy",
    "webhook",
    "hmac",
    "client",
    "consumer",
    "bot",
    "ssh",
    "root",
    "crypt",
    "aes",
    "jwt",
    "admin",
    "server",
    "security",
    "write",
    "read",
    "ingest",
    "integration",
    "subscription",
    "storage",
    "function",
    "functions",
    "host",
    "stream",
    "live",
    "test",
    "prod",
    "merchant",
    "rest",
    "wireguard",
    "wg",
    "preshared",
    "pre-shared",
    "psk",
    "vault",
    "unseal",
    "recovery",
    "backup",
    "fernet",
    "django",
    "flask",
    "rails",
    "database",
    "db",
    "user",
    "dd",
    "registration",
    "authentication",
)
_ASSIGNED = re.compile(
    r"(?i)(?P<after>[A-Za-z0-9_-]{0,40})(?P<close>[\"'`\])]{0,3})(?:\s{0,3}:\s{0,2}(?:&?(?:str|string)|char\s?\*?|Optional\[str\]|SecretStr)(?=\s{0,2}=))?"
    r"[ \t]{0,40}(?P<is>=>|:=|==?|<-|->|:|\|)[ \t]{0,40}(?:(?:[rbfu@]|(?:new\s)?\w{0,20}\()(?=[\"'`]))?(?P<q>[\"'`]?)"
)
_MARKUP = re.compile(r"(?i)(?P<after>[A-Za-z0-9_-]{0,40})(?:\s[^<>]{0,100})?>(?:\s{0,20}<!\[CDATA\[)?\s{0,40}(?P<q>)")
_NAME_VALUE = re.compile(
    r"(?i)(?P<after>[A-Za-z0-9_-]{0,40})[\"'`]?(?:\s{0,4}[,;]?\s{0,40}(?:[0-9]{1,6}\s{1,12}|[-+>|]\s{0,12}){0,2}[\"'`]?(?:\w{0,16}value|content|default)[\"'`]?\s{0,4}[:=]\s{0,4}|[\"'`]\s{0,4},\s{0,20})(?P<q>[\"'`]?)"
)
_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
_BARE = re.compile(r"[^\s\"'`<>]{4,300}")
_NEXT = re.compile(r"[;&,][A-Za-z][\w .-]{0,40}=|\\+[\"'nrt]")
_SUFFIX = re.compile(
    r"(?i)(?:s|[_-]?(?:\d|value|val|text|plain|plaintext|cleartext|raw|string|str|b64|base64|prod|production|staging|stage|stg|dev|development|test|qa|uat|live|old|new|current|previous|primary|secondary"
    r"|main|default|db|database|admin|root|user|app|service|svc|api|web|ci|cd|master|replica|reader|writer|backup|east|west|eu|us|ro|rw|key|token|secret|password|pass|pwd|access|base|header|confirm|confirmation|again|repeat|read|write))*"
)
_NOT_BEFORE = re.compile(
    r"(?i)(?:\A|[_.-]|(?-i:(?<=[a-z])(?=[A-Z])))(?:max|min|num|count|total|has|is|no|show|hide|forgot|forgotten|reset|change|use|using|enable|enabled|disable|require|requires|required|allow|with|without|hashed|encrypted|hash|masked"
    r"|input|output|prompt|completion|page|next|prev|previous|continuation|resume|sync|skip|delta|cancel|cancellation|public|pub|cache|idempotency|partition|primary|foreign|sort|routing|row|object|dedup|lock|eos|bos|pad|unk|sep|cls|mask"
    r"|invalid|missing|wrong|bad|expired|unknown|verify|validate|check|generate|rotate|revoke|create|update|delete|get|set|fetch|load|find|parse|stop|start|etag|per|two|used|usage)[_.-]?\Z"
)
_STRONG = re.compile(rf"(?i)(?:{_PASSWORD}|secret|credentials?)\Z")
_TAG = re.compile(r"<[^<>\s]*\Z")
_SHORT_WORDS = frozenset(
    ("pass", "pw", "pin", "auth", "salt", "seed", "otp", "signature", "psw", "mdp", "bearer", "pepper", "authorization")
)
_WEAK = frozenset(("signature", "salt", "seed", "auth", "pepper", "authorization", "bearer"))


def _kind_of(word: str) -> bool:
    return _STRONG.match(word) is not None


def _value(text: str, at: int, quote: str) -> tuple[int, int] | None:
    """The value that begins here."""
    if quote:
        stop = text.find(quote, at, at + 500)
        line = text.find("\n", at, at + 500)
        if stop < 0 or (0 <= line < stop):
            return None
        return at, stop
    match = _BARE.match(text, at)
    if match is None:
        return None
    other = _NEXT.search(match[0])
    value = match[0][: other.start()] if other else match[0].rstrip(",;&|)]}")
    return at, at + len(value)


def _accepted(value: str, word: str, quoted: bool) -> bool:
    if not value or " " in value.strip() or value.startswith(("[REDACTED", "{", "[")):
        return False
    low = word.lower()
    if low == "pin":
        return value.isdecimal() and 4 <= len(value) <= 8
    if _kind_of(word):
        return shapes.password(value) and value.lower() != low
    if low in _WEAK:
        return shapes.random(value, 16) and not shapes.digest(value)
    return shapes.random(value, 8) and not (shapes.UUID.fullmatch(value) and low == "auth")


_CODE = re.compile(
    r"[A-Za-z_$]+(?:(?:\.|->|::)[A-Za-z_$]+)+|[A-Za-z_$][\w$.]*[(\[{].*|[a-z]+(?:[A-Z][a-z]+)+[;,]?|.*[({]\Z|.*(?:[)}\]][;,.)}\]]|=>|&&|\|\|)|.*[;,][A-Za-z]\w*[.(]|![01][,}].*"
)


def _lower(text: str) -> str:
    """In lower case, every character where it was."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _named(text: str) -> Iterator[tuple[int, int]]:
    at, lower = 0, _lower(text)
    while match := _KEYWORD.search(lower, at):
        start, at = match.span()
        low, word = match[0], text[start:at]
        near = text[max(0, start - 60) : start]
        prefix = near[len(near.rstrip(_NAME_CHARACTERS)) :]
        if low == "key" and not (near[:-1] if near[-1:] in _JOINTS else near).lower().endswith(_KEY_OF):
            continue
        if low in _SHORT_WORDS and prefix and prefix[-1].isalpha() and not (prefix[-1].islower() and word[0].isupper()):
            continue
        for form in (_ASSIGNED, _MARKUP, _NAME_VALUE):
            sign = form.match(text, at)
            if sign is None or (form is _MARKUP and not _TAG.search(near)):
                continue
            after = sign["after"]
            if low == "auth" and after.lower() not in ("", "s") and after[0] not in "_-":
                continue
            if not _SUFFIX.fullmatch(after) or _NOT_BEFORE.search(prefix):
                continue
            place = sign.end()
            found = _value(text, place, sign["q"])
            if form is _ASSIGNED and found is None and sign["q"] == "" and text[place : place + 1] in "\r\n":
                continue
            if found is None:
                continue
            value = text[slice(*found)]
            if form is _ASSIGNED and sign["is"] in ("==", "|") and not sign["q"] and sign["is"] == "==":
                continue
            if not sign["q"] and form is not _MARKUP and _CODE.fullmatch(value):
                continue
            if _accepted(value, word, bool(sign["q"])):
                yield found
                at = max(at, found[1])
                break


# Flags and commands -------------------------------------------------------------------------------------------------------

_FLAG = re.compile(
    r"(?i)(?<![A-Za-z0-9_])--?(?P<name>(?:[a-z0-9]{1,20}[-_]){0,4}(?:password|passwd|passphrase|pass|pwd|pw|secret|token|api-?key|apikey|access-?key|secret-?key|auth-?key|private-?token|credentials?|storepass|keypass|key-?password|with-token|authkey|bearer))"
    r"(?:[ \t]{1,4}|=|:)(?P<q>[\"']?)(?P<s>[^\s\"'`]{4,300})"
)
_NOT_FLAG = re.compile(r"(?i)(?:no|ask|prompt|use|show|with|without|generate|reset|change|max|min|page|next|public|hashed)[-_]")


def _flag(match: re.Match[str]) -> bool:
    value = match["s"].rstrip(",;)")
    if _NOT_FLAG.match(match["name"]) or value.startswith("-"):
        return False
    strong = re.search(r"(?i)pass|pwd|pw$|secret$|credential", match["name"])
    return shapes.password(value) if strong else shapes.random(value, 8)


_Q = r"[\"']?"
_S = r"(?P<s>[^\s\"'`|;&]{4,200})"
_TOOLS: tuple[tuple[str, str], ...] = (
    (
        "mysql mariadb xtrabackup mycli",
        rf"\b(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump|mysqlimport|mysqlsh|xtrabackup|mycli)\b[^\n|;]{{0,200}}?\s-p{_Q}(?P<s>[^\s\"'`|;&-][^\s\"'`|;&]{{3,200}})",
    ),
    ("7z rar", rf"\b(?:7z|7za|7zz|rar|unrar)\b[^\n|;]{{0,200}}?\s-(?:p|hp){_Q}{_S}"),
    ("sshpass", rf"\bsshpass\s{{1,4}}-p\s{{0,4}}{_Q}{_S}"),
    ("redis-cli valkey-cli", rf"\b(?:redis-cli|valkey-cli)\b[^\n|;]{{0,200}}?\s-a\s{{1,4}}{_Q}{_S}"),
    ("zip sqlcmd bcp ipmitool", rf"\b(?:zip|unzip|sqlcmd|bcp|ipmitool)\b[^\n|;]{{0,200}}?\s-P\s{{0,4}}{_Q}{_S}"),
    (
        "ldap",
        rf"\b(?:ldapsearch|ldapadd|ldapmodify|ldapwhoami|ldapdelete|ldappasswd)\b[^\n|;]{{0,200}}?\s-(?:w|s)\s{{0,4}}{_Q}{_S}",
    ),
    (
        "docker podman buildah skopeo helm az oc nerdctl crane oras mongo cf argocd influx cqlsh ibmcloud mosquitto_pub clickhouse-client rclone htpasswd snmpwalk wget vault doctl gh glab kafkacat kcat twine xfreerdp net aria2c expect fly registry sonar-scanner impacket crackmapexec nxc evil-winrm rdesktop",
        rf"\b(?:docker|podman|buildah|skopeo|helm|az|oc|nerdctl|crane|oras|mongo|mongosh|mongodump|mongorestore|cf|argocd|influx|cqlsh|ibmcloud|mosquitto_pub|clickhouse-client|rclone|htpasswd|snmpwalk|wget|vault|doctl|gh|glab|kafkacat|kcat|twine|xfreerdp|net|aria2c|expect|fly|registry|sonar-scanner|impacket|crackmapexec|nxc|evil-winrm|rdesktop)\b[^\n|;]{{0,200}}?\s-(?:p|P)[ =]{{0,4}}{_Q}{_S}",
    ),
    (
        "curl",
        rf"\bcurl\b[^\n]{{0,400}}?\s(?:-u|--user|--proxy-user|-U)[ =]{{0,4}}{_Q}[^\s:\"'`]{{0,100}}:(?P<s>[^\s\"'`|&]{{4,200}})",
    ),
    (
        "http xh",
        rf"\b(?:http|https|xh|httpie)\b[^\n]{{0,300}}?\s(?:-a|--auth)[ =]{{1,4}}{_Q}[^\s:\"'`]{{0,100}}:(?P<s>[^\s\"'`|&]{{4,200}})",
    ),
    (
        "smbclient mount.cifs rpcclient smbmap net",
        rf"\b(?:smbclient|mount\.cifs|rpcclient|smbmap|net)\b[^\n]{{0,300}}?\s-U\s{{0,4}}{_Q}[^\s%\"'`]{{1,100}}%(?P<s>[^\s\"'`|&]{{4,200}})",
    ),
    ("lftp ncftp ftp", rf"\b(?:lftp|ncftp|ftp)\b[^\n]{{0,300}}?\s-u\s{{0,4}}{_Q}[^\s,\"'`]{{1,100}},(?P<s>[^\s\"'`|&]{{4,200}})"),
    ("sqlplus", r"\bsqlplus\b[^\n]{0,60}?\s[\"']?[A-Za-z0-9_]{1,40}/(?P<s>[^\s\"'`@|&]{4,200})@"),
    ("jdbc:oracle oracle:", r"(?:jdbc:oracle:thin:|oracle://?)[A-Za-z0-9_$-]{1,60}/(?P<s>[^\s\"'`@/]{4,200})@"),
    ("openssl", rf"\bopenssl\b[^\n]{{0,300}}?(?:pass:|\s-k\s{{1,4}}){_Q}{_S}"),
    ("ssh-keygen", rf"\bssh-keygen\b[^\n]{{0,300}}?\s-(?:N|P)\s{{0,4}}{_Q}{_S}"),
    ("useradd usermod", rf"\b(?:useradd|usermod)\b[^\n]{{0,200}}?\s-p\s{{0,4}}{_Q}{_S}"),
    ("rabbitmqctl", rf"\brabbitmqctl\s{{1,4}}(?:add_user|change_password)\s{{1,4}}[^\s]{{1,80}}\s{{1,4}}{_Q}{_S}"),
    ("vault", rf"\bvault\s{{1,4}}login\s{{1,4}}(?:-\S{{1,40}}\s{{1,4}}){{0,3}}{_Q}(?:token=)?{_S}"),
    (
        "echo printf",
        r"\b(?:echo|printf)\s{1,4}(?:-n\s{1,4}|-e\s{1,4}|[\"']?%s(?:\\n|\n)?[\"']?\s{1,4}){0,3}(?P<q>[\"']?)(?P<s>[^\s\"'`|]{4,200}?)(?:\\n|\n)?(?P=q)\s{0,4}\|\s{0,4}[^\n]{0,80}?(?:sudo\s[^\n]{0,40}?(?:-S|--stdin)|--password-stdin|--passphrase-fd|--with-token|passwd\b|cryptsetup|kinit|gpg\b|su\s|chpasswd|login\b|openssl|smbpasswd|secret\s{1,4}create)",
    ),
    (
        "chpasswd",
        r"\b(?:echo|printf)\s{1,4}(?:-n\s{1,4}|-e\s{1,4}){0,3}[\"']?[^\s:\"'`|]{1,60}:(?P<s>[^\s\"'`|]{4,200})[\"']?\s{0,4}\|\s{0,4}(?:sudo\s{1,4})?chpasswd",
    ),
    (
        "<<<",
        rf"(?:sudo\s[^\n]{{0,40}}?(?:-S|--stdin)|--password-stdin|--passphrase-fd\s{{1,2}}0|kinit|cryptsetup)\b[^\n]{{0,120}}?<<<\s{{0,4}}{_Q}{_S}",
    ),
    ("spawn", rf"\bspawn\b[^\n]{{0,200}}\n?.{{0,200}}\bsend\s{{1,4}}[\"']{_S}(?:\\r|\\n)"),
)


def _given(match: re.Match[str]) -> bool:
    value = match["s"]
    return not (shapes.placeholder(value) or shapes.reference(value) or (value.isdecimal() and len(value) < 6)) and not (
        shapes.words(value) or value.startswith(("$", "-")) or re.fullmatch(r"[0-9.]+:[0-9]+(?::[0-9]+)?(?:/\w+)?", value)
    )


# Files of credentials and SQL ---------------------------------------------------------------------------------------------

_SQL = (
    r"(?i)\b(?:identified\s{1,4}(?:with\s{1,4}[\w']{1,40}\s{1,4})?by|(?:encrypted\s{1,4}|unencrypted\s{1,4})?password|set\s{1,4}password(?:\s{1,4}for\s{1,4}\S{1,80})?\s{0,4}=|password\s{0,4}=\s{0,4}password|crypt|pgp_sym_(?:en|de)crypt|aes_(?:en|de)crypt\s{0,4}\([^\n]{1,80}?,)"
    r"\s{0,4}\(?\s{0,4}(?:password\s{0,4}\()?(?P<q>['\"])(?P<s>[^'\"\n]{4,200})(?P=q)"
)
_INSERT = re.compile(
    r"(?i)(?<![A-Za-z0-9_])(?:insert\s{1,4}into|replace\s{1,4}into)\s{1,4}[^\s(]{1,80}\s{0,4}\((?P<columns>[^()]{1,500})\)\s{0,4}values\s{0,4}\((?P<values>[^()]{1,1500})(?:\)|\Z)"
)
_CELL = re.compile(r"\s*(?:'((?:[^']|'')*)'|\"([^\"]*)\"|([^,]*))\s*(?:,|\Z)")
_SECRET_COLUMN = re.compile(
    r"(?i)\A[\s\"'`\[]*(?:\w*_)?(?:password|passwd|pwd|passphrase|secret|token|api_?key|access_key|private_key|credential)s?(?:_value)?[\s\"'`\]]*\Z"
)


def _inserted(text: str) -> Iterator[tuple[int, int]]:
    for match in _INSERT.finditer(text):
        columns = match["columns"].split(",")
        wanted = {number for number, column in enumerate(columns) if _SECRET_COLUMN.match(column)}
        if not wanted:
            continue
        for number, cell in enumerate(_CELL.finditer(match["values"])):
            group = next((g for g in (1, 2, 3) if cell[g] is not None), 0)
            if number in wanted and group and shapes.password(cell[group]):
                start = match.start("values")
                yield start + cell.start(group), start + cell.end(group)


_NETRC = r"(?i)\blogin\s{1,40}\S{1,100}\s{1,40}(?:[0-9]{1,6}\s{1,8}|[-+>|]\s{0,8}){0,2}password\s{1,40}[\"']?(?P<s>[^\s\"'#][^\s\"']{2,200})|\bpassword\s{1,40}(?P<t>[^\s\"']{4,200})\s{1,40}login\b"
_PGPASS = r"(?m)(?:^|[\s\"'+>|(,;\x80-\U0010ffff])(?!https?:)(?:[A-Za-z0-9*][A-Za-z0-9_.*-]{0,100}|\*|\[[0-9a-fA-F:]+\]):(?:[0-9]{2,5}|\*):(?:[A-Za-z0-9_-]{1,64}|\*):(?:[A-Za-z0-9_.@-]{1,64}|\*):(?P<s>(?:\\:|[^\s:\"'\\),]){4,100})(?=\s|$|[\"'),])"


def _filed(match: re.Match[str]) -> bool:
    return shapes.password(match["s"] or "")


_NAMES = [
    "pass",
    "pwd",
    "pw",
    "secret",
    "token",
    "credential",
    "key",
    "kennwort",
    "contrase",
    "senha",
    "wachtwoord",
    "hasl",
    "ifre",
    "mdp",
    "sessionid",
    "phpsessid",
    "connect.sid",
    "bearer",
    "salt",
    "pepper",
    "otp",
    "seed",
    "mnemonic",
    "signature",
    "pin",
    "psw",
    "mot_de_passe",
    "motdepasse",
    "cookie",
]

_COMMAND = r"(?:\s|\\[nrt])--?[A-Za-z]|sudo|chpasswd|rabbitmqctl|vault login|sqlplus|spawn|<<<|oracle:"
_ALL_NAMES = "|".join(re.escape(name) for name in _NAMES)
_END = r"(?:[^A-Za-z0-9_\s-]|\s+[^A-Za-z0-9_\s(]|[ \t\r]*\n)"
_ROUGH_NAMED = rf"(?i:{_ALL_NAMES})[A-Za-z0-9_-]*{_END}|(?i:auth)s?(?:[_-][A-Za-z0-9_-]*)?{_END}|<[^<>\s]*(?i:{_ALL_NAMES}|auth)"

NAMED: tuple[Detector, ...] = (
    Detector("password", ("password", "passwd", "identified", "crypt"), _SQL, check=_filed),
    Detector("password", ("insert", "replace"), finder=_inserted),
    Detector("password", ("login",), _NETRC, check=_filed),
    Detector("password", (), _PGPASS, check=_filed, rough=r":(?:[0-9]{2,5}|[*]):[A-Za-z0-9_*-]"),
    Detector(
        "password",
        ("-pass", "-pw", "-secret", "-token", "-key", "-api", "-auth", "-cred", "-access", "-store", "-priv", "-bearer", "-with"),
        _FLAG.pattern,
        check=_flag,
    ),
    *(Detector("password", tuple(names.split()), pattern, check=_given, rough=_COMMAND) for names, pattern in _TOOLS),
    Detector("secret", (*_NAMES, "auth"), finder=_named, rough=_ROUGH_NAMED),
)
