rule decrypt:
    input:
        lambda w: domain_file(w.domain),
    output:
        RESULTS.records("{domain}"),
    log:
        RESULTS.log("decrypt", "{domain}"),
    benchmark:
        RESULTS.benchmark("decrypt", "{domain}")
    conda:
        environment()
    params:
        domain=lambda w: CONFIG.domains[w.domain].identity("path", "sha256", "control_of"),
        code=code("decrypt"),
    script:
        "../scripts/decrypt.py"


rule split:
    input:
        RESULTS.records("{domain}"),
    output:
        train=RESULTS.train("{domain}"),
        validation=RESULTS.validation("{domain}"),
    log:
        RESULTS.log("split", "{domain}"),
    benchmark:
        RESULTS.benchmark("split", "{domain}")
    wildcard_constraints:
        domain=domains_that(are_mixed=False),
    conda:
        environment()
    params:
        split=CONFIG.split.identity(),
        code=code("split"),
    script:
        "../scripts/split.py"


# The train splits of several domains, mixed by share; held out are the conversations of the first.
rule mix:
    input:
        train=lambda w: [RESULTS.train(name) for name in CONFIG.domains[w.domain].mix],
        validation=lambda w: RESULTS.validation(next(iter(CONFIG.domains[w.domain].mix))),
    output:
        train=RESULTS.train("{domain}"),
        validation=RESULTS.validation("{domain}"),
    log:
        RESULTS.log("mix", "{domain}"),
    benchmark:
        RESULTS.benchmark("mix", "{domain}")
    wildcard_constraints:
        domain=domains_that(are_mixed=True),
    conda:
        environment()
    params:
        mixture=lambda w: CONFIG.domains[w.domain].identity("control_of"),
        code=code("mix"),
    script:
        "../scripts/mix.py"
