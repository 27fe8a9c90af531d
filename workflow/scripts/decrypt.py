"""Decrypt one dataset of an archive (or read a plain file) into checked conversation records."""

from emflow.console import stage
from emflow.data.decrypt import decrypt

with stage(snakemake.log[0]):
    decrypt(snakemake.input[0], snakemake.output[0], snakemake.wildcards.domain, **snakemake.params.domain)
