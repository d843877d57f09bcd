"""Secrets that only their place gives away, in commands: flags, joined flags, pipes, variables before a command."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from tests.corpus.draw import ALNUM, DIGITS, VOCABULARY, Draw
from tests.corpus.marks import Line, Mark, Part, secret

_STEMS: list[str] = VOCABULARY["password_stems"]


def password(d: Draw, symbols: str = "!#*+.-_?%=", accents: bool = False) -> str:
    """As people and generators make them, of letters, digits and these symbols: eight characters or more, never a word alone."""
    form = d.number(0, 4)
    mark = d.pick(symbols) if symbols else ""
    if form == 0:
        return d.pick(_STEMS) + str(d.number(1970, 2026)) + mark
    if form == 1:
        return d.words(3, d.pick("-.") if not symbols or "-" in symbols else "") + d.digits(2)
    if form == 2:
        stem = d.pick(["Grünkohl", "Café", "Łódka", "Señor", "Straße"]) if accents else d.pick(_STEMS)
        return stem + d.digits(3) + mark + d.text(ALNUM, 3)
    if form == 3 and symbols:
        body = [*d.text(ALNUM, d.number(7, 13)), *(d.pick(symbols) for _ in range(d.number(2, 4))), *d.text(DIGITS, 1)]
        d.random.shuffle(body)
        return d.text(ALNUM, 1) + "".join(body) + d.text(ALNUM, 1)
    return d.alnum(d.number(12, 24))


def opaque(d: Draw) -> str:
    """A token without a known prefix."""
    return d.pick([d.alnum, d.hexa, d.urlsafe, d.base64])(d.pick([24, 32, 40, 43, 48]))


def context(text: str, kind: str, decoded: str = "", disguised: bool = False) -> Mark:
    return secret(text, kind, "context", decoded=decoded, disguised=disguised)


def quoted(d: Draw, mark: Mark) -> list[Part]:
    """Between quotes where the shell needs them, else as it pleases."""
    needs = any(c in mark.text for c in "!#*?%&;|<>$ ()~")
    q = d.pick(["'", '"']) if needs and "$" not in mark.text else "'" if needs else d.pick(["", "'", '"'])
    return [q, mark, q] if q else [mark]


def flag(d: Draw) -> Line:
    value = context(password(d) if d.chance(0.6) else opaque(d), "cli_flag")
    tool, name = d.pick(
        [
            ("docker login registry.example.com -u ci", "--password"),
            ("az login --service-principal -u app --tenant corp", "--password"),
            ("helm repo add charts https://charts.example.com --username ci", "--password"),
            ("./deploy.py --env prod --region eu", "--token"),
            ("rclone config create box sftp --user deploy", "--pass"),
            ("influx backup /tmp/b", "--token"),
            ("mongosh --host db1.internal.example.com -u admin", "--password"),
            ("glab auth login --hostname git.example.org", "--token"),
            ("java -jar tool.jar -Dfile.encoding=UTF-8", "--keystore-password"),
            ("npm run publish --", "--auth-token"),
            ("python manage.py createsuperuser --noinput", "--password"),
            ("sonar-scanner -Dproject=web", "-Dsonar.password"),
            ("wget -q https://files.example.com/report.csv --user=bob", "--http-password"),
            ("vault login -method=userpass username=alice", "password"),
            ("aws configure set profile.ci.region eu-west-1 && tool", "--api-key"),
            ("rabbitmqadmin -H mq.internal.example.net -u guest", "--password"),
            ("ldapsearch -x -D cn=admin,dc=example,dc=com", "-w"),
            ("redis-cli -h cache-2.example.net", "-a"),
            ("restic -r s3:backup", "--client-secret"),
        ]
    )
    joint = "=" if name.startswith("-D") or name == "password" else " " if name in ("-w", "-a") else d.pick([" ", " ", "="])
    tail = d.pick(["", " --verbose", " && echo ok", " 2>&1 | tail -3"])
    return [f"{tool} {name}{joint}", *quoted(d, value), tail]


def joined(d: Draw) -> Line:
    """The value stands at the flag without a space."""
    value = context(password(d, "+._-"), "cli_joined")
    before, after = d.pick(
        [
            ("mysql -h db1.internal.example.com -u root -p", " orders -e 'show tables'"),
            ("mysqldump -uapp -p", " --single-transaction orders > /tmp/orders.sql"),
            ("7z x backup.7z -p", " -o/tmp/restore"),
            ("unrar x -p", " report.rar"),
            ("mariadb -uroot -p", ""),
            ("mysqladmin -u root -p", " processlist"),
            ("smbclient //files/share -U alice%", " -c ls"),
            ("openssl pkcs12 -in cert.p12 -nodes -passin pass:", ""),
        ]
    )
    return [before, value, after]


def sshpass(d: Draw) -> Line:
    value = context(password(d), "sshpass")
    host = f"{d.user()}@{d.word()}-{d.number(1, 9)}"
    if d.chance(0.3):
        return ["sshpass -p", value, f" ssh {host} uptime"]
    return ["sshpass -p ", *quoted(d, value), f" {d.pick(['ssh', 'scp -r build/'])} -o StrictHostKeyChecking=no {host}"]


def curl_user(d: Draw) -> Line:
    value = context(password(d), "curl_user")
    user, url = d.user(), f"https://{d.host()}/api/{d.word()}"
    if d.chance(0.6):
        q = d.pick(["'", '"'])
        return [f"curl -s{d.pick(['S', 'SL', 'k'])} {d.pick(['-u', '--user', '-u'])} {q}{user}:", value, f"{q} {url}"]
    return [f"{d.pick(['http -a', 'xh -a', 'curl --proxy-user'])} '{user}:", value, f"' {url}"]


def piped(d: Draw) -> Line:
    value = context(password(d), "piped_password")
    command = d.pick(
        [
            "sudo -S systemctl restart web",
            "sudo -S -k apt-get install -y jq",
            "docker login -u ci --password-stdin",
            "cryptsetup luksOpen /dev/sdb1 data -",
        ]
    )
    if d.chance(0.25) and command.startswith("sudo"):
        return [f"{command} <<< '", value, "'"]
    return [d.pick(["echo ", "echo -n ", "printf '%s\\n' "]), "'", value, f"' | {command}"]


def exported(d: Draw) -> Line:
    """A variable set before a command or exported."""
    name = d.pick(
        [
            "PGPASSWORD",
            "MYSQL_PWD",
            "RESTIC_PASSWORD",
            "ANSIBLE_VAULT_PASSWORD",
            "API_TOKEN",
            "DB_PASS",
            "SECRET_KEY",
            "LDAP_BIND_PW",
        ]
    )
    value = context(password(d) if "TOKEN" not in name and "KEY" not in name else opaque(d), "shell_variable")
    if d.chance(0.5):
        return [d.pick(["export ", "set -x; "]), f"{name}=", *quoted(d, value)]
    return [
        f"{name}=",
        *quoted(d, value),
        d.pick([" psql -h db1.internal.example.com -U app orders", " ./migrate.sh", " docker compose up -d"]),
    ]


def header(d: Draw) -> Line:
    value = context(opaque(d), "bearer_opaque")
    name = d.pick(["Authorization: Bearer ", "Authorization: token ", "authorization: Bearer "])
    q = d.pick(["'", '"'])
    return [f"curl -s -H {q}{name}", value, f"{q} https://{d.host()}/v1/{d.word()}"]


def url_password(d: Draw) -> Line:
    kind = d.number(0, 2)
    if kind == 0:
        plain = password(d, "!*+._-")
        value = context(plain, "url_password")
    elif kind == 1:
        plain = next(p for p in iter(lambda: password(d, "@@+._-"), "") if "@" in p)
        value = context(plain, "url_password_raw")
    else:
        plain = password(d, "@/#:%", accents=d.chance(0.4))
        value = context(quote(plain, safe=""), "url_password_encoded", plain)
    before, after = d.pick(
        [
            ("git clone https://ci:", "@git.example.org/group/app.git"),
            ("curl -O ftp://backup:", "@files.example.com/dump.tgz"),
            ("svn checkout https://reader:", "@svn.example.com/handbook/trunk"),
            ("export HTTPS_PROXY=http://svc:", "@proxy.example.net:3128"),
            ("psql postgresql://app:", "@db1.internal.example.com:5432/orders"),
            ("git remote set-url origin https://oauth2:", "@git.example.com/team/site.git"),
        ]
    )
    return [before, value, after]


MAKERS: dict[str, Callable[[Draw], Line]] = {
    "cli_flag": flag,
    "cli_joined": joined,
    "sshpass": sshpass,
    "curl_user": curl_user,
    "piped_password": piped,
    "shell_variable": exported,
    "bearer_in_command": header,
    "url_password": url_password,
}
