"""Decrypt one dataset of an archive (or read a plain file) into checked conversation records."""

from emflow.console import stage
from emflow.data.decrypt import decrypt

with stage(snakemake.log[0]):
    domain = snakemake.wildcards.domain
    decrypt(
        snakemake.input[0],
        snakemake.output[0],
        domain,
        **snakemake.params.domain,
        password_env=snakemake.config["domains"][domain].get("password_env"),  # params lack the operational keys
    )
