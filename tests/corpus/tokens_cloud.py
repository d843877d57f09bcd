"""Tokens with a public format: clouds, databases, hosting, observability. Formats as the providers document them."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from tests.corpus.draw import ALNUM, BASE64, DIGITS, LOWER, UPPER, Draw
from tests.corpus.marks import Value, secret
from tests.corpus.tokens_code import Maker, token

BASE32 = UPPER + "234567"


def aws_key_id(d: Draw) -> Value:
    prefix = d.pick(["AKIA", "AKIA", "ASIA"])
    return token(
        "aws_access_key_id", prefix + d.text(BASE32, 16), "AWS_ACCESS_KEY_ID aws_access_key_id accessKeyId", "access key", prefix
    )


def aws_secret(d: Draw) -> Value:
    while True:
        text = d.text(ALNUM, 1) + d.text(BASE64, 38) + d.text(ALNUM, 1)
        if ("/" in text or "+" in text) and any(c.isdigit() for c in text):
            names = "AWS_SECRET_ACCESS_KEY aws_secret_access_key secretAccessKey"
            return replace(token("aws_secret_key", text, names, "secret access key"), bare=False)


def gcp_api_key(d: Draw) -> Value:
    return token("gcp_api_key", "AIza" + d.urlsafe(35), "GOOGLE_API_KEY maps_api_key apiKey", "Google API key", "AIza")


def gcp_oauth(d: Draw) -> Value:
    if d.chance(0.5):
        return token("gcp_oauth", "GOCSPX-" + d.urlsafe(28), "client_secret GOOGLE_CLIENT_SECRET", "client secret", "GOCSPX-")
    return token("gcp_oauth", "ya29.a0" + d.urlsafe(d.number(140, 200)), "access_token oauth_token", "access token", "ya29.a0")


def azure_storage_key(d: Draw) -> Value:
    """It looks like a digest: never without its name."""
    return replace(
        token("azure_storage_key", d.base64(64), "AccountKey AZURE_STORAGE_KEY storage_account_key", "storage key"), bare=False
    )


def azure_client_secret(d: Draw) -> Value:
    text = f"{d.text(ALNUM, 3)}{d.text(DIGITS, 1)}Q~{d.text(ALNUM + '-_.~', 33)}{d.text(ALNUM, 1)}"
    return token("azure_client_secret", text, "AZURE_CLIENT_SECRET client_secret", "client secret")


def azure_sas(d: Draw) -> Value:
    """Only the signature of the link is secret; it stands percent-encoded in the query."""
    raw = d.base64(32)
    mark = secret(quote(raw, safe=""), "azure_sas_signature", "formatted", decoded=raw)
    return Value(mark, ("sas_signature",), "SAS signature", bare=False)


def grafana(d: Draw) -> Value:
    if d.chance(0.5):
        return token(
            "grafana_token", f"glsa_{d.alnum(32)}_{d.hexa(8)}", "GRAFANA_TOKEN grafana_api_key", "Grafana token", "glsa_"
        )
    return token("grafana_token", "glc_eyJvIjoi" + d.text(ALNUM, 100), "GRAFANA_CLOUD_TOKEN", "Grafana token", "glc_eyJvIjoi")


def new_relic(d: Draw) -> Value:
    if d.chance(0.6):
        return token("new_relic_key", "NRAK-" + d.text(UPPER + DIGITS, 27), "NEW_RELIC_API_KEY", "New Relic key", "NRAK-")
    return token("new_relic_key", d.hexa(36) + "NRAL", "NEW_RELIC_LICENSE_KEY", "license key", "NRAL")


def tailscale(d: Draw) -> Value:
    text = f"tskey-auth-k{d.text(ALNUM, 8)}CNTRL-{d.text(ALNUM, 32)}"
    return token("tailscale_key", text, "TS_AUTHKEY", "Tailscale key", "tskey-auth-k", "CNTRL-")


def age_key(d: Draw) -> Value:
    bech32 = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"
    return token("age_secret_key", "AGE-SECRET-KEY-1" + d.text(bech32, 58), "SOPS_AGE_KEY age_key", "age key", "AGE-SECRET-KEY-1")


def planetscale(d: Draw) -> Value:
    prefix = d.pick(["pscale_tkn_", "pscale_pw_"])
    return token("planetscale_token", prefix + d.urlsafe(43), "PLANETSCALE_TOKEN database_password", "PlanetScale token", prefix)


def digitalocean(d: Draw) -> Value:
    prefix = d.pick(["dop_v1_", "doo_v1_", "dor_v1_"])
    return token("digitalocean_token", prefix + d.hexa(64), "DIGITALOCEAN_TOKEN do_token", "DigitalOcean token", prefix)


def databricks(d: Draw) -> Value:
    text = "dapi" + d.hexa(32) + d.pick(["", "-2", "-3"])
    return token("databricks_token", text, "DATABRICKS_TOKEN databricks_token", "Databricks token", "dapi")


def supabase(d: Draw) -> Value:
    return token("supabase_token", "sbp_" + d.hexa(40), "SUPABASE_ACCESS_TOKEN", "Supabase token", "sbp_")


def heroku(d: Draw) -> Value:
    return token("heroku_key", "HRKU-AA" + d.urlsafe(58), "HEROKU_API_KEY", "Heroku key", "HRKU-AA")


def cratesio(d: Draw) -> Value:
    return token("crates_token", "cio" + d.alnum(32), "CARGO_REGISTRY_TOKEN", "crates.io token", "cio")


def netlify(d: Draw) -> Value:
    return token("netlify_token", "nfp_" + d.alnum(36), "NETLIFY_AUTH_TOKEN", "Netlify token", "nfp_")


def atlassian(d: Draw) -> Value:
    text = "ATATT3xFfGF0" + d.urlsafe(172) + "=" + d.text("0123456789ABCDEF", 8)
    return token("atlassian_token", text, "JIRA_API_TOKEN ATLASSIAN_TOKEN", "Jira token", "ATATT3xFfGF0")


def airtable(d: Draw) -> Value:
    return token("airtable_token", f"pat{d.alnum(14)}.{d.hexa(64)}", "AIRTABLE_TOKEN airtable_pat", "Airtable token", "pat")


def notion(d: Draw) -> Value:
    return token("notion_token", f"ntn_{d.digits(11)}{d.alnum(35)}", "NOTION_TOKEN notion_key", "Notion token", "ntn_")


def sendinblue(d: Draw) -> Value:
    return token("brevo_key", f"xkeysib-{d.hexa(64)}-{d.text(LOWER + DIGITS, 16)}", "BREVO_API_KEY", "Brevo key", "xkeysib-")


MAKERS: dict[str, Maker] = {
    "aws_access_key_id": aws_key_id,
    "aws_secret_key": aws_secret,
    "gcp_api_key": gcp_api_key,
    "gcp_oauth": gcp_oauth,
    "azure_storage_key": azure_storage_key,
    "azure_client_secret": azure_client_secret,
    "grafana_token": grafana,
    "new_relic_key": new_relic,
    "tailscale_key": tailscale,
    "age_secret_key": age_key,
    "planetscale_token": planetscale,
    "digitalocean_token": digitalocean,
    "databricks_token": databricks,
    "supabase_token": supabase,
    "heroku_key": heroku,
    "crates_token": cratesio,
    "netlify_token": netlify,
    "atlassian_token": atlassian,
    "airtable_token": airtable,
    "notion_token": notion,
    "brevo_key": sendinblue,
}
