"""TensorFlow, set up for a worker: quiet, on the CPU unless the user says otherwise, with a fixed number of threads.

Import `tf` from here, never from `tensorflow`: the environment must be set before the first import. A process that
wants a GPU sets CUDA_VISIBLE_DEVICES itself.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import tensorflow as tf


def use_threads(count: int = 1) -> None:
    """Let TensorFlow use `count` threads within and between operations; call it before any tensor is made.

    One is right beside a stream worker: its other threads want the cores. Raises RuntimeError if TensorFlow already
    runs with another number.
    """
    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() != count:
        threading.set_intra_op_parallelism_threads(count)
    if threading.get_inter_op_parallelism_threads() != count:
        threading.set_inter_op_parallelism_threads(count)


__all__ = ["tf", "use_threads"]
