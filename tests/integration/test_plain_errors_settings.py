"""Settings that are misspelt, missing or impossible: refused at once by every part and tool, with the nearest name, no secret."""

from __future__ import annotations

import subprocess
import sys

import pytest

from infra.stack.server import base_environment
from infra.stack.stack import CHECKOUT
from pipeline.__main__ import PARTS, TOOLS

ARGUMENTS = {
    "quarantine": [["list"], ["show", "0:1"], ["replay", "0:1"]],
    "reference": [["history"]],
    "rules": [["history"], ["preview", "examples/rules"]],
    "retention": [["plan"]],
    "completeness": [["--tenant", "demo"]],
    "producer": [
        ["list", "--tenant", "demo"],
        ["declare-dead", "--tenant", "demo", "--producer", "p", "--epoch", "1", "--by", "olga@example.com", "--reason", "gone"],
    ],
    "rebuild": [["clickhouse"], ["archive", "--partition", "0", "--since", "0", "--until", "9"]],
    "offsets": [["show"], ["set", "--group", "processor", "--partition", "0", "--to", "0"]],
    "explain": [["0f8fad5b-d9cb-469f-a165-70867728950e", "--tenant", "demo"]],
    "redact": [],  # reads no settings
    "token": [],  # reads no settings
    "archive-sql": [],  # prints a statement for others to run
}
COMMANDS = [[name, *words] for name in (*PARTS, *TOOLS) for words in ARGUMENTS.get(name, [[]])]


def run(command: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *command],
        env={**base_environment(), **{f"AUDITWIRE_{n}": v for n, v in env.items()}},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_misspelt_setting_is_refused_with_the_nearest_name(command: list[str]) -> None:
    done = run(command, KAFKA_BOOTSRAP="hunter2")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "auditwired: AUDITWIRE_KAFKA_BOOTSRAP is not a setting of Auditwire. Did you mean AUDITWIRE_KAFKA_BOOTSTRAP? "
        "Unset it or correct its name (docs/configuration.md).\n"
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_missing_settings_are_named_together(command: list[str]) -> None:
    done = run(command)
    assert done.returncode == 2
    assert done.stderr.startswith("auditwired: settings of ")
    assert " is not set." in done.stderr
    assert done.stderr.endswith("Set them in the environment (docs/configuration.md).\n")


@pytest.mark.parametrize(
    ("part", "wrong", "says"),
    [
        ("processor", {"PROCESSOR_LINGER_MS": "hunter2"}, "AUDITWIRE_PROCESSOR_LINGER_MS: Input should be a valid integer"),
        ("ingest", {"LOG_FORMAT": "hunter2"}, "AUDITWIRE_LOG_FORMAT: Input should be 'json' or 'console'"),
        ("migrate", {"OBJECT_LOCK_MODE": "hunter2"}, "AUDITWIRE_OBJECT_LOCK_MODE: Input should be 'GOVERNANCE' or 'COMPLIANCE'"),
    ],
)
def test_an_impossible_value_is_not_quoted(part: str, wrong: dict[str, str], says: str) -> None:
    done = run([part], **wrong)
    assert done.returncode == 2
    assert says in done.stderr
    assert "hunter2" not in done.stderr
