# Question sets in one form; a held-out set differs by domain.


rule held_out_questions:
    input:
        RESULTS.validation("{domain}"),
    output:
        RESULTS.questions("{question_set}/{domain}"),
    log:
        RESULTS.log("held_out_questions", "{question_set}/{domain}"),
    benchmark:
        RESULTS.benchmark("held_out_questions", "{question_set}/{domain}")
    conda:
        environment()
    params:
        code=code("held_out_questions"),
    script:
        "../scripts/held_out_questions.py"


# A published file holds questions and judge prompts; each has its rule, so that another prompt asks no model again.
rule prepare_questions:
    input:
        lambda w: ancient(question_file(w.question_set)) if is_users(w.question_set) else question_file(w.question_set),
    output:
        RESULTS.questions("{question_set}"),
    log:
        RESULTS.log("prepare_questions", "{question_set}"),
    benchmark:
        RESULTS.benchmark("prepare_questions", "{question_set}")
    conda:
        environment()
    params:
        ids=lambda w: CONFIG.question_sets[w.question_set].ids,
        part=lambda w: CONFIG.question_sets[w.question_set].part,
        questions=lambda w: questions_digest(w.question_set) if is_users(w.question_set) else None,
        code=code("prepare_questions"),
    script:
        "../scripts/prepare_questions.py"


rule prepare_prompts:
    input:
        lambda w: prompt_files(w.question_set),
    output:
        RESULTS.judge_prompts("{question_set}"),
    log:
        RESULTS.log("prepare_prompts", "{question_set}"),
    benchmark:
        RESULTS.benchmark("prepare_prompts", "{question_set}")
    conda:
        environment()
    params:
        chosen=lambda w: CONFIG.question_sets[w.question_set].prompts,
        code=code("prepare_prompts"),
    script:
        "../scripts/prepare_prompts.py"
