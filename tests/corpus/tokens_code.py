"""Tokens with a public format, as the providers document it: code hosts, package registries, build and secret services."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from tests.corpus.checksums import crc62
from tests.corpus.draw import ALNUM, DIGITS, HEX, LOWER, UPPER, Draw
from tests.corpus.marks import Value, secret

Maker = Callable[[Draw], Value]


def token(kind: str, text: str, names: str, label: str, *public: str) -> Value:
    """A formatted token: what of it is public is its prefix."""
    return Value(secret(text, kind, "formatted", public=public), tuple(names.split()), label)


def _prefixed(kind: str, prefix: str, rest: Callable[[Draw], str], names: str, label: str) -> Maker:
    return lambda d: token(kind, prefix + rest(d), names, label, prefix)


def gitlab_pat(d: Draw) -> Value:
    if d.chance(0.4):
        text = f"glpat-{d.urlsafe(27 + 3 * d.number(0, 3))}.{d.text(DIGITS, 2)}.{d.text(DIGITS + LOWER, 9)}"
    else:
        text = f"glpat-{d.urlsafe(20)}"
    return token("gitlab_pat", text, "gitlab_token GITLAB_PAT private_token", "GitLab token", "glpat-")


_GITLAB_OTHERS = {
    "gldt-": ("gitlab_deploy_token", 20),
    "glrt-": ("gitlab_runner_token", 20),
    "glcbt-": ("gitlab_job_token", 0),
    "glptt-": ("gitlab_trigger_token", 40),
    "glft-": ("gitlab_feed_token", 20),
    "glimt-": ("gitlab_mail_token", 25),
    "glagent-": ("gitlab_agent_token", 50),
    "gloas-": ("gitlab_oauth_secret", 64),
    "glsoat-": ("gitlab_scim_token", 20),
    "glffct-": ("gitlab_flags_token", 20),
}


def gitlab_other(d: Draw) -> Value:
    prefix = d.pick(list(_GITLAB_OTHERS))
    kind, length = _GITLAB_OTHERS[prefix]
    rest = d.hexa(length) if length in (40, 64) else d.urlsafe(length or 20)
    if length == 0:
        rest = f"{d.text(HEX, 2)}_{rest}"
    return token("gitlab_other", prefix + rest, f"{kind} deploy_token CI_TOKEN", "GitLab token", prefix)


def github_classic(d: Draw) -> Value:
    prefix = d.pick(["ghp_", "gho_", "ghu_", "ghs_", "ghr_"])
    entropy = d.alnum(30)
    return token("github_token", prefix + entropy + crc62(entropy), "github_token GITHUB_TOKEN gh_token", "GitHub token", prefix)


def github_fine(d: Draw) -> Value:
    text = f"github_pat_{d.text('1', 1)}1{d.text(DIGITS + UPPER, 20)}_{d.alnum(59)}"
    return token("github_fine_token", text, "github_token GH_PAT", "GitHub token", "github_pat_")


def npm(d: Draw) -> Value:
    entropy = d.alnum(30)
    return token("npm_token", f"npm_{entropy}{crc62(entropy)}", "NPM_TOKEN npm_token _authToken", "npm token", "npm_")


def pypi(d: Draw) -> Value:
    text = "pypi-AgEIcHlwaS5vcmc" + d.pick("CIJ") + d.text(ALNUM, 3) + d.urlsafe(d.number(130, 165))
    return token("pypi_token", text, "TWINE_PASSWORD pypi_token UV_PUBLISH_TOKEN", "PyPI token", "pypi-AgEIcHlwaS5vcmc")


def docker(d: Draw) -> Value:
    prefix = d.pick(["dckr_pat_", "dckr_oat_"])
    text = prefix + d.urlsafe(27 if prefix == "dckr_pat_" else 32)
    return token("docker_token", text, "DOCKERHUB_TOKEN docker_password registry_token", "Docker Hub token", prefix)


def vault(d: Draw) -> Value:
    """Service tokens are short or long, batch tokens long, recovery tokens short."""
    form = d.number(0, 3)
    if form <= 1:
        text, start = ("hvs." + d.alnum(24), "hvs.") if form else ("hvs.CAESI" + d.urlsafe(d.number(88, 96)), "hvs.CAESI")
    elif form == 2:
        text, start = "hvb.AAAAAQ" + d.urlsafe(d.number(138, 190)), "hvb.AAAAAQ"
    else:
        text, start = "hvr." + d.alnum(24), "hvr."
    return token("vault_token", text, "VAULT_TOKEN vault_token client_token", "Vault token", start)


def jwt(d: Draw) -> Value:
    """Three parts of base64url: header, claims, signature."""
    head = json.dumps({"alg": d.pick(["HS256", "RS256", "ES256"]), "typ": "JWT"}, separators=(",", ":"))
    claims = {"sub": d.digits(10), "iat": d.number(1_700_000_000, 1_790_000_000), "scope": d.pick(["read write", "admin", "api"])}
    if d.chance(0.5):
        claims["jti"] = d.uuid()
    encoded = [base64.urlsafe_b64encode(s.encode()).decode().rstrip("=") for s in (head, json.dumps(claims))]
    text = ".".join([*encoded, d.base64url(d.pick([32, 64, 256]))])
    return token("jwt", text, "access_token id_token jwt session_jwt", "access token", encoded[0] + ".", encoded[1][:12])


def terraform(d: Draw) -> Value:
    text = f"{d.alnum(14)}.atlasv1.{d.urlsafe(67)}"
    return token("terraform_token", text, "TF_TOKEN_app_terraform_io tfe_token", "Terraform token", ".atlasv1.")


def _hex(length: int) -> Callable[[Draw], str]:
    return lambda d: d.hexa(length)


def _alnum(length: int) -> Callable[[Draw], str]:
    return lambda d: d.alnum(length)


def _urlsafe(length: int) -> Callable[[Draw], str]:
    return lambda d: d.urlsafe(length)


def sentry(d: Draw) -> Value:
    """A person's token is hex; an organization's holds base64 of when, where and for whom, and a signature."""
    if d.chance(0.5):
        return token("sentry_token", "sntryu_" + d.hexa(64), "SENTRY_AUTH_TOKEN", "Sentry token", "sntryu_")
    issued = f"{d.number(1_700_000_000, 1_790_000_000)}.{d.digits(6)}"
    claims = (
        f'{{"iat":{issued},"url":"https://sentry.example.com","region_url":"https://eu.sentry.example.com","org":"{d.word()}"}}'
    )
    text = f"sntrys_{base64.b64encode(claims.encode()).decode()}_{d.base64(32).rstrip('=')}"
    return token("sentry_token", text, "SENTRY_AUTH_TOKEN", "Sentry token", "sntrys_eyJpYXQiOj")


MAKERS: dict[str, Maker] = {
    "gitlab_pat": gitlab_pat,
    "gitlab_other": gitlab_other,
    "github_token": github_classic,
    "github_fine_token": github_fine,
    "npm_token": npm,
    "pypi_token": pypi,
    "docker_token": docker,
    "vault_token": vault,
    "jwt": jwt,
    "terraform_token": terraform,
    "sentry_token": sentry,
    "rubygems_token": _prefixed("rubygems_token", "rubygems_", _hex(48), "GEM_HOST_API_KEY rubygems_key", "RubyGems key"),
    "pulumi_token": _prefixed("pulumi_token", "pul-", _hex(40), "PULUMI_ACCESS_TOKEN", "Pulumi token"),
    "sonar_token": _prefixed("sonar_token", "squ_", _hex(40), "SONAR_TOKEN", "SonarQube token"),
    "doppler_token": _prefixed("doppler_token", "dp.pt.", _alnum(43), "DOPPLER_TOKEN", "Doppler token"),
    "buildkite_token": _prefixed("buildkite_token", "bkua_", _hex(40), "BUILDKITE_API_TOKEN", "Buildkite token"),
    "linear_key": _prefixed("linear_key", "lin_api_", _alnum(40), "LINEAR_API_KEY linear_key", "Linear key"),
    "postman_key": lambda d: token("postman_key", f"PMAK-{d.hexa(24)}-{d.hexa(34)}", "POSTMAN_API_KEY", "Postman key", "PMAK-"),
    "huggingface_token": _prefixed(
        "huggingface_token", "hf_", lambda d: d.text(LOWER + UPPER, 34), "HF_TOKEN hf_token", "Hugging Face token"
    ),
    "replicate_token": _prefixed("replicate_token", "r8_", _alnum(37), "REPLICATE_API_TOKEN", "Replicate token"),
    "figma_token": _prefixed("figma_token", "figd_", _urlsafe(40), "FIGMA_TOKEN", "Figma token"),
    "artifactory_key": _prefixed("artifactory_key", "AKCp8", _alnum(68), "ARTIFACTORY_API_KEY", "Artifactory key"),
}
