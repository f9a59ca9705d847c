"""CMake as the build driver sees it: the tool, a build folder, arguments from pure functions, one way to run them."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wherry.errors import BuildError

MINIMUM = (3, 20)


@dataclass(frozen=True)
class CMake:
    """A CMake program and the Ninja that it drives."""

    program: Path
    version: tuple[int, ...]
    ninja: Path

    @classmethod
    def find(cls) -> CMake:
        """From the PyPI packages cmake and ninja, else from PATH. Raises BuildError when either is not there."""
        program = _program("cmake", "CMAKE_BIN_DIR")
        ninja = _program("ninja", "BIN_DIR")
        answer = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)
        match = re.search(r"version (\d+)\.(\d+)(?:\.(\d+))?", answer.stdout)
        if match is None:
            raise BuildError(f"{program} --version does not say a version; pip install cmake")
        version = tuple(int(part) for part in match.groups("0"))
        if version < MINIMUM:
            raise BuildError(f"{program} is version {match.group(0)[8:]}, 3.20 or newer is needed: pip install cmake")
        return cls(program, version, ninja)


@dataclass(frozen=True)
class BuildFolder:
    """source: the folder of CMakeLists.txt. build: where CMake works; kept, so that the next build is short."""

    source: Path
    build: Path

    @property
    def log(self) -> Path:
        """Everything that the tools said in the last build."""
        return self.build / "build.log"


def configure_command(
    cmake: CMake, folder: BuildFolder, definitions: Mapping[str, str | bool], toolchain: Path | None = None
) -> list[str]:
    command = [
        str(cmake.program), "-S", str(folder.source), "-B", str(folder.build), "-G", "Ninja",
        f"-DCMAKE_MAKE_PROGRAM={cmake.ninja}",
    ]
    if toolchain is not None:
        command.append(f"-DCMAKE_TOOLCHAIN_FILE={toolchain}")
    return command + [f"-D{name}={_value(value)}" for name, value in sorted(definitions.items())]


def build_command(cmake: CMake, folder: BuildFolder, jobs: int) -> list[str]:
    return [str(cmake.program), "--build", str(folder.build), "--parallel", str(jobs)]


def install_command(cmake: CMake, folder: BuildFolder, prefix: Path) -> list[str]:
    return [str(cmake.program), "--install", str(folder.build), "--prefix", str(prefix)]


def run(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None,
    each_line: Callable[[str], None] | None = None,
) -> None:
    """Runs a tool; what it says is appended to the log, and given to each_line as it comes. Raises BuildError with the
    first error and the log's name."""
    said = []
    try:
        with subprocess.Popen(
            command, env=dict(environment) if environment is not None else None, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        ) as tool:
            assert tool.stdout is not None
            for line in tool.stdout:
                said.append(line)
                if each_line is not None:
                    each_line(line)
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be run: {error.strerror}") from error
    output = "".join(said)
    with log.open("a") as file:
        file.write(f"$ {' '.join(command)}\n{output}\n")
    if tool.returncode != 0:
        raise BuildError(f"{explain(output)}; all that was said is in {log}")


# CMake's three ways of saying it: none was found; what a variable of its own names is not there; what CC or CXX names.
_COMPILER_MISSING = (
    re.compile(r"No CMAKE_(?P<language>C|CXX)_COMPILER could be found(?P<program>)"),
    re.compile(r"The CMAKE_(?P<language>C|CXX)_COMPILER:\s+(?P<program>\S+)"),
    re.compile(r"compiler \w+ in\s+(?:the\s+)?environment\s+variable\s+(?P<language>C|CX)[CX]:\s+(?P<program>\S+)"),
)


def explain(output: str) -> str:
    """The one line of a failed tool's output that says why."""
    for missing in filter(None, (pattern.search(output) for pattern in _COMPILER_MISSING)):
        language, variable = ("C++", "CXX") if "X" in missing["language"] else ("C", "CC")
        named = f" {missing['program'].rstrip('.')}" if missing["program"] else ""
        return f"there is no {language} compiler{named}: install one, or name it in {variable}"
    lines = [line.strip() for line in output.splitlines()]
    for pattern in (r"\berror:", r"\bfatal error\b", r"^CMake Error", r"^FAILED:", r"^ninja: error"):
        for number, line in enumerate(lines):
            if not re.search(pattern, line):
                continue
            if line.startswith("CMake Error"):  # its text follows
                text = " ".join(part for part in lines[number + 1 : number + 4] if part)
                return f"CMake failed: {text or line}"
            return f"the build failed: {line}"
    last = next((line for line in reversed(lines) if line), "it said nothing")
    return f"the build failed: {last}"


def _value(value: str | bool) -> str:
    return ("ON" if value else "OFF") if isinstance(value, bool) else value


def _program(name: str, folder_attribute: str) -> Path:
    """From the PyPI package of that name, which says where its programs are; else from PATH."""
    try:
        folder = getattr(importlib.import_module(name), folder_attribute)
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    except (ImportError, AttributeError):
        pass
    found = shutil.which(name)
    if found is None:
        raise BuildError(f"{name} is not installed: pip install {name}")
    return Path(found)
