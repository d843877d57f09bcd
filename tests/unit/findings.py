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

HEX, UPPER = "0123456789abcdef", string.ascii_uppercase + string.digits


def _tokens() -> list[Finding]:
    """One or more of each kind of token in its full length: a letter stands for its alphabet, a number for how many."""
    alphabets = {
        "a": LETTERS,
        "w": URLSAFE,
        "h": HEX,
        "u": UPPER,
        "d": string.digits,
        "l": string.ascii_lowercase + string.digits,
        "b": LETTERS + "+/",
    }
    found = []
    for line in FORMS.strip().splitlines():
        kind, *forms = line.split()
        for form in forms:
            parts = [part if n % 2 == 0 else body(int(part[1:]), alphabets[part[0]], n) for n, part in enumerate(form.split("~"))]
            found += _same(kind, "".join(parts))
    return found


FORMS = """
aws_access_key ABSK~b128~
gcp_oauth ya29.~w120~ GOCSPX-~w28~ 1//0~w60~
alibaba_key LTAI~a20~
tencent_key AKID~a32~
yandex_key AQVN~w36~ y0_~w55~
digitalocean_token dop_v1_~h64~ doo_v1_~h64~
heroku_key HRKU-~w60~
cloudflare_token cfut_~a40~ v1.0-~h24~-~h146~
fly_token fo1_~w43~
netlify_token nfp_~a36~
vercel_token vcp_~w40~
render_key rnd_~a32~
supabase_token sbp_~h40~ sb_secret_~w31~
planetscale_token pscale_tkn_~w43~ pscale_pw_~w43~
databricks_token dapi~h32~ dapi~h32~-2
doppler_token dp.pt.~a43~ dp.st.prod.~a43~
pulumi_token pul-~h40~
terraform_token ~a14~.atlasv1.~w67~
vault_token hvs.~w90~ hvb.~w120~ s.~a24~
tailscale_key tskey-auth-~a16~-~a32~
age_secret_key AGE-SECRET-KEY-1~u58~
onepassword_token ops_eyJ~b200~
npm_token npm_~a36~
pypi_token pypi-AgEIcHlwaS5vcmc~w150~
rubygems_token rubygems_~h48~
crates_token cio~a32~
nuget_key oy2~l43~
packagist_token packagist_ort_~h50~
docker_token dckr_pat_~w27~ dckr_oat_~w32~
artifactory_token AKCp~a69~ cmVmdGtu~a56~
atlassian_token ATATT3~w180~=1A2B3C4D ATBB~a32~
buildkite_token bkua_~h40~
circleci_token CCIPAT_~a22~_~h40~
sonar_token squ_~h40~ sqp_~h40~
sourcegraph_token sgp_~h40~
postman_key PMAK-~h24~-~h34~
anthropic_key sk-ant-api03-~w93~AA sk-ant-admin01-~w93~AA
openai_key sk-proj-~w74~T3BlbkFJ~w74~ sk-~a48~ sk-svcacct-~w60~
model_provider_key gsk_~a52~ xai-~a80~ pplx-~a48~ sk-or-v1-~h64~ nvapi-~w64~ lsv2_pt_~h32~_~h10~ sk-~h32~ tvly-~a32~ pcsk_~a60~
replicate_token r8_~a37~
huggingface_token hf_~a34~
stripe_key sk_live_~a24~ sk_test_~a99~ rk_live_~a24~ whsec_~a32~
square_token EAAA~w60~ sq0atp-~w22~ sq0csp-~w43~
shopify_token shpat_~h32~ shpss_~h32~
twilio_key SK~h32~
sendgrid_key SG.~w22~.~w43~
mailgun_key key-~h32~ ~h32~-~h8~-~h8~
mailchimp_key ~h32~-us12
brevo_key xkeysib-~h64~-~a16~
resend_key re_~a8~_~a24~
telegram_token ~d10~:AA~w33~
discord_token M~w25~.~w6~.~w38~
airtable_token pat~a14~.~h64~
asana_token 1/~d16~:~h32~
contentful_token CFPAT-~w43~
datadog_key ddapp_~a34~
dynatrace_token dt0c01.~u24~.~u64~
figma_token figd_~w40~
grafana_token glsa_~a32~_~h8~ glc_~b80~
linear_key lin_api_~a40~
new_relic_key NRAK-~u27~ ~h36~FFFFNRAL
notion_token ntn_~a46~ secret_~a43~
sentry_token sntryu_~h64~ sntrys_~b120~
typeform_token tfp_~w44~
prefect_key pnu_~a36~
dropbox_token sl.~w130~
facebook_token EAAB~a150~
trello_token ATTA~h64~
aws_access_key bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t~b120~
onepassword_token A3-~u6~-~u6~-~u5~-~u5~-~u5~-~u5~ A3-~u6~-~u11~-~u5~-~u5~-~u5~
octopus_key API-~u26~ API-~u31~
harness_token pat.~w22~.~h24~.~a20~ sat.~w22~.~h24~.~a20~
platform_token dnkey-~u26~-~u52~ ico-~a32~ tk-us-~w48~ sm_pat_~a16~ sm_aat_~a16~ sm_sat_~a16~
clojars_token CLOJARS_~h60~
commerce_key EZAK~a54~ EZTK~a54~ FLWSECK_TEST-~h12~ FLWSECK_TEST-~h32~-X FLWSECK-~h32~-X FLWSECK-~h32~-~l11~vt-X
commerce_key access-sandbox-~h8~-~h4~-~h4~-~h4~-~h12~ access-development-~h8~-~h4~-~h4~-~h4~-~h12~
commerce_key access-production-~h8~-~h4~-~h4~-~h4~-~h12~
commerce_key shippo_live_~h40~ shippo_test_~h40~ duffel_live_~w43~ duffel_test_~w43~
gocardless_token live_~w40~
service_token aio_~a28~ fio-u-~w64~ p8e-~w32~ rdme_~l70~ ~a6~_~a29~_mmk sk.eyJ~w80~.~w22~ sc_~a24~.~l4~.acc_~l20~.~w86~
"""

