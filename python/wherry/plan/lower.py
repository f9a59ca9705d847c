"""Turns an optimised graph into a program: picks a kernel for every node, and says what memory each tensor needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from wherry.errors import MissingKernelError, UsageError
from wherry.graph import ArrayValue, DType, Graph, Node, QuantizedValue, Ref, TensorType, Value
from wherry.graph.graph import ShapeAttr
from wherry.ops.catalog import Catalog, Kernel, catalog
from wherry.ops.rules import (
    ACTIVATION_BITS,
    ALIASES,
    FRACTION_BITS,
    HALF_LIMIT,
    LSTMS,
    REDUCED,
    OpRule,
    WeightUse,
    composite_op,
    rule_for,
    runtime_attrs,
)
from wherry.ops.suffixes import RUNTIME_TYPES, candidates, width_suffix
from wherry.pack import float28
from wherry.passes.recurrent_loop import LOOP_OPS
from wherry.plan.chains import join_chains
from wherry.plan.fast_swish import take_fast_swishes
from wherry.plan.lifetimes import set_lifetimes
from wherry.plan.order import choose_order
from wherry.plan.program import Program, ProgramTensor, Step, Storage, Weight
from wherry.plan.views import join_views
from wherry.plan.weight_size import stored_bytes

# Constants up to this size stay in memory while a pack is open, as do all shapes, axes and paddings.
RESIDENT_BYTES = 256
RESIDENT_INDEX_BYTES = 4096


class _Lowering:
    def __init__(self, graph: Graph, kernels: Catalog) -> None:
        self.graph = graph
        self.kernels = kernels
        self.tensors: dict[Ref, ProgramTensor] = {}
        self.weights: dict[tuple[str, WeightUse], ProgramTensor] = {}
        self.uses: dict[Ref, int] = {}
        self.missing: list[str] = []
        self.control_flow: list[str] = []  # what is missing of it
        self.lacking: set[str] = set()  # nodes without a kernel
        self.program = Program(graph.name, {}, {})

    def run(self, ordered: bool) -> Program:
        graph = self.graph
        needed = graph.reachable()
        order = [node for node in graph.topological() if node.name in needed]
        for node in order:
            for ref in node.inputs:
                self.uses[ref] = self.uses.get(ref, 0) + 1
        for ref in graph.outputs.values():
            self.uses[ref] = self.uses.get(ref, 0) + 1
        for number, (name, node_name) in enumerate(graph.inputs.items()):
            node = graph.nodes[node_name]
            kind = self._static(node, 0)
            if kind.dtype not in RUNTIME_TYPES:
                self.missing.append(
                    f"{graph.name}: node {node_name!r} ({node.op}): the runtime has no tensors of type "
                    f"{kind.dtype.short}, which the input {name!r} is; export the model from where its inputs are "
                    "numbers"
                )
            storage = Storage(_nbytes(kind), external=number)
            tensor = ProgramTensor(str(Ref(node_name)), kind.dtype, _dims(kind), storage)
            self.tensors[Ref(node_name)] = self.program.inputs[name] = tensor
        for node in order:
            self._lower(node)
        for name, ref in graph.outputs.items():
            self.program.outputs[name] = self._output(name, ref)
        missing = [*self.control_flow, *self.missing]  # what else is missing is mostly of a loop's lists
        if missing:
            raise MissingKernelError("\n".join(missing))
        take_fast_swishes(self.program)
        join_chains(self.program, self.kernels)
        if ordered:
            join_views(self.program, self.kernels)
            choose_order(self.program)
        set_lifetimes(self.program)
        return self.program

    def _static(self, node: Node, index: int) -> TensorType:
        kind = node.types[index] if index < len(node.types) else None
        if kind is not None and not kind.is_static and self.control_flow:
            return TensorType(kind.dtype, ())  # mostly of what has no kernel, which is what the user has to know
        if kind is None or not kind.is_static:
            raise UsageError(
                f"{self.graph.name}: the shape of {node.name!r} ({node.op}) is not known before it runs; "
                "give the shapes of the inputs (--input-shapes, or input_shapes in Python)"
            )
        return kind

    def _lower(self, node: Node) -> None:
        if node.op in ("Const", "Placeholder", "NoOp"):
            return
        if node.op in ALIASES:
            self._alias(node)
            return
        if node.op in _CONTROL_FLOW:
            self._no_control_flow(node)
            return
        op = composite_op(node.op, node.attrs)
        rule = rule_for(op)
        outputs = [self._new_output(node, i, rule) for i in range(len(node.types))]
        kernel, inputs = self._choose(node, op, rule, outputs)
        for index, tensor in enumerate(outputs):
            self.tensors[Ref(node.name, index)] = tensor
        if kernel is None:
            return
        attrs = _plain(runtime_attrs(op, node.attrs))
        if any(t.weight is not None and t.weight.use is WeightUse.MATRIX_TRANSPOSED for t in inputs):
            attrs.pop("transpose_b", None)  # the pack holds it the right way round
        if kernel.suffix.endswith("_hf16"):
            attrs["half_limit"] = float(node.attrs[HALF_LIMIT])
        if kernel.suffix.endswith("_sf32"):
            attrs["fraction_bits"] = int(node.attrs[FRACTION_BITS])
        if kernel.suffix.endswith("_di8") and ACTIVATION_BITS in node.attrs:
            attrs["activation_bits"] = int(node.attrs[ACTIVATION_BITS])
        self.program.steps.append(Step(node.name, op, kernel.key, inputs, outputs, attrs))

    def _new_output(self, node: Node, index: int, rule: OpRule) -> ProgramTensor:
        ref = Ref(node.name, index)
        if rule.unused_outputs and ref not in self.uses:
            kind = node.types[index]
            shape = _dims(kind) if kind.is_static else ()
            return ProgramTensor(str(ref), kind.dtype, shape)
        kind = self._static(node, index)
        return ProgramTensor(str(ref), kind.dtype, _dims(kind), Storage(_nbytes(kind)))

    def _alias(self, node: Node) -> None:
        kind = self._static(node, 0)
        source = node.inputs[0]
        if kind.dtype not in RUNTIME_TYPES:
            self._no_kernel(node, node.op, [self.graph.type_of(ref).dtype for ref in node.inputs], [kind.dtype], "")
            self.tensors[Ref(node.name)] = ProgramTensor(str(Ref(node.name)), kind.dtype, _dims(kind), Storage(0))
            return
        value = self.graph.const_value(source)
        if value is not None:
            # A view of a constant: the constant again under the other shape.
            array = value.numpy().reshape(_dims(kind))
            self.tensors[Ref(node.name)] = self._constant(node.name, ArrayValue(array), WeightUse.PLAIN)
            return
        held = self.tensors[source]
        self.tensors[Ref(node.name)] = ProgramTensor(
            str(Ref(node.name)), kind.dtype, _dims(kind), held.storage, held.weight
        )

    def _constant(self, name: str, value: Value, use: WeightUse) -> ProgramTensor:
        key = (name, use)
        if key not in self.weights:
            kind = value.type
            shape = _dims(kind)
            if use is WeightUse.MATRIX_TRANSPOSED:
                shape = shape[::-1]
            size = stored_bytes(value, use)
            index_like = kind.dtype in (DType.INT32, DType.INT64) and use is WeightUse.PLAIN
            resident = size <= (RESIDENT_INDEX_BYTES if index_like else RESIDENT_BYTES)
            self.weights[key] = ProgramTensor(
                name, kind.dtype, shape, weight=Weight(value, use, resident, size)
            )
        return self.weights[key]

    def _input(self, ref: Ref, use: WeightUse) -> ProgramTensor:
        value = self.graph.const_value(ref)
        if value is None:
            return self.tensors[ref]
        if isinstance(value, QuantizedValue) and not use.quantizable:
            return self._dequantized(ref, value)
        return self._constant(str(ref), value, use)

    def _dequantized(self, ref: Ref, value: QuantizedValue) -> ProgramTensor:
        """A quantized constant that a kernel wants in float32: a step of its own turns it back."""
        kernel = self.kernels.by_key(f"Dequantize_f32_{weight_suffix(value)}")
        source = self._constant(str(ref), value, WeightUse.ROWS)
        kind = value.type
        result = ProgramTensor(f"{ref}/dequantized", DType.FLOAT, _dims(kind), Storage(kind.nbytes))
        self.program.steps.append(Step(result.name, "Dequantize", kernel.key, [source], [result], {}))
        return result

    def _choose(
        self, node: Node, op: str, rule: OpRule, outputs: list[ProgramTensor]
    ) -> tuple[Kernel | None, list[ProgramTensor]]:
        """The kernel for a node, and its inputs as that kernel reads them."""
        in_types = [self.graph.type_of(ref).dtype for ref in node.inputs]
        out_types = [tensor.dtype for tensor in outputs]
        uses = dict.fromkeys(range(len(node.inputs)), WeightUse.PLAIN)
        formats = ""
        for position, use in rule.weights.items():
            value = self.graph.const_value(node.inputs[position])
            if value is None:
                continue
            if use is WeightUse.MATRIX and node.attrs.get("transpose_b"):
                use = WeightUse.MATRIX_TRANSPOSED
            formats = weight_suffix(value) if not formats or formats == "wf32" else formats
            uses[position] = use
        if formats == "wf32" and op in _RECURRENT and self._takes_28_bits(node, *rule.weights):
            formats, uses = "wf28", {**uses, **dict.fromkeys(rule.weights, WeightUse.RECURRENT)}
        kernel = None
        reduced = "sf32" if formats == "wf32" and FRACTION_BITS in node.attrs else ""
        if node.attrs.get(REDUCED):
            reduced = _REDUCED.get(formats, "")
        if reduced:
            kernel = self.kernels.find(op, f"{in_types[min(rule.weights)].short}_{reduced}", node.attrs)
            if kernel is not None and formats == "wi8" and op in LSTMS:
                uses.update(dict.fromkeys(rule.weights, WeightUse.RECURRENT))
        if kernel is None and formats:
            computes = DType.UINT8 if in_types[0] is DType.UINT8 else in_types[min(rule.weights)]
            kernel = self.kernels.find(op, f"{computes.short}_{formats}", node.attrs)
        known = RUNTIME_TYPES.issuperset(in_types) and RUNTIME_TYPES.issuperset(out_types)
        if kernel is None and known and (not rule.weights or rule.optional_weights):
            if formats in ("", "wf32"):
                uses = dict.fromkeys(uses, WeightUse.PLAIN)
            for suffix in candidates(in_types, out_types):
                kernel = self.kernels.find(op, suffix, node.attrs)
                if kernel is not None:
                    break
        if kernel is None:
            self._no_kernel(node, op, in_types, out_types, formats)
            return None, []
        return kernel, [self._input(ref, uses[i]) for i, ref in enumerate(node.inputs)]

    def _takes_28_bits(self, node: Node, position: int) -> bool:
        """Whether the weight of an LSTM is large, its sequence alone in the batch, and its exponents much the same."""
        state = self.graph.type_of(node.inputs[_RECURRENT[node.op]]).shape
        value = self.graph.const_value(node.inputs[position])
        if value is None or state is None or not float28.fits(_dims(value.type), int(state[0] or 0)):
            return False
        return float28.pays(value.numpy())

    def _no_control_flow(self, node: Node) -> None:
        """Says so, and gives the node outputs, so that everything else that is missing is found too."""
        for index, kind in enumerate(node.types):
            self.tensors[Ref(node.name, index)] = ProgramTensor(str(Ref(node.name, index)), kind.dtype, ())
        self.control_flow.append(self._lacks(node, _CONTROL_FLOW[node.op]))

    def _no_kernel(self, node: Node, op: str, inputs: list[DType], outputs: list[DType], formats: str) -> None:
        types = ", ".join(t.short for t in inputs)
        results = ", ".join(t.short for t in outputs)
        weights = f" with {formats} weights" if formats else ""
        self.missing.append(self._lacks(node, f"{op}({types}) -> ({results}){weights}"))

    def _lacks(self, node: Node, what: str) -> str:
        self.lacking.add(node.name)
        return (
            f"{self.graph.name}: node {node.name!r}: the runtime has no kernel for {what}; "
            f"{self._cut(node)}add a kernel under cpp/kernels"
        )

    def _cut(self, node: Node) -> str:
        """How the model is made to end before a node, where something that computes is before it."""
        lists = [self.graph.nodes[ref.node] for ref in node.inputs]
        sequences = [made.inputs[0] for made in lists if made.op == "TensorListFromTensor"]
        for ref in sequences + node.inputs:  # what a loop goes over rather than what it begins with
            made = self.graph.nodes[ref.node].op not in ("Const", "Placeholder") and ref.node not in self.lacking
            if made and self.graph.type_of(ref).dtype in RUNTIME_TYPES:
                return f"cut the model before it (--outputs {ref.node}:{ref.index}), or "
        return ""

    def _output(self, name: str, ref: Ref) -> ProgramTensor:
        """An output lives in the arena; one that is an input or a constant is copied there."""
        value = self.graph.const_value(ref)
        if value is not None and value.type.dtype not in RUNTIME_TYPES:
            tensor = ProgramTensor(str(ref), value.type.dtype, _dims(value.type))
        else:
            tensor = self.tensors[ref] if value is None else self._input(ref, WeightUse.PLAIN)
        if tensor.storage is not None and tensor.storage.external is None:
            return tensor
        nbytes = TensorType(tensor.dtype, tensor.shape).nbytes
        if tensor.dtype not in RUNTIME_TYPES:
            self._no_kernel(self.graph.nodes[ref.node], "Copy", [tensor.dtype], [tensor.dtype], "")
            return tensor
        kernel = self.kernels.by_key(f"Copy_{width_suffix(tensor.dtype)}")
        copy = ProgramTensor(f"{name}/copy", tensor.dtype, tensor.shape, Storage(nbytes))
        self.program.steps.append(Step(copy.name, "Copy", kernel.key, [tensor], [copy], {}))
        return copy


_LOOP = (
    "a While that is no LSTM or GRU layer as Keras writes it (masked layers, other activations than tanh and sigmoid, "
    "other recurrent layers and loops of one's own have no kernel)"
)
_BRANCHES = "branches of which inputs choose one"
_CONTROL_FLOW = {
    **dict.fromkeys(LOOP_OPS, _LOOP), **dict.fromkeys(("If", "StatelessIf", "Case", "StatelessCase"), _BRANCHES)
}  # fmt: skip

# Ops whose kernels take weights of 28 bits, and which input is the state before the first step, [batch, units].
_RECURRENT = {"BlockLSTM": 2, "BlockLSTMV2": 2}

# How a kernel's key ends that multiplies such weights in reduced arithmetic.
_REDUCED = {"wi8": "di8", "wi16": "di8", "wf16": "hf16"}


def weight_suffix(value: Value) -> str:
    """How a kernel's key names a weight's format."""
    if isinstance(value, QuantizedValue):
        return {"int8": "wi8", "int16": "wi16", "minmax": "wmm", "float16": "wf16"}[value.format]
    return "wf32"


def _nbytes(kind: TensorType) -> int:
    return kind.nbytes if kind.dtype in RUNTIME_TYPES else 0


def _dims(kind: TensorType) -> tuple[int, ...]:
    assert kind.shape is not None
    return tuple(int(d) for d in kind.shape if d is not None)


def _plain(attrs: dict[str, Any]) -> dict[str, int | float | str | list[int]]:
    """Attributes as a pack can hold them; those it cannot hold are not for kernels."""
    result: dict[str, int | float | str | list[int]] = {}
    for name, value in attrs.items():
        if isinstance(value, bool | int | np.integer):
            result[name] = int(value)
        elif isinstance(value, float | np.floating):
            result[name] = float(value)
        elif isinstance(value, bytes):
            result[name] = value.decode()
        elif isinstance(value, str):
            result[name] = str(value)
        elif _is_ints(value):
            result[name] = [int(v) for v in value]
    return result


def _is_ints(value: Any) -> bool:
    if not isinstance(value, list | tuple) or isinstance(value, ShapeAttr):
        return False
    return all(isinstance(v, bool | int | np.integer) for v in value)


def lower(graph: Graph, kernels: Catalog | None = None, ordered: bool = True) -> Program:
    """Lowers a graph whose types are known (passes.infer_shapes) to a program without addresses or partitions.

    ordered: its steps are in the order that needs the least memory, and joins and cuts copy nothing where that takes
    none, which takes time to find. Otherwise they are in an order that works; the values are the same.
    Raises MissingKernelError with one line for each node that no kernel serves, UsageError for a shape that is not
    known before it runs.
    """
    return _Lowering(graph, kernels if kernels is not None else catalog()).run(ordered)
