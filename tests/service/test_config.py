"""Settings: where they come from, what is refused, and that each is described."""

from pathlib import Path
from typing import Any

import pytest

from models.weights import parse_model
from service.addresses import is_local
from service.config import PREFIX, Config, ConfigInvalid, load
from service.cores import cores
from service.described import settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def test_the_environment_outranks_the_file_and_the_call_outranks_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "copycatch.toml"
    file.write_text('queue_size = 100\nbatch_size = 4\nstream_window = 2\nencoder = "sscd"\n')
    monkeypatch.setenv("COPYCATCH_BATCH_SIZE", "16")
    monkeypatch.setenv("COPYCATCH_STREAM_WINDOW", "32")
    config = load(file, stream_window=64)
    assert (config.queue_size, config.batch_size, config.stream_window) == (100, 16, 64)
    assert config.encoder == "sscd"


@pytest.mark.parametrize("origin", ["file", "environment", "call"])
def test_an_unknown_name_is_refused_with_the_nearest_known_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    file, values = tmp_path / "c.toml", {}
    file.write_text("queue_sise = 100\n" if origin == "file" else "")
    if origin == "environment":
        monkeypatch.setenv("COPYCATCH_QUEUE_SISE", "100")
    if origin == "call":
        values = {"queue_sise": 100}
    with pytest.raises(ConfigInvalid) as caught:
        load(file, **values)
    (problem,) = caught.value.problems
    assert "queue_sise" in problem.lower() and "queue_size" in problem.lower()


@pytest.mark.parametrize("name", ["server", "encoder"])
def test_a_table_is_told_to_be_none(tmp_path: Path, name: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'[{name}]\nlisten = "127.0.0.1:0"\n')
    with pytest.raises(ConfigInvalid) as caught:
        load(file)
    assert caught.value.problems == [
        f"[{name}] in {file} is a table; settings stand at the top, without tables"
    ]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(queue_size=3, encoder="vgg", listen="nowhere", metrics_listen="unix:x")
    named = {problem.partition(":")[0] for problem in caught.value.problems}
    assert named == {"queue_size", "encoder", "listen", "metrics_listen"}


@pytest.mark.parametrize("text", ["queue_size = ", "\xff"])
def test_a_broken_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigInvalid, match=r"broken\.toml"):
        load(file)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    with pytest.raises(ConfigInvalid) as caught:
        load(missing)
    assert caught.value.problems == [f"{missing} can not be read: No such file or directory"]
    assert caught.value.remedy == "name a TOML file of settings"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"listen": "x"}, "listen: must be host:port with a port in 0..65535 (got 'x')"),
        ({"listen": 5}, "listen: must be text, in quotes (got 5)"),
        ({"batch_size": 1.5}, "batch_size: must be a whole number (got 1.5)"),
        ({"batch_size": 0}, "batch_size: must be at least 1 (got 0)"),
        ({"clip": "on"}, "clip: must be 'auto', 'required' or 'off' (got 'on')"),
        ({"sweep_roots": 5}, "sweep_roots: must be a list, in brackets (got 5)"),
        ({"tls_key": "/k.pem"}, "tls_certificate and tls_key go together"),
    ],
)
def test_a_broken_rule_is_told_in_words_of_the_file(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(**values)
    assert caught.value.problems == [told]


@pytest.mark.parametrize(
    ("form", "terminal", "lines"),
    [
        ("auto", True, "text"),
        ("auto", False, "json"),
        ("json", True, "json"),
        ("text", False, "text"),
    ],
)
def test_the_log_is_words_for_a_terminal_unless_told(form: str, terminal: bool, lines: str) -> None:
    assert load(log_format=form).log_form(terminal=terminal) == lines


def test_variables_of_kubernetes_and_of_the_command_line_are_no_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COPYCATCH_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("COPYCATCH_PORT_50051_TCP_ADDR", "10.0.0.1")
    monkeypatch.setenv("COPYCATCH_SERVER", "localhost:50051")
    assert load() == Config.model_validate({})


def test_a_misspelt_setting_is_not_taken_for_a_variable_of_kubernetes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COPYCATCH_PORTT", "50052")
    with pytest.raises(ConfigInvalid, match="COPYCATCH_PORTT"):
        load()


def test_every_setting_is_described_with_its_range() -> None:
    described = list(settings())
    assert [setting.name for setting in described] == list(Config.model_fields)
    for setting in described:
        assert setting.description.endswith("."), setting.name
        assert setting.variable == f"COPYCATCH_{setting.name.upper()}"
        if setting.kind.startswith(("int", "float")):
            assert ".." in setting.kind, setting.name


def test_the_worker_threads_follow_the_cores_when_not_set() -> None:
    assert load(worker_threads=3).threads == 3
    assert load().threads >= 2


def test_pictures_are_looked_at_in_processes_unless_threads_are_asked_for() -> None:
    assert load(matching="threads", matching_processes=5).processes == 0
    assert load(matching="processes", matching_processes=5).processes == 5
    assert load().processes == cores() + 1


def test_passes_take_the_threads_that_pay() -> None:
    assert (load().threads_of_pass, load().passes_at_once) == (1, cores())
    whole = load(encoder_threads=cores())
    assert (whole.threads_of_pass, whole.passes_at_once) == (cores(), 1)
    assert load(encoder_threads=2 * cores()).passes_at_once == 1


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "ViT-B-32/laion2b_s34b_b79k"),
        ({"clip_weights": "/w.pt"}, "ViT-B-32:/w.pt"),
        ({"clip_model": "hf-hub:org/name"}, "hf-hub:org/name"),
        ({"clip_model": "local-dir:/m", "clip_pretrained": ""}, "local-dir:/m"),
    ],
)
def test_the_settings_about_clip_become_one_name(values: dict[str, Any], name: str) -> None:
    config = load(**values)
    assert config.clip_name == name
    assert parse_model(name).text == name


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.8.9.1:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/run/copycatch.sock", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example.com:1", False),
        ("127.0.0.1.example.com:1", False),
        ("", False),
    ],
)
def test_an_address_of_this_machine_is_told_from_others(address: str, local: bool) -> None:
    assert is_local(address) is local


@pytest.mark.parametrize("name", ["listen", "metrics_listen"])
def test_plain_text_on_an_address_that_others_reach_is_refused_unless_told(name: str) -> None:
    with pytest.raises(ConfigInvalid, match=f"{name} = 0.0.0.0:9 .*has no TLS"):
        load(**{name: "0.0.0.0:9"})
    assert load(**{name: "0.0.0.0:9", "plaintext": True}).plaintext
    tls = {"tls_certificate": "/c.pem", "tls_key": "/k.pem"}
    assert load(**{name: "0.0.0.0:9", **tls}).tls_key == Path("/k.pem")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"tls_certificate": "/c.pem"}, "go together"),
        ({"tls_key": "/k.pem"}, "go together"),
        ({"tls_client_ca": "/ca.pem"}, "needs tls_certificate"),
        ({"insecure": True, "listen": "0.0.0.0:9", "plaintext": True}, "insecure goes with"),
    ],
)
def test_settings_of_security_that_contradict_each_other_are_refused(
    values: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigInvalid, match=told):
        load(**values)