FINDINGS: list[Finding] = [
    *_tokens(),
    *_same("azure_client_secret", f"{body(3)}8Q~{body(34, LETTERS)}"),
    *_same("platform_token", "sha256~" + body(43, URLSAFE)),
    *_within(
        "cookie",
        body(32, HEX),
        "_gitlab_session=§",
        "curl -s --data x https://a.example.com # _gitlab_session: §",
        '"_gitlab_session":"§"',
    ),
    *_within("okta_token", "00" + body(40, URLSAFE), "SSWS §"),
    *_within("discord_webhook", body(68, URLSAFE), "https://discord.com/api/webhooks/123456789012345678/§"),
    *_within("teams_webhook", f"{body(36, URLSAFE)}@{body(36, URLSAFE)}", "https://acme.webhook.office.com/webhookb2/§"),
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
    *_within("cookie", body(32), "Cookie: theme=dark; sessionid=§; lang=en", "Set-Cookie: JSESSIONID=§; Path=/; HttpOnly"),
    *_within(
        "url_token",
        body(64, HEX),
        "https://b.example.com/o?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=900&X-Amz-Signature=§",
        "https://b.example.com/o?x-oss-signature=§&x-oss-expires=900",
        "X-Amz-Signature: §",
    ),
    *_within("url_token", body(512, HEX), '{"X-Goog-Signature": "§"}'),
    *_within(
        "secret",
        "/" + body(85, LETTERS + "+/", 1) + "==",
        "export AZURE_STORAGE_KEY=§",
    ),
    *_within("secret", "/" + body(42, LETTERS + "+/", 1) + "=", "signing_key: §", '{"clientSecret": "§"}'),
    *_within("slack_webhook", f"T{body(8)}%2FB{body(10)}%2F{body(24)}", "to https%3A%2F%2Fhooks.slack.com%2Fservices%2F§ now"),
    *_within("discord_webhook", body(68, URLSAFE), "url=https%3A%2F%2Fdiscord.com%2Fapi%2Fwebhooks%2F123456789012345678%2F§"),
    *_within(
        "teams_webhook",
        f"{body(36, URLSAFE)}%40{body(36, URLSAFE)}",
        "https%3A%2F%2Facme.webhook.office.com%2Fwebhookb2%2F§",
    ),
    *_within("secret", "/" + body(10) + "/" + body(28, seed=2), "CLIENT_SECRET=§", '"password": "§"'),
    *_within("header_token", "/" + body(42, LETTERS + "+/", 2) + "=", "X-Access-Token: §"),
    *_within("url_token", body(24), "https://example.com/cb#access_token=§&state=1", "/hook?lang=en&token=§"),
    *_within(
        "secret",
        "Vq7!mn2zLpX",
        "DB_PASSWORD=§",
        '{"db_password": "§"}',
        "  password: §",
        "<password>§</password>",
        "Server=db;User Id=app;Password=§;Encrypt=true",
        'admin_pwd = "§"',
        '"name": "DB_PASSWORD", "value": "§"',
    ),
    *_within("secret", body(28, seed=3), "api_key=§", '"clientSecret": "§"', "auth_token: §"),
    *_within(
        "password",
        "Vq7mn2zLpX",
        "mysql -h db -u root -p§ orders",
        "sshpass -p '§' ssh web01",
        "curl -u deploy:§ https://example.com/x",
        "echo '§' | sudo -S systemctl restart app",
        "tool login --password §",
        "CREATE USER app IDENTIFIED BY '§'",
        "INSERT INTO users (name, password) VALUES ('bob', '§')",
        "machine example.com login bob password §",
        "db.example.com:5432:orders:app:§",
        "The password for staging is §",
        "Das Passwort lautet §",
        "le mot de passe est § depuis hier",
        "La contraseña es §",
        "hasło to §",
        "パスワードは§です",
        "密码是§。",
    ),
    *_same("ip_address", "203.0.113.77", "192.168.17.4", "2001:db8:85a3::8a2e:370:7334", "fe80::1ff:fe23:4567:890a"),
    *_same("mac_address", "00:1b:44:11:3a:b7", "00-1B-44-11-3A-B7", "001b.4411.3ab7"),
    *_same("card_number", "4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", "6011111111111117"),
    *_same(
        "iban",
        "DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "FR1420041010050500013M02606",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
    ),
    *_same("phone", "+49 30 901820", "+1 (415) 555-0132", "+44 20 7946 0123", "0033 1 42 68 53 00"),
    *_within("phone", "030 901820", "Telefon: §", "call me on §"),
    *_same(
        "national_id",
        "536-90-4399",
        "12345678Z",
        "X1234567L",
        "131052-308T",
        "756.9217.0769.85",
        "RCCMNL83S18D969H",
        "85.07.30-033.28",
    ),
    *_within("national_id", "44051401359", "PESEL: §"),
    *_within("national_id", "10000000146", "TC kimlik no: §"),
    *_within("national_id", "390.533.447-05", "§"),
    *_within("national_id", "943 476 5919", "NHS number §"),
    *_within("national_id", "36574261809", "Steuer-ID §"),
    *_same("national_id", "AB 12 34 56 C"),
]

