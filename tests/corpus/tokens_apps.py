"""Tokens with a public format: messengers, payments, mail, model providers; and private keys in their files."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

from tests.corpus.draw import ALNUM, DIGITS, UPPER, Draw
from tests.corpus.marks import Mark, Value, secret
from tests.corpus.tokens_code import Maker, token


def slack(d: Draw) -> Value:
    kind = d.number(0, 4)
    ids = f"{d.digits(12)}-{d.digits(13)}"
    if kind <= 1:
        return token("slack_token", f"xoxb-{ids}-{d.alnum(24)}", "SLACK_BOT_TOKEN slack_token", "Slack token", "xoxb-")
    if kind == 2:
        return token("slack_token", f"xoxp-{ids}-{d.digits(13)}-{d.hexa(32)}", "SLACK_USER_TOKEN", "Slack token", "xoxp-")
    if kind == 3:
        text = f"xapp-1-A{d.text(UPPER + DIGITS, 10)}-{d.digits(13)}-{d.hexa(64)}"
        return token("slack_token", text, "SLACK_APP_TOKEN", "Slack token", "xapp-1-A")
    return token("slack_token", f"xoxe.xoxp-1-{d.alnum(163)}", "SLACK_CONFIG_TOKEN", "Slack token", "xoxe.xoxp-1-")


def slack_webhook(d: Draw) -> Value:
    base = "https://hooks.slack.com/services/"
    text = f"{base}T{d.text(UPPER + DIGITS, 10)}/B{d.text(UPPER + DIGITS, 10)}/{d.alnum(24)}"
    return token("slack_webhook", text, "SLACK_WEBHOOK_URL webhook_url", "webhook", base)


def discord_webhook(d: Draw) -> Value:
    base = "https://discord.com/api/webhooks/"
    return token(
        "discord_webhook", f"{base}{d.number(10**17, 10**19)}/{d.urlsafe(68)}", "DISCORD_WEBHOOK webhook_url", "webhook", base
    )


def discord_bot(d: Draw) -> Value:
    user = base64.b64encode(str(d.number(10**17, 10**18 - 1)).encode()).decode().rstrip("=")
    return token("discord_token", f"{user}.{d.text(ALNUM, 6)}.{d.urlsafe(38)}", "DISCORD_TOKEN bot_token", "bot token", user)


def stripe(d: Draw) -> Value:
    prefix = d.pick(["sk_live_", "sk_live_", "rk_live_", "sk_test_", "whsec_"])
    rest = d.alnum(32) if prefix == "whsec_" else d.alnum(d.pick([24, 99]))
    return token("stripe_key", prefix + rest, "STRIPE_SECRET_KEY stripe_key STRIPE_API_KEY", "Stripe key", prefix)


def openai(d: Draw) -> Value:
    if d.chance(0.4):
        text, prefix = f"sk-{d.alnum(20)}T3BlbkFJ{d.alnum(20)}", "sk-"
    else:
        prefix = d.pick(["sk-proj-", "sk-svcacct-"])
        text = f"{prefix}{d.urlsafe(74)}T3BlbkFJ{d.urlsafe(74)}"
    return token("openai_key", text, "OPENAI_API_KEY openai_key", "OpenAI key", prefix, "T3BlbkFJ")


def anthropic(d: Draw) -> Value:
    prefix = d.pick(["sk-ant-api03-", "sk-ant-api03-", "sk-ant-oat01-", "sk-ant-admin01-"])
    return token("anthropic_key", f"{prefix}{d.urlsafe(93)}AA", "ANTHROPIC_API_KEY anthropic_key", "Anthropic key", prefix)


def model_provider(d: Draw) -> Value:
    prefix, length = d.pick([("gsk_", 52), ("pplx-", 48), ("xai-", 80)])
    return token("model_provider_key", prefix + d.alnum(length), "GROQ_API_KEY llm_api_key", "model key", prefix)


def sendgrid(d: Draw) -> Value:
    return token("sendgrid_key", f"SG.{d.urlsafe(22)}.{d.urlsafe(43)}", "SENDGRID_API_KEY sendgrid_key", "SendGrid key", "SG.")


def twilio(d: Draw) -> Value:
    return token("twilio_key", "SK" + d.hexa(32), "TWILIO_API_KEY twilio_key", "Twilio key", "SK")


def telegram(d: Draw) -> Value:
    text = f"{d.number(10**8, 10**10 - 1)}:AA{d.urlsafe(33)}"
    return token("telegram_token", text, "TELEGRAM_BOT_TOKEN bot_token", "bot token", text.split(":", maxsplit=1)[0])


def mailgun(d: Draw) -> Value:
    return token("mailgun_key", "key-" + d.hexa(32), "MAILGUN_API_KEY", "Mailgun key", "key-")


def mailchimp(d: Draw) -> Value:
    return token("mailchimp_key", f"{d.hexa(32)}-us{d.number(1, 21)}", "MAILCHIMP_API_KEY", "Mailchimp key")


def square(d: Draw) -> Value:
    prefix, length = d.pick([("sq0atp-", 22), ("sq0csp-", 43), ("EAAA", 60)])
    return token("square_token", prefix + d.urlsafe(length), "SQUARE_ACCESS_TOKEN square_token", "Square token", prefix)


def shopify(d: Draw) -> Value:
    prefix = d.pick(["shpat_", "shpss_", "shpca_", "shppa_"])
    return token("shopify_token", prefix + d.hexa(32), "SHOPIFY_ACCESS_TOKEN shopify_token", "Shopify token", prefix)


def okta(d: Draw) -> Value:
    return replace(token("okta_token", "00" + d.urlsafe(40), "OKTA_API_TOKEN okta_token", "Okta token", "00"), bare=False)


_KEY_FILES = (
    ("RSA PRIVATE KEY", 1190, b"0\x82\x04\xa4\x02\x01\x00\x02\x82\x01\x01\x00"),
    ("PRIVATE KEY", 1216, b"0\x82\x04\xbc\x02\x01\x000\r\x06\t*\x86H"),
    ("EC PRIVATE KEY", 121, b"0w\x02\x01\x01\x04 "),
    ("OPENSSH PRIVATE KEY", 410, b"openssh-key-v1\x00\x00\x00\x00\x04none"),
    ("ENCRYPTED PRIVATE KEY", 600, b"0\x82\x05\x0e0@\x06\t*\x86H\x86\xf7\r\x01"),
)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(text[i : i + width] for i in range(0, len(text), width))


def pem(d: Draw) -> Mark:
    name, size, start = d.pick(_KEY_FILES)
    size = min(size, d.pick([121, 410, size]))
    head = base64.b64encode(start).decode().rstrip("=")[:-1]
    body = base64.b64encode(start + d.raw(size)).decode()
    first, last = f"-----BEGIN {name}-----", f"-----END {name}-----"
    text = f"{first}\n{_wrapped(body, 70 if 'OPENSSH' in name else 64)}\n{last}"
    return secret(text, "private_key", "formatted", public=(first, last, head))


def pgp(d: Draw) -> Mark:
    first, last = "-----BEGIN PGP PRIVATE KEY BLOCK-----", "-----END PGP PRIVATE KEY BLOCK-----"
    body = base64.b64encode(b"\x95\x01\xd8\x04" + d.raw(d.pick([330, 600]))).decode()
    text = f"{first}\n\n{_wrapped(body, 64)}\n={d.base64(3)}\n{last}"
    return secret(text, "pgp_private_key", "formatted", public=(first, last))


def cut(mark: Mark, d: Draw) -> Mark:
    """A key whose end is missing, as logs and limits leave it."""
    keep = len(mark.text) * d.number(45, 75) // 100
    text = mark.text[:keep].rstrip("\n")
    return secret(text, "private_key_cut", "formatted", public=mark.public)


def service_account(d: Draw) -> tuple[str, Mark, str]:
    """A key file of a service account: the text before the key, the key with its escaped line breaks, the text behind."""
    key = pem(d)
    while "BEGIN PRIVATE" not in key.text:
        key = pem(d)
    project = f"{d.words(2)}-{d.digits(6)}"
    before = f'{{"type": "service_account", "project_id": "{project}", "private_key_id": "{d.hexa(40)}", "private_key": "'
    links = '"token_uri": "https://oauth2.example.com/token", "universe_domain": "example.com"'
    after = f'\\n", "client_id": "{d.digits(21)}", {links}}}'
    text = json.dumps(key.text)[1:-1]
    return before, secret(text, "gcp_service_account_key", "formatted", decoded=key.text, public=key.public), after


MAKERS: dict[str, Maker] = {
    "slack_token": slack,
    "slack_webhook": slack_webhook,
    "discord_webhook": discord_webhook,
    "discord_token": discord_bot,
    "stripe_key": stripe,
    "openai_key": openai,
    "anthropic_key": anthropic,
    "model_provider_key": model_provider,
    "sendgrid_key": sendgrid,
    "twilio_key": twilio,
    "telegram_token": telegram,
    "mailgun_key": mailgun,
    "mailchimp_key": mailchimp,
    "square_token": square,
    "shopify_token": shopify,
    "okta_token": okta,
}
