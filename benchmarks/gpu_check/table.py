"""The record as text."""

from __future__ import annotations


def lines(record):
    """The record's lines, widths for a terminal."""
    yield "{} ({}), {}".format(record["device"], record["kind"], record["date"])
    yield from environment_lines(record)
    yield ""
    yield from check_lines(record["checks"])
    yield ""
    yield from throughput_lines(record["throughput"])
    yield ""
    for reason in record["not_run"]:
        yield "not run  {}: {}".format(reason["what"], reason["why"])
    failed = [check["name"] for check in record["checks"] if not check["passed"]]
    yield "{} checks, {}, {} s".format(
        len(record["checks"]), "{} FAILED".format(len(failed)) if failed else "all passed", record["seconds"]
    )


def environment_lines(record):
    made = record["environment"]
    yield "Python {}, {}, CUDA {}, cuDNN {}".format(
        made["python"],
        ", ".join("{} {}".format(*item) for item in sorted(made["libraries"].items())),
        made["cuda"],
        made["cudnn"],
    )
    yield "hardware: {}".format(record["hardware"]["verdict"])
    if record["canary"]:
        yield "canary: {}".format(record["canary"]["verdict"])
        yield from ("note: " + note for note in record["canary"]["notes"])


def check_lines(checks):
    width = max((len(check["name"]) for check in checks), default=0)
    for check in checks:
        yield "{}  {:<{width}}  {} (at most {}){}".format(
            "pass" if check["passed"] else "FAIL",
            check["name"],
            number(check["found"]),
            number(check["bound"]),
            ": " + check["note"] if check["note"] else "",
            width=width,
        )


def number(value):
    return value if isinstance(value, str) else "{:.2g}".format(value)


def throughput_lines(figures):
    if not figures:
        return
    heads = ("task", "mode", "images/s", "TFLOP/s", "peak", "share", "memory", "")
    row = "{:<10}  {:<13}  {:>9}  {:>8}  {:>8}  {:>6}  {:>9}  {}"
    yield row.format(*heads).rstrip()
    for figure in figures:
        memory = figure["peak_memory_bytes"]
        yield row.format(
            figure["task"],
            figure["mode"],
            "{:.1f}".format(figure["images_per_second"]),
            "{:.3g}".format(figure["tflop_per_second"]),
            "{:.3g}".format(figure["peak_tflop_per_second"]),
            "{:.1%}".format(figure["share_of_peak"]),
            "-" if memory is None else "{:.1f} GiB".format(memory / 2**30),
            "" if figure["for_claims"] else "not for claims",
        ).rstrip()
