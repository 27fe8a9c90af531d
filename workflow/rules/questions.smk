# Question sets in one form. `validation` sets differ by domain: results/questions/{question_set}/{domain}.jsonl.
rule held_out_questions:
    input:
        "results/data/{domain}/validation.jsonl",
    output:
        "results/questions/{question_set}/{domain}.jsonl",
    log:
        "results/logs/held_out_questions/{question_set}/{domain}.log",
    params:
        code=code("judging/questions.py"),
    conda:
        "../../envs/cpu.yaml"
    script:
        "../scripts/held_out_questions.py"


rule prepare_questions:
    input:
        lambda w: CONFIG.question_sets[w.question_set].source,
    output:
        "results/questions/{question_set}.jsonl",
    log:
        "results/logs/prepare_questions/{question_set}.log",
    params:
        code=code("judging/questions.py"),
    conda:
        "../../envs/cpu.yaml"
    script:
        "../scripts/prepare_questions.py"


def questions_for(question_set, domain):
    """Name of a set as it stands in file names under results/questions and results/base/*/generations."""
    held_out = CONFIG.question_sets[question_set].source == "validation"
    return f"{question_set}/{domain}" if held_out else question_set
