"""What README.md and other pages tell a newcomer to type is there, and screens are real ones.

A screen cannot be printed here without root, so the demonstration's is compared with the sentences
in its source: whoever changes those runs it again and pastes what it says.
"""

import ast
import importlib
import re
from pathlib import Path

import click
import pytest

from isthmus.cli.main import VERBS
from isthmus.config.load import load
from isthmus.crypto.selftest import supported
from isthmus.values.proposal import Transform, keywords, parse_proposal
from isthmus.values.registry.ikev2 import Encr, KeMethod, SecurityProtocol, TransformType

from .pages import PACKAGE, PAGES, ROOT, fenced, names, read, rows, section

README = read("README.md")
MAKEFILE = read("Makefile")
CONFIGURATION = fenced(README, "toml")
COMMAND = re.compile(r"(?:^\$ |`)isthmus ([a-z]+)(?: ([a-z]+))?([^`\n]*)", re.MULTILINE)
DEMO = README.split("<!-- screen: demo -->\n```\n")[1].split("```")[0]
CAPABILITIES = supported()
SENTENCE_MIN = 8
"""Characters of a piece of text that is worth looking for."""


def commands() -> list[tuple[str, str, str]]:
    """Every use of `isthmus VERB`: verb, next word, the rest of the line."""
    pages = [page.read_text() for page in PAGES]
    return [found for text in pages for found in COMMAND.findall(text)]


def group(verb: str) -> click.Command:
    module, _ = VERBS[verb]
    command = getattr(importlib.import_module(f"isthmus.cli.commands.{module}"), verb)
    assert isinstance(command, click.Command)
    return command


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))


def demo_sentences() -> set[str]:
    """The fixed pieces of what the demonstration says when all goes well."""
    tree = ast.parse((PACKAGE / "lab" / "demo.py").read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="story"), attr="say"), args=[text]):
                found |= pieces(text)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="story"), attr="check"), args=[holds, text]
            ):
                if not isinstance(holds, ast.Constant):
                    found |= pieces(text)
    return found


def pieces(text: ast.expr) -> set[str]:
    parts = text.values if isinstance(text, ast.JoinedStr) else [text]
    words = {str(part.value).strip() for part in parts if isinstance(part, ast.Constant)}
    return {word for word in words if len(word) >= SENTENCE_MIN}


def test_every_command_that_is_named_exists() -> None:
    found = commands()
    assert len(found) > 30
    unknown = [verb for verb, _, _ in found if verb not in VERBS]
    # The product's guide names a verb that the support table says is not there yet.
    assert set(unknown) <= {"explain"}
    assert "`isthmus explain` | not yet" in README


@pytest.mark.parametrize("verb", ["lab", "psk", "ca"])
def test_every_verb_below_a_verb_exists(verb: str) -> None:
    command = group(verb)
    assert isinstance(command, click.Group)
    used = {word for name, word, _ in commands() if name == verb and word}
    assert used and used <= set(command.commands)


def test_every_option_of_a_ca_command_exists() -> None:
    ca = group("ca")
    assert isinstance(ca, click.Group)
    for verb, word, rest in commands():
        if verb == "ca" and word:
            options = {name for param in ca.commands[word].params for name in param.opts}
            assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= options, (word, rest)


def test_every_option_of_a_lab_command_exists() -> None:
    lab = group("lab")
    assert isinstance(lab, click.Group)
    for verb, word, rest in commands():
        # What follows `run HOST` belongs to another program.
        if verb == "lab" and word and word != "run":
            options = {name for param in lab.commands[word].params for name in param.opts}
            assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= options, (word, rest)


def test_every_make_target_that_is_named_exists() -> None:
    named = {
        target for page in PAGES for target in re.findall(r"`make ([a-z0-9-]+)", page.read_text())
    }
    assert {"demo", "test", "lint"} <= named <= make_targets()


def test_the_two_commands_of_a_newcomer_come_first() -> None:
    assert README.index("`make demo`") < README.index("`make test`") < README.index("\n## ")


def test_the_configuration_loads_without_a_warning(tmp_path: Path) -> None:
    (text,) = CONFIGURATION
    secret = tmp_path / "office.psk"
    secret.write_text("QyZ3ww1hXTdB0.8kqW2mPfE_7VnRu5cL\n")
    secret.chmod(0o600)
    path = tmp_path / "isthmus.toml"
    path.write_text(text.replace("/etc/isthmus/secrets/", f"{tmp_path}/"))
    path.chmod(0o600)
    found = load(path)
    assert [c.name for c in found.configuration.connections] == ["office"]
    assert found.configuration.warnings == ()


def test_the_screen_of_the_demonstration_is_what_it_says() -> None:
    sentences = demo_sentences()
    assert len(sentences) > 15
    assert {sentence for sentence in sentences if sentence not in DEMO} == set()
    assert "FAIL" not in DEMO
    assert DEMO.rstrip().splitlines()[-1].startswith("VERIFIED: ")


def test_the_suites_of_the_live_tests_are_those_that_are_listed() -> None:
    tree = ast.parse((ROOT / "tests" / "interop" / "support.py").read_text())
    tested = [
        [ast.literal_eval(argument) for argument in node.args[:3]]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Suite"
    ]
    listed = [
        [row[0], *names(row[1]), *names(row[2])]
        for row in rows(section(README, "## What works and what does not yet"))
        if len(row) == 3 and row[1].startswith("`")
    ]
    assert tested and listed == tested
    for _, phase1, phase2 in listed:
        assert not CAPABILITIES.unsupported(parse_proposal(phase1, SecurityProtocol.IKE))
        assert not CAPABILITIES.unsupported(parse_proposal(phase2, SecurityProtocol.ESP))


@pytest.mark.parametrize(
    "proposal",
    [
        f"{cipher}-prfsha256-x25519"
        for cipher in (
            *(f"aes256{mode}{icv}" for mode in ("gcm", "ccm") for icv in (8, 12, 16)),
            "chacha20poly1305",
        )
    ]
    + [
        f"{cipher}-{integ}-prfsha256-x25519"
        for cipher in ("aes256", "aes256ctr")
        for integ in ("sha256", "sha384", "sha512", "sha1", "aesxcbc", "aescmac")
    ]
    + [
        f"aes256gcm16-{prf}-x25519"
        for prf in ("prfsha1", "prfsha256", "prfsha384", "prfsha512", "prfaesxcbc", "prfaescmac")
    ]
    + [
        f"aes256gcm16-prfsha256-{group}"
        for group in (
            *("modp2048", "modp3072", "modp4096", "modp6144", "modp8192"),
            *("ecp256", "ecp384", "ecp521", "x25519", "x448"),
        )
    ]
    + ["3des-md5-modp1024", "3des-sha1-modp1536", "aes128-sha1-modp1024", "aes128-md5-modp2048"],
)
def test_the_algorithms_that_the_table_promises_work(proposal: str) -> None:
    assert not CAPABILITIES.unsupported(parse_proposal(proposal, SecurityProtocol.IKE))


def test_what_the_table_denies_does_not_work() -> None:
    denied = {
        Transform(TransformType.ENCR, Encr.DES),
        Transform(TransformType.ENCR, Encr.NULL),
        Transform(TransformType.KE, KeMethod.MODP_768),
        *(Transform(TransformType.KE, number) for number in (22, 23, 24)),
    }
    assert not CAPABILITIES.transforms & denied
    assert not keywords() & {"des", "null", "modp768", "modp1024s160", "modp2048s224"}
