"""Draws the figures of a run: plot.py FIGURES.json OUTPUT.svg OUTPUT.png"""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main(figures, *outputs):
    with open(figures, encoding="utf-8") as file:
        calls = [row for row in json.load(file)["calls"] if row["work"] == "upper"]
    contenders = list(dict.fromkeys(row["contender"] for row in calls))
    callers = sorted({row["callers"] for row in calls})
    found = {(row["contender"], row["callers"]): row for row in calls}
    panels = [("calls_per_second", "calls per second"), ("p50_us", "median latency, µs"), ("p99_us", "99th percentile, µs")]
    figure, axes = plt.subplots(1, len(panels), figsize=(16, 5), layout="constrained")
    width = 0.8 / len(contenders)
    for axis, (key, title) in zip(axes, panels):
        for place, contender in enumerate(contenders):
            heights = [found[contender, count][key] for count in callers]
            at = [x + (place - (len(contenders) - 1) / 2) * width for x in range(len(callers))]
            axis.bar(at, heights, width, label=contender)
        axis.set_title(title)
        axis.set_xticks(range(len(callers)), [str(count) for count in callers])
        axis.set_xlabel("callers at once")
        if key != "calls_per_second":
            axis.set_yscale("log")
    axes[0].legend(fontsize="small")
    for output in outputs:
        figure.savefig(output, dpi=120)


main(*sys.argv[1:])
