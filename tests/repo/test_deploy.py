"""The files of scripts/deploy: they name ports, commands, settings and variables that there are."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from service.cli.main import app
from service.config import OTHER_VARIABLES, PREFIX, Config, load

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "scripts/deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
UNIT = DEPLOY / "copycatch.service"
MANIFESTS: dict[str, Any] = {
    one["kind"]: one
    for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
}
POD = MANIFESTS["StatefulSet"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
SETTINGS = tomllib.loads(MANIFESTS["ConfigMap"]["data"]["copycatch.toml"])


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


def instructions(name: str) -> list[str]:
    """The arguments of each instruction of this name in the Dockerfile, on one line each."""
    joined = re.sub(r"\s*\\\n\s*", " ", DOCKERFILE)
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)


def is_a_command(words: list[str]) -> None:
    """See that `copycatch` takes these words."""
    named = [word for word in words if word.startswith("--")]
    done = CliRunner().invoke(app, [words[0], "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, words
    assert all(option in done.stdout for option in named), words


def test_every_variable_is_one_that_is_read() -> None:
    known = OTHER_VARIABLES | {PREFIX + name.upper() for name in Config.model_fields}
    for file in DEPLOY.iterdir():
        text = file.read_text(encoding="utf-8")
        assert set(re.findall(rf"{PREFIX}[A-Z_]+", text)) <= known, file.name


def test_the_image_is_built_from_what_is_there() -> None:
    sources = [word for line in instructions("COPY") for word in shlex.split(line)[:-1]]
    (lock,) = re.findall(r"^ARG LOCK=(\w+)$", DOCKERFILE, re.MULTILINE)
    wanted = [one.replace("${LOCK}", lock) for one in sources if not one.startswith(("--", "/"))]
    assert {"service", "index", "models", "protos"} <= set(wanted)
    for name in wanted:
        assert (ROOT / name).exists(), name
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    for name in wanted:
        assert name in let_in or f"{name.rpartition('/')[0]}/*.txt" in let_in, name


def test_the_image_has_the_wheels_of_a_lock_and_a_user_without_rights() -> None:
    install = " ".join(instructions("RUN"))
    assert "--require-hashes --no-deps --only-binary :all: -r requirements/${LOCK}.txt" in install
    (user,) = instructions("USER")
    assert user == f"{POD['securityContext']['runAsUser']}:{POD['securityContext']['runAsGroup']}"
    assert f"useradd --uid {user.partition(':')[0]}" in install


def test_the_image_and_the_pod_run_commands_that_there_are() -> None:
    is_a_command(["serve"])
    assert instructions("ENTRYPOINT") == ['["copycatch"]']
    assert 'CMD ["serve"]' in DOCKERFILE
    assert 'CMD ["copycatch", "health"]' in instructions("HEALTHCHECK")[0]
    is_a_command(CONTAINER["args"])
    for probe in ("startupProbe", "readinessProbe"):
        program, *words = CONTAINER[probe]["exec"]["command"]
        assert program == "copycatch"
        is_a_command(words)


def test_the_ports_are_those_that_are_listened_on() -> None:
    listened = {port(SETTINGS["listen"]), port(SETTINGS["metrics_listen"])}
    assert {one["containerPort"] for one in CONTAINER["ports"]} == listened
    assert {one["port"] for one in MANIFESTS["Service"]["spec"]["ports"]} == listened
    named = {one["name"] for one in CONTAINER["ports"]}
    assert {one["targetPort"] for one in MANIFESTS["Service"]["spec"]["ports"]} == named
    assert set(map(int, instructions("EXPOSE")[0].split())) == listened
    defaults = Config.model_fields["listen"].default, Config.model_fields["metrics_listen"].default
    assert set(map(port, defaults)) == listened


def test_the_settings_are_settings_and_lie_in_what_is_mounted(tmp_path: Path) -> None:
    config = load(**SETTINGS)
    mounts = {one["mountPath"]: one for one in CONTAINER["volumeMounts"]}
    assert config.data_dir.is_relative_to("/data")
    for file in (config.tls_certificate, config.tls_key):
        assert file is not None and file.is_relative_to("/tls") and mounts["/tls"]["readOnly"]
    written = tmp_path / "unit.toml"
    written.write_text((DEPLOY / "copycatch.toml").read_text(encoding="utf-8"), encoding="utf-8")
    assert load(written).data_dir == Path("/var/lib/copycatch")


def test_whoever_stops_it_waits_until_what_was_accepted_is_answered(tmp_path: Path) -> None:
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text("utf-8"), re.MULTILINE)
    assert int(seconds) > load().shutdown_grace_s
    assert POD["terminationGracePeriodSeconds"] > load(**SETTINGS).shutdown_grace_s


def test_nothing_in_the_pod_may_become_more_than_it_is() -> None:
    may = CONTAINER["securityContext"]
    assert may["readOnlyRootFilesystem"] and not may["allowPrivilegeEscalation"]
    assert may["capabilities"] == {"drop": ["ALL"]}
    assert POD["securityContext"]["runAsNonRoot"]
    assert MANIFESTS["StatefulSet"]["spec"]["replicas"] == 1


def test_the_parts_of_the_manifests_fit_each_other() -> None:
    volumes = {one["name"] for one in POD["volumes"]}
    claimed = MANIFESTS["StatefulSet"]["spec"]["volumeClaimTemplates"]
    volumes |= {one["metadata"]["name"] for one in claimed}
    assert {one["name"] for one in CONTAINER["volumeMounts"]} == volumes
    labels = MANIFESTS["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert MANIFESTS["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["Service"]["spec"]["selector"] == labels
    assert MANIFESTS["StatefulSet"]["spec"]["serviceName"] == "copycatch"


def test_the_unit_runs_commands_that_there_are_and_systemd_takes_it(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")
    for line in re.findall(r"^ExecStart(?:Pre)?=\S+/copycatch (.*)$", text, re.MULTILINE):
        is_a_command(shlex.split(line))
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    # The program is looked for where the unit says that it is.
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("/opt/copycatch/bin/copycatch", "/bin/true"), encoding="utf-8")
    done = subprocess.run(
        [verify, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "copycatch.service" in line]
    assert (done.returncode, said) == (0, []), done.stderr
