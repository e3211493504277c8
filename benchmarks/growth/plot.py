"""The curves as one small SVG picture: seconds and memory over the number of entries."""

from __future__ import annotations

import io

import numpy as np

from encore.runtime.atomic import replacing


def write_plot(path, subjects):
    """Write the SVG of {subject: values of growth.json} to `path`; the same values give the same bytes."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "encore", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 1, figsize=(8, 11))
    for number, (name, values) in enumerate(subjects.items()):
        colour, marker = "C{}".format(number % 10), "os^D"[number // 10 % 4]
        for axis, key, what, scale in (
            (axes[0], "processor_seconds", "time", 1),
            (axes[1], "peak_memory_bytes", "memory", 1e6),
        ):
            n = [point["n"] for point in values["points"]]
            costs = [point[key] / scale for point in values["points"]]
            axis.plot(n, costs, marker, color=colour, markersize=3, label=name if what == "time" else None)
            fitted = values.get("fits", {}).get(what, {})
            if "exponent" in fitted:
                line = np.geomspace(n[0], n[-1], 12)
                curve = fitted["fixed"] + fitted["coefficient"] * line ** fitted["exponent"]
                axis.plot(line, curve / scale, "-", color=colour, linewidth=0.8)
    axes[0].set_ylabel("processor seconds")
    axes[1].set_ylabel("peak memory in MB")
    for axis in axes:
        axis.set(xscale="log", yscale="log", xlabel="n: entries, as growth.json names them")
        axis.grid(True, linewidth=0.3)
    axes[0].legend(fontsize=6, ncol=2)
    figure.tight_layout()
    with replacing(str(path)) as file:
        picture = io.BytesIO()
        figure.savefig(picture, format="svg", metadata={"Date": None})
        file.write(picture.getvalue())
    pyplot.close(figure)
