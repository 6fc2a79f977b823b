"""What checkpoints are made of: values that come back to the bit, whole files, a callback that knows its fit."""

import copy
import dataclasses
import enum
import errno
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import types
import zipfile
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.callback import FitCallback
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emlearn import (
    BayesianGaussianMixture,
    GaussianHMM,
    GaussianMixture,
    MixedMixture,
    PoissonMixture,
    StudentTMixture,
)
from emlearn import callbacks as callbacks_module
from emlearn.callbacks import Checkpoint
from emlearn.distributions import GaussianParameters
from emlearn.em import Joint, Moments, Result, Statistics, StopReason, Sums, Units
from emlearn.em import archive as archive_module
from emlearn.em.archive import is_archive, read_archive, read_header, write_archive
from emlearn.em.fingerprint import data_fingerprint
from emlearn.em.packing import pack, unpack
from emlearn.exceptions import CheckpointError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3)) + np.repeat([[0.0], [4.0], [9.0]], 30, axis=0)


def through_json(value):
    tree, arrays = pack(value)
    return unpack(json.loads(json.dumps(tree, allow_nan=False)), arrays)


def through_file(value, folder):
    write_archive(folder / "state", value, {})
    return read_archive(folder / "state")[0]


def members(value):
    stored = dict(getattr(value, "__dict__", {}))
    for base in type(value).__mro__:
        names = vars(base).get("__slots__", ())
        for name in [names] if isinstance(names, str) else names:
            if hasattr(value, name):
                stored[name] = getattr(value, name)
    return stored


