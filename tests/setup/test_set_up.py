"""The scripts of the set-up say what is missing and take the first way that works."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

TOOLS = [
    "bash", "cat", "chmod", "cp", "dirname", "flock", "grep", "head", "id", "mkdir", "mv",
    "printf", "rm", "sort", "tail", "timeout", "date", "nice", "find",
]  # fmt: skip


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A search path with the plain tools of a system and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        if (found := shutil.which(name)) is not None:
            (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def write_program(tools: Path) -> Callable[[str, str], None]:
    """Puts a shell program of the test's own onto that search path."""

    def write(name: str, text: str) -> None:
        path = tools / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return write


@pytest.fixture
def run_script(
    repository: Path, tools: Path, tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script of deploy/setup with the bare search path and an empty home."""

    def run(name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        # The scripts look into sbin by themselves: a bare system has none of what they look for.
        text = (repository / "deploy" / "setup" / name).read_text(encoding="utf-8")
        bare = text.replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin", "")
        script = tmp_path / "deploy" / "setup" / name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(bare)
        return subprocess.run(
            ["bash", str(script), *arguments],
            cwd=tmp_path,
            env={"PATH": str(tools), "HOME": str(home), **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


class TestSystemPackages:
    def test_all_that_is_missing_is_one_line_for_apt_and_exit_2(
        self, run_script: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        done = run_script("system_packages.sh", "python", "mosquitto", "chromium")
        assert done.returncode == 2
        prefix = "" if os.getuid() == 0 else "sudo "
        assert done.stderr == (
            f"{prefix}apt-get install -y python3 python3-venv mosquitto chromium\n"
        )

    def test_a_python_without_venv_asks_for_that_package_only(
        self,
        run_script: Callable[..., subprocess.CompletedProcess[str]],
        write_program: Callable[[str, str], None],
    ) -> None:
        write_program("python3", 'case "$*" in *ensurepip*) exit 1;; *) exit 0;; esac')
        done = run_script("system_packages.sh", "python")
        assert (done.returncode, done.stderr.split()[-2:]) == (2, ["-y", "python3-venv"])

    def test_an_old_python_is_named_with_its_version(
        self,
        run_script: Callable[..., subprocess.CompletedProcess[str]],
        write_program: Callable[[str, str], None],
    ) -> None:
        write_program("python3", '[ "$1" = -V ] && echo Python 3.10.2 && exit 0; exit 1')
        done = run_script("system_packages.sh", "python")
        assert done.returncode == 2
        assert "3.11 or later is needed, python3 is Python 3.10.2" in done.stderr

    def test_nothing_is_said_where_nothing_is_missing(
        self,
        run_script: Callable[..., subprocess.CompletedProcess[str]],
        write_program: Callable[[str, str], None],
    ) -> None:
        for name in ("python3", "mosquitto", "chromium"):
            write_program(name, "exit 0")
        done = run_script("system_packages.sh", "python", "mosquitto", "chromium")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class TestInfluxdb:
    def test_a_server_that_the_environment_names_is_taken(
        self, run_script: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        done = run_script(
            "influxdb.sh",
            GREENDC_TEST_INFLUX_URL="http://127.0.0.1:1",
            GREENDC_TEST_INFLUX_TOKEN="secret",
        )
        assert done.returncode == 0
        assert "http://127.0.0.1:1" in done.stdout
        assert "secret" not in done.stdout + done.stderr

    def test_where_no_way_works_one_loud_line_says_so_and_it_is_no_failure(
        self, run_script: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        done = run_script("influxdb.sh")
        assert done.returncode == 0
        assert done.stdout.startswith("!!! NO INFLUXDB")
        assert done.stdout.count("\n") == 1
        assert "apt-get install cargo-web gcc pkg-config" in done.stdout

    def test_the_server_comes_out_of_the_image_of_a_running_docker_engine(
        self,
        run_script: Callable[..., subprocess.CompletedProcess[str]],
        write_program: Callable[[str, str], None],
        tmp_path: Path,
    ) -> None:
        write_program("influxd-of-the-image", "exit 0")
        write_program(
            "docker",
            'echo "$*" >> "$HOME/docker.log"\n'
            'case "$1" in\n'
            "  create) echo container-1 ;;\n"
            '  cp) cp "$(dirname "$0")/influxd-of-the-image" "${@: -1}" ;;\n'
            "esac",
        )
        done = run_script("influxdb.sh")
        server = tmp_path / "home" / ".cache" / "greendc" / "influxd-2.9.1"
        assert "taken from its Docker image" in done.stdout, done.stderr
        assert os.access(server, os.X_OK)
        log = (tmp_path / "home" / "docker.log").read_text()
        assert "influxdb:2.9.1" in log
        assert "rm container-1" in log

        again = run_script("influxdb.sh")
        assert "is there" in again.stdout
        assert (tmp_path / "home" / "docker.log").read_text() == log

    def test_a_docker_client_without_an_engine_is_no_way(
        self,
        run_script: Callable[..., subprocess.CompletedProcess[str]],
        write_program: Callable[[str, str], None],
    ) -> None:
        write_program("docker", "exit 1")
        done = run_script("influxdb.sh")
        assert done.returncode == 0
        assert done.stdout.startswith("!!! NO INFLUXDB")

    def test_a_failed_build_is_told_with_the_end_of_its_log(
        self,
        run_script: Callable[..., subprocess.CompletedProcess[str]],
        write_program: Callable[[str, str], None],
        tmp_path: Path,
    ) -> None:
        for name in ("cargo", "gcc", "pkg-config"):
            write_program(name, "exit 0")
        write_program(
            "go", '[ "$1" = env ] && echo go1.26.8 && exit 0; echo "no such module"; exit 1'
        )
        done = run_script("influxdb.sh")
        assert done.returncode == 0
        assert "no such module" in done.stderr
        assert "!!! NO INFLUXDB: building it failed" in done.stdout
        assert not (tmp_path / "home" / ".cache" / "greendc" / "influxd-2.9.1").exists()
