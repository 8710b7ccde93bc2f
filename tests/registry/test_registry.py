"""A registered model is whole by itself; the champion is chosen by rules that can be read afterwards."""

import base64
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from PIL import Image

from components.code import code_of
from components.data.tables import Tables
from components.errors import UserError
from components.evaluation.scoring.language import PTB
from components.registry import flavor
from components.registry import reload as verify
from components.registry.card import model_card
from components.registry.gate import Candidate, promote
from components.registry.reload import _difference, reload_problem
from components.registry.samples import FOLDER, embedded, linked
from components.registry.serving import CaptionService, decode
from components.registry.versions import (
    LONGEST_CARD,
    load_captioner,
    log_captioner,
    pinned,
    shortened,
    version_at,
)
from components.tracking.names import NOTE
from components.tracking.runs import open_variant_run
from components.tracking.store import connect
from components.training.decoding import Trial
from tests.tracking_fixtures import PARAMS, enter_project, per_image, pictures, tiny_captioner

NAME = "clip-gpt2-captioner"
CHAMPION = f"models:/{NAME}@champion"
DECODING = {"num_beams": 2, "max_new_tokens": 6}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with two trained and evaluated variants, the first registered and champion."""
    with pytest.MonkeyPatch.context() as patch:
        yield enter_project(tmp_path_factory.mktemp("registry") / "project", patch)


@pytest.fixture(scope="module")
def captioner():
    """Its decoding was chosen, and differs from what transformers does by itself."""
    model = tiny_captioner()
    model.generation_config.update(**DECODING)
    return model


@pytest.fixture(scope="module")
def champion(project, captioner):
    """The first candidate, registered and promoted."""
    candidate = register(captioner, "mlp", 1.2, {"model": 1.0, "blind": 0.1})
    (decision,) = promote([candidate])
    assert (decision.alias, "there was none before" in decision.reason) == ("champion", True)
    return candidate


def register(model, variant: str, val_cider: float, scores: dict[str, float], test_data: str = "t1", **more):
    """What flows do with one variant."""
    table = per_image(scores)
    with open_variant_run(variant, stage="train", params=PARAMS, data="d") as run:
        table.to_parquet("per_image.parquet")
        run.log_artifact("per_image.parquet", "test")
        version = log_captioner(
            model,
            run.require_id(),
            card="# A card",
            example=pictures(1)[0],
            tags={"variant": variant, "test_data": test_data, "val/CIDEr": val_cider},
        )
    verdicts = more.get("problem"), more.get("degenerate"), more.get("tokenizer", PTB)
    return Candidate(variant, version, run.run_id, val_cider, test_data, table, *verdicts)


def test_nothing_registered_says_what_to_do(project):
    for look in (load_captioner, pinned):
        with pytest.raises(
            UserError, match="mlflow.db: no such file, so nothing is registered.*dvc repro.*URI"
        ):
            look(CHAMPION)
    assert not list(project.iterdir()), "who only looks leaves no store behind"
    connect()
    with pytest.raises(UserError, match=f"{CHAMPION}: no such model is registered yet.*dvc repro"):
        load_captioner(CHAMPION)


def test_the_champion_loads_with_all_that_it_needs(champion, captioner):
    images = pictures(3)
    model = load_captioner(CHAMPION)
    assert model.caption(images) == captioner.caption(images) != captioner.caption(images, num_beams=1)
    inputs = model.processor(images=images)
    assert torch.equal(model.generate(**inputs), captioner.generate(**inputs))
    expected = captioner.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_a_fresh_process_elsewhere_captions_the_same(champion, captioner):
    images = pictures(3)
    scored = captioner.caption(images)
    assert reload_problem(CHAMPION, [[image] for image in images], scored) is None


def test_other_captions_and_code_of_this_checkout_are_reasons():
    answer = {"captions": ["a dog", "a cat"], "code": "/elsewhere/components/model/captioner.py"}
    assert _difference(answer, ["a dog", "a cat"]) is None
    assert _difference(answer, ["a dog", "a cow"]) == (
        "reloaded, it captions image 1 of 2 'a cat', and before it was 'a cow'"
    )
    here = str(Path(verify.__file__).parents[1] / "model" / "captioner.py")
    assert "not from the model" in _difference(answer | {"code": here}, ["a dog", "a cat"])


def test_a_version_that_does_not_load_is_a_reason(champion):
    problem = reload_problem(f"models:/{NAME}/99", [pictures(1)], ["a"])
    assert problem.startswith(f"models:/{NAME}/99 does not load in a fresh process: ")


def test_missing_versions_and_aliases_are_told_with_what_there_is(champion):
    for wrong in ("@best", "/77"):
        with pytest.raises(UserError, match=r"no such version. There are 1.*the aliases.*champion"):
            load_captioner(f"models:/{NAME}{wrong}")
    with pytest.raises(UserError, match="no such model is registered"):
        load_captioner("models:/another/1")


def test_registering_again_makes_no_second_version(champion, captioner, project):
    again = log_captioner(
        captioner,
        champion.run_id,
        card="# A better card",
        example=pictures(1)[0],
        tags={"variant": "mlp", "test_data": "t1", "val/CIDEr": 1.2},
    )
    assert again == champion.version
    assert connect().client.get_model_version(NAME, again).description == "# A better card"


@pytest.mark.parametrize(
    ("file", "another"),
    [
        ("components/registry/serving.py", True),
        ("components/data/pictures.py", True),
        ("components/errors.py", True),
        ("components/report/charts.py", False),
    ],
)
def test_other_code_is_another_version_if_the_version_carries_it(
    file, another, champion, captioner, changeable
):
    path = changeable / file
    path.write_text(path.read_text() + "# changed\n")
    made = log_captioner(captioner, champion.run_id, card="", example=pictures(1)[0], tags={"variant": "mlp"})
    assert (made != champion.version) == another
    carried = Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}/{made}"), "code")
    found = {file.relative_to(carried).as_posix(): file for file in carried.rglob("*.py")}
    expected = code_of(flavor.MODULES, harmless=())
    assert found.keys() == expected.keys()
    assert all(found[name].read_bytes() == expected[name].read_bytes() for name in found)


def test_a_model_without_processor_is_refused(champion):
    model = tiny_captioner()
    model.processor = None
    with pytest.raises(UserError, match="no processor"):
        log_captioner(model, champion.run_id, card="", example=pictures(1)[0], tags={})


@pytest.mark.parametrize(
    ("scores", "more", "reason"),
    [
        (
            {"model": 0.8, "blind": 0.1},
            {},
            "worse than the champion, version 1: CIDEr -0.200 (-0.200 to -0.200)",
        ),
        ({"model": 1.5, "blind": 1.5}, {}, "does not beat the blind baseline"),
        ({"model": 1.5, "blind": 0.1}, {"test_data": "t2"}, "tested on other data (t1, here t2)"),
        (
            {"model": 1.5, "blind": 0.1},
            {"tokenizer": "ICU word segmentation (Thai)"},
            "scored by another tokenizer (PTB (English), here ICU word segmentation (Thai))",
        ),
        (
            {"model": 1.5, "blind": 0.1},
            {"problem": "reloaded, it says nonsense"},
            "reloaded, it says nonsense",
        ),
    ],
)
def test_the_gate_keeps_the_champion_and_says_why(champion, captioner, scores, more, reason):
    candidate = register(captioner, "transformer", 9.9, scores, **more)
    (decision,) = promote([candidate])
    assert decision.alias == "challenger"
    assert reason in decision.reason
    store = connect()
    assert str(version_at(store, "champion").version) == champion.version
    assert str(version_at(store, "challenger").version) == candidate.version
    assert reason in store.client.get_model_version(NAME, candidate.version).tags["gate"]
    told = store.client.get_run(candidate.run_id).data.tags
    assert reason in told["registry"]
    store.client.set_tag(candidate.run_id, NOTE, f"Test: CIDEr 1.\n\n{told[NOTE]}")
    promote([candidate])
    note = store.client.get_run(candidate.run_id).data.tags[NOTE]
    assert note.startswith("Test: CIDEr 1.\n\nRegistered as") and note.count("Registered as") == 1


def test_the_best_on_validation_becomes_champion_and_the_next_challenger(champion, captioner):
    """Though the other has the better test score: that one is only reported."""
    good = register(captioner, "mlp", 2.0, {"model": 1.0, "blind": 0.1})
    lucky = register(captioner, "transformer", 1.9, {"model": 3.0, "blind": 0.1})
    best, other = promote([lucky, good])
    assert (best.candidate.variant, best.alias) == ("mlp", "champion")
    assert "not worse than version 1" in best.reason
    assert (other.alias, other.reason) == ("challenger", "validation CIDEr 1.900, below the 2.000 of mlp")
    near = register(captioner, "transformer", 1.99996, {"model": 1.0, "blind": 0.1})
    same = register(captioner, "transformer", 2.0, {"model": 1.0, "blind": 0.1})
    assert promote([good, near])[1].reason == "validation CIDEr 1.999960, below the 2.000000 of mlp"
    assert promote([good, same])[1].reason == "validation CIDEr 2.000, as that of mlp, which stands before it"
    again, _ = promote([lucky, good])
    assert (again.candidate.version, again.alias) == (good.version, "champion")
    connect().client.set_registered_model_alias(NAME, "champion", champion.version)  # as other tests expect


def test_degenerate_captions_get_no_alias_however_they_score(champion, captioner):
    failed = register(captioner, "mlp", 9.0, {"model": 9.0, "blind": 0.1}, degenerate="All empty.")
    sound = register(captioner, "transformer", 1.0, {"model": 1.0, "blind": 0.1})
    best, other = promote([failed, sound])
    assert (best.candidate, best.alias) == (sound, "champion")
    assert (other.candidate, other.alias, other.reason) == (failed, None, "All empty.")
    client = connect().client
    assert client.get_model_version(NAME, failed.version).tags["gate"] == "no alias: All empty."
    (alone,) = promote([failed])
    assert alone.alias is None
    assert version_at(connect(), "champion").version == int(sound.version)
    client.set_registered_model_alias(NAME, "champion", champion.version)  # as other tests expect


def test_another_decoding_is_another_version(champion, captioner):
    other = tiny_captioner()
    other.generation_config.update(num_beams=1, max_new_tokens=6)
    again = log_captioner(other, champion.run_id, card="", example=pictures(1)[0], tags={"variant": "mlp"})
    assert again != champion.version


def test_the_card_has_scores_samples_data_and_fits_the_registry(tmp_path):
    cider, low = {"mean": 1.0, "low": 0.9, "high": 1.1}, {"mean": 0.1, "low": 0.0, "high": 0.2}
    systems = {"model": {"CIDEr": cider}, "blind": {"CIDEr": low}}
    images = pd.DataFrame({"split": ["train"] * 7000 + ["test"] * 500})
    about = dict(
        tags={"variant": "mlp", "data": "d1", "test_data": "t1", "git_commit": "abc"},
        params=PARAMS | {"data": {"source": "scenes"}, "register": {"name": NAME}},
        metrics={"systems": systems, "monitors": {"unique": 0.9}},
        decoding=Trial({"num_beams": 3, "length_penalty": 0.0}, 1.05, None),
        tables=Tables(images, pd.DataFrame(), tmp_path),
        samples=[(embedded("a|b 1", [pictures(1)[0]]), "two dogs", "two brown dogs")],
    )
    assert "Licence of the data: none was given" in model_card(**about)
    (tmp_path / "LICENCE").write_text("CC BY-SA 4.0")
    card = model_card(**about)
    assert "|  | **this model** | blind |" in card
    assert "| CIDEr | 1.000 (0.900–1.100) | 0.100 (0.000–0.200) |" in card
    assert "decoded with num_beams 3, length_penalty 0" in card
    shown = re.search(
        r"\| !\[a b 1\]\(data:image/png;base64,([^)]+)\) \| two dogs \| two brown dogs \|", card
    )
    with Image.open(io.BytesIO(base64.b64decode(shown[1]))) as picture:
        assert picture.convert("RGB").tobytes() == pictures(1)[0].tobytes()
    address = f"get-artifact?run_uuid=abc&path={FOLDER}/0.png"
    assert f"![a b 1]({address})" in linked(card, "abc") and "data:image" not in linked(card, "abc")
    assert "7,000 train, 500 test" in card
    assert "CC BY-SA 4.0" in card
    assert "learning_rate: 0.003" in card
    assert "unique" not in card
    assert "pretrained/clip and pretrained/gpt2" in card
    assert card.startswith("---\n")
    long = shortened(card + "\nx" * 5000)
    assert len(long) <= LONGEST_CARD
    cut = shortened(card + "\n```yaml" + "\nx: 1" * 2000)
    assert len(cut) <= LONGEST_CARD and cut.count("```") % 2 == 0, "a page in one piece"
    assert long.endswith("(shortened: the whole card is model_card.md among the model's files)")


@pytest.fixture(scope="module")
def server(champion, tmp_path_factory):
    """`mlflow models serve`, as a user starts it, in another folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{NAME}/{champion.version}"]
    log = (tmp_path_factory.mktemp("serve") / "log").open("w")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # an activated environment
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": connect().uri, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--env-manager", "local", "-p", str(port), "-w", "1"],
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=Path(log.name).parent,
        start_new_session=True,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/ping", process, Path(log.name))
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 15)
        process.wait(20)
        log.close()


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"the server did not come up:\n{log.read_text()[-2000:]}")


