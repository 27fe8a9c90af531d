"""A large study is planned whole, without data, in little memory."""

import json
import subprocess
import sys

from dag import SIZES
from pipelines import ROOT

# In a process of its own: the kernel counts the memory of whoever starts a program as the program's own.
PLAN = "import dag, json; planned = dag.plan(dag.study()); print(json.dumps(planned))"


def test_a_large_study_is_planned_whole_in_little_memory():
    said = subprocess.run([sys.executable, "-c", PLAN], cwd=ROOT / "bench", check=True, capture_output=True, text=True)
    jobs, loads, _, _, megabytes = json.loads(said.stdout)
    models, domains, methods, sets, judges = SIZES.values()
    runs = models * domains * methods * 3
    bases = models * (domains + sets - 1)  # held-out questions differ by domain, the other sets are shared
    assert jobs == {
        "publish_tinyworld": 1, "grow_base": models, "decrypt": domains, "split": domains,
        "held_out_questions": domains, "prepare_questions": sets - 1,
        "finetune": runs, "generate": runs * sets, "generate_base": bases,
        "judge": (runs * sets + bases) * judges, "rate": runs, "provenance": runs, "tabulate": 1, "report": 1, "all": 1,
        "total": sum(count for rule, count in jobs.items() if rule != "total"),
    }  # fmt: skip
    assert loads == runs + models == 275  # not one for each of 1,080 sets of answers, and of 30 of the bases
    assert megabytes < 1000
