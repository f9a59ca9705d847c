"""What every reader of a format hands on: a graph as it was found, and where its inputs, outputs and
weights are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from wherry.graph import Graph, Ref, Value


@dataclass
class Source:
    """A model before it is normalised.

    graph: with function calls and variables still in it
    inputs, outputs: by name in the signature, in its order; Placeholder node names and references
    variables: what VarHandleOp, VariableV2 and captured Placeholder nodes hold, by node name
    labels: names of variables as the user knows them, by node name, where the node is called something else
    effects: nodes that run even though no output needs them
    """

    graph: Graph
    inputs: dict[str, str]
    outputs: dict[str, Ref]
    variables: Mapping[str, Value] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)


def one_line(error: BaseException, limit: int = 200) -> str:
    """The first line of an exception's message, cut to a readable length."""
    lines = [re.sub(r"\x1b\[\d*m", "", line).strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith("Exception encountered when calling")]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