HARMLESS: list[str] = [
    "built from 1af9f4d3d07e9bddde93 amount assign orders",  # as long as an IBAN, and the check digits hold
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
    "page-token: " + body(36),
    f'{{"items": [], "nextPageToken": "{body(20)}", "nextSyncToken": "{body(24)}"}} with the next page token {body(12)}',
    f"GET /v1/items?pageToken={body(16)}&limit=5 https://api.example.com/v1/items?page_token={body(24)} ?sync_token={body(9)}",
    f"https://graph.example.com/v1.0/me/messages?$skiptoken={body(22)} ?$deltatoken={body(22)}",
    "eyJ is how a token begins; glpat- is a prefix, so are ghp_ and xoxb-, AKIA, AIza and github_pat_",
    "access-production-eu and access-sandbox-" + body(12, HEX) + " are roles; sha256~ begins a token, as dnkey- and rdme_ do",
    "pat.setup_the_table(x) sat.and_sun.are_days pk.eyJ1IjoiYWNtZSIsImEiOiJjbGEifQ." + body(22) + " aio_pika.connect_robust",
    "client_secret: /mnt/Vault2/teamA/Rk7dPq3ZtL9sXwB1nM5cVb8yG",
    "api_key=/home/Deploy1/keys/" + body(32) + " secret=/opt/app/v2/currentSigningKeyOfTheService2026",
    "X-Amz-Signature=<signature>&X-Amz-SignedHeaders=host;x-amz-content-sha256;x-amz-date&X-Amz-Expires=900",
    "favico-" + body(32, HEX) + ".png Mexico-" + body(32) + " ico-arrow-" + body(32, HEX) + " icon_mmk map_" + body(29) + "_mmk",
    "API-REFERENCEDOCUMENTATIONINDEX API-20261122100000123456789012 API-4711 A3-PAPER A3-ABCDEF-123456",
    "live_updates_of_the_dashboard_are_sent_to_all_of_them sk-live_ live_" + body(39, HEX) + " FLWPUBK-" + body(32, HEX) + "-X",
    "p8e-the-name-of-a-page-that-has-many-words-2026 sm_pat_configurationset shippo_live_mode duffel_test_mode CLOJARS_USERNAME",
    "a.b.acc_balance_of_the_customer.total_in_the_currency_of_the_account EZAKIEL fio-u-boot _gitlab_session=expired",
    "arn:aws:iam::123456789012:role/deploy AROAEXAMPLEROLEIDXXX i-0abcd1234efgh5678",
    "account_key_id=42 secret_key_base_rotation=false session_token_ttl: 3600 sig=ok signature=abc",
    '{"log":"listening on http://localhost:8080\\nby bob@host.\\n"}',
    "10.0.0.1 2026-11-22T10:00:00.000Z 4111 1111 1111 1112 C:\\users\\bob\\new",
    '{"a":"\\u00e4\\u2603 \\u0026 \\u003cb\\u003e","re":"\\\\d+\\\\.\\\\d+"}',
    "日本語のテキスト — ничего секретного ✓ 🙂",
    "",
]
