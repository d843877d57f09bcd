"""Made-up secrets in the formats of their providers, and harmless look-alikes. Bodies are generated: none was ever valid."""

from __future__ import annotations

import base64
import hashlib
import random
import string
from dataclasses import dataclass

LETTERS = string.ascii_letters + string.digits
URLSAFE = LETTERS + "-_"


def body(length: int, alphabet: str = LETTERS, seed: int = 0) -> str:
    """Random characters, the same in each run."""
    rng = random.Random(f"{length}{alphabet}{seed}")
    return "".join(rng.choice(alphabet) for _ in range(length))


@dataclass(frozen=True)
class Finding:
    """``text`` holds ``secret``, which the detector ``kind`` must remove."""

    kind: str
    text: str
    secret: str


def _same(kind: str, *secrets: str) -> list[Finding]:
    return [Finding(kind, secret, secret) for secret in secrets]


def _within(kind: str, secret: str, *forms: str) -> list[Finding]:
    return [Finding(kind, form.replace("§", secret), secret) for form in forms]


def _key_block(label: str, lines: int = 4, end: str = "\n", prefix: str = "") -> Finding:
    rows = [body(64, LETTERS + "+/", seed) for seed in range(lines)]
    begin, final = f"-----BEGIN {label}-----", f"-----END {label}-----"
    return Finding("private_key", end.join(prefix + row for row in (begin, *rows, final)), "".join(rows))


AWS_SECRET = body(40, LETTERS + "/+")
AZURE = body(86, LETTERS + "+/") + "=="
SAS = body(43, LETTERS) + "%3D"
JWT = ".".join(
    [
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
        base64.urlsafe_b64encode(b'{"sub":"1234567890","iat":1516239022}').decode().rstrip("="),
        body(43, URLSAFE),
    ]
)

FINDINGS: list[Finding] = [
    *(_key_block(label) for label in ("PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK")),
    *(_key_block("EC PRIVATE KEY", end=end) for end in ("\r\n", "\\n", "\\\\n", " ")),
    *(_key_block("PRIVATE KEY", prefix=prefix) for prefix in ("+", "> ", "2026-11-22T10:00:00Z app[1]: ")),
    *_same(
        "jwt", JWT, ".".join([JWT.split(".")[0], body(200, URLSAFE), body(16, URLSAFE), body(300, URLSAFE), body(22, URLSAFE)])
    ),
    *_same(
        "aws_access_key",
        *(prefix + body(16, string.ascii_uppercase + string.digits) for prefix in ("AKIA", "ASIA", "ABIA", "ACCA")),
    ),
    *_same(
        "gitlab_token",
        *(f"gl{kind}-{body(20, URLSAFE)}" for kind in ("pat", "oas", "dt", "rt", "ptt", "ft", "imt", "soat", "ffct")),
    ),
    *_same("gitlab_token", f"glagent-{body(50, URLSAFE)}", f"glcbt-64_{body(20, URLSAFE)}", f"glrt-t1_{body(20, URLSAFE)}"),
    *_same("gitlab_token", f"glpat-{body(27, URLSAFE)}.01.{body(9, string.digits)}", f"glwt-{body(30, URLSAFE)}"),
    *_same("gitlab_registration_token", "GR1348941" + body(20, URLSAFE)),
    *_same("github_token", *(f"gh{kind}_{body(36)}" for kind in "pousr")),
    *_same("github_fine_grained_token", f"github_pat_{body(22)}_{body(59)}"),
    *_same("slack_token", *(f"xox{kind}-{body(12, string.digits)}-{body(13, string.digits)}-{body(24)}" for kind in "bpaers")),
    *_same("slack_token", f"xapp-1-A{body(10)}-{body(13, string.digits)}-{body(64)}", f"xoxe.xoxp-1-{body(146)}"),
    *_within("slack_webhook", f"T{body(8)}/B{body(10)}/{body(24)}", "https://hooks.slack.com/services/§"),
    *_within("slack_webhook", f"T{body(8)}\\/B{body(10)}\\/{body(24)}", "https:\\/\\/hooks.slack.com\\/services\\/§"),
    *_within(
        "gcp_api_key",
        "AIza" + body(35, URLSAFE),
        "§",
        "key=§",
        "https://maps.example.com/js?key=§&v=3",
        "'§'",
    ),
    *_within(
        "aws_secret_key",
        AWS_SECRET,
        "aws_secret_access_key = §",
        "AWS_SECRET_ACCESS_KEY=§",
        "export AWS_SECRET_KEY='§'",
        '{"SecretAccessKey": "§"}',
        '{\\"secretAccessKey\\":\\"§\\"}',
        "secret_key: §",
        ":aws_secret_access_key => '§'",
    ),
    *_within("aws_secret_key", body(200, LETTERS + "/+") + "==", "aws_session_token=§", '"SessionToken": "§"'),
    *_within("azure_key", AZURE, "AccountName=a;AccountKey=§;EndpointSuffix=core.example.com", '"account_key": "§"'),
    *_within("azure_key", body(43, LETTERS + "+/") + "=", "SharedAccessKeyName=root;SharedAccessKey=§"),
    *_within("azure_key", SAS, "https://a.example.com/c?sv=2024-01-01&se=2026&sig=§", "?sig=§&sv=1", "&amp;sig=§"),
    *_within("url_password", "correct-horse-9", "postgres://app:§@db.example.com/orders", "redis://:§@cache:6379/0"),
    *_within(
        "url_password",
        "correct-horse-9",
        "see <https://bob:§@git.example.com/x.git>",
        "https://bob%3A§@git.example.com/x.git",
        "https:\\/\\/bob:§@example.com\\/x",
    ),
    *_within(
        "url_password",
        "p@ss@word-long",
        "amqp://app:§@mq.example.com:5672/v",
        "https://a@example.com:§@host.example.com",
    ),
    *_within("url_password", "p%40ss%2Fword%3A", "mysql://app:§@db/x", "https%3A%2F%2Fbob%3A§%40example.com%2Fx"),
    *_within("url_password", "back\\\\slash-long", "amqp://app:§@mq.example.com"),
    *_within("url_password", "8675309", "ftp://bob:§@files.example.com", "mongodb+srv://bob:§@h.example.com/?w=1"),
    *_within("url_password", "ab#12?cdefgh", "postgres://app:§@db.example.com/orders"),
    *_within(
        "authorization",
        body(40, LETTERS + "._~-"),
        "Authorization: Bearer §",
        "curl -H 'authorization: bearer §' https://api.example.com",
        '{"Authorization": "Bearer §"}',
        '{\\"Authorization\\":\\"Token §\\"}',
        "Proxy-Authorization=Digest §",
    ),
    *_within("bearer_token", body(40, LETTERS + "._~-"), "the call used Bearer § as credential", "bearer §"),
    *_within(
        "header_token", body(30, LETTERS + "_-"), "PRIVATE-TOKEN: §", "x-api-key=§", '{"X-Vault-Token":"§"}', "-H Job-Token:§"
    ),
    *_within("authorization", base64.b64encode(b"alice:correct-horse").decode(), "Authorization: Basic §"),
    *_within("authorization", "YTpi", "authorization: basic §"),
    *_within(
        "email",
        "alice.b+tag@mail.example.com",
        "§",
        "Alice <§>",
        "mailto:§?subject=x",
        "to §: hello",
        "a,§;b",
    ),
    *_within("email", "o'neil@example.co.uk", "from §.", '"§"', "(§)"),
    *_within("email", "bob%40example.com", "https://app.invalid/reset?mail=§"),
]