def assert_same(a, b):
    """Of the same type, all through, and to the bit."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()
    elif isinstance(a, np.str_ | np.bytes_):
        assert list(a) == list(b)
    elif isinstance(a, np.generic):
        assert (a.dtype, a.tobytes()) == (b.dtype, b.tobytes())
    elif isinstance(a, float):
        assert np.float64(a).tobytes() == np.float64(b).tobytes()
    elif isinstance(a, enum.Enum):
        assert a is b
    elif isinstance(a, tuple | list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, dict):
        assert_same(list(a), list(b))
        assert_same(list(a.values()), list(b.values()))
    elif a is None or isinstance(a, bool | int | str | set | frozenset):
        assert a == b
    else:
        assert_same(members(a), members(b))


# ---------------------------------------------------------------- values

FLOATS = st.floats(width=64) | st.sampled_from([-0.0, 5e-324, 2.0**53 + 2])
INTEGERS = st.integers() | st.integers(-(2**200), 2**200)
# halves of pairs of surrogates, too
TEXTS = st.text(st.characters(codec=None), max_size=5)
DTYPES = hnp.array_dtypes(allow_subarrays=True) | hnp.scalar_dtypes()
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
ARRAYS = hnp.arrays(DTYPES, SHAPES)
SCALARS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, ())).map(lambda array: array[()])
KEYS = st.none() | st.booleans() | INTEGERS | TEXTS | st.tuples(TEXTS, st.integers(0, 3))
ATOMS = st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS | st.sampled_from(StopReason)
WEIGHTS = hnp.arrays(np.float64, 2, elements=st.floats(0, 1e9))
STATISTICS = st.recursive(
    st.builds(
        Sums,
        st.dictionaries(st.text(max_size=3), ARRAYS | SCALARS | FLOATS, max_size=3),
        signed=st.frozensets(st.text(max_size=3), max_size=2),
    )
    | st.builds(
        lambda weight, form: Moments(weight, X[:2], X[:2] ** 2, form),
        WEIGHTS,
        st.sampled_from(["full", "diag"]),
    ),
    lambda parts: st.builds(Joint, st.dictionaries(st.text(max_size=3), parts, max_size=2)),
    max_leaves=4,
)


def several(values):
    few = st.lists(values, max_size=3)
    return (
        few
        | few.map(tuple)
        | st.dictionaries(KEYS, values, max_size=3)
        | st.frozensets(KEYS, max_size=3)
        | st.sets(KEYS, max_size=3)
    )


VALUES = st.recursive(ATOMS | ARRAYS | SCALARS | STATISTICS, several, max_leaves=8)
QUICK = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@given(VALUES)
@QUICK
def test_values_come_back_to_the_bit(value):
    assert_same(through_json(value), value)


@given(value=VALUES)
@QUICK
def test_values_come_back_from_a_file(tmp_path, value):
    assert_same(through_file(value, tmp_path), value)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_a_file_are_ones_own(tmp_path, order):
    array = np.asarray(X, order=order)
    back = through_file(
        [array, array[::2, 1:], np.memmap(tmp_path / "m", "f4", "w+", 0, (3,))], tmp_path
    )
    np.testing.assert_array_equal(back[0], array)
    np.testing.assert_array_equal(back[1], array[::2, 1:])
    assert all(a.flags.writeable and a.flags.aligned and type(a) is np.ndarray for a in back)


def test_numbers_beyond_what_decimals_hold():
    payload = np.array([0x7FF8DEADBEEF0001], np.uint64).view(np.float64)
    for value in [float(payload[0]), payload[0], 10**5000, -(2**53), 2**53, np.longdouble(1) / 3]:
        assert_same(through_json(value), value)


def test_strings_of_numpy_keep_their_zeros():
    for value in [np.str_("a\0"), np.bytes_(b"a\0\0"), np.str_("\ud83d\ude00")]:
        assert_same(through_json(value), value)


def test_one_array_is_stored_once_and_no_copy_is_made():
    array = np.arange(3.0)
    tree, arrays = pack({"a": array, "b": [array, array.copy()]})
    assert len(arrays) == 2 and arrays["a0"] is array
    back = unpack(tree, arrays)
    assert back["a"] is back["b"][0] and back["b"][1] is not back["a"]


def test_equal_sets_have_equal_trees():
    names = [f"name{i}" for i in range(20)]
    assert pack(frozenset(names))[0] == pack(frozenset(names[::-1]))[0]


def test_states_of_random_streams():
    for bits in [np.random.MT19937, np.random.PCG64, np.random.SFC64, np.random.Philox]:
        stream = np.random.Generator(bits(7))
        state = through_json(stream.bit_generator.state)
        expected = stream.normal(size=5)
        other = np.random.Generator(bits(0))
        other.bit_generator.state = state
        assert np.array_equal(other.normal(size=5), expected)
    old = np.random.RandomState(3)
    old.normal()  # one more waits
    state = through_json(old.get_state())
    expected = old.normal(size=5)
    other = np.random.RandomState(0)
    other.set_state(state)
    assert np.array_equal(other.normal(size=5), expected)


MODELS = {
    "gaussian": (GaussianMixture(2, random_state=0), X),
    "noise": (GaussianMixture(2, noise=True, random_state=0), X),
    "student_t": (StudentTMixture(2, random_state=0, max_iter=5), X),
    "poisson": (PoissonMixture(2, random_state=0), np.floor(np.abs(X))),
    "bayesian": (BayesianGaussianMixture(n_components=2, random_state=0, max_iter=5), X),
    "mixed": (MixedMixture(2, random_state=0), pd.DataFrame({"x": X[:, 0], "c": list("abc") * 30})),
    "hmm": (GaussianHMM(2, random_state=0), X),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_parameters_of_models_come_back(name, tmp_path):
    estimator, data = MODELS[name]
    parameters = copy.deepcopy(estimator).fit(data).recall()
    state = {
        "result": Result(parameters, -1.0, np.zeros(3), -np.inf, 3, 4, StopReason.MAX_ITER, "x"),
        "parameters": [parameters],
    }
    back = through_file(state, tmp_path)
    assert_same(back, state)
    assert back["result"].parameters is not parameters


# ------------------------------------------------- classes of one's own


class Slotted(Statistics):
    __slots__ = ("__hidden", "later", "total")

    def __init__(self, total, hidden):
        self.total, self.__hidden = total, hidden

    def hidden(self):
        return self.__hidden

    def __add__(self, other):
        return self

    def __mul__(self, factor):
        return self

    def coordinates(self, reference):
        return {}

    def from_coordinates(self, coordinates):
        return self


class Loose(Slotted):
    def __init__(self, total, hidden):
        raise AssertionError("constructors are not called")

    @cached_property
    def computed(self):
        return lambda: 0


@dataclasses.dataclass
class SlottedSum(Loose):
    count: int = 0


@dataclasses.dataclass(frozen=True)
class Outer:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Inner:
        array: np.ndarray
        rest: object = None

    inner: object
    length: int = dataclasses.field(init=False)
    late: int = dataclasses.field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "length", len(self.inner.array))

    @cached_property
    def computed(self):
        return object()


class Colour(enum.StrEnum):
    RED = "red"
    ROUGE = "red"

    @classmethod
    def _missing_(cls, value):
        raise AssertionError("nothing is called")


def test_statistics_with_slots():
    value = Slotted(np.ones(2), {"a": 1})
    back = through_json(value)
    assert_same(back.total, value.total)
    assert back.hidden() == {"a": 1} and not hasattr(back, "later")


def test_statistics_with_attributes():
    value = object.__new__(Loose)
    value.total, value.extra = 3.0, [1, 2]
    assert value.computed() == 0
    back = through_json(value)
    assert (back.total, vars(back)) == (3.0, {"extra": [1, 2]})
    value = object.__new__(SlottedSum)
    value.total, value.count = 4.0, 5
    back = through_json(value)
    assert (type(back), back.total, back.count) == (SlottedSum, 4.0, 5)


def test_dataclasses_of_ones_own():
    value = Outer(Outer.Inner(np.arange(3), (1, None)))
    assert value.computed is value.computed
    back = through_json(value)
    assert_same(back.inner, value.inner)
    assert back.length == 3 and not hasattr(back, "late") and "computed" not in vars(back)
    with pytest.raises(dataclasses.FrozenInstanceError):
        back.length = 4


def test_members_of_an_enum():
    assert through_json([Colour.RED, Colour.ROUGE, {Colour.RED: 1}]) == [
        Colour.RED,
        Colour.RED,
        {Colour.RED: 1},
    ]
    assert through_json(Colour.RED) is Colour.RED


# ------------------------------------------------- what cannot be stored


class WithEnd(Slotted):
    def __del__(self):
        pass


@dataclasses.dataclass
class OfABuiltin(dict):
    field: int = 0


@dataclasses.dataclass
class Plain:
    field: object = 0


class Number(enum.IntEnum):
    ONE = 1


def local_class():
    @dataclasses.dataclass
    class Local:
        pass

    return Local()


def with_more():
    value = Plain()
    value.more = 1
    return value


def endless():
    value = []
    value.append(value)
    return value


UNKNOWN = {
    "function": lambda: abs,
    "class": lambda: Plain,
    "bytes": lambda: b"x",
    "complex": lambda: 1j,
    "array of objects": lambda: np.array([None]),
    "array of records with objects": lambda: np.zeros(1, [("a", [("b", "O")], 2)]),
    "strings of any length": lambda: np.array(["a"], dtype=np.dtypes.StringDType()),
    "masked": lambda: np.ma.masked_array([1, 2], [0, 1]),
    "matrix": lambda: sparse.csr_array(np.eye(2)),
    "stream": lambda: np.random.RandomState(0),
    "generator": lambda: np.random.default_rng(0),
    "integer enum": lambda: Number.ONE,
    "estimator": lambda: GaussianMixture(2),
    "local class": local_class,
    "class of a function": lambda: dataclasses.make_dataclass("Made", ["a"])(1),
    "more than the fields": with_more,
    "with an end": lambda: WithEnd(1, 2),
    "of a builtin": OfABuiltin,
    "endless": endless,
    "frame": lambda: pd.DataFrame({"a": [1]}),
    "key": lambda: {b"x": 1},
    "key inside a key": lambda: {(1, (Outer.Inner,)): 1},
    "mapping": lambda: types.MappingProxyType({}),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_stored_is_named_with_its_place(name, tmp_path):
    state = {"runs": [1, Plain(UNKNOWN[name]())]}
    with pytest.raises(TypeError, match=r"value\['runs'\]\[1\]\.field"):
        pack(state)
    with pytest.raises(TypeError):
        write_archive(tmp_path / "state", state, {})
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------- trees of others


@dataclasses.dataclass
class Trap:
    """A class that tells when any of its code runs."""

    field: object = None
    runs = 0

    def __new__(cls, *arguments):
        Trap.runs += 1
        return object.__new__(cls)

    def __post_init__(self):
        Trap.runs += 1

    def __setattr__(self, name, value):
        Trap.runs += 1

    def __init_subclass__(cls):
        Trap.runs += 1


@dataclasses.dataclass(frozen=True)
class Hashed:
    def __hash__(self):
        raise AssertionError("a hash was asked for")


def an_object(name, **state):
    return {"object": [name, state]}


HERE = __name__
FOREIGN = {
    "a module that is not imported": an_object("this:Zen"),
    "a function": an_object("os:system", field="true"),
    "a method": an_object("subprocess:Popen.kill"),
    "a class of another kind": an_object("subprocess:Popen", args="true"),
    "an estimator": an_object("emlearn.mixture._gaussian:GaussianMixture", n_components=2),
    "an attribute of nothing": an_object(f"{HERE}:Plain.field.real"),
    "a module": an_object("os:path"),
    "no name": an_object(""),
    "a class with an end": an_object(f"{HERE}:WithEnd"),
    "an abstract class": an_object("emlearn.em.statistics:Statistics"),
    "another field": an_object(f"{HERE}:Plain", other=1),
    "a field that is missing": an_object(f"{HERE}:Plain"),
    "another slot": an_object("emlearn.em.statistics:Sums", arrays=None, other=1),
    "a method in a slot": an_object("emlearn.em.statistics:Sums", __class__=1),
    "an enum of another kind": {"enum": [f"{HERE}:Number", "ONE"]},
    "no enum": {"enum": [f"{HERE}:Plain", "field"]},
    "no member": {"enum": ["emlearn.em.loop:StopReason", "upper"]},
    "an unhashable key": {"dict": [[{"list": []}, 1]]},
    "a key with a hash of its own": {"dict": [[{"tuple": [an_object(f"{HERE}:Hashed")]}, 1]]},
    "an element with a hash of its own": {"frozenset": [an_object(f"{HERE}:Hashed")]},
    "an unhashable element": {"set": [{"dict": []}]},
    "another array": {"array": "a7"},
    "another kind": {"call": ["os:system", "true"]},
    "two kinds": {"list": [], "tuple": []},
    "a list": [1],
    "no number": {"int": "0xg"},
    "half a float": {"float": "00"},
    "no character": {"codes": [-1]},
    "a scalar of several": {"scalar": {"list": []}},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_tree_is_refused(name):
    before = set(sys.modules)
    with pytest.raises(CheckpointError, match="value"):
        unpack({"list": [FOREIGN[name]]}, {"a0": np.zeros(2)})
    assert set(sys.modules) == before


def test_making_an_object_runs_no_code():
    value = object.__new__(Trap)
    vars(value)["field"] = 3
    Trap.runs = 0
    assert vars(through_json(value)) == {"field": 3}
    assert Trap.runs == 0


def test_looking_for_a_class_runs_no_code(monkeypatch):
    class Lazy(types.ModuleType):
        def __getattribute__(self, name):
            raise AssertionError("an attribute hook ran")

    lazy = Lazy("lazy_module")
    monkeypatch.setitem(sys.modules, "lazy_module", lazy)
    with pytest.raises(CheckpointError, match="no such class"):
        unpack(an_object("lazy_module:Thing"), {})
    monkeypatch.setitem(sys.modules, "lazy_module", object())
    with pytest.raises(CheckpointError, match="no such class"):
        unpack(an_object("lazy_module:Thing"), {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=2)
        | st.builds(
            lambda kind, content: {kind: content},
            st.sampled_from(
                "int float codes tuple list set frozenset dict array scalar np.str np.bytes enum object".split()
            ),
            inner,
        )
    ),
    max_leaves=6,
)


@given(JSON)
@QUICK
def test_any_json_is_read_or_refused(tree):
    try:
        unpack(tree, {})
    except CheckpointError as error:
        assert str(error)


def test_a_tree_without_end_is_refused():
    tree = None
    for _ in range(100_000):
        tree = {"list": [tree]}
    with pytest.raises(CheckpointError, match="too deeply"):
        unpack(tree, {})
    while tree:  # taken apart by hand: the interpreter would recurse
        tree = tree["list"].pop()


# ----------------------------------------------------------------- files

STATE = {"a": np.arange(5.0), "b": [1, None, "x"], "c": np.array([True])}
HEADER = {"fingerprint": {"n": 3, "name": "ä"}}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "fit.ckpt"
    write_archive(path, STATE, HEADER)
    return path


def test_a_file_has_value_and_header(file):
    value, header = read_archive(file)
    assert_same(value, STATE)
    assert header == HEADER == read_header(file)
    assert is_archive(file)
    assert os.listdir(file.parent) == ["fit.ckpt"]


def test_the_same_value_makes_the_same_file(file, tmp_path):
    write_archive(tmp_path / "again", STATE, HEADER)
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


def test_every_cut_and_every_wrong_byte_is_found(file):
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"cut short|empty"):
            read_archive(file)
    for more in (b"\0", b"EMLEARN\x93"):
        file.write_bytes(whole + more)
        with pytest.raises(CheckpointError, match=r"cut short|damaged"):
            read_archive(file)
    words = "damaged|cut short|newer emlearn|no checkpoint"
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match=words) as caught:
            read_archive(file)
        assert str(file) in str(caught.value)


def test_the_parts_of_two_files_are_no_file(file, tmp_path):
    write_archive(tmp_path / "other", {**STATE, "a": np.ones(5)}, HEADER)
    mine, other = file.read_bytes(), (tmp_path / "other").read_bytes()
    assert len(mine) == len(other)
    head = len(mine) - 400
    assert mine[:head] == other[:head] and mine[head:] != other[head:]
    write_archive(file, STATE, {"fingerprint": {"n": 4, "name": "ä"}})
    file.write_bytes(file.read_bytes()[:head] + mine[head:])
    with pytest.raises(CheckpointError, match="damaged"):
        read_archive(file)


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "b")
    return file.getvalue()


def saved(save, *arguments, **named):
    file = io.BytesIO()
    save(file, *arguments, **named)
    return file.getvalue()


OTHERS = {
    "empty": (b"", "is empty"),
    "text": (b"n_iter,lower_bound\n1,-3.2\n" * 9, "another file"),
    "short text": (b"1", "another file"),
    "pickle": (pickle.dumps(STATE), "a pickle"),
    "zip": (zipped(), "a zip"),
    "npz": (saved(np.savez, a=np.ones(3)), "a zip or npz archive"),
    "npy": (saved(np.save, np.ones(3)), "an array of NumPy"),
    "zeros": (bytes(500), "another file"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_file_is_named(name, tmp_path):
    content, words = OTHERS[name]
    path = tmp_path / "fit.ckpt"
    path.write_bytes(content)
    for read in (read_archive, read_header):
        with pytest.raises(CheckpointError, match=words) as caught:
            read(path)
        assert str(path) in str(caught.value) and "hoose another path" in str(caught.value)
    assert not is_archive(path)


def test_a_newer_version_is_named(file, monkeypatch):
    monkeypatch.setattr(archive_module, "_VERSION", 9)
    write_archive(file, STATE, HEADER)
    monkeypatch.undo()
    for read in (read_archive, read_header):
        with pytest.raises(CheckpointError, match=r"newer emlearn \(format 9; .* 1\). Upgrade"):
            read(file)
    assert is_archive(file)


def test_no_file_and_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_archive(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        write_archive(tmp_path / "none" / "state", STATE, {})
    with pytest.raises(CheckpointError, match="is a folder"):
        read_archive(tmp_path)
    with pytest.raises(CheckpointError, match="is a folder"):
        write_archive(tmp_path, STATE, {})


class Mine:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_a_pickle_inside_is_not_loaded(file, monkeypatch):
    def forged(stream, array, version, allow_pickle):
        data = np.empty(1, object)
        data[0] = Mine()
        np.lib.format.write_array_header_2_0(stream, np.lib.format.header_data_from_array_1_0(data))
        stream.write(pickle.dumps(data))

    module = types.SimpleNamespace(
        lib=types.SimpleNamespace(format=types.SimpleNamespace(write_array=forged)),
        asarray=np.asarray,
    )
    monkeypatch.setattr(archive_module, "np", module)
    write_archive(file, STATE, HEADER)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"cannot be read.*allow_pickle"):
        read_archive(file)


@pytest.mark.parametrize(
    "text",
    [b"[]", b"{}", b"{", b"\xff", b"[" * 100_000, b'{"header": 1, "tree": {"x": 1}, "arrays": []}'],
)
def test_a_header_that_is_none(file, text, monkeypatch):
    digest = archive_module._digest(1, text)
    prefix = archive_module._PREFIX.pack(archive_module._MAGIC, 1, len(text), digest.digest())
    trailer = archive_module._TRAILER.pack(digest.digest(), archive_module._END)
    file.write_bytes(prefix + text + trailer)
    with pytest.raises(CheckpointError, match=r"fit\.ckpt"):
        read_archive(file)


# ------------------------------------------------- writes that are broken off


def fails(*arguments, **named):
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupts(*arguments, **named):
    raise KeyboardInterrupt


@pytest.mark.parametrize("failure", [fails, interrupts])
@pytest.mark.parametrize("where", ["os.replace", "os.fsync", "numpy.lib.format.write_array"])
def test_a_write_that_fails_leaves_what_was_there(file, where, failure, monkeypatch):
    before = file.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(where, failure)
        with pytest.raises((OSError, KeyboardInterrupt)):
            write_archive(file, {"new": np.ones(3)}, {})
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == ["fit.ckpt"]
    write_archive(file, {"new": 1}, {})
    assert read_archive(file)[0] == {"new": 1}


def test_a_file_is_on_the_disk_before_it_has_its_name(file, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(descriptor):
        kind = "folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"
        done.append(("fsync", kind))
        fsync(descriptor)

    def spy_replace(source, target):
        done.append(("replace", Path(target).name))
        assert Path(source).parent == Path(target).parent
        replace(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    write_archive(file, STATE, HEADER)
    assert [step for step, _ in done] == ["fsync", "replace", "fsync"]
    assert done[1] == ("replace", "fit.ckpt")
    if os.path.isdir("/proc/self/fd"):
        assert [kind for step, kind in done if step == "fsync"] == ["file", "folder"]


def test_a_folder_that_cannot_be_synced_is_no_error(file, monkeypatch):
    fsync, calls = os.fsync, []

    def only_files(descriptor):
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    write_archive(file, {"new": 1}, {})
    assert len(calls) == 2 and read_archive(file)[0] == {"new": 1}


ENDLESS = """
import sys
import numpy as np
from emlearn.em.archive import write_archive
for i in range(10**9):
    write_archive(sys.argv[1], {"i": i, "a": np.full(200_000, float(i))}, {})
    if i == 1:
        print("begun", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_file_is_whole_whenever_the_writer_is_killed(tmp_path):
    path = tmp_path / "state"
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "begun\n"
        for _ in range(20):  # readers never see half of one
            value = read_archive(path)[0]
            assert np.all(value["a"] == value["i"])
        process.send_signal(signal.SIGKILL)
    value = read_archive(path)[0]
    assert value["i"] >= 1 and np.all(value["a"] == value["i"])


def test_a_link_is_followed(file, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(file)
    write_archive(link, {"new": 1}, {})
    assert link.is_symlink() and read_archive(file)[0] == {"new": 1}


def test_a_file_has_the_rights_of_a_new_file(file, tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    assert file.stat().st_mode == plain.stat().st_mode


# ------------------------------------------------------------ fingerprints


def test_fingerprints_tell_data_apart():
    labels = [str(i % 3) for i in range(90)]
    frame = pd.DataFrame({"x": X[:, 0], "c": labels})
    data = [
        X,
        X + 1,
        X.astype(np.float32),
        X[:-1],
        X[:, :2],
        X[::-1],
        X.T,
        X[:, 0],
        np.float64(3),
        X[:0],
        sparse.csr_array(X),
        sparse.csr_array(np.where(X > 0, X, 0)),
        sparse.csc_array(X),
        Units(X, np.array([90])),
        Units(X, np.array([40, 90])),
        Units(sparse.csr_matrix(X), np.array([40, 90])),
        frame,
        frame.rename(columns={"x": "y"}),
        frame.assign(c=frame["c"].str.upper() + "!"),
        frame.assign(c=frame["c"].astype("category")),
        frame.assign(x=frame["x"] + 1),
        pl.DataFrame({"x": X[:, 0], "c": labels}),
        np.array(labels, dtype=object)[:, None],
        np.array(labels)[:, None],
    ]
    seen = [data_fingerprint(D, None) for D in data]
    assert len(set(seen)) == len(data)
    assert all(len(text) == 32 for text in seen)
    weights = [None, np.ones(90), np.arange(90.0)]
    assert len({data_fingerprint(X, w) for w in weights}) == 3


@pytest.mark.parametrize(
    "data",
    [
        X,
        sparse.csr_array(X),
        Units(X, np.array([40, 90])),
        pd.DataFrame(X),
        pd.DataFrame({"a": [1, 1], "b": ["x", None]}),
        pl.DataFrame({"a": [1, 1], "b": ["x", None]}),
    ],
    ids=lambda data: type(data).__module__.split(".")[0] + type(data).__name__,
)
def test_fingerprints_are_those_of_the_values(data):
    assert data_fingerprint(data) == data_fingerprint(copy.deepcopy(data))


def test_fingerprints_do_not_depend_on_the_layout():
    expected = data_fingerprint(X)
    assert data_fingerprint(np.asfortranarray(X)) == expected
    assert data_fingerprint(np.repeat(X, 2, axis=0)[::2]) == expected
    wide = sparse.csr_array(X)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    assert data_fingerprint(wide) == data_fingerprint(sparse.csr_array(X))


def test_columns_of_one_name_are_told_apart():
    twice = pd.DataFrame(X[:, :2], columns=["a", "a"])
    assert data_fingerprint(twice) != data_fingerprint(twice.iloc[:, ::-1])


@given(n=st.integers(0, 10**7), d=st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_a_fingerprint_looks_at_a_few_numbers_from_first_to_last(n, d):
    from emlearn.em import fingerprint

    rows, columns = fingerprint._spread(n, d)
    assert len(rows) * len(columns) <= 65536 and len(rows) <= 65536
    if d > 1:
        assert len(rows) <= 4096
    for chosen, size in ((rows, n), (columns, d)):
        assert np.all(np.diff(chosen) > 0)
        if size > 1:
            assert len(chosen) > 1 and (chosen[0], chosen[-1]) == (0, size - 1)
        else:
            assert len(chosen) == size


# -------------------------------------------------------------- the callback

PRINT = {"estimator": "GaussianMixture", "tol": 1e-3, "n_rows": 90, "data": "abc"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.ckpt"


def test_a_state_goes_through(path):
    first = Checkpoint(path)
    assert first.open(PRINT) is None and not path.exists()
    for n_iter in (1, 2):
        first.write({"n_iter": n_iter, "parameters": X})
    again = Checkpoint(str(path)).open(dict(reversed(PRINT.items())))
    assert again["n_iter"] == 2
    assert_same(again["parameters"], X)


def test_what_differs_is_named(path):
    opened = Checkpoint(path)
    opened.open({**PRINT, "old": 1, "text": "x" * 500})
    opened.write(1)
    before = path.read_bytes()
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(path).open(
            {**PRINT, "n_rows": 91, "tol": np.float64(0.5), "new": [2], "text": "y"}
        )
    message = str(caught.value)
    for words in (
        "n_rows was 90 and is 91",
        "tol was 0.001 and is 0.5",
        "old was 1 and is not there",
        "new was not there and is [2]",
        "delete",
        "another path",
        "resume=False",
        "{fingerprint}",
        str(path),
    ):
        assert words in message
    assert "data was" not in message and "estimator was" not in message and len(message) < 900
    assert path.read_bytes() == before


def test_fingerprints_are_compared_as_they_are_stored(path):
    odd = {"a": (1, 2), "b": np.int64(3), "c": float("nan"), "d": {"x": None}, "e": np.bool_(True)}
    first = Checkpoint(path)
    first.open(odd)
    first.write(5)
    assert Checkpoint(path).open(copy.deepcopy(odd)) == 5
    for name, other in {"a": [1], "b": 3.5, "c": None, "d": {}, "e": 1}.items():
        with pytest.raises(CheckpointError, match=rf"fit: {name} was .* and is [^;]*\. Fit"):
            Checkpoint(path).open({**odd, name: other})
    with pytest.raises(TypeError, match="fingerprint"):
        Checkpoint(path).open({"a": object()})


def test_without_resume_a_file_is_overwritten_at_the_first_write(path):
    first = Checkpoint(path)
    first.open(PRINT)
    first.write(1)
    before = path.read_bytes()
    anew = Checkpoint(path, resume=False)
    assert anew.open({**PRINT, "n_rows": 5}) is None
    assert path.read_bytes() == before
    anew.write(2)
    anew.write(3)
    assert Checkpoint(path).open({**PRINT, "n_rows": 5}) == 3
    # a damaged one, too, but nothing that is none
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match="cut short"):
        Checkpoint(path).open({**PRINT, "n_rows": 5})
    anew = Checkpoint(path, resume=False)
    anew.open(PRINT)
    anew.write(4)
    assert Checkpoint(path).open(PRINT) == 4


@pytest.mark.parametrize("resume", [True, False])
def test_another_file_is_never_overwritten(path, resume):
    path.write_text("a,b\n1,2\n")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Checkpoint(path, resume=resume).open(PRINT)
    assert path.read_text() == "a,b\n1,2\n"


def test_an_archive_of_something_else_is_refused(path):
    write_archive(path, 1, {"kind": "model"})
    with pytest.raises(CheckpointError, match="something else"):
        Checkpoint(path).open(PRINT)


@pytest.mark.parametrize("resume", [True, False])
def test_two_fits_at_once_do_not_overwrite_each_other(path, resume):
    shared = Checkpoint(path, resume=resume)
    one, other = shared.for_fit(), shared.for_fit()
    one.open(PRINT)
    other.open({**PRINT, "data": "def"})
    other.write("other")
    if resume:
        with pytest.raises(CheckpointError, match="data was 'def' and is 'abc'"):
            one.write("one")
        assert Checkpoint(path).open({**PRINT, "data": "def"}) == "other"
    else:
        one.write("one")
        with pytest.raises(CheckpointError, match="data was 'abc' and is 'def'"):
            other.write("other")
        assert Checkpoint(path).open(PRINT) == "one"


def test_each_fit_has_a_file_of_its_own(tmp_path):
    shared = Checkpoint(tmp_path / "fit-{fingerprint}.ckpt")
    prints = [{**PRINT, "data": text} for text in "abc"]
    fits = [shared.for_fit() for _ in prints]
    for fit, fingerprint in zip(fits, prints, strict=True):
        assert fit.open(fingerprint) is None
    for fit, fingerprint in zip(fits, prints, strict=True):
        fit.write(fingerprint["data"])
    names = sorted(os.listdir(tmp_path))
    assert len(names) == 3 and all(len(name) == len("fit-.ckpt") + 12 for name in names)
    for fingerprint in prints:
        assert shared.for_fit().open(dict(reversed(fingerprint.items()))) == fingerprint["data"]
        assert Path(shared.file_of(fingerprint)).name in names
    (tmp_path / "{other}").mkdir()
    assert Checkpoint(tmp_path / "{other}" / "{x}").file_of(PRINT) == str(
        tmp_path / "{other}" / "{x}"
    )


def test_a_write_that_fails_can_be_repeated(path, monkeypatch):
    checkpoint = Checkpoint(path)
    checkpoint.open(PRINT)
    checkpoint.write(1)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fails)
        with pytest.raises(OSError, match="No space"):
            checkpoint.write(2)
    assert Checkpoint(path).open(PRINT) == 1
    checkpoint.write(3)
    assert Checkpoint(path).open(PRINT) == 3


def test_write_needs_a_fit(path):
    with pytest.raises(RuntimeError, match="open"):
        Checkpoint(path).write(1)


# ------------------------------------------------------------------ when


@pytest.fixture
def clock(monkeypatch):
    now = types.SimpleNamespace(value=1000.0)
    monkeypatch.setattr(
        callbacks_module, "time", types.SimpleNamespace(monotonic=lambda: now.value)
    )
    return now


def test_due_after_so_many_iterations(path):
    checkpoint = Checkpoint(path, every=3)
    checkpoint.open(PRINT)
    assert [checkpoint.due() for _ in range(7)] == [False, False, True, False, False, True, False]
    checkpoint.open(PRINT)  # counts anew
    assert [checkpoint.due(2) for _ in range(4)] == [False, True, False, True]
    assert checkpoint.due(100)


def test_due_after_so_many_seconds(path, clock):
    checkpoint = Checkpoint(path, every=None, seconds=5)
    clock.value += 100
    checkpoint.open(PRINT)  # from here on
    assert not checkpoint.due(10**6)
    clock.value += 5
    assert checkpoint.due() and not checkpoint.due()
    clock.value += 4
    checkpoint.write(1)  # the time of writing is none of the fit
    clock.value += 4
    assert not checkpoint.due()
    clock.value += 1
    assert checkpoint.due()


def test_due_after_whichever_is_first(path, clock):
    checkpoint = Checkpoint(path, every=3, seconds=5)
    checkpoint.open(PRINT)
    assert [checkpoint.due() for _ in range(3)] == [False, False, True]
    clock.value += 6
    assert checkpoint.due()
    assert [checkpoint.due() for _ in range(3)] == [False, False, True]


def test_of_many_threads_one_is_told(path):
    checkpoint = Checkpoint(path, every=7)
    checkpoint.open(PRINT)
    told, begin = [], threading.Barrier(8)

    def ask():
        begin.wait()
        told.append(sum(checkpoint.due() for _ in range(700)))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert sum(told) == 8 * 700 // 7


def test_threads_that_write_leave_one_whole_state(path):
    checkpoint = Checkpoint(path)
    checkpoint.open(PRINT)

    def write(i):
        for _ in range(5):
            checkpoint.write({"i": i, "a": np.full(1000, i)})

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    value = Checkpoint(path).open(PRINT)
    assert np.all(value["a"] == value["i"])
    assert os.listdir(path.parent) == [path.name]


# ------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"path": 3}, "'path' parameter of Checkpoint.__init__ must be an instance of 'str'"),
        ({"path": None}, "'path' parameter"),
        ({"every": 0}, "'every' parameter of Checkpoint.__init__ must be an int in the range"),
        ({"every": 1.5}, "'every' parameter"),
        ({"seconds": 0}, "'seconds' parameter of Checkpoint.__init__ must be a float in the range"),
        ({"seconds": -1.0}, "'seconds' parameter"),
        ({"seconds": float("nan")}, "'seconds' parameter"),
        ({"seconds": "5"}, "'seconds' parameter"),
        ({"resume": "yes"}, "'resume' parameter"),
        ({"every": None}, "say when to write"),
        ({"path": ""}, "names no file"),
        ({"path": "."}, "names no file"),
        ({"path": "a/"}, "names no file"),
        ({"path": os.path.join("no such folder", "a")}, "no folder .*no such folder.* Make it"),
        ({"path": os.path.join("{fingerprint}", "a")}, "not of its folder"),
    ],
    ids=str,
)
def test_parameters_are_checked(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        Checkpoint(**{"path": "a", **arguments})


def test_a_folder_that_has_gone_is_told_of(tmp_path):
    (tmp_path / "runs").mkdir()
    checkpoint = Checkpoint(tmp_path / "runs" / "a")
    (tmp_path / "runs").rmdir()
    with pytest.raises(CheckpointError, match="no folder"):
        checkpoint.open(PRINT)


def test_it_reads_as_it_was_written(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for text in (
        "Checkpoint('a', every=10)",
        "Checkpoint('a', every=None, seconds=2.5, resume=False)",
    ):
        assert repr(eval(text)) == text
    assert repr(Checkpoint(Path("a"))) == "Checkpoint('a', every=10)"


def test_copies_have_the_settings_and_not_the_fit(path):
    checkpoint = Checkpoint(path, every=2, seconds=9.0, resume=False)
    checkpoint.open(PRINT)
    checkpoint.due()
    for make in (copy.copy, copy.deepcopy, Checkpoint.for_fit):
        made = make(checkpoint)
        assert type(made) is Checkpoint and repr(made) == repr(checkpoint)
        assert not made.due()
        with pytest.raises(RuntimeError):
            made.write(1)
    made = pickle.loads(pickle.dumps(checkpoint))
    assert repr(made) == repr(checkpoint)
    checkpoint.write(1)  # the original is open still


def test_it_is_a_callback_of_scikit_learn(path):
    assert isinstance(Checkpoint(path), FitCallback)
    each = path.with_name("{fingerprint}.ckpt")
    mixture = GaussianMixture(2, random_state=0).set_callbacks(Checkpoint(each)).fit(X)
    assert mixture.converged_
    inside = make_pipeline(StandardScaler(), mixture).fit(X)
    assert inside[-1].converged_
    fitted = pickle.loads(pickle.dumps(mixture))
    assert fitted.score(X) == mixture.score(X)


def test_where_it_would_do_nothing_it_says_so(path):
    for outer in (
        make_pipeline(StandardScaler(), GaussianMixture(2)),
        GridSearchCV(GaussianMixture(2), {"tol": [1e-3]}),
    ):
        with pytest.raises(
            TypeError, match=f"{type(outer).__name__} is none. Set it on the one inside"
        ):
            outer.set_callbacks(Checkpoint(path)).fit(X)


ELSEWHERE = """
import sys
import numpy as np, pandas as pd
from emlearn.callbacks import Checkpoint
from emlearn.em.fingerprint import data_fingerprint

X = np.arange(12.0).reshape(6, 2)
frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
seen = {"X": data_fingerprint(X, np.ones(6)), "frame": data_fingerprint(frame)}
checkpoint = Checkpoint(sys.argv[1] + "/{fingerprint}")
"""


def test_another_process_finds_the_fit_again(tmp_path):
    space = {}
    parameters = GaussianParameters(X[:2], np.ones((2, 3)), np.ones((2, 3)))
    exec(ELSEWHERE.replace("sys.argv[1]", repr(str(tmp_path))), space)
    space["checkpoint"].open(space["seen"])
    space["checkpoint"].write(parameters)
    read = "value = checkpoint.open(seen)\nprint(type(value).__name__, value.means.tobytes().hex())"
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE + read, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert done.stdout.split() == ["GaussianParameters", X[:2].tobytes().hex()]
