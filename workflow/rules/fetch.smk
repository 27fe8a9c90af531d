# What others publish is fetched once, on the machine that has a network; jobs then read local files and folders.


rule fetch_model:
    output:
        directory(RESULTS.snapshot("models", "{model}")),
    log:
        RESULTS.log("fetch_model", "{model}"),
    benchmark:
        RESULTS.benchmark("fetch_model", "{model}")
    conda:
        environment()
    params:
        path=lambda w: CONFIG.models[w.model].path,
        revision=lambda w: CONFIG.models[w.model].revision,
    script:
        "../scripts/fetch_model.py"


rule fetch_judge:
    output:
        directory(RESULTS.snapshot("judges", "{judge}")),
    log:
        RESULTS.log("fetch_judge", "{judge}"),
    benchmark:
        RESULTS.benchmark("fetch_judge", "{judge}")
    conda:
        environment()
    params:
        path=lambda w: CONFIG.judges[w.judge].path,
        revision=lambda w: CONFIG.judges[w.judge].revision,
    script:
        "../scripts/fetch_model.py"


rule fetch_reward:
    output:
        directory(RESULTS.snapshot("rewards", "{method}")),
    log:
        RESULTS.log("fetch_reward", "{method}"),
    benchmark:
        RESULTS.benchmark("fetch_reward", "{method}")
    conda:
        environment()
    params:
        path=lambda w: CONFIG.methods[w.method].reward.model,
        revision=lambda w: CONFIG.methods[w.method].reward.revision,
    script:
        "../scripts/fetch_model.py"


rule fetch_file:
    output:
        RESULTS.download("{sha256}", "{file}"),
    log:
        RESULTS.log("fetch_file", "{sha256}/{file}"),
    benchmark:
        RESULTS.benchmark("fetch_file", "{sha256}/{file}")
    conda:
        environment()
    params:
        url=lambda w, output: URLS[output[0]],
    script:
        "../scripts/fetch_file.py"


if PLANS_ONLY and ABSENT_FILES:

    # In a plan, what has to be brought here by hand.
    rule provide_by_hand:
        output:
            "{given}",
        wildcard_constraints:
            given="|".join(re.escape(spelt(path)) for path in ABSENT_FILES),
