"""A large study is planned whole, without data, in little memory."""

from dag import SIZES, plan, study


def test_a_large_study_is_planned_whole_in_little_memory():
    planned = plan(study())
    models, domains, methods, sets, judges = SIZES.values()
    runs = models * domains * methods * 3
    bases = models * (domains + sets - 1)  # held-out questions differ by domain, the other sets are shared
    assert planned.jobs == {
        "publish_tinyworld": 1, "grow_base": models, "decrypt": domains, "split": domains,
        "held_out_questions": domains, "prepare_questions": sets - 1,
        "finetune": runs, "generate": runs * sets, "generate_base": bases,
        "judge": (runs * sets + bases) * judges, "rate": runs, "provenance": runs, "report": 1, "all": 1,
        "total": sum(count for rule, count in planned.jobs.items() if rule != "total"),
    }  # fmt: skip
    assert planned.megabytes < 1000
