"""Builds the slim library: targets, toolchains, the CMake driver, and what is installed."""

from wherry.build.driver import BuildReport, as_json, build, summary
from wherry.build.targets import Target, load_target, target_names, targets

__all__ = ["BuildReport", "Target", "as_json", "build", "load_target", "summary", "target_names", "targets"]
