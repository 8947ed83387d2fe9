"""The readout as a file and as a function: a SavedModel for many users, TensorFlow Lite for a few.

A call into TensorFlow hands over to its threads and back, which costs a busy worker milliseconds; the TensorFlow Lite
interpreter runs the same graph in the calling thread, in a tenth of a millisecond for 16 users.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.encoder.columns import FEATURES
from model_store.encoder.network import ReadoutNetwork, signature
from model_store.encoder.runtime import tf

Float32 = npt.NDArray[np.float32]

SMALL_SIZES = (1, 4, 16, 64)
SMALL_LIMIT = SMALL_SIZES[-1]
_GRAPH = "readout"
_LITE = "readout.tflite"
_WARM_UP_SIZES = (1, SMALL_LIMIT + 1, 512, 4096)


def export_readout(network: ReadoutNetwork, folder: Path) -> None:
    """Write `readout/` (SavedModel) and `readout.tflite` into `folder`."""
    module = tf.Module()
    module.outputs = tf.function(network.outputs, input_signature=[signature()])
    module.network = network
    concrete = module.outputs.get_concrete_function()
    tf.saved_model.save(module, str(folder / _GRAPH), signatures=concrete)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own deprecations
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
        (folder / _LITE).write_bytes(converter.convert())


def restored_network(folder: Path, topics: int, interests: int, *, context: bool = False) -> ReadoutNetwork:
    """The network that `export_readout` wrote, to be trained further. Compare checksums first."""
    network = ReadoutNetwork(topics, 0, interests, context=context)
    saved = tf.train.Checkpoint(network=network).read(str(folder / _GRAPH / "variables" / "variables"))
    saved.assert_existing_objects_matched().expect_partial()
    return network


class Readout:
    """The exported graph, warmed up.

    Attributes:
        width: columns of an output row (`encoder.columns.Outputs` names them).
    """

    def __init__(self, folder: Path) -> None:
        """Load what `export_readout` wrote. Compare checksums first: a graph can read and write files."""
        self._module = tf.saved_model.load(str(folder / _GRAPH))
        self._large = self._module.outputs.get_concrete_function()
        content = (folder / _LITE).read_bytes()
        self._small = {size: _Interpreter(content, size) for size in SMALL_SIZES}
        self.width = int(self._large.structured_outputs.shape[1])
        self._warm_up()

    def small(self, features: Float32) -> Float32:
        """float32 [n, width] of float32 [n, FEATURES], n <= SMALL_LIMIT; in the calling thread. Not thread-safe."""
        count = len(features)
        if count > SMALL_LIMIT:
            raise ValueError(f"small() takes at most {SMALL_LIMIT} rows, got {count}: use large()")
        if count == 0:
            return np.empty((0, self.width), np.float32)
        return self._small[next(size for size in SMALL_SIZES if size >= count)].run(features)

    def large(self, features: Float32) -> Float32:
        """float32 [n, width] of float32 [n, FEATURES], any n; on TensorFlow's threads. Thread-safe, never retraces."""
        outputs: Float32 = self._large(tf.constant(features)).numpy()
        return outputs

    def any(self, features: Float32) -> Float32:
        """`small` where it can, else `large`; not thread-safe."""
        return self.small(features) if len(features) <= SMALL_LIMIT else self.large(features)

    def traces(self) -> int:
        """How often TensorFlow traced the graph; stays the same whatever the batch sizes are."""
        return int(self._module.outputs.experimental_get_tracing_count())

    def _warm_up(self) -> None:
        for size in SMALL_SIZES:
            self.small(np.zeros((size, FEATURES), np.float32))
        for size in _WARM_UP_SIZES:
            self.large(np.zeros((size, FEATURES), np.float32))


class _Interpreter:
    """One TensorFlow Lite interpreter of a fixed batch size; what lies below a shorter batch is cut off again."""

    def __init__(self, content: bytes, size: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # announces a successor package that has no wheel for this TensorFlow
            self._interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
        source = self._interpreter.get_input_details()[0]["index"]
        self._interpreter.resize_tensor_input(source, [size, FEATURES])
        self._interpreter.allocate_tensors()
        self._source: Any = self._interpreter.tensor(source)
        self._target: Any = self._interpreter.tensor(self._interpreter.get_output_details()[0]["index"])

    def run(self, features: Float32) -> Float32:
        self._source()[: len(features)] = features
        self._interpreter.invoke()
        outputs: Float32 = self._target()[: len(features)].copy()
        return outputs
