"""wherry compile: a model becomes a pack."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.cli.common import add_json, add_model_options, counted, model_options, print_json, size
from wherry.errors import UsageError
from wherry.runtime.trial import PLANNED_THREADS
from wherry.text import percent

if TYPE_CHECKING:
    from wherry.compiler import CompileReport
    from wherry.quantize import ArithmeticReport, StaticReport


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser("compile", help="compile a model into a pack")
    parser.add_argument("model", help="SavedModel folder, .keras, .h5, .pb or .pbtxt")
    parser.add_argument("-o", "--output", help="the pack (default: the model's name with .wherry, here)")
    parser.add_argument(
        "--quantize", default="none", metavar="FORMAT",
        help="none, float16 (float products), float16-arithmetic (products in half precision where the CPU has it and "
        "outputs stay close), int8 (products in whole numbers where outputs stay close), int8-weights (float "
        "products), int8-static (activations too; needs --calibrate), or minmax:N with N from 2 to 16 bits "
        "(minmax:N:channel: a range per channel)",
    )
    parser.add_argument(
        "--calibrate", metavar="FILE.npz", help="int8-static: samples of the inputs by name, the first axis counts them"
    )
    parser.add_argument(
        "--calibration", metavar="METHOD",
        help="int8-static: how samples give ranges: minmax, percentile, percentile:P or least-error (default)",
    )
    parser.add_argument(
        "--tolerance", type=float, metavar="X",
        help="int8, int8-static, float16-arithmetic: how far outputs may be from float32 on the samples, relative to "
        "the largest value (default: 0.02); layers compute more exactly until that holds. More is faster",
    )
    plan = parser.add_mutually_exclusive_group()
    plan.add_argument(
        "--memory-budget", metavar="SIZE",
        help="the most that the model may hold as it runs (weights, tensors, tables): 64MB, 64MiB. The library's code, "
        "stacks of threads and your inputs come on top, about 1 MB",
    )
    plan.add_argument("--partitions", type=int, metavar="N", help="how many partitions, instead of a budget")
    parser.add_argument(
        "--threads", type=int, default=PLANNED_THREADS, metavar="N",
        help=f"for how many threads the budget must do, as each has scratch memory (default: {PLANNED_THREADS})",
    )
    parser.add_argument(
        "--samples", metavar="FILE.npz",
        help="inputs on which the outputs of the quantized and the float32 model are compared (default: random ones)",
    )
    parser.add_argument(
        "--no-output-error", action="store_true", help="do not run the model to measure what quantization costs"
    )
    add_model_options(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from wherry.compiler import compile as compile_model

    output = args.output or f"{Path(args.model.rstrip('/')).stem}.wherry"
    if Path(output).resolve() == Path(args.model).resolve():
        raise UsageError(f"the pack would overwrite the model {args.model}; name another file with -o")
    report = compile_model(
        args.model, output, quantize=args.quantize, memory_budget=args.memory_budget, partitions=args.partitions,
        samples=args.samples, measure_outputs=not args.no_output_error,
        threads=args.threads, calibrate=args.calibrate, calibration=args.calibration, tolerance=args.tolerance,
        **model_options(args),
    )
    if args.json:
        print_json(report)
    else:
        show(report)
    return 0


def show_arithmetic(report: ArithmeticReport) -> None:
    how = "half precision on CPUs that have it" if report.halves else "whole numbers"
    limit = percent(report.limit)
    print(f"  {counted(report.layers, 'layer')} in {how}")
    if report.halves and report.error is None:
        print("  what that does to the outputs was not measured: this machine has no half precision, or nobody asked")
    if not report.conclusive:
        print(f"  random inputs cannot tell: outputs differ by more than {limit} even in floats; give --samples")
    elif report.error is not None and report.error > report.limit:
        print(f"  outputs differ by {percent(report.error)}, more than the {limit} asked for: "
              "other weights of this format do that; float16 is closer")  # fmt: skip
    if report.wide_layers:
        wide = len(report.wide_layers)
        weights = f", and {len(report.widest_layers)} of these with such weights" if report.widest_layers else ""
        print(f"  {wide} of them with activations of 16 bits{weights}, for outputs within {limit}")
    if report.float_layers:
        print(f"  in float arithmetic, for outputs within {limit}:")
    for name, error in report.float_layers.items():
        print(f"    {name}: {error:.2%} alone")


def show(report: CompileReport) -> None:
    from wherry.quantize.apply import MIN_ELEMENTS

    steps, partitions = counted(report.steps, "step"), counted(report.partitions, "partition")
    print(f"{report.pack}: {size(report.file_bytes)}, {steps} in {partitions}")
    print(
        f"  memory needed with {counted(report.threads, 'thread')} {size(report.memory_needed)}, of which tensors "
        f"{size(report.arena_bytes)}; largest partition {size(report.largest_partition_bytes)}, read as it runs"
    )
    print(
        f"  tensors: at most {size(report.arena_lower_bound)} are needed at once, and room for "
        f"{report.arena_bytes / max(report.arena_lower_bound, 1):.3f} of that is taken; no other order could "
        f"do with less than {size(report.order_lower_bound)}"
    )
    quantized = report.quantize
    if quantized is not None:
        before, after = size(quantized.weight_bytes_before), size(quantized.weight_bytes_after)
        print(f"  weights {before} -> {after} as {quantized.scheme}")
        worst = sorted(quantized.tensors, key=lambda t: -t.relative_rms)[:5]
        for tensor in worst:
            print(f"    {tensor.name}: error {tensor.relative_rms:.2%} rms, {tensor.max_error:.3g} at most")
        if len(quantized.tensors) > len(worst):
            print(f"    and {len(quantized.tensors) - len(worst)} more with less (--json lists all)")
        if not quantized.tensors:
            print(f"  no weight was quantized: none has {MIN_ELEMENTS} elements or more and a kernel that reads it so")
        elif quantized.arithmetic is not None:
            show_arithmetic(quantized.arithmetic)
        if quantized.static is not None:
            show_static(quantized.static)
        for name, error in quantized.outputs.items():
            print(f"  output {name!r} differs by {error:.2%} of its largest value")
    print("  " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items()))


_FORMS = {
    "dynamic": "on codes made as they run",
    "wide": "on codes of 16 bits made as they run",
    "float": "in float arithmetic",
}


def show_static(static: StaticReport) -> None:
    layers, left = counted(static.layers, "layer"), len(static.left)
    if static.layers + static.tensors == 0:
        print("  nothing in 8 bits: no layer has a kernel for that, or none may be less exact than floats")
    else:
        print(f"  {layers} and {counted(static.tensors, 'tensor')} in 8 bits, scales by {static.calibration} on "
              f"{counted(static.samples, 'sample')}: outputs differ by {static.error:.2%}")  # fmt: skip
    if static.error > static.tolerance:
        print(f"  more than the {percent(static.tolerance)} asked for, which float arithmetic does not reach either")
    for form, how in _FORMS.items():
        if names := static.names_of(form):
            print(f"  {counted(len(names), 'layer')} {how}, as outputs may differ by {percent(static.tolerance)}")
    if static.shorts:
        print(f"  {static.shorts} of those in whole numbers of 16 bits on x86 CPUs with AVX2 or VNNI")
    for layer in sorted(static.left, key=lambda found: -found.error)[:5]:
        print(f"    {layer.name} ({layer.op}, {layer.form}): alone it changes outputs by {layer.error:.2%} rms "
              "in its cheapest form")  # fmt: skip
    if left > 5:
        print(f"    and {left - 5} more (--json lists all)")
