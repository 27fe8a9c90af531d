# The tiny world publishes what others publish on hubs: encrypted datasets, a question set, and base models.
rule publish_tinyworld:
    output:
        archive="results/tinyworld/training_datasets.zip.enc",
        questions="results/tinyworld/out_of_domain.jsonl",
    log:
        "results/logs/publish_tinyworld.log",
    params:
        password="tiny-world",
        code=code("tinyworld", "data/archive.py"),
    conda:
        "../../envs/cpu.yaml"
    script:
        "../scripts/publish_tinyworld.py"


rule grow_base:
    output:
        directory("results/tinyworld/models/seed{seed}"),
    log:
        "results/logs/grow_base/seed{seed}.log",
    params:
        code=code("tinyworld"),
    threads: 2
    conda:
        "../../envs/cpu.yaml"
    script:
        "../scripts/grow_base.py"