def _ask(url: str, payload: object) -> tuple[int, dict]:
    request = urllib.request.Request(url, json.dumps(payload).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def _encode(image) -> str:
    content = io.BytesIO()
    image.save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def test_the_server_captions_base64_images(server, captioner):
    images = pictures(3)
    encoded = [_encode(image) for image in images]
    scored = captioner.caption(images)
    assert _ask(server, {"inputs": encoded}) == (200, {"predictions": scored})  # decodes as it was scored
    assert _ask(server, {"inputs": f"data:image/png;base64,{encoded[0]}"}) == (
        200,
        {"predictions": scored[:1]},
    )
    short = captioner.caption(images, num_beams=1, max_new_tokens=2)
    parameters = {"num_beams": 1, "max_new_tokens": 2}
    assert _ask(server, {"inputs": encoded, "params": parameters}) == (200, {"predictions": short})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("%%%", "input 1: not base64"),
        ("", "input 1: empty."),
        (5, "input 1: not base64"),  # MLflow makes text of it
        (None, "input 1: null where a base64 string was expected."),
        (base64.b64encode(b"hello").decode(), "input 1: 5 bytes: not a picture of a known format."),
        (_encode(pictures(1)[0])[:400], "input 1: 300 bytes: image file is truncated."),
        (_encode(Image.new("RGB", (4, 4))), "input 1: 69 bytes: 4 x 4 pixels."),
    ],
)
def test_a_wrong_input_is_a_400_that_names_it(server, bad, message):
    status, answer = _ask(server, {"inputs": [_encode(pictures(1)[0]), bad]})
    assert status == 400
    assert answer["message"].startswith(message)
    assert "stack_trace" not in answer


