"""Every command and program in the README is run as it stands there, in order, in one folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    return [(language, text) for language, text in BLOCK.findall((ROOT / "README.md").read_text())]


def commands() -> list[str]:
    lines = [line for language, text in blocks() if language == "sh" for line in text.splitlines() if line.strip()]
    return [re.sub(r"\s+#.*$", "", line) for line in lines]


def run(command: str | list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path}
    return subprocess.run(
        command, shell=isinstance(command, str), cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_make_commands_exist() -> None:
    for command in (c for c in commands() if c.startswith("make ")):
        done = run(["make", "-n", *command.split()[1:]], ROOT)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\[[^\]]+\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_install_command(tmp_path: Path) -> None:
    """What `pip install .` does: a wheel, built in an environment that has nothing but what pyproject.toml asks for."""
    (command,) = [c for c in commands() if c.startswith("pip install")]
    assert command == "pip install '.[cross]'"
    wheel = ["wheel", "--no-deps", "-w", str(tmp_path), "."]
    done = run([sys.executable, "-m", "pip", *wheel], ROOT)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("wherry-*.whl")
    done = run([sys.executable, "-m", "zipfile", "-l", str(wheel)], ROOT)
    source = ("cpp/CMakeLists.txt", "ops_templates/ops_to_register.h.j2", "build_configs/targets/host.toml")
    for needed in (*(f"wherry/source/{file}" for file in source), "wherry/_native"):
        assert needed in done.stdout


def test_every_other_command_and_program(tmp_path: Path) -> None:
    """In the README's order: shell lines and Python blocks run, app.c and app.cc are written where they stand."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for language, text in blocks():
        if language in ("c", "cpp"):
            (tmp_path / f"app.{'cc' if language == 'cpp' else 'c'}").write_text(text)
        elif language == "python":
            done = run([sys.executable, "-c", text], tmp_path)
            assert done.returncode == 0, done.stderr
        elif language == "sh":
            for line in text.splitlines():
                command = re.sub(r"\s+#.*$", "", line).strip()
                if not command or command.startswith(("make ", "pip ")):
                    continue
                compiler = command.split()[0]
                if compiler in ("cc", "c++") and shutil.which(compiler) is None:
                    pytest.skip(f"no compiler called {compiler}")
                done = run(command, tmp_path)
                assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
