"""Models of other libraries answer in our strategy and our server as they do at home, to 1e-5.

Set ALGOTRADING_BIN and ALGOTRADING_CONTAINER to the binaries (`./test` builds them and does). PyTorch's and Keras's models come from `golden/`, which
`golden.py` makes; the others are trained here.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.request import Request, urlopen

import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
import pytest
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAM = os.environ["ALGOTRADING_BIN"]
RUNTIME = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"))
FEATURES, SAME = 31, 1e-5


def rows(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, size=(count, FEATURES)).astype(np.float32)


TRAIN = rows(1_000, 1)
LONG = (TRAIN[:, 0] * TRAIN[:, 1] > 0).astype(int)
SHORT = (TRAIN[:, 2] + TRAIN[:, 3] > 0.5).astype(int)
# Short, flat, long.
CLASSES = np.where(LONG == 1, 2, np.where(SHORT == 1, 0, 1))
ASKED = rows(300, 2)
# What lies on a threshold, and zeros, which a library may take for missing.
ASKED[::5] = TRAIN[:60]
ASKED[::7, :6] = 0.0
TRAIN[::3, 1] = 0.0


def asks(address: str, rows: np.ndarray) -> np.ndarray:
    body = "\n".join(",".join(repr(float(value)) for value in row) for row in rows)
    request = Request(f"http://{address}/invocations", body.encode(), {"Content-Type": "text/csv"})
    lines = urlopen(request, timeout=60).read().decode().splitlines()
    return np.array([[float(cell) for cell in line.split(",")] for line in lines])


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder, self.lake = folder, folder / "lake"

    def run(self, *arguments, ok: bool = True, runtime: str | None = str(RUNTIME)) -> str:
        environment = {**os.environ, **({"ORT_DYLIB_PATH": runtime} if runtime else {})}
        done = subprocess.run(
            [PROGRAM, *map(str, arguments), "--lake", str(self.lake)], capture_output=True, text=True, env=environment,
        )
        assert (done.returncode == 0) == ok, done.stderr
        assert ok or (done.stderr.startswith("error: ") and done.stderr.count("\n") == 1), done.stderr
        return done.stdout if ok else done.stderr

    def answers(self, asked: np.ndarray) -> np.ndarray:
        """What our server says of the promoted model `elsewhere`."""
        server = subprocess.Popen(
            [PROGRAM, "serve-model", "elsewhere", "--lake", str(self.lake), "--bind", "127.0.0.1:0"],
            stderr=subprocess.PIPE, text=True, env={**os.environ, "ORT_DYLIB_PATH": str(RUNTIME)},
        )
        try:
            return asks(server.stderr.readline().split("http://")[1].split(";")[0], asked)
        finally:
            server.terminate()
            assert server.wait(30) == 0

    def agrees(self, files: list, wanted: np.ndarray, *more: str, asked: np.ndarray = ASKED) -> None:
        self.run("model", "import", *files, "--name", "elsewhere", "--promote", *more)
        found = self.answers(asked)
        assert found.shape == (len(asked), 2)
        assert np.abs(found - wanted).max() < SAME, np.abs(found - wanted).max()


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def pair(make) -> tuple:
    """A classifier of long and one of short, and what both say of the rows."""
    models = [make().fit(TRAIN, outcome) for outcome in (LONG, SHORT)]
    return models, np.stack([model.predict_proba(ASKED)[:, 1] for model in models], axis=1)


def saved(place: Place, models: list, save, suffix: str) -> list[Path]:
    files = [place.folder / f"{name}.{suffix}" for name in ("long", "short")]
    for model, file in zip(models, files):
        save(model, file)
    return files


def test_lightgbm_as_text(place):
    models, wanted = pair(lambda: lightgbm.LGBMClassifier(n_estimators=60, num_leaves=20, verbose=-1))
    save = lambda model, file: model.booster_.save_model(file)
    place.agrees(saved(place, models, save, "txt"), wanted)
    models, wanted = pair(lambda: lightgbm.LGBMClassifier(n_estimators=40, zero_as_missing=True, verbose=-1))
    place.agrees(saved(place, models, save, "txt"), wanted)


def test_lightgbm_random_forest_and_classes_as_text(place):
    forest = lambda: lightgbm.LGBMClassifier(
        boosting_type="rf", n_estimators=20, bagging_freq=1, bagging_fraction=0.6, verbose=-1)
    models, wanted = pair(forest)
    place.agrees(saved(place, models, lambda model, file: model.booster_.save_model(file), "txt"), wanted)
    classes = lightgbm.LGBMClassifier(n_estimators=30, verbose=-1).fit(TRAIN, CLASSES)
    file = place.folder / "classes.txt"
    classes.booster_.save_model(file)
    place.agrees([file], classes.predict_proba(ASKED)[:, [2, 0]], "--columns", "short,flat,long")


def test_xgboost_as_json(place):
    models, wanted = pair(lambda: xgboost.XGBClassifier(n_estimators=60, max_depth=5, base_score=0.4))
    place.agrees(saved(place, models, lambda model, file: model.save_model(file), "json"), wanted)
    models, wanted = pair(lambda: xgboost.XGBClassifier(n_estimators=40, num_parallel_tree=3, subsample=0.5, gamma=0.5))
    place.agrees(saved(place, models, lambda model, file: model.save_model(file), "json"), wanted)


def test_xgboost_classes_and_early_stopping_as_json(place):
    classes = xgboost.XGBClassifier(n_estimators=40).fit(TRAIN, CLASSES)
    file = place.folder / "classes.json"
    classes.save_model(file)
    place.agrees([file], classes.predict_proba(ASKED)[:, [2, 0]], "--columns", "short,flat,long")
    models = []
    for outcome in (LONG, SHORT):
        model = xgboost.XGBClassifier(n_estimators=500, learning_rate=0.5, early_stopping_rounds=5)
        models.append(model.fit(TRAIN[:700], outcome[:700], eval_set=[(TRAIN[700:], outcome[700:])], verbose=False))
    assert any(model.best_iteration + 5 < 499 for model in models)
    wanted = np.stack([model.predict_proba(ASKED)[:, 1] for model in models], axis=1)
    place.agrees(saved(place, models, lambda model, file: model.save_model(file), "json"), wanted)


@pytest.mark.parametrize("make", [
    lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    lambda: RandomForestClassifier(n_estimators=30, max_depth=6, random_state=1),
], ids=["logistic regression", "random forest"])
def test_scikit_learn_as_onnx(place, make):
    models, wanted = pair(make)
    convert = lambda model, file: file.write_bytes(
        to_onnx(model, TRAIN[:1], options={"zipmap": False}).SerializeToString())
    place.agrees(saved(place, models, convert, "onnx"), wanted)


def test_a_network_of_scikit_learn_with_three_classes_and_a_model_in_double_precision(place):
    classes = MLPClassifier((20,), max_iter=400, random_state=1).fit(TRAIN, CLASSES)
    file = place.folder / "classes.onnx"
    file.write_bytes(to_onnx(classes, TRAIN[:1], options={"zipmap": False}).SerializeToString())
    place.agrees([file], classes.predict_proba(ASKED)[:, [2, 0]], "--columns", "short,flat,long")
    models, wanted = pair(LogisticRegression)
    convert = lambda model, file: file.write_bytes(
        to_onnx(model, TRAIN[:1].astype(np.float64), options={"zipmap": False}).SerializeToString())
    place.agrees(saved(place, models, convert, "onnx"), wanted)


def test_trees_as_onnx_and_as_they_are_say_the_same(place):
    kinds = [("features", FloatTensorType([None, FEATURES]))]
    models, wanted = pair(lambda: lightgbm.LGBMClassifier(n_estimators=30, verbose=-1))
    place.agrees(saved(place, models, lambda model, file: file.write_bytes(onnxmltools.convert_lightgbm(
        model, initial_types=kinds, zipmap=False).SerializeToString()), "onnx"), wanted)
    models, wanted = pair(lambda: xgboost.XGBClassifier(n_estimators=30, base_score=0.5))
    place.agrees(saved(place, models, lambda model, file: file.write_bytes(onnxmltools.convert_xgboost(
        model, initial_types=kinds).SerializeToString()), "onnx"), wanted)


def golden(name: str) -> tuple[Path, np.ndarray, np.ndarray]:
    found = json.loads((HERE / "golden" / f"{name}.json").read_text())
    return HERE / "golden" / f"{name}.onnx", np.array(found["rows"], dtype=np.float32), np.array(found["answers"])


def test_a_network_of_pytorch(place):
    file, asked, wanted = golden("pytorch")
    place.agrees([file], wanted, "--columns", "long,short", "--logits", asked=asked)


def test_a_network_of_keras(place):
    file, asked, wanted = golden("keras")
    place.agrees([file], wanted[:, [2, 0]], "--columns", "short,flat,long", asked=asked)


def test_it_trades_as_any_forecast_does(place):
    place.run("data", "import", ROOT / "data" / "sample" / "daily_adjusted_IBM.csv")
    file, *_ = golden("pytorch")
    span = ["--trained-from", "2000-01-03", "--trained-to", "2009-12-31"]
    place.run("model", "import", file, "--columns", "long,short", "--logits", "--name", "elsewhere", "--promote", *span)
    run = place.folder / "run.toml"
    run.write_text('data = { symbols = "IBM", from = 2005-01-03 }\n'
                   'strategy = { name = "forecast", model = "elsewhere", long_threshold = 0.4, short_threshold = 0.4 }\n')
    found = json.loads(place.run("backtest", run, "--out", place.folder / "out", "--json"))
    assert found["trades"]["closed"] > 20 and "are in sample" in json.dumps(found["notes"])
    assert json.loads(place.run("lookahead-check", run, "--json"))["leaks"] == []
    said = json.loads(place.run("predict", "elsewhere", "IBM", "--from", "2013-02-25", "--json"))
    assert len(said) == 5 and 0 < said[0]["long"] < 1
    assert "2000-01-03 to 2009-12-31" in place.run("model", "list")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the root")
def test_what_the_image_holds_serves_an_onnx_model_as_nobody(place):
    file, asked, wanted = golden("pytorch")
    place.run("model", "import", file, "--columns", "long,short", "--logits", "--name", "elsewhere")
    root = place.folder / "rootfs"
    environment = Path(onnxruntime.__file__).parents[1]
    subprocess.run([ROOT / "sagemaker" / "container" / "rootfs", os.environ["ALGOTRADING_CONTAINER"], environment, root], check=True)
    (kept,) = (place.lake / "models" / "elsewhere").iterdir()
    shutil.copytree(kept, root / "opt" / "ml" / "model")
    server = subprocess.Popen(
        ["chroot", "--userspec=65532:65532", root, "/algotrading-container", "serve"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "ORT_DYLIB_PATH": "/usr/lib/libonnxruntime.so", "ALGOTRADING_BIND": "127.0.0.1:0"},
    )
    try:
        found = asks(server.stdout.readline().split(" listens on http://")[1].strip(), asked)
    finally:
        server.terminate()
    assert server.wait(30) == 0 and np.abs(found - wanted).max() < SAME


def test_trained_on_our_rows_it_predicts_them(place):
    place.run("data", "import", *[ROOT / "data" / "sample" / f"daily_adjusted_{symbol}.csv" for symbol in ("IBM", "AAPL")])
    names = [one["name"] for one in json.loads(place.run("features", "--json"))["features"]]
    lines = place.run("features", "IBM", "AAPL", "--to", "2009-12-31").splitlines()
    assert lines[0].split(",") == ["dt", "sym", *names, "long", "short"]
    found = [line.split(",") for line in lines[1:]]
    features = np.array([row[2:-2] for row in found], dtype=np.float32)
    outcomes = np.array([row[-2:] for row in found], dtype=int)
    assert {row[1] for row in found} == {"IBM", "AAPL"} and 0.2 < outcomes.mean() < 0.6
    files = []
    models = [lightgbm.LGBMClassifier(n_estimators=20, verbose=-1).fit(features, outcomes[:, at]) for at in (0, 1)]
    for name, model in zip(("long", "short"), models):
        files.append(place.folder / f"{name}.txt")
        model.booster_.save_model(files[-1])
    place.run("model", "import", *files, "--name", "elsewhere", "--promote")
    said = json.loads(place.run("predict", "elsewhere", "IBM", "AAPL", "--to", "2009-12-31", "--json"))
    wanted = np.stack([model.predict_proba(features)[:, 1] for model in models], axis=1)
    assert [(one["sym"], one["dt"]) for one in said] == [(row[1], row[0]) for row in found]
    assert np.abs(np.array([[one["long"], one["short"]] for one in said]) - wanted).max() < SAME
    # The last sessions have no outcome yet.
    last = [line.split(",")[-2:] for line in place.run("features", "IBM", "--from", "2013-02-20").splitlines()[1:]]
    assert last[-1] == ["", ""] and last[0] != ["", ""]


def test_what_cannot_be_used_is_told_in_a_sentence(place):
    def refused(*arguments, words: str, **options) -> None:
        said = place.run("model", "import", *arguments, "--name", "elsewhere", ok=False, **options)
        assert words in said, said

    file, *_ = golden("pytorch")
    both = ("--columns", "long,short")
    refused(file, *both, words="ORT_DYLIB_PATH", runtime="/nowhere/libonnxruntime.so")
    refused(file, words="say what they are with --columns")
    refused(file, "--columns", "short,flat,long", words="gives 2 answers, and --columns names 3")
    refused(file, "--columns", "long,long", words="must name")
    narrow = place.folder / "narrow.onnx"
    model = LogisticRegression().fit(TRAIN[:, :30], LONG)
    narrow.write_bytes(to_onnx(model, TRAIN[:1, :30], options={"zipmap": False}).SerializeToString())
    refused(narrow, narrow, words="reads rows of 30 numbers; the features are 31")
    maps = place.folder / "maps.onnx"
    maps.write_bytes(to_onnx(LogisticRegression().fit(TRAIN, LONG), TRAIN[:1]).SerializeToString())
    refused(maps, maps, words="zipmap")
    whole = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["a", "b"], ["c"])], "two",
        [whole("a", 1, [None, FEATURES]), whole("b", 1, [None, FEATURES])], [whole("c", 1, [None, FEATURES])])
    two = place.folder / "two.onnx"
    two.write_bytes(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    refused(two, *both, words="it has the inputs `a`")
    damaged = place.folder / "damaged.onnx"
    damaged.write_bytes(file.read_bytes()[:1_000])
    refused(damaged, *both, words="does not take the file")
    refused(file, "--logits", *both, "--trained-from", "2001-01-02", "--trained-to", "2000-01-03", words="is after")
    regression = place.folder / "regression.txt"
    lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(TRAIN, LONG).booster_.save_model(regression)
    refused(regression, regression, words="train a classifier")
    pickle = place.folder / "model.pkl"
    pickle.write_bytes(b"\x80\x04\x95nonsense")
    refused(pickle, *both, words="pickle")
    ubj = place.folder / "model.ubj"
    xgboost.XGBClassifier(n_estimators=2).fit(TRAIN, LONG).save_model(ubj)
    refused(ubj, ubj, words="model.json")
    # Logits that are taken for probabilities are found out.
    loud = place.folder / "loud.onnx"
    model = LogisticRegression(C=1e6, max_iter=2_000).fit(TRAIN, SHORT)
    loud.write_bytes(to_onnx(model, TRAIN[:1], options={"zipmap": False, "raw_scores": True}).SerializeToString())
    refused(loud, loud, words="are they logits?")
    assert not (place.lake / "models").exists(), "nothing of all that was kept"