HARMLESS: list[str] = [
    "commit " + hashlib.sha1(b"x", usedforsecurity=False).hexdigest(),
    "sha256:" + hashlib.sha256(b"x").hexdigest(),
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "data:image/png;base64," + base64.b64encode(random.Random(5).randbytes(6000)).decode(),
    "git clone git@github.com:org/repo.git && git clone gitlab@gitlab.example.com:group/sub/repo",
    "scp build.tar deploy@host.example.com:/srv/www and rsync me@host.example.com:~/x .",
    "ssh://git@gitlab.example.com:2222/group/repo.git https://alice@gitlab.example.com/group/repo.git",
    '{"idempotency_key": "5f1c2d3e4b5a69788796a5b4c3d2e1f0", "cache_key": "users:1:profile", "revision": "' + "ab" * 20 + '"}',
    "lodash@4.17.21 react@18.0.0-rc.next @types/node@^20.1.0 foo@~1.2.3 v1.2.3-beta.4+build.5",
    "registry.example.com/app@sha256:" + "0123456789abcdef" * 4,
    "logo@2x.png icon@3x.webp getty@tty1.service user@1000.service",
    "http://localhost:8080/users/@me http://[::1]:8080/x http://host:8080?mail=a http://host:80,bob",
    "https://example.com/path:with:colons/and@sign ftp://files.example.com:21/pub",
    "@app.route('/x') @media (min-width: 3px) user@host a@b @someone",
    "-----BEGIN CERTIFICATE-----\n" + body(64) + "\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\n" + body(64) + "\n-----END PUBLIC KEY-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + body(43) + " key of the deploy host",
    "Authorization: required; the bearer internationalization; Basic authentication; api-key: missing; private-token: none",
    "page-token: " + body(40),
    "eyJ is how a token begins; glpat- is a prefix, so are ghp_ and xoxb-, AKIA, AIza and github_pat_",
    "arn:aws:iam::123456789012:role/deploy AROAEXAMPLEROLEIDXXX i-0abcd1234efgh5678",
    "account_key_id=42 secret_key_base_rotation=false session_token_ttl: 3600 sig=ok signature=abc",
    '{"log":"listening on http://localhost:8080\\nby bob@host.\\n"}',
    "10.0.0.1 2026-11-22T10:00:00.000Z 4111 1111 1111 1111 +49 30 1234567 C:\\users\\bob\\new",
    '{"a":"\\u00e4\\u2603 \\u0026 \\u003cb\\u003e","re":"\\\\d+\\\\.\\\\d+"}',
    "日本語のテキスト — ничего секретного ✓ 🙂",
    "",
]
