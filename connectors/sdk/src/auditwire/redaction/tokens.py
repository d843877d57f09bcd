"""Tokens that their own form gives away, written from the providers' public descriptions.

A row is a kind, short patterns of which one is in every token of the kind (hints), and the pattern of the token. Patterns mean
the same to RE2 and to Python's `re` with its flag ASCII. They are shorter than whole tokens where the beginning is telling, so
that a token somebody has cut is found as well.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Token(NamedTuple):
    """One kind of token."""

    name: str
    hints: tuple[str, ...]
    pattern: str


_LEFT = r"(?:(?<![A-Za-z0-9][\s\S])|(?<=[a-z][a-z][a-z][\s\S])|(?<=ID[\s\S]))"  # a token may be glued to a word
_PREFIX = re.compile(r"\\b[A-Za-z0-9\[\]-]{2,10}_")


def _token(name: str, hints: str, *patterns: str) -> Token:
    return Token(name, tuple(_hint(hint) for hint in hints.split()), "|".join(_bounded(pattern) for pattern in patterns))


def _hint(hint: str) -> str:
    if _PREFIX.match(hint):
        return hint[2:]
    return rf"(?:\b|_|[a-z]|ID){hint[2:]}" if hint.startswith(r"\b") else hint


def _bounded(pattern: str) -> str:
    if pattern.endswith(r"\b"):
        pattern = pattern[:-2] + "(?![A-Za-z0-9])"
    if not pattern.startswith(r"\b"):
        return pattern
    return pattern[2:] if _PREFIX.match(pattern) else _glued(pattern[2:])


_FIRST = re.compile(r"(\[[^\]]+\]|[A-Za-z0-9])(?:\{([0-9]+)(?:,([0-9]+))?\})?(?![?*+{])")


def _glued(pattern: str) -> str:
    """What may stand in front is asked behind the first character: `re` is quick to pass what a pattern cannot begin with."""
    first = _FIRST.match(pattern)
    if first is None:
        raise ValueError(f"the pattern {pattern!r} must begin with a character that is not optional")
    one, least, most = first.groups()
    times = ",".join(str(int(number) - 1) for number in (least, most) if number)
    return one + _LEFT + (f"{one}{{{times}}}" if times else "") + pattern[first.end() :]


W = r"[A-Za-z0-9_-]"  # the alphabet of base64url
B = r"[A-Za-z0-9+/]"
A = r"[A-Za-z0-9]"
H = r"[0-9a-f]"
U = r"[A-Z0-9]"
MIXED = rf"(?={W}*[0-9])(?={W}*[A-Z])(?={W}*[a-z])"  # what follows is no name that words make up
_GITLAB = r"(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|wt|soat|ffct)"

TOKENS: tuple[Token, ...] = (
    # clouds
    _token(
        "aws_access_key",
        "AKIA ASIA ABIA ACCA ABSK bedrock-api-key-",
        "A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}",
        rf"(?:ABSK|bedrock-api-key-){B}{{40,}}={{0,2}}",
    ),
    _token("gcp_api_key", "AIza", rf"AIza{W}{{35}}"),
    _token("gcp_oauth", r"ya29\. GOCSPX- \b1//0", rf"ya29\.{W}{{20,}}(?:\.{W}+)*", rf"GOCSPX-{W}{{20,}}", rf"\b1//0{W}{{30,}}"),
    _token("azure_client_secret", "Q~", r"\b[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}"),
    _token("azure_key", r"\+ASt ACDb AzFu", rf"{B}{{76}}(?:\+ASt|ACDb){B}{{5,6}}={{0,2}}", rf"{W}{{44,80}}AzFu{W}{{6,}}={{0,2}}"),
    _token("alibaba_key", r"\bLTAI", rf"\bLTAI{A}{{16,24}}\b"),
    _token("tencent_key", r"\bAKID", rf"\bAKID{A}{{32}}\b"),
    _token("yandex_key", r"\bAQVN \bYCAJE \by0_", rf"\bAQVN{W}{{35,38}}", rf"\bYCAJE{W}{{20}}", rf"\by0_{W}{{50,}}"),
    _token("digitalocean_token", "do[opr]_v1_", rf"do[opr]_v1_{H}{{16,}}"),
    _token("heroku_key", "HRKU-", rf"HRKU-{W}{{20,}}"),
    _token(
        "cloudflare_token", r"\bv1\.0-[0-9a-f] cfut_ cfat_ cfk_", rf"\bv1\.0-{H}{{24}}-{H}{{40,}}", rf"cf(?:ut|at|k)_{A}{{30,}}"
    ),
    _token("fly_token", r"\bfo1_ FlyV1", rf"\bfo1_{W}{{43}}", r"FlyV1 fm[0-9][a-z]?_[A-Za-z0-9+/=,_-]{50,}"),
    _token("netlify_token", r"\bnf[pcoub]_", rf"\bnf[pcoub]_{A}{{30,}}"),
    _token("vercel_token", r"\bvc[piark]_", rf"\bvc[piark]_{W}{{24,}}"),
    _token("render_key", r"\brnd_", rf"\brnd_{A}{{28,}}"),
    _token("supabase_token", "sbp_ sb_secret_", rf"\bsbp_(?:v0_|oauth_)?{H}{{40}}", rf"sb_secret_{W}{{20,}}"),
    _token("planetscale_token", "pscale_", r"pscale_(?:tkn|pw|oauth|api)_[A-Za-z0-9_.=-]{20,}"),
    _token(
        "databricks_token", r"\bdapi[0-9a-f]{8} \bdose[0-9a-f]{8}", rf"\bdapi{H}{{32}}(?:-[0-9]{{1,2}})?", rf"\bdose{H}{{32}}"
    ),
    _token(
        "doppler_token",
        r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.",
        rf"\bdp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{{2,35}}\.)?{A}{{30,}}",
    ),
    _token("pulumi_token", r"\bpul-[0-9a-f]", rf"\bpul-{H}{{32,}}"),
    _token("terraform_token", "atlasv1", rf"{A}{{14}}\.atlasv1\.{W}{{30,}}"),
    _token("vault_token", r"\bhv[sbr]\. \b[sbr]\.[A-Za-z0-9]{12}", rf"\bhv[sbr]\.{W}{{20,}}", rf"\b[sbr]\.{A}{{24}}\b"),
    _token("tailscale_key", "tskey-", rf"tskey-[a-z]+-{A}{{6,}}(?:-{A}+)?"),
    _token("age_secret_key", "AGE-SECRET-KEY-", r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{16,}"),
    _token("onepassword_token", "ops_eyJ", rf"ops_eyJ{B}{{30,}}={{0,2}}"),
    _token("onepassword_token", "A3-[A-Z0-9]", rf"\bA3-{U}{{6}}-(?:{U}{{11}}|{U}{{6}}-{U}{{5}})(?:-{U}{{5}}){{3}}\b"),
    _token("octopus_key", "API-[A-Z0-9]{3}", rf"\bAPI-(?=[A-Z]*[0-9])(?=[0-9]*[A-Z]){U}{{25,31}}\b"),
    _token("harness_token", r"[ps]at\.[A-Za-z0-9_-]{4}", rf"\b[ps]at\.{W}{{22}}\.{H}{{24}}\.{A}{{20}}\b"),
    _token(
        "platform_token",
        "dnkey- ico- sha256~ tk-us- sm_aat_ sm_pat_ sm_sat_",
        rf"\bdnkey-{U}{{26}}-{U}{{52}}",
        rf"i(?<!{A}i)co-(?=[a-z0-9]*[A-Z]){A}{{32}}\b",
        rf"\bsha256~{W}{{43}}(?!{W})",
        rf"\btk-us-{W}{{48}}(?!{W})",
        rf"\bsm_[aps]at_(?=[a-z]*[A-Z0-9]){A}{{16}}\b",
    ),
    # code hosts and registries
    _token("gitlab_token", "gl[a-z]{2,5}-", rf"gl{_GITLAB}-{W}{{10,}}(?:\.{W}+)*"),
    _token("gitlab_registration_token", "GR1348941", rf"GR1348941{W}{{10,}}"),
    _token("github_token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9_]{16,}"),
    _token("github_fine_grained_token", "github_pat_", r"github_pat_[A-Za-z0-9_]{20,}"),
    _token("npm_token", "npm_", rf"npm_{A}{{30,}}"),
    _token("pypi_token", "pypi-", rf"pypi-AgE{W}{{20,}}"),
    _token("rubygems_token", "rubygems_", rf"rubygems_{H}{{24,}}"),
    _token("crates_token", r"\bcio[A-Za-z0-9]{8}", rf"\bcio{A}{{32}}\b"),
    _token("nuget_key", r"\boy2[a-z0-9]{8}", r"\boy2[a-z0-9]{43}\b"),
    _token("packagist_token", "packagist_", rf"packagist_[a-z]{{3}}_{H}{{40,}}"),
    _token("clojars_token", "CLOJARS_", r"CLOJARS_[0-9a-z]{40,}"),
    _token("docker_token", "dckr_", rf"dckr_[a-z]{{3}}_{W}{{16,}}"),
    _token("artifactory_token", "AKCp cmVmdGtu", rf"\bAKCp{A}{{40,}}", rf"\bcmVmdGtu{A}{{40,}}"),
    _token(
        "atlassian_token",
        "ATATT3 ATCTT3 ATSTT3 ATBB",
        rf"AT(?:AT|CT|ST)T3{W}{{40,}}(?:={{1,2}}[0-9A-F]{{8}})?",
        rf"\bATBB{A}{{24,}}",
    ),
    _token("buildkite_token", r"\bbk(?:ua|aj|at|rt)_", rf"\bbk(?:ua|aj|at|rt)_{H}{{24,}}"),
    _token("circleci_token", "CCIPAT_ CCIPRJ_", rf"CCIP(?:AT|RJ)_{A}{{10,}}_{H}{{20,}}"),
    _token("sonar_token", r"\bsq[upa]_", rf"\bsq[upa]_{H}{{30,}}"),
    _token("sourcegraph_token", r"\bsgp_", rf"\bsgp_(?:{A}{{16,}}_)?{H}{{40}}"),
    _token("postman_key", "PMAK-", rf"PMAK-{H}{{20,}}(?:-{H}+)?"),
    # models
    _token("anthropic_key", "sk-ant-", rf"sk-ant-[a-z0-9]+-{W}{{16,}}"),
    _token(
        "openai_key",
        r"sk-(?:proj|svcacct|admin|None)- T3BlbkFJ \bsk-[A-Za-z0-9]{8}",
        rf"sk-(?:proj|svcacct|admin|None)-{W}{{16,}}",
        rf"\bsk-{A}{{20}}T3BlbkFJ{A}{{12,}}",
        rf"\bsk-{A}{{48}}\b",
    ),
    _token(
        "model_provider_key",
        r"\bgsk_ \bxai- \bpplx- sk-or-v1- \bcsk- \bfw_ nvapi- \blsv2_ \bpcsk_ sk-lf- tgp_v1_ \btvly- \bjina_ \bsk-[0-9a-f]{8} wandb_v1_",
        rf"\bgsk_{A}{{30,}}",
        rf"\bxai-{A}{{50,}}",
        rf"\bpplx-{A}{{30,}}",
        rf"sk-or-v1-{H}{{32,}}",
        r"\bcsk-[a-z0-9]{40,}",
        rf"\bfw_{A}{{22,}}",
        rf"nvapi-{W}{{40,}}",
        rf"\blsv2_(?:pt|sk)_{H}{{32}}(?:_{H}{{10}})?",
        r"\bpcsk_[A-Za-z0-9_]{40,}",
        rf"\bsk-lf-{H}{{8}}(?:-{H}{{4}}){{3}}-{H}{{12}}",
        rf"tgp_v1_{W}{{30,}}",
        rf"\btvly-(?:dev-|prod-)?{A}{{28,}}",
        rf"\bjina_{W}{{40,}}",
        rf"\bsk-{H}{{32}}\b",
        rf"wandb_v1_{W}{{30,}}",
    ),
    _token("replicate_token", r"\br8_", rf"\br8_{A}{{30,}}"),
    _token("huggingface_token", r"\bhf_ api_org_", rf"\bhf_{A}{{30,}}", rf"\bapi_org_{A}{{30,}}"),
    # payment, mail, messages
    _token("stripe_key", "[sr]k_(?:live|test)_ whsec_", rf"[sr]k_(?:live|test)_{A}{{10,}}", rf"whsec_{B}{{20,}}={{0,2}}"),
    _token("square_token", r"\bEAAA \bsq0[a-z]", rf"\bEAAA{W}{{60}}", rf"\bsq0[a-z]{{3}}-{W}{{20,}}"),
    _token("shopify_token", "shp[a-z]{2}_", r"shp(?:at|ca|pa|ss|ua|ka|rt)_[0-9A-Fa-f]{24,}"),
    _token(
        "commerce_key",
        "EZAK EZTK FLWSECK access-sandbox- access-development- access-production- shippo_live_ shippo_test_ duffel_live_ duffel_test_",
        rf"\bEZ[AT]K{A}{{40,}}",
        rf"FLWSECK(?:_TEST)?-{A}{{12,}}(?:-[A-Za-z0-9]{{1,16}}){{0,2}}",
        rf"access-(?:sandbox|development|production)-{H}{{8}}(?:-{H}{{4}}){{3}}-{H}{{12}}",
        rf"shippo_(?:live|test)_{H}{{24,}}",
        rf"duffel_(?:live|test)_{W}{{40,}}",
    ),
    _token("gocardless_token", "live_", rf"l(?<![A-Za-z0-9_-]l)ive_{MIXED}{W}{{40}}(?!{W})"),
    _token("twilio_key", r"\bSK[0-9a-f]{8}", rf"\bSK{H}{{32}}\b"),
    _token("sendgrid_key", "SG.", rf"\bSG\.{W}{{16,32}}\.{W}{{16,64}}"),
    _token(
        "mailgun_key",
        r"\bkey-[0-9a-f]{8} [0-9a-f]{9}-[0-9a-f]{5}",
        rf"\bkey-{H}{{32}}\b",
        rf"\b{H}{{32}}-{H}{{8}}-{H}{{8}}\b",
    ),
    _token("mailchimp_key", r"[0-9a-f]-us[0-9]", rf"\b{H}{{32}}-us[0-9]{{1,2}}\b"),
    _token("brevo_key", "xkeysib- xsmtpsib-", rf"x(?:key|smtp)sib-{H}{{40,}}(?:-{A}{{6,}})?"),
    _token("resend_key", r"\bre_[A-Za-z0-9]{8}_", rf"\bre_{A}{{8}}_{A}{{20,}}\b"),
    _token("telegram_token", "[0-9]:AA", rf"\b[0-9]{{8,10}}:AA{W}{{32,33}}"),
    _token("discord_token", r"\.[A-Za-z0-9_-]{6}\.", rf"\b[MNO]{W}{{23,27}}\.{W}{{6}}\.{W}{{27,40}}"),
    _token(
        "discord_webhook",
        "discord",
        r"discord(?:app)?\.com\\*/api(?:\\*/v[0-9]+)?\\*/webhooks\\*/[0-9]{15,}\\*/[A-Za-z0-9_-]{30,}",
    ),
    _token("teams_webhook", "webhookb2", r"webhook\.office\.com\\*/webhookb2\\*/[A-Za-z0-9@\\/_-]{40,}"),
    _token("slack_token", "xox[a-z] xapp-", r"x(?:ox[a-z](?:\.xox[a-z])?|app-[0-9])-[A-Za-z0-9-]{10,}"),
    # work tools and monitoring
    _token("airtable_token", r"\bpat[A-Za-z0-9]{9}", rf"\bpat{A}{{14}}\.{H}{{64}}"),
    _token("asana_token", r"[0-9]{6}:[0-9a-f]{4}", rf"\b[12]/[0-9]{{10,}}(?:/[0-9]{{10,}})?:{H}{{32}}\b"),
    _token("contentful_token", "CFPAT-", rf"CFPAT-{W}{{40,}}"),
    _token("datadog_key", "ddapp_ ddapi_", rf"\bdda(?:pp|pi)_{A}{{30,}}"),
    _token("dynatrace_token", r"\bdt0[a-z][0-9]{2}\.", r"\bdt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{40,}"),
    _token("figma_token", r"\bfig[doru]_", rf"\bfig[doru]_{W}{{30,}}"),
    _token(
        "grafana_token",
        r"glsa_ \bglc_ eyJrIjoi",
        rf"glsa_{A}{{20,}}(?:_{H}{{8}})?",
        rf"\bglc_{B}{{30,}}={{0,2}}",
        rf"\beyJrIjoi{B}{{40,}}={{0,2}}",
    ),
    _token("linear_key", "lin_(?:api|oauth|wh)_", rf"lin_(?:api|oauth|wh)_{A}{{24,}}"),
    _token(
        "new_relic_key",
        "NR(?:AK|II|SP|RA|JS)- NRAL",
        r"NR(?:AK|II|SP|RA)-[A-Za-z0-9_-]{20,}",
        r"NRJS-[0-9a-f]{19}",
        rf"\b{H}{{32,36}}F{{0,4}}NRAL",
    ),
    _token("notion_token", r"\bntn_ \bsecret_[A-Za-z0-9]{8}", rf"\bntn_{A}{{30,}}", rf"\bsecret_{A}{{43}}\b"),
    _token("okta_token", "SSWS", rf"SSWS +00{W}{{36,44}}"),
    _token("sentry_token", "sntry[suai]_", r"sntrys_[A-Za-z0-9+/=_-]{40,}", rf"sntry[uai]_{H}{{40,}}"),
    _token("typeform_token", r"\btfp_", r"\btfp_[A-Za-z0-9_.=-]{40,}"),
    _token("prefect_key", r"\bpn[ub]_", rf"\bpn[ub]_{A}{{36}}"),
    _token("dropbox_token", r"\bsl\.[A-Za-z0-9_.-]{8}", rf"\bsl\.(?:u\.)?{W}{{100,}}"),
    _token("facebook_token", r"\bEAA[A-Z]", rf"\bEAA[A-Z]{A}{{100,}}"),
    _token("trello_token", r"\bATTA[0-9a-f]", rf"\bATTA{H}{{64}}"),
    _token(
        "service_token",
        r"aio_ fio-u- p8e- rdme_ _mmk sk\.eyJ \.acc_ \.acc-",
        rf"a(?<!{A}a)io_(?=[A-Za-z]*[0-9]){A}{{28}}\b",
        rf"fio-u-{W}{{50,}}",
        rf"\bp8e-{MIXED}{W}{{32}}(?!{W})",
        r"rdme_[a-z0-9]{50,}",
        rf"\b{A}{{6}}_{A}{{29}}_mmk\b",
        rf"\bsk\.eyJ{W}{{40,}}\.{W}{{20,}}",
        rf"(?:sc|ext|scauth|authress)_{A}{{5,30}}\.{A}{{4,6}}\.acc[_-][A-Za-z0-9-]{{10,32}}\.[A-Za-z0-9+/_=-]{{30,120}}",
    ),
    _token("cookie", "_gitlab_session", rf"_gitlab_session[\"']?\s{{0,4}}[:=]\s{{0,4}}[\"']?(?P<s>{H}{{32}})\b"),
)
