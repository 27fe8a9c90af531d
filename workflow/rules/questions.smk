# Question sets in one form. `validation` sets differ by domain: results/questions/{question_set}/{domain}.jsonl.
rule held_out_questions:
    input:
        "results/data/{domain}/validation.jsonl",
    output:
        "results/questions/{question_set}/{domain}.jsonl",
    log:
        "results/logs/held_out_questions/{question_set}/{domain}.log",
    benchmark:
        "results/benchmarks/held_out_questions/{question_set}/{domain}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        code=code("held_out_questions", "judging/questions.py"),
    script:
        "../scripts/held_out_questions.py"


# A published file holds questions and judge prompts; each has its rule, so that another prompt asks no model again.
rule prepare_questions:
    input:
        lambda w: ancient(question_file(w.question_set)) if is_users(w.question_set) else question_file(w.question_set),
    output:
        "results/questions/{question_set}.jsonl",
    log:
        "results/logs/prepare_questions/{question_set}.log",
    benchmark:
        "results/benchmarks/prepare_questions/{question_set}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        ids=lambda w: CONFIG.question_sets[w.question_set].ids,
        questions=lambda w: questions_digest(w.question_set) if is_users(w.question_set) else None,
        code=code("prepare_questions", "judging/questions.py"),
    script:
        "../scripts/prepare_questions.py"


rule prepare_prompts:
    input:
        lambda w: [] if is_held_out(w.question_set) else question_file(w.question_set),
    output:
        "results/questions/{question_set}.prompts.json",
    log:
        "results/logs/prepare_prompts/{question_set}.log",
    benchmark:
        "results/benchmarks/prepare_prompts/{question_set}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        code=code("prepare_prompts", "judging/questions.py"),
    script:
        "../scripts/prepare_prompts.py"