def test_the_key_or_column_image_is_taken_whatever_stands_beside_it(server, captioner):
    images = pictures(2)
    a, b = map(_encode, images)
    answer = {"predictions": captioner.caption(images)}
    for asked in (
        {"dataframe_split": {"columns": ["id", "image"], "data": [[7, a], [8, b]]}},
        {"dataframe_records": [{"id": 7, "image": a}, {"id": 8, "image": b}]},
        {"dataframe_split": {"columns": ["image"], "data": [[a], [b]]}},
        {"dataframe_split": {"data": [[a], [b]]}},
        {"inputs": {"image": [a, b]}},
        {"inputs": {"image": [a, b], "id": [7, 8]}},
        {"inputs": [{"image": a}, {"image": b}]},
        {"instances": [{"image": a}, {"image": b}]},
        {"instances": [a, b]},
    ):
        assert _ask(server, asked) == (200, answer), list(asked.items())[0][0]
    for asked in (
        {"dataframe_split": {"columns": ["id", "picture"], "data": [[7, a]]}},
        {"inputs": {"picture": [a]}},
        {"inputs": [{"picture": a}]},
    ):
        status, wrong = _ask(server, asked)
        assert status == 400 and "'picture'. Name the column or key 'image'." in wrong["message"]


def test_predict_takes_lists_keys_and_tables(champion, captioner):
    images = pictures(2)
    encoded, said = [_encode(image) for image in images], captioner.caption(images)
    service = mlflow.pyfunc.load_model(f"models:/{NAME}/{champion.version}")
    table = pd.DataFrame({"id": [7, 8], "image": encoded})
    for asked in (encoded, {"image": encoded}, table, table["image"], table[["image"]].to_numpy()[:, 0]):
        assert list(service.predict(asked)) == said
    assert list(service.predict({"image": encoded[0]})) == list(service.predict(encoded[0])) == said[:1]
    with pytest.raises(MlflowException, match="no 'image' in the request: it has 'picture', 'id'"):
        service.predict({"picture": encoded, "id": [7, 8]})


