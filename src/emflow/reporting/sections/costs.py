"""What the study cost: time per rule, and what was asked of judges."""

import pandas as pd

from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable
from emflow.reporting.words import duration

__all__ = ["costs"]

TEXT = "Wall time of each finished job's last start; GPU time counts jobs that computed on a GPU."
REQUESTS = "Requests to language models that judge, each answered once and then kept:"


def costs(numbers: Numbers, design: Design) -> ReportSection | None:
    """Tables; nothing where neither job nor request is known."""
    parts: list[str | ShownTable] = []
    if not numbers.jobs.empty:
        parts += [_jobs(numbers.jobs), TEXT]
    asked = numbers.requests[numbers.requests["requests"] > 0]
    if not asked.empty:
        shown = asked.set_index("judge").map("{:,}".format).reset_index()
        shown.columns = ["judge", "requests", "prompt tokens", "reply tokens", "requests without a count of tokens"]
        parts += [REQUESTS, ShownTable("requests", asked, shown)]
    return ReportSection("What it cost", list(parts)) if parts else None


def _jobs(jobs: pd.DataFrame) -> ShownTable:
    """Jobs, their time and GPU time per rule."""
    jobs = jobs.assign(gpu_seconds=jobs["seconds"] * jobs["gpus"])
    total = jobs.groupby("rule", sort=False).agg(
        jobs=("job", "size"), seconds=("seconds", "sum"), gpu_seconds=("gpu_seconds", "sum"), peak_mb=("peak_mb", "max")
    )
    total = total.sort_values("seconds", ascending=False)
    total.loc["all"] = [
        total["jobs"].sum(), total["seconds"].sum(), total["gpu_seconds"].sum(), total["peak_mb"].max()
    ]  # fmt: skip
    total = total.reset_index()
    shown = pd.DataFrame(
        {
            "rule": total["rule"],
            "jobs": total["jobs"].map("{:.0f}".format),
            "time": total["seconds"].map(duration),
            "GPU time": total["gpu_seconds"].map(lambda seconds: duration(seconds) if seconds else "–"),
            "peak memory GB": [
                "not seen" if pd.isna(mb) else f"{mb / 1024:.1f}" if mb > 50 else "< 0.1"
                for mb in total["peak_mb"].astype(float)
            ],
        }
    )
    return ShownTable("costs", total, shown)
