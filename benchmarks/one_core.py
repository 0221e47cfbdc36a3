"""What keeps numpy to one core: on a busy machine the threads of its libraries wait for each other by spinning."""

from __future__ import annotations

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment of a process, read when numpy is imported."""