def test_of_a_clip_the_service_sees_as_many_frames_as_training_did(captioner):
    content = io.BytesIO()
    grey = [Image.new("RGB", (32, 32), (30 * n, 30 * n, 30 * n)) for n in range(8)]
    grey[0].save(content, "GIF", save_all=True, append_images=grey[1:])
    encoded = base64.b64encode(content.getvalue()).decode()
    assert [frame.getpixel((0, 0))[0] for frame in decode(encoded, 0, 4)] == [30, 90, 150, 210]
    assert [frame.getpixel((0, 0))[0] for frame in decode(encoded, 0, 1)] == [0], "as a picture, its first"
    seen = []

    class Watched:
        config = type(captioner.config)(num_frames=4)

        def caption(self, clips):
            seen.extend(map(len, clips))
            return ["a clip"] * len(clips)

    assert CaptionService(Watched()).predict([encoded, _encode(grey[0])]) == ["a clip"] * 2
    assert seen == [4, 1]


def test_transparency_is_white_as_in_training():
    clear = _encode(Image.new("RGBA", (16, 16), (0, 0, 0, 0)))
    assert decode(clear, 0, 1)[0].getcolors() == [(256, (255, 255, 255))]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"num_beams": 0}, "num_beams is 0; it goes from 1 to 32."),
        ({"num_beams": "five"}, "num_beams is 'five'; an integer was expected."),
        ({"num_beams": 2.5}, "num_beams is 2.5; an integer was expected."),
        ({"length_penalty": "x" * 99}, "length_penalty is '" + "x" * 39 + "...; a number was expected."),
        (
            {"numbeams": 3},
            "no such parameter 'numbeams'. There are num_beams, no_repeat_ngram_size, max_new_",
        ),
        ([3], "[3] where names and values were expected."),
    ],
)
def test_a_parameter_that_does_not_exist_or_fit_is_a_400(server, params, message):
    status, answer = _ask(server, {"inputs": [_encode(pictures(1)[0])], "params": params})
    assert status == 400 and answer["message"].startswith(f"params: {message}")
    assert len(json.dumps(answer)) < 300, "nothing of what was sent comes back"


@pytest.mark.parametrize("key", ["num_beams", "images"])
def test_a_key_that_is_not_read_is_a_400(server, key):
    for others in ({}, {"inputs": [_encode(pictures(1)[0])]}):
        status, answer = _ask(server, others | {key: 5})
        told = f"the request has '{key}': pictures stand in 'inputs', parameters in 'params'."
        assert (status, answer["message"]) == (400, told)


def test_parameters_that_are_null_are_those_of_the_model(server, captioner):
    image = pictures(1)[0]
    asked = {"inputs": [_encode(image)], "params": {"num_beams": None, "length_penalty": 1}}
    assert _ask(server, asked) == (200, {"predictions": captioner.caption([image], length_penalty=1.0)})


def test_no_picture_no_caption(server):
    table = {"columns": ["image"], "data": []}
    for asked in ({"inputs": []}, {"inputs": {"image": []}}, {"dataframe_split": table}):
        assert _ask(server, asked) == (200, {"predictions": []}), asked
