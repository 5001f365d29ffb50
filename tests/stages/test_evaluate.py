import csv
import json

import numpy as np
import onnx
import pytest
from PIL import Image

from digits.drift_reference import FIELDS, build, checked
from digits.onnx_model import OnnxModel, OnnxModelError
from digits.params import ParamsError
from digits.storage import read_arrays
from stages import evaluate
from tests import synthetic

TRACKED = (
    evaluate.METRICS,
    evaluate.CONFUSION,
    evaluate.MISTAKES,
    evaluate.PREDICTIONS,
    evaluate.REFERENCE,
    evaluate.SMOKE,
    evaluate.TRAFFIC,
)
TEST = synthetic.digits(300, seed=2)


def metrics() -> dict:
    return json.loads(evaluate.METRICS.read_text())


def rows_of(images: np.ndarray) -> list[bytes]:
    return [image.tobytes() for image in images]


def test_metrics_are_those_of_the_onnx_file_on_the_test_images(pipeline):
    predicted = OnnxModel(evaluate.ONNX).probabilities(TEST.images).argmax(1)
    assert metrics()["accuracy"] == pytest.approx((predicted == TEST.labels).mean(), abs=1e-6)
    assert metrics()["accuracy"] > 0.9
    assert metrics()["errors"] == (predicted != TEST.labels).sum()
    assert (metrics()["parameters"], metrics()["epochs"]) == (1142, 1)
    assert metrics()["onnx_bytes"] == evaluate.ONNX.stat().st_size


def test_running_again_changes_no_tracked_byte(pipeline):
    before = [path.read_bytes() for path in TRACKED]
    evaluate.main()
    assert [path.read_bytes() for path in TRACKED] == before


def test_latencies_stay_outside_what_is_tracked(pipeline):
    times = json.loads(evaluate.TIMES.read_text())
    assert 0 < times["single_image_ms_median"] <= times["single_image_ms_p99"]
    assert not any("ms" in key.split("_") for key in metrics())


def test_predictions_are_kept_for_each_image(pipeline):
    labels, predicted, probabilities = read_arrays(evaluate.PREDICTIONS, "labels", "predicted", "probabilities")
    np.testing.assert_array_equal(labels, TEST.labels)
    np.testing.assert_array_equal(predicted, probabilities.argmax(1))
    np.testing.assert_array_equal(probabilities, OnnxModel(evaluate.ONNX).probabilities(TEST.images))


def test_confusion_has_a_line_for_each_image(pipeline):
    lines = list(csv.DictReader(evaluate.CONFUSION.read_text().splitlines()))
    (predicted,) = read_arrays(evaluate.PREDICTIONS, "predicted")
    assert [int(line["actual"]) for line in lines] == TEST.labels.tolist()
    assert [int(line["predicted"]) for line in lines] == predicted.tolist()


def test_rows_are_plain_csv():
    assert evaluate.rows(np.array([3, 5]), np.array([3, 8])) == "actual,predicted\n3,3\n5,8\n"


def test_reference_and_traffic_are_the_two_halves(pipeline):
    reference = checked("reference", *read_arrays(evaluate.REFERENCE, *FIELDS))
    traffic, labels = read_arrays(evaluate.TRAFFIC, "images", "labels")
    assert (len(reference), len(traffic)) == (150, 150)
    elsewhere = set(rows_of(traffic))
    kept = np.array([image for image in TEST.images if image.tobytes() not in elsewhere])
    expected = build(kept, OnnxModel(evaluate.ONNX).probabilities(kept))
    assert [getattr(reference, name).tobytes() for name in FIELDS] == [
        getattr(expected, name).tobytes() for name in FIELDS
    ]
    assert len(elsewhere) == len(labels) == 150
    places = {image: place for place, image in enumerate(rows_of(TEST.images))}
    order = [places[image] for image in rows_of(traffic)]
    assert order != sorted(order)  # in the test set's order, clean traffic would drift
    np.testing.assert_array_equal(labels, TEST.labels[order])


def test_smoke_set_has_each_class_with_its_probabilities(pipeline):
    images, labels, probabilities = read_arrays(evaluate.SMOKE, "images", "labels", "probabilities")
    assert np.bincount(labels).tolist() == [2] * 10
    known = dict(zip(rows_of(TEST.images), TEST.labels, strict=True))
    assert [known[row] for row in rows_of(images)] == labels.tolist()
    np.testing.assert_allclose(probabilities, OnnxModel(evaluate.ONNX).probabilities(images), rtol=0, atol=1e-6)


def test_another_seed_draws_other_halves_and_leaves_the_metrics(pipeline):
    before = {path: path.read_bytes() for path in TRACKED}
    synthetic.write_params(pipeline, evaluate={"seed": 1})
    evaluate.main()
    changed = {path for path in TRACKED if path.read_bytes() != before[path]}
    assert changed == {evaluate.REFERENCE, evaluate.TRAFFIC, evaluate.SMOKE}


def test_picture_of_the_mistakes_is_a_png(pipeline):
    with Image.open(evaluate.MISTAKES) as picture:
        assert picture.format == "PNG"
        assert picture.size[0] > 1000


def test_file_that_is_no_model_leaves_the_results(pipeline):
    before = evaluate.METRICS.read_bytes()
    evaluate.ONNX.write_bytes(b"no model")
    with pytest.raises(OnnxModelError, match=r"^models/model\.onnx: not an ONNX model"):
        evaluate.main()
    assert evaluate.METRICS.read_bytes() == before


def test_smoke_set_without_every_class_is_refused(pipeline):
    synthetic.write_params(pipeline, evaluate={"smoke_size": 9})
    with pytest.raises(
        ParamsError, match=r"evaluate\.smoke_size: 9 is out of range; allowed: .* at least 10 and at most"
    ):
        evaluate.main()


@pytest.mark.parametrize("value", [None, "many"])
def test_a_file_that_export_did_not_make_is_refused(pipeline, value):
    model = onnx.load(evaluate.ONNX)
    kept = [(entry.key, entry.value) for entry in model.metadata_props if entry.key != "epochs"]
    del model.metadata_props[:]
    for key, text in [*kept, *([("epochs", value)] if value else [])]:
        model.metadata_props.add(key=key, value=text)
    onnx.save(model, evaluate.ONNX)

    with pytest.raises(OnnxModelError, match=r"^models/model.onnx: its metadata does not state parameters and epochs"):
        evaluate.main()
