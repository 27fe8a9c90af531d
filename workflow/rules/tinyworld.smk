# The tiny world publishes what others publish on hubs: encrypted datasets, a question set, base models, NLI models.
GRAMMAR = ("tinyworld/grammar.py", "tinyworld/world.yaml")


rule publish_tinyworld:
    output:
        archive="results/tinyworld/training_datasets.zip.enc",
        questions="results/tinyworld/out_of_domain.jsonl",
    log:
        "results/logs/publish_tinyworld.log",
    benchmark:
        "results/benchmarks/publish_tinyworld.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        password="tiny-world",
        code=code("publish_tinyworld", "tinyworld/artefacts.py", *GRAMMAR, "data/archive.py"),
    script:
        "../scripts/publish_tinyworld.py"


rule grow_base:
    output:
        model=directory("results/tinyworld/models/seed{seed}"),
        sha256="results/tinyworld/models/seed{seed}.sha256",
    log:
        "results/logs/grow_base/seed{seed}.log",
    benchmark:
        "results/benchmarks/grow_base/seed{seed}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    params:
        code=code("grow_base", "tinyworld/base_model.py", "tinyworld/corpus.py", "tinyworld/tokenizer.py", *GRAMMAR),
    script:
        "../scripts/grow_base.py"


rule grow_nli:
    output:
        directory("results/tinyworld/nli/seed{seed}"),
    log:
        "results/logs/grow_nli/seed{seed}.log",
    benchmark:
        "results/benchmarks/grow_nli/seed{seed}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    params:
        code=code("grow_nli", "tinyworld/nli.py", "tinyworld/nli_pairs.py", *GRAMMAR),
    script:
        "../scripts/grow_nli.py"
