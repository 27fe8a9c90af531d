"""What a job tells the native libraries below torch, in the environment it starts with."""

__all__ = ["NATIVE"]

NATIVE = {
    # Models on a CPU make and drop the same buffers at each step: glibc shall keep them rather than give each back to
    # the system, which clears the pages anew.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    # GNU OpenMP's threads spin for one another before they sleep, 300,000 rounds as it comes: where a core is taken by
    # something else, they burn what that thread needs. bench/busy.py measures.
    "GOMP_SPINCOUNT": "1000",
}
