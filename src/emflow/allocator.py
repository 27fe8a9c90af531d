"""What a job tells the C library about memory, in the environment it starts with."""

__all__ = ["KEEP_BUFFERS"]

# Models on a CPU make and drop the same buffers at each step: glibc shall keep them rather than give each back to the
# system, which clears the pages anew.
KEEP_BUFFERS = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
